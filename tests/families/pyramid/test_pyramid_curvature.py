"""The curvature must foretell how much the loss rises when coefficients move."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from inrcodec.container.header import Header
from inrcodec.families.pyramid.fit.curvature import curvature_factor
from inrcodec.families.pyramid.fit.optimizer import Optimizer
from inrcodec.families.pyramid.fit.problem import PyramidProblem, samples_of
from inrcodec.families.pyramid.fit.start import start
from inrcodec.families.pyramid.shape import Pyramid
from inrcodec.image import from_pillow

WEIGHT = 2e-3


@pytest.fixture(scope="module", params=[{}, {"filtered": True, "second": 8}])
def problem(request):
    raster = from_pillow(Image.fromarray(data.astronaut()[64:160, 160:288]))
    network = Pyramid(3, width=8, context=8, levels=(3, 2, 1, 0), **request.param)
    problem = PyramidProblem(samples_of(raster), Header(network, raster.width, raster.height))
    start(problem, WEIGHT, seed=0)
    optimizer = Optimizer(problem)
    for _ in range(300):
        optimizer.step(WEIGHT, 0.3, 0.06, 0.1)
    return problem


def cost(problem):
    error, bits = problem.loss(WEIGHT, 0.3, 7)
    return error + WEIGHT * bits / problem.pixels


@pytest.mark.parametrize("index", range(7))
@pytest.mark.parametrize("kind", ["equal", "scaled"])
def test_moves_cost_what_it_says(problem, index, kind, monkeypatch):
    if index >= len(problem.alphas):
        pytest.skip("there is no second layer and no filter")
    mixed = problem.architecture.mixed_blocks
    if problem.architecture.filtered and index < mixed:
        # The blocks below an output filter are to count it as the identity, so here it is one.
        alphas = [alpha * (i != mixed) for i, alpha in enumerate(problem.alphas)]
        monkeypatch.setattr(problem, "alphas", alphas)
    base = cost(problem)
    factor = curvature_factor(problem, index, WEIGHT, 1)
    alpha = problem.alphas[index].clone()
    rises = []
    for seed in range(4):
        move = np.random.default_rng(seed).normal(size=len(alpha))
        if kind == "scaled":
            # But for those of a rectified unit that no latent wakes, which such a move would.
            felt = np.linalg.norm(factor, axis=1)
            move = np.where(felt > 0.1 * felt.mean(), move / felt, 0)
        move *= np.sqrt(1e-3 * base / np.square(factor.T @ move).sum())
        both = []
        for sign in (1, -1):
            problem.alphas[index] = alpha + sign * torch.from_numpy(move).float()
            both.append(cost(problem))
        problem.alphas[index] = alpha
        rises.append(np.mean(both) - base)
    # Least squares is exact; Fisher's information supposes that the latents follow the model.
    low, high = (0.8, 1.25) if index < len(problem.alphas) - 3 else (0.25, 2.5)
    assert low < np.mean(rises) / (1e-3 * base) < high
