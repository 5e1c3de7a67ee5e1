"""PyTorch's parameters of a block are those of the NumPy reference, on any device."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inrcodec.pranc.blocks import BlockSpec, Initial, grow
from inrcodec.pranc.layout import BASES, coefficient_shape
from inrcodec.pranc.torch_blocks import Block

SEED = 0x1122334455667788
DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
    ),
]


def spec(basis, rows, cols):
    start = Initial(centre=0.5, spread=0.7, scale=0.11)
    return BlockSpec.of(basis, rows, [(cols - 1, Initial.uniform(0.3)), (1, start)])


def vector(*shape, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(shape, dtype=dtype, generator=generator)


@pytest.mark.parametrize("device", DEVICES)
@settings(deadline=None, max_examples=50)
@given(st.sampled_from(BASES), st.integers(1, 65), st.integers(1, 300), st.integers(64, 640))
def test_parameters_are_the_references(device, basis, rows, cols, compaction):
    block = Block.grow(spec(basis, rows, cols), 0, SEED, compaction, device)
    alpha = vector(block.basis.k)
    (expected,) = grow([spec(basis, rows, cols)], SEED, compaction, [alpha.numpy()])
    theta = block.matrix(alpha.to(device)).cpu().numpy()
    np.testing.assert_allclose(theta, expected, rtol=0, atol=1e-5)
    if basis in ("identity", "sparse") and device == "cpu":
        assert np.array_equal(theta, expected)


@pytest.mark.parametrize("basis", BASES)
def test_project_is_the_gradient_by_the_coefficients(basis):
    block = Block.grow(spec(basis, 6, 5), 2, SEED, 128, dtype=torch.float64)
    alpha = vector(block.basis.k, dtype=torch.float64).requires_grad_()
    gradients = vector(3, 6, 5, dtype=torch.float64)
    projected = block.project(gradients)
    for gradient, row in zip(gradients, projected, strict=True):
        (expected,) = torch.autograd.grad(block.matrix(alpha), alpha, gradient)
        torch.testing.assert_close(row, expected)
        torch.testing.assert_close(block.project(gradient), expected)


@pytest.mark.parametrize("basis", BASES)
def test_a_block_knows_its_shapes_and_starts_at_zero(basis):
    block = Block.grow(spec(basis, 6, 5), 2, SEED, 128, dtype=torch.float64)
    assert (block.rows, block.cols, block.basis.D) == (6, 5, 30)
    assert block.coefficient_shape == coefficient_shape(basis, 6, 5, 128)
    assert block.zeros().shape == (block.basis.k,) and not block.zeros().any()
    assert torch.equal(block.matrix(block.zeros()), block.theta0)
    assert block.theta0.dtype == block.scale.dtype == torch.float64
