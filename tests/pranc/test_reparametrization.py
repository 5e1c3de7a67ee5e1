"""Any module's parameters are a differentiable function of a seed and few coefficients."""

import hashlib
import math

import pytest
import torch
from torch import nn
from torch.func import functional_call

from inrcodec.pranc import philox
from inrcodec.pranc.layout import BASES, coefficients
from inrcodec.pranc.reparametrization import Initial, Reparametrization, default_initial

SEED = 0x1122334455667788
GOLDEN = "21d03a7596a05e293fc644fe53c7bba5f7252660d82b0759e1f36cbec80c41f8"


def cnn():
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 6, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(6 * 16, 2),
    )


def mlp(width=8):
    return nn.Sequential(
        nn.Linear(2, width), nn.Tanh(), nn.Linear(width, width), nn.Linear(width, 1)
    )


def drawn(pranc, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(a.shape, dtype=a.dtype, generator=generator) for a in pranc.zeros()]


def test_blocks_join_a_weight_with_its_bias():
    pranc = Reparametrization(cnn(), SEED, "hadamard", 128)
    both = zip(pranc.members, pranc.blocks, strict=True)
    assert [(m.layer, m.name, m.names, b.rows, b.cols) for m, b in both] == [
        ("0", "0.weight", ("0.weight", "0.bias"), 6, 10),
        ("1", "1.weight", ("1.weight",), 6, 1),
        ("1", "1.bias", ("1.bias",), 6, 1),
        ("3", "3.weight", ("3.weight", "3.bias"), 6, 55),
        ("6", "6.weight", ("6.weight", "6.bias"), 2, 97),
    ]


def test_bias_is_the_last_column():
    net = nn.Linear(3, 4)
    pranc = Reparametrization(net, SEED, "identity")
    (matrix,) = pranc.matrices(drawn(pranc))
    parameters = pranc.parameters(drawn(pranc))
    assert torch.equal(matrix[:, :3], parameters["weight"])
    assert torch.equal(matrix[:, 3], parameters["bias"])


def test_every_parameter_has_its_shape_and_device_and_gets_its_own_value():
    for module in (cnn(), mlp(), nn.GRU(3, 4), nn.MultiheadAttention(4, 2), nn.Embedding(5, 3)):
        pranc = Reparametrization(module, SEED, "sparse", 100)
        parameters = pranc.parameters(drawn(pranc))
        expected = dict(module.named_parameters())
        assert parameters.keys() == expected.keys()
        assert all(parameters[name].shape == p.shape for name, p in expected.items())
        assert sum(p.numel() for p in expected.values()) == pranc.D
        assert pranc.k == sum(a.numel() for a in pranc.zeros())


@pytest.mark.parametrize("basis", BASES)
def test_theta_is_the_start_plus_the_scaled_basis(basis):
    pranc = Reparametrization(mlp(), SEED, basis, 128, whole=())
    alphas = drawn(pranc)
    for index, (block, alpha) in enumerate(zip(pranc.blocks, alphas, strict=True)):
        u = philox.uniform(SEED, (0, index, philox.Purpose.INITIAL), block.rows * block.cols)
        u = torch.from_numpy(u)
        spread = 1 / math.sqrt(block.cols - 1)
        theta = spread * u + spread / math.sqrt(3) * block.basis.expand(alpha)
        torch.testing.assert_close(pranc.matrices(alphas)[index].flatten(), theta)
        assert block.basis.k == coefficients(basis, block.rows, block.cols, 128)


def test_start_depends_on_the_seed_alone():
    module = mlp()
    first = Reparametrization(module, SEED, "hadamard", 128)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(torch.nan)
    again = Reparametrization(module, SEED, "hadamard", 128)
    other = Reparametrization(module, SEED + 1, "hadamard", 128)
    for a, b, c in zip(*(p.matrices(p.zeros()) for p in (first, again, other)), strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)


def test_start_never_changes():
    pranc = Reparametrization(cnn(), SEED, "kronecker", 128)
    theta0 = torch.cat([block.theta0.flatten() for block in pranc.blocks])
    data = theta0.numpy().astype("<f4").tobytes()
    assert hashlib.sha256(data).hexdigest() == GOLDEN


def test_first_and_last_matrix_stay_whole_by_default():
    net = nn.Sequential(nn.LayerNorm(2), mlp(), nn.LayerNorm(1))
    pranc = Reparametrization(net, SEED, "dense", 128)
    both = zip(pranc.members, pranc.blocks, strict=True)
    whole = [member.layer for member, block in both if block.basis.name == "identity"]
    assert whole == ["1.0", "1.3"]


def test_named_layers_stay_whole():
    pranc = Reparametrization(mlp(), SEED, "dense", 128, whole=["2"])
    assert [block.basis.name for block in pranc.blocks] == ["dense", "identity", "dense"]


def test_norm_layers_start_as_the_identity():
    parameters = Reparametrization(cnn(), SEED, "dense", 128)
    theta = parameters.parameters(parameters.zeros())
    assert torch.equal(theta["1.weight"], torch.ones(6))
    assert torch.equal(theta["1.bias"], torch.zeros(6))


