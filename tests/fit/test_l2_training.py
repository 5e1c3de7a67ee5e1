"""The fit lowers the error; L² training meets the budget, under the noise that rounding makes."""

import math

import numpy as np
import pytest
import torch

from inrcodec.container.header import Header
from inrcodec.fit.curvature import curvature, sensitivity
from inrcodec.fit.problem import Problem
from inrcodec.fit.rate import RateControl
from inrcodec.fit.schedule import Clock
from inrcodec.fit.train import L2, Quantizer, fit, psnr_of, start_quantizer
from inrcodec.image import from_pillow
from inrcodec.inr.architecture import Siren
from inrcodec.l2 import rounding


def problem_of(picture, **options):
    raster = from_pillow(picture)
    return Problem(raster, Header(Siren(3, 8, 3, 30, 30), *picture.size, **options), "cpu")


@pytest.fixture(scope="module")
def small(photograph):
    return photograph.crop((12, 4, 36, 28))


@pytest.fixture(scope="module")
def fitted(small):
    """A problem of 195 coefficients, its fit and the curvature there."""
    problem = problem_of(small)
    alphas = fit(problem, 400, Clock(1, None))
    return problem, alphas, curvature(problem, alphas, 576)


def started(fitted, bits):
    problem, alphas, groups = fitted
    return L2(problem, alphas, groups, start_quantizer(alphas, groups, bits * problem.pranc.k))


def test_the_fit_comes_far_and_depends_on_the_seed_alone(fitted, small):
    problem, alphas, _ = fitted
    assert problem.psnr(alphas) > problem.psnr(problem.pranc.zeros()) + 8
    first, second = (fit(problem_of(small), 5, Clock(1, None)) for _ in range(2))
    assert all(map(torch.equal, first, second))


@pytest.mark.parametrize("basis", ["hadamard", "kronecker", "sparse", "dense"])
def test_the_fit_comes_far_on_a_basis(basis, small):
    problem = problem_of(small, basis=basis, compaction=96)
    alphas = fit(problem, 150, Clock(1, None))
    assert problem.psnr(alphas) > problem.psnr(problem.pranc.zeros()) + 4


def test_fit_reports_every_step_and_the_psnr(small):
    reports = []

    class Steps:
        def advance(self, work, phase, psnr=None, size=None):
            reports.append((work, phase, psnr))

    problem = problem_of(small)
    alphas = fit(problem, 3, Steps())
    assert [report[:2] for report in reports] == [(1, "fit")] * 3
    before = problem.loss(problem.pranc.zeros(), problem.sample())
    assert reports[0][2] == pytest.approx(psnr_of(before))
    assert len(alphas) == 4 and not any(alpha.requires_grad for alpha in alphas)


def test_psnr_of_a_loss_counts_the_range_of_2():
    assert psnr_of(torch.tensor(4.0)) == pytest.approx(0)
    assert psnr_of(torch.tensor(0.04)) == pytest.approx(20)
    assert math.isfinite(psnr_of(torch.tensor(0.0)))


@pytest.mark.parametrize("bits", [2, 4, 7])
def test_the_first_steps_are_uniform_and_all_cost_the_picture_alike(fitted, bits):
    problem, alphas, groups = fitted
    quantizer = start_quantizer(alphas, groups, bits * problem.pranc.k)
    torch.testing.assert_close(quantizer.edge, quantizer.scale / 2)
    parts = np.split(sensitivity(groups), np.cumsum([len(alpha) for alpha in alphas])[:-1])
    costs = quantizer.scale.numpy() ** 2 * np.array([part.mean() for part in parts])
    np.testing.assert_allclose(costs, costs[0], rtol=1e-4)


@pytest.mark.parametrize("bits", [4, 5, 7])
def test_the_first_steps_are_near_the_target_rate(fitted, bits):
    with torch.no_grad():
        rate = started(fitted, bits).noisy()[1].item()
    assert rate == pytest.approx(bits * fitted[0].pranc.k, rel=0.08)


@pytest.mark.parametrize(("start", "target"), [(6, 5), (5, 5), (4.6, 5)])
def test_the_budget_is_met_within_2_percent(fitted, start, target):
    target *= fitted[0].pranc.k
    l2 = started(fitted, start)
    estimate = l2.train(200, target, 0, Clock(1, None))
    assert estimate == pytest.approx(target, rel=0.02)
    with torch.no_grad():
        assert l2.noisy()[1].item() == pytest.approx(target, rel=0.03)


def test_steps_of_the_first_layer_end_far_finer_than_the_others(fitted):
    l2 = started(fitted, 6)
    l2.train(80, 5 * fitted[0].pranc.k, 0, Clock(1, None))
    scale = l2.quantizer().scale
    assert 10 * scale[0] < scale[1:].min()


