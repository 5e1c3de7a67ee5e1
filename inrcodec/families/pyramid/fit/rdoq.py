"""Rate-distortion optimized quantization (RDOQ) of a pyramid's latents, at the end of its training.

Each integer latent is tried one step towards its trained value, or towards 0, and moves where that
lowers error + λ · bits per pixel. Later passes try steps against the gradient of that sum.
"""

from __future__ import annotations

import math

import numpy as np

from inrcodec.families.pyramid.fit.options import RDOQ, RdoqSettings
from inrcodec.families.pyramid.fit.problem import Array, PyramidProblem
from inrcodec.families.pyramid.fit.rdoq_bands import RdoqBands
from inrcodec.families.pyramid.fit.rdoq_state import Moves, RdoqState
from inrcodec.families.pyramid.kernels.rdoq import REACH


class Rdoq:
    """Passes of RDOQ over the latents of a problem.

    Until `use_gradient` is called, passes try moves towards the trained latents.
    """

    def __init__(self, problem: PyramidProblem, settings: RdoqSettings = RDOQ) -> None:
        """Round the latents of `problem`, whose networks are quantized. `problem.y` stays."""
        self._problem, self._settings = problem, settings
        self._state = RdoqState(problem, settings.judged_share)
        tried = np.ones(len(problem.y), np.bool_)
        self._moves = Moves(problem.y.copy(), tried, settings.far_off, settings.saving)
        self._moving = [
            k
            for k in self._state.movable
            if problem.planes[k].level <= settings.largest_level and self._state.largest[k]
        ]
        reach = REACH + problem.architecture.taps
        self._bands = [
            RdoqBands.of(plane.shape[0], reach, problem.threads) for plane in problem.planes
        ]

    @property
    def q(self) -> Array:
        """All latents in one array, as `PyramidProblem.y`: integers, changed by passes."""
        return self._state.q

    @property
    def error(self) -> float:
        """Mean squared error of samples in [-1, 1]."""
        return self._state.error

    @property
    def bits(self) -> float:
        """Bits of all latents."""
        return self._state.bits

    def run_pass(self, lam: float) -> None:
        """Go over the planes once, from coarse to fine; `lam` is λ, error per bit a pixel."""
        self._run_edges(lam)
        self._run_part(lam, 0, 1)

    def use_gradient(self, lam: float) -> None:
        """Let later passes try moves against the gradient of error + λ · bits per pixel.

        The gradient is that at the integers of now. Of each plane only the latents with the largest
        gradients are tried, see `RdoqSettings.tried`.
        """
        problem, shares = self._problem, self._settings.tried
        trained = problem.y.copy()
        problem.y[:] = self.q
        problem.loss(lam, 0, differentiate=True)
        problem.y[:] = trained
        gradient = problem.latent_gradient()
        tried = self._moves.tried.copy()
        for k in self._moving:
            plane = problem.planes[k]
            size = np.abs(plane.inner(gradient))
            share = shares[min(plane.level, len(shares) - 1)]
            plane.inner(tried)[:] = size > np.quantile(size, 1 - share)
        wanted = self.q - np.sign(gradient)
        self._moves = Moves(wanted, tried, self._settings.far_off, self._settings.saving)

    def run_to(self, lam: float, wanted: float) -> float:
        """Go over the planes once, so that the latents then cost about `wanted` bits.

        λ begins at `lam` and is corrected after each part of the rows. Returns the last λ.
        """
        settings = self._settings
        parts = range(settings.parts)
        self._run_edges(lam)
        low = lam * math.exp(-settings.largest_drift)
        high = lam * math.exp(settings.largest_drift)
        before = [self._part_bits(part) for part in parts]
        for part, own in enumerate(before):
            bits = self.bits
            self._run_part(lam, part, settings.parts)
            left = sum(before[part + 1 :])
            if own and left:
                change, needed = (self.bits - bits) / own, (wanted - self.bits) / left
                limit = settings.largest_correction
                lam *= math.exp(min(limit, max(-limit, settings.gain * (change - needed))))
                lam = min(high, max(low, lam))
        return lam

    def _part_bits(self, part: int) -> float:
        """Bits of one part of all bands."""
        return sum(
            self._state.row_bits(k, *self._bands[k].band(index, part, self._settings.parts))
            for k in self._moving
            for index in range(self._bands[k].count)
        )

    def _run_part(self, lam: float, part: int, parts: int) -> None:
        """One part of each band, plane by plane; threads share the bands."""
        for k in self._moving:
            bands = self._bands[k]

            def improve(index: int, k: int = k, bands: RdoqBands = bands) -> None:
                self._state.improve(k, self._moves, lam, *bands.band(index, part, parts))

            self._problem.run(improve)

    def _run_edges(self, lam: float) -> None:
        """The edges between bands, plane by plane."""
        for k in self._moving:
            bands = self._bands[k]

            def improve(index: int, k: int = k, bands: RdoqBands = bands) -> None:
                first, last = bands.edge(index)
                if first < last:
                    self._state.improve(k, self._moves, lam, first, last)

            self._problem.run(improve)
