"""How much the loss of a pyramid rises with each direction of a block's coefficients.

The curvature of the synthesis, which is least squares, is Gauss-Newton's. That of the context
network, whose loss is a code length, is Fisher's information, from gradients of single latents'
bits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from inrcodec.families.pyramid.fit.options import CURVATURE, CurvatureSettings
from inrcodec.families.pyramid.fit.problem import PyramidProblem
from inrcodec.families.pyramid.latents import BORDER, Parents
from inrcodec.families.pyramid.shape import NEIGHBOURS
from inrcodec.kernels.reference import laplace_slopes

Matrix = NDArray[np.float32]
Rng = np.random.Generator


def curvature_factor(
    problem: PyramidProblem,
    index: int,
    weight: float,
    seed: int,
    settings: CurvatureSettings = CURVATURE,
) -> NDArray[np.float64]:
    """The lower Cholesky factor (k, k) of the curvature of error + `weight` · bits per pixel.

    The curvature is that by the coefficients of block `index`, at the latents of the last loss. The
    filters of planes, which have a few taps each, get the identity.
    """
    if index == problem.plane_filters:
        return np.eye(len(problem.alphas[index]))
    rng = np.random.default_rng(seed)
    block = problem.pranc.blocks[index]
    matrices = [m.numpy() for m in problem.pranc.matrices([a.detach() for a in problem.alphas])]
    if index < problem.architecture.synthesis_blocks:
        rows, scale = _synthesis_rows(problem, index, matrices, rng, settings.pixels)
    else:
        rows, scale = _context_rows(problem, index, matrices, rng, settings.latents)
        scale *= weight * math.log(2) / problem.pixels
    k = len(problem.alphas[index])
    basis = block.basis.expand(torch.eye(k)).view(block.rows, -1, k) * block.scale[:, :, None]
    rows = rows @ basis.flatten(0, 1).numpy()
    curvature = (rows.T @ rows).astype(np.float64) * scale
    curvature[np.diag_indices(k)] += settings.damping * curvature.diagonal().mean() + 1e-12
    return settings.factorize(curvature)


def _synthesis_rows(
    problem: PyramidProblem, index: int, matrices: Sequence[Matrix], rng: Rng, sample: int
) -> tuple[Matrix, float]:
    """Derivatives (N, parameters) of sampled pixels, and the weight of their squares in the error.

    The channels of a pixel are summed with random signs. An output filter is near the identity, and
    counts as such for the blocks below it.
    """
    chosen = rng.choice(problem.pixels, min(sample, problem.pixels), replace=False)
    mixed = problem.architecture.mixed_blocks
    *hidden, last = matrices[:mixed]
    below = [_with_ones(problem.features(problem.q, chosen).T)]
    slopes = []
    for matrix in hidden:
        angles = below[-1] @ matrix.T
        slopes.append(np.cos(angles))
        below.append(_with_ones(np.sin(angles)))
    first: Matrix = rng.choice([-1.0, 1.0], (len(chosen), len(last))).astype(np.float32)
    if index == mixed:
        second = _with_ones(_filter_inputs(problem, chosen))
    else:
        second = below[index]
        for k in reversed(range(index, mixed - 1)):
            first = (first @ matrices[k + 1][:, :-1]) * slopes[k]
    return _outer(first, second), 1 / len(chosen) / len(last)


def _filter_inputs(problem: PyramidProblem, chosen: NDArray[np.int64]) -> Matrix:
    """Inputs of the output filter at N pixels (N, 9 · C), in the order of its columns."""
    y, x = np.divmod(chosen, problem.width)
    rows = np.clip(y[:, None] + np.arange(-1, 2), 0, problem.height - 1)
    cols = np.clip(x[:, None] + np.arange(-1, 2), 0, problem.width - 1)
    seen = problem.unfiltered()[:, rows[:, :, None], cols[:, None, :]]
    return np.ascontiguousarray(seen.transpose(1, 0, 2, 3).reshape(len(chosen), -1))


def _context_rows(
    problem: PyramidProblem, index: int, matrices: Sequence[Matrix], rng: Rng, sample: int
) -> tuple[Matrix, float]:
    """Gradients (N, parameters) of sampled latents' bits, and how many latents each stands for."""
    x, value, count = _sampled_latents(problem, rng, sample)
    w1, w2, w3 = matrices[-3:]
    h1 = _with_ones(np.maximum(x @ w1.T, 0))
    h2 = _with_ones(np.maximum(h1 @ w2.T, 0))
    _, by_centre, by_scale = laplace_slopes(value, *(h2 @ w3.T).T)
    g = np.stack([by_centre, by_scale], axis=1).astype(np.float32)
    below = h2
    if index <= len(matrices) - 2:
        g, below = g @ w3[:, :-1] * (h2[:, :-1] > 0), h1
    if index <= len(matrices) - 3:
        g, below = g @ w2[:, :-1] * (h1[:, :-1] > 0), x
    return _outer(g, below), count / len(x)


def _sampled_latents(problem: PyramidProblem, rng: Rng, sample: int) -> tuple[Matrix, Matrix, int]:
    """Inputs of the context network, with a 1 behind them (N, inputs + 1), and values (N,) of about
    `sample` latents, and the number of all latents.

    Each plane has its share of the sample, and one latent at least.
    """
    count = sum(plane.shape[0] * plane.shape[1] for plane in problem.planes)
    share = min(1.0, sample / count)
    inputs, values = [], []
    for k, plane in enumerate(problem.planes):
        size = plane.shape[0] * plane.shape[1]
        chosen = rng.choice(size, max(1, round(share * size)), replace=False)
        rows, cols = np.divmod(chosen, plane.shape[1])
        inputs.append(_context_inputs(problem, k, rows, cols))
        values.append(plane.inner(problem.q)[rows, cols])
    return _with_ones(np.concatenate(inputs)), np.concatenate(values), count


def _context_inputs(
    problem: PyramidProblem, k: int, rows: NDArray[np.int64], cols: NDArray[np.int64]
) -> Matrix:
    """Inputs of the context network at N latents of plane k (N, inputs); see `kernels.rate`."""
    plane = problem.planes[k]
    view = plane.view(problem.q)
    places = NEIGHBOURS[: problem.architecture.neighbours]
    inputs = [view[rows + BORDER + dy, cols + BORDER + dx] for dy, dx in places]

    def parent(parents: Parents, row: int, col: int) -> Matrix:
        if parents.plane is None:
            return np.zeros(len(rows), np.float32)
        other = problem.planes[parents.plane].view(problem.q)
        values: Matrix = other[parents.rows[rows, row], parents.cols[cols, col]]
        return values

    inputs += [parent(plane.near, *place) for place in ((0, 0), (0, 1), (1, 0))]
    inputs.append(parent(plane.far, 0, 0))
    inputs += [np.full(len(rows), value, np.float32) for value in (plane.level, plane.later)]
    return np.stack(inputs, axis=1)


def _with_ones(values: Matrix) -> Matrix:
    """Inputs of a layer (N, units), and a column of ones for its bias."""
    return np.concatenate([values, np.ones((len(values), 1), np.float32)], axis=1)


def _outer(first: Matrix, second: Matrix) -> Matrix:
    """The entries of first · secondᵀ for each row, in the order of a block's parameters."""
    rows: Matrix = (first[:, :, None] * second[:, None, :]).reshape(len(first), -1)
    return rows
