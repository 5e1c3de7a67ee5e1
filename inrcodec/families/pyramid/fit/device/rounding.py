"""Soft rounding with noise, in PyTorch; the CPU's kernel is `kernels.latents.soft_round`."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from inrcodec.families.pyramid.fit.backend import Terms
from inrcodec.kernels.reference import NOISE_MULTIPLIERS

ROUNDING_NUMBERS = 5
"""How many numbers soft rounding depends on, besides the seed of its noise."""

_LOW = 0xFFFFFFFF
_M0, _M1, _M2 = NOISE_MULTIPLIERS
"""Factors of the noise hash."""


def rounding_numbers(terms: Terms) -> list[float]:
    """Sharpness, norm and steepness of the rounding, unit and margin of its noise; zeros, which
    nothing reads, at temperature 0."""
    if not terms.temperature:
        return [0.0] * ROUNDING_NUMBERS
    norm = 0.5 / math.tanh(0.5 / terms.temperature)
    sharpness = 2 * math.log2(math.e) / terms.temperature
    return [
        sharpness,
        norm,
        norm / terms.temperature,
        terms.noise * 2.0**-17,
        terms.noise / 2,
    ]


def soft_round(
    values: Tensor, places: Tensor, seed: Tensor, numbers: Tensor
) -> tuple[Tensor, Tensor]:
    """s(s(y) + u) of latents y (N,), and its slope by y: see `reference.soft_round`.

    The noise u depends on the `places` (N,) and the `seed` alone; `numbers` are those of
    `rounding_numbers`.
    """
    sharpness, norm, steepness, unit, margin = numbers

    def rounded(x: Tensor) -> tuple[Tensor, Tensor]:
        middle = torch.floor(x) + 0.5
        t = 1 - 2 / (1 + torch.exp2((x - middle) * sharpness))
        return middle + norm * t, steepness * (1 - t * t)

    v, slope = rounded(values)
    q, second = rounded(v + (_hashed(places, seed) * unit - margin))
    return q, slope * second


def _hashed(places: Tensor, seed: Tensor) -> Tensor:
    """Sum of the two 16-bit halves of a hash of each place: a triangular distribution."""
    # Only the kernel's first product has more than 32 bits.
    h = places.long() * _M0 + seed
    h = (h ^ h >> 16) * _M1 & _LOW
    h = (h ^ h >> 15) * _M2 & _LOW
    h = h ^ h >> 16
    return ((h & 0xFFFF) + (h >> 16)).float()
