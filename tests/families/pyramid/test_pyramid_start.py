"""The warm-up on smaller pictures: the same function there, and a better start than none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from inrcodec.container.header import Header
from inrcodec.families.pyramid.fit.problem import PyramidProblem, samples_of
from inrcodec.families.pyramid.fit.start import start, warm_up
from inrcodec.families.pyramid.fit.start.half_size import carry, half_size
from inrcodec.families.pyramid.network import grow
from inrcodec.families.pyramid.shape import Pyramid
from inrcodec.image import from_pillow
from inrcodec.pranc.layout import NO_COMPACTION

LEVELS = (4, 3, 2, 2, 1, 0)
WEIGHT = 0.01


def problem(width, height, basis="identity", levels=LEVELS):
    raster = from_pillow(Image.fromarray(data.astronaut()[:height, :width]))
    compaction = NO_COMPACTION if basis == "identity" else 128
    header = Header(Pyramid(3, 8, 8, levels), width, height, basis=basis, compaction=compaction)
    made = PyramidProblem(samples_of(raster), header)
    start(made, WEIGHT, seed=1)
    return made


def cost(made):
    error, bits = made.loss(WEIGHT, 0)
    return error + WEIGHT * bits / made.pixels


@pytest.mark.parametrize(("width", "height"), [(96, 64), (131, 77)])
def test_the_half_is_the_same_function_at_half_as_many_points(width, height):
    whole = problem(width, height)
    half = half_size(whole)
    assert (half.width, half.height) == (-(-width // 2), -(-height // 2))
    # The kernels of the two finest planes are not the same there.
    for plane in whole.planes[-2:]:
        plane.inner(whole.y)[:] = 0
    carry(whole, half)
    network, pranc = grow(whole.header, "cpu")
    planes = [torch.from_numpy(plane.inner(whole.y)) for plane in whole.planes]
    x, y = (2 * np.arange(float(n)) + 0.5 for n in (half.width, half.height))
    expected = network.evaluate(pranc.matrices(whole.alphas), planes, (width, height), x, y)
    network, pranc = grow(half.header, "cpu")
    planes = [torch.from_numpy(plane.inner(half.y)) for plane in half.planes]
    x, y = (np.arange(float(n)) for n in (half.width, half.height))
    found = network.evaluate(pranc.matrices(half.alphas), planes, (half.width, half.height), x, y)
    assert torch.allclose(found, expected, atol=1e-4)


def test_a_large_picture_has_halves_until_two_planes_are_the_finest():
    # The last half has more latents a pixel than a file may have.
    whole = problem(512, 512)
    half = half_size(whole)
    quarter = half_size(half)
    assert (quarter.width, quarter.architecture.levels) == (128, (2, 1, 0, 0))
    assert half_size(quarter) is None


def test_its_samples_are_means_of_four():
    whole = problem(97, 64)
    half = half_size(whole)
    assert half.target[:, 3, 5] == pytest.approx(whole.target[:, 6:8, 10:12].mean((1, 2)))
    # Beyond the edge the last column goes on.
    assert half.target[:, 0, -1] == pytest.approx(whole.target[:, :2, -1].mean(1))


@pytest.mark.parametrize("basis", ["identity", "dense"])
def test_there_and_back_nothing_is_lost_but_the_finest_plane(basis):
    whole = problem(96, 64, basis)
    before = [plane.inner(whole.y).copy() for plane in whole.planes]
    alphas = [alpha.clone() for alpha in whole.alphas]
    half = half_size(whole)
    carry(whole, half)
    carry(half, whole)
    for plane, values in zip(whole.planes, before, strict=True):
        assert np.array_equal(plane.inner(whole.y), values)
    same = [torch.allclose(a, b, rtol=1e-4) for a, b in zip(alphas, whole.alphas, strict=True)]
    # The first layer has another shape there, and so another basis.
    assert all(same if basis == "identity" else same[1:])


def test_it_makes_a_better_start():
    cold = cost(problem(128, 96))
    warm, told = problem(128, 96), []
    assert warm_up(warm, WEIGHT, 60, lambda pixels, psnr: told.append((pixels, psnr)))
    assert cost(warm) < 0.8 * cold
    # Of 128x96 down to half that; its levels end there.
    assert [pixels for pixels, _ in told] == [64 * 48] * 60


def test_a_small_picture_or_one_without_a_finest_plane_is_left_as_it_is():
    for made in (problem(60, 90), problem(128, 96, levels=(3, 2, 1)), problem(70, 70, levels=(0,))):
        before = made.y.copy()
        assert not warm_up(made, WEIGHT, 60, lambda pixels, psnr: None)
        assert np.array_equal(made.y, before)
