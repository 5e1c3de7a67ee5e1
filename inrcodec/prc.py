"""Reading .prc files: a header, then segments, each with its CRC-32.

    ┌────────┬──────────────┬────────────────────────────────┬──────────┐
    │ header │ coefficients │ refinement, bit planes, stages │ metadata │
    │        │              │ or latents                     │          │
    └────────┴──────────────┴────────────────────────────────┴──────────┘

`docs/format.md` is the specification. A prefix that holds the header and the coefficients is a
readable, partial file; latents and bit planes may end anywhere. Imports no torch.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inrcodec.container.fields import CutShort, Fields
from inrcodec.container.header import Header, write_header
from inrcodec.container.header import read_header as _read_header
from inrcodec.container.segments import (
    EXIF,
    ICC,
    XMP,
    Segment,
    SegmentReader,
    metadata,
    write_segments,
)
from inrcodec.content import Content, ContentReader
from inrcodec.entropy.layer import Layer
from inrcodec.entropy.model import Symbols
from inrcodec.errors import FormatError
from inrcodec.families import SHAPES, family_of
from inrcodec.limits import DEFAULT_LIMITS, Limits

__all__ = ["FileReader", "Part", "PrcFile", "bytes_of", "open", "read", "read_header", "write"]


@dataclass(frozen=True)
class Part:
    """A stretch of a file.

    Attributes:
        name: "header", or the segment's name.
        offset: first byte.
        size: bytes.
        coded: how many of these are range-coded coefficients or latents.
    """

    name: str
    offset: int
    size: int
    coded: int = 0


@dataclass(frozen=True, eq=False)
class PrcFile:
    """What a file, or a prefix of one, holds.

    Attributes:
        header: the header.
        content: the quantized coefficients and latents.
        icc: ICC profile of the colours, empty where there is none.
        exif: EXIF metadata, a TIFF structure, empty where there is none.
        xmp: XMP metadata, XML, empty where there is none.
        complete: nothing is missing; a partial file lacks segments at its end.
        parts: the header and the segments that have been read, in file order.
    """

    header: Header
    content: Content
    icc: bytes
    exif: bytes
    xmp: bytes
    complete: bool
    parts: tuple[Part, ...]

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers in file order; a SIREN's last stages may be missing."""
        return self.content.layers

    @property
    def latents(self) -> tuple[Symbols, ...]:
        """A pyramid's planes (h, w), int32, in coding order; the last ones may be missing."""
        return self.content.latents

    @property
    def order(self) -> str:
        """The order of bit planes, "magnitude" or "listed"; empty where there are none."""
        return self.content.order

    @property
    def bytes_read(self) -> int:
        """Bytes that `parts` hold: all, if the file is complete."""
        return self.parts[-1].offset + self.parts[-1].size

    @property
    def overhead(self) -> int:
        """Bytes that are not range-coded coefficients or latents."""
        return self.bytes_read - sum(part.coded for part in self.parts)

    @property
    def lacking(self) -> str:
        """What a partial file lacks, in words; empty where the file is complete."""
        if self.complete:
            return ""
        what = self.content.lacking or "metadata is missing"
        return f"cut short after {self.bytes_read} bytes: {what}"


def open(
    source: bytes | str | os.PathLike[str],
    *,
    max_pixels: int | None = DEFAULT_LIMITS.max_pixels,
    max_work: float | None = DEFAULT_LIMITS.max_work,
) -> PrcFile:
    """Read a file's header, parts and quantized coefficients, without rendering it.

    Args:
        source: a path, or a file's bytes. A file cut short is read as far as it goes; then the
            result's `complete` is False.
        max_pixels: most pixels of the picture, 2^27 by default; None is no limit.
        max_work: most multiplications that reading may take, 2^38 by default; None is no limit.

    Raises:
        FormatError: not a readable .prc file, or beyond a limit; the message says what is wrong.

    >>> import inrcodec
    >>> inrcodec.open(b"not a picture")
    Traceback (most recent call last):
    ...
    inrcodec.errors.FormatError: not a .prc file
    """
    return read(bytes_of(source), limits=Limits(max_pixels, max_work))


def read(data: bytes, finest: int = 0, limits: Limits = DEFAULT_LIMITS) -> PrcFile:
    """Read a file, or a prefix of one that holds the header and the coefficients.

    Of a segment that is cut, what its bytes determine is read. `finest` leaves out what a smaller
    picture can do without: latent planes that those of this level and above do not need, or as many
    of a SIREN's last stages; these count as missing.

    Raises:
        FormatError: not a .prc file, another version, damaged, cut short or beyond the limits.
    """
    reader = FileReader(finest, limits)
    reader.feed(data)
    return reader.file()


