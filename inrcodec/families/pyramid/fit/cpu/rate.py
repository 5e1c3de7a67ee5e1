"""The bits of the latents under the context network, and their gradients (fused kernels)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inrcodec.families.pyramid.fit.bands import Bands
from inrcodec.families.pyramid.fit.cpu.arrays import NetworkArrays, ThreadGradients
from inrcodec.families.pyramid.fit.geometry import Geometry
from inrcodec.families.pyramid.kernels import rate as kernels
from inrcodec.families.pyramid.kernels.tables import PlaneTables
from inrcodec.families.pyramid.latents import Parents
from inrcodec.families.pyramid.shape import OTHER_INPUTS, Pyramid

Array = NDArray[np.float32]

_NOTHING = np.zeros((1, 1), np.float32)
"""Stands for the parents of the first planes: all their context is 0."""


class Rate:
    """The context network over all planes, and the bits that it last gave them."""

    def __init__(self, architecture: Pyramid, geometry: Geometry, bands: Bands) -> None:
        """Lay out the buffers."""
        self._planes, self._bands = geometry.planes, bands
        # The one column that the kernel needs of the far plane's places, contiguous.
        self._far = [(p.far.rows[:, 0].copy(), p.far.cols[:, 0].copy()) for p in self._planes]
        self._bits = [np.zeros(len(self._planes)) for _ in range(bands.threads)]
        units = max(architecture.context, architecture.neighbours + OTHER_INPUTS)
        self._scratch = [kernels.rate_scratch(units) for _ in range(bands.threads)]

    def bits(self, q: Array, networks: NetworkArrays, gradients: list[ThreadGradients]) -> float:
        """Bits of the latents `q`."""
        free = np.zeros(len(self._planes))
        return sum(
            self._bands.run(
                lambda index: self._band(index, q, networks, gradients[index], free, False)
            )
        )

    def differentiate(
        self,
        q: Array,
        networks: NetworkArrays,
        gradients: list[ThreadGradients],
        prices: NDArray[np.float64],
    ) -> float:
        """Bits of the latents `q`; the gradients of their `prices` (planes,) are added to those by
        latents and context network."""
        return sum(
            self._bands.run(
                lambda index: self._band(index, q, networks, gradients[index], prices, True)
            )
        )

    def plane_bits(self) -> NDArray[np.float64]:
        """Bits of each plane (planes,), as they were last counted."""
        total: NDArray[np.float64] = np.sum(self._bits, axis=0)
        return total

    def _band(
        self,
        index: int,
        q: Array,
        networks: NetworkArrays,
        gradients: ThreadGradients,
        prices: NDArray[np.float64],
        differentiate: bool,
    ) -> float:
        """Bits of band `index` of all planes."""
        bits = self._bits[index]
        for k, plane in enumerate(self._planes):
            near, d_near = self._parent(plane.near, q, gradients.latents)
            far, d_far = self._parent(plane.far, q, gradients.latents)
            tables = PlaneTables(
                *(plane.view(q), near, plane.near.rows, plane.near.cols, far, *self._far[k]),
                *(np.float32(plane.level), np.float32(plane.later)),
            )
            gradient = kernels.RateGradient(
                np.float32(prices[k]),
                *(plane.view(gradients.latents), d_near, d_far),
                gradients.networks.context,
            )
            bits[k] = kernels.rate_rows(
                *(tables, networks.context, *self._bands.of(plane.shape[0], index)),
                *(gradient, self._scratch[index], differentiate),
            )
        return float(sum(bits))

    def _parent(self, parents: Parents, q: Array, gradient: Array) -> tuple[Array, Array]:
        """A parent of a plane, and the gradient by it."""
        if parents.plane is None:
            return _NOTHING, np.zeros_like(_NOTHING)
        plane = self._planes[parents.plane]
        return plane.view(q), plane.view(gradient)
