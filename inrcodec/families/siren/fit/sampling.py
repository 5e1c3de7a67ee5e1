"""Pixels of a training step: a stratified sample of the picture."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.int64]

Sampler = Callable[[np.random.Generator, int, int, int], Pixels]
"""From a generator, height, width and the size of a batch to the indices of pixels."""


def stratified(rng: np.random.Generator, height: int, width: int, batch: int) -> Pixels:
    """One pixel from each cell of a grid of about `batch` cells; all pixels if they are as many.

    Indices count row by row; there are at most `batch`, which is at most height × width.

    >>> stratified(np.random.default_rng(0), 2, 3, 6)
    array([0, 1, 2, 3, 4, 5])
    >>> (stratified(np.random.default_rng(0), 4, 4, 4) // 8).tolist()
    [0, 0, 1, 1]
    """
    if batch == height * width:
        return np.arange(batch)
    rows = min(height, max(1, round(math.sqrt(batch * height / width))))
    cols = min(width, batch // rows)
    y, x = rng.random((2, rows, cols), np.float32)
    y = (np.arange(rows)[:, None] + y) * (height / rows)
    x = (np.arange(cols) + x) * (width / cols)
    # A float just below the end of a cell may be rounded up to it.
    y, x = np.minimum(y.astype(np.int64), height - 1), np.minimum(x.astype(np.int64), width - 1)
    pixels: Pixels = (y * width + x).ravel()
    return pixels


def independent(rng: np.random.Generator, height: int, width: int, batch: int) -> Pixels:
    """Independent uniform draws of `batch` pixels from the whole picture."""
    return rng.integers(0, height * width, batch)
