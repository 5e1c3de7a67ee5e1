"""Numba, PyTorch and Triton compute the formulas of `inrcodec.kernels.reference`."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from inrcodec.families.pyramid.fit.backend import Terms
from inrcodec.families.pyramid.fit.device import rounding
from inrcodec.families.pyramid.fit.device.rate import laplace_bits
from inrcodec.families.pyramid.fit.device.rounding import rounding_numbers
from inrcodec.families.pyramid.kernels import output_filter, plane_filter
from inrcodec.families.pyramid.kernels.blocks import Layers
from inrcodec.families.pyramid.kernels.latents import (
    Rounding,
    interpolate_rows,
    interpolate_rows_back,
    soft_round,
)
from inrcodec.families.pyramid.kernels.rate import RateGradient, rate_rows, rate_scratch
from inrcodec.families.pyramid.kernels.tables import PlaneTables
from inrcodec.families.pyramid.latents import BORDER, interpolation
from inrcodec.families.siren.kernels.elementwise import sine_layer
from inrcodec.kernels import reference

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

LAPLACE = [(centre, scale) for centre in (-0.3, 0.0, 1.7) for scale in (-6.0, -1.5, 0.0, 2.2, 10.0)]
"""Centre and log₂ scale, beyond the limits of the scale too."""

# (height, width) of a plane; a single sample, and fewer samples than taps.
SHAPES = [(1, 1), (2, 3), (7, 5), (4, 12)]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def gpu():
    return pytest.importorskip("inrcodec.families.pyramid.kernels.gpu")


def adjoint(linear, shape, d_out):
    """Gradient by the input (shape) of a linear function, from that by its output."""
    count = math.prod(shape)
    units = np.eye(count).reshape(count, *shape)
    return np.array([(linear(unit) * d_out).sum() for unit in units]).reshape(shape)


def bordered(plane):
    return np.pad(plane, ((BORDER, 0), (BORDER, BORDER))).astype(np.float32)


def inner(padded):
    return padded[BORDER:, BORDER:-BORDER]


def single(array):
    return np.ascontiguousarray(array, dtype=np.float32)


# The reference itself


def test_laplace_slopes_are_the_derivatives_of_the_bits():
    values = np.linspace(-4.3, 4.1, 43)  # Neither 0 nor ½ from a centre, where slopes jump.
    step = 1e-5
    for centre, scale in LAPLACE:
        slopes = reference.laplace_slopes(values, centre, scale)
        place = np.array([values, np.full(43, centre), np.full(43, scale)])
        for axis, slope in enumerate(slopes):
            move = step * np.eye(3)[axis][:, None]
            change = reference.laplace_bits(*place + move) - reference.laplace_bits(*place - move)
            assert slope == pytest.approx(change / (2 * step), rel=1e-3, abs=1e-4)


def test_laplace_probabilities_of_all_integers_add_up_to_one():
    symbols = np.arange(-4000, 4001)
    for centre, scale in LAPLACE:
        probabilities = 2.0 ** -reference.laplace_bits(symbols, centre, scale) - reference.FLOOR
        assert probabilities.sum() == pytest.approx(1, abs=1e-3)


def test_noise_is_triangular_and_in_range():
    u = reference.noise(np.arange(200_000), seed=7, width=0.8)
    assert np.abs(u).max() <= 0.4 and abs(u.mean()) < 0.002
    assert u.std() == pytest.approx(0.4 / math.sqrt(6), rel=0.01)
    assert abs(np.corrcoef(u[1:], u[:-1])[0, 1]) < 0.01


def test_soft_rounding_has_its_limits_and_its_slope():
    y = np.linspace(-2.3, 2.4, 102)
    assert reference.soft_round(y, 50.0)[0] == pytest.approx(y, abs=1e-3)
    assert np.array_equal(reference.soft_round(y, 0.01)[0].round(6), np.floor(y + 0.5))
    u = reference.noise(np.arange(102), 3, 1.0)
    above, below = (reference.soft_round(y + step, 0.4, u)[0] for step in (1e-6, -1e-6))
    slope = reference.soft_round(y, 0.4, u)[1]
    assert slope == pytest.approx((above - below) / 2e-6, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize(("dtype", "near"), [(np.float32, 2e-5), (np.float64, 2e-5)])
def test_the_sine_polynomial_is_a_sine(dtype, near):
    x = np.linspace(-90, 90, 20001).astype(dtype)
    sine, cosine = reference.sine_and_cosine(x)
    assert sine.dtype == cosine.dtype == dtype
    assert np.abs(sine - np.sin(x.astype(float))).max() < near
    assert np.abs(cosine - np.cos(x.astype(float))).max() < near


# Numba


def test_numba_sines_are_the_references():
    x = np.linspace(-90, 90, 20001).astype(np.float32)[None]
    sine, cosine = np.empty_like(x), np.empty_like(x)
    sine_layer(x, sine, cosine)
    for ours, theirs in zip((sine, cosine), reference.sine_and_cosine(x), strict=True):
        assert np.abs(ours - theirs).max() < 5e-6


@pytest.mark.parametrize("temperature", [0.0, 0.1, 0.5, 2.0])
@pytest.mark.parametrize("seed", [0, 5, 0xFFFFFFFF])
def test_numba_soft_rounding_is_the_references(temperature, seed, rng):
    y = single(rng.normal(size=3001) * 3)
    inside = (rng.random(3001) < 0.8).astype(np.float32)
    q, slope = np.empty_like(y), np.empty_like(y)
    for first, last in ((0, 1111), (1111, 3001)):
        soft_round(y, q, slope, inside, Rounding(temperature, 0.7, seed), first, last)
    u = reference.noise(np.arange(3001), seed, 0.7)
    expected, expected_slope = reference.soft_round(y.astype(float), temperature, u)
    smooth = away_from_jumps(y, temperature, u)
    assert np.abs(q - inside * expected)[smooth].max() < 1e-4
    assert np.abs(slope - inside * expected_slope)[smooth].max() < 1e-3 * expected_slope.max()


def away_from_jumps(y, temperature, u):
    """Where a rounding error does not move a value past an integer: s is kinked there."""
    v = y if temperature == 0 else reference.soft_round(y.astype(float), temperature)[0] + u
    edge = 0.5 if temperature == 0 else 0.0
    return np.abs(v + edge - np.round(v + edge)) > 1e-4


@pytest.mark.parametrize(("centre", "scale"), LAPLACE)
def test_numba_rates_are_the_references(centre, scale, rng):
    height, width, neighbours = 6, 137, 10
    plane, zero = bordered(rng.normal(size=(height, width)) * 3), np.zeros((1, 1), np.float32)
    # With weights of 0 all latents have the biases as centre and scale, and nothing else matters.
    shapes = ((8, neighbours + 6), (8,), (8, 8), (8,), (4, 8), (4,))
    layers = Layers(*(np.zeros(shape, np.float32) for shape in shapes))
    layers.b3[:2] = centre, scale
    near = (np.zeros((height, 2), np.int64), np.zeros((width, 2), np.int64))
    far = (np.zeros(height, np.int64), np.zeros(width, np.int64))
    tables = PlaneTables(plane, zero, *near, zero, *far, np.float32(1), np.float32(0))
    d_layers = Layers(*(np.zeros_like(array) for array in layers))
    gradient = RateGradient(
        np.float32(0.5), np.zeros_like(plane), zero.copy(), zero.copy(), d_layers
    )
    scratch = rate_scratch(16)
    bits = sum(
        rate_rows(tables, layers, first, last, gradient, scratch, True)
        for first, last in ((0, 2), (2, height))
    )
    values = inner(plane)
    by_value, by_centre, by_scale = reference.laplace_slopes(values, centre, scale)
    assert bits == pytest.approx(reference.laplace_bits(values, centre, scale).sum(), rel=1e-4)
    assert inner(gradient.plane) == pytest.approx(by_value / 2, rel=2e-3, abs=1e-3)
    assert d_layers.b3[0] == pytest.approx(by_centre.sum() / 2, rel=2e-3, abs=0.02)
    assert d_layers.b3[1] == pytest.approx(by_scale.sum() / 2, rel=2e-3, abs=0.02)
    alone = rate_rows(tables, layers, 0, height, gradient, scratch, False)
    assert alone == pytest.approx(bits, rel=1e-5), "bits do not depend on differentiation"


@pytest.mark.parametrize("level", [0, 1, 3])
@pytest.mark.parametrize("size", [1, 3, 4, 90])
def test_numba_interpolation_and_its_adjoint_are_the_references(level, size, rng):
    rows, width = 3, (size << level) - (1 << level >> 1)
    indices, taps = interpolation(np.arange(float(width)), level, size)
    cols = indices + BORDER
    plane = rng.normal(size=(rows, size))
    out = np.empty((rows, width), np.float32)
    interpolate_rows(bordered(plane), cols, taps, BORDER, out, 0, rows)
    assert out == pytest.approx(reference.interpolate(plane, indices, taps), abs=1e-5)
    d_out, d_plane = single(rng.normal(size=(rows, width))), bordered(np.zeros((rows, size)))
    interpolate_rows_back(d_out, cols, taps, BORDER, d_plane, 0, rows)
    expected = adjoint(lambda p: reference.interpolate(p, indices, taps), (rows, size), d_out)
    assert inner(d_plane) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("count", [0, 1, 3])
def test_numba_plane_filters_and_their_adjoints_are_the_references(shape, count, rng):
    height, _ = shape
    plane, taps = rng.normal(size=shape), single(rng.normal(size=count))
    expected = reference.filter_plane(plane, taps)
    assert plane_filter.smoothed(single(plane), taps) == pytest.approx(expected, abs=1e-4)
    padded, a, d_a = bordered(plane), np.empty(shape, np.float32), np.empty(shape, np.float32)
    plane_filter.smooth_along(padded, BORDER, taps, a, 0, height)
    g = rng.normal(size=shape)
    d_plane, d_taps = bordered(np.zeros(shape)), np.zeros(count, np.float32)
    # Two threads' bands.
    bands = ((0, height // 2), (height // 2, height))
    for band in bands:
        plane_filter.smooth_across_back(bordered(g), a, taps, d_a, d_taps, *band)
    for band in bands:
        plane_filter.smooth_along_back(d_a, padded, taps, d_plane, d_taps, *band)
    by_plane = adjoint(lambda p: reference.filter_plane(p, taps), shape, g)
    assert inner(d_plane) == pytest.approx(by_plane, abs=1e-4)
    for j in range(count):
        move = 1e-5 * np.eye(count)[j]
        above, below = (reference.filter_plane(plane, taps + m) for m in (move, -move))
        assert d_taps[j] == pytest.approx((g * (above - below)).sum() / 2e-5, abs=1e-3)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_numba_output_filters_and_their_adjoints_are_the_references(shape, channels, rng):
    height, _ = shape
    x = rng.normal(size=(channels, *shape))
    weight, bias = (single(rng.normal(size=s)) for s in ((channels, 9 * channels), (channels,)))
    wide = single(np.pad(x, ((0, 0), (0, 0), (1, 1))))
    output_filter.spread_rows(wide, 0, height)
    expected = reference.filter_output(x, weight, bias)
    out, d_out = np.empty(x.shape, np.float32), np.empty(wide.shape, np.float32)
    output_filter.filter_rows(wide, weight, bias, out, 0, height)
    assert out == pytest.approx(expected, abs=1e-4)
    target = single(rng.normal(size=x.shape))
    share = np.float32(0.25)
    squares = output_filter.filter_error(wide, weight, bias, target, share, d_out, 0, height)
    assert squares == pytest.approx(((expected - target) ** 2).sum(), rel=1e-4)
    g = (expected - target) / 2
    assert d_out[:, :, 1:-1] == pytest.approx(g, abs=1e-4)
    d_x, d_weight, d_bias = np.empty_like(wide), np.zeros_like(weight), np.zeros_like(bias)
    output_filter.filter_rows_back(d_out, weight, d_x, 0, height)
    output_filter.filter_gradient(wide, d_out, d_weight, d_bias, 0, height)
    no_bias = np.zeros(channels)
    by_x = adjoint(lambda p: reference.filter_output(p, weight, no_bias), x.shape, g)
    assert d_x[:, :, 1:-1] == pytest.approx(by_x, abs=1e-3)
    by_weight = adjoint(lambda w: reference.filter_output(x, w, no_bias) - x, weight.shape, g)
    assert d_weight == pytest.approx(by_weight, abs=1e-3)
    assert d_bias == pytest.approx(g.sum((1, 2)), abs=1e-3)


def test_numba_output_filters_at_places_are_the_references(rng):
    x = rng.normal(size=(2, 5, 6))
    weight, bias = single(rng.normal(size=(2, 18))), single(rng.normal(size=2))
    rows = np.clip(np.array([0, 2, 4])[:, None] + np.arange(-1, 2), 0, 4)
    cols = np.clip(np.array([5, 1])[:, None] + np.arange(-1, 2), 0, 5)
    out = np.empty((2, 3, 2), np.float32)
    output_filter.filter_places(single(x), weight, bias, rows, cols, out)
    expected = reference.filter_output(x, weight, bias)[:, rows[:, 1:2], cols[:, 1]]
    assert out == pytest.approx(expected, abs=1e-4)


# PyTorch


@pytest.mark.parametrize(("centre", "scale"), LAPLACE)
def test_pytorch_rates_and_their_slopes_are_the_references(centre, scale, rng):
    values = rng.normal(size=500) * 3
    inputs = [torch.tensor(x).float().expand(500).clone() for x in (centre, scale)]
    inputs.insert(0, torch.from_numpy(values).float())
    for tensor in inputs:
        tensor.requires_grad_()
    bits = laplace_bits(*inputs)
    bits.sum().backward()
    expected = reference.laplace_bits(values, centre, scale)
    assert bits.detach().numpy() == pytest.approx(expected, rel=1e-3, abs=1e-4)
    slopes = reference.laplace_slopes(values, centre, scale)
    for tensor, slope in zip(inputs, slopes, strict=True):
        assert tensor.grad.numpy() == pytest.approx(slope, rel=5e-3, abs=1e-3)


@pytest.mark.parametrize("seed", [0, 5, 0xFFFFFFFF])
def test_pytorch_soft_rounding_is_the_references(seed, rng):
    y, places = single(rng.normal(size=700) * 3), np.arange(700) * 3
    numbers = rounding_numbers(Terms(0.4, 0.7, seed, np.ones(1), ()))
    q, slopes = rounding.soft_round(
        torch.from_numpy(y), torch.from_numpy(places), torch.tensor(seed), torch.tensor(numbers)
    )
    u = reference.noise(places, seed, 0.7)
    expected, expected_slopes = reference.soft_round(y.astype(float), 0.4, u)
    smooth = away_from_jumps(y, 0.4, u)
    assert np.abs(q.numpy() - expected)[smooth].max() < 1e-4
    assert np.abs(slopes.numpy() - expected_slopes)[smooth].max() < 1e-2


# Triton


def there(array, dtype=torch.float32):
    return torch.tensor(np.asarray(array), dtype=dtype, device=DEVICE)


@pytest.mark.parametrize("seed", [0, 5, 0xFFFFFFFF])
def test_triton_soft_rounding_is_the_references(seed, gpu, rng):
    y, places, temperature, width = single(rng.normal(size=700) * 3), np.arange(700) * 3, 0.4, 0.7
    norm = 0.5 / math.tanh(0.5 / temperature)
    sharpness = 2 * math.log2(math.e) / temperature
    given = [sharpness, norm, norm / temperature, width * 2.0**-17, width / 2]
    seed_there = torch.tensor(seed, dtype=torch.int64, device=DEVICE)
    q, slopes = gpu.soft_round(there(y), there(places, torch.int32), seed_there, there(given))
    u = reference.noise(places, seed, width)
    expected, expected_slopes = reference.soft_round(y.astype(float), temperature, u)
    smooth = away_from_jumps(y, temperature, u)
    assert np.abs(q.cpu().numpy() - expected)[smooth].max() < 1e-4
    assert np.abs(slopes.cpu().numpy() - expected_slopes)[smooth].max() < 1e-2


def test_triton_rates_are_the_references(gpu, rng, monkeypatch):
    monkeypatch.setattr(gpu, "RATE", (64, 4))
    count, inputs, units = 200, 16, 8
    values = rng.normal(size=count) * 3
    prices, plane_of = np.array([0.5, 2.0]), rng.integers(0, 2, count)
    index = rng.integers(0, count, (inputs, count))
    price = prices[plane_of]
    for centre, scale in LAPLACE:
        last = np.zeros((2, units + 1))
        last[:, -1] = centre, scale
        hidden = np.zeros(units * (inputs + 1) + units * (units + 1))
        theta = np.concatenate([hidden, last.ravel()])
        bits, d_inputs, d_values, d_theta = gpu.rate(
            *(there(values), there(index, torch.int32), there(plane_of, torch.int8)),
            *(there(theta), there(prices), units, True),
        )
        by_value, by_centre, by_scale = reference.laplace_slopes(values, centre, scale)
        expected = reference.laplace_bits(values, centre, scale)
        assert bits.cpu().numpy() == pytest.approx(expected, rel=1e-3, abs=1e-4)
        assert d_values.cpu().numpy() == pytest.approx(price * by_value, rel=5e-3, abs=1e-3)
        assert not d_inputs.any(), "weights of 0"
        d_last = d_theta[-2 * (units + 1) :].reshape(2, -1).cpu().numpy()
        assert d_last[0, -1] == pytest.approx((price * by_centre).sum(), rel=5e-3, abs=0.02)
        assert d_last[1, -1] == pytest.approx((price * by_scale).sum(), rel=5e-3, abs=0.02)


def test_triton_collecting_is_the_adjoint_of_reading(gpu, rng):
    count, inputs = 40, 5
    index = rng.integers(0, count, (inputs, count))
    readers = [np.flatnonzero(index.ravel() == place) for place in range(count)]
    table = np.full((max(map(len, readers)), count), index.size)
    for place, own in enumerate(readers):
        table[: len(own), place] = own
    d_inputs, d_values = single(rng.normal(size=index.shape)), single(rng.normal(size=count))
    total = there(d_values)
    gpu.collect(there(d_inputs), there(table, torch.int32), total)
    expected = d_values + adjoint(lambda values: values[index], (count,), d_inputs)
    assert total.cpu().numpy() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("second", [0, 6])
def test_triton_sine_layers_and_their_gradients_are_the_references(second, gpu, rng, monkeypatch):
    monkeypatch.setattr(gpu, "SINES", (32, 4))
    planes, width, channels, count = 4, 8, 3, 90
    z = rng.normal(size=(planes, count))
    shapes = [(width, planes + 1), *([(second, width + 1)] if second else [])]
    matrices = [rng.normal(size=s) for s in (*shapes, (channels, (second or width) + 1))]
    theta = there(np.concatenate([m.ravel() for m in matrices]))
    d_out = rng.normal(size=(channels, count))
    # The chain rule by hand; sines and cosines are the reference's.
    layers, x = [], z
    for matrix in matrices[:-1]:
        sine, cosine = reference.sine_and_cosine(matrix[:, :-1] @ x + matrix[:, -1:])
        layers.append((x, cosine))
        x = sine
    expected = matrices[-1][:, :-1] @ x + matrices[-1][:, -1:]
    out = gpu.sines(there(z), theta, width, second, channels)
    assert out.cpu().numpy() == pytest.approx(expected, abs=1e-3)
    g, by_matrix = d_out, [np.column_stack([d_out @ x.T, d_out.sum(1)])]
    for matrix, (x, cosine) in zip(matrices[:0:-1], layers[::-1], strict=True):
        g = (matrix[:, :-1].T @ g) * cosine
        by_matrix.append(np.column_stack([g @ x.T, g.sum(1)]))
    d_z, d_theta = gpu.sines_back(there(z), theta, width, second, there(d_out))
    wanted = np.concatenate([m.ravel() for m in by_matrix[::-1]])
    for ours, theirs in ((d_z, matrices[0][:, :-1].T @ g), (d_theta, wanted)):
        assert np.linalg.norm(ours.cpu().numpy() - theirs) < 5e-3 * np.linalg.norm(theirs)
