"""A SIREN that grows in stages: one problem with a picture for each, and its fit."""

import math

import numpy as np
import pytest
import torch

from inrcodec import decoder
from inrcodec.container.header import Header
from inrcodec.families.siren.fit import train
from inrcodec.families.siren.fit.curvature import curvature
from inrcodec.families.siren.fit.problem import Problem
from inrcodec.families.siren.fit.stages import fit_stages
from inrcodec.families.siren.settings import CurvatureSettings
from inrcodec.families.siren.shape import Siren
from inrcodec.image import from_pillow
from inrcodec.metrics import psnr
from inrcodec.optim.clock import Clock

SIREN = Siren(3, 11, 3, 30, 30, stages=(5, 4, 2))
WEIGHTS = (0.1, 0.5, 1.0)


@pytest.fixture
def raster(photograph):
    return from_pillow(photograph)


@pytest.fixture
def problem(raster):
    return staged(raster, SIREN, WEIGHTS)


def staged(raster, network, weights):
    problem = Problem(raster, Header(network, 48, 32), "cpu", weights=weights)
    problem.compute_in(torch.float32)
    return problem


def drawn(problem, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return [0.3 * torch.randn(len(alpha), generator=generator) for alpha in problem.zeros()]


def pictures(problem, alphas):
    """What a decoder shows after each stage, from the coefficients of layers."""
    blocks = [block.double().numpy() for block in problem.parametrization.by_block(alphas)]
    layers = problem.header.network.layers
    return [
        decoder.render(problem.header, blocks[: stage * layers])
        for stage in range(1, len(problem.header.network.widths) + 1)
    ]


def test_the_loss_is_the_weighted_error_of_what_stages_show(problem, raster):
    alphas = drawn(problem)
    errors = [
        np.square((shown.astype(float) - raster.samples) / 127.5).mean()
        for shown in pictures(problem, alphas)
    ]
    expected = np.average(errors, weights=WEIGHTS)
    assert float(problem.loss(alphas, slice(None))) == pytest.approx(expected, rel=0.01)


def test_psnr_is_that_of_the_whole_file(problem, raster):
    alphas = drawn(problem)
    expected = psnr(pictures(problem, alphas)[-1], raster.samples, 255)
    assert problem.psnr(alphas) == pytest.approx(expected, abs=1e-3)


def test_gradients_are_those_of_the_loss(problem):
    alphas, pixels = drawn(problem), torch.arange(0, 1536, 3)
    leaves = [alpha.clone().requires_grad_() for alpha in alphas]
    loss = problem.loss(leaves, pixels)
    expected = torch.autograd.grad(loss, leaves)
    found, gradients = problem.gradient(alphas, pixels)
    assert found == pytest.approx(loss.item(), rel=1e-4)
    for one, other in zip(gradients, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_derivatives_and_curvature_are_those_of_all_coefficients(problem):
    alphas, pixels = drawn(problem), torch.arange(1536)
    signs = 2.0 * torch.randint(2, (1536, 9), generator=torch.Generator().manual_seed(0)) - 1
    leaves = [alpha.clone().requires_grad_() for alpha in alphas]
    output = problem.network.evaluate(problem.parametrization.matrices(leaves), problem.coordinates)
    total = (output * signs).sum()
    rows = problem.derivatives(alphas, pixels, signs, range(4))
    for row, gradient in zip(rows, torch.autograd.grad(total, leaves), strict=True):
        torch.testing.assert_close(row.sum(0), gradient, rtol=1e-3, atol=1e-2)
    blocks = curvature(problem, alphas, 512, range(4), CurvatureSettings())
    assert [len(groups[0].factor) for groups in blocks] == [len(alpha) for alpha in alphas]


def test_pieces_are_views_of_each_stages_matrices(problem):
    alphas = problem.zeros()
    pieces = problem.pieces(alphas)
    assert [rows * cols for rows, cols in problem.shapes] == [len(piece) for piece in pieces]
    assert len(problem.rates) == len(pieces) == 12
    assert sorted(map(len, pieces)) == sorted(r * c for r, c in SIREN.blocks)
    for number, piece in enumerate(pieces):
        piece += number
    assert [alpha[-1].item() for alpha in alphas] == [2, 5, 8, 11]
    assert [piece[0].item() for piece in problem.pieces(alphas[3:], 3)] == [9, 10, 11]


def test_a_new_stage_changes_no_picture(problem, raster):
    before = staged(raster, SIREN.first(2), (1, 1))
    alphas = drawn(before)
    first, second, third = pictures(problem, problem.parametrization.grown(alphas))
    for shown, expected in zip(pictures(before, alphas), (first, second), strict=True):
        assert np.array_equal(shown, expected)
    assert np.abs(third.astype(int) - second).max() <= 1


def test_the_first_stage_grows_from_a_plain_network(raster):
    plain = Problem(raster, Header(SIREN.first(1), 48, 32), "cpu")
    two = staged(raster, SIREN.first(2), (1, 1))
    alphas = [0.3 * torch.ones_like(alpha) for alpha in plain.zeros()]
    shown = decoder.render(plain.header, [alpha.double().numpy() for alpha in alphas])
    difference = pictures(two, two.parametrization.grown(alphas))[0].astype(int) - shown
    assert np.abs(difference).max() <= 1 and (difference != 0).mean() < 0.01


def test_every_stage_is_nearer_to_the_picture(raster):
    header = Header(Siren(3, 16, 3, 30, 20, stages=(6, 5, 5)), 48, 32)
    problem, alphas = fit_stages(raster, header, "cpu", 150, Clock(1, None))
    first, second, third = (psnr(x, raster.samples, 255) for x in pictures(problem, alphas))
    assert 15 < first < second - 0.3 < third - 0.6


def test_a_fit_goes_on_from_where_it_is(raster):
    problem = Problem(raster, Header(Siren(3, 8, 3, 30, 30), 48, 32), "cpu")
    start = train.fit(problem, 150, Clock(1, None))
    kept = [alpha.clone() for alpha in start]
    further = train.fit(problem, 150, Clock(1, None), start, peak=0.05)
    assert all(torch.equal(a, b) for a, b in zip(start, kept, strict=True))
    assert problem.psnr(start) < problem.psnr(further) < math.inf
