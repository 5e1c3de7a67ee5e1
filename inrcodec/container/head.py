"""The header of a `.prc` file: the raster, the network and the basis; all but the coefficients.

`docs/format.md`, section "Header", is the specification; fields follow one another as there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from inrcodec.container.fields import Fields, checksum, varint
from inrcodec.errors import FormatError
from inrcodec.families.pyramid.shape import LIMIT_PLANES, SMALL, WIDE, Pyramid
from inrcodec.families.siren.shape import LIMIT_STAGES, Siren
from inrcodec.image import LIMIT_PIXELS, LIMIT_SIDE
from inrcodec.pranc import layout

MAGIC = b"\x8fPRC"
VERSION = 9
"""The newest version of the format that this code reads."""

PLAIN_VERSION = 2
"""The oldest that is written; each file has the oldest that knows all in it, so that older readers
understand the more."""

ORDERED_VERSION = 3
"""The first with SIRENs in an order of bit planes."""

WIDE_VERSION = 4
"""The first with pyramids of a wide context."""

DEEP_VERSION = 5
"""The first with a filter over the output and a second sine layer."""

SETS_VERSION = 6
"""The first with more than one set of planes."""

SMOOTH_VERSION = 7
"""The first with filters of planes."""

ADAPTIVE_VERSION = 8
"""The first whose pyramids have scales that adapt to the latents, and all of them have."""

STAGED_VERSION = 9
"""The first with SIRENs that grow in stages."""

LIMIT_COMPACTION = 64 * 1024
"""Largest compaction D/k, in units of 1/64."""

_SIREN, _PYRAMID, _STAGED = 0, 1, 2
_RASTER_16_BIT = 1 << 3
_WHOLE_FIRST, _WHOLE_LAST, _RESERVED = 1 << 5, 1 << 6, 1 << 7
_WIDE, _FILTERED, _SECOND, _SMOOTH = 1, 2, 1, 2


@dataclass(frozen=True)
class Header:
    """What a decoder must know besides the coefficients.

    Attributes:
        network: the network; its channels are the picture's, with alpha as last of 2 or 4.
        width: columns, pixels, 1 to 65535.
        height: rows, pixels, 1 to 65535; at most 2^28 pixels in all.
        bits: bits of a sample, 8 or 16.
        basis: name of the PRANC basis, one of `layout.BASES`.
        compaction: D/k in units of 1/64, 64 to 65536.
        seed: 0 to 2^32 - 1.
        whole_first: the first layer has the identity basis, whatever `basis` is.
        whole_last: the last layer that `basis` is for, likewise; filters and context networks
            always have the identity.

    Raises:
        ValueError: an attribute is outside its range.

    >>> siren = Siren(channels=3, width=32, depth=3, omega_first=30, omega_hidden=30)
    >>> header = Header(siren, width=768, height=512, basis="hadamard", compaction=128)
    >>> header.bases
    ('identity', 'hadamard', 'hadamard', 'identity')
    >>> header.coefficients
    (96, 528, 528, 99)
    >>> len(write_header(header))
    23
    """

    network: Siren | Pyramid
    width: int
    height: int
    bits: int = 8
    basis: str = "identity"
    compaction: int = layout.NO_COMPACTION
    seed: int = 0
    whole_first: bool = True
    whole_last: bool = True

    def __post_init__(self) -> None:
        """Refuse what the attributes do not allow."""
        if not 1 <= min(self.width, self.height) <= max(self.width, self.height) <= LIMIT_SIDE:
            raise ValueError(f"{self.width}x{self.height} pixels; sides are 1 to {LIMIT_SIDE}")
        if self.width * self.height > LIMIT_PIXELS:
            raise ValueError(f"{self.width}x{self.height} pixels; at most {LIMIT_PIXELS} in all")
        if self.bits not in (8, 16):
            raise ValueError(f"{self.bits} bits a sample; there may be 8 or 16")
        if not layout.NO_COMPACTION <= self.compaction <= LIMIT_COMPACTION:
            raise ValueError(f"a compaction of {self.compaction}/64; it may be 1 to 1024")
        if not 0 <= self.seed < 1 << 32:
            raise ValueError(f"seed {self.seed} is not an unsigned 32-bit integer")
        _ = self.coefficients  # an unknown basis, or one that does not fit
        if isinstance(self.network, Siren) and self.network.stages and self.basis != "identity":
            raise ValueError(f"a SIREN in stages with the basis {self.basis}; it has the identity")

    @property
    def family(self) -> str:
        """The INR family's name."""
        return "siren" if isinstance(self.network, Siren) else "pyramid"

    @property
    def bases(self) -> tuple[str, ...]:
        """The name of each layer's basis."""
        mixed = self.network.mixed_blocks
        names = [self.basis] * mixed + ["identity"] * (len(self.network.blocks) - mixed)
        if self.whole_first:
            names[0] = "identity"
        if self.whole_last:
            names[mixed - 1] = "identity"
        return tuple(names)

    @property
    def coefficients(self) -> tuple[int, ...]:
        """The number k of coefficients of each layer."""
        return tuple(
            layout.coefficients(basis, rows, cols, self.compaction)
            for basis, (rows, cols) in zip(self.bases, self.network.blocks, strict=True)
        )


