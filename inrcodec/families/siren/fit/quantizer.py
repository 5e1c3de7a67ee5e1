"""Rounding of a layer's coefficients to symbols, in the metric of its curvature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from inrcodec.entropy.layer import Layer
from inrcodec.entropy.model import LIMIT_MAGNITUDE, Symbols, fit_model
from inrcodec.families.siren.fit.codes import STEP_ZERO, STEPS_PER_OCTAVE, StepCodes
from inrcodec.families.siren.fit.curvature import Group
from inrcodec.l2.rounding import nearest_plane


@dataclass(frozen=True, eq=False)
class RoundedLayer:
    """A layer's quantized coefficients.

    Attributes:
        parts: its matrices, one for each stage.
    """

    parts: tuple[Layer, ...]

    @property
    def values(self) -> NDArray[np.float64]:
        """The coefficients (k,)."""
        return np.concatenate([part.values for part in self.parts])

    @property
    def bits(self) -> float:
        """The ideal code length of the symbols, bits."""
        return sum(part.bits for part in self.parts)


@dataclass(frozen=True, eq=False)
class Quantizer:
    """The quantizer of all layers.

    Attributes:
        codes: relative step codes.
        edge: half the width of the dead zone in 1/64 steps.
        gaussian: whether the symbol models have no linear term, which stages do not store.
    """

    codes: StepCodes
    edge: int
    gaussian: bool = False

    def rounded(
        self, layer: int, alpha: Tensor, code: int, groups: Sequence[Group]
    ) -> RoundedLayer:
        """A layer's coefficients (k,) rounded at a step code, compensating each other's errors.

        `groups` are those of its curvature.
        """
        codes = np.repeat(self.codes.of_matrices(layer, code), self.codes.sizes[layer])
        steps = 2.0 ** ((codes - STEP_ZERO) / STEPS_PER_OCTAVE)
        # In units of its own step, each coefficient has the step 1.
        values = alpha.double().cpu().numpy() / steps
        symbols = [
            nearest_plane(
                values[group.start : group.stop],
                group.factor * steps[group.start : group.stop, None],
                self.edge / 64,
                1.0,
                LIMIT_MAGNITUDE,
            )
            for group in groups
        ]
        return self.modelled(layer, np.concatenate(symbols), code)

    def modelled(self, layer: int, symbols: Symbols, code: int) -> RoundedLayer:
        """A layer's symbols (k,) with the symbol model that fits each of its matrices best."""
        codes = self.codes.of_matrices(layer, code).tolist()
        parts = zip(self.codes.split(layer, symbols), codes, strict=True)
        return RoundedLayer(
            tuple(Layer(fit_model(q, step, self.edge, self.gaussian), q) for q, step in parts)
        )
