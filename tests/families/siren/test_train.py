"""The fit comes far on any basis, depends on the seed alone and reports how it goes."""

import math

import pytest
import torch

from inrcodec.container.header import Header
from inrcodec.families.siren.fit.problem import Problem
from inrcodec.families.siren.fit.train import Restarts, fit, psnr_of
from inrcodec.families.siren.settings import FitSettings
from inrcodec.families.siren.shape import Siren
from inrcodec.image import from_pillow
from inrcodec.optim.clock import Clock
from inrcodec.pranc.layout import BASES


def problem_of(picture, settings=None, **options):
    header = Header(Siren(3, 8, 3, 30, 30), *picture.size, **options)
    return Problem(from_pillow(picture), header, "cpu", settings)


@pytest.fixture(scope="module")
def small(photograph):
    return photograph.crop((12, 4, 36, 28))


@pytest.mark.parametrize("basis", BASES)
def test_the_fit_comes_far(basis, small):
    problem = problem_of(small, basis=basis, compaction=96)
    alphas = fit(problem, 150, Clock(1, None))
    assert problem.psnr(alphas) > problem.psnr(problem.pranc.zeros()) + 4


def test_the_fit_depends_on_the_seed_alone(small):
    first, second = (fit(problem_of(small), 5, Clock(1, None)) for _ in range(2))
    assert all(map(torch.equal, first, second))
    other = fit(problem_of(small, seed=1), 5, Clock(1, None))
    assert not any(map(torch.equal, first, other))


def test_fit_reports_every_step_and_the_psnr(small):
    reports = []

    class Steps:
        def advance(self, work, phase, psnr=None, size=None):
            reports.append((work, phase, psnr))

    problem = problem_of(small)
    alphas = fit(problem, 3, Steps())
    assert [report[:2] for report in reports] == [(1, "fit")] * 3
    before = problem.gradient(problem.pranc.zeros(), problem.sample())[0]
    assert reports[0][2] == pytest.approx(psnr_of(before))
    assert len(alphas) == 4 and not any(alpha.requires_grad for alpha in alphas)


def test_coefficients_of_long_fits_decay(small):
    def size(limit):
        problem = problem_of(small, FitSettings(long_fit=limit, decay=0.05))
        alphas = fit(problem, 150, Clock(1, None))
        assert problem.psnr(alphas) > problem.psnr(problem.pranc.zeros()) + 4
        return float(torch.cat(alphas).norm())

    assert size(100) < 0.9 * size(150)


def test_a_rate_far_too_high_does_not_lose_the_picture(small):
    problem = problem_of(small, FitSettings(rate=3.0))
    alphas = fit(problem, 600, Clock(1, None))
    assert problem.psnr(alphas) > problem.psnr(problem.pranc.zeros()) + 3


def test_psnr_of_a_loss_counts_the_range_of_2():
    assert psnr_of(4.0) == pytest.approx(0)
    assert psnr_of(0.04) == pytest.approx(20)
    assert math.isfinite(psnr_of(0.0))


def test_training_goes_back_to_the_best_coefficients_where_it_diverges():
    restarts = Restarts(FitSettings(check=2), [torch.zeros(1)], 0.8, constant=1.0, settled=0)

    def check(step, loss):
        return restarts.check(step, loss, [torch.full((1,), float(step))])

    assert [check(step, loss) for step, loss in enumerate((0.5, 0.4, 0.3, 0.2))] == [None] * 4
    assert check(4, 0.3) is None and restarts.peak == 0.8
    (back,) = check(5, 0.6)
    assert back.item() == 3 and restarts.peak == 0.4
    # A new best is remembered, and not changed by later training.
    better = [torch.full((1,), 7.0)]
    assert restarts.check(7, 0.1, better) is None
    better[0] += 1
    check(8, 1.0)
    assert restarts.check(9, float("nan"), better)[0].item() == 7 and restarts.peak == 0.2


def test_training_that_is_stuck_at_a_constant_picture_starts_again_three_times():
    restarts = Restarts(FitSettings(check=1), [torch.ones(1)], 0.8, constant=1.0, settled=0)
    backs = [restarts.check(step, 0.95, [torch.zeros(1)]) for step in range(8)]
    assert [back is not None for back in backs] == [False] * 2 + [True] * 3 + [False] * 3
    assert all(back[0].item() == 1 for back in backs if back is not None)
    assert restarts.peak == pytest.approx(0.1)
    grey = Restarts(FitSettings(check=1), [torch.ones(1)], 0.8, constant=0.001, settled=0)
    assert all(grey.check(step, 0.001, [torch.zeros(1)]) is None for step in range(8))


def test_the_optimizer_is_a_setting(small):
    class Still:
        def __init__(self, vectors, shapes, rates):
            assert len(vectors) == len(shapes) == len(rates) == 4

        def step(self, rate, gradients):
            assert rate > 0 and len(gradients) == 4

    problem = problem_of(small, FitSettings(optimizer=Still))
    assert all(map(torch.equal, fit(problem, 3, Clock(1, None)), problem.zeros()))
