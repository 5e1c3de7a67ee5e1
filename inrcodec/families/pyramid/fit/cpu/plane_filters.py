"""The filters along rows and columns of the planes, and their gradients (fused kernels)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inrcodec.families.pyramid.fit.bands import Bands
from inrcodec.families.pyramid.fit.cpu.arrays import ThreadGradients
from inrcodec.families.pyramid.fit.geometry import Geometry
from inrcodec.families.pyramid.kernels import plane_filter as kernels
from inrcodec.families.pyramid.latents import BORDER

Array = NDArray[np.float32]


class PlaneFilters:
    """All planes, filtered with the taps of each: along their rows, then along their columns.

    Attributes:
        filtered: the filtered planes, in the array of all latents.
    """

    def __init__(self, geometry: Geometry, bands: Bands) -> None:
        """Lay out the buffers."""
        self._planes, self._bands = geometry.planes, bands
        # Filtered planes, planes filtered along their rows alone, and the gradients by either.
        arrays = np.zeros((4, geometry.latents), np.float32)
        self.filtered, self._d_filtered, self._along, self._d_along = arrays

    def forward(self, q: Array, taps: Array) -> None:
        """Filter the planes of `q` with `taps` (planes, taps)."""
        # A column needs rows of other bands, so all wait for one another in between.
        self._bands.run(lambda index: self._filter_rows(index, q, taps))
        self._bands.run(lambda index: self._filter_columns(index, taps))

    def backward(self, q: Array, taps: Array, gradients: list[ThreadGradients]) -> None:
        """Add to the gradients by `q` and by the taps, from that by the filtered planes."""
        self._bands.run(lambda index: self._columns_back(index, taps, gradients[index]))
        self._bands.run(lambda index: self._rows_back(index, q, taps, gradients[index]))

    def cleared_gradient(self, index: int) -> Array:
        """The gradient by the filtered planes, to be added to, with band `index` set to 0."""
        for plane in self._planes:
            first, last = self._bands.of(plane.shape[0], index)
            plane.view(self._d_filtered)[first + BORDER : last + BORDER] = 0
        return self._d_filtered

    def _inner(self, array: Array, k: int) -> Array:
        """Plane k (h, w) of an array in which planes have no borders."""
        plane = self._planes[k]
        h, w = plane.shape
        return array[plane.start : plane.start + h * w].reshape(h, w)

    def _filter_rows(self, index: int, q: Array, taps: Array) -> None:
        for k, plane in enumerate(self._planes):
            band = self._bands.of(plane.shape[0], index)
            kernels.smooth_along(plane.view(q), BORDER, taps[k], self._inner(self._along, k), *band)

    def _filter_columns(self, index: int, taps: Array) -> None:
        for k, plane in enumerate(self._planes):
            band = self._bands.of(plane.shape[0], index)
            kernels.smooth_across(
                self._inner(self._along, k), taps[k], plane.view(self.filtered), BORDER, *band
            )

    def _columns_back(self, index: int, taps: Array, gradients: ThreadGradients) -> None:
        for k, plane in enumerate(self._planes):
            kernels.smooth_across_back(
                plane.view(self._d_filtered),
                self._inner(self._along, k),
                taps[k],
                self._inner(self._d_along, k),
                gradients.networks.plane_taps[k],
                *self._bands.of(plane.shape[0], index),
            )

    def _rows_back(self, index: int, q: Array, taps: Array, gradients: ThreadGradients) -> None:
        for k, plane in enumerate(self._planes):
            kernels.smooth_along_back(
                self._inner(self._d_along, k),
                plane.view(q),
                taps[k],
                plane.view(gradients.latents),
                gradients.networks.plane_taps[k],
                *self._bands.of(plane.shape[0], index),
            )
