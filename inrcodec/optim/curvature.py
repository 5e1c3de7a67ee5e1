"""Cholesky factors of a curvature that float32 sums may have made indefinite."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LIMIT_RAISES = 8
"""Maximum number of times that the diagonal is raised, by ten times as much each time."""


def factorize(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The lower Cholesky factor of a matrix (k, k) that is positive definite but for rounding.

    Where rounding errors of float32 sums have made it indefinite, its diagonal is raised until it
    is positive definite. That happens for pictures that hardly constrain the coefficients, for
    example a line of one colour.
    """
    raised, more = matrix, 1e-7 * float(matrix.diagonal().max())
    for _ in range(LIMIT_RAISES):
        try:
            return np.linalg.cholesky(raised).astype(np.float64)
        except np.linalg.LinAlgError:
            raised, more = raised + more * np.eye(len(matrix)), 10 * more
    return np.linalg.cholesky(raised).astype(np.float64)
