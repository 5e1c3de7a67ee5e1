"""The descent of a pyramid's rounded latents: what it keeps count of is true, and it only gains."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from inrcodec.container.head import Header
from inrcodec.families.pyramid.fit import rdoq as pyramid_descent
from inrcodec.families.pyramid.fit.problem import PyramidProblem, samples_of
from inrcodec.families.pyramid.fit.rdoq import Descent
from inrcodec.families.pyramid.fit.start import start
from inrcodec.families.pyramid.shape import Pyramid
from inrcodec.image import Raster

LEVELS = (5, 4, 3, 2, 2, 1, 0)
WEIGHT = 0.003
NETWORKS = [
    {},
    {"filtered": True},
    {"second": 8},
    {"filtered": True, "second": 4},
    {"taps": 1},
    {"filtered": True, "second": 4, "taps": 3},
]


def problem(channels=3, width=70, height=90, threads=1, levels=LEVELS, **network):
    """A picture with its start in closed form, half as fine as it may be, and a random context."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width] / 30
    samples = (
        128 + 60 * np.sin(x * 5 + y)[..., None] + rng.normal(size=(height, width, channels)) * 20
    )
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        pyramid = Pyramid(channels, 8, 8, levels, **network)
        header = Header(pyramid, width, height)
        raster = Raster(samples.clip(0, 255).astype(np.uint8), has_alpha=channels in (2, 4))
        made = PyramidProblem(samples_of(raster), header)
    finally:
        torch.set_num_threads(before)
    start(made, WEIGHT, seed=1)
    for index, alpha in enumerate(made.alphas):
        # Of the context network exactly as the file has it: in 2^-12.
        exact = index >= pyramid.synthesis_blocks
        alpha.copy_((alpha * 512).round() / 512 if exact else alpha)
    if pyramid.filtered:
        taps = made.alphas[pyramid.mixed_blocks]
        taps.copy_(torch.from_numpy(rng.normal(size=taps.shape) * 0.2))
    if pyramid.taps:
        taps = made.alphas[made.plane_filters]
        taps.copy_(torch.from_numpy(rng.normal(size=taps.shape) * 0.4))
    return made


def judge(made, q):
    """Error and bits by the kernels of the training."""
    made.y[:] = q
    return made.loss(WEIGHT, 0)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("network", NETWORKS)
def test_it_keeps_count_and_gains(channels, network, threads):
    made = problem(channels, threads=threads, **network)
    descent = Descent(made)
    error, bits = judge(made, descent.q)
    for _ in range(2):
        before = error + WEIGHT * bits / made.pixels
        descent.run(WEIGHT)
        error, bits = judge(made, descent.q)
        assert error + WEIGHT * bits / made.pixels < before - 1e-5
        assert descent.error == pytest.approx(error, rel=2e-4)
        assert descent.bits == pytest.approx(bits, rel=1e-2 if made.architecture.taps else 5e-3)
    assert np.array_equal(descent.q, np.round(descent.q))
    assert not descent.q[made.planes[-1].start :][: made.width + 4].any(), "borders stay 0"


@pytest.mark.parametrize("levels", [(4, 3, 2, 2, 1, 2, 1, 0), (3, 2, 1, 2, 2, 1)])
@pytest.mark.parametrize("threads", [1, 3])
def test_of_several_sets_the_last_one_moves(levels, threads):
    made = problem(levels=levels, threads=threads)
    for plane in made.planes:
        plane.inner(made.y)[0, 0] = 1  # A plane of zeros would cost nothing.
    descent = Descent(made)
    before = descent.q.copy()
    error, bits = judge(made, before)
    first = made.planes[len(levels) - made.architecture.sets[-1]].start
    descent.run(WEIGHT)
    assert np.array_equal(descent.q[:first], before[:first])
    assert not np.array_equal(descent.q[first:], before[first:])
    after, left = judge(made, descent.q)
    assert after + WEIGHT * left / made.pixels < error + WEIGHT * bits / made.pixels - 1e-5
    assert descent.error == pytest.approx(after, rel=2e-4)
    # A symbol's table ends at its plane's largest, here often 1: that saves a per cent.
    kept = descent.bits
    assert kept == pytest.approx(left, rel=2e-2)
    made.run(descent._measure)
    assert descent.bits == pytest.approx(kept, rel=1e-9)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("k", range(4))
