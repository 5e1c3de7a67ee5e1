"""The planes interpolated along their rows; along the columns the synthesis does it, row by row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inrcodec.families.pyramid.fit.bands import Bands
from inrcodec.families.pyramid.fit.geometry import Geometry
from inrcodec.families.pyramid.kernels import latents as kernels
from inrcodec.families.pyramid.latents import BORDER

Array = NDArray[np.float32]


class Interpolation:
    """Planes with the picture's width and their own height, and the tables for the other half.

    Attributes:
        u: plane k, interpolated along its rows, is (h_k, W) from `starts[k]` on.
        starts: (planes,).
        rows: (planes, H, 4), the rows of each plane that a row of the picture is made of.
        taps: (planes, H, 4), their weights, with the factor 2^-level of the plane.
    """

    def __init__(self, geometry: Geometry, bands: Bands) -> None:
        """Lay out the buffer and the tables."""
        self._geometry, self._bands = geometry, bands
        heights = [plane.shape[0] for plane in geometry.planes]
        self.u = np.zeros(sum(heights) * geometry.width, np.float32)
        self.starts = np.cumsum([0, *heights[:-1]], dtype=np.int64) * geometry.width
        self.rows = np.stack([rows for rows, _ in geometry.rows])
        self.taps = np.stack(
            [
                taps * np.float32(2.0**-plane.level)
                for plane, (_, taps) in zip(geometry.planes, geometry.rows, strict=True)
            ]
        )

    def forward(self, planes: Array) -> None:
        """Interpolate `planes`, in the array of all latents."""

        def work(index: int) -> None:
            for k, plane in enumerate(self._geometry.planes):
                kernels.interpolate_rows(
                    *(plane.view(planes), *self._geometry.columns[k], BORDER),
                    self._plane(self.u, k),
                    *self._bands.of(plane.shape[0], index),
                )

        self._bands.run(work)

    def backward(self, index: int, gradients: Sequence[Array], d_planes: Array) -> None:
        """Add band `index` of the gradient by the planes to `d_planes`, from those of all threads
        by `u`, of which the first becomes their sum."""
        for k, plane in enumerate(self._geometry.planes):
            first, last = self._bands.of(plane.shape[0], index)
            total = self._plane(gradients[0], k)
            for other in gradients[1:]:
                total[first:last] += self._plane(other, k)[first:last]
            kernels.interpolate_rows_back(
                *(total, *self._geometry.columns[k], BORDER, plane.view(d_planes), first, last)
            )

    def _plane(self, array: Array, k: int) -> Array:
        """Plane k (h_k, W) of an array like `u`."""
        start, (height, _) = self.starts[k], self._geometry.planes[k].shape
        width = self._geometry.width
        return array[start : start + height * width].reshape(height, width)
