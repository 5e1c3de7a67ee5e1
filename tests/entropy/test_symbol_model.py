"""The symbol model: integer frequencies, their cost, the fit and dequantization."""

from decimal import Decimal, getcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inrcodec.entropy.model import _FACTORS, LIMIT_MAGNITUDE, RATES, LayerModel, coarsen, fit_model

CODES = st.integers(0, 255)
MODELS = st.builds(LayerModel, CODES, CODES, CODES, CODES, st.integers(0, 300))
EXTREMES = [
    LayerModel(0, edge, slope, curvature, largest)
    for edge in (0, 1, 32, 255)
    for slope, curvature in ((0, 0), (1, 0), (0, 1), (255, 255), (180, 60))
    for largest in (0, 1, LIMIT_MAGNITUDE)
]


def check_table(model):
    f, M = model.frequencies, model.largest
    assert f.dtype == np.int64 and f.shape == (2 * M + 1,)
    assert f.min() >= 1 and f.sum() == 1 << 24
    assert (f == f[::-1]).all()
    assert (np.diff(f[M + 1 :]) <= 0).all()


@given(MODELS)
def test_frequencies_are_a_symmetric_falling_table_of_24_bits(model):
    check_table(model)


@pytest.mark.parametrize("model", EXTREMES)
def test_frequencies_at_the_limits_do_not_overflow(model):
    check_table(model)


def test_factors_are_the_roots_of_one_half():
    getcontext().prec = 40
    power = Decimal("0.5")
    for factor in _FACTORS:
        power = power.sqrt()
        assert factor == round(power * 2**31)


def test_codes_cover_a_wide_range_in_fine_steps():
    assert RATES[0] == 0 and RATES[1] * 2.0**-32 < 3e-9 and RATES[255] == 7.5 * 2**32
    assert (np.diff(RATES[1:]) > 0).all() and (RATES[2:] <= 1.125 * RATES[1:-1]).all()


def test_slope_and_curvature_are_laplace_and_gauss():
    two_bits = int((RATES == 2 << 32).argmax())
    f = LayerModel(0, 32, two_bits, 0, 4).frequencies[4:] / 2**24
    np.testing.assert_allclose(f[1:] / f[:-1], 1 / 4, rtol=1e-3)
    f = LayerModel(0, 32, 0, two_bits, 2).frequencies[2:] / 2**24
    np.testing.assert_allclose(f / f[0], [1, 1 / 4, 1 / 256], rtol=1e-3)


def test_zero_is_as_likely_as_its_dead_zone_is_wide():
    wide, narrow = (LayerModel(0, edge, 0, 0, 3).frequencies for edge in (64, 16))
    assert wide[3] / wide[2] == pytest.approx(2, rel=1e-5)
    assert narrow[3] / narrow[2] == pytest.approx(1 / 2, rel=1e-5)


@given(MODELS, st.integers(0, 4))
def test_coarse_frequencies_are_sums_over_the_symbols_of_a_group(model, withheld):
    M = model.largest
    expected = {}
    for q, f in zip(range(-M, M + 1), model.frequencies.tolist(), strict=True):
        c = (abs(q) >> withheld) * (1 if q > 0 else -1)
        expected[c] = expected.get(c, 0) + f
    assert model.coarse_frequencies(withheld).tolist() == [expected[c] for c in sorted(expected)]


@given(MODELS, st.data())
def test_bits_are_the_ideal_code_length(model, data):
    M = model.largest
    symbols = np.array(data.draw(st.lists(st.integers(-M, M), min_size=1)), dtype=np.int32)
    expected = -np.log2(model.frequencies[symbols + M] / 2**24).sum()
    assert model.bits(symbols) == pytest.approx(expected, abs=1e-9)


@given(CODES, CODES)
def test_a_value_is_the_middle_of_its_interval(step, edge):
    model = LayerModel(step, edge, 0, 0, 9)
    q = np.arange(-9, 10, dtype=np.int32)
    values = model.dequantize(q) / 2 ** ((step - 192) / 8)
    positive = values[10:]
    np.testing.assert_allclose(positive, edge / 64 + np.arange(9) + 0.5, rtol=1e-12)
    assert values[9] == 0 and (values == -values[::-1]).all()


