"""The rate budget of L² (Shi et al. 2023): a hinge that is silent once the target is met."""

from __future__ import annotations

import torch
from torch import Tensor


def excess(rate: Tensor, target: float) -> Tensor:
    """relu(R - R_target) in units of the target: the share by which the rate exceeds its budget.

    >>> excess(torch.tensor(110.0), 100.0)
    tensor(0.1000)
    >>> excess(torch.tensor(90.0), 100.0)
    tensor(0.)
    """
    return torch.relu(rate / target - 1)
