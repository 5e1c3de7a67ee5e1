"""The header of a .prc file: the raster, the network and the basis; all but the coefficients.

One header serves all families. Each family defines the fields of its own shape. The specification
is `docs/format.md`, section "Header".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from inrcodec.container.fields import Fields, checksum, varint
from inrcodec.errors import FormatError
from inrcodec.image import LIMIT_PIXELS, LIMIT_SIDE
from inrcodec.pranc import layout

MAGIC = b"\x8fPRC"
"""The first bytes of every file."""

VERSION = 10
"""The version of the format, the only one that this code reads and writes."""

SEEDED = 0
"""Id of the start θ₀ that grows from the seed alone."""

LIMIT_COMPACTION = 64 * 1024
"""Largest compaction D/k, in units of 1/64."""

LATENTS_PER_PIXEL, LATENTS_BESIDE = 2, 4096
"""Most latents of a picture: so many for each pixel, and so many besides for small pictures."""

_CHANNELS, _16_BITS, _SRGB, _RANGE = 7, 1 << 3, 1 << 4, 1 << 5
_BASIS, _WHOLE_FIRST, _WHOLE_LAST = 15, 1 << 4, 1 << 5


class Shape(Protocol):
    """The shape of a network as a header holds it; each family has its own."""

    @property
    def family_id(self) -> int:
        """Id of the family in the file format, 0 to 15."""
        ...

    @property
    def family(self) -> str:
        """Name of the family."""
        ...

    @property
    def channels(self) -> int:
        """Channels of the picture, alpha included."""
        ...

    @property
    def width(self) -> int:
        """Units of the widest layer that every pixel passes."""
        ...

    @property
    def blocks(self) -> tuple[tuple[int, int], ...]:
        """(rows, cols) of each block of parameters, in file order."""
        ...

    @property
    def mixed_blocks(self) -> int:
        """How many of the blocks, from the first on, a basis may mix."""
        ...

    @property
    def D(self) -> int:  # noqa: N802
        """Parameters of all blocks."""
        ...

    @property
    def macs_per_pixel(self) -> float:
        """Multiplications that decoding takes per pixel of the picture's own grid."""
        ...

    def latents(self, width: int, height: int) -> int:
        """Latents of a picture of `width` x `height` pixels."""
        ...

    def reading_macs(self, width: int, height: int) -> float:
        """Multiplications that reading the latents of a picture takes."""
        ...

    def describe(self) -> str:
        """The shape in words."""
        ...

    def check_basis(self, basis: str) -> None:
        """Raise ValueError where the network cannot have a basis."""
        ...

    def fields(self) -> bytes:
        """The fields of the header that describe the shape."""
        ...


@dataclass(frozen=True)
class Header:
    """What a decoder must know besides the coefficients.

    Attributes:
        network: the shape of the network; its channels are the picture's, with alpha as last of
            2 or 4.
        width: columns, pixels, 1 to 65535.
        height: rows, pixels, 1 to 65535; at most 2^28 pixels in all.
        bits: bits of a sample, 8 or 16.
        basis: name of the PRANC basis, one of `layout.BASES`.
        compaction: D/k in units of 1/64, 64 to 65536; always 64 with the identity.
        seed: 0 to 2^32 - 1.
        whole_first: the first block has the identity basis, whatever `basis` is.
        whole_last: the last block that `basis` is for has the identity basis, too; filters and
            context networks always have it.
        start: id of the start θ₀; 0, the seeded one, is the only one.
        srgb: the picture came with a profile of sRGB, which a decoder may attach again.
        low: the sample value that the network's output -1 stands for.
        high: the sample value that the output 1 stands for; None where it is the largest of `bits`
            bits.

    Raises:
        ValueError: an attribute is outside its range.

    >>> from inrcodec.families.siren.shape import Siren
    >>> siren = Siren(channels=3, width=32, depth=3, omega_first=30, omega_hidden=30)
    >>> header = Header(siren, width=768, height=512, basis="hadamard", compaction=128)
    >>> header.bases
    ('identity', 'hadamard', 'hadamard', 'identity')
    >>> header.coefficients
    (96, 528, 528, 99)
    >>> len(write_header(header)), header.low, header.top
    (23, 0, 255)
    """

    network: Shape
    width: int
    height: int
    bits: int = 8
    basis: str = "identity"
    compaction: int = layout.NO_COMPACTION
    seed: int = 0
    whole_first: bool = True
    whole_last: bool = True
    start: int = SEEDED
    srgb: bool = False
    low: int = 0
    high: int | None = field(default=None)

    def __post_init__(self) -> None:
        """Refuse what the attributes do not allow."""
        # One header for one file, also by ==.
        if self.high == self.peak:
            object.__setattr__(self, "high", None)
        if not 1 <= min(self.width, self.height) <= max(self.width, self.height) <= LIMIT_SIDE:
            raise ValueError(f"{self.width}x{self.height} pixels; sides are 1 to {LIMIT_SIDE}")
        if self.width * self.height > LIMIT_PIXELS:
            raise ValueError(f"{self.width}x{self.height} pixels; at most {LIMIT_PIXELS} in all")
        if self.bits not in (8, 16):
            raise ValueError(f"{self.bits} bits a sample; there may be 8 or 16")
        if not 0 <= self.low < self.top <= self.peak:
            raise ValueError(f"samples from {self.low} to {self.top} of {self.bits} bits")
        if not layout.NO_COMPACTION <= self.compaction <= LIMIT_COMPACTION:
            raise ValueError(f"a compaction of {self.compaction}/64; it may be 1 to 1024")
        if self.basis == layout.BASES[0]:
            object.__setattr__(self, "compaction", layout.NO_COMPACTION)
        if not 0 <= self.seed < 1 << 32:
            raise ValueError(f"seed {self.seed} is not an unsigned 32-bit integer")
        if self.start != SEEDED:
            raise ValueError(f"unknown start {self.start}; update inrcodec")
        _ = self.coefficients  # an unknown basis, or one that does not fit
        self.network.check_basis(self.basis)

    def check_latents(self) -> None:
        """Raise ValueError where a file may not have so many latents.

        A training may have more: it halves the picture, but not all of its planes.
        """
        latents, pixels = self.network.latents(self.width, self.height), self.width * self.height
        if latents > LATENTS_PER_PIXEL * pixels + LATENTS_BESIDE:
            raise ValueError(f"{latents} latents for {pixels} pixels; they are too many")

    @property
    def family(self) -> str:
        """Name of the family."""
        return self.network.family

    @property
    def peak(self) -> int:
        """The largest value of a sample: 255 or 65535."""
        return (1 << self.bits) - 1

    @property
    def top(self) -> int:
        """The sample value that the network's output 1 stands for."""
        return self.peak if self.high is None else self.high

    @property
    def bases(self) -> tuple[str, ...]:
        """The name of each block's basis."""
        mixed = self.network.mixed_blocks
        identity = layout.BASES[0]
        names = [self.basis] * mixed + [identity] * (len(self.network.blocks) - mixed)
        if self.whole_first:
            names[0] = identity
        if self.whole_last:
            names[mixed - 1] = identity
        return tuple(names)

    @property
    def coefficients(self) -> tuple[int, ...]:
        """The number k of coefficients of each block."""
        return tuple(
            layout.coefficients(basis, rows, cols, self.compaction)
            for basis, (rows, cols) in zip(self.bases, self.network.blocks, strict=True)
        )


