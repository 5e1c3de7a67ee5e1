"""One picture to fit with a pyramid: its latents and networks, their loss and its gradients.

The loss is the mean squared error of the samples, in [-1, 1], plus λ times the bits per pixel that
the context network gives the latents (C3, Kim et al. 2024). All of it runs in the fused kernels,
each thread on its own band of rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inrcodec.container.head import Header
from inrcodec.families.pyramid.kernels import latents as latent_kernels
from inrcodec.families.pyramid.kernels import output_filter as filtering
from inrcodec.families.pyramid.kernels import plane_filter as smoothing
from inrcodec.families.pyramid.kernels import rate as context
from inrcodec.families.pyramid.kernels import synthesis as pyramid
from inrcodec.families.pyramid.kernels.blocks import Layers, padded
from inrcodec.families.pyramid.kernels.tables import PlaneTables
from inrcodec.families.pyramid.latents import BORDER, Parents, interpolation, lay_out
from inrcodec.families.pyramid.network import grow
from inrcodec.families.pyramid.shape import OTHER_INPUTS, Pyramid
from inrcodec.image import Raster, to_unit
from inrcodec.kernels.threads import thread_pool

T = TypeVar("T")
Array = NDArray[np.float32]

BETAS = (0.9, 0.95)
"""Adam's decays for the latents; with 0.99 and 0.999 as the second the loss is 1 and 2 % higher."""

_NOTHING = np.zeros((1, 1), np.float32)


@dataclass
class Prefix:
    """The first planes of a picture, whose own picture counts too.

    Attributes:
        planes: how many.
        weight: of its mean squared error, beside 1 for that of the whole picture.
        error: that error, of the last loss with gradients.
    """

    planes: int
    weight: float = 0.0
    error: float = 0.0


@dataclass(eq=False)
class _Thread:
    """What a thread writes: gradients, bits of each plane, and blocks of activations."""

    bits: NDArray[np.float64]
    latents: Array
    rows: Array
    theta: list[Array]
    taps: Array
    synthesis: pyramid.SynthesisScratch
    context: context.RateScratch


