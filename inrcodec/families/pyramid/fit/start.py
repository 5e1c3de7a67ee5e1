"""Where a pyramid's training starts: in closed form, and then on the picture at half its size.

A step there takes a quarter of the time, and teaches planes and networks most of what they need;
only the finest plane is new afterwards. The same holds for that picture at half its size again.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from inrcodec.families.pyramid.fit.optimizer import NETWORK_RATE, Optimizer, learning_rate
from inrcodec.families.pyramid.fit.problem import Array, PyramidProblem, contract, expand
from inrcodec.families.pyramid.shape import NEIGHBOURS, OTHER_INPUTS, Pyramid

LEAST_SIDE = 64
"""Of a picture that is trained at half its size first."""

WARM_HOT, WARM_COLD = 0.5, 0.4
"""Temperature of the soft rounding while that lasts, at its start and end."""

WARM_LATENT_RATE = 0.25
"""Adam's peak rate, in steps of the quantizer."""

WARM_LAST = 0.3
"""Rates at its end, as a share of the peak; 0.1 and 0.6 are level."""

EARLIER = 12.0
"""λ of a set of planes as a multiple of that of the next one, at the start."""

F = TypeVar("F", np.float32, np.float64)

Advance = Callable[[int, float], None]
"""Is told of each step: pixels and PSNR."""


def start(problem: PyramidProblem, weight: float, seed: int) -> None:
    """A start in closed form: a Laplacian pyramid of luma and chroma, and networks that add it up.

    `weight` is λ: latents are in units of the step that is the best at high rate,
    12·λ / (2 ln 2) squared, and twice that, which measured better.
    """
    components = _components(problem.target)
    rest = [component.copy() for component in components]
    rng = np.random.default_rng(seed)
    spreads = []
    sets = problem.architecture.sets
    later = np.repeat(np.arange(len(sets))[::-1], sets)
    for k, plane in enumerate(problem.planes):
        channel = _channel(problem.architecture, k)
        own = weight * EARLIER ** later[k] * (1 if channel == 0 else 1 / 0.6)
        delta = _set_plane(problem, k, rest[channel], own)
        latents = np.round(plane.inner(problem.y))
        rest[channel] -= expand(problem, k, latents.astype(np.float32) * np.float32(delta))
        spreads.append(delta * 2.0**plane.level)
    _start_networks(problem, np.array(spreads), rng)


def _components(target: Array) -> list[Array]:
    """Luma and two differences of colours (ITU-R BT.601), or the channels where there is one."""
    if len(target) < 3:
        return list(target)
    matrix = np.array([[0.299, 0.587, 0.114], [-0.169, -0.331, 0.5], [0.5, -0.419, -0.081]])
    return [*np.tensordot(matrix, target[:3], 1).astype(np.float32), *target[3:]]


def _channel(architecture: Pyramid, k: int) -> int:
    """The component that plane k starts with: the first of two of a level has another."""
    levels = architecture.levels
    double = k + 1 < len(levels) and levels[k + 1] == levels[k]
    return 1 if double and architecture.channels > 1 else 0


def _least_squares(problem: PyramidProblem, k: int, picture: Array) -> Array:
    """The plane whose values come near a picture, after a few steps of Landweber's iteration."""
    norm = contract(problem, k, np.ones_like(picture))
    values = np.zeros(problem.planes[k].shape, np.float32)
    for _ in range(4):
        error = picture - expand(problem, k, values)
        values += 1.5 * contract(problem, k, error) / norm
    return values


def _set_plane(problem: PyramidProblem, k: int, picture: Array, weight: float) -> float:
    """Lay a picture into plane k in units of λ's step, and return that."""
    step = 2 * math.sqrt(12 * weight / (2 * math.log(2)))
    # A sample of a plane moves 4^ℓ pixels, each by the square of its tap.
    power = float(np.square(problem.columns[k][1]).sum(1).mean()) ** 2
    delta = step / math.sqrt(power * 4.0 ** problem.planes[k].level)
    latents = _least_squares(problem, k, picture) / delta
    latents = np.sign(latents) * np.maximum(np.abs(latents) - 0.1, 0)
    problem.planes[k].inner(problem.y)[:] = latents
    return delta