ReadShape = Callable[[Fields, int], Callable[[], Shape]]
"""Reads a shape's fields, for a number of channels; the result makes the shape, or raises
ValueError. The checksum is verified between the two."""


def write_header(header: Header) -> bytes:
    """The header's bytes, 19 or more.

    Raises:
        ValueError: a file may not have so many latents.
    """
    header.check_latents()
    network = header.network
    basis = layout.BASES.index(header.basis)
    raster = network.channels | (_16_BITS if header.bits == 16 else 0)
    raster |= (_SRGB if header.srgb else 0) | (_RANGE if _has_range(header) else 0)
    whole = (_WHOLE_FIRST if header.whole_first else 0) | (_WHOLE_LAST if header.whole_last else 0)
    data = b"".join(
        (
            MAGIC,
            bytes([VERSION, network.family_id | header.start << 4, raster]),
            varint(header.width),
            varint(header.height),
            varint(header.low) + varint(header.top) if _has_range(header) else b"",
            bytes([basis | whole]),
            varint(header.compaction) if basis else b"",
            varint(header.seed),
            network.fields(),
        )
    )
    return data + checksum(data)


def _has_range(header: Header) -> bool:
    return (header.low, header.top) != (0, header.peak)


def read_header(fields: Fields, shapes: Mapping[int, ReadShape]) -> Header:
    """Read a header from the start of a file; `shapes` has the reader of each family's shape.

    Raises:
        FormatError: not a .prc file, another version, damaged, cut short or beyond the limits.
    """
    if not MAGIC.startswith(bytes(fields.data[: len(MAGIC)])):
        raise FormatError("not a .prc file")
    fields.take(len(MAGIC))
    version = fields.u8()
    if version != VERSION:
        raise FormatError(
            f"format version {version}, and this inrcodec reads version {VERSION} alone; "
            + ("update inrcodec" if version > VERSION else "encode the picture again")
        )
    kind, raster = fields.u8(), fields.u8()
    family, start = kind & 15, kind >> 4
    width, height = fields.varint(), fields.varint()
    ranged = (fields.varint(), fields.varint()) if raster & _RANGE else None
    basis = fields.u8()
    compaction = fields.varint() if basis & _BASIS else layout.NO_COMPACTION
    seed = fields.varint()
    if family not in shapes:
        raise FormatError(f"unknown family {family}; update inrcodec")
    make_network = shapes[family](fields, raster & _CHANNELS)
    fields.end_checksum(start=0)
    if raster >> 6 or basis >> 6:
        raise FormatError("the header has unknown bits set; update inrcodec")
    if (basis & _BASIS) >= len(layout.BASES):
        raise FormatError(f"unknown basis {basis & _BASIS}; update inrcodec")
    bits = 16 if raster & _16_BITS else 8
    if ranged == (0, (1 << bits) - 1):
        raise FormatError("the header is invalid: it gives the range that it has anyway")
    low, high = ranged or (0, None)
    try:
        header = Header(
            network=make_network(),
            width=width,
            height=height,
            bits=bits,
            basis=layout.BASES[basis & _BASIS],
            compaction=compaction,
            seed=seed,
            whole_first=bool(basis & _WHOLE_FIRST),
            whole_last=bool(basis & _WHOLE_LAST),
            start=start,
            srgb=bool(raster & _SRGB),
            low=low,
            high=high,
        )
        header.check_latents()
        return header
    except ValueError as error:
        raise FormatError(f"the header is invalid: {error}") from error
