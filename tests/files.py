"""Files for tests: made of layers and latents, for either family."""

from __future__ import annotations

from inrcodec import prc
from inrcodec.container.segments import EXIF, ICC, metadata_segment
from inrcodec.families.pyramid.segments import write_latents, write_networks
from inrcodec.families.pyramid.shape import Pyramid
from inrcodec.families.siren.segments import write_layers


def write(header, layers, withheld=0, icc=b"", exif=b"", latents=(), parts=(), order=""):
    """The bytes of a file of any family."""
    if isinstance(header.network, Pyramid):
        if withheld or order:
            raise ValueError("a pyramid's networks have no refinement")
        segments = [write_networks(header, layers)]
        segments += write_latents(header, layers, latents, parts)
    else:
        segments = write_layers(header, layers, withheld, order)
    for kind, content in ((ICC, icc), (EXIF, exif)):
        if content:
            segments.append(metadata_segment(kind, content))
    return prc.write(header, segments)
