"""RDOQ of a pyramid's latents: its counts of error and bits are true, and passes only gain."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from inrcodec.container.header import Header
from inrcodec.families.pyramid.fit.footprint import footprint, without_small_weights
from inrcodec.families.pyramid.fit.options import RDOQ
from inrcodec.families.pyramid.fit.problem import PyramidProblem, samples_of
from inrcodec.families.pyramid.fit.rdoq import Rdoq
from inrcodec.families.pyramid.fit.rdoq_bands import RdoqBands
from inrcodec.families.pyramid.fit.rdoq_state import Moves, RdoqState
from inrcodec.families.pyramid.fit.start import start
from inrcodec.families.pyramid.shape import Pyramid
from inrcodec.image import Raster

LEVELS = (5, 4, 3, 2, 2, 1, 0)
LAM = 0.003
NETWORKS = [
    {},
    {"filtered": True},
    {"second": 8},
    {"filtered": True, "second": 4},
    {"taps": 1},
    {"filtered": True, "second": 4, "taps": 3},
]


def problem(channels=3, width=70, height=90, threads=1, levels=LEVELS, **network):
    """A picture with planes started in closed form and a random context network."""
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
    start(made, LAM, seed=1)
    for index, alpha in enumerate(made.alphas):
        # The context network as the file has it: multiples of 2^-12.
        exact = index >= pyramid.synthesis_blocks
        alpha.copy_((alpha * 512).round() / 512 if exact else alpha)
    if pyramid.filtered:
        taps = made.alphas[pyramid.mixed_blocks]
        taps.copy_(torch.from_numpy(rng.normal(size=taps.shape) * 0.2))
    if pyramid.taps:
        taps = made.alphas[made.plane_filters]
        taps.copy_(torch.from_numpy(rng.normal(size=taps.shape) * 0.4))
    return made


def measured(made, q):
    """Error and bits by the kernels of the training."""
    made.y[:] = q
    return made.loss(LAM, 0)


def cost(made, rdoq):
    return rdoq.error + LAM * rdoq.bits / made.pixels


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("network", NETWORKS)
def test_counts_are_true_and_each_pass_gains(channels, network, threads):
    made = problem(channels, threads=threads, **network)
    rdoq = Rdoq(made)
    error, bits = measured(made, rdoq.q)
    for _ in range(2):
        before = error + LAM * bits / made.pixels
        rdoq.run_pass(LAM)
        error, bits = measured(made, rdoq.q)
        assert error + LAM * bits / made.pixels < before - 1e-5
        assert rdoq.error == pytest.approx(error, rel=2e-4)
        assert rdoq.bits == pytest.approx(bits, rel=1e-2 if made.architecture.taps else 5e-3)
    assert np.array_equal(rdoq.q, np.round(rdoq.q))
    assert not rdoq.q[made.planes[-1].start :][: made.width + 4].any(), "borders stay 0"


@pytest.mark.parametrize("levels", [(4, 3, 2, 2, 1, 2, 1, 0), (3, 2, 1, 2, 2, 1)])
@pytest.mark.parametrize("threads", [1, 3])
def test_only_the_last_set_of_planes_moves(levels, threads):
    made = problem(levels=levels, threads=threads)
    for plane in made.planes:
        plane.inner(made.y)[0, 0] = 1  # A plane of zeros would cost nothing.
    rdoq = Rdoq(made)
    before = rdoq.q.copy()
    error, bits = measured(made, before)
    made.y[:] = before
    first = made.planes[len(levels) - made.architecture.sets[-1]].start
    rdoq.run_pass(LAM)
    assert np.array_equal(rdoq.q[:first], before[:first])
    assert not np.array_equal(rdoq.q[first:], before[first:])
    after, left = measured(made, rdoq.q)
    assert after + LAM * left / made.pixels < error + LAM * bits / made.pixels - 1e-5
    assert rdoq.error == pytest.approx(after, rel=2e-4)
    # A symbol's table ends at its plane's largest, here often 1: that saves 1 %.
    assert rdoq.bits == pytest.approx(left, rel=2e-2)


@pytest.mark.parametrize("network", NETWORKS)
def test_bits_that_are_kept_up_to_date_are_those_counted_anew(network):
    made = problem(**network)
    state = RdoqState(made, RDOQ.judged_share)
    moves = Moves(made.y.copy(), np.ones(len(made.y), np.bool_), 0.3, 4.0)
    bits = state.bits
    for k in state.movable:
        state.improve(k, moves, LAM, 0, made.planes[k].shape[0])
    kept = state.bits
    assert kept < bits
    state.measure()
    assert state.bits == pytest.approx(kept, rel=1e-9)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("k", range(4))
def test_a_latent_moves_exactly_where_that_pays(k, network):
    made = problem(width=23, height=18, levels=(2, 1, 1, 0), **network)
    rng, plane = np.random.default_rng(k), made.planes[k]
    for other in made.planes:
        other.inner(made.y)[:] = rng.integers(-2, 3, other.shape) if other is not plane else 0
    height, width = plane.shape
    tried = 0
    corners = ((0, 0), (height - 1, width - 1), (1, width - 2))
    for y, x in (*corners, (height // 2, width // 3), (height // 3, width // 2)):
        plane.inner(made.y)[:] = 0
        after = RdoqState(made, 0.0)
        plane.inner(made.y)[y, x] = 1
        before = RdoqState(made, 0.0)
        # A plane of zeros alone would cost nothing: its bits are counted as in a plane of -1 to 1.
        without = RdoqState(made, 0.0)
        plane.inner(without.q)[:] = 0
        without.measure()
        squares = after.error - before.error
        saved = (before.bits - without.bits) / made.pixels
        if squares <= 0 or saved <= 0:
            continue
        tried += 1
        moves = Moves(made.y.copy(), np.ones(len(made.y), np.bool_), 0.3, 4.0)
        for lam in (0.98 * squares / saved, 1.02 * squares / saved):
            trial = RdoqState(made, 0.0)
            trial.improve(k, moves, lam, y, y + 1)
            gains = squares - lam * saved < 0
            assert plane.inner(trial.q)[y, x] == (0 if gains else 1)
            assert abs(trial.q - before.q).sum() == gains
    assert tried


def test_assuming_less_saving_tries_less():
    made = problem()

    def after(saving):
        rdoq = Rdoq(made, replace(RDOQ, saving=saving))
        rdoq.run_pass(LAM)
        return cost(made, rdoq)

    nothing, some, everything = (after(saving) for saving in (-1e6, 2.0, 8.0))
    assert nothing == cost(made, Rdoq(made))
    assert everything < nothing and some < nothing - 0.8 * (nothing - everything)


def test_coarse_planes_stay():
    made = problem()
    rdoq = Rdoq(made, replace(RDOQ, largest_level=1))
    before = rdoq.q.copy()
    rdoq.run_pass(4 * LAM)
    for plane in made.planes:
        moved = not np.array_equal(plane.inner(rdoq.q), plane.inner(before))
        assert moved == (plane.level <= 1)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_pass_ends_near_a_wanted_number_of_bits(threads):
    made = problem(threads=threads)
    whole, led = Rdoq(made), Rdoq(made)
    bits = whole.bits
    whole.run_pass(4 * LAM)
    saved = bits - whole.bits
    wanted = bits - 0.5 * saved
    # That takes a smaller λ than it begins with.
    assert led.run_to(4 * LAM, wanted) < 4 * LAM
    assert abs(led.bits - wanted) < 0.1 * saved
    # And up again: latents return to what they were.
    higher = led.bits + 0.2 * saved
    led.run_to(LAM, higher)
    assert abs(led.bits - higher) < 0.1 * saved


def test_threads_do_not_race():
    first, second = (Rdoq(problem(threads=3)) for _ in range(2))
    for rdoq in (first, second):
        rdoq.run_pass(LAM)
    assert np.array_equal(first.q, second.q) and first.error == second.error


@pytest.mark.parametrize("height", [1, 20, 45, 90, 130])
@pytest.mark.parametrize("threads", [1, 3, 16])
def test_bands_and_edges_cover_each_row_once_and_stay_apart(height, threads):
    reach = 5
    bands = RdoqBands.of(height, reach, threads)
    assert bands.count == max(1, min(threads, height // 20))
    edges = [rows for i in range(threads) if (rows := bands.edge(i))[0] < rows[1]]
    inner = [rows for i in range(threads) if (rows := bands.band(i))[0] < rows[1]]
    for own in (edges, inner):
        assert all(b[0] - reach >= a[1] + reach for a, b in pairwise(own))
    rows = sorted(y for first, last in edges + inner for y in range(first, last))
    assert rows == list(range(height))
    for index in range(bands.count):
        parts = [bands.band(index, part, 4) for part in range(4)]
        assert [a[1] for a in parts[:-1]] == [b[0] for b in parts[1:]]
        assert (parts[0][0], parts[-1][1]) == bands.band(index)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_pass_along_the_gradient_gains_where_no_other_does(network):
    made = problem(**network)
    rdoq = Rdoq(made)
    for _ in range(4):
        rdoq.run_pass(LAM)
    trained, before, integers = made.y.copy(), cost(made, rdoq), rdoq.q.copy()
    rdoq.use_gradient(LAM)
    rdoq.run_pass(LAM)
    assert cost(made, rdoq) < before
    assert np.abs(rdoq.q - integers).max() == 1
    assert np.array_equal(made.y, trained)
    assert rdoq.error == pytest.approx(measured(made, rdoq.q)[0], rel=1e-4)


def test_a_pass_along_the_gradient_moves_only_the_largest_gradients():
    made = problem()
    rdoq = Rdoq(made)
    before = rdoq.q.copy()
    made.y[:] = before
    made.loss(LAM, 0, differentiate=True)
    gradient = made.latent_gradient()
    rdoq.use_gradient(LAM)
    rdoq.run_pass(LAM)
    plane = made.planes[-1]
    size = np.abs(plane.inner(gradient))
    moved = plane.inner(rdoq.q) != plane.inner(before)
    assert moved.any() and size[moved].min() > np.quantile(size, 0.9)


@pytest.mark.parametrize("taps", [0, 1, 3])
def test_a_footprint_is_what_a_latent_changes_of_the_features(taps):
    made = problem(width=23, height=18, levels=(2, 1, 0), taps=taps)
    pixels = np.arange(made.pixels)
    zeros = np.zeros_like(made.y)
    for k, plane in enumerate(made.planes):
        found = footprint(plane, made.rows[k], made.columns[k], made.plane_taps()[k])
        height, width = plane.shape
        for y, x in ((0, 0), (height - 1, width - 1), (height // 2, width // 3)):
            one = zeros.copy()
            plane.inner(one)[y, x] = 1
            features = made.features(one, pixels)[k].reshape(made.height, made.width)
            expected = np.zeros_like(features)
            (top, bottom), (left, right) = found.rows[y], found.cols[x]
            weights = np.outer(found.row_taps[y], found.col_taps[x])
            expected[top:bottom, left:right] = weights[: bottom - top, : right - left]
            assert features == pytest.approx(expected, abs=1e-5)
            trimmed = without_small_weights(found, 0.1)
            assert top <= trimmed.rows[y, 0] < trimmed.rows[y, 1] <= bottom
            own = np.abs(found.row_taps[y])
            assert np.abs(trimmed.row_taps[y]).max() == own.max()
            assert abs(trimmed.row_taps[y, 0]) >= 0.1 * own.max()
