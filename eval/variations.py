"""What each part of the codec is worth: one of them changed at a time, everything else as it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from inrcodec import encoder
from inrcodec.fit import curvature, schedule, train
from inrcodec.fit.curvature import Group
from inrcodec.fit.problem import Problem
from inrcodec.fit.train import L2, Quantizer
from inrcodec.inr import siren


def _plain(matrix: np.ndarray) -> np.ndarray:
    """The factor of a curvature that knows no ties between coefficients."""
    return np.diag(np.sqrt(matrix.diagonal()))


class _WithoutPruning(L2):
    """The zero bin is as wide as every other."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        with torch.no_grad():
            self.log_ratio.fill_(np.log(0.5))
        self.log_ratio.requires_grad_(False)


class _OneStep(L2):
    """All layers share one step, which is trained."""

    def __init__(
        self,
        problem: Problem,
        alphas: Sequence[Tensor],
        groups: Sequence[Group],
        quantizer: Quantizer,
    ) -> None:
        sizes = torch.tensor([float(len(alpha)) for alpha in alphas])
        # Where steps are fine, the rate depends on their weighted geometric mean alone.
        common = (quantizer.scale.log() * sizes).sum().div(sizes.sum()).exp()
        scale = common.expand(len(sizes)).clone()
        super().__init__(problem, alphas, groups, Quantizer(scale / 2, scale))
        self.log_scale.register_hook(lambda gradient: gradient.mean().expand_as(gradient))


def _without_l2() -> dict[int, schedule.Effort]:
    return {level: replace(effort, l2_steps=0) for level, effort in schedule.EFFORTS.items()}


@dataclass(frozen=True)
class Variation:
    """What is changed, in words, and the changed attribute of a module."""

    about: str
    module: Any = None
    attribute: str = ""
    value: Any = None

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The codec with the change."""
        if self.module is None:
            yield
            return
        before = getattr(self.module, self.attribute)
        setattr(self.module, self.attribute, self.value)
        try:
            yield
        finally:
            setattr(self.module, self.attribute, before)


PARTS = {
    "no-pruning": Variation("no dead zone", encoder, "L2", _WithoutPruning),
    "one-step": Variation("one step for all layers", encoder, "L2", _OneStep),
    "no-rate-term": Variation("no rate term", train, "BUDGET_WEIGHT", 0.0),
    "post-training": Variation("no L² training: rounding only", encoder, "EFFORTS", _without_l2()),
    "no-compensation": Variation("independent noise and rounding", curvature, "factorize", _plain),
}
"""L² with one of its parts switched off."""

DEFAULTS = {
    "depth-4": Variation("4 sine layers", encoder, "DEPTH", 4),
    "depth-6": Variation("6 sine layers", encoder, "DEPTH", 6),
    "bits-4.5": Variation("4.5 bits a coefficient", encoder, "BITS_PER_COEFFICIENT", 4.5),
    "bits-5.5": Variation("5.5 bits a coefficient", encoder, "BITS_PER_COEFFICIENT", 5.5),
    "omega-first-20": Variation("first ω 20", encoder, "OMEGA_FIRST", 20.0),
    "omega-first-45": Variation("first ω 45", encoder, "OMEGA_FIRST", 45.0),
    "omega-hidden-30": Variation("hidden ω 30", encoder, "OMEGA_HIDDEN", 30.0),
    "bias-scale-1": Variation("bias scale 1", siren, "BIAS_SCALE", 1.0),
    "bias-scale-12": Variation("bias scale 12", siren, "BIAS_SCALE", 12.0),
    "damping-tenfold": Variation("damping tenfold", curvature, "DAMPING", curvature.DAMPING * 10),
    "fit-rate-0.1": Variation("fit rate 0.1", train, "FIT_RATE", 0.1),
    "l2-rate-double": Variation("L² rate double", train, "L2_RATE", train.L2_RATE * 2),
}
"""A default that is another."""

VARIATIONS = {"none": Variation("the codec as it is"), **PARTS, **DEFAULTS}
"""All by the name that a codec's specification gives them."""
