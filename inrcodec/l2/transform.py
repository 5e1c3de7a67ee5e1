"""The weight transforms of L² (Shi et al. 2023): pruning and quantization in one invertible map.

A transform maps weights to real-valued symbols. Rounding the symbols to integers, and mapping them
back, prunes and quantizes the weights: all weights within ±edge become 0. The parameters of a
transform are positive numbers, which are trained, one vector for each group of weights.

Other transforms can be added by `register`; `TRANSFORMS` lists them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Map = Callable[[Tensor, Tensor], Tensor]
"""From values and parameters (p,) to values of the same shape; differentiable in both."""


@dataclass(frozen=True)
class Transform:
    """An odd, increasing and invertible map of weights to symbols.

    Attributes:
        name: the name in `TRANSFORMS`.
        parameters: what the positive parameters stand for; the first is the edge, the weight that
            maps to the symbol 1/2.
        to_symbols: weights and parameters (p,) to symbols.
        from_symbols: symbols and parameters to weights, the inverse of `to_symbols`.
        start: from weights and a number of steps from 0 to the largest weight, the parameters
            (p,) that the training starts from.
    """

    name: str
    parameters: tuple[str, ...]
    to_symbols: Map
    from_symbols: Map
    start: Callable[[Tensor, float], Tensor]

    def quantize(self, weights: Tensor, parameters: Tensor) -> Tensor:
        """Weights that are rounded to symbols and mapped back, differentiable in both.

        The gradient passes the rounding as if it were the identity (Bengio et al. 2013).
        """
        symbols = self.to_symbols(weights, parameters)
        return self.from_symbols(rounded(symbols), parameters)


def rounded(symbols: Tensor) -> Tensor:
    """The nearest integers; the gradient is that of the identity."""
    return symbols + (symbols.round() - symbols).detach()


TRANSFORMS: dict[str, Transform] = {}
"""The transforms by name."""


def register(transform: Transform) -> Transform:
    """Add a transform to `TRANSFORMS`.

    Raises:
        ValueError: another transform has that name.
    """
    if TRANSFORMS.setdefault(transform.name, transform) is not transform:
        raise ValueError(f"there is a transform {transform.name!r} already")
    return transform


def find(name: str) -> Transform:
    """The transform of a name.

    Raises:
        ValueError: there is none.
    """
    if name not in TRANSFORMS:
        raise ValueError(f"unknown transform {name!r}; known are {', '.join(TRANSFORMS)}")
    return TRANSFORMS[name]


def _outside(
    values: Tensor, limit: Tensor, inner: Tensor, magnitude: Callable[..., Tensor]
) -> Tensor:
    """`inner` where |values| is at most a limit, else the values' sign times a magnitude."""
    size = values.abs()
    # Where the inner branch is taken the outer one must have a finite gradient, too.
    outer = values.sign() * magnitude(torch.maximum(size, limit))
    return torch.where(size <= limit, inner, outer)


def _half(values: Tensor) -> Tensor:
    return values.new_tensor(0.5)


def _uniform_symbols(weights: Tensor, parameters: Tensor) -> Tensor:
    edge, step = parameters
    return _outside(weights, edge, weights / (2 * edge), lambda w: 0.5 + (w - edge) / step)


def _uniform_weights(symbols: Tensor, parameters: Tensor) -> Tensor:
    edge, step = parameters
    inner = symbols * (2 * edge)
    return _outside(symbols, _half(symbols), inner, lambda s: edge + (s - 0.5) * step)


def _uniform_start(weights: Tensor, steps: float) -> Tensor:
    step = _largest(weights) / steps
    return torch.stack([step / 2, step])


UNIFORM = register(
    Transform("uniform", ("edge", "step"), _uniform_symbols, _uniform_weights, _uniform_start)
)
"""Equal steps beyond a dead zone ±edge; edge = step/2 is a uniform quantizer.

>>> parameters = torch.tensor([0.6, 0.8])
>>> UNIFORM.to_symbols(torch.tensor([-1.0, 0.3, 2.0]), parameters)
tensor([-1.0000,  0.2500,  2.2500])
>>> UNIFORM.quantize(torch.tensor([-1.0, 0.3, 2.0]), parameters)
tensor([-1.0000,  0.0000,  1.8000])
"""


def _logarithmic_symbols(weights: Tensor, parameters: Tensor) -> Tensor:
    edge, growth = parameters
    inner = weights / (2 * edge)
    return _outside(weights, edge, inner, lambda w: 0.5 + torch.log(w / edge) / growth)


def _logarithmic_weights(symbols: Tensor, parameters: Tensor) -> Tensor:
    edge, growth = parameters
    inner = symbols * (2 * edge)
    return _outside(symbols, _half(symbols), inner, lambda s: edge * torch.exp((s - 0.5) * growth))


def _logarithmic_start(weights: Tensor, steps: float) -> Tensor:
    # The edge of a uniform quantizer with twice the steps, since small weights are the most.
    edge = _largest(weights) / (4 * steps)
    growth = torch.log(_largest(weights) / edge) / steps
    return torch.stack([edge, growth])


LOGARITHMIC = register(
    Transform(
        "logarithmic",
        ("edge", "growth"),
        _logarithmic_symbols,
        _logarithmic_weights,
        _logarithmic_start,
    )
)
"""Steps that grow with the weight: from one symbol to the next, weights grow by exp(growth).

>>> LOGARITHMIC.to_symbols(torch.tensor([0.05, 0.1, 0.4]), torch.tensor([0.1, 0.6931472]))
tensor([0.2500, 0.5000, 2.5000])
"""

KNEE = 3.5
"""The symbol at which the steps of the multi-scale transform change."""


def _multi_scale_symbols(weights: Tensor, parameters: Tensor) -> Tensor:
    edge, fine, coarse = parameters
    knee = edge + (KNEE - 0.5) * fine

    def magnitude(w: Tensor) -> Tensor:
        near = 0.5 + (torch.minimum(w, knee) - edge) / fine
        size: Tensor = near + torch.relu(w - knee) / coarse
        return size

    return _outside(weights, edge, weights / (2 * edge), magnitude)


def _multi_scale_weights(symbols: Tensor, parameters: Tensor) -> Tensor:
    edge, fine, coarse = parameters

    def magnitude(s: Tensor) -> Tensor:
        near = edge + (s.clamp(max=KNEE) - 0.5) * fine
        size: Tensor = near + torch.relu(s - KNEE) * coarse
        return size

    return _outside(symbols, _half(symbols), symbols * (2 * edge), magnitude)


def _multi_scale_start(weights: Tensor, steps: float) -> Tensor:
    edge, step = _uniform_start(weights, steps)
    return torch.stack([edge, step, step])


MULTI_SCALE = register(
    Transform(
        "multi-scale",
        ("edge", "fine", "coarse"),
        _multi_scale_symbols,
        _multi_scale_weights,
        _multi_scale_start,
    )
)
"""Fine steps up to the symbol `KNEE`, and coarse ones beyond.

>>> MULTI_SCALE.to_symbols(torch.tensor([0.3, 2.0, 3.5, 7.5]), torch.tensor([0.5, 1.0, 4.0]))
tensor([0.3000, 2.0000, 3.5000, 4.5000])
"""


def _largest(weights: Tensor) -> Tensor:
    """The largest magnitude, positive even if all weights are 0."""
    return weights.detach().abs().amax().clamp(min=1e-12)
