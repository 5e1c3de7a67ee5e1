"""Numbers of coefficients follow integer rules that need no torch."""

import math
import subprocess
import sys

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from inrcodec.pranc.layout import BASES, FACTOR_ENTRIES, coefficients, kronecker_ranks

SIDES = st.integers(1, 300)
COMPACTIONS = st.integers(64, 64 * 200)


def test_ids_of_the_bases_never_change():
    assert BASES == ("identity", "dense", "hadamard", "kronecker", "sparse")


def test_needs_no_torch():
    code = "import sys, inrcodec.pranc.layout; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@given(SIDES, SIDES, COMPACTIONS)
def test_k_is_d_over_compaction_rounded_up(rows, cols, compaction):
    for basis in ("dense", "hadamard", "sparse"):
        k = coefficients(basis, rows, cols, compaction)
        assert (k - 1) * compaction < 64 * rows * cols <= k * compaction


@given(SIDES, SIDES, COMPACTIONS)
def test_identity_has_every_parameter(rows, cols, compaction):
    assert coefficients("identity", rows, cols, compaction) == rows * cols


@given(SIDES, SIDES)
def test_no_compaction_gives_every_basis_k_equal_d(rows, cols):
    assert {coefficients(basis, rows, cols, 64) for basis in BASES} == {rows * cols}
    assert kronecker_ranks(rows, cols, 64) == (rows, cols)


@given(SIDES, SIDES, COMPACTIONS)
def test_kronecker_is_within_one_rank_of_the_target(rows, cols, compaction):
    target = coefficients("dense", rows, cols, compaction)
    r_rows, r_cols = kronecker_ranks(rows, cols, compaction)
    assert 1 <= r_rows <= rows and 1 <= r_cols <= cols
    short_rank = r_rows if rows <= cols else r_cols
    assert target - short_rank < r_rows * r_cols <= target
    assert coefficients("kronecker", rows, cols, compaction) == math.prod((r_rows, r_cols))


@given(SIDES, SIDES, COMPACTIONS)
def test_kronecker_treats_both_sides_alike(rows, cols, compaction):
    assume(rows != cols)
    assert kronecker_ranks(rows, cols, compaction) == kronecker_ranks(cols, rows, compaction)[::-1]


def test_refuses_what_is_no_layout():
    with pytest.raises(ValueError, match="unknown basis 'fourier'; known are identity, dense"):
        coefficients("fourier", 4, 4, 64)
    with pytest.raises(ValueError, match="63/64"):
        coefficients("identity", 4, 4, 63)
    with pytest.raises(ValueError, match="0 × 4"):
        coefficients("dense", 0, 4, 64)


def test_refuses_a_block_too_long_for_kronecker_factors():
    side = math.isqrt(FACTOR_ENTRIES)
    assert coefficients("hadamard", 1, 2 * side, 64) == 2 * side
    with pytest.raises(ValueError, match="too long for the kronecker basis"):
        coefficients("kronecker", 1, 2 * side, 64)
