"""The learning rate warms up and falls to 0, and progress goes from 0 to 1."""

import math
from itertools import pairwise

import pytest

from inrcodec.optim import clock as schedule
from inrcodec.optim.clock import WARM_UP, Clock, cosine


@pytest.mark.parametrize("steps", [80, 250, 40000])
def test_the_learning_rate_starts_small_peaks_near_1_and_ends_near_0(steps):
    rates = [cosine(step, steps) for step in range(steps)]
    warm_up = min(WARM_UP, steps / 10)
    assert rates[0] == pytest.approx(1 / warm_up, rel=0.01)
    assert cosine(3, steps) / cosine(1, steps) == pytest.approx(2, rel=0.02)
    peak = max(range(steps), key=rates.__getitem__)
    assert peak == pytest.approx(warm_up - 1, abs=1) and 0.97 < rates[peak] <= 1
    assert all(a < b for a, b in pairwise(rates[: peak + 1]))
    assert all(a > b for a, b in pairwise(rates[peak:]))
    assert 0 < rates[-1] < 3 / steps**2
    assert cosine(steps // 2, steps) == pytest.approx(0.5)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_few_steps_have_learning_rates_too(steps):
    assert all(0 < cosine(step, steps) <= 1 for step in range(steps))


@pytest.fixture
def now(monkeypatch):
    """The time, to be moved by hand: seconds in now[0]."""
    times = [1000.0]
    monkeypatch.setattr(schedule.time, "monotonic", lambda: times[0])
    return times


def test_shares_rise_from_0_to_1_and_the_time_left_falls_to_0(now):
    reports = []
    clock = Clock(50, reports.append)
    for step in range(60):
        now[0] += 1.0
        clock.advance(1, "fit", psnr=20.0 + step, size=100)
    shares = [report.share for report in reports]
    assert shares == pytest.approx([min(1, (step + 1) / 50) for step in range(60)])
    assert reports[9].seconds_left == pytest.approx(40)
    assert reports[49].seconds_left == reports[59].seconds_left == 0
    assert (reports[3].phase, reports[3].psnr, reports[3].size) == ("fit", 23.0, 100)


def test_reports_come_a_few_times_a_second(now):
    reports = []
    clock = Clock(10000, reports.append)
    for _ in range(2000):
        now[0] += 0.005
        clock.advance(1, "fit")
    assert 30 <= len(reports) <= 50
    assert reports[-1].share == pytest.approx(0.2, abs=0.005)
    assert all(math.isfinite(report.seconds_left) for report in reports)


def test_without_a_listener_nothing_happens():
    Clock(1, None).advance(1, "fit")
