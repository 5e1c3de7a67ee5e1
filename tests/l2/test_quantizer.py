"""L²'s training: it lands on the budget, shares it by need, and each part of it can be left out."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from inrcodec.l2.coding import coded_bytes
from inrcodec.l2.quantizer import L2Quantizer, L2Settings
from inrcodec.l2.transform import TRANSFORMS

QUICK = L2Settings(phases=2, transform_steps=200, reconstruction_steps=200)


def tensors(count=2000):
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randn(count, generator=generator) for _ in range(2))
    return {"wide": first, "narrow": 0.1 * second.reshape(2, -1)}


def distortion(given):
    def measure(quantized):
        return sum((quantized[name] - given[name]).square().mean() for name in given)

    return measure


def trained(budget, settings=QUICK, given=None, seed=0):
    given = tensors() if given is None else given
    quantizer = L2Quantizer(given, budget, settings, seed)
    quantizer.fit(distortion(given))
    return quantizer.groups()


def sizes(groups):
    return {name: coded_bytes([group]) for name, group in groups.items()}


@pytest.mark.parametrize("budget", [1000, 2000])
def test_it_lands_within_4_percent_of_the_budget_without_a_search(budget):
    groups = trained(budget, replace(QUICK, transform_steps=300, reconstruction_steps=300))
    assert coded_bytes(list(groups.values())) == pytest.approx(budget, rel=0.04)


def test_what_matters_more_gets_more_bits():
    found = sizes(trained(1000))
    # Both groups have 2,000 weights, and "wide" has 100 times the variance.
    assert found["wide"] > 2 * found["narrow"]


def test_quantized_weights_are_close_at_a_high_rate():
    given = tensors()
    groups = trained(2000, given=given)
    error = np.mean((groups["wide"].weights - given["wide"].numpy()) ** 2)
    assert error < 0.01


@pytest.mark.parametrize("name", TRANSFORMS)
def test_all_transforms_reach_a_budget(name):
    groups = trained(1000, replace(QUICK, transform=name))
    assert coded_bytes(list(groups.values())) == pytest.approx(1000, rel=0.05)


@pytest.mark.parametrize("part", [{"transform_steps": 0}, {"reconstruction_steps": 0}])
def test_one_phase_alone_makes_a_worse_file(part):
    # A layer's output for inputs that are alike, so that errors of its weights can cancel out.
    generator = torch.Generator().manual_seed(2)
    inputs = torch.randn(300, 4, generator=generator) @ torch.randn(4, 40, generator=generator)
    inputs += 0.3 * torch.randn(300, 40, generator=generator)
    weight = torch.randn(10, 40, generator=generator)

    def error(quantized):
        return (inputs @ (quantized["weight"] - weight).T).square().mean()

    def cost(settings):
        quantizer = L2Quantizer({"weight": weight}, 110, settings)
        quantizer.fit(error)
        group = quantizer.groups()["weight"]
        over = coded_bytes([group]) > 110 * 1.03
        found = torch.from_numpy(group.weights).reshape(weight.shape)
        return float("inf") if over else float(error({"weight": found}))

    assert cost(QUICK) < 0.9 * cost(replace(QUICK, **part))


def test_without_pruning_the_dead_zone_is_one_step():
    for group in trained(500, replace(QUICK, prune=False)).values():
        assert group.parameters[0] == pytest.approx(group.parameters[1] / 2)


def test_a_seed_gives_the_same_groups():
    short = replace(QUICK, transform_steps=5, reconstruction_steps=5)
    given = {"large": torch.randn(20_000, generator=torch.Generator().manual_seed(1))}
    one, other, third = (trained(5000, short, given, seed)["large"] for seed in (1, 1, 2))
    assert np.array_equal(one.symbols, other.symbols)
    assert np.array_equal(one.parameters, other.parameters)
    assert not np.array_equal(one.parameters, third.parameters)


def test_steps_are_reported():
    given, seen = tensors(100), []
    short = replace(QUICK, transform_steps=2, reconstruction_steps=3)
    L2Quantizer(given, 100, short).fit(distortion(given), lambda *at: seen.append(at))
    assert seen == [(n, 10) for n in range(1, 11)]


def test_bad_input_is_refused():
    given = tensors(10)
    for tensors_, budget, settings, message in (
        ({}, 100, QUICK, "no tensors"),
        ({"a": torch.zeros(0)}, 100, QUICK, "the tensor a is empty"),
        ({"a": torch.tensor([1.0, torch.nan])}, 100, QUICK, "not finite"),
        (given, 0, QUICK, "a budget of 0 bytes"),
        (given, 100, replace(QUICK, transform="cube"), "unknown transform 'cube'"),
        (given, 100, replace(QUICK, kernel="box"), "unknown kernel 'box'"),
        (given, 100, replace(QUICK, transform="logarithmic", prune=False), "only the uniform"),
    ):
        with pytest.raises(ValueError, match=message):
            L2Quantizer(tensors_, budget, settings)
