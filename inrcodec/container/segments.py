"""Segments of a `.prc` file: a type, a length, a payload and a CRC-32 each.

`docs/format.md`, section "Segments", is the specification.
"""

from __future__ import annotations

from dataclasses import dataclass

from inrcodec.container.fields import checksum, varint

LIMIT_PAYLOAD = 1 << 26
"""Most bytes of a segment's payload."""

LAST = 0x80
"""Bit of the type byte that marks the last segment of a file."""


@dataclass(frozen=True)
class Segment:
    """A segment of a file.

    Attributes:
        kind: its type, 0 to 127; from 64 on a decoder may skip it.
        payload: its content, or the first bytes of that where the segment is cut.
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


def write_segments(segments: list[Segment]) -> bytes:
    """The bytes of segments, the last of them marked.

    Raises:
        ValueError: a payload exceeds 64 MiB.
    """
    data = b""
    for index, segment in enumerate(segments):
        if len(segment.payload) > LIMIT_PAYLOAD:
            raise ValueError(f"{len(segment.payload)} bytes in a segment; at most {LIMIT_PAYLOAD}")
        last = LAST if index == len(segments) - 1 else 0
        body = bytes([segment.kind | last]) + varint(len(segment.payload)) + segment.payload
        data += body + checksum(body)
    return data


def size_of(segment: Segment) -> int:
    """Bytes that a segment takes in a file: its payload, and 6 or more besides.

    >>> size_of(Segment(64, b"profile"))
    13
    """
    return len(write_segments([segment]))