def read_header(data: bytes) -> Header:
    """Read the header alone, from a file or any prefix that holds it.

    Raises:
        FormatError: not a .prc file, another version, damaged, cut short or beyond the limits.
    """
    return _read_header(Fields(data, part="header"), SHAPES)


def write(header: Header, segments: Sequence[Segment]) -> bytes:
    """The bytes of a file; the same arguments give the same bytes.

    Raises:
        ValueError: a segment exceeds 64 MiB.
    """
    return write_header(header) + write_segments(segments)


class FileReader:
    """Reads a file whose bytes may arrive little by little, each byte about once.

    Attributes:
        header: the header, or None as long as it is not whole.
        bytes_read: bytes that have been read, with those of a segment that is cut.
    """

    def __init__(self, finest: int = 0, limits: Limits = DEFAULT_LIMITS) -> None:
        """`finest` and `limits` are those of `read`."""
        self._finest, self._limits = finest, limits
        self._data = bytearray()
        self._fault = ""
        self._parts: list[Part] = []
        self._metadata: dict[int, bytes] = {}
        self._content: ContentReader | None = None
        self._segments: SegmentReader | None = None
        self._cut: Part | None = None
        self.header: Header | None = None

    def feed(self, data: bytes) -> None:
        """Take the next bytes.

        Raises:
            FormatError: what there is so far is not the start of a readable file; from then on each
                call raises it.
        """
        if self._fault:
            raise FormatError(self._fault)
        self._data += data
        try:
            if self.header is not None or self._begin():
                self._read_segments()
        except FormatError as error:
            self._fault = str(error)
            raise
        except MemoryError as error:
            self._fault = self._too_large()
            raise FormatError(self._fault) from error

    def _read_segments(self) -> None:
        with memoryview(self._data) as view:
            assert self._segments is not None and self._content is not None
            for segment in self._segments.whole(view):  # type: ignore[arg-type]
                self._take(segment)
            self._cut = None
            cut = self._segments.cut(view)  # type: ignore[arg-type]
            if cut is not None:
                coded = self._content.read(cut)
                self._cut = Part(f"{cut.name}, cut", cut.offset, cut.size, coded)

    def _begin(self) -> bool:
        """Read the header, and check the limits; return whether it is there."""
        fields = Fields(bytes(self._data[:LONGEST_HEADER]), part="header")
        try:
            header = _read_header(fields, SHAPES)
        except CutShort:
            if len(self._data) > LONGEST_HEADER:
                raise FormatError("the header is damaged: it does not end") from None
            return False
        self._limits.check_file(header)
        self._content = family_of(header).reader(header, self._finest)
        self._segments = SegmentReader(fields.position, self._content.cuttable)
        self._parts.append(Part("header", 0, fields.position))
        self.header = header
        return True

    def _take(self, segment: Segment) -> None:
        assert self._content is not None
        coded = 0
        if segment.kind in (ICC, EXIF, XMP):
            self._metadata[segment.kind] = metadata(segment)
        elif segment.kind < ICC:
            coded = self._content.read(segment)
        self._parts.append(Part(segment.name, segment.offset, segment.size, coded))

    @property
    def bytes_read(self) -> int:
        """Bytes that have been read, those of a cut segment included."""
        parts = [*self._parts, *([self._cut] if self._cut else [])]
        return parts[-1].offset + parts[-1].size if parts else 0

    def file(self) -> PrcFile:
        """What has been read so far.

        Raises:
            CutShort: the header or the coefficients are not there yet.
            FormatError: the file is complete, but something is missing.
        """
        if self.header is None or self._segments is None or self._content is None:
            raise CutShort("the file is cut short in the header")
        try:
            content = self._content.content(self._segments.ended)
        except MemoryError as error:
            raise FormatError(self._too_large()) from error
        return PrcFile(
            header=self.header,
            content=content,
            icc=self._metadata.get(ICC, b""),
            exif=self._metadata.get(EXIF, b""),
            xmp=self._metadata.get(XMP, b""),
            complete=self._segments.ended,
            parts=(*self._parts, *([self._cut] if self._cut else [])),
        )

    def _too_large(self) -> str:
        assert self.header is not None
        size = f"{self.header.width}x{self.header.height}"
        return f"too little memory to read a picture of {size} pixels"


LONGEST_HEADER = 128
"""Most bytes of a header."""


def bytes_of(source: bytes | str | os.PathLike[str]) -> bytes:
    """A file's bytes, from its path or as they are; raises FormatError if it cannot be read."""
    if isinstance(source, bytes):
        return source
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise FormatError(f"cannot read {os.fspath(source)}: {error.strerror or error}") from error
