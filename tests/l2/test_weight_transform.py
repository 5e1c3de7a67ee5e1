"""The weight transform: invertible, monotone, a dead zone and steps, and the file's dequantizer."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inrcodec.entropy.model import LayerModel
from inrcodec.l2.transform import from_symbols, to_symbols

law = settings(deadline=None)
POSITIVE = st.floats(1e-4, 1e4)
IN_STEPS = st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=20)


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


@law
@given(IN_STEPS, POSITIVE, POSITIVE)
def test_from_symbols_undoes_to_symbols(values, edge, scale):
    edge, scale = tensor(edge), tensor(scale)
    alpha = tensor(values) * (edge + scale)
    back = from_symbols(to_symbols(alpha, edge, scale), edge, scale)
    torch.testing.assert_close(back, alpha, rtol=1e-9, atol=1e-9 * float(edge + scale))


@law
@given(IN_STEPS, POSITIVE, POSITIVE)
def test_to_symbols_undoes_from_symbols(symbols, edge, scale):
    symbols, edge, scale = tensor(symbols), tensor(edge), tensor(scale)
    back = to_symbols(from_symbols(symbols, edge, scale), edge, scale)
    # One rounding error of α is edge/scale of them in a symbol.
    torch.testing.assert_close(back, symbols, rtol=1e-9, atol=1e-14 * float(1 + edge / scale))


@law
@given(IN_STEPS, POSITIVE, POSITIVE)
def test_larger_coefficients_have_larger_symbols(values, edge, scale):
    alpha = tensor(sorted(values)) * (edge + scale)
    symbols = to_symbols(alpha, tensor(edge), tensor(scale))
    assert (symbols.diff() >= 0).all()
    apart = alpha.diff() > 1e-9 * (edge + scale) * (1 + alpha[1:].abs() / (edge + scale))
    assert (symbols.diff()[apart] > 0).all()


@law
@given(POSITIVE, POSITIVE, st.sampled_from([-1, 1]))
def test_there_is_no_jump_at_the_edge(edge, scale, sign):
    near = edge + 1e-9 * min(edge, scale) * np.array([-1, 0, 1])
    symbols = to_symbols(tensor(sign * near), tensor(edge), tensor(scale))
    torch.testing.assert_close(symbols, tensor([sign * 0.5] * 3), rtol=0, atol=1e-8)
    torch.testing.assert_close(from_symbols(symbols, tensor(edge), tensor(scale)),
                               tensor(sign * near), rtol=1e-8, atol=0)  # fmt: skip


@law
@given(IN_STEPS, POSITIVE)
def test_an_edge_of_half_a_step_is_a_uniform_quantizer(values, scale):
    alpha, scale = tensor(values) * scale, tensor(scale)
    symbols = to_symbols(alpha, scale / 2, scale)
    torch.testing.assert_close(symbols, alpha / scale, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(from_symbols(symbols, scale / 2, scale), alpha)


@law
@given(POSITIVE, POSITIVE, st.floats(0, 0.999999))
def test_the_dead_zone_rounds_to_0_and_all_outside_to_more(edge, scale, share):
    edge, scale = tensor(edge), tensor(scale)
    inside = torch.stack([share * edge, -share * edge, edge, -edge])
    assert (to_symbols(inside, edge, scale).round() == 0).all()
    outside = edge + tensor([0.001, 0.999]) * scale
    assert to_symbols(outside, edge, scale).round().tolist() == [1, 1]
    assert to_symbols(-outside, edge, scale).round().tolist() == [-1, -1]


def test_layers_have_transforms_of_their_own():
    alpha = tensor([[0.3, 2.0], [0.3, 2.0]])
    edge, scale = tensor([[0.6], [0.1]]), tensor([[0.8], [1.0]])
    symbols = to_symbols(alpha, edge, scale)
    torch.testing.assert_close(symbols, tensor([[0.25, 2.25], [0.7, 2.4]]))
    torch.testing.assert_close(from_symbols(symbols, edge, scale), alpha)


@pytest.mark.parametrize("transform", [to_symbols, from_symbols])
def test_gradients_in_all_three_are_those_of_finite_differences(transform):
    # On both sides of the edge and of the symbol 1/2, with 0 among them, and off the kinks.
    values = tensor([-3.1, -0.7, -0.2, 0.0, 0.1, 0.35, 0.9, 2.6]).requires_grad_()
    edge = torch.linspace(0.25, 0.45, 8, dtype=torch.float64).requires_grad_()
    scale = torch.linspace(0.5, 1.2, 8, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(transform, (values, edge, scale))
    common = tensor(0.31).requires_grad_(), tensor(0.8).requires_grad_()
    assert torch.autograd.gradcheck(transform, (values, *common))


@law
@given(st.integers(0, 255), st.integers(1, 255))
def test_whole_symbols_are_dequantized_as_in_the_file(step, edge):
    model = LayerModel(step, edge, 0, 0, 40)
    symbols = np.arange(-40, 41, dtype=np.int32)
    scale = tensor(model.step_size)
    values = from_symbols(torch.from_numpy(symbols).double(), edge / 64 * scale, scale)
    np.testing.assert_allclose(values.numpy(), model.dequantize(symbols), rtol=1e-12, atol=0)