def write_header(header: Header, version: int = PLAIN_VERSION) -> bytes:
    """The header's bytes, at most 46; a version that does not know the network is raised."""
    network = header.network
    if isinstance(network, Pyramid):
        version = max(version, WIDE_VERSION if network.neighbours == WIDE else 0)
        version = max(version, DEEP_VERSION if network.filtered or network.second else 0)
        version = max(version, SETS_VERSION if len(network.sets) > 1 else 0)
        version = max(version, SMOOTH_VERSION if network.taps else 0)
        version = max(version, ADAPTIVE_VERSION if network.adaptive else 0)
    family = _SIREN if isinstance(network, Siren) else _PYRAMID
    if isinstance(network, Siren) and network.stages:
        version, family = max(version, STAGED_VERSION), _STAGED
    raster = network.channels | (_RASTER_16_BIT if header.bits == 16 else 0)
    fields = (
        MAGIC,
        bytes([version, family, raster]),
        header.width.to_bytes(2, "little"),
        header.height.to_bytes(2, "little"),
        bytes([layout.BASES.index(header.basis)]),
        varint(header.compaction),
        varint(header.seed),
        _write_network(network, header),
    )
    data = b"".join(fields)
    return data + checksum(data)


def _write_network(network: Siren | Pyramid, header: Header) -> bytes:
    whole = (_WHOLE_FIRST if header.whole_first else 0) | (_WHOLE_LAST if header.whole_last else 0)
    if isinstance(network, Siren):
        stages = b"".join(map(varint, network.stages))
        return b"".join(
            (
                bytes([len(network.stages)]) + stages if stages else varint(network.width),
                bytes([network.depth | whole]),
                varint(int(network.omega_first * 4)),
                varint(int(network.omega_hidden * 4)),
            )
        )
    levels = (*network.levels, 0)
    pairs = bytes(levels[i] << 4 | levels[i + 1] for i in range(0, len(network.levels), 2))
    wide = _WIDE if network.neighbours == WIDE else 0
    context = network.context | wide | (_FILTERED if network.filtered else 0)
    units = network.width | (_SECOND if network.second else 0) | (_SMOOTH if network.taps else 0)
    second = bytes([network.second] if network.second else [])
    taps = bytes([network.taps] if network.taps else [])
    return bytes([units, context, len(network.levels) | whole]) + second + taps + pairs


def read_header(data: bytes) -> Header:
    """Read the header alone, from a file or any prefix that holds it.

    Raises:
        FormatError: not a `.prc` file, a newer version, damaged, cut short or beyond the limits.
    """
    return parse_header(Fields(data, part="header"))


