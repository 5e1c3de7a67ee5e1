"""A problem's loss and PSNR are those of its picture, and its samples come from the seed."""

import math

import numpy as np
import pytest
import torch

from inrcodec import decoder
from inrcodec.container.header import Header
from inrcodec.families.siren.fit.problem import Problem
from inrcodec.families.siren.fit.sampling import independent
from inrcodec.families.siren.settings import FitSettings
from inrcodec.families.siren.shape import Siren
from inrcodec.image import Raster, from_pillow
from inrcodec.metrics import psnr


def problem_of(raster, settings=None, **options):
    network = Siren(raster.channels, 8, 3, 30, 30)
    header = Header(network, raster.width, raster.height, raster.bits, **options)
    return Problem(raster, header, "cpu", settings)


def drawn(problem, std, seed=1):
    rng = np.random.default_rng(seed)
    return [rng.normal(0, std, block.basis.k) for block in problem.pranc.blocks]


def rendered(problem, values):
    return decoder.render(problem.header, values)


def tensors(values):
    return [torch.from_numpy(value).float() for value in values]


@pytest.mark.parametrize("std", [0.5, 5.0])
@pytest.mark.parametrize("name", ["photograph", "grey16", "rgba"])
def test_psnr_is_that_of_the_decoded_samples(name, std, request):
    raster = from_pillow(request.getfixturevalue(name))
    problem = problem_of(raster, basis="hadamard", compaction=80)
    values = drawn(problem, std)
    values[-1] *= 100 / std  # Far enough to be clamped.
    samples = rendered(problem, values)
    assert (samples == 0).any() and (samples == raster.peak).any()
    expected = psnr(samples, raster.samples, raster.peak)
    assert problem.psnr(tensors(values)) == pytest.approx(expected, abs=1e-4)


def test_psnr_is_that_of_all_pixels_of_a_large_picture():
    """More than are evaluated at one time."""
    rng = np.random.default_rng(0)
    raster = Raster(rng.integers(0, 256, (300, 301, 1), dtype=np.uint8), has_alpha=False)
    problem = problem_of(raster)
    values = drawn(problem, 1.0)
    expected = psnr(rendered(problem, values), raster.samples, 255)
    assert problem.psnr(tensors(values)) == pytest.approx(expected, abs=1e-4)


def test_a_perfect_picture_has_no_noise_to_speak_of(photograph):
    problem = problem_of(from_pillow(photograph))
    values = drawn(problem, 2.0)
    perfect = problem_of(Raster(rendered(problem, values), has_alpha=False))
    assert perfect.psnr(tensors(values)) > 100


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_the_loss_is_the_mean_squared_error_in_units_of_half_the_range(photograph, precision):
    raster = from_pillow(photograph)
    problem = problem_of(raster)
    problem.compute_in(precision)
    # Coefficients that keep the outputs inside the range, where no sample is clamped.
    values = drawn(problem, 0.2)
    loss = problem.loss(tensors(values), slice(None)).item()
    db = psnr(rendered(problem, values), raster.samples, 255)
    assert 10 * math.log10(4 / loss) == pytest.approx(db, abs=0.05)


def test_the_loss_of_some_pixels_is_theirs(photograph):
    problem = problem_of(from_pillow(photograph))
    problem.compute_in(torch.float32)
    alphas = tensors(drawn(problem, 1.0))
    losses = [problem.loss(alphas, torch.tensor([i])).item() for i in range(8)]
    assert problem.loss(alphas, torch.arange(8)).item() == pytest.approx(np.mean(losses), rel=1e-5)
    assert len(set(losses)) == 8


