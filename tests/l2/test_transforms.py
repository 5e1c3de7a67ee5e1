"""The weight transforms: invertible, odd, increasing, with a dead zone, and with true gradients."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inrcodec.entropy.model import LayerModel
from inrcodec.l2 import transform
from inrcodec.l2.transform import TRANSFORMS, UNIFORM, Transform

law = settings(deadline=None)
# A growth of more than e² from one symbol to the next is no quantizer.
POSITIVE = st.floats(1e-2, 2.0)
SYMBOLS = st.lists(st.floats(-40, 40), min_size=1, max_size=20)
each = pytest.mark.parametrize("name", TRANSFORMS)


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def parameters_of(name, values):
    return tensor(values[: len(TRANSFORMS[name].parameters)])


@each
@law
@given(SYMBOLS, st.tuples(POSITIVE, POSITIVE, POSITIVE))
def test_weights_and_symbols_are_one_to_one(name, values, numbers):
    chosen, parameters = TRANSFORMS[name], parameters_of(name, numbers)
    symbols = tensor(values)
    weights = chosen.from_symbols(symbols, parameters)
    back = chosen.to_symbols(weights, parameters)
    # One rounding error of a weight is edge / step of them in a symbol.
    torch.testing.assert_close(back, symbols, rtol=1e-9, atol=1e-11)
    again = chosen.from_symbols(back, parameters)
    torch.testing.assert_close(again, weights, rtol=1e-6, atol=1e-9)


@each
@law
@given(SYMBOLS, st.tuples(POSITIVE, POSITIVE, POSITIVE))
def test_larger_weights_have_larger_symbols_and_negative_ones_negative(name, values, numbers):
    chosen, parameters = TRANSFORMS[name], parameters_of(name, numbers)
    weights = tensor(sorted(values))
    symbols = chosen.to_symbols(weights, parameters)
    assert (symbols.diff() >= 0).all()
    assert torch.equal(chosen.to_symbols(-weights, parameters), -symbols)


@each
@law
@given(st.tuples(POSITIVE, POSITIVE, POSITIVE), st.floats(0, 0.999))
def test_the_dead_zone_is_pruned_and_all_beyond_is_not(name, numbers, share):
    chosen, parameters = TRANSFORMS[name], parameters_of(name, numbers)
    edge = parameters[0]
    inside = torch.stack([share * edge, -share * edge])
    assert (chosen.quantize(inside, parameters) == 0).all()
    outside = edge * 1.001
    assert chosen.to_symbols(outside, parameters) > 0.5
    assert chosen.quantize(outside, parameters) > 0


@each
def test_gradients_by_weights_and_parameters_are_those_of_finite_differences(name):
    # On both sides of the edge and of the knee, with 0 among them, and off the kinks.
    values = tensor([-7.3, -3.1, -0.7, -0.2, 0.0, 0.1, 0.35, 0.9, 2.6, 9.2]).requires_grad_()
    parameters = parameters_of(name, [0.31, 0.8, 1.7]).requires_grad_()
    for function in (TRANSFORMS[name].to_symbols, TRANSFORMS[name].from_symbols):
        assert torch.autograd.gradcheck(function, (values, parameters))


@each
def test_the_start_is_fine(name):
    weights = torch.from_numpy(np.random.default_rng(0).normal(size=999))
    chosen = TRANSFORMS[name]
    parameters = chosen.start(weights, 31)
    assert parameters.shape == (len(chosen.parameters),) and (parameters > 0).all()
    symbols = chosen.to_symbols(weights, parameters)
    assert symbols.abs().max() == pytest.approx(31.5, abs=0.6)
    error = (chosen.quantize(weights, parameters) - weights).abs().max()
    assert error < 0.1 * weights.abs().max()
    assert (chosen.start(torch.zeros(3), 31) > 0).all()


@each
def test_the_gradient_passes_the_rounding(name):
    parameters = parameters_of(name, [0.3, 0.4, 0.9])
    weights = tensor([-2.0, 0.1, 1.3]).requires_grad_()
    TRANSFORMS[name].quantize(weights, parameters).sum().backward()
    assert (weights.grad > 0).all()


@law
@given(st.integers(100, 250), st.integers(1, 255))
def test_uniform_symbols_have_the_values_of_a_symbol_model(step, edge):
    model = LayerModel(step, edge, 0, 0, 40)
    symbols = np.arange(-40, 41, dtype=np.int32)
    parameters = tensor([edge / 64 * model.step_size, model.step_size])
    values = UNIFORM.from_symbols(torch.from_numpy(symbols).double(), parameters)
    np.testing.assert_allclose(values.numpy(), model.dequantize(symbols), rtol=1e-12, atol=0)


def test_other_transforms_can_be_registered(monkeypatch):
    monkeypatch.setattr(transform, "TRANSFORMS", dict(TRANSFORMS))
    square = Transform("square", ("edge",), UNIFORM.to_symbols, UNIFORM.from_symbols, UNIFORM.start)
    transform.register(square)
    assert transform.find("square") is square
    assert transform.register(square) is square
    with pytest.raises(ValueError, match="there is a transform 'uniform' already"):
        transform.register(Transform("uniform", (), *[square.to_symbols] * 2, square.start))
    with pytest.raises(ValueError, match="unknown transform 'cube'; known are uniform, log"):
        transform.find("cube")