def test_a_latent_moves_exactly_where_that_pays(k, network, monkeypatch):
    monkeypatch.setattr(pyramid_descent, "JUDGED_SHARE", 0.0)
    made = problem(width=23, height=18, levels=(2, 1, 1, 0), **network)
    rng, plane = np.random.default_rng(k), made.planes[k]
    for other in made.planes:
        other.inner(made.y)[:] = rng.integers(-2, 3, other.shape) if other is not plane else 0
    height, width = plane.shape
    tried = 0
    corners = ((0, 0), (height - 1, width - 1), (1, width - 2))
    for y, x in (*corners, (height // 2, width // 3), (height // 3, width // 2)):
        plane.inner(made.y)[:] = 0
        after = Descent(made)
        plane.inner(made.y)[y, x] = 1
        before = Descent(made)
        # A plane of zeros alone would cost nothing: its bits are counted as in a plane of -1 to 1.
        without = Descent(made)
        plane.inner(without.q)[:] = 0
        without._measure(0)
        squares = (after.error - before.error) * made.target.size
        if squares <= 0 or without.bits >= before.bits:
            continue
        tried += 1
        level = squares / (before.bits - without.bits)
        for cost in (0.98 * level, 1.02 * level):
            trial = Descent(made)
            trial._descend(k, cost, y, y + 1)
            gains = squares + cost * (without.bits - before.bits) < 0
            assert plane.inner(trial.q)[y, x] == (0 if gains else 1)
            assert abs(trial.q - before.q).sum() == gains
    assert tried


def test_with_less_to_save_it_tries_less():
    made = problem()

    def cost(saving):
        descent = Descent(made, saving)
        descent.run(WEIGHT)
        return descent.error + WEIGHT * descent.bits / made.pixels

    nothing, some, everything = (cost(saving) for saving in (-1e6, 2.0, 8.0))
    start = Descent(made)
    assert nothing == start.error + WEIGHT * start.bits / made.pixels
    assert everything < nothing and some < nothing - 0.8 * (nothing - everything)


@pytest.mark.parametrize("threads", [1, 2])
def test_it_is_led_to_a_number_of_bits(threads):
    made = problem(threads=threads)
    whole, led = Descent(made), Descent(made)
    bits = whole.bits
    whole.run(4 * WEIGHT)
    saved = bits - whole.bits
    wanted = bits - 0.5 * saved
    # It needs a smaller λ than it begins with, and comes to know it.
    assert led.lead(4 * WEIGHT, wanted) < 4 * WEIGHT
    assert abs(led.bits - wanted) < 0.1 * saved
    # And back up: latents return to what they were.
    higher = led.bits + 0.2 * saved
    led.lead(WEIGHT, higher)
    assert abs(led.bits - higher) < 0.1 * saved


def test_threads_do_not_race():
    first, second = (Descent(problem(threads=3)) for _ in range(2))
    for descent in (first, second):
        descent.run(WEIGHT)
    assert np.array_equal(first.q, second.q) and first.error == second.error


@pytest.mark.parametrize("height", [20, 90, 130])
def test_of_many_threads_each_has_rows_of_its_own(height, monkeypatch):
    descent = Descent(problem(height=height, threads=16, levels=(1, 0), taps=1))
    rows: dict[int, list[tuple[int, int]]] = {}
    monkeypatch.setattr(
        descent, "_descend", lambda k, cost, first, last: rows[k].append((first, last))
    )
    for k, plane in enumerate(descent._problem.planes):
        rows[k] = []
        descent._run_edges_of(k, 1.0)
        edges = sorted(rows[k])
        reach = descent._reach
        assert all(b[0] - reach >= a[1] + reach for a, b in pairwise(edges)), "edges stay apart"
        rows[k] = []
        descent._run_plane(k, 1.0, 0, 1)
        bands = sorted((first, last) for first, last in rows[k] if first < last)
        assert all(b[0] - reach >= a[1] + reach for a, b in pairwise(bands)), "bands stay apart"
        once = sorted(y for first, last in edges + bands for y in range(first, last))
        assert once == list(range(plane.shape[0]))
    assert len(bands) == max(1, height // 20), "the finest plane has many"


@pytest.mark.parametrize("network", NETWORKS)
def test_a_guided_pass_gains_where_no_other_does(network):
    made = problem(**network)
    descent = Descent(made)

    def cost():
        return descent.error + WEIGHT * descent.bits / made.pixels

    for _ in range(4):
        descent.run(WEIGHT)
    trained, before, integers = made.y.copy(), cost(), descent.q.copy()
    descent.guide(WEIGHT)
    descent.run(WEIGHT)
    assert cost() < before
    assert np.abs(descent.q - integers).max() == 1
    assert np.array_equal(made.y, trained)
    assert descent.error == pytest.approx(judge(made, descent.q)[0], rel=1e-4)


def test_a_guided_pass_tries_the_largest_gradients_alone():
    made = problem()
    descent = Descent(made)
    before = descent.q.copy()
    made.y[:] = before
    made.loss(WEIGHT, 0, differentiate=True)
    gradient = made.latent_gradient()
    descent.guide(WEIGHT)
    descent.run(WEIGHT)
    plane = made.planes[-1]
    size = np.abs(plane.inner(gradient))
    moved = plane.inner(descent.q) != plane.inner(before)
    assert moved.any() and size[moved].min() > np.quantile(size, 0.9)
