"""From trained latents to a file: RDOQ passes whose λ is led to the size or the PSNR.

A first pass rounds latents towards what they were trained to be; guided passes follow the gradient
of error and rate (notebook/2026-11-26-pyramid-guided-rdoq.md). Where no λ of a pass leads to the
size, the latents train on for a moment with another λ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from inrcodec.families.pyramid.fit.budget import latent_budget
from inrcodec.families.pyramid.fit.empty_planes import empty_planes
from inrcodec.families.pyramid.fit.mixing import cut, mix
from inrcodec.families.pyramid.fit.problem import Array
from inrcodec.families.pyramid.fit.rdoq import Rdoq
from inrcodec.families.pyramid.fit.training import Training
from inrcodec.families.pyramid.settings import FinishSettings


def finish(training: Training) -> bytes | None:
    """The file of a training whose layers are quantized, see `train`."""
    problem, goal, settings = training.problem, training.draft.goal, training.settings
    least = 0.0
    if goal.size is not None:
        problem.loss(training.lam, 0)
        least = settings.finish.empty_from * latent_budget(training.draft, settings.control)
    if goal.size is None or problem.plane_bits().sum() >= least:
        empty_planes(problem, training.lam, settings.finish.empty_share)
    if goal.size is None:
        return _reach_psnr(training)
    return _meet_size(training, goal.size) or cut(training.draft, settings.control.aim)


def guided_passes(steps: int, settings: FinishSettings) -> int:
    """Number of guided passes after a training.

    >>> [guided_passes(steps, FinishSettings()) for steps in (100, 1670, 8000)]
    [1, 3, 6]
    """
    return min(settings.max_guided, 1 + steps // settings.guided_steps)


def _first_pass(training: Training, lam: float) -> Rdoq:
    """The latents after an RDOQ pass towards what they were trained to be."""
    saving = training.settings.finish.saving.at(training.steps)
    rdoq = Rdoq(training.problem, replace(training.settings.rdoq, saving=saving))
    rdoq.run_pass(lam)
    return rdoq


def _correct(training: Training, off: float, speed: int = 1) -> None:
    """Train the latents on for a moment with another λ.

    `off` is the logarithm of the ratio of size to budget, or of the wanted error to the error;
    `speed` multiplies the learning rate.
    """
    settings = training.settings.finish
    most = settings.max_correction
    training.lam *= math.exp(settings.correction_exponent * min(most, max(-most, off)))
    for _ in range(max(settings.correction_steps, training.steps // settings.correction_share)):
        loss = training.step(training.schedule.cold, speed * settings.correction_rate)
        training.report("rounding", *loss)


def _reach_psnr(training: Training) -> bytes:
    """The smallest file found of at least the PSNR, or else the one nearest to it."""
    settings, goal, draft = training.settings.finish, training.draft.goal, training.draft
    best, nearest, least, slow = None, b"", math.inf, 0
    for _ in range(settings.max_rounds):
        rdoq = _first_pass(training, training.lam * settings.first_lam)
        for _ in range(guided_passes(training.steps, settings)):
            rdoq.use_gradient(training.lam)
            rdoq.run_pass(training.lam)
        off = math.log(rdoq.error / goal.error)
        # Networks that were rounded for a larger error do not get there by finer latents.
        slow = slow + 1 if off > settings.slow * least else 0
        if off <= 0:
            data = draft.write(rdoq.q)
            best = data if best is None else min(best, data, key=len)
            if off > -settings.near:
                break
        elif off < least:
            nearest, least = draft.write(rdoq.q), off
        if best is None and slow == settings.max_slow:
            break
        _correct(training, -off - settings.near / 2)
    return best or nearest


def _meet_size(training: Training, size: int) -> bytes | None:
    """The best file found within the size, of those that use it; None if none is within it.

    Guided passes are led to the size one after the other. Where there are none, or none ends near
    the size, see `_come_near`.
    """
    settings, draft = training.settings.finish, training.draft
    aim = training.settings.control.aim * size
    lam = training.lam * settings.first_lam
    rdoq = _first_pass(training, lam)
    data, best, least = draft.write(rdoq.q), None, math.inf
    for _ in range(guided_passes(training.steps, settings)):
        change = math.exp(settings.exponent * math.log(len(data) / aim))
        lam *= min(settings.guided_change, max(1 / settings.guided_change, change))
        lam = min(settings.lam_range[1] * training.lam, lam)
        rdoq.use_gradient(lam)
        lam = rdoq.run_to(lam, rdoq.bits + 8 * (aim - len(data)))
        data = draft.write(rdoq.q)
        if settings.least_share * size <= len(data) <= size and rdoq.error < least:
            best, least = data, rdoq.error
    return best or _come_near(training, size, rdoq, lam / training.lam)


@dataclass(eq=False)
class _Bracket:
    """The files found around a size.

    Attributes:
        best: the largest within it, or None.
        under: latents of the best.
        over: latents of the last one beyond it, or None.
    """

    size: int
    best: bytes | None = None
    under: Array | None = None
    over: Array | None = None

    def add(self, data: bytes, latents: Array) -> None:
        """Take in the file of some latents."""
        if len(data) > self.size:
            self.over = latents.copy()
        elif self.best is None or len(data) > len(self.best):
            self.best, self.under = data, latents.copy()


def _come_near(training: Training, size: int, rdoq: Rdoq, ratio: float) -> bytes | None:
    """The largest file found within the size, from latents after a pass at `ratio` times λ.

    Another pass with another λ follows, or a correction, the n-th of which changes λ n times as
    much. Where no λ gives a file near enough, it is mixed from one that is too large and one that
    is too small. Where none is within the size, the problem gets the latents of the last one.
    """
    settings, draft = training.settings.finish, training.draft
    aim = training.settings.control.aim * size
    found, corrections = _Bracket(size), 0
    for _ in range(settings.max_rounds):
        data = draft.write(rdoq.q)
        found.add(data, rdoq.q)
        if found.best and len(found.best) >= settings.least_share * size:
            return found.best
        off = math.log(len(data) / aim)
        following = _next_ratio(ratio, off, settings)
        if following is None:
            corrections += 1
            _correct(training, corrections * off, min(corrections**2, settings.max_speed))
            ratio = settings.first_lam
            rdoq = _first_pass(training, training.lam * ratio)
        else:
            wanted = rdoq.bits + 8 * (aim - len(data))
            ratio = rdoq.run_to(training.lam * following, wanted) / training.lam
    if found.best is None:
        training.problem.y[:] = rdoq.q
    elif found.over is not None and found.under is not None:
        return mix(draft, found.over, found.under, found.best, training.settings.control.aim)
    return found.best


def _next_ratio(ratio: float, off: float, settings: FinishSettings) -> float | None:
    """λ of the next RDOQ pass as a multiple of the training's; None where passes do not help.

    `off` is the logarithm of the ratio of size to budget after a pass at `ratio`.

    >>> [round(_next_ratio(1.5, off, FinishSettings()), 2) for off in (0.05, 0.5, -0.05)]
    [2.73, 6.0, 0.82]
    >>> _next_ratio(6.0, 0.1, FinishSettings()) is None
    True
    """
    (least, most), (slowest, fastest) = settings.lam_range, settings.change
    change = min(fastest, max(slowest, math.exp(settings.exponent * abs(off))))
    if off > 0:
        return max(least, ratio * change) if ratio < most else None
    return max(least, min(ratio / change, settings.max_return)) if ratio > least else None
