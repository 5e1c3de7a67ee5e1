"""PyTorch on any device computes what the fused kernels do, and trains as well."""

import numpy as np
import pytest
import torch

import inrcodec
from inrcodec.container.header import Header
from inrcodec.families.pyramid.fit.curvature import curvature_factor
from inrcodec.families.pyramid.fit.device import backend, device_problem
from inrcodec.families.pyramid.fit.goal import Goal
from inrcodec.families.pyramid.fit.optimizer import Optimizer
from inrcodec.families.pyramid.fit.problem import Prefix, PyramidProblem, samples_of
from inrcodec.families.pyramid.fit.start import start
from inrcodec.families.pyramid.fit.train import train
from inrcodec.families.pyramid.settings import PyramidSettings
from inrcodec.families.pyramid.shape import Pyramid
from inrcodec.image import Raster
from inrcodec.optim.clock import Clock

SHAPES = [
    (3, (2, 1, 1, 0), 37, 21),
    (1, (0,), 9, 5),
    (4, (4, 3, 2, 2, 1, 0), 150, 40),
    (3, (2, 1, 0), 20, 31, {"filtered": True, "second": 8}),
    (3, (3, 2, 1, 0), 20, 31, {"filtered": True, "taps": 3}),
]
EARLY = [(3, (2, 1, 2, 1, 0), 20, 31, network) for network in ({}, {"filtered": True}, {"taps": 2})]


CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
INTERPRETED = pytest.mark.skipif(torch.cuda.is_available(), reason="kernels are compiled here")


@pytest.fixture(
    params=[
        "cpu",
        pytest.param("interpreted", marks=INTERPRETED),
        pytest.param("cuda", marks=CUDA),
    ]
)
def device(request, monkeypatch):
    """Where to compute: "interpreted" is on the CPU with the kernels of a GPU, run by Python."""
    if request.param == "interpreted":
        gpu = pytest.importorskip("inrcodec.families.pyramid.kernels.gpu")
        monkeypatch.setattr(backend, "fused_kernels", lambda device: gpu)
        # Python takes as long for a large block.
        monkeypatch.setattr(gpu, "RATE", (512, 4))
        monkeypatch.setattr(gpu, "SINES", (512, 4))
        return "cpu"
    return request.param


def pair(channels, levels, width, height, network=None, *, device):
    """The same picture as a problem of the kernels and of a device."""
    rng = np.random.default_rng(0)
    samples = rng.integers(0, 256, (height, width, channels)).astype(np.uint8)
    raster = Raster(samples, has_alpha=channels == 4)
    header = Header(Pyramid(channels, 8, 12, levels, **(network or {})), width, height)
    both = (
        PyramidProblem(samples_of(raster), header),
        device_problem(samples_of(raster), header, device),
    )
    latents = rng.normal(size=both[0].y.shape) * 2
    for made in both:
        start(made, 0.01, seed=1)
        for plane in made.planes:
            plane.inner(made.y)[:] = plane.inner(latents)
        if network:
            made.alphas[3] += 0.3
    return both


def apart(ours, expected):
    return np.linalg.norm(ours - expected) / np.linalg.norm(expected)


def exactness(device):
    """Of gradients: a GPU's matrix units make them with 11 bits (0.001 to 0.002 on an H200)."""
    return 5e-3 if device == "cuda" else 1e-3


@pytest.mark.parametrize("shape", SHAPES)
def test_loss_and_gradients_are_the_kernels(shape, device):
    kernels, made = pair(*shape, device=device)
    expected = kernels.loss(0.02, 0.5, seed=3, differentiate=True)
    assert made.loss(0.02, 0.5, seed=3, differentiate=True) == pytest.approx(expected, rel=1e-4)
    for ours, theirs in zip(made.gradients, kernels.gradients, strict=True):
        assert apart(ours.numpy(), theirs.numpy()) < exactness(device)
    assert apart(made.latent_gradient(), kernels.latent_gradient()) < exactness(device)
    made.alphas[1], kernels.alphas[1] = 2 * made.alphas[1], 2 * kernels.alphas[1]
    made.alphas[3], kernels.alphas[3] = 2 * made.alphas[3], 2 * kernels.alphas[3]
    assert made.distortion() == pytest.approx(kernels.distortion(), rel=1e-4)
    assert made.bits() == pytest.approx(kernels.bits(), rel=1e-4)


def test_the_curvature_is_the_kernels(device):
    factors = []
    for made in pair(*SHAPES[-1], device=device):
        # As a training leaves it: what was trained is newer than what the problem was made with.
        made.alphas[made.plane_filters] += 0.3
        made.loss(0.02, 0.5, seed=3)
        factors.append([curvature_factor(made, k, 0.02, 0) for k in range(len(made.alphas))])
    for ours, theirs in zip(*factors, strict=True):
        assert apart(ours, theirs) < 1e-3


