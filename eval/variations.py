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
from inrcodec.families.siren.fit.codes import equal_steps
from inrcodec.families.siren.fit.sampling import independent
from inrcodec.families.siren.settings import SirenEffort, SirenSettings


def _plain(matrix: np.ndarray) -> np.ndarray:
    """The factor of a curvature that knows no ties between coefficients."""
    return np.diag(np.sqrt(matrix.diagonal()))


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


def _siren(about: str, group: str = "", **changes: Any) -> Variation:
    """Changed settings of a SIREN, or of one of their groups."""
    settings = SirenSettings()
    if group:
        changes = {group: replace(getattr(settings, group), **changes)}
    return Variation(about, encoder, "SIREN", replace(settings, **changes))


def _efforts_without_refits() -> tuple[SirenEffort, ...]:
    """Efforts whose fits have the steps of the refits, too."""
    settings = SirenSettings()
    return tuple(
        replace(
            effort,
            fit_steps=effort.fit_steps + settings.shape.depth * effort.refit_steps,
            refit_steps=0,
        )
        for effort in settings.efforts
    )


SIREN_PARTS = {
    "dead-zone": _siren("a dead zone 1.4 steps wide", "rounding", edge=45),
    "one-step": _siren("one step for all layers", "rounding", step_codes=equal_steps),
    "no-refit": _siren("no refits, a longer fit", efforts=_efforts_without_refits()),
    "no-compensation": _siren("independent rounding", "curvature", factorize=_plain),
    "depth-5": _siren("5 sine layers", "shape", depth=5),
    "unbound-pixels": _siren("pixels in no grid", "fit", sampler=independent),
    "equal-rates": _siren("the first layer as fast as the others", "fit", first_rate=1.0),
    "adam": _siren("Adam in place of SOAP, in the fit", "fit", optimizer=_Adam),
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
    "depth-6": _siren("6 sine layers", "shape", depth=6),
    "depth-10": _siren("10 sine layers", "shape", depth=10),
    "bits-4.5": _siren("4.5 bits a coefficient", "shape", bits_per_coefficient=4.5),
    "bits-5.5": _siren("5.5 bits a coefficient", "shape", bits_per_coefficient=5.5),
    "omega-first-30": _siren("first ω 30", "shape", first_omega=lambda width: 30.0),
    "omega-hidden-30": _siren("hidden ω 30", "shape", omega_hidden=30.0),
    "damping-tenfold": _siren("damping tenfold", "curvature", damping=1e-2),
    "fit-rate-0.1": _siren("fit rate 0.1", "fit", rate=0.1),
    "refit-rate-0.005": _siren("refit rate 0.005", "rounding", refit_rate=0.005),
}
"""A default that is another."""

VARIATIONS = {
    "none": Variation("the codec as it is"),
    **SIREN_PARTS,
    **PYRAMID_PARTS,
    **DEFAULTS,
}
"""All by the name that a codec's specification gives them."""
