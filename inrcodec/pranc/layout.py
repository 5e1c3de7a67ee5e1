"""How many coefficients a block of parameters has, by integer rules that a file reader shares.

Imports no torch: the container and `info` size their segments with it.
"""

from __future__ import annotations

import math

BASES: tuple[str, ...] = ("identity", "dense", "hadamard", "kronecker", "sparse")
"""The bases; a name's index here is its id in the file format."""

NO_COMPACTION = 64
"""Compaction D/k counts in units of 1/64, so this one means k = D."""

FACTOR_ENTRIES = 1 << 24
"""The most entries that the two factors of a kronecker basis may have together."""


def coefficients(basis: str, rows: int, cols: int, compaction: int) -> int:
    """The number k of coefficients of a block whose D parameters form a rows × cols matrix.

    `compaction` is D/k in units of 1/64. Identity ignores it; kronecker rounds k down to a product
    of ranks.

    >>> coefficients("hadamard", 40, 41, compaction=128)
    820
    >>> coefficients("kronecker", 40, 41, compaction=128)
    812
    >>> coefficients("identity", 40, 41, compaction=128)
    1640

    Raises ValueError for an unknown basis, a compaction below 64, an empty matrix, or a matrix too
    long for the kronecker basis.
    """
    return math.prod(coefficient_shape(basis, rows, cols, compaction))


def coefficient_shape(basis: str, rows: int, cols: int, compaction: int) -> tuple[int, int]:
    """The matrix that a block's k coefficients form, row by row: k × 1 where they have no order.

    >>> coefficient_shape("kronecker", 40, 41, compaction=128)
    (28, 29)

    Raises ValueError as `coefficients` does.
    """
    if basis not in BASES:
        raise ValueError(f"unknown basis {basis!r}; known are {', '.join(BASES)}")
    target = _target(rows, cols, compaction)
    shape = _SHAPES.get(basis)
    return (target, 1) if shape is None else shape(rows, cols, compaction)


def kronecker_ranks(rows: int, cols: int, compaction: int) -> tuple[int, int]:
    """The shape (r_rows, r_cols) of the coefficient matrix M in the update U M Vᵀ.

    Both sides shrink in proportion. The shorter side is rounded first, so that the product is at
    most the target k and misses it by less than the shorter side's rank.

    >>> kronecker_ranks(48, 48, compaction=256)
    (24, 24)

    Raises ValueError as `coefficients` does.
    """
    k = _target(rows, cols, compaction)
    short, long = min(rows, cols), max(rows, cols)
    # At least ceil(k / long), or the long side would need a rank above its length.
    r_short = max(math.isqrt(k * short // long), -(-k // long))
    r_long = k // r_short
    if short * r_short + long * r_long > FACTOR_ENTRIES:
        raise ValueError(f"a {rows} × {cols} block is too long for the kronecker basis")
    return (r_short, r_long) if rows <= cols else (r_long, r_short)


_SHAPES = {
    "identity": lambda rows, cols, compaction: (rows, cols),
    "kronecker": kronecker_ranks,
}
"""Shapes of the bases whose coefficients form a matrix."""

WORD_WORK = 32
"""Operations that a pseudo-random word counts for in `work`: ten rounds of Philox make four."""


def work(basis: str, rows: int, cols: int, compaction: int) -> int:
    """Upper estimate of the operations that growing a block's θ = θ₀ + S·Bα takes.

    An operation is a multiplication, an addition or a comparison; a pseudo-random word counts as
    `WORD_WORK` of them. With NumPy on one core an operation takes 0.1 to 2 ns, least in the matrix
    products of kronecker. Memory needs no check of its own: see `bases.expand`.

    >>> work("identity", 40, 41, compaction=128)
    57400
    >>> work("dense", 1024, 1025, compaction=64) > 10**12
    True

    Raises ValueError as `coefficients` does.
    """
    ranks = coefficient_shape(basis, rows, cols, compaction)
    # θ₀ takes a word a parameter; θ two products and a sum.
    return rows * cols * (WORD_WORK + 3) + _EXPANSION[basis](rows, cols, *ranks)


def _identity_work(rows: int, cols: int, r_rows: int, r_cols: int) -> int:
    return 0


def _dense_work(rows: int, cols: int, r_rows: int, r_cols: int) -> int:
    D, k = rows * cols, r_rows * r_cols
    return k * (D + WORD_WORK * _sign_words(D))


def _hadamard_work(rows: int, cols: int, r_rows: int, r_cols: int) -> int:
    n = 1 << (rows * cols - 1).bit_length()
    transform = n * (n.bit_length() - 1)
    return 2 * (transform + _permutation_work(n) + n + WORD_WORK * _sign_words(n))


def _kronecker_work(rows: int, cols: int, r_rows: int, r_cols: int) -> int:
    factors = 0
    for size, rank in ((rows, r_rows), (cols, r_cols)):
        # An entry's sign is the parity of 32 bits: five shifts and five differences.
        factors += 12 * size * rank + 2 * _permutation_work(size) + WORD_WORK * _sign_words(size)
    return factors + rows * r_cols * (r_rows + cols)


def _sparse_work(rows: int, cols: int, r_rows: int, r_cols: int) -> int:
    D = rows * cols
    return D + _permutation_work(D) + WORD_WORK * _sign_words(D)


_EXPANSION = {
    "identity": _identity_work,
    "dense": _dense_work,
    "hadamard": _hadamard_work,
    "kronecker": _kronecker_work,
    "sparse": _sparse_work,
}


def _permutation_work(n: int) -> int:
    return n * (WORD_WORK + n.bit_length())


def _sign_words(n: int) -> int:
    # Philox makes four words of 32 signs at a time.
    return 4 * -(-n // 128)


def _target(rows: int, cols: int, compaction: int) -> int:
    if rows < 1 or cols < 1:
        raise ValueError(f"a block needs at least one row and column, not {rows} × {cols}")
    if compaction < NO_COMPACTION:
        raise ValueError(
            f"compaction {compaction}/64 is below 1: more coefficients than parameters"
        )
    return -(-NO_COMPACTION * rows * cols // compaction)
