"""The shape of a SIREN: what the header of a file says of it, and what a reader sizes it by.

Source: SIREN (Sitzmann et al. 2020).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import accumulate

from inrcodec.container.fields import Fields, varint

LIMIT_WIDTH = 1024
"""Most sine units of a layer."""

LIMIT_DEPTH = 16
"""Most sine layers."""

LIMIT_OMEGA = 1024
"""Largest frequency factor ω."""

LIMIT_PARAMETERS = 1 << 22
"""Most parameters of a network."""

LIMIT_STAGES = 8
"""Most stages of a SIREN."""


@dataclass(frozen=True)
class Siren:
    """A SIREN: sine layers `sin(ω(Wx + b))` from (x, y) on, then one linear layer.

    In stages it grows: each adds units to all sine layers, which see those of the stages before and
    are not seen by them, and has a linear layer of its own over all units so far. So the first
    stages alone are a network, too, which makes a coarser picture. As few units start with slow
    waves, the ω of a stage's units in the first layer is at most the number of units so far.

    Attributes:
        channels: outputs, 1 to 4.
        width: units of each sine layer, 1 to 1024.
        depth: sine layers, 1 to 16.
        omega_first: ω of the first layer, a multiple of 1/4 from 1/4 to 1024; with stages the most
            that a stage has.
        omega_hidden: ω of the other sine layers, with the limits of `omega_first`.
        stages: units that each stage adds to a layer, 2 to 8 stages with `width` units in all;
            empty where all are there at once.

    Raises:
        ValueError: an attribute is outside its range, or D is above 2^22.

    >>> siren = Siren(channels=3, width=32, depth=3, omega_first=30, omega_hidden=30)
    >>> siren.blocks
    ((32, 3), (32, 33), (32, 33), (3, 33))
    >>> siren.D
    2307
    >>> Siren(3, width=6, depth=2, omega_first=30, omega_hidden=30, stages=(4, 2)).blocks
    ((4, 3), (4, 5), (3, 5), (2, 3), (2, 7), (3, 7))
    """

    channels: int
    width: int
    depth: int
    omega_first: float
    omega_hidden: float
    stages: tuple[int, ...] = ()

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
        if self.stages and not 2 <= len(self.stages) <= LIMIT_STAGES:
            raise ValueError(f"{len(self.stages)} stages; there may be 2 to {LIMIT_STAGES}")
        if self.stages and (min(self.stages) < 1 or sum(self.stages) != self.width):
            raise ValueError(f"stages of {self.stages} units for a width of {self.width}")
        if self.D > LIMIT_PARAMETERS:
            raise ValueError(f"{self.D} parameters; there may be at most {LIMIT_PARAMETERS}")

    family_id = 0
    family = "siren"

    @property
    def layers(self) -> int:
        """The number of layers, with the linear one."""
        return self.depth + 1

    @property
    def widths(self) -> tuple[int, ...]:
        """Units of a sine layer up to each stage."""
        return tuple(accumulate(self.stages or (self.width,)))

    @property
    def blocks(self) -> tuple[tuple[int, int], ...]:
        """(rows, cols) of each layer in network order: its weight, and its bias as last column.

        With stages those that the first adds to each layer, then those of the second, and so on.
        """
        return tuple(
            block
            for added, width in zip(self.stages or (self.width,), self.widths, strict=True)
            for block in (
                (added, 3),
                *[(added, width + 1)] * (self.depth - 1),
                (self.channels, width + 1),
            )
        )

    @property
    def outputs(self) -> int:
        """The channels of the pictures of all stages."""
        return self.channels * len(self.widths)

    def first(self, stages: int) -> Siren:
        """The network of the first `stages` stages.

        >>> Siren(3, width=6, depth=2, omega_first=30, omega_hidden=30, stages=(4, 2)).first(1)
        Siren(channels=3, width=4, depth=2, omega_first=4, omega_hidden=30, stages=())
        """
        kept = self.stages[:stages]
        if stages > 1:
            return replace(self, width=sum(kept), stages=kept)
        omega = min(self.omega_first, kept[0])
        return replace(self, width=kept[0], stages=(), omega_first=omega)

    @property
    def macs_per_pixel(self) -> float:
        """Multiplications that a pixel of the picture's own grid takes to decode."""
        hidden = (self.depth - 1) * self.width
        return float(self.width * (2 + hidden + self.channels))

    @property
    def synthesis_blocks(self) -> int:
        """How many of the blocks make the picture: all."""
        return len(self.blocks)

    @property
    def mixed_blocks(self) -> int:
        """How many of the blocks, from the first on, a basis may mix: all."""
        return len(self.blocks)

    @property
    def D(self) -> int:  # noqa: N802
        """The number of parameters."""
        return sum(rows * cols for rows, cols in self.blocks)

    def latents(self, width: int, height: int) -> int:
        """Latents of a picture: a SIREN has none."""
        return 0

    def reading_macs(self, width: int, height: int) -> float:
        """Multiplications of reading latents: none."""
        return 0.0

    def check_basis(self, basis: str) -> None:
        """Raise ValueError for a basis that mixes coefficients of a SIREN in stages."""
        if self.stages and basis != "identity":
            raise ValueError(f"a SIREN in stages with the basis {basis}; it has the identity")

    def fields(self) -> bytes:
        """The fields of a header: depth and stages, the units of each stage, and both ω."""
        stages = self.stages or (self.width,)
        counts = self.depth - 1 | (len(stages) - 1) << 4
        omegas = varint(int(self.omega_first * 4)) + varint(int(self.omega_hidden * 4))
        return bytes([counts]) + b"".join(map(varint, stages)) + omegas

    def describe(self) -> str:
        """The shape in words."""
        stages = f", in stages of {', '.join(map(str, self.stages))}" if self.stages else ""
        return (
            f"SIREN of {self.depth} sine layers of {self.width} units{stages}, "
            f"omega {self.omega_first:g} and {self.omega_hidden:g}"
        )


def read_shape(fields: Fields, channels: int) -> Callable[[], Siren]:
    """Read what `Siren.fields` wrote; the result makes the shape, or raises ValueError."""
    counts = fields.u8()
    stages = tuple(fields.varint() for _ in range((counts >> 4 & 7) + 1))
    first, hidden = fields.varint() / 4, fields.varint() / 4

    def make() -> Siren:
        if counts >> 7:
            raise ValueError("the byte of depth and stages has an unknown bit set")
        plain = Siren(channels, sum(stages), (counts & 15) + 1, first, hidden)
        return replace(plain, stages=stages) if len(stages) > 1 else plain

    return make
