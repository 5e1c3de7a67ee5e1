"""The curvature of the loss by one layer's coefficients: Gauss-Newton blocks and their factors.

It tells which directions of coefficients the picture feels. Steps and rounding work in that metric.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inrcodec.families.siren.fit.problem import Problem
from inrcodec.optim.curvature import factorize

LIMIT_GROUP = 6144
"""Most coefficients of one block of the curvature: its factor costs 6144³/3 operations."""

DAMPING = 1e-3
"""Added to the curvature, in units of the loss at the fit: how far its flattest directions, where
the quadratic model is least true, may be used. Three times more or less changes nothing (kodim05
and kodim15), thirty times more costs."""

CHUNK = 1 << 23
"""Entries of the Jacobian that exist at one time."""


@dataclass(frozen=True, eq=False)
class Group:
    """A stretch of a layer's coefficients with the lower Cholesky factor of its curvature.

    `factor` is (stop - start, stop - start) float64.
    """

    start: int
    stop: int
    factor: NDArray[np.float64]


def curvature(
    problem: Problem, alphas: Sequence[Tensor], pixels: int, layers: Sequence[int]
) -> list[list[Group]]:
    """The Gauss-Newton curvature of the mean squared error at α, a list of groups for each layer.

    It is taken from a sample of `pixels` pixels, of whose channels one sum with random signs is
    looked at: its square is that of all channels in the mean. A layer above `LIMIT_GROUP`
    coefficients has equal groups, whose ties with each other are left out.
    """
    bounds = [_bounds(len(alphas[layer])) for layer in layers]
    sums = [[np.zeros((b - a, b - a), np.float32) for a, b in layer] for layer in bounds]
    generator = torch.Generator().manual_seed(problem.header.seed)
    drawn = torch.randperm(len(problem.targets), generator=generator)[:pixels]
    channels = problem.targets.shape[1]
    signs = 2.0 * torch.randint(2, (len(drawn), channels), generator=generator) - 1
    longest = max(len(alphas[layer]) for layer in layers)
    size = max(1, CHUNK // longest)
    for part, sign in zip(drawn.split(size), signs.split(size), strict=True):
        part, sign = part.to(problem.device), sign.to(problem.device)
        rows = problem.derivatives(alphas, part, sign, layers)
        for layer_sums, layer_bounds, J in zip(sums, bounds, rows, strict=True):
            for total, (start, stop) in zip(layer_sums, layer_bounds, strict=True):
                total += _gram(J[:, start:stop])
    damping = DAMPING * problem.gradient(alphas, problem.sample())[0]
    return [
        [
            Group(start, stop, factorize(_damped(total / (len(drawn) * channels), damping)))
            for total, (start, stop) in zip(layer_sums, layer_bounds, strict=True)
        ]
        for layer_sums, layer_bounds in zip(sums, bounds, strict=True)
    ]


def sensitivity(groups: Sequence[Group]) -> NDArray[np.float64]:
    """Each coefficient's curvature (k,) once all earlier ones of its group have adapted to it."""
    return np.concatenate([group.factor.diagonal() ** 2 for group in groups])


def _damped(matrix: NDArray[Any], damping: float) -> NDArray[np.float64]:
    damped = matrix.astype(np.float64)
    # The rounding errors of float32 sums must not make it indefinite.
    floor = max(damping, 1e-7 * float(damped.diagonal().max()), 1e-12)
    damped[np.diag_indices_from(damped)] += floor
    return damped


def _gram(rows: Tensor) -> NDArray[np.float32]:
    if rows.is_cuda:
        return (rows.T @ rows).cpu().numpy()
    # NumPy sees that both sides are one array, and computes only half of the product.
    array = np.ascontiguousarray(rows.numpy())
    product: NDArray[np.float32] = array.T @ array
    return product


def _bounds(k: int) -> list[tuple[int, int]]:
    """Equal stretches of at most `LIMIT_GROUP` of k coefficients.

    >>> _bounds(100), _bounds(13000)
    ([(0, 100)], [(0, 4333), (4333, 8667), (8667, 13000)])
    """
    parts = -(-k // LIMIT_GROUP)
    cuts = [round(k * i / parts) for i in range(parts + 1)]
    return list(pairwise(cuts))
