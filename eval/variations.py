"""What each part of the codec is worth: one setting changed at a time, everything else as it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from inrcodec.families.pyramid.settings import PyramidSettings
from inrcodec.families.pyramid.shape import SMALL, Pyramid
from inrcodec.families.pyramid.shapes import NetworkShape, network_shape
from inrcodec.families.siren.fit.codes import equal_steps
from inrcodec.families.siren.fit.sampling import independent
from inrcodec.families.siren.settings import SirenSettings

SIREN, PYRAMID = SirenSettings(), PyramidSettings()


def _diagonal(matrix: np.ndarray) -> np.ndarray:
    """The factor of a curvature without ties between coefficients."""
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


def _units(count: int) -> NetworkShape:
    """One sine layer and a context network of as many units whatever the budget, and no filter."""
    return lambda request, _: Pyramid(request.channels, count, count, request.levels)


def _without(**parts: Any) -> NetworkShape:
    """The networks of the budget with some of their parts replaced."""
    return lambda request, settings: replace(network_shape(request, settings), **parts)


Settings = SirenSettings | PyramidSettings


@dataclass(frozen=True)
class Variation:
    """What is changed, in words, and the settings with the change; None is the codec as it is."""

    about: str
    settings: Settings | None = None


def _siren(about: str, group: str, **changes: Any) -> Variation:
    """Change fields of one group of the SIREN's settings."""
    changed = replace(getattr(SIREN, group), **changes)
    return Variation(about, replace(SIREN, **{group: changed}))


def _pyramid(about: str, group: str = "", **changes: Any) -> Variation:
    """Change fields of one group of the pyramid's settings, or of these themselves."""
    if group:
        changes = {group: replace(getattr(PYRAMID, group), **changes)}
    return Variation(about, replace(PYRAMID, **changes))


def _shaped(about: str, shape: Callable[..., Pyramid]) -> Variation:
    return _pyramid(about, network_shape=shape)


def _without_refits() -> Variation:
    """The steps of the refits go to the fit."""
    efforts = tuple(
        replace(
            effort,
            fit_steps=effort.fit_steps + SIREN.shape.depth * effort.refit_steps,
            refit_steps=0,
        )
        for effort in SIREN.efforts
    )
    return Variation("no refits, a longer fit", replace(SIREN, efforts=efforts))


SIREN_PARTS = {
    "dead-zone": _siren("a dead zone 1.4 steps wide", "rounding", edge=45),
    "one-step": _siren("one step for all layers", "rounding", step_codes=equal_steps),
    "no-refit": _without_refits(),
    "no-compensation": _siren("independent rounding", "curvature", factorize=_diagonal),
    "depth-5": _siren("5 sine layers", "shape", depth=5),
    "unbound-pixels": _siren("pixels in no grid", "fit", sampler=independent),
    "equal-rates": _siren("the first layer as fast as the others", "fit", first_rate=1.0),
    "adam": _siren("Adam in place of SOAP, in the fit", "fit", optimizer=_Adam),
}
"""What the SIREN's codec is made of, with one part changed or switched off."""

PYRAMID_PARTS = {
    "independent-rounding": _pyramid(
        "independent rounding of the networks", "curvature", factorize=_diagonal
    ),
    "equal-price": _pyramid("a network's bit no dearer than a latent's", "rounding", bit_price=1.0),
    "single-planes": _pyramid("one plane at a quarter", "shapes", double_level=None),
    "early-control": _pyramid("λ follows the budget from 2 % on", "control", from_share=0.02),
    "no-warm-up": _pyramid("no smaller sizes first", warm_up=False),
    "no-descent": _pyramid("a first RDOQ pass at λ", "finish", first_lam=1.0),
    "unguided": _pyramid("no guided passes", "finish", max_guided=0),
    "units-8": _shaped("one sine layer, all of 8 units", _units(8)),
    "units-24": _shaped("one sine layer, all of 24 units", _units(24)),
    "one-layer": _shaped("one sine layer", _without(second=0)),
    "no-filter": _shaped("no filter", _without(filtered=False)),
    "plain-planes": _shaped("no filters of planes", _without(taps=0)),
    "near-context": _shaped("10 neighbours", _without(neighbours=SMALL)),
    "adam-networks": _pyramid("Adam in place of SOAP", "optimizer", make_optimizer=_GroupedAdam),
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
    "damping-tenfold": _siren("damping tenfold", "curvature", damping=SIREN.curvature.damping * 10),
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
