"""Curvature of the loss by a layer's coefficients: Gauss-Newton blocks and their Cholesky factors.

The curvature says how much a change of the coefficients costs. Step sizes are chosen and
coefficients rounded in its metric.
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
from inrcodec.families.siren.settings import CurvatureSettings

CHUNK = 1 << 23
"""Maximum number of entries of the Jacobian in memory at one time."""

RELATIVE_FLOOR = 1e-7
"""Least damping as a share of the largest diagonal entry: the rounding error of float32 sums."""


@dataclass(frozen=True, eq=False)
class Group:
    """A range of a layer's coefficients with the lower Cholesky factor of its curvature.

    Attributes:
        start: its first coefficient.
        stop: the first coefficient after it.
        factor: (stop - start, stop - start) float64.
    """

    start: int
    stop: int
    factor: NDArray[np.float64]


def curvature(
    problem: Problem,
    alphas: Sequence[Tensor],
    pixels: int,
    layers: Sequence[int],
    settings: CurvatureSettings,
) -> list[list[Group]]:
    """The Gauss-Newton curvature of the mean squared error at α: a list of groups for each layer.

    It is estimated from a random sample of `pixels` pixels. Of each, one sum of the outputs with
    random signs is differentiated, whose expected square is that of all outputs. A layer of more
    than `settings.limit_group` coefficients has several groups of equal size, without the curvature
    between them.
    """
    limit = settings.limit_group
    bounds = [group_bounds(len(alphas[layer]), limit) for layer in layers]
    sums = [[np.zeros((b - a, b - a), np.float32) for a, b in layer] for layer in bounds]
    generator = torch.Generator().manual_seed(problem.header.seed)
    drawn = torch.randperm(len(problem.targets), generator=generator)[:pixels]
    outputs = problem.targets.shape[1]
    signs = 2.0 * torch.randint(2, (len(drawn), outputs), generator=generator) - 1
    longest = max(len(alphas[layer]) for layer in layers)
    size = max(1, CHUNK // longest)
    for part, sign in zip(drawn.split(size), signs.split(size), strict=True):
        part, sign = part.to(problem.device), sign.to(problem.device)
        rows = problem.derivatives(alphas, part, sign, layers)
        for layer_sums, layer_bounds, J in zip(sums, bounds, rows, strict=True):
            for total, (start, stop) in zip(layer_sums, layer_bounds, strict=True):
                total += _gram(J[:, start:stop])
    damping = settings.damping * problem.gradient(alphas, problem.sample())[0]
    samples = len(drawn) * outputs
    return [
        [
            Group(start, stop, settings.factorize(_damped(total / samples, damping)))
            for total, (start, stop) in zip(layer_sums, layer_bounds, strict=True)
        ]
        for layer_sums, layer_bounds in zip(sums, bounds, strict=True)
    ]


def sensitivity(groups: Sequence[Group]) -> NDArray[np.float64]:
    """Curvature (k,) of each coefficient where all earlier ones of its group are optimal for it."""
    return np.concatenate([group.factor.diagonal() ** 2 for group in groups])


def _damped(matrix: NDArray[Any], damping: float) -> NDArray[np.float64]:
    damped = matrix.astype(np.float64)
    # Rounding errors of float32 sums must not make it indefinite.
    floor = max(damping, RELATIVE_FLOOR * float(damped.diagonal().max()), 1e-12)
    damped[np.diag_indices_from(damped)] += floor
    return damped


def _gram(rows: Tensor) -> NDArray[np.float32]:
    if rows.is_cuda:
        return (rows.T @ rows).cpu().numpy()
    # Where both operands are one array, NumPy computes only half of the product.
    array = np.ascontiguousarray(rows.numpy())
    product: NDArray[np.float32] = array.T @ array
    return product


def group_bounds(k: int, limit: int) -> list[tuple[int, int]]:
    """Equal ranges of at most `limit` of k coefficients, as few as possible.

    >>> group_bounds(100, 6144), group_bounds(13000, 6144)
    ([(0, 100)], [(0, 4333), (4333, 8667), (8667, 13000)])
    """
    parts = -(-k // limit)
    cuts = [round(k * i / parts) for i in range(parts + 1)]
    return list(pairwise(cuts))
