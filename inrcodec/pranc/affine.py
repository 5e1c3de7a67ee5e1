"""A layer's weight and bias as a module, for `pranc` to fill in."""

from __future__ import annotations

import torch
from torch import nn


class Affine(nn.Module):
    """`nn.Linear` without values: drawing them would disturb the caller's random numbers.

    `nn.Linear` on the meta device has none either, but to leave it loads SymPy, half a second.

    >>> {name: tuple(p.shape) for name, p in Affine(2, 3).named_parameters()}
    {'weight': (3, 2), 'bias': (3,)}
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        """Shapes alone, on the default device."""
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias = nn.Parameter(torch.empty(outputs))
