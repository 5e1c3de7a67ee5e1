"""A SIREN's file as its encoder sees it: the header, writing, and where segments end.

The encoder calls the container through this module alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from inrcodec.container.fields import Fields
from inrcodec.container.header import Header, read_header, write_header
from inrcodec.container.segments import Segment, SegmentReader, write_segments
from inrcodec.entropy.layer import Layer
from inrcodec.families.siren.segments import write_layers
from inrcodec.families.siren.shape import Siren, read_shape
from inrcodec.job import Job


def header_of(job: Job, network: Siren) -> Header:
    """The header of a file of the job's picture with some network."""
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
    """The network of a SIREN's header.

    Raises:
        TypeError: the header is that of another family.
    """
    if not isinstance(header.network, Siren):
        raise TypeError(f"a {type(header.network).__name__} in place of a Siren")
    return header.network


def header_size(header: Header) -> int:
    """Bytes of the header."""
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
        header: the header.
        blocks: quantized coefficients in the file's order.
        metadata: ancillary segments.
        withheld: last bits of the magnitudes that a segment of their own has.
        order: of bit planes: "magnitude", the layer of each plane, or empty for none.
    """
    segments = [*write_layers(header, blocks, withheld, order), *metadata]
    return write_header(header) + write_segments(segments)


def segment_ends(data: bytes) -> list[int]:
    """The end of each segment of a file, bytes from its start; the coefficients' come first."""
    fields = Fields(data, part="header")
    read_header(fields, {Siren.family_id: read_shape})
    segments = SegmentReader(fields.position, cuttable=()).whole(data)
    return [segment.offset + segment.size for segment in segments]