class PyramidProblem:
    """A picture, and the latents `y` and coefficients `alphas` that should become it.

    Attributes:
        y: all latents in one array, see `inr.latents`; not integers until the end.
        alphas: the networks' coefficients (k,), one vector a block.
        gradients: of the last loss by the coefficients.
        prefixes: what counts besides the whole picture, ascending by their planes.
        price: of a bit of each plane, in bits.
        noise: width of the noise that soft rounding adds, in steps of the quantizer.
    """

    def __init__(self, target: Array, header: Header) -> None:
        """Lay out the planes of `header` beside the samples (channels, H, W), in [-1, 1]."""
        assert isinstance(header.network, Pyramid)
        self.header, self.architecture = header, header.network
        self.width, self.height = header.width, header.height
        self.pixels = self.width * self.height
        self.target = target
        self.planes = lay_out(self.architecture, self.width, self.height)
        _, self.pranc = grow(header, "cpu")
        self.alphas = self.pranc.zeros()
        self.gradients = self.pranc.zeros()
        self.prefixes: list[Prefix] = []
        self.price = np.ones(len(self.planes))
        self.noise = 1.0
        self._step = 0
        size = self.planes[-1].stop
        # In one array: which loop a kernel takes, and so the last bit, depends on their order.
        arrays = np.zeros((6, size), np.float32)
        self.y, self.q, self._slope, self._mean, self._square, self._inside = arrays
        for plane in self.planes:
            plane.inner(self._inside)[:] = 1
        # What the sines give, the gradient by it and that by the output, with a column either side.
        filtered = self.architecture.filtered
        shape = (len(target), self.height, self.width + 2) if filtered else (0, 0, 0)
        self._plain, self._d_plain, self._d_out = np.zeros((3, *shape), np.float32)
        self._far = [(p.far.rows[:, 0].copy(), p.far.cols[:, 0].copy()) for p in self.planes]
        # A plane filtered along its rows, then along its columns too, and the gradients by these.
        size = size if self.architecture.taps else 0
        self._smooth, self._d_smooth, self._along, self._d_along = np.zeros((4, size), np.float32)
        self._lay_out_rows()
        self.load()
        threads = torch.get_num_threads()
        self._threads = [self._make_thread() for _ in range(threads)]

    def like(self, target: Array, header: Header) -> PyramidProblem:
        """Another problem of the same kind."""
        return PyramidProblem(target, header)

    def _lay_out_rows(self) -> None:
        """Tables of the interpolation: along columns for each plane, along rows for all."""
        count, height = len(self.planes), self.height
        heights = [plane.shape[0] for plane in self.planes]
        self._starts = np.cumsum([0, *heights[:-1]], dtype=np.int64) * self.width
        self._u = np.zeros(sum(heights) * self.width, np.float32)
        self._rows = np.zeros((count, height, 4), np.int64)
        self._taps = np.zeros((count, height, 4), np.float32)
        self.rows, self.columns = [], []
        for k, plane in enumerate(self.planes):
            rows, taps = interpolation(np.arange(float(height)), plane.level, plane.shape[0])
            self.rows.append((rows, taps))
            self._rows[k], self._taps[k] = rows, taps * 2.0**-plane.level
            cols, taps = interpolation(np.arange(float(self.width)), plane.level, plane.shape[1])
            self.columns.append((cols + BORDER, taps))

    def _make_thread(self) -> _Thread:
        a = self.architecture
        units = max(a.width, a.second, len(self.planes))
        hidden = max(a.context, a.neighbours + OTHER_INPUTS)
        return _Thread(
            np.zeros(len(self.planes)),
            np.zeros_like(self.y),
            np.zeros_like(self._u),
            [np.zeros_like(theta) for theta in self._theta],
            np.zeros_like(self._taps_of_planes),
            pyramid.synthesis_scratch(units),
            context.rate_scratch(hidden),
        )

    def load(self) -> None:
        """Make the networks of the coefficients."""
        matrices = self.pranc.matrices([alpha.detach() for alpha in self.alphas])
        self._theta = padded([matrix.numpy() for matrix in matrices])
        self._sines = self._sine_layers(self._theta)
        index = self.plane_filters
        self._taps_of_planes: Array = (
            np.zeros((0, 0), np.float32) if index is None else matrices[index].numpy()
        )

    @property
    def plane_filters(self) -> int | None:
        """The block of the planes' filters."""
        return self.architecture.synthesis_blocks - 1 if self.architecture.taps else None

    def _sine_layers(self, arrays: Sequence[Array]) -> Layers:
        return pyramid.sine_layers(arrays[: 2 * self.architecture.mixed_blocks])

    def _filter(self, arrays: Sequence[Array]) -> Sequence[Array]:
        """Weight and bias of the filter."""
        return arrays[2 * self.architecture.mixed_blocks :][:2]

    def loss(
        self, weight: float, temperature: float, seed: int = 0, differentiate: bool = False
    ) -> tuple[float, float]:
        """Mean squared error and bits of the latents, softly rounded; see `kernels.pyramid`.

        With `differentiate`, `gradients` are those of error + weight · bits per pixel, with the
        prefixes' errors and the prices of the bits, and `descend` can follow.
        """
        self.load()
        self.run(lambda i: self._prepare(i, temperature, seed, differentiate))
        self._interpolate()
        bits = sum(self.run(lambda i: self._rate(i, weight / self.pixels, differentiate)))
        if differentiate:
            for prefix in self.prefixes:
                prefix.error = self._prefix_error(prefix, differentiate)
        squares = self._all_squares(differentiate)
        if differentiate:
            self.run(self._gather_rows)
            if self.architecture.taps:
                self.run(self._smooth_across_back)
                self.run(self._smooth_along_back)
            self._gather_networks()
        return squares / self.target.size, bits

    def _prepare(self, index: int, temperature: float, seed: int, differentiate: bool) -> None:
        first, last = self.band(len(self.y), index)
        rounding = latent_kernels.Rounding(float(temperature), self.noise, seed & 0xFFFFFFFF)
        latent_kernels.soft_round(self.y, self.q, self._slope, self._inside, rounding, first, last)
        if differentiate:
            thread = self._threads[index]
            for array in (thread.latents, thread.rows, thread.taps, *thread.theta):
                array[...] = 0

    def bits(self) -> float:
        """Bits of the latents of the last loss, with the context network as it is now."""
        self.load()
        return sum(self.run(lambda i: self._rate(i, 0.0, differentiate=False)))

    def plane_bits(self) -> NDArray[np.float64]:
        """Bits of each plane, as they were last counted."""
        total: NDArray[np.float64] = np.sum([thread.bits for thread in self._threads], axis=0)
        return total

    def distortion(self) -> float:
        """Mean squared error with the latents of the last loss and the synthesis as it is now, and
        those of the prefixes by their weights."""
        self.load()
        if self.architecture.taps:
            self._interpolate()
        early = [p.weight * self._prefix_error(p, differentiate=False) for p in self.prefixes]
        return sum(early) + self._all_squares(differentiate=False) / self.target.size

    def _prefix_error(self, prefix: Prefix, differentiate: bool) -> float:
        """The mean squared error of a prefix's picture, and its gradients times its weight.

        Of all gradients by rows it leaves those of its planes alone.
        """
        start = self._starts[prefix.planes]
        later = self._u[start:].copy()
        self._u[start:] = 0
        squares = self._all_squares(differentiate, prefix.weight)
        self._u[start:] = later
        for thread in self._threads if differentiate else ():
            thread.rows[start:] = 0
        return squares / self.target.size

    def unfiltered(self) -> Array:
        """What a filter sees (C, H, W), at the latents and networks of the last loss."""
        return self._plain[:, :, 1:-1]

    def _all_squares(self, differentiate: bool, weight: float = 1.0) -> float:
        """The sum of the squared errors, and with `differentiate` the gradients by rows and θ of
        `weight` times the mean.

        A filter needs what other threads make of the rows beside, so they wait for one another.
        """
        if not self.architecture.filtered:
            return sum(self.run(lambda i: self._squares(i, differentiate, weight)))
        self.run(self._paint)
        squares = sum(self.run(lambda i: self._filter_error(i, weight)))
        if differentiate:
            self.run(self._filter_back)
        return squares

    def _paint(self, index: int) -> None:
        first, last = self.band(self.height, index)
        pyramid.synthesize(
            *(self._plane_sources(), self._sines, first, last),
            self._plain[:, :, 1:-1],
            self._threads[index].synthesis,
        )
        filtering.spread_rows(self._plain, first, last)

    def _filter_error(self, index: int, weight: float) -> float:
        (w, b), share = self._filter(self._theta), np.float32(weight / self.target.size)
        first, last = self.band(self.height, index)
        squares: float = filtering.filter_error(
            self._plain, w, b, self.target, share, self._d_out, first, last
        )
        return squares

    def _filter_back(self, index: int) -> None:
        thread, (first, last) = self._threads[index], self.band(self.height, index)
        w, (dw, db) = self._filter(self._theta)[0], self._filter(thread.theta)
        filtering.filter_gradient(self._plain, self._d_out, dw, db, first, last)
        filtering.filter_rows_back(self._d_out, w, self._d_plain, first, last)
        pyramid.synthesis_back(
            *(self._plane_sources(), self._sines, self._d_plain[:, :, 1:-1], first, last),
            self._synthesis_gradient(thread, 1.0),
            thread.synthesis,
        )

    def _plane_sources(self) -> pyramid.PlaneRows:
        return pyramid.PlaneRows(self._u, self._starts, self._rows, self._taps)

    def _synthesis_gradient(self, thread: _Thread, weight: float) -> pyramid.SynthesisGradient:
        layers = self._sine_layers(thread.theta)
        return pyramid.SynthesisGradient(np.float32(weight), thread.rows, layers)

    def _interpolate(self) -> None:
        """Filter the planes and interpolate them along their rows."""
        if self.architecture.taps:
            self.run(self._smooth_rows_along)
            self.run(self._smooth_rows_across)
        self.run(self._interpolate_rows)

    def _interpolate_rows(self, index: int) -> None:
        source = self._smooth if self.architecture.taps else self.q
        for k, plane in enumerate(self.planes):
            first, last = self.band(plane.shape[0], index)
            rows = self._plane_rows(self._u, k)
            latent_kernels.interpolate_rows(
                plane.view(source), *self.columns[k], BORDER, rows, first, last
            )

    def _between(self, array: Array, k: int) -> Array:
        plane = self.planes[k]
        h, w = plane.shape
        return array[plane.start : plane.start + h * w].reshape(h, w)

    def _smooth_rows_along(self, index: int) -> None:
        for k, plane in enumerate(self.planes):
            band = self.band(plane.shape[0], index)
            view, taps = plane.view(self.q), self._taps_of_planes[k]
            smoothing.smooth_along(view, BORDER, taps, self._between(self._along, k), *band)

    def _smooth_rows_across(self, index: int) -> None:
        for k, plane in enumerate(self.planes):
            band = self.band(plane.shape[0], index)
            taps, view = self._taps_of_planes[k], plane.view(self._smooth)
            smoothing.smooth_across(self._between(self._along, k), taps, view, BORDER, *band)

    def _smooth_across_back(self, index: int) -> None:
        for k, plane in enumerate(self.planes):
            smoothing.smooth_across_back(
                plane.view(self._d_smooth),
                self._between(self._along, k),
                self._taps_of_planes[k],
                self._between(self._d_along, k),
                self._threads[index].taps[k],
                *self.band(plane.shape[0], index),
            )

    def _smooth_along_back(self, index: int) -> None:
        thread = self._threads[index]
        for k, plane in enumerate(self.planes):
            smoothing.smooth_along_back(
                self._between(self._d_along, k),
                plane.view(self.q),
                self._taps_of_planes[k],
                plane.view(thread.latents),
                thread.taps[k],
                *self.band(plane.shape[0], index),
            )

    def _rate(self, index: int, weight: float, differentiate: bool) -> float:
        thread = self._threads[index]
        for k, plane in enumerate(self.planes):
            first, last = self.band(plane.shape[0], index)
            near, d_near = self._parent(plane.near, thread)
            far, d_far = self._parent(plane.far, thread)
            tables = PlaneTables(
                *(plane.view(self.q), near, plane.near.rows, plane.near.cols, far, *self._far[k]),
                *(np.float32(plane.level), np.float32(plane.later)),
            )
            gradient = context.RateGradient(
                np.float32(weight * self.price[k]),
                *(plane.view(thread.latents), d_near, d_far),
                Layers(*thread.theta[-6:]),
            )
            thread.bits[k] = context.rate_rows(
                *(tables, Layers(*self._theta[-6:]), first, last, gradient),
                *(thread.context, differentiate),
            )
        return float(sum(thread.bits))

    def _parent(self, parents: Parents, thread: _Thread) -> tuple[Array, Array]:
        if parents.plane is None:
            return _NOTHING, np.zeros_like(_NOTHING)
        plane = self.planes[parents.plane]
        return plane.view(self.q), plane.view(thread.latents)

    def _squares(self, index: int, differentiate: bool, weight: float) -> float:
        thread = self._threads[index]
        first, last = self.band(self.height, index)
        squares: float = pyramid.synthesis_step(
            *(self._plane_sources(), self._sines, self.target, first, last),
            self._synthesis_gradient(thread, weight / self.target.size),
            *(thread.synthesis, differentiate),
        )
        return squares

    def _plane_rows(self, array: Array, k: int) -> Array:
        start, height = self._starts[k], self.planes[k].shape[0]
        return array[start : start + height * self.width].reshape(height, self.width)

    def _gather_rows(self, index: int) -> None:
        """Sum the gradients by interpolated rows over the threads, and take them to the latents."""
        thread = self._threads[index]
        for k, plane in enumerate(self.planes):
            first, last = self.band(plane.shape[0], index)
            total = self._plane_rows(self._threads[0].rows, k)
            for other in self._threads[1:]:
                total[first:last] += self._plane_rows(other.rows, k)[first:last]
            if self.architecture.taps:
                view = plane.view(self._d_smooth)
                view[first + BORDER : last + BORDER] = 0
            else:
                view = plane.view(thread.latents)
            latent_kernels.interpolate_rows_back(total, *self.columns[k], BORDER, view, first, last)

    def _gather_networks(self) -> None:
        sums = [sum(parts) for parts in zip(*(t.theta for t in self._threads), strict=True)]
        shapes = self.architecture.blocks
        for k, ((rows, cols), w, b) in enumerate(zip(shapes, sums[::2], sums[1::2], strict=True)):
            if k == self.plane_filters:
                inner = np.sum([thread.taps for thread in self._threads], axis=0)
            else:
                inner = np.column_stack([w[:rows, : cols - 1], b[:rows]])
            self.project(k, torch.from_numpy(np.ascontiguousarray(inner)))

    def project(self, k: int, gradient: Tensor) -> None:
        """Set the gradient by the coefficients of block k from that by its matrix."""
        block = self.pranc.blocks[k]
        self.gradients[k] = block.basis.project((block.scale * gradient).flatten())

    def latent_gradient(self) -> Array:
        """Of the last loss by `q`, all threads' together."""
        total: Array = sum(thread.latents for thread in self._threads) * self._inside
        return total

    def descend(self, rate: float) -> None:
        """A step of Adam for the latents; `rate` is its length in units of a quantizer's step."""
        self._step += 1

        def work(index: int) -> None:
            first, last = self.band(len(self.y), index)
            gradient = self._threads[0].latents[first:last]
            for other in self._threads[1:]:
                gradient += other.latents[first:last]
            latent_kernels.adam(
                *(self.y, self._threads[0].latents, self._slope),
                latent_kernels.Moments(self._mean, self._square),
                latent_kernels.AdamStep(rate, *BETAS, self._step),
                *(first, last),
            )

        self.run(work)

    def band(self, count: int, index: int, bands: int | None = None) -> tuple[int, int]:
        """A thread's share in `count` rows or latents, of `bands` or one for each thread."""
        bands = bands or len(self._threads)
        return count * index // bands, count * (index + 1) // bands

    @property
    def threads(self) -> int:
        """How many threads share the work."""
        return len(self._threads)

    def run(self, work: Callable[[int], T]) -> list[T]:
        """Do a thread's part of some work in each thread, and wait for all."""
        threads = len(self._threads)
        if threads == 1:
            return [work(0)]
        others = [thread_pool(threads).submit(work, index) for index in range(1, threads)]
        return [work(0), *(other.result() for other in others)]

    def psnr(self, error: float) -> float:
        """PSNR in dB of a mean squared error of samples in [-1, 1]."""
        return -10 * math.log10(max(error, 1e-12) / 4)

    def features(self, latents: Array, chosen: NDArray[np.int64]) -> Array:
        """The inputs of the first sine layer (planes, N) at some pixels, numbered row by row."""
        features = [
            expand(self, k, self.smoothed(k, plane.inner(latents))).ravel()[chosen]
            * 2.0**-plane.level
            for k, plane in enumerate(self.planes)
        ]
        return np.stack(features)

    def plane_taps(self) -> list[Array]:
        """The taps of each plane's filter."""
        none = np.zeros(0, np.float32)
        return list(self._taps_of_planes) if self.architecture.taps else [none] * len(self.planes)

    def smoothed(self, k: int, plane: Array) -> Array:
        """Plane k as it is interpolated."""
        if not self.architecture.taps:
            return plane
        return smoothing.smoothed(plane, self._taps_of_planes[k])

    def integers(self, latents: Array) -> list[NDArray[np.int32]]:
        """Latents of the array of all rounded, plane by plane."""
        return [np.floor(plane.inner(latents) + 0.5).astype(np.int32) for plane in self.planes]