def test_coefficients_form_the_matrices_of_their_basis(photograph):
    raster = from_pillow(photograph)
    shapes = {
        basis: problem_of(raster, basis=basis, compaction=128).shapes
        for basis in ("identity", "hadamard", "kronecker")
    }
    assert shapes["identity"] == [(8, 3), (8, 9), (8, 9), (3, 9)]
    assert shapes["hadamard"] == [(8, 3), (36, 1), (36, 1), (3, 9)]
    rows, cols = shapes["kronecker"][1]
    assert 1 < rows < 8 and 1 < cols < 9
    problem = problem_of(raster, basis="kronecker", compaction=128)
    assert [rows * cols for rows, cols in problem.shapes] == [
        b.basis.k for b in problem.pranc.blocks
    ]


def test_the_first_layer_of_wide_networks_moves_slowly(photograph):
    raster, settings = from_pillow(photograph), FitSettings(first_rate=0.1, narrow=12, wide=20)

    def first(width):
        header = Header(Siren(3, width, 3, 30, 30), 48, 32)
        rate, *others = Problem(raster, header, "cpu", settings).rates
        assert others == [1.0] * 3
        return rate

    assert first(4) == first(12) == 1
    assert first(20) == first(60) == pytest.approx(0.1)
    assert 0.1 < first(16) < 1


@pytest.mark.parametrize(("basis", "picture"), [("identity", "photograph"), ("hadamard", "grey16"),
                                                ("kronecker", "rgba")])  # fmt: skip
def test_the_gradient_is_that_of_the_loss(basis, picture, request):
    problem = problem_of(from_pillow(request.getfixturevalue(picture)), basis=basis, compaction=80)
    alphas = [alpha.requires_grad_() for alpha in tensors(drawn(problem, 0.5))]
    for precision, near in ((torch.float32, 1e-3), (torch.bfloat16, 0.05)):
        problem.compute_in(precision)
        pixels = torch.arange(5, 300)
        loss, gradients = problem.gradient(alphas, pixels)
        expected = problem.loss(alphas, pixels)
        assert loss == pytest.approx(expected.item(), rel=near)
        exact = torch.autograd.grad(expected, alphas)
        for ours, theirs in zip(gradients, exact, strict=True):
            assert not ours.requires_grad and ours.shape == theirs.shape
            assert (ours - theirs).norm() < near * theirs.norm()


def test_small_pictures_take_part_whole(photograph):
    pixels = problem_of(from_pillow(photograph)).sample()
    assert pixels.tolist() == list(range(48 * 32))


@pytest.mark.parametrize("settings", [FitSettings(batch=500),
                                      FitSettings(batch=500, sampler=independent)])  # fmt: skip
def test_the_seed_alone_draws_the_pixels_of_large_ones(photograph, settings):
    raster = from_pillow(photograph)
    first, second = problem_of(raster, settings, seed=5), problem_of(raster, settings, seed=5)
    torch.manual_seed(1)
    draws = [first.sample() for _ in range(3)]
    torch.manual_seed(2)
    assert all(torch.equal(draw, second.sample()) for draw in draws)
    assert not torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], problem_of(raster, settings, seed=6).sample())


@pytest.mark.parametrize("batch", [500, 7, 1])
def test_every_pixel_is_drawn_as_often_and_each_step_covers_the_picture(photograph, batch):
    problem = problem_of(from_pillow(photograph), FitSettings(batch=batch))
    draws = [problem.sample() for _ in range(40000 // batch)]
    assert all(0.9 * batch - 1 <= len(draw) <= batch for draw in draws)
    counts = torch.bincount(torch.cat(draws), minlength=48 * 32).float()
    expected = counts.sum() / (48 * 32)
    assert len(counts) == 48 * 32
    assert ((counts - expected).abs() < 6 * expected.sqrt()).all()
    if batch == 500:
        # Cells may share a pixel where they meet; 500 of 1536 at random would share 70.
        assert all(len(draw.unique()) > len(draw) - 50 for draw in draws)
        quarters = [(draw // 48 // 16 * 2 + draw % 48 // 24).bincount() for draw in draws]
        assert min(q.min() for q in quarters) > 0.22 * batch
