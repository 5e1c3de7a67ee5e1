"""Segments of a .prc file: a type, a length, a payload and a CRC-32 each.

`docs/format.md`, section "Segments", is the specification.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from inrcodec.container.fields import CutShort, Fields, checksum, varint
from inrcodec.errors import FormatError

LIMIT_PAYLOAD = 1 << 26
"""Most bytes of a segment's payload, and of metadata when they are decompressed."""

COEFFICIENTS, REFINEMENT, BIT_PLANES, STAGE, LATENTS = 1, 2, 3, 4, 5
ICC, EXIF, XMP = 64, 65, 66
"""Types of segments; from 64 on a decoder may skip them."""

ANCILLARY = 64
"""The first type that a decoder may skip."""

NAMES = {
    COEFFICIENTS: "coefficients",
    REFINEMENT: "refinement",
    BIT_PLANES: "bit planes",
    STAGE: "stage",
    LATENTS: "latents",
    ICC: "ICC profile",
    EXIF: "EXIF metadata",
    XMP: "XMP metadata",
}

_REPEATED = (STAGE, LATENTS)
"""Types that a file may have more than once."""

_LAST = 0x80


@dataclass(frozen=True)
class Segment:
    """A segment of a file.

    Attributes:
        kind: its type, 0 to 127.
        payload: its content, or the first bytes of that where the segment is cut; then it may be a
            view of a buffer that changes later.
        cut: whether its end is missing.
        last: whether it is the last segment of the file.
        offset: its first byte in the file.
        size: bytes that it takes in the file, or in the part of the file that there is.
    """

    kind: int
    payload: bytes
    cut: bool = False
    last: bool = False
    offset: int = 0
    size: int = 0

    @property
    def name(self) -> str:
        """The name of its type."""
        return NAMES.get(self.kind, f"ancillary segment {self.kind}")


def write_segments(segments: Sequence[Segment]) -> bytes:
    """The bytes of segments, the last of them marked.

    Raises:
        ValueError: a payload exceeds 64 MiB.
    """
    data = []
    for index, segment in enumerate(segments):
        if len(segment.payload) > LIMIT_PAYLOAD:
            raise ValueError(
                f"{len(segment.payload)} bytes of {segment.name}; at most {LIMIT_PAYLOAD}"
            )
        last = _LAST if index == len(segments) - 1 else 0
        body = bytes([segment.kind | last]) + varint(len(segment.payload)) + segment.payload
        data += [body, checksum(body)]
    return b"".join(data)


def size_of(segment: Segment) -> int:
    """Bytes that a segment takes in a file: its payload, and 6 or more besides.

    >>> size_of(Segment(64, b"profile"))
    13
    """
    return len(write_segments([segment]))


class SegmentReader:
    """Reads the segments of a file whose bytes may arrive little by little.

    Attributes:
        position: offset of the first segment that is not whole yet, bytes.
        ended: whether the last segment of the file has been read.
    """

    def __init__(self, position: int, cuttable: Collection[int]) -> None:
        """Start behind the header; segments of the types `cuttable` may be read when cut."""
        self.position = position
        self.ended = False
        self._cuttable = cuttable
        self._kind = 0

    def whole(self, data: bytes) -> list[Segment]:
        """The segments that have become whole; `data` are all bytes of the file so far.

        Raises:
            FormatError: a segment is damaged, too long, out of order or of an unknown type, or
                bytes follow the last one.
        """
        found = []
        while not self.ended:
            fields = Fields(data, part="first segment", position=self.position)
            try:
                segment = self._read(fields)
            except CutShort:
                break
            found.append(segment)
            self.position, self._kind, self.ended = fields.position, segment.kind, segment.last
        if self.ended and self.position < len(data):
            raise FormatError(f"{len(data) - self.position} bytes follow the end of the file")
        return found

    def cut(self, data: bytes) -> Segment | None:
        """The segment whose end is missing; None if its type cannot be read when cut."""
        if self.ended:
            return None
        fields = Fields(data, part="segment", position=self.position)
        try:
            kind, _, length = self._start(fields)
        except CutShort:
            return None
        payload = fields.take(min(length, len(data) - fields.position))
        if kind not in self._cuttable or not len(payload):
            return None
        size = fields.position - self.position
        return Segment(kind, payload, cut=True, offset=self.position, size=size)

    def _start(self, fields: Fields) -> tuple[int, bool, int]:
        """Type, whether it is the last one, and length of the payload."""
        flags = fields.u8()
        kind, last = flags & ~_LAST, bool(flags & _LAST)
        fields.part = f"{NAMES[kind]} segment" if kind in NAMES else f"ancillary segment {kind}"
        if kind not in NAMES and kind < ANCILLARY:
            raise FormatError(f"unknown segment type {kind}; update inrcodec")
        if not self._kind and kind != COEFFICIENTS:
            raise FormatError(f"the {fields.part} comes before the coefficients")
        if kind < self._kind or (kind == self._kind and kind not in _REPEATED):
            raise FormatError(f"the {fields.part} is out of order")
        length = fields.varint()
        if length > LIMIT_PAYLOAD:
            raise FormatError(f"the {fields.part} claims {length} bytes; at most {LIMIT_PAYLOAD}")
        return kind, last, length

    def _read(self, fields: Fields) -> Segment:
        offset = fields.position
        kind, last, length = self._start(fields)
        payload = fields.take(length)
        fields.end_checksum(offset)
        return Segment(
            kind, bytes(payload), last=last, offset=offset, size=fields.position - offset
        )


_STORED, _DEFLATED = 0, 1


def metadata_segment(kind: int, content: bytes) -> Segment:
    """A segment of metadata, compressed where that makes it smaller.

    >>> segment = metadata_segment(ICC, bytes(1000))
    >>> len(segment.payload), metadata(segment) == bytes(1000)
    (12, True)
    """
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(content) + packer.flush()
    if len(packed) < len(content):
        return Segment(kind, bytes([_DEFLATED]) + packed)
    return Segment(kind, bytes([_STORED]) + content)


def metadata(segment: Segment) -> bytes:
    """The content of a segment of metadata.

    Raises:
        FormatError: it is empty, damaged, or longer than `LIMIT_PAYLOAD` when decompressed.
    """
    coding, content = segment.payload[:1], segment.payload[1:]
    if coding == bytes([_STORED]) and content:
        return content
    if coding != bytes([_DEFLATED]):
        raise FormatError(f"the {segment.name} is empty or coded in an unknown way")
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        # One byte more, so that content of that length is read to its end.
        unpacked = unpacker.decompress(content, LIMIT_PAYLOAD + 1)
    except zlib.error as error:
        raise FormatError(f"the {segment.name} is damaged: {error}") from error
    if len(unpacked) > LIMIT_PAYLOAD:
        raise FormatError(f"the {segment.name} is longer than {LIMIT_PAYLOAD} bytes")
    if not unpacker.eof or unpacker.unused_data or not unpacked:
        raise FormatError(f"the {segment.name} is damaged: not one deflate stream")
    return unpacked
