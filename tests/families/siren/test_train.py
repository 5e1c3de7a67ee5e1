"""The fit comes far on any basis, depends on the seed alone and reports how it goes."""

import math

import pytest
import torch

from inrcodec.container.head import Header
from inrcodec.families.siren.fit import train
from inrcodec.families.siren.fit.problem import Problem
from inrcodec.families.siren.fit.train import fit, psnr_of
from inrcodec.families.siren.shape import Siren
from inrcodec.image import from_pillow
from inrcodec.optim.clock import Clock
from inrcodec.pranc.layout import BASES


def problem_of(picture, **options):
    raster = from_pillow(picture)
    return Problem(raster, Header(Siren(3, 8, 3, 30, 30), *picture.size, **options), "cpu")


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


def test_coefficients_of_long_fits_decay(small, monkeypatch):
    def largest(limit):
        monkeypatch.setattr(train, "LONG_FIT", limit)
        problem = problem_of(small)
        alphas = fit(problem, 150, Clock(1, None))
        assert problem.psnr(alphas) > problem.psnr(problem.pranc.zeros()) + 4
        return max(float(alpha.abs().max()) for alpha in alphas)

    monkeypatch.setattr(train, "DECAY", 0.02)
    assert largest(100) < 0.95 * largest(150)


def test_a_rate_far_too_high_does_not_lose_the_picture(small, monkeypatch):
    problem = problem_of(small)
    monkeypatch.setattr(train, "FIT_RATE", 3.0)
    alphas = fit(problem, 600, Clock(1, None))
    assert problem.psnr(alphas) > problem.psnr(problem.pranc.zeros()) + 3


def test_psnr_of_a_loss_counts_the_range_of_2():
    assert psnr_of(4.0) == pytest.approx(0)
    assert psnr_of(0.04) == pytest.approx(20)
    assert math.isfinite(psnr_of(0.0))