def _start_networks(
    problem: PyramidProblem, spreads: NDArray[np.float64], rng: np.random.Generator
) -> None:
    """Random sines of a moderate slope, the linear layer by least squares; a plain context."""
    a = problem.architecture
    matrices: list[NDArray[np.float64]] = [np.zeros(shape) for shape in a.blocks]
    matrices[0][:, :-1] = rng.normal(size=(a.width, len(a.levels))) * spreads
    matrices[0][:, -1] = rng.uniform(-1, 1, a.width)
    if a.second:
        matrices[1][:, :-1] = rng.normal(size=(a.second, a.width)) / math.sqrt(a.width)
        matrices[1][:, -1] = rng.uniform(-1, 1, a.second)
    matrices[-3:] = _start_context(a.context, a.neighbours, rng)
    matrices[a.mixed_blocks - 1] = _linear_layer(problem, matrices[: a.mixed_blocks - 1], rng)
    for k, matrix in enumerate(matrices):
        _set_layer(problem, k, matrix)


def _linear_layer(
    problem: PyramidProblem, hidden: Sequence[NDArray[np.float64]], rng: np.random.Generator
) -> NDArray[np.float64]:
    """The layer above the sines of `hidden` that makes the picture best, by some of its pixels."""
    chosen = rng.choice(problem.pixels, min(20000, problem.pixels), replace=False)
    features = problem.features(np.round(problem.y), chosen)
    sines = np.concatenate([_sines(hidden, features), np.ones((1, len(chosen)))])
    wanted = problem.target.reshape(len(problem.target), -1)[:, chosen]
    normal = sines @ sines.T + 1e-3 * len(chosen) * np.eye(len(sines))
    return np.asarray(np.linalg.solve(normal, sines @ wanted.T).T, np.float64)


def _sines(hidden: Sequence[NDArray[F]], z: Array) -> NDArray[F]:
    """The units (units, N) of the last of some sine layers, from their inputs (planes, N)."""
    h = z.astype(hidden[0].dtype)
    for matrix in hidden:
        h = np.sin(matrix[:, :-1] @ h + matrix[:, -1:])
    return h


def _set_layer(problem: PyramidProblem, k: int, matrix: NDArray[np.float64]) -> None:
    """Choose the coefficients that make layer k of the networks, or come near it.

    The nearest that the basis can make, for orthogonal columns; exact for the identity.
    """
    block = problem.pranc.blocks[k]
    theta = (torch.from_numpy(np.ascontiguousarray(matrix)).float() / block.scale).flatten()
    alpha = block.basis.project(theta)
    unit = block.basis.expand(alpha)
    problem.alphas[k] = alpha * ((unit @ theta) / (unit @ unit).clamp(min=1e-12))


