"""A start in closed form: a Laplacian pyramid of luma and chroma, and networks that add it up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from inrcodec.families.pyramid.fit.geometry import contract, expand
from inrcodec.families.pyramid.fit.options import START, StartSettings
from inrcodec.families.pyramid.fit.problem import Array, PyramidProblem
from inrcodec.families.pyramid.fit.start.context import initial_context
from inrcodec.families.pyramid.shape import Pyramid

Matrix = NDArray[np.float64]
F = TypeVar("F", np.float32, np.float64)


def start(
    problem: PyramidProblem, weight: float, seed: int, settings: StartSettings = START
) -> None:
    """Set all latents and coefficients, for λ = `weight`."""
    rest = [component.copy() for component in components(problem.target)]
    rng = np.random.default_rng(seed)
    spreads = []
    sets = problem.architecture.sets
    later = np.repeat(np.arange(len(sets))[::-1], sets)
    for k, plane in enumerate(problem.planes):
        channel = _channel(problem.architecture, k)
        ratio = 1 if channel == 0 else settings.chroma_ratio
        own = weight * settings.set_ratio ** later[k] * ratio
        delta = fill_plane(problem, k, rest[channel], own, settings)
        latents = np.round(plane.inner(problem.y))
        shown = latents.astype(np.float32) * np.float32(delta)
        rest[channel] -= expand(problem.geometry, k, shown)
        spreads.append(delta * 2.0**plane.level)
    _start_networks(problem, np.array(spreads), rng, settings)


def components(target: Array) -> list[Array]:
    """Luma and two colour differences (ITU-R BT.601), and alpha, each (H, W); the channels as they
    are where there are less than three."""
    if len(target) < 3:
        return list(target)
    matrix = np.array([[0.299, 0.587, 0.114], [-0.169, -0.331, 0.5], [0.5, -0.419, -0.081]])
    return [*np.tensordot(matrix, target[:3], 1).astype(np.float32), *target[3:]]


def fill_plane(
    problem: PyramidProblem, k: int, picture: Array, weight: float, settings: StartSettings = START
) -> float:
    """Set plane k to show a picture (H, W), and return the quantizer's step, which is its unit.

    At high rate the best step Δ satisfies λ = Δ² · 2 ln 2 / 12; twice this step measured better.
    """
    step = 2 * math.sqrt(12 * weight / (2 * math.log(2)))
    # A sample of a plane changes 4^level pixels, each by the square of its tap.
    power = float(np.square(problem.columns[k][1]).sum(1).mean()) ** 2
    delta = step / math.sqrt(power * 4.0 ** problem.planes[k].level)
    latents = _least_squares(problem, k, picture, settings) / delta
    latents = np.sign(latents) * np.maximum(np.abs(latents) - settings.shrinkage, 0)
    problem.planes[k].inner(problem.y)[:] = latents
    return delta


def linear_layer(
    problem: PyramidProblem,
    hidden: Sequence[Matrix],
    rng: np.random.Generator,
    settings: StartSettings = START,
) -> Matrix:
    """The linear layer with the least squared error over the sine layers `hidden`, for a sample of
    the pixels."""
    count = min(settings.fit_pixels, problem.pixels)
    chosen = rng.choice(problem.pixels, count, replace=False)
    features = problem.features(np.round(problem.y), chosen)
    sines = np.concatenate([sine_units(hidden, features), np.ones((1, len(chosen)))])
    wanted = problem.target.reshape(len(problem.target), -1)[:, chosen]
    normal = sines @ sines.T + settings.ridge * len(chosen) * np.eye(len(sines))
    return np.asarray(np.linalg.solve(normal, sines @ wanted.T).T, np.float64)


def sine_units(hidden: Sequence[NDArray[F]], z: Array) -> NDArray[F]:
    """Outputs (units, N) of the last of some sine layers, for features z (planes, N)."""
    h = z.astype(hidden[0].dtype)
    for matrix in hidden:
        h = np.sin(matrix[:, :-1] @ h + matrix[:, -1:])
    return h


def set_block(problem: PyramidProblem, k: int, matrix: Matrix) -> None:
    """Choose the coefficients that bring block k nearest to a matrix (rows, cols).

    The direction is that of the nearest point for a basis with orthogonal columns, the length the
    best for this direction; the identity gives the matrix itself.
    """
    block = problem.pranc.blocks[k]
    theta = (torch.from_numpy(np.ascontiguousarray(matrix)).float() / block.scale).flatten()
    alpha = block.basis.project(theta)
    unit = block.basis.expand(alpha)
    problem.alphas[k] = alpha * ((unit @ theta) / (unit @ unit).clamp(min=1e-12))


def _channel(architecture: Pyramid, k: int) -> int:
    """The component that plane k starts with: chroma for the first of two planes of one level,
    otherwise luma."""
    levels = architecture.levels
    double = k + 1 < len(levels) and levels[k + 1] == levels[k]
    return 1 if double and architecture.channels > 1 else 0


def _least_squares(
    problem: PyramidProblem, k: int, picture: Array, settings: StartSettings
) -> Array:
    """Values of plane k (h, w) that come near a picture (H, W), by Landweber's iteration."""
    norm = contract(problem.geometry, k, np.ones_like(picture))
    values = np.zeros(problem.planes[k].shape, np.float32)
    for _ in range(settings.iterations):
        error = picture - expand(problem.geometry, k, values)
        values += settings.iteration_rate * contract(problem.geometry, k, error) / norm
    return values


def _start_networks(
    problem: PyramidProblem,
    spreads: NDArray[np.float64],
    rng: np.random.Generator,
    settings: StartSettings,
) -> None:
    """Random sines of a moderate slope, a linear layer by least squares, and a first context
    network; `spreads` (planes,) scale the weights of each plane."""
    a = problem.architecture
    matrices: list[Matrix] = [np.zeros(shape) for shape in a.blocks]
    matrices[0][:, :-1] = rng.normal(size=(a.width, len(a.levels))) * spreads
    matrices[0][:, -1] = rng.uniform(-1, 1, a.width)
    if a.second:
        matrices[1][:, :-1] = rng.normal(size=(a.second, a.width)) / math.sqrt(a.width)
        matrices[1][:, -1] = rng.uniform(-1, 1, a.second)
    matrices[-3:] = initial_context(a.context, a.neighbours, rng)
    hidden = matrices[: a.mixed_blocks - 1]
    matrices[a.mixed_blocks - 1] = linear_layer(problem, hidden, rng, settings)
    for k, matrix in enumerate(matrices):
        set_block(problem, k, matrix)
