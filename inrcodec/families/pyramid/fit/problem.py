"""One picture to fit with a pyramid: its latents and networks, their loss and its gradients.

The loss is the mean squared error of the samples, in [-1, 1], plus λ times the bits per pixel that
the context network gives the latents (C3, Kim et al. 2024). A `Backend` computes it: fused kernels
on the CPU, or PyTorch on another device (`fit.device`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from inrcodec.container.header import Header
from inrcodec.families.pyramid.fit.backend import Array, BackendFactory, Prefix, Terms
from inrcodec.families.pyramid.fit.bands import Bands, band
from inrcodec.families.pyramid.fit.cpu.backend import CpuBackend
from inrcodec.families.pyramid.fit.geometry import Geometry, expand, plane_filter_block
from inrcodec.families.pyramid.fit.options import OPTIMIZER
from inrcodec.families.pyramid.kernels.plane_filter import smoothed
from inrcodec.families.pyramid.network import grow
from inrcodec.families.pyramid.shape import Pyramid
from inrcodec.image import Raster, to_unit
from inrcodec.metrics import psnr_of_mse

__all__ = ["Array", "Prefix", "PyramidProblem", "samples_of"]

T = TypeVar("T")


class PyramidProblem:
    """A picture, and the latents `y` and coefficients `alphas` that should become it.

    Attributes:
        header: header of the file to be written.
        architecture: shape of the networks.
        target: samples (channels, H, W), in [-1, 1].
        geometry: the planes and the tables of their interpolation. Its `width`, `height`, `planes`,
            `rows` and `columns` are attributes of the problem, too, and so is `pixels`, H · W.
        pranc: the networks as a function of their coefficients.
        alphas: the networks' coefficients (k,), one vector a block.
        gradients: gradients of the last loss by the coefficients.
        prefixes: what counts besides the whole picture, ascending by their planes.
        price: (planes,), the factor of λ for the bits of each plane.
        noise: width of the noise that soft rounding adds, in steps of the quantizer.
    """

    def __init__(
        self, target: Array, header: Header, make_backend: BackendFactory = CpuBackend
    ) -> None:
        """Lay out the planes of `header` beside the samples (channels, H, W), in [-1, 1].

        All coefficients and latents are 0. As many threads share the work as PyTorch has now.
        """
        assert isinstance(header.network, Pyramid)
        self.header, self.architecture, self.target = header, header.network, target
        self.geometry = Geometry.of(self.architecture, header.width, header.height)
        self.width, self.height = header.width, header.height
        self.pixels = self.width * self.height
        self.planes = self.geometry.planes
        self.rows, self.columns = self.geometry.rows, self.geometry.columns
        _, self.pranc = grow(header, "cpu")
        self.alphas, self.gradients = self.pranc.zeros(), self.pranc.zeros()
        self.prefixes: list[Prefix] = []
        self.price = np.ones(len(self.planes))
        self.noise = 1.0
        self._bands = Bands(torch.get_num_threads())
        self._make_backend = make_backend
        self._backend = make_backend(target, self.architecture, self.geometry, self._bands)
        self.load()

    def like(self, target: Array, header: Header) -> PyramidProblem:
        """Another problem with a backend of the same kind."""
        return PyramidProblem(target, header, self._make_backend)

    @property
    def y(self) -> Array:
        """All latents in one array, see `latents.lay_out`; callers may write to it.

        They need not be integers until the end of the training.
        """
        return self._backend.y

    @property
    def q(self) -> Array:
        """The latents of the last loss, rounded as that loss did, in the same order."""
        return self._backend.q

    def load(self) -> None:
        """Make the networks of the coefficients; every loss begins with it."""
        matrices = self.pranc.matrices([alpha.detach() for alpha in self.alphas])
        filters = self.plane_filters
        self._plane_taps: Array | None = None if filters is None else matrices[filters].numpy()
        self._backend.load(matrices)

    def loss(
        self, weight: float, temperature: float, seed: int = 0, differentiate: bool = False
    ) -> tuple[float, float]:
        """Mean squared error, and bits of the latents, after soft rounding at a temperature.

        With `differentiate`, `gradients` become those of error + `weight` · bits per pixel, with
        the prefixes' errors and the prices of the bits, and `descend` can follow.
        """
        self.load()
        prices = weight / self.pixels * self.price
        terms = Terms(temperature, self.noise, seed & 0xFFFFFFFF, prices, self.prefixes)
        if not differentiate:
            return self._backend.loss(terms)
        found = self._backend.gradients(terms)
        for prefix, error in zip(self.prefixes, found.prefix_errors, strict=True):
            prefix.error = error
        for k, (block, gradient) in enumerate(zip(self.pranc.blocks, found.matrices, strict=True)):
            self.gradients[k] = block.basis.project((block.scale * gradient).flatten())
        return found.error, found.bits

    def bits(self) -> float:
        """Bits of the latents of the last loss, with the context network as it is now."""
        self.load()
        return self._backend.bits()

    def plane_bits(self) -> NDArray[np.float64]:
        """Bits of each plane (planes,), as they were last counted."""
        return self._backend.plane_bits()

    def distortion(self) -> float:
        """Mean squared error with the latents of the last loss and the synthesis as it is now; the
        errors of prefixes are added with their weights."""
        self.load()
        return self._backend.distortion(self.prefixes)

    def unfiltered(self) -> Array:
        """The picture (C, H, W) that the output filter sees, at the last loss."""
        return self._backend.unfiltered()

    def latent_gradient(self) -> Array:
        """Gradient of the last loss by `q`, in the same order."""
        return self._backend.latent_gradient()

    def descend(self, rate: float, betas: tuple[float, float] = OPTIMIZER.latent_betas) -> None:
        """One step of Adam on the latents; `rate` is its length in steps of the quantizer."""
        self._backend.descend(rate, betas)

    @property
    def threads(self) -> int:
        """Number of threads that share the work."""
        return self._bands.threads

    def band(self, count: int, index: int, bands: int | None = None) -> tuple[int, int]:
        """First row, and last row + 1, of band `index` of `count` rows; one band a thread, unless
        another number is given."""
        return band(count, index, bands or self.threads)

    def run(self, work: Callable[[int], T]) -> list[T]:
        """Results of `work(index)`, called in every thread with its index; waits for all."""
        return self._bands.run(work)

    @property
    def plane_filters(self) -> int | None:
        """Number of the block that holds the taps of the planes' filters, if there is one."""
        return plane_filter_block(self.architecture)

    def plane_taps(self) -> list[Array]:
        """Taps of each plane's filter, of the networks that were loaded last."""
        if self._plane_taps is None:
            return [np.zeros(0, np.float32)] * len(self.planes)
        return list(self._plane_taps)

    def smoothed(self, k: int, plane: Array) -> Array:
        """Plane k (h, w) after its filter."""
        return plane if self._plane_taps is None else smoothed(plane, self._plane_taps[k])

    def features(self, latents: Array, chosen: NDArray[np.int64]) -> Array:
        """Inputs of the first sine layer (planes, N) at some pixels, numbered row by row."""
        features = [
            expand(self.geometry, k, self.smoothed(k, plane.inner(latents))).ravel()[chosen]
            * 2.0**-plane.level
            for k, plane in enumerate(self.planes)
        ]
        return np.stack(features)

    def integers(self, latents: Array) -> list[NDArray[np.int32]]:
        """Latents of an array like `y`, rounded, plane by plane."""
        return [np.floor(plane.inner(latents) + 0.5).astype(np.int32) for plane in self.planes]

    def psnr(self, error: float) -> float:
        """PSNR in dB of a mean squared error of samples in [-1, 1]."""
        return psnr_of_mse(max(error, 1e-12), peak=2)


def samples_of(raster: Raster) -> Array:
    """Samples of a raster (channels, H, W), in [-1, 1]."""
    return np.ascontiguousarray(2 * to_unit(raster).transpose(2, 0, 1) - 1, dtype=np.float32)
