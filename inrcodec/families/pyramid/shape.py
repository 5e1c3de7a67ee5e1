"""The shape of a pyramid: what the header of a file says of it, and what a reader sizes it by.

Sources: COOL-CHIC (Ladune et al. 2023) and C3 (Kim et al. 2024) for latent planes and their context
network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from inrcodec.container.fields import Fields

LIMIT_LEVEL = 15
"""Coarsest level of a plane: 1/2^15 of the resolution of the longest possible side."""

LIMIT_PLANES = 16
"""Most planes of a pyramid."""

LIMIT_TAPS = 3
"""Most taps of a plane's filter on either side."""

LIMIT_UNITS = 128
"""Most units of each layer of a pyramid's networks."""

NEIGHBOURS = (
    *((-2, -1), (-2, 0), (-2, 1), (-1, -2), (-1, -1), (-1, 0), (-1, 1), (-1, 2), (0, -2), (0, -1)),
    *((-3, -1), (-3, 0), (-3, 1), (-2, -2), (-2, 2), (-1, -3), (-1, 3), (0, -3)),
)
"""Places (row, column), from a latent's own, of its neighbours that are coded before it: those of a
small context and, after these, what a wide one has in addition."""

SMALL, WIDE = 10, 18
"""How many of them a context network sees."""

OTHER_INPUTS = 6
"""What it sees besides: 4 values of planes before, the plane's level and how many planes of that
level follow."""

FILTER_TAPS = 9
"""Of the filter over the output: 3x3 pixels."""

CONTEXT_SCALE = 0.25
"""What one unit of a coefficient moves the context network's weights by: exact in binary."""


