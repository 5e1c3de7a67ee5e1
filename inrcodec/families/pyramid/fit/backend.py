"""What a problem asks of the code that computes its loss: one protocol for CPU and GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from inrcodec.families.pyramid.fit.bands import Bands
from inrcodec.families.pyramid.fit.geometry import Geometry
from inrcodec.families.pyramid.shape import Pyramid

Array = NDArray[np.float32]


@dataclass
class Prefix:
    """The first planes of a picture, whose own picture counts too.

    Attributes:
        planes: number of planes.
        weight: weight of the mean squared error of their picture; that of the whole picture has 1.
        error: this error, at the last loss with gradients.
    """

    planes: int
    weight: float = 0.0
    error: float = 0.0


@dataclass(frozen=True, eq=False)
class Terms:
    """What a loss depends on, besides latents and networks.

    Attributes:
        temperature: temperature of the soft rounding; 0 rounds to integers, without noise.
        noise: width of the noise that soft rounding adds, in steps of the quantizer.
        seed: 32-bit seed of the noise.
        prices: (planes,), what a bit of each plane adds to the loss.
        prefixes: prefixes whose errors are part of the loss, ascending by their planes.
    """

    temperature: float
    noise: float
    seed: int
    prices: NDArray[np.float64]
    prefixes: Sequence[Prefix]


@dataclass(frozen=True, eq=False)
class Gradients:
    """A loss and its gradients by the networks.

    Attributes:
        error: mean squared error of the picture.
        bits: bits of the latents.
        prefix_errors: mean squared error of each prefix's picture.
        matrices: gradient of the loss by the matrix of each block (rows, cols).
    """

    error: float
    bits: float
    prefix_errors: list[float]
    matrices: list[Tensor]


class Backend(Protocol):
    """Latents, and the loss of these and of the networks that were loaded last."""

    @property
    def y(self) -> Array:
        """All latents in one array (see `latents.lay_out`); callers may write to it."""

    @property
    def q(self) -> Array:
        """The latents of the last loss, softly rounded, in the same order; to be read only."""

    def load(self, matrices: Sequence[Tensor]) -> None:
        """Take over the networks: the matrix of each block (rows, cols)."""

    def loss(self, terms: Terms) -> tuple[float, float]:
        """Mean squared error, and bits, of the softly rounded latents."""

    def gradients(self, terms: Terms) -> Gradients:
        """The same with all gradients; those by the latents stay here, for `descend`."""

    def bits(self) -> float:
        """Bits of the latents of the last loss, with the networks loaded since."""

    def plane_bits(self) -> NDArray[np.float64]:
        """Bits of each plane (planes,), as they were last counted."""

    def distortion(self, prefixes: Sequence[Prefix]) -> float:
        """Error of the latents of the last loss, with the networks loaded since; those of prefixes
        are added with their weights."""

    def unfiltered(self) -> Array:
        """The picture (C, H, W) that the output filter sees, at the last loss."""

    def latent_gradient(self) -> Array:
        """Gradient of the last loss by `q`."""

    def descend(self, rate: float, betas: tuple[float, float]) -> None:
        """One step of Adam on the latents along the last gradients."""


BackendFactory = Callable[[Array, Pyramid, Geometry, Bands], Backend]
"""Makes a backend for samples (C, H, W), in [-1, 1], and the planes of a pyramid."""
