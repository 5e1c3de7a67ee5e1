"""A SIREN's file as its encoder sees it: the head, writing, and where segments end.

All calls of the container are here.
"""

from __future__ import annotations

from collections.abc import Sequence

from inrcodec.container.head import Header, write_header
from inrcodec.container.segments import Segment
from inrcodec.entropy.layer import Layer
from inrcodec.families.siren.shape import Siren
from inrcodec.job import Job
from inrcodec.prc import read, write

_ICC, _EXIF = 64, 65


def header_of(job: Job, network: Siren) -> Header:
    """The head of a file of the job's picture with some network."""
    return Header(
        network=network,
        width=job.raster.width,
        height=job.raster.height,
        bits=job.raster.bits,
        basis=job.basis,
        compaction=job.compaction,
        seed=job.seed,
    )


def siren_of(header: Header) -> Siren:
    """The network of a SIREN's head.

    Raises:
        TypeError: the head is that of another family.
    """
    if not isinstance(header.network, Siren):
        raise TypeError(f"a {type(header.network).__name__} in place of a Siren")
    return header.network


def head_size(header: Header) -> int:
    """Bytes of the head."""
    return len(write_header(header))


def write_file(
    header: Header,
    blocks: Sequence[Layer],
    metadata: Sequence[Segment] = (),
    withheld: int = 0,
    order: str | Sequence[int] = "",
) -> bytes:
    """The bytes of a file.

    Args:
        header: the head.
        blocks: quantized coefficients in the file's order.
        metadata: ancillary segments.
        withheld: last bits of the magnitudes that a segment of their own has.
        order: of bit planes: "magnitude", the layer of each plane, or empty for none.
    """
    payloads = {segment.kind: segment.payload for segment in metadata}
    icc, exif = payloads.get(_ICC, b""), payloads.get(_EXIF, b"")
    return write(header, blocks, withheld, icc, exif, order=order)


def segment_ends(data: bytes) -> list[int]:
    """The end of each segment of a file, bytes from its start; the coefficients' come first."""
    return [part.offset + part.size for part in read(data).parts[1:]]
