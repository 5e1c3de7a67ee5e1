"""L² (Shi et al. 2023): tensors under a budget of bytes, pruned and quantized by training.

Each tensor is a group with a transform of its own. The training alternates between two phases:

    transforms       the parameters of all transforms are trained, the weights stay
    reconstruction   the weights are trained, and the transforms follow slowly

In both, the loss is log(distortion) + hinge · relu(bytes / budget - 1). The hinge is silent within
the budget, so that the distortion decides how the groups share it. After the last step the symbols
are rounded and range-coded; no search follows. The file is within 4 % of the budget from two bits a
weight on; below one bit it may fall short by a fifth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from inrcodec.l2.coding import Group, coded_bytes
from inrcodec.l2.counter import DEFAULT_KERNEL, DEFAULT_RESOLUTION, check, symbol_bits
from inrcodec.l2.transform import find, rounded

CORRECTIONS = 10
"""How often a phase measures the bytes of a file for each bit of the counter."""

BETAS = (0.5, 0.9)
"""Decay of Adam's moments; the hinge's gradient comes and goes, and a long memory of its squares
keeps the steps small that lead back to the budget."""

Distortion = Callable[[dict[str, Tensor]], Tensor]
"""From quantized tensors by name to a positive number that is to be small, differentiable; called
once a step, it may draw other data each time."""

Variables = dict[str, Any]
"""A group of parameters of a PyTorch optimizer."""


@dataclass(frozen=True)
class L2Settings:
    """The numbers of a training.

    Parts of the method are switched off by `replace`: without `transform_steps` or
    `reconstruction_steps` a phase is missing, and without `prune` the dead zone is a step wide.
    """

    transform: str = "uniform"
    """Name of the transform, one of `transform.TRANSFORMS`."""

    kernel: str = DEFAULT_KERNEL
    """Name of the counter's kernel, one of `counter.KERNELS`."""

    resolution: float = DEFAULT_RESOLUTION
    """Half width of the counter's kernel, bins."""

    start_steps: float = 31.0
    """Quantizer steps from 0 to the largest weight of a group, at the start; 31 are 6 bits."""

    phases: int = 3
    """How often the two phases alternate."""

    transform_steps: int = 300
    """Steps of each transform phase."""

    reconstruction_steps: int = 1000
    """Steps of each reconstruction phase."""

    transform_rate: float = 0.03
    """Learning rate of the logarithms of the transforms' parameters."""

    weight_rate: float = 5e-4
    """Learning rate of weights, as a share of their group's root mean square."""

    follow: float = 0.1
    """Learning rate of the transforms in a reconstruction phase, as a share of `transform_rate`.
    With 0, the paper's form, a file that falls below the budget in that phase stays below."""

    hinge: float = 30.0
    """Weight of the excess over the budget, where the excess is a share of the budget. At high
    rates log(distortion) falls by 1.4 for each bit a weight, so that 30 holds up to 20 bits."""

    prune: bool = True
    """Whether the edge is trained by itself; otherwise it is half a step (only "uniform")."""


