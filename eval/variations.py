"""What each part of the codec is worth: one of them changed at a time, everything else as it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from inrcodec import encoder
from inrcodec.families.pyramid import encode as pyramid_encoder
from inrcodec.families.pyramid.fit import curvature as pyramid_curvature
from inrcodec.families.pyramid.fit import optimizer as pyramid_optimizer
from inrcodec.families.pyramid.fit import train as pyramid_train
from inrcodec.families.pyramid.shape import SMALL, Pyramid
from inrcodec.families.siren import network as siren
from inrcodec.families.siren.fit import curvature, problem, train
from inrcodec.families.siren.fit import rounding as quantize
from inrcodec.families.siren.fit.problem import Problem
from inrcodec.families.siren.fit.rounding import RateControl
from inrcodec.optim import clock as schedule


def _plain(matrix: np.ndarray) -> np.ndarray:
    """The factor of a curvature that knows no ties between coefficients."""
    return np.diag(np.sqrt(matrix.diagonal()))


class _OneStep(RateControl):
    """All layers share one step."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._balance = [float(np.mean(self._balance))] * len(self.alphas)


class _UnboundPixels(Problem):
    """Pixels of a step are drawn from the whole picture, each apart from the others."""

    def sample(self) -> Tensor:
        drawn = self._rng.integers(0, len(self.targets), self.batch)
        return torch.from_numpy(drawn).to(self.device)


class _GroupedAdam:
    """PyTorch's Adam in the place of `Soap`, at a quarter of each rate, which would be too high."""

    def __init__(
        self,
        vectors: Sequence[Tensor],
        shapes: Sequence[tuple[int, int]],
        rates: Sequence[float],
    ) -> None:
        self._rates = rates
        self._adam = torch.optim.Adam([{"params": [vector]} for vector in vectors])

    def step(self, rate: float, gradients: Sequence[Tensor] = ()) -> None:
        for group, gradient in zip(self._adam.param_groups, gradients, strict=False):
            group["params"][0].grad = gradient
        for group, factor in zip(self._adam.param_groups, self._rates, strict=True):
            group["lr"] = rate * factor / 4
        self._adam.step()


class _Adam(_GroupedAdam):
    """The same at one rate for all."""

    def __init__(
        self,
        vectors: Sequence[Tensor],
        shapes: Sequence[tuple[int, int]],
        rates: Sequence[float],
    ) -> None:
        super().__init__(vectors, shapes, [1.0] * len(vectors))


NetworkShape = Callable[[int, tuple[int, ...], int, int, int], Pyramid]
"""What `pyramid_encoder.network_shape` is."""


def _units(count: int) -> NetworkShape:
    """One sine layer and a context network of as many units whatever the budget, and no filter."""
    return lambda channels, levels, *_: Pyramid(channels, count, count, levels)


def _without(**parts: Any) -> NetworkShape:
    """The networks of the budget with some of their parts replaced."""
    whole = pyramid_encoder.network_shape
    return lambda *of: replace(whole(*of), **parts)


def _cold(*_: Any) -> bool:
    """No warm-up."""
    return False


def _without_refits() -> dict[int, schedule.Effort]:
    """The steps of the refits go to the fit."""
    return {
        level: replace(
            effort,
            fit_steps=effort.fit_steps + encoder.DEPTH * effort.refit_steps,
            refit_steps=0,
        )
        for level, effort in schedule.EFFORTS.items()
    }


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


SIREN_PARTS = {
    "dead-zone": Variation("a dead zone 1.4 steps wide", quantize, "EDGE", 45),
    "one-step": Variation("one step for all layers", encoder, "RateControl", _OneStep),
    "no-refit": Variation("no refits, a longer fit", encoder, "EFFORTS", _without_refits()),
    "no-compensation": Variation("independent rounding", curvature, "factorize", _plain),
    "depth-5": Variation("5 sine layers", encoder, "DEPTH", 5),
    "unbound-pixels": Variation("pixels in no grid", encoder, "Problem", _UnboundPixels),
    "equal-rates": Variation("the first layer as fast as the others", problem, "FIRST_RATE", 1.0),
    "adam": Variation("Adam in place of SOAP, in the fit", train, "Soap", _Adam),
}
"""What the SIREN's codec is made of, with one part changed or switched off."""

PYRAMID_PARTS = {
    "independent-rounding": Variation(
        "independent rounding of the networks", pyramid_curvature, "factorize", _plain
    ),
    "equal-price": Variation(
        "a network's bit no dearer than a latent's", pyramid_train, "NETWORK_PRICE", 1
    ),
    "single-planes": Variation("one plane at a quarter", pyramid_encoder, "DOUBLE", math.inf),
    "early-control": Variation("λ follows the budget from 2 % on", pyramid_train, "CONTROL", 0.02),
    "no-warm-up": Variation("no smaller sizes first", pyramid_train, "warm_up", _cold),
    "no-descent": Variation("a first descent at λ", pyramid_train, "DESCENT_WEIGHT", 1.0),
    "unguided": Variation("no guided passes", pyramid_train, "MOST_GUIDED", 0),
    "units-8": Variation(
        "one sine layer, all of 8 units", pyramid_encoder, "network_shape", _units(8)
    ),
    "units-24": Variation(
        "one sine layer, all of 24 units", pyramid_encoder, "network_shape", _units(24)
    ),
    "one-layer": Variation("one sine layer", pyramid_encoder, "network_shape", _without(second=0)),
    "no-filter": Variation("no filter", pyramid_encoder, "network_shape", _without(filtered=False)),
    "plain-planes": Variation(
        "no filters of planes", pyramid_encoder, "network_shape", _without(taps=0)
    ),
    "near-context": Variation(
        "10 neighbours", pyramid_encoder, "network_shape", _without(neighbours=SMALL)
    ),
    "adam-networks": Variation("Adam in place of SOAP", pyramid_optimizer, "Soap", _GroupedAdam),
}
"""The same of the pyramid's."""

PARTS = {"siren": SIREN_PARTS, "pyramid": PYRAMID_PARTS}
"""By family."""

DEFAULTS = {
    "depth-6": Variation("6 sine layers", encoder, "DEPTH", 6),
    "depth-10": Variation("10 sine layers", encoder, "DEPTH", 10),
    "bits-4.5": Variation("4.5 bits a coefficient", encoder, "BITS_PER_COEFFICIENT", 4.5),
    "bits-5.5": Variation("5.5 bits a coefficient", encoder, "BITS_PER_COEFFICIENT", 5.5),
    "omega-first-30": Variation("first ω 30", encoder, "first_omega", lambda width: 30.0),
    "omega-hidden-30": Variation("hidden ω 30", encoder, "OMEGA_HIDDEN", 30.0),
    "bias-scale-1": Variation("bias scale 1", siren, "BIAS_SCALE", 1.0),
    "damping-tenfold": Variation("damping tenfold", curvature, "DAMPING", curvature.DAMPING * 10),
    "fit-rate-0.1": Variation("fit rate 0.1", train, "FIT_RATE", 0.1),
    "refit-rate-0.005": Variation("refit rate 0.005", quantize, "REFIT_RATE", 0.005),
}
"""A default that is another."""

VARIATIONS = {
    "none": Variation("the codec as it is"),
    **SIREN_PARTS,
    **PYRAMID_PARTS,
    **DEFAULTS,
}
"""All by the name that a codec's specification gives them."""
