"""Bjøntegaard deltas: cases with an answer known by hand, laws, and refusals."""

import math
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.bd import MIN_POINTS, BdError, bd_psnr, bd_rate, decibels, frontier

JPEG = [(0.2, 24.1), (0.33, 26.6), (0.5, 29.0), (0.73, 30.9), (1.0, 32.6), (1.6, 35.2)]


def line(rates, slope, offset):
    """A curve that is straight over log-rate: quality = offset + slope log2(rate)."""
    return [(rate, offset + slope * math.log2(rate)) for rate in rates]


RATES = (0.1, 0.2, 0.4, 0.8, 1.6)


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize(("factor", "percent"), [(2, 100), (0.5, -50), (1, 0), (1.1, 10)])
def test_rates_times_a_factor_at_equal_quality(factor, percent):
    delta = bd_rate(JPEG, [(factor * rate, quality) for rate, quality in JPEG])
    assert delta.value == pytest.approx(percent, abs=1e-9)
    assert (delta.low, delta.high) == (24.1, 35.2)


@pytest.mark.parametrize("shift", [1.0, -0.25])
def test_quality_shifted_at_identical_rates(shift):
    delta = bd_psnr(JPEG, [(rate, quality + shift) for rate, quality in JPEG])
    assert delta.value == pytest.approx(shift)
    assert (delta.low, delta.high) == pytest.approx((0.2, 1.6))


def test_parallel_lines_have_a_closed_form():
    # At 3 dB an octave, 1.5 dB more is half an octave less: 2^(-1/2) of the rate.
    anchor, test = line(RATES, 3, 30), line(RATES, 3, 31.5)
    assert bd_rate(anchor, test).value == pytest.approx(100 * (2**-0.5 - 1))
    assert bd_psnr(anchor, test).value == pytest.approx(1.5)


def test_crossing_lines_have_a_closed_form():
    # Equal at rate 0.4, the middle of the octaves: +1 dB at one end and -1 dB at the other.
    anchor, test = line(RATES, 3, 30), line(RATES, 3.5, 30 + 0.5 * math.log2(2.5))
    assert bd_psnr(anchor, test).value == pytest.approx(0)
    above = [point for point in anchor if point[0] >= 0.4]
    above.append((1.0, 30.0))
    # From 0.4 to 1.6 the difference grows from 0 to 1 dB: 0.5 dB on average over log-rate.
    assert bd_psnr(above, test).value == pytest.approx(0.5)


def test_only_the_common_interval_counts():
    anchor, test = line(RATES, 3, 30), line([4 * rate for rate in RATES], 3, 30)
    delta = bd_rate(anchor, test)
    assert delta.value == pytest.approx(0, abs=1e-9)
    assert (delta.low, delta.high) == pytest.approx((test[0][1], anchor[-1][1]))


rates = st.floats(0.02, 2)


@st.composite
def curves(draw, low=28.0, high=34.0):
    """Rising curves that all reach from `low` to `high`."""
    count = draw(st.integers(MIN_POINTS, 8))
    steps = draw(st.lists(st.floats(0.05, 1), min_size=2 * count, max_size=2 * count))
    rate, quality = draw(rates), 0.0
    points = []
    for more, better in zip(steps[:count], steps[count:], strict=True):
        points.append((rate, quality))
        rate, quality = rate * (1 + more), quality + better
    span = points[-1][1]
    return [(rate, low + (high - low) * quality / span) for rate, quality in points]


@given(curves(), curves())
def test_there_and_back_is_no_change(a, b):
    there, back = bd_rate(a, b).value / 100, bd_rate(b, a).value / 100
    assert (1 + there) * (1 + back) == pytest.approx(1)


@given(curves(), st.floats(0.3, 3))
def test_a_unit_of_rate_does_not_matter(curve, unit):
    scaled = [(unit * rate, quality) for rate, quality in JPEG]
    other = [(unit * rate, quality) for rate, quality in curve]
    assert bd_rate(scaled, other).value == pytest.approx(bd_rate(JPEG, curve).value, abs=1e-6)


@given(curves(), st.randoms())
def test_neither_order_nor_beaten_points_matter(curve, random):
    expected = bd_rate(JPEG, curve).value
    worse = [(1.01 * rate, quality - 0.1) for rate, quality in curve]
    mixed = [*curve, *curve, *worse, (1.0, math.inf), (1.0, math.nan)]
    random.shuffle(mixed)
    assert bd_rate(JPEG, mixed).value == pytest.approx(expected)


def test_frontier_drops_what_another_point_beats():
    points = [(3, 30.5), (1, 30.0), (2, 31.0), (2, 30.8), (4, 31.0), (5, 33.0), (0, 20.0)]
    assert frontier(points) == [(1, 30.0), (2, 31.0), (5, 33.0)]


@pytest.mark.parametrize("delta", [bd_rate, bd_psnr])
def test_curves_apart_are_refused(delta):
    with pytest.raises(BdError, match=r"^the curves have no (quality|rate) in common$"):
        delta(JPEG, [(10 * rate, quality + 20) for rate, quality in JPEG])


@pytest.mark.parametrize("delta", [bd_rate, bd_psnr])
def test_curves_that_barely_overlap_are_refused(delta):
    far = [(6 * rate, quality + 9.5) for rate, quality in JPEG]
    with pytest.raises(BdError, match=r"^the curves share \d+% of the test curve's"):
        delta(JPEG, far)


@pytest.mark.parametrize("delta", [bd_rate, bd_psnr])
def test_too_few_usable_points_are_refused(delta):
    falling = [(rate, -quality) for rate, quality in JPEG]
    with pytest.raises(BdError, match="1 usable points in the test curve"):
        delta(JPEG, falling)
    with pytest.raises(BdError, match="3 usable points in the anchor curve"):
        delta(JPEG[:3], JPEG)
    with pytest.raises(BdError, match="0 usable points in the test curve"):
        delta(JPEG, [(1.0, math.inf)])


def test_decibels_of_ms_ssim():
    assert decibels(0.9) == pytest.approx(10)
    assert decibels(1.0) == math.inf