def test_a_coarse_value_is_the_middle_of_its_group():
    model = LayerModel(120, 40, 0, 0, 63)
    fine = model.dequantize(np.arange(8, 16, dtype=np.int32))
    coarse = model.dequantize(np.array([1, 0, -1], dtype=np.int32), withheld=3)
    np.testing.assert_allclose(coarse, [fine.mean(), 0, -fine.mean()], rtol=1e-12)


@given(st.lists(st.integers(-1000, 1000), min_size=1), st.integers(0, 4))
def test_coarsening_shifts_magnitudes(values, withheld):
    q = np.array(values, dtype=np.int32)
    c = coarsen(q, withheld)
    assert c.dtype == np.int32
    assert (np.abs(c) == np.abs(q) // 2**withheld).all() and (c * q >= 0).all()


def least_bits(symbols, edge):
    """The bits of the best of all 65,536 pairs of codes."""
    counts = np.bincount(np.abs(symbols))
    M = len(counts) - 1
    x = np.arange(M + 1) + edge / 64 - 0.5
    x[0] = 0
    rates = RATES * 2.0**-32
    best = np.inf
    for slope in rates:
        w = np.exp2(-(slope + rates[:, None] * x) * x)
        w[:, 0] *= edge / 32
        f = 1 + np.floor(w * ((2**24 - 2 * M - 1) / (2 * w.sum(1) - w[:, 0]))[:, None])
        f[:, 0] = 2**24 - 2 * f[:, 1:].sum(1)
        best = min(best, ((24 - np.log2(f)) @ counts).min())
    return best


SHAPES = {
    "normal": lambda rng, n: rng.normal(0, 1, n),
    "laplace": lambda rng, n: rng.laplace(0, 1, n),
    "heavy": lambda rng, n: rng.standard_t(2, n),
    "flat": lambda rng, n: rng.uniform(-1, 1, n),
    "sparse": lambda rng, n: rng.normal(0, 1, n) * (rng.random(n) < 0.1),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("spread", "edge"), [(0.3, 32), (0.7, 180), (4, 32), (12, 90)])
def test_fit_is_within_one_bit_of_the_best_of_all_codes(shape, spread, edge):
    rng = np.random.default_rng(edge)
    values = SHAPES[shape](rng, 1500) * spread
    magnitudes = np.clip(np.floor(np.abs(values) + 1 - edge / 64), 0, 40)
    symbols = (np.sign(values) * magnitudes).astype(np.int32)
    model = fit_model(symbols, step=100, edge=edge)
    assert (model.step, model.edge, model.largest) == (100, edge, np.abs(symbols).max())
    assert model.bits(symbols) < least_bits(symbols, edge) + 1


def test_fit_of_zeros_costs_nothing():
    zeros = np.zeros(50, dtype=np.int32)
    model = fit_model(zeros, step=100, edge=0)
    assert model.largest == 0 and model.bits(zeros) == 0


@given(st.lists(st.integers(-LIMIT_MAGNITUDE, LIMIT_MAGNITUDE), max_size=9), CODES)
def test_fit_takes_any_symbols(values, edge):
    symbols = np.array(values, dtype=np.int32)
    model = fit_model(symbols, step=0, edge=edge)
    assert np.isfinite(model.bits(symbols))


def test_refuses_what_does_not_fit_the_format():
    with pytest.raises(ValueError, match="edge 256 is not a code"):
        LayerModel(0, 256, 0, 0, 1)
    with pytest.raises(ValueError, match="step -1"):
        LayerModel(-1, 0, 0, 0, 1)
    with pytest.raises(ValueError, match="a magnitude of 16384; at most 16383"):
        LayerModel(0, 0, 0, 0, 16384)
    with pytest.raises(ValueError, match="a magnitude of 2147483648"):
        fit_model(np.array([-(2**31)], dtype=np.int32), step=0, edge=32)
