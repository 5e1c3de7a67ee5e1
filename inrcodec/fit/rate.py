"""From trained coefficients to a file of the wanted size or quality: rounding, and its one knob.

All steps are scaled by a common factor, which trades bytes for decibels at the trained balance
between the layers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inrcodec.container.prc import Layer, write
from inrcodec.entropy.model import LIMIT_MAGNITUDE, fit_model
from inrcodec.fit.curvature import Group
from inrcodec.fit.problem import Problem
from inrcodec.fit.train import Quantizer
from inrcodec.l2.rounding import nearest_plane

STEP_ZERO = 192
STEPS_PER_OCTAVE = 8
EDGE_UNITS = 64
"""The file's codes: step 2^((code - 192)/8), edge in 1/64 steps (docs/format.md)."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A complete file, and what it gives."""

    octaves: float
    data: bytes
    psnr: float


@dataclass(eq=False)
class RateControl:
    """Makes files of one trained state, coarser or finer."""

    problem: Problem
    alphas: Sequence[Tensor]
    groups: Sequence[Group]
    quantizer: Quantizer
    icc: bytes = b""
    withheld: int = 0
    tried: dict[tuple[int, ...], Candidate] = field(default_factory=dict)

    def candidate(self, octaves: float) -> Candidate:
        """The file with all trained steps scaled by 2^octaves."""
        codes = tuple(
            min(255, max(finest, _step_code(scale * 2**octaves)))
            for scale, finest in zip(self.quantizer.scale.tolist(), self._finest, strict=True)
        )
        if codes not in self.tried:
            layers = self._quantize(codes)
            values = [
                torch.from_numpy(layer.values).to(self.problem.device, torch.float32)
                for layer in layers
            ]
            data = write(self.problem.header, layers, self.withheld, self.icc)
            self.tried[codes] = Candidate(octaves, data, self.problem.psnr(values))
        return self.tried[codes]

    @cached_property
    def _finest(self) -> list[int]:
        """Each layer's least step code: its largest coefficient must still have a symbol."""
        # An eighth more leaves room for what rounding shifts from one coefficient to another.
        peaks = [1.125 * float(alpha.abs().max()) for alpha in self.alphas]
        return [max(0, _step_code(max(peak, 1e-9) / LIMIT_MAGNITUDE) + 1) for peak in peaks]

    def _quantize(self, codes: tuple[int, ...]) -> list[Layer]:
        sizes = [len(alpha) for alpha in self.alphas]
        ratios = (self.quantizer.edge / self.quantizer.scale).tolist()
        edges = [int(np.clip(round(EDGE_UNITS * ratio), 1, 255)) for ratio in ratios]
        scales = [2.0 ** ((code - STEP_ZERO) / STEPS_PER_OCTAVE) for code in codes]
        scale = np.repeat(scales, sizes)
        edge = np.repeat(np.array(edges) / EDGE_UNITS, sizes) * scale
        values = torch.cat(list(self.alphas)).double().cpu().numpy()
        symbols: NDArray[np.int32] = np.concatenate(
            [
                nearest_plane(values[at], group.factor, edge[at], scale[at], LIMIT_MAGNITUDE)
                for group in self.groups
                for at in [slice(group.start, group.stop)]
            ]
        )
        parts = np.split(symbols, np.cumsum(sizes)[:-1])
        return [
            Layer(fit_model(part, code, edge), part)
            for part, code, edge in zip(parts, codes, edges, strict=True)
        ]

    def within(self, budget: int, least: float) -> Candidate | None:
        """The best file of at most `budget` bytes that uses at least the share `least` of them.

        None if there is none: the largest file found is smaller, or the smallest larger.
        """
        k = sum(len(alpha) for alpha in self.alphas)
        octaves, low, high = 0.0, -math.inf, math.inf
        fitting: list[Candidate] = []
        for _ in range(16):
            found = self.candidate(octaves)
            size = len(found.data)
            if size <= budget:
                high = min(high, octaves)
                if size >= least * budget:
                    fitting.append(found)
                if size >= 0.994 * budget:
                    break
            else:
                low = max(low, octaves)
            # A coefficient costs one bit more where its step is half.
            octaves += (size - 0.998 * budget) * 8 / k
            if not low < octaves < high:
                octaves = (low + high) / 2
            if not math.isfinite(octaves) or abs(octaves) > 24:
                break
        return max(fitting, key=lambda candidate: candidate.psnr, default=None)

    def reaching(self, psnr: float) -> Candidate | None:
        """The smallest file found whose picture has at least `psnr` dB, or None."""
        low, high = -6.0, 3.0
        for _ in range(9):
            middle = (low + high) / 2
            low, high = (middle, high) if self.candidate(middle).psnr >= psnr else (low, middle)
        reached = [c for c in self.tried.values() if c.psnr >= psnr]
        return min(reached, key=lambda candidate: len(candidate.data), default=None)

    @property
    def best(self) -> Candidate:
        """Of all files made so far, the one of highest PSNR."""
        return max(self.tried.values(), key=lambda candidate: candidate.psnr)


def _step_code(step: float) -> int:
    """The code of the stored step nearest to `step`, not yet limited to 0 to 255."""
    return round(STEPS_PER_OCTAVE * math.log2(step)) + STEP_ZERO
