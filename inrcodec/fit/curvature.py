"""The curvature of the loss at a fit: Gauss-Newton blocks over all coefficients, and their factors.

It tells which directions of coefficients the picture feels. Steps, noise and rounding all work in
that metric: without it the same bytes hold 0.8 dB less (kodim15 at 384x256, 0.27 bits per pixel,
effort 2: `inrcodec:effort=2:variation=no-compensation` in `python -m eval rd`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inrcodec.fit.problem import Problem

LIMIT_GROUP = 6144
"""Most coefficients of one block of the curvature: its factor costs 6144³/3 operations."""

DAMPING = 1e-3
"""Added to the curvature, in units of the loss at the fit: how far its flattest directions, where
the quadratic model is least true, may be used. Measured on kodim15 at 384x256."""

CHUNK = 1 << 24
"""Entries of the Jacobian that exist at one time."""


@dataclass(frozen=True, eq=False)
class Group:
    """A stretch of the concatenated coefficients with the lower Cholesky factor of its curvature.

    `factor` is (stop - start, stop - start) float64.
    """

    start: int
    stop: int
    factor: NDArray[np.float64]


def curvature(problem: Problem, alphas: Sequence[Tensor], pixels: int) -> list[Group]:
    """The Gauss-Newton curvature of the mean squared error at α, from a sample of `pixels` pixels.

    A group spans whole layers where they fit into `LIMIT_GROUP`, else equal parts of one.
    """
    groups = _groups([len(alpha) for alpha in alphas])
    sums = [np.zeros((stop - start, stop - start), np.float32) for start, stop in groups]
    generator = torch.Generator().manual_seed(problem.header.seed)
    drawn = torch.randperm(len(problem.targets), generator=generator)[:pixels]
    k = sum(len(alpha) for alpha in alphas)
    channels = problem.targets.shape[1]
    rows = 0
    for part in drawn.split(max(1, CHUNK // (k * channels))):
        derivatives = torch.cat(problem.jacobian(alphas, part.to(problem.device)), dim=1)
        rows += len(derivatives)
        for total, (start, stop) in zip(sums, groups, strict=True):
            total += _gram(derivatives[:, start:stop])
    damping = DAMPING * float(problem.loss([alpha.detach() for alpha in alphas], problem.sample()))
    factors = []
    for (start, stop), total in zip(groups, sums, strict=True):
        matrix = total.astype(np.float64) / rows
        # The rounding errors of float32 sums must not make it indefinite.
        floor = max(damping, 1e-7 * float(matrix.diagonal().max()), 1e-12)
        matrix[np.diag_indices_from(matrix)] += floor
        factors.append(Group(start, stop, factorize(matrix)))
    return factors


def factorize(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The lower Cholesky factor of a positive definite matrix (k, k)."""
    return np.linalg.cholesky(matrix).astype(np.float64)


def sensitivity(groups: Sequence[Group]) -> NDArray[np.float64]:
    """Each coefficient's curvature (k,) once all earlier ones have adapted to it."""
    return np.concatenate([group.factor.diagonal() ** 2 for group in groups])


def _gram(rows: Tensor) -> NDArray[np.float32]:
    if rows.is_cuda:
        return (rows.T @ rows).cpu().numpy()
    # NumPy sees that both sides are one array, and computes only half of the product.
    array = np.ascontiguousarray(rows.numpy())
    product: NDArray[np.float32] = array.T @ array
    return product


def _groups(sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Stretches of consecutive layers of at most `LIMIT_GROUP` coefficients.

    >>> _groups([100, 3000, 3000, 3000, 13000])
    [(0, 6100), (6100, 9100), (9100, 13433), (13433, 17767), (17767, 22100)]
    """
    groups: list[tuple[int, int]] = []
    offset = 0
    for size in sizes:
        if groups and offset + size - groups[-1][0] <= LIMIT_GROUP:
            groups[-1] = (groups[-1][0], offset + size)
        else:
            parts = -(-size // LIMIT_GROUP)
            cuts = [offset + round(size * i / parts) for i in range(parts + 1)]
            groups += pairwise(cuts)
        offset += size
    return groups