def parse_header(fields: Fields) -> Header:
    """Read the header from the start of `fields`; see `read_header`."""
    if not MAGIC.startswith(fields.data[: len(MAGIC)]):
        raise FormatError("not a .prc file")
    fields.take(len(MAGIC))
    version = fields.u8()
    if version > VERSION:
        raise FormatError(f"written by a newer format version {version}; update inrcodec")
    family = fields.u8()
    if version < 2 and family == _PYRAMID:
        raise FormatError(
            f"a pyramid of the trial format version {version}; encode its picture again"
        )
    if family not in (_SIREN, _PYRAMID) and (family != _STAGED or version < STAGED_VERSION):
        raise FormatError(f"unknown INR family {family}; update inrcodec")
    raster = fields.u8()
    width = fields.u16()
    height = fields.u16()
    basis = fields.u8()
    compaction = fields.varint()
    seed = fields.varint()
    readers: dict[int, Callable[..., tuple[Callable[[], Siren | Pyramid], int]]]
    readers = {_SIREN: _read_siren, _PYRAMID: _read_pyramid, _STAGED: _read_staged}
    make_network, flags = readers[family](fields, raster & 7, version)
    fields.end_checksum(start=0)
    if raster >> 4 or flags & _RESERVED:
        raise FormatError("the header has unknown bits set; update inrcodec")
    if basis >= len(layout.BASES):
        raise FormatError(f"unknown basis {basis}; update inrcodec")
    try:
        return Header(
            network=make_network(),
            width=width,
            height=height,
            bits=16 if raster & _RASTER_16_BIT else 8,
            basis=layout.BASES[basis],
            compaction=compaction,
            seed=seed,
            whole_first=bool(flags & _WHOLE_FIRST),
            whole_last=bool(flags & _WHOLE_LAST),
        )
    except ValueError as error:
        raise FormatError(f"the header is invalid: {error}") from error


def _read_siren(fields: Fields, channels: int, version: int) -> tuple[Callable[[], Siren], int]:
    """The network, made once the checksum is known to be right, and the flags."""
    return _read_layers(fields, channels, fields.varint())


def _read_layers(fields: Fields, channels: int, units: int) -> tuple[Callable[[], Siren], int]:
    depth = fields.u8()
    first = fields.varint() / 4
    hidden = fields.varint() / 4
    return lambda: Siren(channels, units, depth & 31, first, hidden), depth


def _read_staged(fields: Fields, channels: int, version: int) -> tuple[Callable[[], Siren], int]:
    count = fields.u8()
    stages = tuple(fields.varint() for _ in range(min(count, LIMIT_STAGES + 1)))
    make_plain, depth = _read_layers(fields, channels, sum(stages))

    def make() -> Siren:
        if count < 2:
            raise ValueError(f"{count} stages; there may be 2 to {LIMIT_STAGES}")
        return replace(make_plain(), stages=stages)

    return make, depth


def _read_pyramid(fields: Fields, channels: int, version: int) -> tuple[Callable[[], Pyramid], int]:
    units, context, count = fields.u8(), fields.u8(), fields.u8()
    deep = units & _SECOND if version >= DEEP_VERSION else 0
    second = fields.u8() if deep else 0
    smooth = units & _SMOOTH if version >= SMOOTH_VERSION else 0
    taps = fields.u8() if smooth else 0
    planes = min(count & 31, LIMIT_PLANES + 1)
    pairs = fields.take(-(-planes // 2))
    levels = tuple(pairs[i // 2] >> (0 if i % 2 else 4) & 15 for i in range(planes))
    wide = context & _WIDE if version >= WIDE_VERSION else 0
    filtered = context & _FILTERED if version >= DEEP_VERSION else 0
    neighbours = WIDE if wide else SMALL

    def make() -> Pyramid:
        if deep and not second:
            raise ValueError("a second sine layer without units")
        if smooth and not taps:
            raise ValueError("filters of planes without taps")
        sizes = (units - deep - smooth, context - wide - filtered)
        network = Pyramid(
            channels,
            *sizes,
            levels,
            neighbours,
            bool(filtered),
            second,
            taps,
            adaptive=version >= ADAPTIVE_VERSION,
        )
        if version < SETS_VERSION and len(network.sets) > 1:
            raise ValueError(f"planes of levels {levels}; they may not ascend")
        return network

    return make, count
