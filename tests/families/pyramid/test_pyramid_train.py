"""A training uses its budget, follows its goal, and each of its parts does what it promises."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

import inrcodec
from inrcodec.container.header import Header
from inrcodec.container.segments import ICC, metadata, metadata_segment
from inrcodec.entropy.layer import Layer
from inrcodec.families.pyramid.fit.budget import latent_budget
from inrcodec.families.pyramid.fit.draft import Draft
from inrcodec.families.pyramid.fit.empty_planes import empty_planes
from inrcodec.families.pyramid.fit.finish import guided_passes
from inrcodec.families.pyramid.fit.goal import Goal, PrefixGoal
from inrcodec.families.pyramid.fit.mixing import cut, mix
from inrcodec.families.pyramid.fit.network_rounding import round_layer
from inrcodec.families.pyramid.fit.optimizer import Optimizer
from inrcodec.families.pyramid.fit.prefixes import begin_prefixes
from inrcodec.families.pyramid.fit.problem import PyramidProblem, samples_of
from inrcodec.families.pyramid.fit.rate_control import lam_factor
from inrcodec.families.pyramid.fit.schedule import RoundingGap, Schedule
from inrcodec.families.pyramid.fit.start import start
from inrcodec.families.pyramid.fit.train import train
from inrcodec.families.pyramid.settings import ByLength, PyramidSettings
from inrcodec.families.pyramid.shape import Pyramid
from inrcodec.image import from_pillow
from inrcodec.optim.clock import Clock

LEVELS = (3, 2, 1, 0)
SETTINGS = PyramidSettings()


def problem_of(picture, levels=LEVELS, seed=0) -> PyramidProblem:
    raster = from_pillow(picture)
    header = Header(Pyramid(3, 8, 8, levels), raster.width, raster.height, seed=seed)
    return PyramidProblem(samples_of(raster), header)


def started(picture, steps=40, levels=LEVELS) -> tuple[PyramidProblem, Optimizer]:
    """A problem after a few steps of training, with rates and λ of its middle."""
    problem = problem_of(picture, levels)
    start(problem, 2e-3, seed=0)
    optimizer = Optimizer(problem)
    for _ in range(steps):
        optimizer.step(2e-3, 0.3, 0.04, 0.05)
    return problem, optimizer


def draft_of(problem, goal, metadata=()) -> Draft:
    return Draft(problem, goal, SETTINGS.rounding, metadata)


def trained(problem, goal, steps=60, settings=SETTINGS, metadata=()) -> bytes | None:
    return train(problem, goal, steps, settings, Clock(steps, None, goal.size), metadata)


@pytest.mark.parametrize("seed", [1, 6])
def test_a_budget_is_used_where_networks_have_hardly_learned(photograph, seed):
    data = trained(problem_of(photograph, seed=seed), Goal(size=900))
    assert data is not None
    assert 0.99 * 900 <= len(data) <= 900


def test_metadata_are_part_of_the_size(photograph):
    profile = metadata_segment(ICC, np.random.default_rng(0).bytes(500))
    data = trained(problem_of(photograph), Goal(size=1400), metadata=(profile,))
    assert data is not None and 0.99 * 1400 <= len(data) <= 1400
    assert inrcodec.open(data).icc == metadata(profile)


def test_a_file_that_cannot_be_small_enough_is_none(photograph):
    assert trained(problem_of(photograph), Goal(size=60), steps=20) is None


def rounded(photograph, size) -> Draft:
    """A draft whose layers are all quantized."""
    problem, _ = started(photograph)
    draft = draft_of(problem, Goal(size=size))
    for k in range(len(draft.layers)):
        draft.layers[k] = round_layer(problem, k, 2e-3, (0.2, 7), 3, SETTINGS)
    return draft


def test_latents_of_a_file_too_large_and_one_too_small_mix_to_the_size(photograph):
    draft = rounded(photograph, 0)
    over, under = np.rint(draft.problem.y), np.zeros_like(draft.problem.y)
    small, large = len(draft.write(under)), len(draft.write(over))
    for share in (0.2, 0.5, 0.9):
        size = round(small + share * (large - small))
        draft.goal = Goal(size=size)
        assert 0.985 * size <= len(mix(draft, over, under, draft.write(under), 0.998)) <= size


def test_planes_lose_rows_where_nothing_else_makes_a_file_small_enough(photograph):
    draft = rounded(photograph, 0)
    y = draft.problem.y
    before, large = y.copy(), len(draft.write(y))
    for plane in draft.problem.planes[1:]:
        plane.inner(y)[:] = 0
    least = len(draft.write(y))
    y[:] = before
    draft.goal = Goal(size=(least + large) // 2)
    data = cut(draft, 0.998)
    assert data is not None and 0.97 * draft.goal.size <= len(data) <= draft.goal.size
    y[:] = before
    draft.goal = Goal(size=least // 2)
    assert cut(draft, 0.998) is None


def test_a_smaller_error_is_reached_for_a_higher_psnr(photograph):
    low, high = (trained(problem_of(photograph), Goal(psnr=psnr)) for psnr in (24, 28))
    assert low is not None and high is not None and len(high) > 1.2 * len(low)


def test_settings_between_the_lengths_are_interpolated():
    setting = ByLength(1.0, 0.0, short_steps=100, long_steps=400)
    assert [setting.at(steps) for steps in (1, 100, 400, 9000)] == [1, 1, 0, 0]
    assert setting.at(200) == pytest.approx(0.5)


@pytest.mark.parametrize(("steps", "less"), [(85, False), (1700, True)])
def test_long_trainings_have_less_noise_at_full_heat(steps, less):
    schedule = Schedule(SETTINGS.schedule, steps)
    assert (schedule.noise(heat=1.0) < 1) == less
    assert schedule.noise(heat=0.3) == 1


def test_a_training_cools_where_hard_rounding_is_much_worse(photograph):
    problem, optimizer = started(photograph)
    error, bits = optimizer.step(2e-3, 0.3, 0.04, 0.05)
    gap = RoundingGap(np.ones(len(problem.planes)))
    gap.measure(problem, 2e-3, error / 100, bits)
    assert gap.error > 10 and 0.2 < gap.bits < 5 and (gap.planes > 0).all()
    gap.adapt_heat(SETTINGS.schedule)
    assert gap.heat == SETTINGS.schedule.min_heat
    gap.error = 0.5
    for _ in range(9):
        gap.adapt_heat(SETTINGS.schedule)
    assert gap.heat == 1


def test_the_temperature_falls_and_heat_lowers_only_its_start():
    schedule = Schedule(SETTINGS.schedule, 800)
    hot, cool = ([schedule.temperature(step, heat) for step in range(801)] for heat in (1.0, 0.5))
    assert hot == sorted(hot, reverse=True) and cool[0] < hot[0] and cool[-1] == hot[-1]


@pytest.mark.parametrize("steps", [60, 6000])
def test_lam_rises_with_too_many_bits_and_falls_with_too_few(photograph, steps):
    problem, _ = started(photograph, steps=1)
    draft, gap = draft_of(problem, Goal(size=900)), RoundingGap(np.ones(len(problem.planes)))
    budget = latent_budget(draft, SETTINGS.control)

    def factor(bits):
        return lam_factor(draft, SETTINGS, (0.01, bits), gap, share=0.95, steps=steps)

    assert factor(budget) == pytest.approx(1)
    assert factor(1.1 * budget) * factor(budget / 1.1) == pytest.approx(1)
    assert 1 < factor(1.1 * budget) < factor(100 * budget) == factor(1000 * budget)
    # Whatever the length, λ can change as much over a training, and little in a step.
    assert factor(1000 * budget) <= math.exp(min(0.06, 30 / steps))


def test_lam_falls_where_the_error_is_too_large_for_the_psnr(photograph):
    problem, _ = started(photograph, steps=1)
    draft, gap = draft_of(problem, Goal(psnr=30)), RoundingGap(np.ones(len(problem.planes)))
    low, high = (
        lam_factor(draft, SETTINGS, (ratio * draft.goal.error, 5000), gap, 0.5, 100)
        for ratio in (2, 0.5)
    )
    assert low < 1 < high


def test_a_prefix_with_too_many_bits_becomes_dearer(photograph):
    problem, _ = started(photograph, steps=1, levels=(3, 2, 1, 0, 1, 0))
    goals = (PrefixGoal(4, 0.4, 0.5),)
    draft = draft_of(problem, Goal(size=2000, prefixes=goals))
    prefixes = begin_prefixes(problem, goals, SETTINGS)
    assert (problem.price[:4] == 1.5).all() and (problem.price[4:] == 1).all()
    assert problem.prefixes[0].weight == pytest.approx(0.5 / SETTINGS.prefixes.first_ratio)
    bits = np.array([1e4, 1e4, 1e4, 1e4, 0, 0])
    problem.prefixes[0].error = 0.02
    prefixes.follow(draft, 0.02, bits, share=0.01, steps=100)
    assert prefixes.prices == [1] and 1 < prefixes.ratios[0] < SETTINGS.prefixes.first_ratio
    prefixes.follow(draft, 0.02, bits, share=0.5, steps=100)
    assert prefixes.prices[0] > 1 and problem.price[0] > 1.5 and problem.price[4] == 1
    dear = prefixes.prices[0]
    prefixes.follow(draft, 0.02, bits / 1e4, share=0.5, steps=100)
    assert prefixes.prices[0] < dear


def test_more_expensive_bits_give_coarser_layers(photograph):
    bits = []
    for lam in (1e-5, 1e-1):
        problem, _ = started(photograph)
        layer = round_layer(problem, 0, lam, noise=(0.2, 7), seed=3, settings=SETTINGS)
        assert np.allclose(problem.alphas[0].numpy(), layer.values, rtol=1e-6)
        bits.append(layer.bits)
    assert bits[1] < 0.8 * bits[0]


def test_rounded_layers_train_no_more_and_count_their_own_bits(photograph):
    problem, optimizer = started(photograph)
    draft = draft_of(problem, Goal(size=900))
    before = draft.network_bits
    assert before == SETTINGS.rounding.expected_bits * sum(map(len, problem.alphas))
    layer = round_layer(problem, 1, 2e-3, noise=(0.2, 7), seed=3, settings=SETTINGS)
    draft.layers[1] = layer
    assert isinstance(layer, Layer)
    others = before - SETTINGS.rounding.expected_bits * len(layer.symbols)
    assert draft.network_bits == pytest.approx(others + layer.bits)
    kept = problem.alphas[1].clone()
    optimizer.step(2e-3, 0.2, 0.04, 0.05, [each is not None for each in draft.layers])
    assert (problem.alphas[1] == kept).all()


@pytest.mark.parametrize(("lam", "left"), [(1e-1, 0), (1e-9, 1)])
def test_a_plane_is_emptied_where_its_bits_are_worth_more(photograph, lam, left):
    problem, _ = started(photograph)
    fine = problem.planes[-1].inner(problem.y)
    assert np.rint(fine).any()
    before = problem.y.copy()
    empty_planes(problem, lam, max_share=1.0)
    assert bool(np.rint(fine).any()) == bool(left)
    assert np.array_equal(problem.y, before) == bool(left)
    assert np.rint(problem.planes[0].inner(problem.y)).any()


def test_a_plane_with_many_of_the_bits_is_never_emptied(photograph):
    problem, _ = started(photograph)
    before = problem.y.copy()
    empty_planes(problem, 1e-1, max_share=1e-6)
    assert np.array_equal(problem.y, before)


def test_guided_passes_can_be_switched_off():
    assert guided_passes(8000, replace(SETTINGS.finish, max_guided=0)) == 0
