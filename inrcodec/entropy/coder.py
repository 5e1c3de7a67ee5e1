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
    decoder = PassDecoder(data)
    symbols = [decoder.decode(table, count) for table, count in runs]
    decoder.end()
    return symbols


class PassDecoder:
    """Decodes a pass run by run, where a table depends on what came before.

    >>> decoder = PassDecoder(b"y")
    >>> [decoder.decode(np.array([1 << 22, 3 << 22]), 2).tolist() for _ in range(2)]
    [[1, 1], [0, 1]]
    >>> decoder.end()
    """

    def __init__(self, data: bytes) -> None:
        """`data` are all bytes of the pass."""
        words = np.frombuffer(data + bytes(-len(data) % 4), dtype=">u4").astype(np.uint32)
        self._data = data
        self._decoder = constriction.stream.queue.RangeDecoder(words)
        self._runs: list[Run] = []

    def decode(self, table: Frequencies, count: int) -> Symbols:
        """Decode the next `count` symbols, which have a table of frequencies.

        Raises:
            FormatError: the bytes are not those of a pass.
        """
        symbols: Symbols = np.zeros(count, dtype=np.int32)
        if len(table) > 1 and count:
            try:
                symbols = self._decoder.decode(_categorical(table), count)
            except AssertionError as error:  # constriction's, at a number between two intervals
                raise FormatError("the coded coefficients are invalid") from error
        self._runs.append((table, symbols))
        return symbols

    def end(self) -> None:
        """Make sure that the bytes are those that `encode_pass` gives for the runs so far.

        Raises:
            FormatError: they are not.
        """
        # Coding again is as fast as decoding, and shows that every byte counted.
        if encode_pass(self._runs) != self._data:
            raise FormatError("the coded coefficients are invalid or followed by other bytes")


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
