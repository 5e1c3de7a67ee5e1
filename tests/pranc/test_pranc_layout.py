"""Numbers of coefficients and the work of a block follow integer rules."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from inrcodec.pranc.layout import (
    BASES,
    FACTOR_ENTRIES,
    coefficient_shape,
    coefficients,
    kronecker_ranks,
    work,
)

SIDES = st.integers(1, 300)
COMPACTIONS = st.integers(64, 64 * 200)


def test_ids_of_the_bases_never_change():
    assert BASES == ("identity", "dense", "hadamard", "kronecker", "sparse")


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


@given(SIDES, SIDES, COMPACTIONS)
def test_coefficients_form_the_parameters_matrix_the_ranks_or_a_column(rows, cols, compaction):
    assert coefficient_shape("identity", rows, cols, compaction) == (rows, cols)
    ranks = kronecker_ranks(rows, cols, compaction)
    assert coefficient_shape("kronecker", rows, cols, compaction) == ranks
    for basis in ("dense", "hadamard", "sparse"):
        k = coefficients(basis, rows, cols, compaction)
        assert coefficient_shape(basis, rows, cols, compaction) == (k, 1)


@given(st.sampled_from(BASES), SIDES, SIDES, COMPACTIONS)
def test_work_is_an_upper_estimate_of_what_the_basis_costs(basis, rows, cols, compaction):
    D = rows * cols
    k = coefficients(basis, rows, cols, compaction)
    n = 1 << (D - 1).bit_length()
    r_rows, r_cols = kronecker_ranks(rows, cols, compaction)
    operations = {
        "identity": D,
        "dense": D * k + D * k // 32,
        "hadamard": 2 * n * (n.bit_length() - 1),
        "kronecker": rows * r_rows + cols * r_cols + rows * r_cols * (r_rows + cols),
        "sparse": D * (D - 1).bit_length(),
    }[basis]
    estimate = work(basis, rows, cols, compaction)
    assert operations <= estimate <= 14 * operations + 200 * n + 5000


def test_work_tells_hours_from_seconds():
    wide = {basis: work(basis, 1024, 1025, 65) for basis in BASES}
    assert wide["dense"] > 10**12
    assert max(count for basis, count in wide.items() if basis != "dense") < 3 * 10**9


def test_refuses_what_is_no_layout():
    with pytest.raises(ValueError, match="unknown basis 'fourier'; known are identity, dense"):
        coefficients("fourier", 4, 4, 64)
    with pytest.raises(ValueError, match="63/64"):
        coefficients("identity", 4, 4, 63)
    with pytest.raises(ValueError, match="0 × 4"):
        coefficients("dense", 0, 4, 64)
    with pytest.raises(ValueError, match="unknown basis"):
        work("fourier", 4, 4, 64)


def test_refuses_a_block_too_long_for_kronecker_factors():
    side = math.isqrt(FACTOR_ENTRIES)
    assert coefficients("hadamard", 1, 2 * side, 64) == 2 * side
    with pytest.raises(ValueError, match="too long for the kronecker basis"):
        coefficients("kronecker", 1, 2 * side, 64)
