"""How much a pyramid's loss feels each direction of a layer's coefficients.

The synthesis is least squares: its curvature is Gauss-Newton's. That of the context network, whose
loss is a code length, is Fisher's information, from the gradients of single latents' bits.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from inrcodec.families.pyramid.fit.problem import PyramidProblem
from inrcodec.families.pyramid.kernels.rate import SCALE_LEAST, SCALE_MOST
from inrcodec.families.pyramid.latents import BORDER, Parents
from inrcodec.families.pyramid.shape import NEIGHBOURS
from inrcodec.optim.curvature import factorize

Matrix = NDArray[np.float32]

PIXELS = 1 << 14
"""Sample of pixels for the synthesis: each has one row, channels summed with random signs."""

LATENTS = 1 << 15
"""Sample of latents for the context network."""

DAMPING = 1e-3
"""Added to the curvature's diagonal, as a share of its mean."""


def curvature_factor(
    problem: PyramidProblem, index: int, weight: float, seed: int
) -> NDArray[np.float64]:
    """The lower Cholesky factor (k, k) of the curvature of error + `weight` · bits per pixel.

    It is that by the coefficients of block `index`, at the latents of the last loss; the filters of
    planes, a few taps each, get the identity.
    """
    if index == problem.plane_filters:
        return np.eye(len(problem.alphas[index]))
    rng = np.random.default_rng(seed)
    block = problem.pranc.blocks[index]
    matrices = [m.numpy() for m in problem.pranc.matrices([a.detach() for a in problem.alphas])]
    if index < problem.architecture.synthesis_blocks:
        rows, scale = _synthesis_rows(problem, index, matrices, rng)
    else:
        rows, scale = _context_rows(problem, index, matrices, rng)
        scale *= weight * math.log(2) / problem.pixels
    k = len(problem.alphas[index])
    basis = block.basis.expand(torch.eye(k)).view(block.rows, -1, k) * block.scale[:, :, None]
    rows = rows @ basis.flatten(0, 1).numpy()
    curvature = (rows.T @ rows).astype(np.float64) * scale
    curvature[np.diag_indices(k)] += DAMPING * curvature.diagonal().mean() + 1e-12
    return factorize(curvature)


def _synthesis_rows(
    problem: PyramidProblem, index: int, matrices: list[Matrix], rng: np.random.Generator
) -> tuple[Matrix, float]:
    """Derivatives (N, parameters) of sampled pixels, and what their squares count in the error.

    A filter is near the identity, and counts as such below it.
    """
    chosen = rng.choice(problem.pixels, min(PIXELS, problem.pixels), replace=False)
    mixed = problem.architecture.mixed_blocks
    *hidden, last = matrices[:mixed]
    ones = np.ones((len(chosen), 1), np.float32)
    below = [np.concatenate([problem.features(problem.q, chosen).T, ones], axis=1)]
    slopes = []
    for matrix in hidden:
        angles = below[-1] @ matrix.T
        slopes.append(np.cos(angles))
        below.append(np.concatenate([np.sin(angles), ones], axis=1))
    first: Matrix = rng.choice([-1.0, 1.0], (len(chosen), len(last))).astype(np.float32)
    if index == mixed:
        second = np.concatenate([_seen(problem, chosen), ones], axis=1)
    else:
        second = below[index]
        for k in reversed(range(index, mixed - 1)):
            first = (first @ matrices[k + 1][:, :-1]) * slopes[k]
    return _outer(first, second), 1 / len(chosen) / len(last)


def _seen(problem: PyramidProblem, chosen: NDArray[np.int64]) -> Matrix:
    """What the filter sees at N pixels, in the order of its columns."""
    y, x = np.divmod(chosen, problem.width)
    rows = np.clip(y[:, None] + np.arange(-1, 2), 0, problem.height - 1)
    cols = np.clip(x[:, None] + np.arange(-1, 2), 0, problem.width - 1)
    seen = problem.unfiltered()[:, rows[:, :, None], cols[:, None, :]]
    return np.ascontiguousarray(seen.transpose(1, 0, 2, 3).reshape(len(chosen), -1))


def _context_rows(
    problem: PyramidProblem, index: int, matrices: list[Matrix], rng: np.random.Generator
) -> tuple[Matrix, float]:
    """Gradients (N, parameters) of sampled latents' bits, and how many latents each stands for."""
    count = sum(plane.shape[0] * plane.shape[1] for plane in problem.planes)
    share = min(1.0, LATENTS / count)
    inputs, values = [], []
    for k, plane in enumerate(problem.planes):
        size = plane.shape[0] * plane.shape[1]
        chosen = rng.choice(size, max(1, round(share * size)), replace=False)
        rows, cols = np.divmod(chosen, plane.shape[1])
        inputs.append(_context_inputs(problem, k, rows, cols))
        values.append(plane.inner(problem.q)[rows, cols])
    x, value = np.concatenate(inputs), np.concatenate(values)
    w1, w2, w3 = matrices[-3:]
    ones = np.ones((len(x), 1), np.float32)
    x = np.concatenate([x, ones], axis=1)
    h1 = np.concatenate([np.maximum(x @ w1.T, 0), ones], axis=1)
    h2 = np.concatenate([np.maximum(h1 @ w2.T, 0), ones], axis=1)
    g = _bits_gradient(h2 @ w3.T, value)
    below = h2
    if index <= len(matrices) - 2:
        g, below = g @ w3[:, :-1] * (h2[:, :-1] > 0), h1
    if index <= len(matrices) - 3:
        g, below = g @ w2[:, :-1] * (h1[:, :-1] > 0), x
    return _outer(g, below), count / len(x)


def _context_inputs(
    problem: PyramidProblem, k: int, rows: NDArray[np.int64], cols: NDArray[np.int64]
) -> Matrix:
    """What the context network sees at N latents of plane k (N, inputs), as in `context_rate`."""
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


def _bits_gradient(out: Matrix, value: Matrix) -> Matrix:
    """Of a latent's bits by the centre and the log₂ scale of its Laplace distribution (N, 2)."""
    scale = np.clip(out[:, 1], SCALE_LEAST, SCALE_MOST)
    per_s = np.exp2(-scale)
    d = np.abs(value - out[:, 0])
    e1, e2 = np.exp(-np.abs(d - 0.5) * per_s), np.exp(-(d + 0.5) * per_s)
    probability = np.where(d > 0.5, 0.5 * (e1 - e2), 1 - 0.5 * (e1 + e2)) + 2e-7
    slope = 0.5 * math.log2(math.e) / probability
    by_centre = -slope * per_s * (e1 - e2) * np.sign(value - out[:, 0])
    by_scale = slope * ((0.5 - d) * e1 + (d + 0.5) * e2) * per_s * math.log(2)
    by_scale = np.where(scale == out[:, 1], by_scale, 0)
    gradient: Matrix = np.stack([by_centre, by_scale], axis=1).astype(np.float32)
    return gradient


def _outer(first: Matrix, second: Matrix) -> Matrix:
    """Row by row, the entries of first · secondᵀ, as a block's parameters lie."""
    rows: Matrix = (first[:, :, None] * second[:, None, :]).reshape(len(first), -1)
    return rows
