"""One α for a whole network, windows of it, and normalization layers outside."""

import numpy as np
import pytest
import torch
from torch import nn

from inrcodec.pranc.reparametrization import Reparametrization
from inrcodec.pranc.windows import AlphaWindow, window_bounds

BASES = ["dense", "hadamard", "kronecker", "sparse", "identity"]
each = pytest.mark.parametrize("basis", BASES)


def network():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)
    )


def random_alphas(pranc, seed=0):
    rng = np.random.default_rng(seed)
    return [torch.from_numpy(rng.normal(size=len(a)).astype(np.float32)) for a in pranc.zeros()]


def whole(basis="dense", compaction=256, **options):
    return Reparametrization(network(), 7, basis, compaction, whole_network=True, **options)


@each
def test_one_alpha_makes_all_parameters(basis):
    pranc = whole(basis)
    (alpha,) = random_alphas(pranc)
    D = sum(parameter.numel() for parameter in network().parameters())
    assert (pranc.D, len(pranc.blocks)) == (D, 1)
    assert len(alpha) == pranc.k == (D if basis == "identity" else -(-D // 4))
    parameters = pranc.parameters([alpha])
    assert {n: p.shape for n, p in parameters.items()} == {
        n: p.shape for n, p in network().named_parameters()
    }
    # A coefficient moves every parameter where the basis mixes all of them.
    if basis in ("dense", "hadamard"):
        other = pranc.parameters([alpha + torch.eye(len(alpha))[0]])
        for name in parameters:
            assert (other[name] != parameters[name]).float().mean() > 0.4


def test_each_parameter_starts_as_without_a_basis_for_all():
    """Its distribution, that is: convolutions in ± 1/√fan_in, norms at 1 and 0."""
    parameters = whole().parameters(whole().zeros())
    assert (parameters["1.weight"] == 1).all() and (parameters["1.bias"] == 0).all()
    assert 0.2 < parameters["0.weight"].abs().max() <= 1 / 3
    assert parameters["4.weight"].abs().max() <= 1 / 4


@pytest.mark.parametrize("whole_network", [False, True])
def test_normalization_stays_outside_where_asked(whole_network):
    options = {"whole_network": whole_network}
    inside = Reparametrization(network(), 7, "dense", 128, **options)
    outside = Reparametrization(network(), 7, "dense", 128, norms=False, **options)
    assert inside.outside == () and outside.outside == ("1.weight", "1.bias")
    assert inside.D - outside.D == 8
    assert "1.weight" not in outside.parameters(outside.zeros())
    # The module's own are used then, and trained by its own gradients.
    images = torch.ones(2, 1, 4, 4)
    made = outside.parameters([alpha.requires_grad_() for alpha in outside.zeros()])
    torch.func.functional_call(outside.module, made, images).sum().backward()
    assert outside.module[1].weight.grad is not None and outside.module[0].weight.grad is None


def test_a_network_of_norms_alone_has_nothing_left():
    with pytest.raises(ValueError, match="has no parameters"):
        Reparametrization(nn.BatchNorm1d(3), 7, "dense", 128, norms=False)


def test_no_layer_is_left_out_of_a_whole_network():
    with pytest.raises(ValueError, match="leaves no layers"):
        whole(**{"whole": ["0"]})


@each
@pytest.mark.parametrize("joined", [False, True])
def test_windows_add_up_to_all_coefficients(basis, joined):
    pranc = Reparametrization(network(), 7, basis, 128, whole_network=joined)
    alphas = random_alphas(pranc)
    expected = pranc.parameters(alphas)
    found = pranc.zeros()
    for bounds in window_bounds(pranc.k, 17):
        window = AlphaWindow(pranc, found, *bounds)
        at = 0
        flat = torch.cat(alphas)[slice(*bounds)]
        with torch.no_grad():
            for alpha in window.alphas:
                alpha.copy_(flat[at : at + len(alpha)])
                at += len(alpha)
        found = window.merged()
    assert all(torch.equal(a, b) for a, b in zip(found, alphas, strict=True))
    for name, value in window.parameters().items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-5)


@each
def test_gradients_of_a_window_are_those_of_all_coefficients(basis):
    pranc = whole(basis)
    alphas = [alpha.requires_grad_() for alpha in random_alphas(pranc)]

    def cost(parameters):
        return sum((p - 0.3).square().sum() for p in parameters.values())

    cost(pranc.parameters(alphas)).backward()
    window = AlphaWindow(pranc, alphas, 5, 14)
    cost(window.parameters()).backward()
    torch.testing.assert_close(window.alphas[0].grad, alphas[0].grad[5:14], rtol=1e-3, atol=1e-3)


def test_windows_of_nothing_are_refused():
    pranc = whole()
    for bounds in ((0, 0), (-1, 3), (0, pranc.k + 1)):
        with pytest.raises(ValueError, match="no window from"):
            AlphaWindow(pranc, pranc.zeros(), *bounds)
        with pytest.raises(ValueError, match="no window from"):
            pranc.blocks[0].basis.window(*bounds)
    with pytest.raises(ValueError, match="a window of 0 coefficients"):
        window_bounds(10, 0)
