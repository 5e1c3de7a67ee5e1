"""Each basis is one fixed matrix, whose product with the coefficients takes little memory."""

import hashlib
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inrcodec.pranc import philox
from inrcodec.pranc.bases import CHUNK, expand
from inrcodec.pranc.layout import BASES, coefficients, kronecker_ranks
from inrcodec.pranc.philox import Purpose

SEED = 0xFEDCBA9876543210
GOLDEN = {
    "identity": "eaa17d25a23868f4f14224477d7b0adf0ffee08c8ecd727e16852b3a07b4363d",
    "dense": "b302edce087a9dd88a948294a02e915e791bff055a04bd1d53f06606dfdfa756",
    "hadamard": "3eccb702113a5c280b88736079302eeef156e3cceb1b2103e3cfda165612e892",
    "kronecker": "d1694ef0020ddba30a6b0c5644e876333ebae58bee7c73e62b3dc866559305e9",
    "sparse": "ab3f6cbaa245ce1646acc41bc97cbcb2cbbfdf5a4862fd2bc1b644753e01c049",
}

law = settings(deadline=None)


def blocks(names=BASES):
    """Arguments of expand, but for the coefficients."""
    sides, words = st.integers(1, 20), st.integers(0, 2**32 - 1)
    seeds = st.integers(0, 2**64 - 1)
    return st.tuples(st.sampled_from(names), sides, sides, st.integers(64, 640), seeds, words)


def vector(length, seed):
    return np.random.default_rng(seed).normal(size=length)


def columns(block):
    """B as a matrix (D, k)."""
    return np.stack([expand(*block, e) for e in np.eye(coefficients(*block[:4]))], 1)


def integer_scale(name, D, k):
    """What makes the entries of B integers."""
    n = 1 << (D - 1).bit_length()
    return {
        "identity": 1.0,
        "dense": math.sqrt(k),
        "hadamard": math.sqrt(n * k),
        "kronecker": math.sqrt(k),
        "sparse": 1.0,
    }[name]


@law
@given(blocks())
def test_expand_is_linear(block):
    k = coefficients(*block[:4])
    a, b = vector(k, 1), vector(k, 2)
    together = expand(*block, 3 * a - b)
    apart = 3 * expand(*block, a) - expand(*block, b)
    np.testing.assert_allclose(together, apart, rtol=0, atol=1e-9)


@settings(deadline=None, max_examples=30)
@given(blocks(["identity", "dense", "kronecker", "sparse"]))
def test_every_row_has_unit_norm(block):
    np.testing.assert_allclose(np.square(columns(block)).sum(1), 1)


@pytest.mark.parametrize("compaction", [64, 100, 256])
def test_hadamard_rows_have_unit_norm_in_the_mean(compaction):
    norms = np.square(columns(("hadamard", 19, 15, compaction, SEED, 0))).sum(1)
    assert abs(norms.mean() - 1) < 0.05


@pytest.mark.parametrize("name", BASES)
def test_the_basis_never_changes(name):
    """SHA-256 of the entries of B as integers, row by row."""
    block = (name, 11, 13, 150, SEED, 2)
    scaled = columns(block) * integer_scale(name, 143, coefficients(*block[:4]))
    entries = scaled.round()
    np.testing.assert_allclose(scaled, entries, rtol=0, atol=1e-9)
    assert hashlib.sha256(entries.astype("<i8").tobytes()).hexdigest() == GOLDEN[name]


@pytest.mark.parametrize("name", ["dense", "hadamard", "kronecker", "sparse"])
def test_seed_and_block_number_each_change_the_basis(name):
    alpha = vector(coefficients(name, 8, 8, 128), 1)
    drawn = [expand(name, 8, 8, 128, seed, index, alpha) for seed in (1, 2) for index in (0, 1)]
    assert all(not np.array_equal(a, b) for i, a in enumerate(drawn) for b in drawn[:i])


def test_identity_is_the_identity():
    alpha = vector(12, 1)
    assert np.array_equal(expand("identity", 3, 4, 999, SEED, 0, alpha), alpha)


def test_dense_networks_are_the_signs_of_their_own_streams():
    B = columns(("dense", 10, 20, 256, SEED, 6))
    for j in (0, 1, 49):
        signs = philox.signs(SEED, (j, 6, Purpose.SIGNS), 200)
        np.testing.assert_allclose(B[:, j], signs / math.sqrt(50))


@pytest.mark.parametrize("chunk", [1, 128, 7 * 256])
def test_dense_is_the_same_in_chunks_of_any_size(chunk, monkeypatch):
    alpha = vector(50, 1)
    whole = expand("dense", 10, 20, 256, SEED, 0, alpha)
    monkeypatch.setattr("inrcodec.pranc.bases.CHUNK", chunk)
    np.testing.assert_allclose(expand("dense", 10, 20, 256, SEED, 0, alpha), whole)


def test_hadamard_follows_the_specification():
    D, k, n = 15, 9, 16
    H = np.array([[(-1.0) ** (a & b).bit_count() for b in range(n)] for a in range(n)])
    alpha = vector(k, 1)
    x = np.pad(alpha, (0, n - k))
    for t in (0, 1):
        signs = philox.signs(SEED, (t, 4, Purpose.SIGNS), n)
        x = (H @ (signs * x))[philox.permutation(SEED, (t, 4, Purpose.ORDER), n)]
    theta = expand("hadamard", 3, 5, 110, SEED, 4, alpha)
    np.testing.assert_allclose(theta, x[:D] / math.sqrt(n * k))