class L2Quantizer:
    """Tensors, and the transforms that quantize them.

    Attributes:
        names: names of the tensors; each is a group.
        weights: the tensors, as they are trained.
        budget: most bytes of all groups.

    >>> _ = torch.manual_seed(0)
    >>> tensors = {"a": torch.randn(2000), "b": 0.1 * torch.randn(2000)}
    >>> steps = L2Settings(phases=2, transform_steps=150, reconstruction_steps=100)
    >>> quantizer = L2Quantizer(tensors, budget=1000, settings=steps)
    >>> quantizer.fit(lambda q: sum((q[n] - tensors[n]).square().mean() for n in tensors))
    >>> groups = quantizer.groups()
    >>> 970 <= coded_bytes(list(groups.values())) <= 1030
    True
    """

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        budget: float,
        settings: L2Settings = L2Settings(),
        seed: int = 0,
    ) -> None:
        """Start from fine quantizers.

        Raises:
            ValueError: no tensors, an empty or not finite one, a budget that is not positive, or an
                unknown name in the settings.
        """
        if not tensors:
            raise ValueError("there are no tensors to quantize")
        for name, tensor in tensors.items():
            if not tensor.numel() or not tensor.isfinite().all():
                raise ValueError(f"the tensor {name} is empty or has values that are not finite")
        if not budget > 0:
            raise ValueError(f"a budget of {budget} bytes; it must be positive")
        check(settings.kernel, settings.resolution)
        if not settings.prune and settings.transform != "uniform":
            raise ValueError("only the uniform transform has a dead zone of one step")
        self.budget, self.settings = float(budget), settings
        self._transform = find(settings.transform)
        self.weights = {
            name: tensor.detach().to(torch.float32).clone().requires_grad_()
            for name, tensor in tensors.items()
        }
        self._logarithms = {
            name: self._transform.start(weight, settings.start_steps).log().requires_grad_()
            for name, weight in self.weights.items()
        }
        # On the CPU, whatever the device: its generator gives the same sample everywhere.
        self._generator = torch.Generator().manual_seed(seed)
        self._correction = 1.0

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the tensors."""
        return tuple(self.weights)

    def fit(self, distortion: Distortion, report: Callable[[int, int], None] | None = None) -> None:
        """Alternate the phases; `report` is called with the number of steps done and of all."""
        settings = self.settings
        transforms, weights = self._transform_variables, self._weight_variables
        phases = [
            (transforms, settings.transform_steps),
            (weights, settings.reconstruction_steps),
        ] * settings.phases
        done, total = 0, sum(steps for _, steps in phases)
        for variables, steps in phases:
            if steps:
                for _ in self._phase(distortion, variables(), steps):
                    done += 1
                    if report:
                        report(done, total)

    def bits(self) -> dict[str, Tensor]:
        """The counter's bits of each group, differentiable."""
        return {name: self._bits(self._symbols(name)) for name in self.weights}

    def groups(self) -> dict[str, Group]:
        """The groups as they are, rounded."""
        with torch.no_grad():
            return {
                name: Group(
                    self._transform,
                    self._parameters(name).cpu().numpy(),
                    self._symbols(name).round().flatten().to(torch.int32).cpu().numpy(),
                )
                for name in self.weights
            }

    def _phase(
        self, distortion: Distortion, variables: list[Variables], steps: int
    ) -> Iterator[None]:
        """One phase, step by step."""
        optimizer = torch.optim.Adam(variables, betas=BETAS)
        rates = [group["lr"] for group in optimizer.param_groups]
        for step in range(steps):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                # The rate falls to a hundredth by a cosine.
                group["lr"] = rate * (0.505 + 0.495 * np.cos(np.pi * step / steps))
            if step % max(1, steps // CORRECTIONS) == 0:
                self._correct()
            optimizer.zero_grad()
            symbols = {name: self._symbols(name) for name in self.weights}
            quantized = {
                name: self._transform.from_symbols(rounded(s), self._parameters(name))
                for name, s in symbols.items()
            }
            loss = distortion(quantized)
            bits = torch.stack([self._bits(s) for s in symbols.values()]).sum()
            excess = torch.relu(self._correction * bits / (8 * self.budget) - 1)
            (loss.clamp(min=1e-30).log() + self.settings.hinge * excess).backward()
            optimizer.step()
            yield

    def _transform_variables(self, share: float = 1.0) -> list[Variables]:
        rate = share * self.settings.transform_rate
        return [{"params": list(self._logarithms.values()), "lr": rate}]

    def _weight_variables(self) -> list[Variables]:
        rate = self.settings.weight_rate
        return self._transform_variables(self.settings.follow) + [
            {
                "params": [weight],
                "lr": rate * max(1e-12, float(weight.detach().square().mean().sqrt())),
            }
            for weight in self.weights.values()
        ]

    def _parameters(self, name: str) -> Tensor:
        """The positive parameters (p,) of a group's transform."""
        parameters = self._logarithms[name].exp()
        if self.settings.prune:
            return parameters
        return torch.cat([parameters[1:] / 2, parameters[1:]])

    def _symbols(self, name: str) -> Tensor:
        return self._transform.to_symbols(self.weights[name], self._parameters(name))

    def _bits(self, symbols: Tensor) -> Tensor:
        settings = self.settings
        return symbol_bits(symbols, settings.kernel, settings.resolution, self._generator)

    def _correct(self) -> None:
        """Measure what the bytes of a file are for each bit of the counter."""
        with torch.no_grad():
            counted = sum(float(bits) for bits in self.bits().values())
            coded = 8 * coded_bytes(list(self.groups().values()))
        self._correction = coded / max(counted, 1.0)
