"""The fused step computes what autograd does, for any shape, precision and number of threads."""

import math

import numpy as np
import pytest
import torch

from inrcodec.families.siren.kernels import elementwise
from inrcodec.families.siren.kernels.step import SirenStep, as_stored
from inrcodec.families.siren.network import SirenNetwork
from inrcodec.families.siren.shape import Siren


def drawn(network, pixels=700, seed=0):
    """Matrices of a network at its start, and a picture of noise."""
    rng = np.random.default_rng(seed)
    matrices = []
    for index, (rows, cols) in enumerate(network.blocks):
        spread = 1 / 2 if index == 0 else math.sqrt(6 / cols) / network.omega_hidden
        matrices.append(torch.from_numpy(rng.uniform(-spread, spread, (rows, cols))).float())
    xy = rng.uniform(-1, 1, (2, pixels)).astype(np.float32)
    return matrices, xy, rng.uniform(-1, 1, (network.channels, pixels)).astype(np.float32)


def reference(network, matrices, xy, targets, pixels):
    leaves = [matrix.double().requires_grad_() for matrix in matrices]
    coordinates = torch.from_numpy(xy[:, pixels].T).double()
    output = SirenNetwork(network).evaluate(leaves, coordinates, torch.float64).double()
    loss = (output - torch.from_numpy(targets[:, pixels].T)).square().mean()
    loss.backward()
    return loss.item(), [leaf.grad for leaf in leaves]


def distance(a, b):
    return ((a - b).norm() / b.norm()).item()


@pytest.mark.parametrize(("precision", "near"), [(torch.float32, 3e-4), (torch.bfloat16, 0.03)])
@pytest.mark.parametrize("shape", [(3, 13, 4), (1, 8, 1), (4, 16, 2), (2, 1, 3)])
def test_loss_and_gradients_are_autograds(shape, precision, near):
    network = Siren(*shape, omega_first=30, omega_hidden=20)
    matrices, xy, targets = drawn(network)
    pixels = np.random.default_rng(1).integers(0, 700, 611)
    loss, gradients = SirenStep(network, precision)(matrices, xy, targets, pixels)
    expected, by_autograd = reference(network, matrices, xy, targets, pixels)
    assert loss == pytest.approx(expected, rel=near)
    for ours, theirs in zip(gradients, by_autograd, strict=True):
        assert ours.shape == theirs.shape and ours.dtype == torch.float32
        assert distance(ours, theirs) < near


def test_chunks_and_threads_change_only_the_rounding():
    network = Siren(3, 12, 3, 30, 20)
    matrices, xy, targets = drawn(network, 4000)
    pixels = np.arange(3001)
    whole, gradients = SirenStep(network, torch.float32)(matrices, xy, targets, pixels)
    for threads in (1, 3):
        step = SirenStep(network, torch.float32, threads, chunk=333)
        for _ in range(2):
            loss, parts = step(matrices, xy, targets, pixels)
            assert loss == pytest.approx(whole, rel=1e-5)
            assert all(distance(a, b) < 1e-4 for a, b in zip(parts, gradients, strict=True))


def test_threads_leave_the_number_of_pytorchs_unchanged():
    before = torch.get_num_threads()
    network = Siren(1, 4, 2, 30, 20)
    step = SirenStep(network, torch.float32, threads=2)
    step(*drawn(network), np.arange(700))
    assert torch.get_num_threads() == before


def test_the_same_input_gives_the_same_gradients():
    network = Siren(3, 9, 3, 30, 20)
    arguments = (*drawn(network, 5000), np.arange(5000))
    _, first = SirenStep(network, torch.bfloat16)(*arguments)
    _, second = SirenStep(network, torch.bfloat16)(*arguments)
    assert all(map(torch.equal, first, second))


@pytest.mark.parametrize("shape", [(3, 13, 4), (1, 8, 1)])
def test_gradients_of_the_last_layers_alone_are_the_same(shape):
    network = Siren(*shape, omega_first=30, omega_hidden=20)
    arguments = (*drawn(network), np.arange(700))
    step = SirenStep(network, torch.float32)
    loss, whole = step(*arguments)
    for start in range(len(whole) + 1):
        part_loss, part = step(*arguments, start)
        assert part_loss == pytest.approx(loss, rel=1e-6) and len(part) == len(whole) - start
        for ours, theirs in zip(part, whole[start:], strict=True):
            assert distance(ours, theirs) < 1e-5


def test_a_step_down_the_gradient_lowers_the_loss():
    network = Siren(3, 16, 4, 30, 20)
    matrices, xy, targets = drawn(network)
    step, pixels = SirenStep(network, torch.float32), np.arange(700)
    loss, gradients = step(matrices, xy, targets, pixels)
    moved = [m - 1e-4 * g for m, g in zip(matrices, gradients, strict=True)]
    slope = sum(g.square().sum().item() for g in gradients)
    assert step(moved, xy, targets, pixels)[0] - loss == pytest.approx(-1e-4 * slope, rel=0.1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_sines_and_cosines_are_right_to_the_last_bit_of_bfloat16(dtype):
    z = torch.linspace(-60, 60, 40001).reshape(1, -1).to(dtype)
    sine, cosine = torch.empty_like(z), torch.empty_like(z)
    elementwise.sine_layer(*(as_stored(t) for t in (z, sine, cosine)))
    near = 2e-5 if dtype == torch.float32 else 2**-9 + 2e-5
    for ours, exact in ((sine, z.double().sin()), (cosine, z.double().cos())):
        assert (ours.double() - exact).abs().max() <= near
