"""The weight transform of L² (Shi et al. 2023): pruning and quantization in one invertible map.

A coefficient within ±edge goes linearly to (-1/2, 1/2), which rounds to 0; beyond, one unit of the
symbol is one `scale` of the coefficient. Edge = scale/2 is a plain uniform quantizer.
"""

from __future__ import annotations

import torch
from torch import Tensor


def to_symbols(alpha: Tensor, edge: Tensor, scale: Tensor) -> Tensor:
    """Real-valued symbols of coefficients, same shape; differentiable in all three.

    `edge` and `scale` are positive, in units of alpha, and broadcast.

    >>> alpha = torch.tensor([-1.0, 0.3, 2.0])
    >>> to_symbols(alpha, torch.tensor(0.6), torch.tensor(0.8))
    tensor([-1.0000,  0.2500,  2.2500])
    """
    size = alpha.abs()
    outside = alpha.sign() * (0.5 + (size - edge) / scale)
    return torch.where(size <= edge, alpha / (2 * edge), outside)


def from_symbols(symbols: Tensor, edge: Tensor, scale: Tensor) -> Tensor:
    """The inverse of `to_symbols`; at whole symbols it is the dequantizer.

    >>> from_symbols(torch.tensor([-1.0, 0.0, 2.0]), torch.tensor(0.6), torch.tensor(0.8))
    tensor([-1.0000,  0.0000,  1.8000])
    """
    size = symbols.abs()
    outside = symbols.sign() * (edge + (size - 0.5) * scale)
    return torch.where(size <= 0.5, symbols * (2 * edge), outside)