def test_hadamard_is_orthogonal_at_powers_of_two():
    B = columns(("hadamard", 16, 16, 64, SEED, 0))
    np.testing.assert_allclose(B.T @ B, np.eye(256), atol=1e-12)


def test_kronecker_follows_the_specification():
    rows, cols, (r_rows, r_cols) = 6, 10, kronecker_ranks(6, 10, 128)
    factors = []
    for side, (size, rank) in enumerate([(rows, r_rows), (cols, r_cols)]):
        s = philox.signs(SEED, (side, 4, Purpose.SIGNS), size).tolist()
        p = philox.permutation(SEED, (2 * side, 4, Purpose.ORDER), size).tolist()
        q = philox.permutation(SEED, (2 * side + 1, 4, Purpose.ORDER), size).tolist()[:rank]
        factors.append([[s[i] * (-1.0) ** (p[i] & a).bit_count() for a in q] for i in range(size)])
    U, V = (np.array(factor) for factor in factors)
    M = vector(r_rows * r_cols, 1).reshape(r_rows, r_cols)
    theta = expand("kronecker", rows, cols, 128, SEED, 4, M.ravel()).reshape(rows, cols)
    np.testing.assert_allclose(theta, U @ M @ V.T / math.sqrt(r_rows * r_cols))


@pytest.mark.parametrize("size", [2, 3, 9, 33, 40, 41, 48, 65, 100])
def test_kronecker_is_well_conditioned_at_full_rank(size):
    U = columns(("kronecker", size, 1, 64, SEED, 0))
    n = 1 << (size - 1).bit_length()
    assert np.linalg.cond(U) < math.sqrt(n) + 1e-6


def test_sparse_follows_the_specification():
    signs = philox.signs(SEED, (0, 4, Purpose.SIGNS), 30)
    order = philox.permutation(SEED, (0, 4, Purpose.ORDER), 30)
    alpha = vector(coefficients("sparse", 5, 6, 128), 1)
    theta = expand("sparse", 5, 6, 128, SEED, 4, alpha)
    assert np.array_equal(theta, signs * alpha[order % len(alpha)])


@pytest.mark.parametrize("compaction", [64, 130, 1000])
def test_sparse_shares_each_coefficient_equally(compaction):
    B = columns(("sparse", 9, 12, compaction, SEED, 0))
    assert (np.count_nonzero(B, 1) == 1).all()
    shares = np.count_nonzero(B, 0)
    assert shares.max() - shares.min() <= 1


@pytest.mark.parametrize(
    ("name", "rows", "cols", "compaction", "limit"),
    [
        ("identity", 500, 501, 64, 0),
        ("hadamard", 500, 501, 65, 0),
        ("sparse", 500, 501, 65, 0),
        ("kronecker", 500, 501, 65, 0),
        ("dense", 64, 65, 64, 10 * CHUNK),
        ("dense", 300, 20, 128, 10 * CHUNK),
        ("dense", 500, 501, 65536, 10 * CHUNK),
        # By one product of three matrices it would be 4 TB.
        ("kronecker", 1024, 1025, 65, 0),
    ],
)
def test_memory_is_linear_in_the_parameters(name, rows, cols, compaction, limit):
    alpha = vector(coefficients(name, rows, cols, compaction), 1).astype(np.float32)
    tracemalloc.start()
    try:
        expand(name, rows, cols, compaction, SEED, 0, alpha)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 * rows * cols + limit


@pytest.mark.parametrize("name", BASES)
def test_precision_is_that_of_the_coefficients(name):
    alpha = vector(coefficients(name, 65, 300, 128), 1)
    exact = expand(name, 65, 300, 128, SEED, 0, alpha)
    single = expand(name, 65, 300, 128, SEED, 0, alpha.astype(np.float32))
    assert exact.dtype == np.float64 and single.dtype == np.float32
    np.testing.assert_allclose(single, exact, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", BASES)
def test_the_coefficients_stay_as_they_are(name):
    alpha = vector(coefficients(name, 4, 5, 128), 1)
    kept = alpha.copy()
    expand(name, 4, 5, 128, SEED, 0, alpha)[:] = 0
    assert np.array_equal(alpha, kept)


def test_refuses_coefficients_of_the_wrong_number():
    with pytest.raises(ValueError, match=r"expected 8 coefficients, shape \(8,\), not \(16,\)"):
        expand("sparse", 4, 4, 128, SEED, 0, np.zeros(16))
    with pytest.raises(ValueError, match="expected 8 coefficients"):
        expand("sparse", 4, 4, 128, SEED, 0, np.zeros((8, 1)))


def test_refuses_unknown_bases_and_seeds():
    with pytest.raises(ValueError, match="unknown basis"):
        expand("Dense", 4, 4, 64, SEED, 0, np.zeros(16))
    for name in ("dense", "hadamard", "kronecker", "sparse"):
        with pytest.raises(ValueError, match="64-bit"):
            expand(name, 4, 4, 64, 2**64, 0, np.zeros(16))