def samples_of(raster: Raster) -> Array:
    """A raster's samples (channels, H, W), in [-1, 1]."""
    return np.ascontiguousarray(2 * to_unit(raster).transpose(2, 0, 1) - 1, dtype=np.float32)


def expand(problem: PyramidProblem, k: int, plane: Array) -> Array:
    """A plane at every pixel (H, W)."""
    cols, taps = problem.columns[k]
    along = np.empty((len(plane), problem.width), np.float32)
    latent_kernels.interpolate_rows(plane, cols - BORDER, taps, 0, along, 0, len(plane))
    rows, row_taps = problem.rows[k]
    turned = np.ascontiguousarray(along.T)
    out = np.empty((problem.width, problem.height), np.float32)
    latent_kernels.interpolate_rows(turned, rows, row_taps, 0, out, 0, problem.width)
    return np.ascontiguousarray(out.T)


def contract(problem: PyramidProblem, k: int, picture: Array) -> Array:
    """The adjoint of `expand`."""
    height, width = problem.planes[k].shape
    rows, row_taps = problem.rows[k]
    turned = np.zeros((problem.width, height), np.float32)
    latent_kernels.interpolate_rows_back(
        np.ascontiguousarray(picture.T), rows, row_taps, 0, turned, 0, problem.width
    )
    cols, taps = problem.columns[k]
    out = np.zeros((height, width), np.float32)
    along = np.ascontiguousarray(turned.T)
    latent_kernels.interpolate_rows_back(along, cols - BORDER, taps, 0, out, 0, height)
    return out
