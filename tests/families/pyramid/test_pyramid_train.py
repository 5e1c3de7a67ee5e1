"""A training adapts its noise to how hot it is, empties planes, and uses its budget."""

from __future__ import annotations

import numpy as np
import pytest

from inrcodec.container.head import Header
from inrcodec.families.pyramid.fit import train as pyramid_train
from inrcodec.families.pyramid.fit.problem import PyramidProblem, samples_of
from inrcodec.families.pyramid.fit.train import Goal, PyramidFit
from inrcodec.families.pyramid.shape import Pyramid
from inrcodec.image import from_pillow
from inrcodec.optim.clock import Clock


@pytest.mark.parametrize(("steps", "less"), [(85, False), (1700, True)])
def test_long_trainings_have_less_noise(photograph, steps, less):
    raster = from_pillow(photograph)
    header = Header(Pyramid(3, 8, 8, (3, 2, 1, 0)), raster.width, raster.height)
    problem = PyramidProblem(samples_of(raster), header)
    fit = PyramidFit(problem, Goal(size=1200), steps, Clock(steps, None, 1200), b"")
    assert problem.noise == 1
    fit._step(0.6, 0.1, None)
    assert (problem.noise < 1) == less
    # Hard rounding is much worse here: the training cools, and its noise is as wide as it gets.
    fit._count = 0
    fit._compare(1e-9, 1.0)
    assert problem.noise == 1


@pytest.mark.parametrize("seed", [1, 6])
def test_a_budget_is_used_where_networks_have_hardly_learned(photograph, seed):
    raster = from_pillow(photograph)
    header = Header(Pyramid(3, 8, 8, (3, 2, 1, 0)), raster.width, raster.height, seed=seed)
    problem = PyramidProblem(samples_of(raster), header)
    data = PyramidFit(problem, Goal(size=900), 60, Clock(60, None, 900), b"").run()
    assert data is not None
    assert 0.99 * 900 <= len(data) <= 900


@pytest.mark.parametrize(("weight", "left"), [(1e-1, 0), (1e-9, 1)])
def test_a_plane_is_emptied_where_its_bits_are_worth_more(photograph, weight, left, monkeypatch):
    monkeypatch.setattr(pyramid_train, "EMPTIED", 1.0)
    raster = from_pillow(photograph)
    header = Header(Pyramid(3, 8, 8, (3, 2, 1, 0)), raster.width, raster.height)
    problem = PyramidProblem(samples_of(raster), header)
    fit = PyramidFit(problem, Goal(size=400), 85, Clock(85, None, 400), b"")
    for _ in range(40):
        fit._step(0.2, 0.1, None)
    fine = problem.planes[-1].inner(problem.y)
    assert np.rint(fine).any()
    before = problem.y.copy()
    fit._weight = weight
    fit._empty()
    assert bool(np.rint(fine).any()) == bool(left)
    assert np.array_equal(problem.y, before) == bool(left)
    assert np.rint(problem.planes[0].inner(problem.y)).any()
