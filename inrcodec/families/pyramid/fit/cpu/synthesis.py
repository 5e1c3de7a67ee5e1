"""The squared error of the synthesis and its gradients (fused kernels)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inrcodec.families.pyramid.fit.bands import Bands
from inrcodec.families.pyramid.fit.cpu.arrays import NetworkArrays, ThreadGradients
from inrcodec.families.pyramid.fit.cpu.interpolation import Interpolation
from inrcodec.families.pyramid.fit.cpu.output_filter import OutputFilter
from inrcodec.families.pyramid.kernels import synthesis as kernels
from inrcodec.families.pyramid.shape import Pyramid

Array = NDArray[np.float32]


class Synthesis:
    """Sine layers and output filter over interpolated planes, beside the samples to reach."""

    def __init__(
        self, target: Array, architecture: Pyramid, interpolation: Interpolation, bands: Bands
    ) -> None:
        """Lay out the buffers for samples `target` (C, H, W)."""
        self._target, self._interpolation, self._bands = target, interpolation, bands
        self._filter = OutputFilter(target, bands) if architecture.filtered else None
        units = max(architecture.width, architecture.second, len(architecture.levels))
        self._scratch = [kernels.synthesis_scratch(units) for _ in range(bands.threads)]

    def squares(
        self,
        networks: NetworkArrays,
        gradients: list[ThreadGradients],
        differentiate: bool,
        weight: float = 1.0,
    ) -> float:
        """Sum of squared errors; with `differentiate`, those of `weight` times the mean are added
        to the gradients by rows and networks."""
        share = weight / self._target.size
        if self._filter is None:

            def step(index: int) -> float:
                return self._step(index, networks, gradients[index], differentiate, share)

            return sum(self._bands.run(step))
        # The filter needs rows of other bands, so all wait for one another in between.
        output_filter, taps = self._filter, networks.output_filter
        self._bands.run(lambda index: self._paint(index, networks, output_filter))
        squares = self._bands.run(lambda index: output_filter.squares(index, share, taps))
        if differentiate:
            self._bands.run(
                lambda index: self._back(index, networks, gradients[index], output_filter)
            )
        return sum(squares)

    def unfiltered(self) -> Array:
        """The picture (C, H, W) before its filter, at the last error; without a filter, nothing."""
        return np.zeros((0, 0, 0), np.float32) if self._filter is None else self._filter.picture

    def _planes(self) -> kernels.PlaneRows:
        """The planes as the kernels read them."""
        planes = self._interpolation
        return kernels.PlaneRows(planes.u, planes.starts, planes.rows, planes.taps)

    def _band(self, index: int) -> tuple[int, int]:
        return self._bands.of(self._target.shape[1], index)

    def _step(
        self,
        index: int,
        networks: NetworkArrays,
        gradients: ThreadGradients,
        differentiate: bool,
        share: float,
    ) -> float:
        """Sum of squared errors of band `index`, without a filter; `share` is the weight of a
        square in the loss."""
        first, last = self._band(index)
        gradient = kernels.SynthesisGradient(
            np.float32(share), gradients.rows, gradients.networks.sines
        )
        squares: float = kernels.synthesis_step(
            *(self._planes(), networks.sines, self._target, first, last),
            *(gradient, self._scratch[index], differentiate),
        )
        return squares

    def _paint(self, index: int, networks: NetworkArrays, output_filter: OutputFilter) -> None:
        """Write band `index` of the picture that the filter sees."""
        first, last = self._band(index)
        kernels.synthesize(
            *(self._planes(), networks.sines, first, last),
            *(output_filter.picture, self._scratch[index]),
        )
        output_filter.spread(index)

    def _back(
        self,
        index: int,
        networks: NetworkArrays,
        gradients: ThreadGradients,
        output_filter: OutputFilter,
    ) -> None:
        """Add to the gradients what band `index` gives them, through the filter."""
        weight, own = networks.output_filter[0], gradients.networks
        output_filter.backward(index, weight, own.output_filter)
        first, last = self._band(index)
        kernels.synthesis_back(
            *(self._planes(), networks.sines, output_filter.gradient, first, last),
            kernels.SynthesisGradient(np.float32(1), gradients.rows, own.sines),
            self._scratch[index],
        )
