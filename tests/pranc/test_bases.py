"""Each basis is one fixed matrix, given by its product and the product of its transpose."""

import hashlib
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from inrcodec.pranc import philox
from inrcodec.pranc.bases import CHUNK, make_basis
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
    """Arguments of make_basis."""
    sides, words = st.integers(1, 20), st.integers(0, 2**32 - 1)
    seeds = st.integers(0, 2**64 - 1)
    return st.tuples(st.sampled_from(names), sides, sides, st.integers(64, 640), seeds, words)


def vector(length, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(length, dtype=torch.float64, generator=generator)


def columns(basis, dtype=torch.float64, device="cpu"):
    """B as a matrix (D, k)."""
    return torch.stack([basis.expand(e) for e in torch.eye(basis.k, dtype=dtype, device=device)], 1)


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


def digest(name, device="cpu"):
    """SHA-256 of the entries of B as integers, row by row."""
    basis = make_basis(name, 11, 13, 150, SEED, 2, device)
    scaled = columns(basis, device=device) * integer_scale(name, basis.D, basis.k)
    entries = scaled.round()
    torch.testing.assert_close(scaled, entries, rtol=0, atol=1e-9)
    return hashlib.sha256(entries.to(torch.int64).cpu().numpy().astype("<i8").tobytes()).hexdigest()


@law
@given(blocks())
def test_project_is_the_adjoint_of_expand(block):
    basis = make_basis(*block)
    alpha, g = vector(basis.k, 1), vector(basis.D, 2)
    torch.testing.assert_close(basis.expand(alpha) @ g, alpha @ basis.project(g))


@law
@given(blocks())
def test_expand_is_linear(block):
    basis = make_basis(*block)
    a, b = vector(basis.k, 1), vector(basis.k, 2)
    torch.testing.assert_close(
        basis.expand(3 * a - b), 3 * basis.expand(a) - basis.expand(b), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("name", BASES)
def test_expand_and_project_are_one_matrix(name):
    basis = make_basis(name, 7, 9, 100, SEED, 0)
    B = columns(basis)
    transpose = torch.stack([basis.project(e) for e in torch.eye(basis.D, dtype=torch.float64)], 1)
    assert B.shape == (63, basis.k) == (63, coefficients(name, 7, 9, 100))
    torch.testing.assert_close(transpose, B.T)


@law
@given(blocks(["identity", "dense", "kronecker", "sparse"]))
def test_every_row_has_unit_norm(block):
    norms = columns(make_basis(*block)).square().sum(1)
    torch.testing.assert_close(norms, torch.ones_like(norms))


@pytest.mark.parametrize("compaction", [64, 100, 256])
def test_hadamard_rows_have_unit_norm_in_the_mean(compaction):
    norms = columns(make_basis("hadamard", 19, 15, compaction, SEED, 0)).square().sum(1)
    assert abs(norms.mean() - 1) < 0.05


@pytest.mark.parametrize("name", BASES)
def test_the_basis_never_changes(name):
    assert digest(name) == GOLDEN[name]


@pytest.mark.parametrize("name", BASES)
def test_torch_seed_and_threads_have_no_influence(name):
    threads = torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.manual_seed(count)
            torch.set_num_threads(count)
            assert digest(name) == GOLDEN[name]
    finally:
        torch.set_num_threads(threads)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("name", BASES)
def test_a_gpu_grows_the_same_basis(name):
    assert digest(name, "cuda") == GOLDEN[name]


@pytest.mark.parametrize("name", ["dense", "hadamard", "kronecker", "sparse"])
def test_seed_and_block_number_each_change_the_basis(name):
    alpha = vector(coefficients(name, 8, 8, 128), 1)
    drawn = [
        make_basis(name, 8, 8, 128, seed, index).expand(alpha)
        for seed in (1, 2)
        for index in (0, 1)
    ]
    assert all(not torch.equal(a, b) for i, a in enumerate(drawn) for b in drawn[:i])


def test_identity_is_the_identity():
    alpha = vector(12, 1)
    assert torch.equal(make_basis("identity", 3, 4, 999, SEED, 0).expand(alpha), alpha)


def test_dense_networks_are_the_signs_of_their_own_streams():
    B = columns(make_basis("dense", 10, 20, 256, SEED, 6))
    for j in (0, 1, 49):
        signs = philox.signs(SEED, (j, 6, Purpose.SIGNS), 200)
        torch.testing.assert_close(B[:, j], signs / math.sqrt(50), check_dtype=False)


def test_hadamard_follows_the_specification():
    D, k, n = 15, 9, 16
    i = range(n)
    H = torch.tensor([[(-1.0) ** (a & b).bit_count() for b in i] for a in i], dtype=torch.float64)
    signs = [philox.signs(SEED, (t, 4, Purpose.SIGNS), n) for t in (0, 1)]
    order = [philox.permutation(SEED, (t, 4, Purpose.ORDER), n) for t in (0, 1)]
    alpha = vector(k, 1)
    x = torch.cat((alpha, alpha.new_zeros(n - k)))
    for t in (0, 1):
        x = (H @ (signs[t] * x))[order[t]]
    basis = make_basis("hadamard", 3, 5, 110, SEED, 4)
    torch.testing.assert_close(basis.expand(alpha), x[:D] / math.sqrt(n * k))


def test_hadamard_is_orthogonal_at_powers_of_two():
    B = columns(make_basis("hadamard", 16, 16, 64, SEED, 0))
    torch.testing.assert_close(B.T @ B, torch.eye(256, dtype=torch.float64))


def test_kronecker_follows_the_specification():
    rows, cols, (r_rows, r_cols) = 6, 10, kronecker_ranks(6, 10, 128)
    factors = []
    for side, (size, rank) in enumerate([(rows, r_rows), (cols, r_cols)]):
        s = philox.signs(SEED, (side, 4, Purpose.SIGNS), size).tolist()
        p = philox.permutation(SEED, (2 * side, 4, Purpose.ORDER), size).tolist()
        q = philox.permutation(SEED, (2 * side + 1, 4, Purpose.ORDER), size).tolist()[:rank]
        factors.append([[s[i] * (-1.0) ** (p[i] & a).bit_count() for a in q] for i in range(size)])
    U, V = (torch.tensor(factor, dtype=torch.float64) for factor in factors)
    M = vector(r_rows * r_cols, 1).reshape(r_rows, r_cols)
    theta = make_basis("kronecker", rows, cols, 128, SEED, 4).expand(M.flatten())
    torch.testing.assert_close(theta.reshape(rows, cols), U @ M @ V.T / math.sqrt(r_rows * r_cols))


@pytest.mark.parametrize("size", [2, 3, 9, 33, 40, 41, 48, 65, 100])
def test_kronecker_is_well_conditioned_at_full_rank(size):
    U = columns(make_basis("kronecker", size, 1, 64, SEED, 0))
    n = 1 << (size - 1).bit_length()
    assert torch.linalg.cond(U) < math.sqrt(n) + 1e-6


def test_sparse_follows_the_specification():
    signs = philox.signs(SEED, (0, 4, Purpose.SIGNS), 30)
    order = philox.permutation(SEED, (0, 4, Purpose.ORDER), 30)
    basis = make_basis("sparse", 5, 6, 128, SEED, 4)
    alpha = vector(basis.k, 1)
    assert torch.equal(basis.expand(alpha), signs * alpha[order % basis.k])


@pytest.mark.parametrize("compaction", [64, 130, 1000])
def test_sparse_shares_each_coefficient_equally(compaction):
    B = columns(make_basis("sparse", 9, 12, compaction, SEED, 0))
    assert (B.count_nonzero(1) == 1).all()
    shares = B.count_nonzero(0)
    assert shares.max() - shares.min() <= 1


class LargestTensor(TorchDispatchMode):
    """Notes the entries of the largest tensor that any operation returns."""

    entries = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else [out]:
            if isinstance(tensor, torch.Tensor):
                self.entries = max(self.entries, tensor.numel())
        return out


def test_dense_never_holds_the_whole_basis():
    basis = make_basis("dense", 64, 64, 128, SEED, 0)
    assert basis.D * basis.k == 8 * CHUNK
    with LargestTensor() as largest:
        basis.expand(torch.ones(basis.k))
        basis.project(torch.ones(basis.D))
    assert CHUNK // 2 < largest.entries <= CHUNK


def test_dense_is_the_same_in_chunks_of_any_size(monkeypatch):
    whole = columns(make_basis("dense", 10, 20, 128, SEED, 0))
    monkeypatch.setattr("inrcodec.pranc.bases.CHUNK", 7 * 256)
    torch.testing.assert_close(columns(make_basis("dense", 10, 20, 128, SEED, 0)), whole)
    torch.testing.assert_close(
        make_basis("dense", 10, 20, 128, SEED, 0).project(whole[:, 3]), whole.T @ whole[:, 3]
    )


def test_hadamard_memory_is_linear():
    with LargestTensor() as largest:
        basis = make_basis("hadamard", 64, 64, 128, SEED, 0)
        basis.project(basis.expand(torch.ones(basis.k)))
    assert largest.entries <= 4096


@pytest.mark.parametrize("name", BASES)
def test_gradients_to_second_order_are_right(name):
    basis = make_basis(name, 4, 5, 128, SEED, 0)
    alpha, g = vector(basis.k, 1).requires_grad_(), vector(basis.D, 2).requires_grad_()
    assert torch.autograd.gradcheck(basis.expand, alpha)
    assert torch.autograd.gradcheck(basis.project, g)
    assert torch.autograd.gradgradcheck(lambda a: basis.expand(a).square(), alpha)


@pytest.mark.parametrize("name", BASES)
def test_precision_is_that_of_the_coefficients_even_in_autocast(name):
    basis = make_basis(name, 12, 13, 128, SEED, 0)
    exact = basis.expand(vector(basis.k, 1))
    assert exact.dtype == torch.float64
    with torch.autocast("cpu", dtype=torch.bfloat16):
        single = basis.expand(vector(basis.k, 1).float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), exact, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", BASES)
def test_columns_are_mapped_each_on_its_own(name):
    basis = make_basis(name, 12, 13, 128, SEED, 0)
    alphas = torch.stack([vector(basis.k, seed) for seed in range(3)], dim=1)
    gradients = torch.stack([vector(basis.D, seed) for seed in range(3)], dim=1)
    for i in range(3):
        torch.testing.assert_close(basis.expand(alphas)[:, i], basis.expand(alphas[:, i]))
        torch.testing.assert_close(basis.project(gradients)[:, i], basis.project(gradients[:, i]))


def test_refuses_vectors_of_the_wrong_length():
    basis = make_basis("sparse", 4, 4, 128, SEED, 0)
    with pytest.raises(ValueError, match=r"expected 8 coefficients, shape \(8,\), not \(16,\)"):
        basis.expand(torch.zeros(16))
    with pytest.raises(ValueError, match="expected 16 parameters"):
        basis.project(torch.zeros(4, 4))


def test_refuses_unknown_bases_and_seeds():
    with pytest.raises(ValueError, match="unknown basis"):
        make_basis("Dense", 4, 4, 64, SEED, 0)
    for name in ("dense", "hadamard", "kronecker", "sparse"):
        with pytest.raises(ValueError, match="64-bit"):
            make_basis(name, 4, 4, 64, 2**64, 0)
