"""The latents in training: soft rounding, and Adam's moments (fused kernels)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inrcodec.families.pyramid.fit.backend import Terms
from inrcodec.families.pyramid.fit.bands import Bands
from inrcodec.families.pyramid.fit.geometry import Geometry
from inrcodec.families.pyramid.kernels import latents as kernels

Array = NDArray[np.float32]


class TrainedLatents:
    """All latents, each with its rounded value, the slope of that, and Adam's moments.

    Attributes:
        y: the latents, in the array of all; they need not be integers.
        q: the latents softly rounded.
        inside: 1 at the latents, 0 in the borders.
    """

    def __init__(self, geometry: Geometry, bands: Bands) -> None:
        """Start with zeros everywhere."""
        self._bands, self._steps = bands, 0
        # In one array: which loop a kernel takes, and so the last bit, depends on their order.
        arrays = np.zeros((6, geometry.latents), np.float32)
        self.y, self.q, self._slope, self._mean, self._square, self.inside = arrays
        for plane in geometry.planes:
            plane.inner(self.inside)[:] = 1

    def round(self, index: int, terms: Terms) -> None:
        """Round band `index` softly."""
        kernels.soft_round(
            *(self.y, self.q, self._slope, self.inside),
            kernels.Rounding(float(terms.temperature), terms.noise, terms.seed),
            *self._bands.of(len(self.y), index),
        )

    def descend(self, rate: float, betas: tuple[float, float], gradients: Sequence[Array]) -> None:
        """One step of Adam along the sum of `gradients`, which the first of them becomes."""
        self._steps += 1

        def work(index: int) -> None:
            first, last = self._bands.of(len(self.y), index)
            total = gradients[0][first:last]
            for other in gradients[1:]:
                total += other[first:last]
            kernels.adam(
                *(self.y, gradients[0], self._slope),
                kernels.Moments(self._mean, self._square),
                kernels.AdamStep(rate, *betas, self._steps),
                *(first, last),
            )

        self._bands.run(work)
