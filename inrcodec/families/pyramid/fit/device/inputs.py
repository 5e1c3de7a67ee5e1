"""Everything that a step reads besides the latents, in tensors that stay where they are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from inrcodec.families.pyramid.fit.backend import Terms
from inrcodec.families.pyramid.fit.device.rounding import ROUNDING_NUMBERS, rounding_numbers
from inrcodec.families.pyramid.shape import Pyramid


class StepInputs:
    """The terms of a loss and the networks, on a device.

    A captured graph reads these tensors, so that new values are copied into them.

    Attributes:
        seed: seed of the noise, one integer.
    """

    def __init__(self, architecture: Pyramid, device: torch.device) -> None:
        """Zeros, for a loss without prefixes."""
        self._shapes = architecture.blocks
        self._planes = len(architecture.levels)
        self._theta = torch.zeros(architecture.D, device=device)
        self._numbers = torch.zeros(ROUNDING_NUMBERS + self._planes, device=device)
        self.seed = torch.zeros((), dtype=torch.int64, device=device)

    @property
    def rounding(self) -> Tensor:
        """The numbers of `rounding_numbers`."""
        return self._numbers[:ROUNDING_NUMBERS]

    @property
    def prices(self) -> Tensor:
        """(planes,), what a bit of each plane adds to the loss."""
        return self._numbers[ROUNDING_NUMBERS:][: self._planes]

    @property
    def prefix_weights(self) -> Tensor:
        """Weight of each prefix's error."""
        return self._numbers[ROUNDING_NUMBERS + self._planes :]

    @property
    def matrices(self) -> list[Tensor]:
        """The matrix of each block (rows, cols)."""
        return self.blocks(self._theta)

    def blocks(self, theta: Tensor) -> list[Tensor]:
        """The matrix of each block, out of all their entries (D,)."""
        parts = theta.split([rows * cols for rows, cols in self._shapes])
        return [part.view(shape) for part, shape in zip(parts, self._shapes, strict=True)]

    def load(self, matrices: Sequence[Tensor]) -> None:
        """Copy the networks."""
        self._theta.copy_(torch.cat([matrix.flatten() for matrix in matrices]))

    def set(self, terms: Terms) -> bool:
        """Copy the terms of a loss; True if tensors had to be replaced, which graphs do not see."""
        weights = [prefix.weight for prefix in terms.prefixes]
        numbers = [*rounding_numbers(terms), *terms.prices, *weights]
        resized = len(self._numbers) != len(numbers)
        if resized:
            self._numbers = torch.zeros(len(numbers), device=self._numbers.device)
        self._numbers.copy_(torch.tensor(numbers, dtype=torch.float32))
        self.seed.fill_(terms.seed)
        return resized