def test_a_layer_may_decide_its_own_spread():
    class Sine(nn.Linear):
        def initial_spread(self, name: str) -> float:
            return {"weight": 0.5, "bias": 0.25}[name]

    pranc = Reparametrization(Sine(3, 400), SEED, "identity")
    (block,) = pranc.blocks
    assert 0.49 < block.theta0[:, :3].abs().max() <= 0.5
    assert 0.24 < block.theta0[:, 3].abs().max() <= 0.25
    expected = torch.tensor([[0.5, 0.5, 0.5, 0.25]]) / math.sqrt(3)
    torch.testing.assert_close(block.scale, expected)


def test_the_caller_may_decide_the_start():
    seen = []

    def initial(layer, name, parameter):
        seen.append((type(layer).__name__, name, tuple(parameter.shape)))
        return Initial(centre=2.0, spread=0.0, scale=3.0)

    pranc = Reparametrization(nn.Linear(2, 3), SEED, "identity", initial=initial)
    assert seen == [("Linear", "weight", (3, 2)), ("Linear", "bias", (3,))]
    torch.testing.assert_close(pranc.matrices([torch.ones(9)])[0], torch.full((3, 3), 5.0))


def test_default_start_has_the_standard_deviation_that_is_its_scale():
    start = default_initial(nn.Conv2d(4, 8, 3), "bias", nn.Parameter(torch.zeros(8)))
    assert start == Initial(0.0, 1 / 6, 1 / 6 / math.sqrt(3))


@pytest.mark.parametrize("basis", BASES)
def test_gradients_reach_the_coefficients(basis):
    module = mlp(4).double()
    pranc = Reparametrization(module, SEED, basis, 128, whole=())
    x = torch.linspace(-1, 1, 6, dtype=torch.float64).reshape(3, 2)

    def output(*alphas):
        return functional_call(module, pranc.parameters(alphas), x)

    assert torch.autograd.gradcheck(output, [a.requires_grad_() for a in drawn(pranc)])


@pytest.mark.parametrize("basis", BASES)
def test_training_the_coefficients_fits_a_cnn(basis):
    module = cnn()
    pranc = Reparametrization(module, SEED, basis, 128)
    x = torch.from_numpy(philox.uniform(1, (0, 0, 0), 32 * 16)).reshape(32, 1, 4, 4)
    y = (x[:, 0, 0, 0] > 0).long()
    alphas = [alpha.requires_grad_() for alpha in pranc.zeros()]
    optimizer = torch.optim.Adam(alphas, lr=0.1)
    losses = []
    for _ in range(30):
        loss = nn.functional.cross_entropy(functional_call(module, pranc.parameters(alphas), x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


def test_load_makes_the_module_what_functional_call_computes():
    module = cnn().eval()
    pranc = Reparametrization(module, SEED, "hadamard", 128)
    alphas, x = drawn(pranc), torch.ones(1, 1, 4, 4)
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    expected = functional_call(module, pranc.parameters(alphas), x)
    pranc.load(alphas)
    assert torch.equal(module(x), expected)
    assert all(torch.equal(buffers[name], buffer) for name, buffer in module.named_buffers())
    assert all(p.requires_grad and p.grad_fn is None for p in module.parameters())


def test_tied_parameters_count_once():
    module = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    module[1].weight = module[0].weight
    pranc = Reparametrization(module, SEED, "sparse", 64, whole=())
    assert [member.names for member in pranc.members] == [("0.weight", "0.bias"), ("1.bias",)]
    alphas, x = drawn(pranc), torch.ones(1, 3)
    expected = functional_call(module, pranc.parameters(alphas), x)
    pranc.load(alphas)
    assert torch.equal(module(x), expected)


def test_scalars_and_empty_parameters_are_harmless():
    module = nn.Linear(2, 2)
    module.gain = nn.Parameter(torch.tensor(1.0))
    module.nothing = nn.Parameter(torch.empty(0, 3))
    pranc = Reparametrization(module, SEED, "dense", 64)
    parameters = pranc.parameters(pranc.zeros())
    assert parameters.keys() == {"weight", "bias", "gain"}
    assert parameters["gain"].shape == ()


def test_refuses_what_it_cannot_do():
    for basis, whole in (("fourier", None), ("fourier", ["0", "2", "3"])):
        with pytest.raises(ValueError, match="unknown basis 'fourier'"):
            Reparametrization(mlp(), SEED, basis, whole=whole)
    with pytest.raises(ValueError, match=r"no layers with parameters are named \['1', 'head'\]"):
        Reparametrization(mlp(), SEED, "dense", whole=["head", "0", "1"])
    with pytest.raises(ValueError, match="ReLU has no parameters"):
        Reparametrization(nn.ReLU(), SEED, "dense")
    with pytest.raises(ValueError, match="63/64"):
        Reparametrization(mlp(), SEED, "dense", 63)
    with pytest.raises(ValueError, match="64-bit"):
        Reparametrization(mlp(), -1, "identity")
    with pytest.raises(ValueError, match=r"initial scale of 0\.weight"):
        Reparametrization(mlp(), SEED, "dense", initial=lambda *_: Initial(0.0, 1.0, 0.0))
    pranc = Reparametrization(mlp(), SEED, "dense", 128)
    with pytest.raises(ValueError, match="2 coefficient vectors for 3 blocks"):
        pranc.matrices(pranc.zeros()[:2])
    with pytest.raises(ValueError, match="expected 24 coefficients"):
        pranc.matrices([torch.zeros(5), *pranc.zeros()[1:]])