def test_training_learns_steps_edges_and_coefficients_and_leaves_the_fit_alone(fitted):
    before = [alpha.clone() for alpha in fitted[1]]
    l2 = started(fitted, 5)
    start = l2.quantizer()
    l2.train(20, 5 * fitted[0].pranc.k, 0, Clock(1, None))
    end = l2.quantizer()
    assert (end.scale != start.scale).all()
    assert (end.edge / end.scale != start.edge / start.scale).all()
    assert all(map(torch.equal, before, fitted[1]))
    assert not any(map(torch.equal, before, l2.alphas))


@pytest.mark.parametrize("ratio", [0.01, 30.0])
def test_dead_zones_stay_where_the_file_can_store_them(fitted, ratio):
    problem, alphas, groups = fitted
    scale = start_quantizer(alphas, groups, 5 * problem.pranc.k).scale
    l2 = L2(problem, alphas, groups, Quantizer(ratio * scale, scale))
    l2.train(3, 5 * problem.pranc.k, 0, Clock(1, None))
    stored = l2.quantizer().edge / l2.quantizer().scale
    assert (stored > 0.24).all() and (stored < 255 / 64).all()


def test_a_finer_quantizer_costs_more_bits_and_less_noise(fitted):
    alphas = fitted[1]
    with torch.no_grad():
        results = [started(fitted, bits).noisy() for bits in (3, 4, 5, 6)]
    rates = [rate.item() for _, rate in results]
    errors = [
        sum((a - b).square().sum().item() for a, b in zip(noisy, alphas, strict=True))
        for noisy, _ in results
    ]
    assert rates == sorted(rates) and errors == sorted(errors, reverse=True)


def test_noise_is_what_compensated_rounding_leaves(fitted):
    """R e = diag(R) n: n uniform in a step and independent, R the transposed factor."""
    _, alphas, groups = fitted
    l2 = started(fitted, 5)
    (group,) = groups
    R = group.factor.T
    with torch.no_grad():
        errors = np.stack(
            [torch.cat(l2.noisy()[0]).double() - torch.cat(alphas).double() for _ in range(400)]
        )
    steps = np.repeat(l2.quantizer().scale.double().numpy(), l2.sizes)
    n = errors @ R.T / R.diagonal() / steps
    # float32 differences leave some rounding error on the finest steps.
    assert np.abs(n).max() < 0.51 and np.abs(n).max() > 0.49
    assert np.abs(n.mean(0)).max() < 0.08
    np.testing.assert_allclose(n.var(0), 1 / 12, rtol=0.25)
    assert n.var() == pytest.approx(1 / 12, rel=0.01)
    correlations = np.corrcoef(n.T) - np.eye(len(steps))
    assert np.abs(correlations).max() < 0.3 and abs(correlations.mean()) < 0.005
    assert np.square(correlations).mean() == pytest.approx(1 / 400, rel=0.1)
    # So it costs the picture as much as rounding does, in the quadratic model.
    edges = steps / 2
    symbols = rounding.nearest_plane(
        torch.cat(alphas).double().numpy(), group.factor, edges, steps, 10**6
    )
    rounded = np.square((symbols * steps - torch.cat(alphas).double().numpy()) @ R.T).sum()
    assert rounded == pytest.approx(np.square(errors @ R.T).sum(1).mean(), rel=0.25)


def test_noise_respects_the_dead_zone(fitted):
    """A coefficient deep in a wide dead zone spreads over all of it."""
    problem, alphas, groups = fitted
    scale = torch.full((4,), 0.1)
    zeros = [torch.zeros_like(alpha) for alpha in alphas]
    identity = [type(groups[0])(0, problem.pranc.k, np.eye(problem.pranc.k))]
    l2 = L2(problem, zeros, identity, Quantizer(3 * scale, scale))
    with torch.no_grad():
        noise = torch.cat([torch.cat(l2.noisy()[0]) for _ in range(30)])
    assert noise.abs().max() < 0.3 and noise.abs().max() > 0.29
    assert noise.std() == pytest.approx(0.6 / math.sqrt(12), rel=0.05)


def test_training_pays_in_decibels_at_equal_bytes(fitted):
    problem, alphas, groups = fitted
    bits = 3 * problem.pranc.k
    start = start_quantizer(alphas, groups, bits)
    l2 = L2(problem, alphas, groups, start)
    l2.train(150, bits, 0, Clock(1, None))
    trained = [alpha.detach() for alpha in l2.alphas]
    after = RateControl(problem, trained, curvature(problem, trained, 576), l2.quantizer())
    after = after.candidate(0.0)
    before = RateControl(problem, alphas, groups, start).within(len(after.data), 0.9)
    assert after.psnr > before.psnr + 1
