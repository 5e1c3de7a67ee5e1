"""The budget's hinge is silent below the target and linear above it."""

import pytest
import torch

from inrcodec.l2.budget import excess


@pytest.mark.parametrize("rate", [0.0, 500.0, 999.9])
def test_below_the_target_there_is_no_cost_and_no_gradient(rate):
    rate = torch.tensor(rate, requires_grad=True)
    cost = excess(rate, 1000.0)
    cost.backward()
    assert cost.item() == 0 and rate.grad.item() == 0


@pytest.mark.parametrize("rate", [1000.1, 1300.0, 1e6])
def test_above_the_target_the_cost_is_linear_in_units_of_the_target(rate):
    rate = torch.tensor(rate, dtype=torch.float64, requires_grad=True)
    cost = excess(rate, 1000.0)
    cost.backward()
    assert cost.item() == pytest.approx(rate.item() / 1000 - 1)
    assert rate.grad.item() == pytest.approx(1 / 1000)


def test_the_cost_starts_at_the_target_without_a_jump():
    assert excess(torch.tensor(1000.0), 1000.0).item() == 0
    assert excess(torch.tensor(1000.001, dtype=torch.float64), 1000.0).item() < 1e-5
