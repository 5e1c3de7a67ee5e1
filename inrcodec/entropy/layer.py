"""The quantized coefficients of a layer with the model that codes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inrcodec.entropy.model import LayerModel, Symbols


@dataclass(frozen=True, eq=False)
class Layer:
    """The quantized coefficients of one layer.

    Attributes:
        model: quantizer and symbol probabilities.
        symbols: (k,) int32, quantized coefficients in the order of the basis.
        withheld: how many last bits of the magnitudes `symbols` lacks; 0 but in a partial file.
    """

    model: LayerModel
    symbols: Symbols
    withheld: int = 0

    @property
    def values(self) -> NDArray[np.float64]:
        """The coefficients (k,)."""
        return self.model.dequantize(self.symbols, self.withheld)

    @property
    def bits(self) -> float:
        """The ideal code length of the symbols, bits."""
        return self.model.bits(self.symbols, self.withheld)

    @property
    def bits_per_coefficient(self) -> float:
        """The ideal code length of the symbols, bits per coefficient."""
        return self.bits / len(self.symbols)


def check_layers(layers: Sequence[Layer], counts: Sequence[int]) -> None:
    """Raise ValueError where layers do not have `counts` symbols, or these exceed their models."""
    if len(layers) != len(counts):
        raise ValueError(f"{len(layers)} layers for a network of {len(counts)}")
    for i, (layer, k) in enumerate(zip(layers, counts, strict=True)):
        if layer.symbols.shape != (k,) or layer.withheld:
            raise ValueError(f"layer {i} must have {k} whole symbols, not {layer.symbols.shape}")
        if max(int(layer.symbols.max()), -int(layer.symbols.min())) > layer.model.largest:
            raise ValueError(f"layer {i} has a symbol beyond ±{layer.model.largest}")
