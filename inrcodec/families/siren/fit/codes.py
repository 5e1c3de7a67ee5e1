"""Step codes: how fine the quantizer of each layer is, and which codes cost a number of bits.

A code c means the step 2^((c - 192) / 8), in units of a coefficient (docs/format.md, "Symbol
model"). The layers of a SIREN in stages have one matrix a stage, each with a step of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from inrcodec.entropy.model import LIMIT_MAGNITUDE

STEP_ZERO = 192
"""Code of the step 1."""

STEPS_PER_OCTAVE = 8
"""Codes between a step and twice that step."""

LARGEST_CODE = 255
"""Code of the coarsest step."""

HEADROOM = 1.125
"""Factor of the largest coefficient that must have a symbol, because compensation moves it."""

Floats = NDArray[np.float64]

CodeRule = Callable[[Floats], Floats]
"""From mean sensitivities (layers, stages) to codes of the same shape, up to a common shift."""


def equal_slopes(sensitivities: Floats) -> Floats:
    """Codes at which one bit more lowers the distortion of all matrices alike.

    A step Δ adds the distortion Δ²/12 times the sensitivity to each coefficient, so that
    Δ² · sensitivity must be equal.

    >>> equal_slopes(np.array([[1.0], [4.0]])).tolist()
    [[192.0], [184.0]]
    """
    codes: Floats = -STEPS_PER_OCTAVE / 2 * np.log2(sensitivities) + STEP_ZERO
    return codes


def equal_steps(sensitivities: Floats) -> Floats:
    """The same code for all matrices, the mean of `equal_slopes`."""
    return np.full_like(sensitivities, equal_slopes(sensitivities).mean())


@dataclass(frozen=True, eq=False)
class StepCodes:
    """The step codes of all matrices relative to each other.

    Attributes:
        layers: code of the first matrix of each layer, up to a common shift.
        offsets: (layers, stages) codes of all matrices minus that of the layer's first.
        sizes: (layers, stages) numbers of coefficients.
    """

    layers: tuple[float, ...]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]

    @classmethod
    def of(cls, codes: Floats, sizes: Sequence[Sequence[int]]) -> StepCodes:
        """The codes (layers, stages) of matrices; offsets within a layer are rounded."""
        first = codes[:, :1]
        offsets = np.round(codes - first).astype(np.int64)
        return cls(tuple(first[:, 0].tolist()), offsets, np.array(sizes, np.int64))

    def of_matrices(self, layer: int, code: int) -> NDArray[np.int64]:
        """The codes (stages,) of a layer's matrices where that of the first is `code`."""
        codes: NDArray[np.int64] = np.clip(code + self.offsets[layer], 0, LARGEST_CODE)
        return codes

    def split(self, layer: int, vector: NDArray[Any]) -> list[NDArray[Any]]:
        """Views of a layer's vector (k,), one for each of its matrices."""
        return np.split(vector, np.cumsum(self.sizes[layer])[:-1])

    def finest(self, layer: int, alpha: Tensor) -> int:
        """The least code of a layer at which its largest coefficients have symbols."""
        steps = [
            (HEADROOM * max(float(part.abs().max()), 1e-9) / LIMIT_MAGNITUDE, offset)
            for part, offset in self._parts(layer, alpha)
        ]
        return max(
            _limited(round(STEPS_PER_OCTAVE * math.log2(step)) + STEP_ZERO + 1 - offset)
            for step, offset in steps
        )

    def for_bits(self, alphas: Sequence[Tensor], first: int, bits: float) -> list[int]:
        """Codes of the layers from `first` on, which together cost about `bits`.

        `alphas` are the coefficients (k,) of all layers, which are taken to be Gaussian.
        """
        low, high = -1024.0, 1024.0
        for _ in range(40):
            middle = (low + high) / 2
            shift = middle - STEP_ZERO
            rate = sum(
                gaussian_bits(part, 2 ** ((code + offset + shift) / STEPS_PER_OCTAVE))
                for layer, code in list(enumerate(self.layers))[first:]
                for part, offset in self._parts(layer, alphas[layer])
            )
            low, high = (middle, high) if rate > bits else (low, middle)
        return [
            max(self.finest(layer, alphas[layer]), _limited(round(code + high)))
            for layer, code in list(enumerate(self.layers))[first:]
        ]

    def with_finer(self, stage: int, codes: int) -> StepCodes:
        """The same with the matrices of the stages from index `stage` on finer by `codes`."""
        offsets = self.offsets.copy()
        offsets[:, stage:] -= codes
        return replace(self, offsets=offsets)

    def _parts(self, layer: int, alpha: Tensor) -> Iterator[tuple[Tensor, int]]:
        """Coefficients and offset of each matrix of a layer."""
        parts = alpha.split(self.sizes[layer].tolist())
        return zip(parts, self.offsets[layer].tolist(), strict=True)


def gaussian_bits(alpha: Tensor, step: float) -> float:
    """Bits of Gaussian coefficients (k,) at a quantizer step.

    The rate of a Gaussian channel whose noise is that of the quantizer: it tends to 0 for coarse
    steps and to h - log2(step) for fine ones.

    >>> import torch
    >>> round(gaussian_bits(torch.tensor([1.0, -1.0]), 0.125), 2)
    10.1
    """
    variance = alpha.double().square().mean().item()
    return len(alpha) * 0.5 * math.log2(1 + 2 * math.pi * math.e * variance / step**2)


def _limited(code: int) -> int:
    return min(LARGEST_CODE, max(0, code))
