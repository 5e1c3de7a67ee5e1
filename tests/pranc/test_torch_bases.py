"""PyTorch's maps by a basis and its transpose are those of the NumPy reference, on any device."""

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from inrcodec.pranc import bases
from inrcodec.pranc.layout import BASES, coefficients
from inrcodec.pranc.torch_bases import CHUNK, make_basis

SEED = 0xFEDCBA9876543210
DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
    ),
]

law = settings(deadline=None, max_examples=30)


@st.composite
def blocks(draw):
    """Arguments of make_basis, up to 65 × 300."""
    rows, cols = draw(st.sampled_from([(20, 20), (65, 300), (300, 65)]))
    return (
        draw(st.sampled_from(BASES)),
        draw(st.integers(1, rows)),
        draw(st.integers(1, cols)),
        draw(st.integers(64, 640)),
        draw(st.integers(0, 2**64 - 1)),
        draw(st.integers(0, 2**32 - 1)),
    )


def vector(length, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(length, dtype=torch.float64, generator=generator)


def columns(basis):
    """B as a matrix (D, k)."""
    return basis.expand(torch.eye(basis.k, dtype=torch.float64))


@pytest.mark.parametrize("device", DEVICES)
@law
@given(blocks())
@example(("kronecker", 1, 1, 64, SEED, 0))
@example(("hadamard", 1, 1, 64, SEED, 0))
@example(("dense", 65, 300, 64, SEED, 0))
def test_expand_is_the_references(device, block):
    basis = make_basis(*block, device)
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 3e-5)):
        alpha = vector(basis.k, 1).to(dtype)
        expected = bases.expand(*block, alpha.numpy())
        found = basis.expand(alpha.to(device)).cpu()
        assert found.dtype == dtype and found.shape == expected.shape
        np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=tolerance)
        if basis.name in ("identity", "sparse"):
            assert np.array_equal(found.numpy(), expected)


@pytest.mark.parametrize("device", DEVICES)
@law
@given(blocks())
def test_project_is_the_adjoint_of_the_references_expand(device, block):
    basis = make_basis(*block, device)
    alpha, g = vector(basis.k, 1), vector(basis.D, 2)
    expanded = torch.from_numpy(bases.expand(*block, alpha.numpy()))
    projected = basis.project(g.to(device)).cpu()
    bound = alpha.norm().item() * projected.norm().item()
    torch.testing.assert_close(expanded @ g, alpha @ projected, rtol=0, atol=1e-12 * (1 + bound))


@pytest.mark.parametrize("name", BASES)
def test_expand_and_project_are_one_matrix(name):
    basis = make_basis(name, 7, 9, 100, SEED, 0)
    B = columns(basis)
    transpose = torch.stack([basis.project(e) for e in torch.eye(basis.D, dtype=torch.float64)], 1)
    assert B.shape == (63, basis.k) == (63, coefficients(name, 7, 9, 100))
    torch.testing.assert_close(transpose, B.T)


@pytest.mark.parametrize("name", BASES)
def test_torch_seed_and_threads_have_no_influence(name):
    threads = torch.get_num_threads()
    drawn = []
    try:
        for count in (1, 2):
            torch.manual_seed(count)
            torch.set_num_threads(count)
            drawn.append(columns(make_basis(name, 11, 13, 150, SEED, 2)))
    finally:
        torch.set_num_threads(threads)
    torch.testing.assert_close(*drawn)


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
    monkeypatch.setattr("inrcodec.pranc.torch_bases.CHUNK", 7 * 256)
    torch.testing.assert_close(columns(make_basis("dense", 10, 20, 128, SEED, 0)), whole)
    torch.testing.assert_close(
        make_basis("dense", 10, 20, 128, SEED, 0).project(whole[:, 3]), whole.T @ whole[:, 3]
    )


@pytest.mark.parametrize("name", ["hadamard", "kronecker", "sparse"])
def test_memory_is_linear_in_the_parameters(name):
    with LargestTensor() as largest:
        basis = make_basis(name, 64, 64, 128, SEED, 0)
        basis.project(basis.expand(torch.ones(basis.k)))
    assert largest.entries <= 4096


def test_gradients_through_a_wide_kronecker_block_take_little_memory():
    """By one product of three matrices it would be 4 TB."""
    with LargestTensor() as largest:
        basis = make_basis("kronecker", 1024, 1025, 65, SEED, 0)
        alpha = torch.ones(basis.k, requires_grad=True)
        basis.expand(alpha).sum().backward()
    assert largest.entries <= 1025 * 1025
    assert alpha.grad.shape == alpha.shape


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
