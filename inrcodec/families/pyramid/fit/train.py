"""The training of a pyramid for a size or a PSNR.

Latents and networks are trained together while noise and soft rounding sharpen (C3, Kim et al.
2024). Towards the end the networks' layers are quantized one after the other while the rest trains
on. Rate control leads λ to the wanted size or error.
"""

from __future__ import annotations

import numpy as np

from inrcodec.container.segments import Segment
from inrcodec.families.pyramid.fit.draft import Draft
from inrcodec.families.pyramid.fit.finish import finish
from inrcodec.families.pyramid.fit.goal import Goal
from inrcodec.families.pyramid.fit.network_rounding import round_layer, rounding_moments
from inrcodec.families.pyramid.fit.optimizer import Optimizer, learning_rate
from inrcodec.families.pyramid.fit.prefixes import PrefixControl, begin_prefixes
from inrcodec.families.pyramid.fit.problem import PyramidProblem
from inrcodec.families.pyramid.fit.rate_control import control_from, lam_factor
from inrcodec.families.pyramid.fit.schedule import RoundingGap, Schedule
from inrcodec.families.pyramid.fit.start_rate import start_training
from inrcodec.families.pyramid.fit.training import Training
from inrcodec.families.pyramid.settings import PyramidSettings
from inrcodec.optim.clock import Clock


def train(
    problem: PyramidProblem,
    goal: Goal,
    steps: int,
    settings: PyramidSettings,
    clock: Clock,
    metadata: tuple[Segment, ...] = (),
) -> bytes | None:
    """The file of a problem after `steps` steps: the best within the size, or the smallest of the
    PSNR.

    None if no file was small enough; where none reached the PSNR, the nearest to it.
    """
    draft = Draft(problem, goal, settings.rounding, metadata)
    lam = start_training(draft, steps, settings, clock)
    prefixes = begin_prefixes(problem, goal.prefixes, settings)
    schedule = Schedule(settings.schedule, steps)
    training = Training(
        draft, Optimizer(problem, settings.optimizer), schedule, settings, clock, lam
    )
    gap = RoundingGap(np.ones(len(problem.planes)))
    moments = rounding_moments(len(draft.layers), settings.rounding)
    rounded = 0
    for step in range(steps):
        temperature = schedule.temperature(step, gap.heat)
        if rounded < len(moments) and step / steps >= moments[rounded]:
            _round_next(training, rounded, temperature, step)
            rounded += 1
        rate = learning_rate(step, steps, settings.schedule.last_rate, settings.optimizer.rise)
        loss = training.step(temperature, rate)
        _control(training, prefixes, gap, loss, step)
        training.report("fitting", *loss)
    for index in range(rounded, len(moments)):
        _round_next(training, index, schedule.cold, steps)
    return finish(training)


def _round_next(training: Training, index: int, temperature: float, step: int) -> None:
    """Quantize a layer before a step."""
    noise, settings = (temperature, training.optimizer.seed), training.settings
    layer = round_layer(training.problem, index, training.lam, noise, step, settings)
    training.draft.layers[index] = layer


def _control(
    training: Training,
    prefixes: PrefixControl,
    gap: RoundingGap,
    loss: tuple[float, float],
    step: int,
) -> None:
    """Adapt prefixes, heat, noise and λ after a step."""
    problem, draft, settings = training.problem, training.draft, training.settings
    share, (error, bits) = step / training.steps, loss
    if draft.goal.prefixes:
        prefixes.follow(draft, error, problem.plane_bits() * gap.planes, share, training.steps)
    if training.schedule.compares(step):
        gap.measure(problem, training.lam, error, bits)
        gap.adapt_heat(settings.schedule)
        problem.noise = training.schedule.noise(gap.heat)
    if share > control_from(draft.goal, settings):
        training.lam *= lam_factor(draft, settings, loss, gap, share, training.steps)
