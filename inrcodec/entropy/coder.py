"""Range coding of symbols by integer frequency tables (Martin 1979), first in, first out.

The coder is constriction's (Bamler 2022, https://bamler-lab.github.io/constriction/), with 32-bit
words and a 64-bit state. `docs/format.md`, section "Range coder", specifies it without
constriction, and the tests decode by that text. The bytes of a pass are the digits of one number,
most significant first, without the zeros at the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import constriction
import numpy as np

from inrcodec.entropy.model import Frequencies, Symbols
from inrcodec.errors import FormatError

Run = tuple[Frequencies, Symbols]
"""Frequencies and symbols 0 … n - 1: one table (n,) for all, or a row (k, n) for each symbol."""

_STATE = 1 << 64

_WINDOW = 8
"""Bytes that the decoder compares with an interval at a time."""


def encode_pass(runs: Iterable[Run]) -> bytes:
    """The fewest bytes that code runs of symbols one after another.

    Every table sums to 2^24 and has no zeros. A table of one symbol takes no bits.

    >>> encode_pass([(np.array([1 << 22, 3 << 22]), np.array([1, 1, 0, 1], dtype=np.int32))])
    b'y'
    """
    encoder = PassEncoder()
    for tables, symbols in runs:
        encoder.encode(tables, symbols)
    return encoder.shortest()


def decode_pass(data: bytes, runs: Sequence[tuple[Frequencies, int]]) -> list[Symbols]:
    """The symbols of runs that are given by their tables and numbers of symbols.

    Raises:
        FormatError: the bytes are not those that `encode_pass` gives for any symbols.

    >>> decode_pass(b"y", [(np.array([1 << 22, 3 << 22]), 4)])
    [array([1, 1, 0, 1], dtype=int32)]
    """
    decoder = PassDecoder(data)
    decoder.close()
    symbols = [decoder.decode(tables, count) for tables, count in runs]
    decoder.verify()
    return symbols


class PassEncoder:
    """Encoder of a pass, run by run.

    >>> encoder = PassEncoder()
    >>> for symbol in (1, 1, 0, 1):
    ...     encoder.encode(np.array([1 << 22, 3 << 22]), np.array([symbol], dtype=np.int32))
    >>> encoder.shortest()
    b'y'
    """

    def __init__(self) -> None:
        """An empty pass."""
        self._encoder = constriction.stream.queue.RangeEncoder()

    def encode(self, tables: Frequencies, symbols: Symbols) -> None:
        """Append symbols (k,) by one table (n,) for all of them or by one row each (k, n)."""
        if tables.shape[-1] > 1 and len(symbols):
            symbols = np.ascontiguousarray(symbols, dtype=np.int32)
            self._encoder.encode(symbols, *_categorical(tables))

    def position(self) -> tuple[int, tuple[int, int]]:
        """Index of the first word of four bytes that is open, and the interval (lower, width)."""
        position: tuple[int, tuple[int, int]] = self._encoder.pos()
        return position

    def shortest(self) -> bytes:
        """The shortest bytes within the encoder's interval, of those the smallest number.

        constriction ends on whole words that stay valid whatever follows; nothing follows here.
        """
        count, (lower, width) = self.position()
        words: bytes = self._encoder.get_compressed().astype(">u4").tobytes()
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


class PassDecoder:
    """Decoder of a pass, run by run, for bytes that arrive in pieces.

    `decode` gives the symbols that the bytes so far determine: those that are the same whatever
    bytes follow. After `close` no bytes follow, and it gives all symbols.

    The decoder codes all symbols again. The encoder's state is the place where decoding resumes,
    so each byte and symbol is processed a bounded number of times, and its bytes show in the end
    whether the pass is the shortest form.

    >>> table = np.array([1 << 22, 3 << 22])
    >>> decoder = PassDecoder(b"\\x85")
    >>> decoder.decode(table, 9)
    array([1, 1, 0, 1, 1, 1, 0], dtype=int32)
    >>> decoder.feed(b"\\xe3")
    >>> decoder.decode(table, 7)
    array([1, 0, 0, 1, 1, 1, 1], dtype=int32)
    >>> decoder.close()
    >>> decoder.verify()
    """

    def __init__(self, data: bytes = b"") -> None:
        """`data` are the first bytes of the pass."""
        self._data = bytearray(data)
        self._encoder = PassEncoder()
        self._decoders: list[Any] = []  # empty where they are not in the encoder's state
        self._closed = False
        self._invalid = False  # no bytes that may follow give a symbol

    def feed(self, data: bytes) -> None:
        """Append bytes."""
        self._data += data
        self._decoders = []

    def close(self) -> None:
        """Declare the pass complete."""
        self._closed = True
        self._decoders = []

    def decode(self, tables: Frequencies, count: int) -> Symbols:
        """The next symbols, at most `count`, by one table (n,) or by one row each (count, n).

        Fewer than `count` are those before the first symbol that the bytes leave open.

        Raises:
            FormatError: the pass is closed, and its bytes are not those of a pass.
        """
        if tables.shape[-1] == 1 or not count:
            return np.zeros(count, dtype=np.int32)
        if self._invalid and not self._closed:
            return np.zeros(0, dtype=np.int32)
        self._decoders = self._decoders or self._resumed()
        try:
            model = _categorical(tables)
            options = model if tables.ndim == 2 else (*model, count)
            found = [decoder.decode(*options) for decoder in self._decoders]
        except AssertionError as error:  # constriction's, at a number between two intervals
            self._decoders = []
            if self._closed:
                raise FormatError("the coded coefficients are invalid") from error
            return self._by_halves(tables, count)
        different = np.flatnonzero(found[0] != found[-1])
        symbols: Symbols = found[0][: different[0]] if len(different) else found[0]
        self._encoder.encode(tables if tables.ndim == 1 else tables[: len(symbols)], symbols)
        if len(different):
            self._decoders = []
        return symbols

    def verify(self) -> None:
        """Check that the bytes are those that `encode_pass` gives for the symbols.

        Raises:
            FormatError: they are not.
        """
        if self._encoder.shortest() != self._data:
            raise FormatError("the coded coefficients are invalid or followed by other bytes")

    def _by_halves(self, tables: Frequencies, count: int) -> Symbols:
        """The determined symbols of an open pass in front of an invalid number."""
        if count == 1:
            known = len(self._data) - 4 * self._encoder.position()[0]
            self._invalid = known >= _WINDOW
            return np.zeros(0, dtype=np.int32)
        half = count // 2
        rows = tables.ndim == 2
        first = self.decode(tables[:half] if rows else tables, half)
        if len(first) < half:
            return first
        rest = self.decode(tables[half:] if rows else tables, count - half)
        return np.concatenate((first, rest))

    def _resumed(self) -> list[Any]:
        """Decoders in the encoder's state, of the least and greatest bytes that may follow."""
        word, interval = self._encoder.position()
        known = bytes(self._data[4 * word :])
        decoders = []
        for filler in (b"\0",) if self._closed else (b"\0", b"\xff"):
            padding = filler * (2 * _WINDOW + -len(known) % 4)
            words = np.frombuffer(known + padding, dtype=">u4").astype(np.uint32)
            decoder = constriction.stream.queue.RangeDecoder(words)
            decoder.seek(0, interval)
            decoders.append(decoder)
        return decoders


def _categorical(tables: Frequencies) -> tuple[Any, ...]:
    """constriction's model with exactly these frequencies, or the family of models and their rows.

    constriction gives each symbol 1 and divides the rest in proportion to the floats. Here the
    floats are the rest itself, so the proportion is exactly 1 (`fast_quantized_cdf` for one table,
    `LazyContiguousCategoricalEntropyModel` for rows, in its source from 0.4.0 to 0.5.0).
    """
    floats = (tables - 1).astype(np.float64, order="C")
    if tables.ndim == 1:
        return (constriction.stream.model.Categorical(floats, perfect=False),)
    return constriction.stream.model.Categorical(perfect=False), floats
