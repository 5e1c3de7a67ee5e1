"""Pseudo-random numbers that are the same on every machine: Philox4x32-10 (Salmon et al. 2011).

Signs, orders and uniforms follow from the generator's words by integer rules, so a file may depend
on them. This is the reference in plain NumPy; imports no torch.

A *stream* `(item, block, purpose)` names one independent sequence of a seed: the words of stream s
are the Philox outputs for the counters (0, *s), (1, *s), (2, *s) …, four words each.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Stream = tuple[int, int, int]
Integers = TypeVar("Integers", NDArray[Any], "Tensor")

WORD = 0xFFFFFFFF
"""The largest 32-bit word."""

_ROUNDS = 10
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_INDEX_BITS = 31
_CHUNK = 1 << 15
"""Counters that are computed at one time: their words stay in a processor's cache."""


class Purpose(IntEnum):
    """What a stream is drawn for; part of the file format."""

    INITIAL = 0
    SIGNS = 1
    ORDER = 2


def rounds(
    counter: tuple[Integers, Integers, Integers, Integers], key: tuple[int, int]
) -> tuple[Integers, Integers, Integers, Integers]:
    """Philox4x32-10 of counters, each of whose four words is an array; arrays broadcast.

    The words are arrays of NumPy's uint64 or tensors of torch's int64, which hold 32 bits each: the
    formula is the same for both.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        # In int64 the 64-bit products wrap; the masks undo the sign of the shifted half.
        p0, p1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1 = ((p1 >> 32) & WORD) ^ c1 ^ k0, p1 & WORD
        c2, c3 = ((p0 >> 32) & WORD) ^ c3 ^ k1, p0 & WORD
        k0, k1 = (k0 + _WEYL[0]) & WORD, (k1 + _WEYL[1]) & WORD
    return c0, c1, c2, c3


def philox4x32(counter: NDArray[np.uint32], key: tuple[int, int]) -> NDArray[np.uint32]:
    """Philox4x32-10 of counters (…, 4) to as many words (…, 4).

    >>> [f"{word:08x}" for word in philox4x32(np.zeros(4, np.uint32), (0, 0))]
    ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']
    """
    c0, c1, c2, c3 = counter.reshape(-1, 4).T.astype(np.uint64)
    return np.stack(rounds((c0, c1, c2, c3), key), -1).astype(np.uint32).reshape(counter.shape)


def key(seed: int) -> tuple[int, int]:
    """The Philox key of a 64-bit seed: its low half, then its high half.

    Raises ValueError for a seed outside [0, 2⁶⁴).
    """
    if not 0 <= seed < 1 << 64:
        raise ValueError(f"seed {seed} is not an unsigned 64-bit integer")
    return seed & WORD, seed >> 32


def words(seed: int, stream: Stream, count: int) -> NDArray[np.uint32]:
    """The first `count` 32-bit words of a stream, (count,).

    Raises ValueError for a seed beyond 64 bits or a stream part beyond 32.
    """
    if not all(0 <= part <= WORD for part in stream):
        raise ValueError(f"stream {stream} is not made of unsigned 32-bit integers")
    halves = key(seed)
    # Arrays, because NumPy 1 widens a uint64 scalar and a Python integer to float64.
    item, block, purpose = (np.array([part], np.uint64) for part in stream)
    drawn = np.empty((-(-count // 4), 4), np.uint32)
    for start in range(0, len(drawn), _CHUNK):
        part = drawn[start : start + _CHUNK]
        first = np.arange(start, start + len(part), dtype=np.uint64)
        for column, word in zip(part.T, rounds((first, item, block, purpose), halves), strict=True):
            column[:] = word
    return drawn.reshape(-1)[:count]


def word_signs(words: NDArray[np.uint32]) -> NDArray[np.int8]:
    """The 32 signs of each word, (…, W) to (…, 32 W): lowest bit first, bit 1 means -1.

    >>> word_signs(np.array([0b1101], np.uint32))[:5]
    array([-1,  1, -1, -1,  1], dtype=int8)
    """
    octets = np.ascontiguousarray(words, "<u4").view(np.uint8)
    bits = np.unpackbits(octets, axis=-1, bitorder="little").view(np.int8)
    bits *= -2
    bits += 1
    return bits


def signs(seed: int, stream: Stream, count: int) -> NDArray[np.int8]:
    """The first `count` signs of a stream, ±1 (count,), in the order of `word_signs`.

    >>> signs(7, (0, 0, Purpose.SIGNS), 8)
    array([-1, -1,  1,  1, -1, -1, -1,  1], dtype=int8)
    """
    return word_signs(words(seed, stream, -(-count // 32)))[:count]


def permutation(seed: int, stream: Stream, count: int) -> NDArray[np.int64]:
    """A permutation of 0 … count - 1, (count,): the indices sorted by word, then by index.

    >>> permutation(7, (0, 0, Purpose.ORDER), 6).tolist()
    [4, 2, 0, 3, 5, 1]

    Raises ValueError beyond 2³¹ entries.
    """
    if count > 1 << _INDEX_BITS:
        raise ValueError(f"a permutation of {count} entries exceeds 2^{_INDEX_BITS}")
    # Keys with the index in their low bits are unique, so every sort algorithm gives one answer.
    keys = words(seed, stream, count).astype(np.int64)
    keys <<= _INDEX_BITS
    keys |= np.arange(count, dtype=np.int64)
    keys.sort()
    keys &= (1 << _INDEX_BITS) - 1
    return keys


def uniform(seed: int, stream: Stream, count: int) -> NDArray[np.float32]:
    """Uniform numbers in [-1, 1), (count,): (word >> 8) · 2⁻²³ - 1, exact in float32.

    >>> uniform(7, (0, 0, Purpose.INITIAL), 3)
    array([ 0.90919423,  0.50030434, -0.7716453 ], dtype=float32)
    """
    u = (words(seed, stream, count) >> 8).astype(np.float32)
    u *= np.float32(2.0**-23)
    u -= 1
    return u
