"""The warm-up: a training on the picture at half its size, whose result is carried over.

A step there takes a quarter of the time, and trains planes and networks nearly as well; only the
finest plane is new afterwards. The half has a warm-up of its own, at half its size again.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from inrcodec.families.pyramid.fit.optimizer import Optimizer, learning_rate
from inrcodec.families.pyramid.fit.options import (
    OPTIMIZER,
    START,
    OptimizerSettings,
    StartSettings,
)
from inrcodec.families.pyramid.fit.problem import PyramidProblem
from inrcodec.families.pyramid.fit.start.closed_form import (
    components,
    fill_plane,
    linear_layer,
    set_block,
    sine_units,
)

Advance = Callable[[int, float], None]
"""Called after each step with the number of pixels and the PSNR."""


def warm_up_steps(steps: int, settings: StartSettings = START) -> int:
    """Steps at each of the smaller sizes, before so many at the whole size.

    >>> warm_up_steps(100), warm_up_steps(2500)
    (120, 600)
    """
    return round(settings.steps_factor * math.sqrt(steps))


def warm_up(
    problem: PyramidProblem,
    weight: float,
    steps: int,
    advance: Advance,
    settings: StartSettings = START,
    optimizer_settings: OptimizerSettings = OPTIMIZER,
) -> bool:
    """Train `problem` at half its size for some steps, from where it is, at λ = `weight`.

    Returns False, and changes nothing, if the picture has no half size.
    """
    half = half_size(problem, settings.least_side)
    if half is None:
        return False
    carry(problem, half)
    # The same bits are four times as many for each pixel there.
    warm_up(half, weight / 4, steps, advance, settings, optimizer_settings)
    optimizer = Optimizer(half, optimizer_settings)
    for step in range(steps):
        rate = learning_rate(step, steps, settings.last_rate, optimizer_settings.rise)
        temperature = settings.hot + (settings.cold - settings.hot) * (step / steps)
        error, _ = optimizer.step(
            weight / 4,
            temperature,
            optimizer_settings.network_rate * rate,
            settings.latent_rate * rate,
        )
        advance(half.pixels, half.psnr(error))
    carry(half, problem)
    _fill_finest(problem, weight, settings)
    return True


def half_size(problem: PyramidProblem, least_side: int = START.least_side) -> PyramidProblem | None:
    """The picture at half its size, with all planes but the finest and without filters.

    Each sample is the mean of four. None if a side of the picture has less than `least_side`
    pixels, or if it has more than one set of planes.
    """
    levels, sets = problem.architecture.levels, problem.architecture.sets
    small = min(problem.width, problem.height) < least_side
    if small or levels[-2:] != (1, 0) or len(sets) > 1:
        return None
    architecture = dataclasses.replace(
        problem.architecture,
        levels=tuple(level - 1 for level in levels[:-1]),
        filtered=False,
        taps=0,
    )
    height, width = -(-problem.height // 2), -(-problem.width // 2)
    padding = ((0, 0), (0, 2 * height - problem.height), (0, 2 * width - problem.width))
    target = np.pad(problem.target, padding, mode="edge")
    mean = target.reshape(len(target), height, 2, width, 2).mean((2, 4), dtype=np.float32)
    header = dataclasses.replace(problem.header, network=architecture, width=width, height=height)
    return problem.like(mean, header)


def carry(source: PyramidProblem, to: PyramidProblem) -> None:
    """Copy the planes and networks of a problem to the same picture at half, or twice, its size.

    Features are a plane's values times 2^-level, and levels are higher by one at twice the size, so
    the first layer is scaled. The context network stays: its input is a plane's distance from the
    finest plane, which has level 0 at both sizes. With levels that belonged to the same planes, the
    finest plane of the larger picture would be new to it, and took eight times its budget
    (kodim19). Filters work on pixels of one size, and do not carry over.
    """
    common = min(len(source.planes), len(to.planes))
    octaves = to.planes[0].level - source.planes[0].level
    for k in range(common):
        to.planes[k].inner(to.y)[:] = source.planes[k].inner(source.y)
    first, own = (p.pranc.matrices(p.alphas)[0].double().numpy() for p in (source, to))
    own[:, :common] = first[:, :common] * 2.0**octaves
    own[:, -1] = first[:, -1]
    set_block(to, 0, own)
    for k in (*range(1, to.architecture.mixed_blocks), -3, -2, -1):
        to.alphas[k] = source.alphas[k].clone()


def _fill_finest(problem: PyramidProblem, weight: float, settings: StartSettings) -> None:
    """Fill the finest plane with the luma that is missing without it, and fit the linear layer."""
    finest = len(problem.planes) - 1
    problem.planes[finest].inner(problem.y)[:] = 0
    mixed = problem.architecture.mixed_blocks
    matrices = problem.pranc.matrices(problem.alphas)[:mixed]
    *hidden, linear = (matrix.numpy() for matrix in matrices)
    z = problem.features(problem.y, np.arange(problem.pixels))
    shown = linear[:, :-1] @ sine_units(hidden, z) + linear[:, -1:]
    rest = components(problem.target - shown.reshape(problem.target.shape))[0]
    fill_plane(problem, finest, rest, weight, settings)
    rng = np.random.default_rng(problem.header.seed)
    hidden = [matrix.astype(np.float64) for matrix in hidden]
    set_block(problem, mixed - 1, linear_layer(problem, hidden, rng, settings))
