"""The start of a training and its first λ.

λ must be known before the start in closed form, whose quantizer steps depend on it. The rates of
the start and of the warm-up then tell it better.
"""

from __future__ import annotations

import numpy as np

from inrcodec.families.pyramid.fit.budget import latent_budget
from inrcodec.families.pyramid.fit.draft import Draft
from inrcodec.families.pyramid.fit.goal import Goal
from inrcodec.families.pyramid.fit.problem import PyramidProblem
from inrcodec.families.pyramid.fit.start import start, warm_up, warm_up_steps
from inrcodec.families.pyramid.settings import PyramidSettings, StartRateSettings
from inrcodec.optim.clock import Clock

DECAY, LIMIT_RATE = 4.0, 3.0
"""The first λ for a size is size_lam · 2^(-4 · rate), with rates of at most 3 bits per pixel."""


def start_training(draft: Draft, steps: int, settings: PyramidSettings, clock: Clock) -> float:
    """Give the problem its start and warm-up before `steps` steps; returns λ after them."""
    problem = draft.problem
    lam = _closed_form(draft, settings)
    if not settings.warm_up:
        return lam

    def advance(pixels: int, psnr: float) -> None:
        clock.advance(pixels / problem.pixels, "fitting", psnr)

    warmed = warm_up(
        problem,
        lam,
        warm_up_steps(steps, settings.start),
        advance,
        settings.start,
        settings.optimizer,
    )
    if warmed and draft.goal.size is not None:
        bits, change = problem.loss(lam, 0)[1], settings.start_rate.warm_change
        ratio = settings.start_rate.settled * bits / latent_budget(draft, settings.control)
        lam *= min(change[1], max(change[0], ratio**2))
    return lam


def _closed_form(draft: Draft, settings: PyramidSettings) -> float:
    """Start in closed form, with a λ that gives the start the rate of a training; returns it."""
    problem, own = draft.problem, settings.start_rate
    lam, (low, high) = _first_lam(problem, draft.goal, own), own.tolerance
    for _ in range(own.max_starts):
        start(problem, lam, problem.header.seed, settings.start)
        if draft.goal.size is None:
            break
        surplus = _entropy(problem) / (own.rate * latent_budget(draft, settings.control))
        if low < surplus < high:
            break
        lam *= min(own.max_change, max(1 / own.max_change, surplus**own.exponent))
    return lam


def _first_lam(problem: PyramidProblem, goal: Goal, settings: StartRateSettings) -> float:
    """λ for a picture of medium detail."""
    if goal.psnr is not None:
        return settings.psnr_lam * goal.error
    assert goal.size is not None
    rate = 8 * goal.size / problem.pixels
    return settings.size_lam * 2 ** (-DECAY * min(rate, LIMIT_RATE))


def _entropy(problem: PyramidProblem) -> float:
    """Order-0 entropy of the rounded latents, plane by plane, in bits."""
    bits = 0.0
    for plane in problem.integers(problem.y):
        counts = np.unique(plane, return_counts=True)[1]
        bits -= float((counts * np.log2(counts / plane.size)).sum())
    return bits
