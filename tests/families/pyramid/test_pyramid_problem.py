"""A problem's loss and gradients are what PyTorch computes, for every shape and thread."""

import numpy as np
import pytest
import torch

from inrcodec.container.header import Header
from inrcodec.families.pyramid.fit.geometry import contract, expand
from inrcodec.families.pyramid.fit.problem import PyramidProblem, samples_of
from inrcodec.families.pyramid.fit.start import start
from inrcodec.families.pyramid.latents import BORDER
from inrcodec.families.pyramid.network import grow
from inrcodec.families.pyramid.shape import Pyramid
from inrcodec.image import Raster

SEEN = (
    "..www..",
    ".wsssw.",
    "wsssssw",
    "wss....",
)
"""Neighbours of a latent, whose own place is in the middle of the last row: s small, w wide."""

SHAPES = [
    (3, 8, 12, (2, 1, 1, 0), 37, 21),
    (1, 4, 4, (0,), 9, 5),
    (4, 12, 8, (4, 3, 2, 2, 1, 0), 150, 40),
    (2, 4, 4, (3, 0), 16, 33),
]


def problem(channels, units, context, levels, width, height, threads=1, **network):
    rng = np.random.default_rng(0)
    samples = rng.integers(0, 256, (height, width, channels)).astype(np.uint8)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        header = Header(Pyramid(channels, units, context, levels, **network), width, height)
        raster = Raster(samples, has_alpha=channels in (2, 4))
        made = PyramidProblem(samples_of(raster), header)
    finally:
        torch.set_num_threads(before)
    start(made, 0.01, seed=1)
    for alpha in made.alphas:
        alpha += 0.2 * torch.from_numpy(rng.normal(size=alpha.shape)).float()
    for plane in made.planes:
        plane.inner(made.y)[:] = rng.normal(size=plane.shape) * 2
    return made


def smoothed(plane, taps):
    """Filtered along both axes; beyond its borders a plane goes on as it ends."""
    for axis in (0, 1):
        at = torch.arange(plane.shape[axis])
        total = plane
        for j, tap in enumerate(taps, 1):
            for step in (-j, j):
                beside = (at + step).clamp(0, len(at) - 1)
                total = total + tap * plane.index_select(axis, beside)
        plane = total
    return plane


def reference(made, q, weight):
    """Error and bits in double precision, straight from their definitions."""
    network, pranc = grow(made.header, "cpu")
    matrices = [m.double() for m in pranc.matrices(made.alphas)]
    planes = [
        torch.nn.functional.pad(x.reshape(plane.shape), (BORDER, BORDER, BORDER, 0))
        for x, plane in zip(q, made.planes, strict=True)
    ]
    bits = 0
    for plane, values in zip(made.planes, planes, strict=True):
        height, width = plane.shape
        rows, cols = torch.arange(height)[:, None], torch.arange(width)[None]
        kinds = "s" if made.architecture.neighbours == 10 else "sw"
        inputs = [
            values[rows + i, cols + j]
            for kind in kinds
            for i in range(4)
            for j in range(7)
            if SEEN[i][j] == kind
        ]
        for parents, places in ((plane.near, ((0, 0), (0, 1), (1, 0))), (plane.far, ((0, 0),))):
            for i, j in places:
                if parents.plane is None:
                    inputs.append(torch.zeros(plane.shape).double())
                    continue
                r, c = torch.from_numpy(parents.rows[:, i]), torch.from_numpy(parents.cols[:, j])
                inputs.append(planes[parents.plane][r[:, None], c[None]])
        constants = (plane.level, plane.later)
        inputs += [torch.full(plane.shape, float(value)).double() for value in constants]
        h = torch.stack(inputs, -1)
        for matrix in matrices[-3:-1]:
            h = torch.relu(h @ matrix[:, :-1].T + matrix[:, -1])
        centre, scale = (h @ matrices[-1][:, :-1].T + matrices[-1][:, -1]).unbind(-1)
        laplace = torch.distributions.Laplace(centre, 2 ** scale.clamp(-5, 9), validate_args=False)
        own = values[BORDER:, BORDER:-BORDER]
        probability = laplace.cdf(own + 0.5) - laplace.cdf(own - 0.5)
        bits = bits - torch.log2(probability + 2e-7).sum()
    inner = [x[BORDER:, BORDER:-BORDER] for x in planes]
    if made.plane_filters is not None:
        inner = [smoothed(x, t) for x, t in zip(inner, matrices[made.plane_filters], strict=True)]
    xs, ys = np.arange(float(made.width)), np.arange(float(made.height))
    output = network.evaluate(matrices, inner, (made.width, made.height), xs, ys)
    target = torch.from_numpy(made.target).permute(1, 2, 0)
    error = (output - target).square().mean()
    return error, bits, error + weight * bits / made.pixels


@pytest.mark.parametrize(
    "threads, network",
    [
        (1, {}),
        (3, {}),
        (1, {"neighbours": 18}),
        (1, {"filtered": True}),
        (1, {"second": 4}),
        (1, {"taps": 1}),
        (2, {"filtered": True, "taps": 3}),
        (3, {"neighbours": 18, "filtered": True, "second": 12}),
    ],
)
@pytest.mark.parametrize("shape", SHAPES)
def test_loss_and_gradients_are_autograds(shape, threads, network):
    made, weight = problem(*shape, threads, **network), 0.02
    error, bits = made.loss(weight, 0.5, seed=3, differentiate=True)
    q = [
        torch.from_numpy(plane.inner(made.q).astype(np.float64)).requires_grad_()
        for plane in made.planes
    ]
    made.alphas = [alpha.requires_grad_() for alpha in made.alphas]
    expected_error, expected_bits, loss = reference(made, q, weight)
    loss.backward()
    assert error == pytest.approx(expected_error.item(), rel=1e-4)
    assert bits == pytest.approx(expected_bits.item(), rel=1e-4)
    for ours, alpha in zip(made.gradients, made.alphas, strict=True):
        assert (ours - alpha.grad).norm() < 1e-3 * alpha.grad.norm()
    gradient = made.latent_gradient()
    for plane, leaf in zip(made.planes, q, strict=True):
        difference = torch.from_numpy(plane.inner(gradient)) - leaf.grad
        assert difference.norm() < 1e-3 * leaf.grad.norm()


@pytest.mark.parametrize("shape", SHAPES)
def test_the_adjoint_of_the_interpolation(shape):
    made, rng = problem(*shape), np.random.default_rng(2)
    picture = rng.normal(size=(made.height, made.width)).astype(np.float32)
    for k, plane in enumerate(made.planes):
        latents = rng.normal(size=plane.shape).astype(np.float32)
        there = (expand(made.geometry, k, latents) * picture).sum()
        back = (latents * contract(made.geometry, k, picture)).sum()
        assert there == pytest.approx(back, rel=1e-3, abs=1e-3)


def test_descending_lowers_the_loss():
    made = problem(*SHAPES[0])
    made.alphas = [alpha.detach() for alpha in made.alphas]
    first = made.loss(0.02, 0)
    for step in range(60):
        made.loss(0.02, 0.5, seed=step, differentiate=True)
        made.descend(0.05)
    last = made.loss(0.02, 0)
    assert last[0] + 0.02 * last[1] / made.pixels < first[0] + 0.02 * first[1] / made.pixels