@pytest.mark.parametrize("shape", EARLY)
def test_prefixes_and_prices_are_the_kernels(shape, device):
    found = []
    for made in pair(*shape, device=device):
        plain = made.loss(0.02, 0.5, seed=3, differentiate=True)
        without = made.latent_gradient().copy()
        made.prefixes = [Prefix(1, 0.5), Prefix(2, 2.0)]
        made.price[:] = (4, 3, 1, 1, 1)
        assert made.loss(0.02, 0.5, seed=3, differentiate=True) == pytest.approx(plain, rel=1e-6)
        errors = [prefix.error for prefix in made.prefixes]
        assert errors[0] != errors[1] and made.plane_bits().sum() == pytest.approx(plain[1])
        total = made.distortion()
        assert total == pytest.approx(plain[0] + 0.5 * errors[0] + 2 * errors[1], rel=1e-5)
        assert apart(made.latent_gradient(), without) > 0.1
        last = made.planes[2].start
        assert apart(made.latent_gradient()[last:], without[last:]) < 1e-5
        found.append((made, errors))
    (kernels, expected), (made, errors) = found
    assert errors == pytest.approx(expected, rel=1e-4)
    assert made.plane_bits() == pytest.approx(kernels.plane_bits(), rel=1e-4)
    for ours, theirs in zip(made.gradients, kernels.gradients, strict=True):
        assert apart(ours.numpy(), theirs.numpy()) < exactness(device)
    assert apart(made.latent_gradient(), kernels.latent_gradient()) < exactness(device)


def test_a_step_is_the_kernels(device):
    found = []
    for made in pair(*SHAPES[0], device=device):
        before = made.y.copy()
        optimizer = Optimizer(made)
        optimizer.step(0.02, 0.4, 0.05, 0.2)
        assert np.abs(made.y - before).max() > 0.1
        found.append((made.y, optimizer.vectors))
    (y, vectors), (expected, others) = found
    # A first step of Adam has full length, too, where a gradient's sign is an accident.
    assert np.mean(np.abs(y - expected) > 1e-4) < (0.01 if device == "cuda" else 1e-9)
    for vector, other in zip(vectors, others, strict=True):
        # A first step of SOAP has full length along every axis, however small the gradient is.
        assert apart(vector.numpy(), other.numpy()) < 0.05


def test_steps_go_on_from_latents_that_were_changed_here(device):
    ours, theirs = pair(*SHAPES[3], device=device)
    for made in (ours, theirs):
        optimizer = Optimizer(made)
        still = [True] * len(made.alphas)
        for _ in range(3):
            optimizer.step(0.02, 0.4, 0.0, 0.1, still)
        made.planes[1].inner(made.y)[2, 3] += 5
        for _ in range(3):
            optimizer.step(0.02, 0.3, 0.0, 0.1, still)
        made.loss(0.02, 0)
    assert np.abs(ours.y - theirs.y).max() < exactness(device)
    assert np.mean(ours.q != theirs.q) < (0.01 if device == "cuda" else 1e-9)


def test_latents_may_be_changed_between_a_loss_and_its_step(device):
    ours, theirs = pair(*SHAPES[3], device=device)
    for made in (ours, theirs):
        made.loss(0.02, 0.4, differentiate=True)
        made.planes[1].inner(made.y)[2, 3] += 5
        made.descend(0.1)
    # A first step of Adam has full length, too, where a gradient's sign is an accident.
    assert np.mean(np.abs(ours.y - theirs.y) > 1e-4) < 0.01


def test_the_same_seed_gives_the_same_steps(device):
    found = []
    for _ in range(2):
        made = pair(*SHAPES[4], device=device)[1]
        optimizer = Optimizer(made)
        for _ in range(5):
            optimizer.step(0.02, 0.4, 0.05, 0.2)
        found.append((made.y, torch.cat(optimizer.vectors)))
    assert np.array_equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=CUDA)])
def test_a_training_becomes_a_file(device, photograph):
    raster = inrcodec.image.from_pillow(photograph)
    header = Header(Pyramid(3, 8, 8, (3, 2, 1, 0)), raster.width, raster.height)
    problem = device_problem(samples_of(raster), header, device)
    data = train(problem, Goal(size=900), 60, PyramidSettings(), Clock(60, None, 900))
    assert data is not None and 0.99 * 900 <= len(data) <= 900
    picture = np.asarray(inrcodec.decode(data, device="cpu")).astype(float)
    expected = np.asarray(photograph).astype(float)
    assert np.mean((picture - expected) ** 2) < 0.05 * expected.var()