@dataclass(frozen=True)
class Pyramid:
    """One or two sine layers over latent planes, g(p) = W₂ sin(W₁ z(p) + b₁) + b₂ if there is one,
    and a context network.

    With a filter the picture is g(p) + Σ Fᵢ g(p + δᵢ) + b over the 9 pixels around p.

    Attributes:
        channels: outputs, 1 to 4.
        width: sine units, a multiple of 4 from 4 to 128.
        context: units of either hidden layer of the context network, a multiple of 4 from 4
            to 128.
        levels: level of each plane in coding order, at most 16. A plane of level ℓ has 1/2^ℓ of the
            picture's resolution. A set of planes goes from coarse to fine; the first plane of all
            is the coarsest, or as coarse as any.
        neighbours: latents of its own plane that the context network sees, 10 or 18.
        filtered: whether a filter over the output follows.
        second: units of a second sine layer, a multiple of 4 from 4 to 128, or 0 where there is
            none.
        taps: on either side, of the filters along rows and columns that each plane goes through
            before it is interpolated, at most 3; 0 where there are none.

    Raises:
        ValueError: an attribute is outside its range.

    >>> pyramid = Pyramid(channels=3, width=16, context=8, levels=(2, 1, 1, 0))
    >>> pyramid.blocks
    ((16, 5), (3, 17), (8, 17), (8, 9), (2, 9))
    >>> pyramid.planes(10, 7)
    [(2, 3), (4, 5), (4, 5), (7, 10)]
    """

    channels: int
    width: int
    context: int
    levels: tuple[int, ...]
    neighbours: int = SMALL
    filtered: bool = False
    second: int = 0
    taps: int = 0

    def __post_init__(self) -> None:
        """Refuse what the attributes do not allow."""
        if not 1 <= self.channels <= 4:
            raise ValueError(f"{self.channels} channels; there may be 1 to 4")
        if self.neighbours not in (SMALL, WIDE):
            raise ValueError(f"{self.neighbours} neighbours; there may be {SMALL} or {WIDE}")
        for units in (self.width, self.context, self.second or self.width):
            if not 4 <= units <= LIMIT_UNITS or units % 4:
                raise ValueError(f"{units} units; there may be a multiple of 4 from 4 to 128")
        if not 0 <= self.taps <= LIMIT_TAPS:
            raise ValueError(f"{self.taps} taps; there may be 0 to {LIMIT_TAPS}")
        if not 1 <= len(self.levels) <= LIMIT_PLANES:
            raise ValueError(f"{len(self.levels)} planes; there may be 1 to {LIMIT_PLANES}")
        if max(self.levels) > self.levels[0]:
            raise ValueError(f"planes of levels {self.levels}; none may be coarser than the first")
        if not 0 <= min(self.levels) <= self.levels[0] <= LIMIT_LEVEL:
            raise ValueError(f"planes of levels {self.levels}; they may be 0 to {LIMIT_LEVEL}")

    family_id = 1
    family = "pyramid"

    @property
    def blocks(self) -> tuple[tuple[int, int], ...]:
        """(rows, cols) of each layer, with biases: two or three of synthesis, the filter, the
        filters of planes, without biases, and three of context.

        The filter's columns are the taps of the first channel, row by row, then of the second.
        """
        taps = (self.channels, FILTER_TAPS * self.channels + 1)
        return (
            (self.width, len(self.levels) + 1),
            *([(self.second, self.width + 1)] if self.second else []),
            (self.channels, (self.second or self.width) + 1),
            *([taps] if self.filtered else []),
            *([(len(self.levels), self.taps)] if self.taps else []),
            (self.context, self.neighbours + OTHER_INPUTS + 1),
            (self.context, self.context + 1),
            (2, self.context + 1),
        )

    @property
    def sets(self) -> tuple[int, ...]:
        """How many planes each set has: where levels ascend, another one begins.

        >>> Pyramid(channels=3, width=16, context=8, levels=(2, 1, 1, 0)).sets
        (4,)
        >>> Pyramid(channels=3, width=16, context=8, levels=(2, 1, 2, 1, 0)).sets
        (2, 3)
        """
        rises = [k for k, (a, b) in enumerate(pairwise(self.levels), 1) if b > a]
        return tuple(b - a for a, b in pairwise([0, *rises, len(self.levels)]))

    @property
    def macs_per_pixel(self) -> float:
        """Multiplications that a pixel of the picture's own grid takes to decode, borders aside."""
        sizes = [rows * (cols - 1) for rows, cols in self.blocks]
        latents = sum(4.0**-level for level in self.levels)
        # Four taps along the columns, and four along the rows of each plane.
        taps = sum(4 + 4 * 2.0**-level for level in self.levels)
        # Taps are alike on both sides.
        taps += latents * 2 * self.taps
        own = self.mixed_blocks + self.filtered
        return sum(sizes[:own]) + taps + latents * sum(sizes[-3:])

    @property
    def synthesis_blocks(self) -> int:
        """How many of the blocks belong to the synthesis; the others are the context network's."""
        return self.mixed_blocks + self.filtered + (self.taps > 0)

    @property
    def mixed_blocks(self) -> int:
        """How many of the blocks, from the first on, a basis may mix: not the filters'."""
        return 3 if self.second else 2

    @property
    def D(self) -> int:  # noqa: N802
        """The number of parameters of both networks."""
        return sum(rows * cols for rows, cols in self.blocks)

    def planes(self, width: int, height: int) -> list[tuple[int, int]]:
        """(h, w) of each plane of a picture."""
        return [(-(-height // (1 << n)), -(-width // (1 << n))) for n in self.levels]

    def latents(self, width: int, height: int) -> int:
        """Latents of all planes of a picture."""
        return sum(h * w for h, w in self.planes(width, height))

    def reading_macs(self, width: int, height: int) -> float:
        """Multiplications of reading all latents: the context network, for each of them."""
        per_latent = sum(rows * (cols - 1) for rows, cols in self.blocks[-3:])
        return float(self.latents(width, height) * per_latent)

    def check_basis(self, basis: str) -> None:
        """Allow every basis: it mixes the sine layers and the linear layer alone."""

    def fields(self) -> bytes:
        """The fields of a header: units, context, planes, and what these announce."""
        units = self.width | (_SECOND if self.second else 0) | (_TAPS if self.taps else 0)
        wide = _WIDE if self.neighbours == WIDE else 0
        context = self.context | wide | (_FILTERED if self.filtered else 0)
        optional = [value for value in (self.second, self.taps) if value]
        levels = (*self.levels, 0)
        pairs = [levels[i] << 4 | levels[i + 1] for i in range(0, len(self.levels), 2)]
        return bytes([units, context, len(self.levels), *optional, *pairs])

    def describe(self) -> str:
        """The shape in words."""
        second = f"and {self.second} " if self.second else ""
        filters = "a filter, " if self.filtered else ""
        filters += "filtered planes, " if self.taps else ""
        return (
            f"pyramid of {len(self.levels)} planes, {self.width} {second}sine units, {filters}"
            f"2 x {self.context} context units that see {self.neighbours} neighbours"
        )


_WIDE, _FILTERED, _SECOND, _TAPS = 1, 2, 1, 2
"""Bits of the bytes of units and context, whose numbers are multiples of four."""


def read_shape(fields: Fields, channels: int) -> Callable[[], Pyramid]:
    """Read what `Pyramid.fields` wrote; the result makes the shape, or raises ValueError."""
    units, context, planes = fields.u8(), fields.u8(), fields.u8()
    second = fields.u8() if units & _SECOND else 0
    taps = fields.u8() if units & _TAPS else 0
    count = min(planes, LIMIT_PLANES + 1)
    pairs = fields.take(-(-count // 2))
    levels = tuple(pairs[i // 2] >> (0 if i % 2 else 4) & 15 for i in range(count))

    def make() -> Pyramid:
        if units & _SECOND and not second:
            raise ValueError("a second sine layer without units")
        if units & _TAPS and not taps:
            raise ValueError("filters of planes without taps")
        if count % 2 and pairs[-1] & 15:
            raise ValueError("a level behind the last plane")
        return Pyramid(
            channels,
            width=units & ~3,
            context=context & ~3,
            levels=levels,
            neighbours=WIDE if context & _WIDE else SMALL,
            filtered=bool(context & _FILTERED),
            second=second,
            taps=taps,
        )

    return make
