"""Range coding of symbols by integer frequency tables (Martin 1979), first in, first out.

The coder is constriction's (Bamler 2022, https://bamler-lab.github.io/constriction/), 32-bit words
and a 64-bit state. `docs/format.md`, section "Range coder", specifies it without constriction; the
tests decode by that text. A pass's bytes are the digits of one number, most significant first, and
stop at the last that matters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import constriction
import numpy as np

from inrcodec.entropy.model import Frequencies, Symbols
from inrcodec.errors import FormatError

Run = tuple[Frequencies, Symbols]
"""A table of n frequencies, and symbols 0 … n - 1 that are coded by it."""

_STATE = 1 << 64


def encode_pass(runs: Sequence[Run]) -> bytes:
    """Code runs of symbols one after another into the fewest bytes.

    Every table sums to 2^24 and has no zeros. A table of one symbol costs nothing.

    >>> encode_pass([(np.array([1 << 22, 3 << 22]), np.array([1, 1, 0, 1], dtype=np.int32))])
    b'y'
    """
    encoder = constriction.stream.queue.RangeEncoder()
    for table, symbols in runs:
        if len(table) > 1 and len(symbols):
            encoder.encode(np.ascontiguousarray(symbols, dtype=np.int32), _categorical(table))
    return _shortest(encoder)


def decode_pass(data: bytes, runs: Sequence[tuple[Frequencies, int]]) -> list[Symbols]:
    """Decode runs, each given by its table and number of symbols.

    Raises:
        FormatError: the bytes are not those that `encode_pass` gives for any symbols.

    >>> decode_pass(b"y", [(np.array([1 << 22, 3 << 22]), 4)])
    [array([1, 1, 0, 1], dtype=int32)]
    """
    words = np.frombuffer(data + bytes(-len(data) % 4), dtype=">u4").astype(np.uint32)
    decoder = constriction.stream.queue.RangeDecoder(words)
    symbols = []
    try:
        for table, count in runs:
            if len(table) > 1 and count:
                symbols.append(decoder.decode(_categorical(table), count))
            else:
                symbols.append(np.zeros(count, dtype=np.int32))
    except AssertionError as error:  # What constriction raises at a number between two intervals.
        raise FormatError("the coded coefficients are invalid") from error
    # Coding again is as fast as decoding, and shows that every byte counted.
    tables = [table for table, _ in runs]
    if encode_pass(list(zip(tables, symbols, strict=True))) != data:
        raise FormatError("the coded coefficients are invalid or followed by other bytes")
    return symbols


def _categorical(table: Frequencies) -> Any:
    """constriction's model with exactly these frequencies.

    It gives each symbol 1 and divides the rest in proportion to the floats; here they are the rest
    itself, so the proportion is exactly 1 (`fast_quantized_cdf` in its source, 0.4.0 to 0.5.0).
    """
    return constriction.stream.model.Categorical((table - 1).astype(np.float64), perfect=False)


def _shortest(encoder: Any) -> bytes:
    """The shortest bytes within the encoder's interval, of those the smallest number.

    constriction ends on whole words that stay valid whatever follows; nothing follows here.
    """
    count, (lower, width) = encoder.pos()
    words: bytes = encoder.get_compressed().astype(">u4").tobytes()
    if not words:
        return b""
    point = int.from_bytes(words.ljust(4 * count + 8, b"\0"), "big")
    lowest: int = point - (point - lower) % _STATE
    for kept in range(9):
        unit = 1 << 8 * (8 - kept)
        number = -(-lowest // unit)
        if number * unit < lowest + width:
            break
    return number.to_bytes(4 * count + kept, "big").rstrip(b"\0")