def _start_context(units: int, count: int, rng: np.random.Generator) -> list[NDArray[np.float64]]:
    """A context network to begin with: centre 0, a scale that grows with the neighbours' sizes.

    The rest of the units is random; level and number of the plane count nothing yet.
    """
    first = np.zeros((units, count + OTHER_INPUTS + 1))
    first[:, : count + 4] = rng.uniform(-0.15, 0.15, (units, count + 4))
    second = np.zeros((units, units + 1))
    second[:, :-1] = rng.normal(size=(units, units)) * 0.5 / math.sqrt(units)
    last = np.zeros((2, units + 1))
    # Left, above, and the values of two planes before; as two rectified halves each.
    left, above = NEIGHBOURS.index((0, -1)), NEIGHBOURS.index((-1, 0))
    neighbours = ((left, 1.0), (above, 1.0), (count, 0.5), (count + 3, 0.3))[: units // 2]
    for unit, (place, weight) in enumerate(neighbours):
        first[2 * unit : 2 * unit + 2] = 0
        first[2 * unit, place], first[2 * unit + 1, place] = weight, -weight
    # log₂ of the scale, from -2.5 where all are 0: concave, in three pieces.
    for unit, (threshold, slope) in enumerate(((0.0, 1.5), (1.0, -1.1), (4.0, -0.3))):
        second[unit] = 0
        second[unit, : 2 * len(neighbours)], second[unit, -1] = 1, -threshold
        last[1, unit] = slope
    last[1, -1] = -2.5
    return [first, second, last]


def warm_up_steps(steps: int) -> int:
    """Steps at each of the smaller sizes, before so many at the whole.

    After 130 steps at the whole 240 of these are 0.25 dB ahead of 120, for a fifth more time; with
    1,200 and 1,300 steps 400 are 0.07 dB ahead of 800 after equal time.

    >>> warm_up_steps(100), warm_up_steps(2500)
    (120, 600)
    """
    return round(12 * math.sqrt(steps))


def warm_up(problem: PyramidProblem, weight: float, steps: int, advance: Advance) -> bool:
    """Train on the picture at half its size, from where `problem` is, and carry that over.

    λ, `weight`, stays. Returns False if there is no such picture.
    """
    half = _halve(problem)
    if half is None:
        return False
    _carry(problem, half)
    # The same bits are four times as many a pixel there.
    warm_up(half, weight / 4, steps, advance)
    optimizer = Optimizer(half)
    for step in range(steps):
        rate = learning_rate(step, steps, WARM_LAST)
        temperature = WARM_HOT + (WARM_COLD - WARM_HOT) * (step / steps)
        error, _ = optimizer.step(
            weight / 4, temperature, NETWORK_RATE * rate, WARM_LATENT_RATE * rate
        )
        advance(half.pixels, half.psnr(error))
    _carry(half, problem)
    _set_finest(problem, weight)
    return True


def _halve(problem: PyramidProblem) -> PyramidProblem | None:
    """The picture at half its size, each sample the mean of four, with all planes but the finest
    and without filters. None if it is too small, or has more than one set of planes."""
    levels, sets = problem.architecture.levels, problem.architecture.sets
    small = min(problem.width, problem.height) < LEAST_SIDE
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


def _carry(source: PyramidProblem, to: PyramidProblem) -> None:
    """Give the planes and networks of a problem to the same at half, or twice, its size.

    A plane's level, one more at twice the size, scales its values. The context network is told a
    level by its distance from the finest: so it need not guess what it has not seen, the finest
    plane of the larger picture, which cost eight times the budget (kodim19). Filters see pixels,
    and have no such likeness.
    """
    common = min(len(source.planes), len(to.planes))
    octaves = to.planes[0].level - source.planes[0].level
    for k in range(common):
        to.planes[k].inner(to.y)[:] = source.planes[k].inner(source.y)
    first, own = (p.pranc.matrices(p.alphas)[0].double().numpy() for p in (source, to))
    own[:, :common] = first[:, :common] * 2.0**octaves
    own[:, -1] = first[:, -1]
    _set_layer(to, 0, own)
    for k in (*range(1, to.architecture.mixed_blocks), -3, -2, -1):
        to.alphas[k] = source.alphas[k].clone()


def _set_finest(problem: PyramidProblem, weight: float) -> None:
    """Lay into the finest plane what luma lacks without it, and adapt the linear layer."""
    finest = len(problem.planes) - 1
    problem.planes[finest].inner(problem.y)[:] = 0
    mixed = problem.architecture.mixed_blocks
    matrices = problem.pranc.matrices(problem.alphas)[:mixed]
    *hidden, linear = (matrix.numpy() for matrix in matrices)
    z = problem.features(problem.y, np.arange(problem.pixels))
    shown = linear[:, :-1] @ _sines(hidden, z) + linear[:, -1:]
    rest = _components(problem.target - shown.reshape(problem.target.shape))[0]
    _set_plane(problem, finest, rest, weight)
    rng = np.random.default_rng(problem.header.seed)
    hidden = [matrix.astype(np.float64) for matrix in hidden]
    _set_layer(problem, mixed - 1, _linear_layer(problem, hidden, rng))
