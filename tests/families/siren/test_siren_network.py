"""The SIREN: its formula, its derivatives, and evaluation in lower precision."""

import numpy as np
import pytest
import torch
from torch.autograd.functional import jacobian

from inrcodec.container.header import Header
from inrcodec.families.siren.coordinates import grid
from inrcodec.families.siren.network import SirenNetwork, grow
from inrcodec.families.siren.shape import Siren

SHAPES = [(1, 6, 1), (3, 5, 2), (4, 8, 4)]


def drawn(channels, width, depth, seed=0, **options):
    """A network with omegas that differ, parameters of a file, and coordinates."""
    siren = Siren(channels, width, depth, omega_first=12, omega_hidden=7.5)
    network, pranc = grow(Header(siren, 11, 6, seed=seed, **options), "cpu")
    generator = torch.Generator().manual_seed(seed)
    alphas = [torch.randn(len(alpha), generator=generator) for alpha in pranc.zeros()]
    return network, pranc, alphas, torch.from_numpy(grid((11, 6)))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_outputs_are_those_of_the_formula(shape):
    network, pranc, alphas, xy = drawn(*shape)
    matrices = [matrix.double().numpy() for matrix in pranc.matrices(alphas)]
    assert [matrix.shape for matrix in matrices] == list(network.architecture.blocks)
    v = xy.double().numpy()
    for i, matrix in enumerate(matrices):
        v = v @ matrix[:, :-1].T + matrix[:, -1]
        if i < len(matrices) - 1:
            v = np.sin((12 if i == 0 else 7.5) * v)
    outputs = network.evaluate(pranc.matrices(alphas), xy)
    assert outputs.shape == (66, shape[0])
    np.testing.assert_allclose(outputs.numpy(), v, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("basis", ["identity", "hadamard"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_module_with_loaded_parameters_is_the_same_function(shape, basis):
    network, pranc, alphas, xy = drawn(*shape, basis=basis, compaction=128)
    pranc.load(alphas)
    assert torch.equal(network(xy), network.evaluate(pranc.matrices(alphas), xy))


@pytest.mark.parametrize("shape", SHAPES)
def test_inputs_and_gradients_of_a_layer_make_its_derivatives(shape):
    network, pranc, alphas, xy = drawn(*shape)
    matrices = pranc.matrices(alphas)
    weights = torch.randn(9, shape[0], generator=torch.Generator().manual_seed(1))
    passed = network.backpropagate(matrices, xy[:9], weights)
    expected = jacobian(lambda *m: (network.evaluate(m, xy[:9]) * weights).sum(1), tuple(matrices))
    for (inputs, gradients), reference in zip(passed, expected, strict=True):
        products = gradients[:, :, None] * inputs[:, None, :]
        torch.testing.assert_close(products, reference, rtol=1e-4, atol=1e-4)


def test_evaluation_is_differentiable_in_the_parameters():
    network, pranc, alphas, xy = drawn(3, 5, 2)
    alphas = [alpha.requires_grad_() for alpha in alphas]
    network.evaluate(pranc.matrices(alphas), xy).square().sum().backward()
    assert all((alpha.grad != 0).all() for alpha in alphas)


@pytest.mark.parametrize("shape", [(1, 8, 1), (3, 24, 4)])
def test_bfloat16_is_close_to_float32(shape):
    network, pranc, alphas, xy = drawn(*shape)
    matrices = pranc.matrices(alphas)
    full = network.evaluate(matrices, xy)
    half = network.evaluate(matrices, xy, torch.bfloat16)
    assert half.dtype == torch.float32
    error = (half - full).square().mean().sqrt() / full.std()
    # bfloat16 has 8 bits; each hidden layer adds its rounding errors.
    assert error < 0.05
    if shape[2] > 1:
        assert error > 1e-4


def test_the_first_layer_keeps_float32_for_its_coordinates():
    """At ω = 1000 neighbouring pixels would fall together in bfloat16."""
    siren = Siren(1, 4, 1, omega_first=1000, omega_hidden=30)
    network, pranc = grow(Header(siren, 1000, 1), "cpu")
    matrices, xy = pranc.matrices(pranc.zeros()), torch.from_numpy(grid((1000, 1)))
    full = network.evaluate(matrices, xy)
    half = network.evaluate(matrices, xy, torch.bfloat16)
    assert (half - full).abs().max() < 0.02 * full.std()


def test_the_whole_layers_are_the_first_and_the_last():
    network = SirenNetwork(Siren(3, 8, 4, 30, 30))
    names = dict(network.named_modules())
    first, last = network.whole_layers
    assert names[first] is network.layers[0] and names[last] is network.layers[-1]
    assert len(network.layers) == 5
