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
    if basis not in BASES:
        raise ValueError(f"unknown basis {basis!r}; known are {', '.join(BASES)}")
    target = _target(rows, cols, compaction)
    if basis == "identity":
        return rows * cols
    if basis == "kronecker":
        return math.prod(kronecker_ranks(rows, cols, compaction))
    return target


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


def _target(rows: int, cols: int, compaction: int) -> int:
    if rows < 1 or cols < 1:
        raise ValueError(f"a block needs at least one row and column, not {rows} × {cols}")
    if compaction < NO_COMPACTION:
        raise ValueError(
            f"compaction {compaction}/64 is below 1: more coefficients than parameters"
        )
    return -(-NO_COMPACTION * rows * cols // compaction)
