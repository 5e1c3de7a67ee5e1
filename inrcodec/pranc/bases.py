"""Pseudo-random bases B (D×k) of one block of parameters, as the linear map `Bα`.

B itself is never stored. Every basis is grown from (seed, block index) by the integer rules of
`philox`, and scaled so that coefficients of unit variance give parameters of unit variance: every
row of B has unit norm, for hadamard in the mean over the rows.

- identity: B = I, the control.
- dense: independent signs, as in PRANC (Nooralinejad et al. 2022).
- hadamard: signs, Walsh-Hadamard transform, permutation, twice (after Ailon & Chazelle 2006).
- kronecker: U M Vᵀ with signed Walsh-Hadamard columns as U and V.
- sparse: every parameter shares one coefficient, with a sign (after Chen et al. 2015, HashedNets).

This is the reference in plain NumPy, which decoders use; imports no torch. `torch_bases` has the
differentiable maps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrcodec.pranc import philox
from inrcodec.pranc.layout import coefficient_shape
from inrcodec.pranc.philox import Purpose

CHUNK = 1 << 19
"""Entries of the dense basis that exist at one time."""

Array = NDArray[Any]


def expand(
    name: str, rows: int, cols: int, compaction: int, seed: int, index: int, alpha: Array
) -> Array:
    """Bα: coefficients (k,) to parameters (D,), in alpha's own precision.

    The basis `name` is that of block number `index`, whose D parameters form a rows × cols matrix,
    row by row. `compaction` is D/k in units of 1/64. In float32 it takes at most 40 bytes of memory
    a parameter, with dense 10 more for each of the `CHUNK` entries, with kronecker for each entry
    of U and V.

    >>> expand("dense", 2, 3, compaction=128, seed=7, index=0, alpha=np.ones(3)).round(2)
    array([-0.58,  0.58,  0.58,  1.73, -0.58,  0.58])

    Raises ValueError as `layout.coefficients` does, if alpha does not have k entries, and for a
    seed beyond 64 bits (identity has no use for one).
    """
    M = coefficient_shape(name, rows, cols, compaction)
    if alpha.shape != (math.prod(M),):
        raise ValueError(
            f"expected {math.prod(M)} coefficients, shape ({math.prod(M)},), not {alpha.shape}"
        )
    return _EXPANSION[name](alpha.reshape(M), (rows, cols), seed, index).reshape(-1)


def walsh_entries(i: NDArray[np.int64], j: NDArray[np.int64]) -> NDArray[np.int8]:
    """Entries (-1)^popcount(i & j) of Sylvester's Hadamard matrix, rows i, columns j below 2³².

    >>> walsh_entries(np.arange(4), np.arange(4))
    array([[ 1,  1,  1,  1],
           [ 1, -1,  1, -1],
           [ 1,  1, -1, -1],
           [ 1, -1, -1,  1]], dtype=int8)
    """
    parity = i.astype(np.uint32)[:, None] & j.astype(np.uint32)
    for shift in (16, 8, 4, 2, 1):
        parity ^= parity >> shift
    signs = (parity & 1).astype(np.int8)
    signs *= -2
    signs += 1
    return signs


def kronecker_factor(size: int, rank: int, side: int, seed: int, index: int) -> NDArray[np.int8]:
    """The factor U (side 0) or V (side 1), ±1 (size, rank), its columns nearly orthogonal.

    Rows and columns are drawn from the leading size × size block of a Walsh-Hadamard matrix: its
    condition number is at most √n (n the next power of two, seen in all sizes to 259), where a
    block of random rows and columns is often singular.
    """
    signs = philox.signs(seed, (side, index, Purpose.SIGNS), size)
    rows = philox.permutation(seed, (2 * side, index, Purpose.ORDER), size)
    columns = philox.permutation(seed, (2 * side + 1, index, Purpose.ORDER), size)
    factor = walsh_entries(rows, columns[:rank])
    factor *= signs[:, None]
    return factor


def _identity(alpha: Array, shape: tuple[int, int], seed: int, index: int) -> Array:
    return alpha.copy()


def _dense(alpha: Array, shape: tuple[int, int], seed: int, index: int) -> Array:
    """B[:, j] = signs of stream (j, index, SIGNS) / √k, a piece of some rows and columns a time."""
    D, k = math.prod(shape), alpha.size
    alpha = alpha.reshape(-1)
    key = philox.key(seed)
    block, purpose = (np.array([part], np.uint64) for part in (index, Purpose.SIGNS))
    counters = -(-D // 128)
    # In double precision, because the pieces may be as many as the coefficients.
    theta = np.zeros(counters * 128)
    # Some networks at a time even where D is large, because each time the sums pass through memory.
    length = min(counters, max(1, CHUNK // (128 * 64)))
    networks = max(1, CHUNK // (128 * length))
    for first in range(0, counters, length):
        counter = np.arange(first, min(first + length, counters), dtype=np.uint64)
        part = theta[128 * first : 128 * (first + length)]
        for j in range(0, k, networks):
            item = np.arange(j, min(j + networks, k), dtype=np.uint64)[:, None]
            words = np.stack(philox.rounds((counter, item, block, purpose), key), -1)
            signs = philox.word_signs(words.reshape(len(item), -1).astype(np.uint32))
            part += alpha[j : j + networks] @ signs.astype(alpha.dtype)
    theta /= math.sqrt(k)
    return theta[:D].astype(alpha.dtype)


def _hadamard(alpha: Array, shape: tuple[int, int], seed: int, index: int) -> Array:
    """B = P₂ H S₂ P₁ H S₁ E / √(n k), with E padding k to n = 2^ceil(log2 D) and P₂ keeping D."""
    D, k = math.prod(shape), alpha.size
    n = 1 << (D - 1).bit_length()
    x = np.zeros(n, alpha.dtype)
    x[:k] = alpha.reshape(-1)
    for i in (0, 1):
        x *= philox.signs(seed, (i, index, Purpose.SIGNS), n)
        _walsh_hadamard(x)
        x = x[philox.permutation(seed, (i, index, Purpose.ORDER), n)]
    x *= 1 / math.sqrt(n * k)
    return x[:D]


def _walsh_hadamard(x: Array) -> None:
    """H x in place for x (2^m,), unnormalised."""
    h = 1
    while h < len(x):
        pairs = x.reshape(-1, 2, h)
        first, second = pairs[:, 0], pairs[:, 1]
        total = first + second
        np.subtract(first, second, out=second)
        first[:] = total
        h *= 2


def _kronecker(alpha: Array, shape: tuple[int, int], seed: int, index: int) -> Array:
    """Bα = U M Vᵀ / √k, with M the coefficients and Bα the parameters, both row by row."""
    U, V = (
        kronecker_factor(size, rank, side, seed, index).astype(alpha.dtype)
        for side, (size, rank) in enumerate(zip(shape, alpha.shape, strict=True))
    )
    theta: Array = U @ (alpha * (1 / math.sqrt(alpha.size))).astype(alpha.dtype) @ V.T
    return theta


def _sparse(alpha: Array, shape: tuple[int, int], seed: int, index: int) -> Array:
    """(Bα)ᵢ = sᵢ α[p(i) mod k], with p a permutation of D: all coefficients share equally."""
    D = math.prod(shape)
    share = philox.permutation(seed, (0, index, Purpose.ORDER), D)
    share %= alpha.size
    theta: Array = alpha.reshape(-1)[share]
    theta *= philox.signs(seed, (0, index, Purpose.SIGNS), D)
    return theta


_EXPANSION: dict[str, Callable[[Array, tuple[int, int], int, int], Array]] = {
    "identity": _identity,
    "dense": _dense,
    "hadamard": _hadamard,
    "kronecker": _kronecker,
    "sparse": _sparse,
}
"""From coefficients as a matrix, (rows, cols), seed and block index to the parameters."""
