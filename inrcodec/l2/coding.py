"""Groups of symbols as bytes: parameters of the transform, integer frequencies, a range-coded pass.

    kind, transform     u8: bit 7: the counts follow, else a symbol model; bits 0-6: name's id
    parameters          float32, little-endian, one after another
    model               slope, curvature u8, largest varint: `entropy.model`, with edge 1/2
    or counts           first zigzag varint, bins - 1 varint, then a count varint for each bin
    size, pass          varint, bytes of `entropy.coder`

Frequencies are integers, so that every machine decodes the same symbols. The parameters are float32
and weights are computed from them in float64 by the formulas of `transform`, so that weights are
those of the encoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from inrcodec.container.fields import Fields, varint
from inrcodec.entropy.coder import decode_pass, encode_pass
from inrcodec.entropy.model import PRECISION, Frequencies, LayerModel, Symbols, fit_model
from inrcodec.errors import FormatError
from inrcodec.l2.transform import TRANSFORMS, Transform

UNIFORM_EDGE = 32
"""Edge of a symbol model whose distances are the magnitudes of the symbols."""

LIMIT_BINS = 1 << 15
"""Most bins of a table of counts."""

_COUNTS = 1 << 7
_IDS = ("uniform", "logarithmic", "multi-scale")
"""Names of the transforms that a file can name, by id."""


@dataclass(frozen=True, eq=False)
class Group:
    """A group of quantized weights.

    Attributes:
        transform: the transform.
        parameters: its parameters (p,), float32.
        symbols: (n,) int32.
    """

    transform: Transform
    parameters: NDArray[np.float32]
    symbols: Symbols

    @property
    def weights(self) -> NDArray[np.float32]:
        """The weights (n,) that the symbols stand for."""
        least = int(self.symbols.min(initial=0))
        # One value for each symbol, so that the result does not depend on how many there are.
        levels = torch.arange(least, int(self.symbols.max(initial=0)) + 1, dtype=torch.float64)
        parameters = torch.from_numpy(self.parameters.astype(np.float64))
        table = self.transform.from_symbols(levels, parameters).to(torch.float32).numpy()
        weights: NDArray[np.float32] = table[self.symbols - least]
        return weights


def write_group(group: Group) -> bytes:
    """The bytes of a group, with the table that takes fewer bytes in all.

    Raises:
        ValueError: the transform has no id, or a symbol is beyond ±16383.
    """
    if group.transform.name not in _IDS:
        raise ValueError(f"the transform {group.transform.name!r} has no id in a file")
    kind = _IDS.index(group.transform.name)
    parameters = group.parameters.astype("<f4").tobytes()
    model = fit_model(group.symbols, 0, UNIFORM_EDGE)
    table = bytes([model.slope, model.curvature]) + varint(model.largest)
    best = bytes([kind]) + parameters + table + _pass(model.frequencies, group.symbols)
    first, counts = _counts(group.symbols)
    table = varint(_zigzag(first)) + varint(len(counts) - 1) + b"".join(map(varint, counts))
    coded = _pass(_frequencies(counts), group.symbols - first - len(counts) // 2)
    return min(best, bytes([kind | _COUNTS]) + parameters + table + coded, key=len)


def read_group(fields: Fields, size: int) -> Group:
    """Read a group of `size` weights.

    Raises:
        FormatError: the bytes are not those of a group.
    """
    kind = fields.u8()
    if (kind & ~_COUNTS) >= len(_IDS):
        raise FormatError(f"unknown transform {kind & ~_COUNTS}; update inrcodec")
    transform = TRANSFORMS[_IDS[kind & ~_COUNTS]]
    parameters = np.frombuffer(fields.take(4 * len(transform.parameters)), "<f4")
    if not (np.isfinite(parameters).all() and (parameters > 0).all()):
        raise FormatError("a parameter of a transform is not positive and finite")
    if kind & _COUNTS:
        first, bins = _unzigzag(fields.varint()), fields.varint() + 1
        if bins > LIMIT_BINS or abs(first) > LIMIT_BINS:
            raise FormatError(f"a table of {bins} counts from {first} on is too large")
        counts = np.array([fields.varint() for _ in range(bins)], dtype=np.int64)
        if counts.sum() != size:
            raise FormatError(f"a table counts {counts.sum()} symbols of {size}")
        frequencies = _frequencies(counts)
    else:
        slope, curvature = fields.take(2)
        try:
            frequencies = LayerModel(0, UNIFORM_EDGE, slope, curvature, fields.varint()).frequencies
        except ValueError as error:
            raise FormatError(f"the table of a group is invalid: {error}") from error
        first = -(len(frequencies) // 2)
    data = fields.take(fields.varint())
    (symbols,) = decode_pass(data, [(frequencies, size)])
    return Group(transform, parameters.astype(np.float32), symbols + np.int32(first))


def _pass(frequencies: Frequencies, symbols: Symbols) -> bytes:
    """The size and the bytes of symbols that count from the middle of their table."""
    places = (symbols + len(frequencies) // 2).astype(np.int32)
    coded = encode_pass([(frequencies, places)])
    return varint(len(coded)) + coded


def _counts(symbols: Symbols) -> tuple[int, NDArray[np.int64]]:
    """The least symbol, and how often each symbol from it on occurs."""
    first = int(symbols.min(initial=0)) if len(symbols) else 0
    return first, np.bincount(symbols - first, minlength=1).astype(np.int64)


def _frequencies(counts: NDArray[np.int64]) -> Frequencies:
    """Positive frequencies in proportion to counts, which sum to 2^24."""
    free = (1 << PRECISION) - len(counts)
    table: Frequencies = 1 + counts * free // max(1, int(counts.sum()))
    table[int(np.argmax(counts))] += (1 << PRECISION) - int(table.sum())
    return table


def _zigzag(value: int) -> int:
    return 2 * value if value >= 0 else -2 * value - 1


def _unzigzag(value: int) -> int:
    return value >> 1 if value % 2 == 0 else -(value + 1 >> 1)


def coded_bytes(groups: Sequence[Group]) -> int:
    """Bytes of all groups."""
    return sum(len(write_group(group)) for group in groups)
