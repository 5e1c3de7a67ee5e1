"""Pseudo-random numbers that are the same on every device: Philox4x32-10 (Salmon et al. 2011).

All is int64 arithmetic on tensors, and signs, orders and uniforms follow from the bits by integer
rules, so a file may depend on them. torch's own generators differ between devices and versions.

A *stream* `(item, block, purpose)` names one independent sequence of a seed: the words of stream s
are the Philox outputs for the counters (0, *s), (1, *s), (2, *s) …, four words each.
"""

from __future__ import annotations

from enum import IntEnum

import torch
from torch import Tensor
from torch.nn.functional import embedding

Device = torch.device | str
Stream = tuple[int, int, int]

WORD = 0xFFFFFFFF
"""The largest 32-bit word."""

_ROUNDS = 10
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_INDEX_BITS = 31


class Purpose(IntEnum):
    """What a stream is drawn for; part of the file format."""

    INITIAL = 0
    SIGNS = 1
    ORDER = 2


def philox4x32(counter: Tensor, key: tuple[int, int]) -> Tensor:
    """Philox4x32-10 of counters (…, 4), int64 holding 32-bit words, to as many words (…, 4).

    >>> zero = philox4x32(torch.zeros(4, dtype=torch.int64), (0, 0))
    >>> [f"{word:08x}" for word in zero.tolist()]
    ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']
    """
    c0, c1, c2, c3 = counter.unbind(-1)
    k0, k1 = key
    for _ in range(_ROUNDS):
        # The 64-bit products wrap to negative int64; the masks undo the sign of the shifted half.
        p0, p1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1 = ((p1 >> 32) & WORD) ^ c1 ^ k0, p1 & WORD
        c2, c3 = ((p0 >> 32) & WORD) ^ c3 ^ k1, p0 & WORD
        k0, k1 = (k0 + _WEYL[0]) & WORD, (k1 + _WEYL[1]) & WORD
    return torch.stack((c0, c1, c2, c3), -1)


def key(seed: int) -> tuple[int, int]:
    """The Philox key of a 64-bit seed: its low half, then its high half.

    Raises ValueError for a seed outside [0, 2⁶⁴).
    """
    if not 0 <= seed < 1 << 64:
        raise ValueError(f"seed {seed} is not an unsigned 64-bit integer")
    return seed & WORD, seed >> 32


def words(seed: int, stream: Stream, count: int, device: Device = "cpu") -> Tensor:
    """The first `count` 32-bit words of a stream, as int64 (count,).

    Raises ValueError for a seed beyond 64 bits or a stream part beyond 32.
    """
    if not all(0 <= part <= WORD for part in stream):
        raise ValueError(f"stream {stream} is not made of unsigned 32-bit integers")
    blocks = torch.arange(-(-count // 4), device=device)
    counter = torch.stack((blocks, *(torch.full_like(blocks, part) for part in stream)), -1)
    return philox4x32(counter, key(seed)).flatten()[:count]


def word_signs(words: Tensor, dtype: torch.dtype = torch.int8) -> Tensor:
    """The 32 signs of each word, (…, W) to (…, 32 W): lowest bit first, bit 1 means -1.

    >>> word_signs(torch.tensor([0b1101]))[:5].tolist()
    [-1, 1, -1, -1, 1]
    """
    # A table of the signs of each byte is many times faster than shifting by 32 bit positions.
    shifts = torch.arange(0, 32, 8, device=words.device)
    bits = torch.arange(256, device=words.device)[:, None] >> torch.arange(8, device=words.device)
    table = (1 - 2 * (bits & 1)).to(dtype)
    return embedding((words[..., None] >> shifts) & 255, table).flatten(-3)


def signs(seed: int, stream: Stream, count: int, device: Device = "cpu") -> Tensor:
    """The first `count` signs of a stream, ±1 as int8 (count,), in the order of `word_signs`.

    >>> signs(7, (0, 0, Purpose.SIGNS), 8).tolist()
    [-1, -1, 1, 1, -1, -1, -1, 1]
    """
    return word_signs(words(seed, stream, -(-count // 32), device))[:count]


def permutation(seed: int, stream: Stream, count: int, device: Device = "cpu") -> Tensor:
    """A permutation of 0 … count - 1, int64 (count,): the indices sorted by word, then by index.

    >>> permutation(7, (0, 0, Purpose.ORDER), 6).tolist()
    [4, 2, 0, 3, 5, 1]

    Raises ValueError beyond 2³¹ entries.
    """
    if count > 1 << _INDEX_BITS:
        raise ValueError(f"a permutation of {count} entries exceeds 2^{_INDEX_BITS}")
    # Keys with the index in their low bits are unique, so every sort algorithm gives one answer.
    index = torch.arange(count, device=device)
    keys = (words(seed, stream, count, device) << _INDEX_BITS) | index
    return keys.sort().values & ((1 << _INDEX_BITS) - 1)


def uniform(seed: int, stream: Stream, count: int, device: Device = "cpu") -> Tensor:
    """Uniform numbers in [-1, 1), float32 (count,): (word >> 8) · 2⁻²³ - 1, exact in float32.

    >>> uniform(7, (0, 0, Purpose.INITIAL), 3)
    tensor([ 0.9092,  0.5003, -0.7716])
    """
    return (words(seed, stream, count, device) >> 8).to(torch.float32) * 2.0**-23 - 1
