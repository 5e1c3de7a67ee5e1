"""The filter over the picture, its squared error and its gradients (fused kernels)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inrcodec.families.pyramid.fit.bands import Bands
from inrcodec.families.pyramid.kernels import output_filter as kernels

Array = NDArray[np.float32]


class OutputFilter:
    """The picture before its filter, and the gradients before and behind it.

    Arrays are (C, H, W + 2): the kernels need a column at either side.
    """

    def __init__(self, target: Array, bands: Bands) -> None:
        """Lay out the buffers for samples `target` (C, H, W)."""
        self._target, self._bands = target, bands
        channels, height, width = target.shape
        arrays = np.zeros((3, channels, height, width + 2), np.float32)
        self._picture, self._d_picture, self._d_filtered = arrays

    @property
    def picture(self) -> Array:
        """The picture before the filter (C, H, W), to be written and read."""
        inner: Array = self._picture[:, :, 1:-1]
        return inner

    @property
    def gradient(self) -> Array:
        """The gradient by this picture (C, H, W)."""
        inner: Array = self._d_picture[:, :, 1:-1]
        return inner

    def spread(self, index: int) -> None:
        """Repeat the outermost pixels of band `index` beside them, after it was written."""
        kernels.spread_rows(self._picture, *self._band(index))

    def squares(self, index: int, weight: float, taps: tuple[Array, ...]) -> float:
        """Sum of squared errors of band `index` after the filter with weight and bias `taps`.

        All bands must have been spread. `weight` is that of a square in the loss.
        """
        w, b = taps
        first, last = self._band(index)
        squares: float = kernels.filter_error(
            self._picture, w, b, self._target, np.float32(weight), self._d_filtered, first, last
        )
        return squares

    def backward(self, index: int, weight: Array, gradient: tuple[Array, ...]) -> None:
        """Compute band `index` of `gradient` from the last errors of all bands, with the filter's
        `weight`, and add to the `gradient` by weight and bias."""
        dw, db = gradient
        first, last = self._band(index)
        kernels.filter_gradient(self._picture, self._d_filtered, dw, db, first, last)
        kernels.filter_rows_back(self._d_filtered, weight, self._d_picture, first, last)

    def _band(self, index: int) -> tuple[int, int]:
        return self._bands.of(self._target.shape[1], index)
