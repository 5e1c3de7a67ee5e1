"""The shapes of the networks: what a file's header says of them and a reader needs to size them.

Imports no torch. Source: SIREN (Sitzmann et al. 2020).
"""

from __future__ import annotations

from dataclasses import dataclass

LIMIT_WIDTH = 1024
"""Most sine units of a layer."""

LIMIT_DEPTH = 16
"""Most sine layers."""

LIMIT_OMEGA = 1024
"""Largest frequency factor ω."""

LIMIT_PARAMETERS = 1 << 22
"""Most parameters of a network."""


@dataclass(frozen=True)
class Siren:
    """A SIREN: sine layers `sin(ω(Wx + b))` from (x, y) on, then one linear layer.

    Attributes:
        channels: outputs, 1 to 4.
        width: units of each sine layer, 1 to 1024.
        depth: sine layers, 1 to 16.
        omega_first: ω of the first layer, a multiple of 1/4 from 1/4 to 1024.
        omega_hidden: ω of the other sine layers, likewise.

    Raises:
        ValueError: an attribute is outside its range, or D is above 2^22.

    >>> siren = Siren(channels=3, width=32, depth=3, omega_first=30, omega_hidden=30)
    >>> siren.blocks
    ((32, 3), (32, 33), (32, 33), (3, 33))
    >>> siren.D
    2307
    """

    channels: int
    width: int
    depth: int
    omega_first: float
    omega_hidden: float

    def __post_init__(self) -> None:
        """Refuse what the attributes do not allow."""
        if not 1 <= self.channels <= 4:
            raise ValueError(f"{self.channels} channels; there may be 1 to 4")
        if not 1 <= self.width <= LIMIT_WIDTH:
            raise ValueError(f"a width of {self.width}; it may be 1 to {LIMIT_WIDTH}")
        if not 1 <= self.depth <= LIMIT_DEPTH:
            raise ValueError(f"{self.depth} sine layers; there may be 1 to {LIMIT_DEPTH}")
        for omega in (self.omega_first, self.omega_hidden):
            if not 0 < omega <= LIMIT_OMEGA or omega * 4 != int(omega * 4):
                raise ValueError(
                    f"ω of {omega}; it may be a multiple of 1/4 from 0.25 to {LIMIT_OMEGA}"
                )
        if self.D > LIMIT_PARAMETERS:
            raise ValueError(f"{self.D} parameters; there may be at most {LIMIT_PARAMETERS}")

    @property
    def blocks(self) -> tuple[tuple[int, int], ...]:
        """(rows, cols) of each layer in network order: its weight, and its bias as last column."""
        hidden = (self.width, self.width + 1)
        return ((self.width, 3), *[hidden] * (self.depth - 1), (self.channels, self.width + 1))

    @property
    def D(self) -> int:  # noqa: N802
        """The number of parameters."""
        return sum(rows * cols for rows, cols in self.blocks)
