"""A `Backend` of the fused kernels: every pass over the picture is shared by all threads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from inrcodec.families.pyramid.fit.backend import Gradients, Prefix, Terms
from inrcodec.families.pyramid.fit.bands import Bands
from inrcodec.families.pyramid.fit.cpu.arrays import (
    ThreadGradients,
    matrix_gradients,
    network_arrays,
)
from inrcodec.families.pyramid.fit.cpu.interpolation import Interpolation
from inrcodec.families.pyramid.fit.cpu.latents import TrainedLatents
from inrcodec.families.pyramid.fit.cpu.plane_filters import PlaneFilters
from inrcodec.families.pyramid.fit.cpu.rate import Rate
from inrcodec.families.pyramid.fit.cpu.synthesis import Synthesis
from inrcodec.families.pyramid.fit.geometry import Geometry
from inrcodec.families.pyramid.shape import Pyramid

Array = NDArray[np.float32]


class CpuBackend:
    """Latents in host memory, and their loss by Numba's kernels; see `backend.Backend`."""

    def __init__(
        self, target: Array, architecture: Pyramid, geometry: Geometry, bands: Bands
    ) -> None:
        """Lay out the parts for samples `target` (C, H, W); all latents and networks are 0."""
        self._target, self._architecture, self._bands = target, architecture, bands
        self._latents = TrainedLatents(geometry, bands)
        self._filters = PlaneFilters(geometry, bands) if architecture.taps else None
        self._interpolation = Interpolation(geometry, bands)
        self._synthesis = Synthesis(target, architecture, self._interpolation, bands)
        self._rate = Rate(architecture, geometry, bands)
        zeros = [np.zeros(shape, np.float32) for shape in architecture.blocks]
        self._networks = network_arrays(architecture, zeros)
        self._gradients = [
            ThreadGradients(
                np.zeros_like(self._latents.y),
                np.zeros_like(self._interpolation.u),
                network_arrays(architecture, [np.zeros_like(matrix) for matrix in zeros]),
            )
            for _ in range(bands.threads)
        ]

    @property
    def y(self) -> Array:
        """All latents; callers may write to them."""
        return self._latents.y

    @property
    def q(self) -> Array:
        """The latents of the last loss, softly rounded."""
        return self._latents.q

    def load(self, matrices: Sequence[Tensor]) -> None:
        """Take over the networks: the matrix of each block (rows, cols)."""
        self._networks = network_arrays(self._architecture, [m.numpy() for m in matrices])

    def loss(self, terms: Terms) -> tuple[float, float]:
        """Mean squared error, and bits, of the softly rounded latents."""
        self._bands.run(lambda index: self._latents.round(index, terms))
        self._interpolate()
        bits = self._rate.bits(self.q, self._networks, self._gradients)
        return self._squares(differentiate=False) / self._target.size, bits

    def gradients(self, terms: Terms) -> Gradients:
        """The same with all gradients."""

        def prepare(index: int) -> None:
            self._latents.round(index, terms)
            self._gradients[index].clear()

        self._bands.run(prepare)
        self._interpolate()
        bits = self._rate.differentiate(self.q, self._networks, self._gradients, terms.prices)
        early = [self._prefix_error(prefix, differentiate=True) for prefix in terms.prefixes]
        error = self._squares(differentiate=True) / self._target.size
        self._interpolate_back()
        networks = [own.networks for own in self._gradients]
        return Gradients(error, bits, early, matrix_gradients(self._architecture, networks))

    def bits(self) -> float:
        """Bits of the latents of the last loss, with the networks loaded since."""
        return self._rate.bits(self.q, self._networks, self._gradients)

    def plane_bits(self) -> NDArray[np.float64]:
        """Bits of each plane (planes,), as they were last counted."""
        return self._rate.plane_bits()

    def distortion(self, prefixes: Sequence[Prefix]) -> float:
        """Error of the latents of the last loss, with the networks loaded since, and of prefixes
        by their weights."""
        if self._filters is not None:
            self._interpolate()
        early = [p.weight * self._prefix_error(p, differentiate=False) for p in prefixes]
        return sum(early) + self._squares(differentiate=False) / self._target.size

    def unfiltered(self) -> Array:
        """The picture (C, H, W) that the output filter sees, at the last loss."""
        return self._synthesis.unfiltered()

    def latent_gradient(self) -> Array:
        """Gradient of the last loss by `q`."""
        total: Array = sum(own.latents for own in self._gradients) * self._latents.inside
        return total

    def descend(self, rate: float, betas: tuple[float, float]) -> None:
        """One step of Adam on the latents along the last gradients."""
        self._latents.descend(rate, betas, [own.latents for own in self._gradients])

    def _interpolate(self) -> None:
        """Filter the planes and interpolate them along their rows."""
        if self._filters is None:
            self._interpolation.forward(self.q)
        else:
            self._filters.forward(self.q, self._networks.plane_taps)
            self._interpolation.forward(self._filters.filtered)

    def _interpolate_back(self) -> None:
        """Take the gradients by interpolated rows to those by latents and by the planes' taps."""
        rows, filters = [own.rows for own in self._gradients], self._filters

        def work(index: int) -> None:
            own = self._gradients[index].latents
            d_planes = own if filters is None else filters.cleared_gradient(index)
            self._interpolation.backward(index, rows, d_planes)

        self._bands.run(work)
        if filters is not None:
            filters.backward(self.q, self._networks.plane_taps, self._gradients)

    def _squares(self, differentiate: bool, weight: float = 1.0) -> float:
        return self._synthesis.squares(self._networks, self._gradients, differentiate, weight)

    def _prefix_error(self, prefix: Prefix, differentiate: bool) -> float:
        """Mean squared error of a prefix's picture; with `differentiate`, the gradients of it times
        the prefix's weight are added.

        The gradients by rows of later planes become 0, so prefixes come before the whole picture.
        """
        start = self._interpolation.starts[prefix.planes]
        later = self._interpolation.u[start:]
        kept = later.copy()
        later[:] = 0
        squares = self._squares(differentiate, prefix.weight)
        later[:] = kept
        if differentiate:
            for own in self._gradients:
                own.rows[start:] = 0
        return squares / self._target.size
