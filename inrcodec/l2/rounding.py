"""Rounding that compensates: each coefficient's error is undone by those not yet rounded.

With the curvature H = L Lᵀ of the loss, rounding to the nearest symbol one at a time, from the
last coefficient to the first, and moving the rest to where the loss is least again, is Babai's
nearest plane algorithm (1986); for networks it is known from OBQ (Frantar & Alistarh 2022).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BLOCK = 64
"""Coefficients whose errors are carried on one by one; further ones by one matrix product."""


def nearest_plane(
    values: NDArray[np.float64],
    factor: NDArray[np.float64],
    edge: float,
    scale: float,
    largest: int,
) -> NDArray[np.int32]:
    """Symbols (k,) of coefficients (k,), the last rounded first.

    `factor` is the lower Cholesky factor L (k, k) of the loss's curvature H = L Lᵀ. Coefficients
    within ±`edge` become 0, beyond it one symbol is one `scale` (the weight transform of L², Shi et
    al. 2023); magnitudes end at `largest`.

    >>> values = np.array([0.4, 0.4])
    >>> nearest_plane(values, np.eye(2), edge=0.5, scale=1.0, largest=9)
    array([0, 0], dtype=int32)
    >>> tied = np.linalg.cholesky(np.array([[1.0, 0.9], [0.9, 1.0]]))
    >>> nearest_plane(values, tied, edge=0.5, scale=1.0, largest=9)
    array([1, 0], dtype=int32)
    """
    k = len(values)
    symbols = np.zeros(k, np.int32)
    error = np.zeros(k)
    # Row i of R / R[i, i], R = Lᵀ: how coefficient i answers the errors of later ones.
    for stop in range(k, 0, -BLOCK):
        start = max(0, stop - BLOCK)
        inner = factor[start:stop, start:stop].T
        diagonal = inner.diagonal()
        answer = (factor[stop:, start:stop].T @ error[stop:]) / diagonal
        inner = inner / diagonal[:, None]
        block_error = np.zeros(stop - start)
        for i in range(stop - start - 1, -1, -1):
            at = start + i
            value = values[at] - answer[i] - inner[i, i + 1 :] @ block_error[i + 1 :]
            size = abs(value)
            if size > edge:
                m = min(largest, int(1 + (size - edge) / scale))
                symbols[at] = m if value > 0 else -m
                quantized = np.copysign(edge + (m - 0.5) * scale, value)
            else:
                quantized = 0.0
            # The error is against where it was to begin with, the others' answers included.
            block_error[i] = quantized - values[at]
        error[start:stop] = block_error
    return symbols
