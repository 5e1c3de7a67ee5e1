"""The symbol model: the quantizer of a layer's coefficients and the probability of each symbol.

A symbol q is a coefficient quantized with a uniform step and a dead zone around 0 (L², Shi et al.
2023). Its probability is proportional to 2^-(A·x + B·x²), with x the distance from 0 in steps:
Laplace for B = 0, Gauss for A = 0. The frequencies are integers by the rules of `docs/format.md`,
section "Symbol model". A layer stores five small numbers for them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int64]
Symbols = NDArray[np.int32]
Frequencies = NDArray[np.int64]

PRECISION = 24
"""Bits of a frequency: a table sums to 2^24."""

LIMIT_MAGNITUDE = (1 << 14) - 1
"""The largest magnitude of a symbol."""

RATES = np.array([0] + [(8 + u % 8) << (u // 8) for u in range(1, 256)], dtype=np.int64)
"""Rate of each code 0 to 255 of slope and curvature, in 2^-32 bits."""

_FACTORS = (
    *(0x5A82799A, 0x6BA27E65, 0x75606374, 0x7A92BE8B, 0x7D41D96E, 0x7E9F0606, 0x7F4F08AE),
    *(0x7FA765AD, 0x7FD3AB29, 0x7FE9D3A9, 0x7FF4E959, 0x7FFA748E, 0x7FFD3A3F, 0x7FFE9D1E),
    *(0x7FFF4E8E, 0x7FFFA747),
)
"""round(2^31 · 2^(-2^-i)) for i = 1 … 16."""


@dataclass(frozen=True)
class LayerModel:
    """Quantizer and symbol probabilities of one layer, as a file stores them.

    Attributes:
        step: code of the quantizer's step size 2^((step - 192) / 8), 0 to 255.
        edge: half the width of the dead zone in 1/64 steps, 0 to 255; 32 is a uniform quantizer.
        slope: code of A, 0 to 255, see `RATES`.
        curvature: code of B, 0 to 255, see `RATES`.
        largest: the largest magnitude M of a symbol, 0 to 16383.

    Raises:
        ValueError: an attribute is outside its range.

    >>> model = LayerModel(step=152, edge=32, slope=240, curvature=0, largest=2)
    >>> model.frequencies
    array([  645278,  2581110, 10324440,  2581110,   645278])
    >>> round(model.bits(np.array([0, 0, 1, -2])), 3)
    8.802
    >>> model.step_size
    0.03125
    >>> model.dequantize(np.array([0, 1, -2]))
    array([ 0.     ,  0.03125, -0.0625 ])
    """

    step: int
    edge: int
    slope: int
    curvature: int
    largest: int

    def __post_init__(self) -> None:
        """Check the ranges of the attributes."""
        for name in ("step", "edge", "slope", "curvature"):
            if not 0 <= getattr(self, name) <= 255:
                raise ValueError(f"{name} {getattr(self, name)} is not a code from 0 to 255")
        if not 0 <= self.largest <= LIMIT_MAGNITUDE:
            raise ValueError(f"a magnitude of {self.largest}; at most {LIMIT_MAGNITUDE}")

    @cached_property
    def frequencies(self) -> Frequencies:
        """Frequencies (2M + 1,) of the symbols -M … M; they are positive and sum to 2^24."""
        n = 2 * self.largest + 1
        weights = _weights(self)
        total = weights[0] + 2 * weights[1:].sum()
        tail = 1 + weights[1:] * ((1 << PRECISION) - n) // total
        zero = (1 << PRECISION) - 2 * tail.sum()
        table: Frequencies = np.concatenate((tail[::-1], [zero], tail))
        table.flags.writeable = False
        return table

    def coarse_frequencies(self, withheld: int) -> Frequencies:
        """Frequencies of the coarse symbols `coarsen(q, withheld)`.

        They are those of -(M >> withheld) … M >> withheld, and sum to 2^24.
        """
        bounds = np.arange((self.largest >> withheld) + 2) << withheld
        below = np.concatenate(([0], np.cumsum(self.frequencies[self.largest :])))
        shares = np.diff(below[np.minimum(bounds, self.largest + 1)])
        shares[0] += shares[0] - self.frequencies[self.largest]  # signs share 0
        table: Frequencies = np.concatenate((shares[:0:-1], shares))
        return table

    def bits(self, symbols: Symbols, withheld: int = 0) -> float:
        """Ideal code length of symbols without their `withheld` last bits, in bits."""
        table = self.coarse_frequencies(withheld)
        return float((PRECISION - np.log2(table[symbols + len(table) // 2])).sum())

    @property
    def step_size(self) -> float:
        """Step of the quantizer, in units of a coefficient."""
        return float(2 ** ((self.step - 192) / 8))

    def dequantize(self, symbols: Symbols, withheld: int = 0) -> NDArray[np.float64]:
        """Coefficients at the middle of each symbol's interval; 0 for the symbol 0.

        For symbols without their `withheld` last bits it is the middle of all their intervals.
        """
        magnitude = (np.abs(symbols) << withheld) + ((1 << withheld) - 1) / 2
        inside = np.sign(symbols) * (magnitude - 0.5 + self.edge / 64)
        values: NDArray[np.float64] = inside * self.step_size
        return values


def exp2_weight(exponent: int) -> int:
    """2^-x in units of 2^-31, for x = exponent / 2^32.

    >>> [exp2_weight(n << 31) / 2**31 for n in (0, 1, 2)]
    [1.0, 0.7071067811921239, 0.5]
    """
    weight = 1 << 31
    for i, factor in enumerate(_FACTORS, start=1):
        if exponent >> (32 - i) & 1:
            weight = weight * factor >> 31
    return weight >> (exponent >> 32)


def coarsen(symbols: Symbols, withheld: int) -> Symbols:
    """Symbols without the `withheld` least significant bits of their magnitudes.

    >>> coarsen(np.array([-5, -1, 3, 4], dtype=np.int32), 1)
    array([-2,  0,  1,  2], dtype=int32)
    """
    coarse: Symbols = np.sign(symbols) * (np.abs(symbols) >> withheld)
    return coarse


def fit_model(symbols: Symbols, step: int, edge: int, gaussian: bool = False) -> LayerModel:
    """The model whose slope and curvature code `symbols` (k,), int32, in the fewest bits.

    Along either code the cost falls and then rises, so a search with halved strides finds it. The
    result is within one bit of the best of all 65,536 pairs. With `gaussian` the slope is 0.

    Raises:
        ValueError: a magnitude above 16383, or as for `LayerModel`.

    >>> fit_model(np.array([0, 3, -1, 0, 1, -2, 0, 0], dtype=np.int32), step=152, edge=32)
    LayerModel(step=152, edge=32, slope=234, curvature=16, largest=3)
    """
    largest = max(int(symbols.max(initial=0)), -int(symbols.min(initial=0)))
    flat = LayerModel(step, edge, 0, 0, largest)
    if largest == 0:
        return flat
    counts = np.bincount(np.abs(symbols))
    used = counts > 0
    x = _distances(flat) / 64
    free = (1 << PRECISION) - (2 * largest + 1)

    def costs(slopes: Codes, curvature: int) -> NDArray[np.float64]:
        """`LayerModel.bits` of each slope, approximately, in float64."""
        A, B = RATES[slopes][:, None] * 2.0**-32, RATES[curvature] * 2.0**-32
        weights = np.exp2(-(A + B * x) * x)
        weights[:, 0] *= edge / 32
        total = 2 * weights.sum(1) - weights[:, 0]
        table = 1 + np.floor(weights * (free / total[:, None]))
        table[:, 0] = (1 << PRECISION) - 2 * table[:, 1:].sum(1)
        bits: NDArray[np.float64] = -(np.log2(table[:, used]) @ counts[used])
        return bits

    @cache
    def best_slope(curvature: int) -> tuple[int, float]:
        return _least(lambda slopes: costs(slopes, curvature))

    if gaussian:
        none = np.zeros(1, np.int64)
        curvature, _ = _least(lambda codes: np.array([costs(none, int(c))[0] for c in codes]))
        return LayerModel(step, edge, 0, curvature, largest)
    curvature, _ = _least(lambda codes: np.array([best_slope(int(code))[1] for code in codes]))
    return LayerModel(step, edge, best_slope(curvature)[0], curvature, largest)


def _least(costs: Callable[[Codes], NDArray[np.float64]]) -> tuple[int, float]:
    """The code from 0 to 255 of least cost, and this cost; it falls and then rises."""
    codes = np.arange(0, 256, 16)
    for stride in (8, 4, 2, 1, 0):
        found = costs(codes)
        least = int(np.argmin(found))
        best, cost = int(codes[least]), float(found[least])
        near = np.array([best, best - stride, best + stride])
        codes = near[(near >= 0) & (near <= 255)]
    return best, cost


def _distances(model: LayerModel) -> NDArray[np.int64]:
    """Distance t(m) from 0 to the middle of the interval of magnitude m = 0 … M, in 1/64 steps."""
    t = 64 * np.arange(model.largest + 1, dtype=np.int64) + model.edge - 32
    t[0] = 0
    return t


def _weights(model: LayerModel) -> NDArray[np.int64]:
    """Weights w(m) of magnitudes m = 0 … M, in units of 2^-31 of the density at 0."""
    A, B = RATES[model.slope], RATES[model.curvature]
    t = _distances(model)
    # The bound keeps the product within int64. It changes no weight: it is far beyond 32 bits.
    exponent = np.minimum(A + (B * t >> 6), 1 << 42) * t >> 6
    weights = np.full_like(t, 1 << 31)
    for i, factor in enumerate(_FACTORS, start=1):
        halve = exponent >> (32 - i) & 1
        weights = np.where(halve, weights * factor >> 31, weights)
    weights >>= np.minimum(exponent >> 32, 32)
    weights[0] = weights[0] * model.edge >> 5
    return weights
