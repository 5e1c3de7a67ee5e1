"""Files for tests: made of layers and latents, for either family, without a training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from inrcodec import prc
from inrcodec.container.fields import checksum, varint
from inrcodec.container.header import Header
from inrcodec.container.segments import EXIF, ICC, XMP, metadata_segment
from inrcodec.entropy.layer import Layer
from inrcodec.entropy.model import LayerModel, Symbols, fit_model
from inrcodec.families.pyramid.latents import lay_out
from inrcodec.families.pyramid.segments import write_latents, write_networks
from inrcodec.families.pyramid.shape import Pyramid
from inrcodec.families.siren.segments import write_layers
from inrcodec.families.siren.shape import Siren


def write(header, layers, withheld=0, icc=b"", exif=b"", xmp=b"", latents=(), parts=(), order=""):
    """The bytes of a file of any family."""
    if isinstance(header.network, Pyramid):
        if withheld or order:
            raise ValueError("a pyramid's networks have no refinement")
        segments = [write_networks(header, layers)]
        segments += write_latents(header, layers, latents, parts)
    else:
        segments = write_layers(header, layers, withheld, order)
    for kind, content in ((ICC, icc), (EXIF, exif), (XMP, xmp)):
        if content:
            segments.append(metadata_segment(kind, content))
    return prc.write(header, segments)


def segment(kind: int, payload: bytes, last: bool = False) -> bytes:
    """The bytes of any segment, with its right checksum."""
    body = bytes([kind | 0x80 * last]) + varint(len(payload)) + payload
    return body + checksum(body)


def split(data: bytes) -> list[bytes]:
    """The header and the segments of a file."""
    return [data[part.offset : part.offset + part.size] for part in prc.read(data).parts]


def payload(data: bytes) -> bytes:
    """The payload of a segment's bytes."""
    size = next(i for i in range(1, 6) if data[i] < 0x80)
    return data[1 + size : -4]


def joined(header: bytes, *segments: bytes) -> bytes:
    """A file of these segments, with the last of them, and no other, marked."""
    flags = [0] * (len(segments) - 1) + [0x80]
    bodies = [
        bytes([data[0] & 0x7F | flag]) + data[1:-4]
        for data, flag in zip(segments, flags, strict=True)
    ]
    return header + b"".join(body + checksum(body) for body in bodies)


def container() -> tuple[Header, list[Layer]]:
    """A SIREN of symbols by arithmetic: the file `golden/container.prc` holds them."""
    siren = Siren(channels=3, width=8, depth=2, omega_first=30, omega_hidden=20.25)
    header = Header(siren, 640, 427, basis="hadamard", compaction=160, seed=0xC0FFEE)
    models = (
        LayerModel(step=110, edge=32, slope=195, curvature=140, largest=150),
        LayerModel(step=140, edge=40, slope=215, curvature=170, largest=12),
        LayerModel(step=150, edge=96, slope=230, curvature=0, largest=9),
    )
    layers = []
    for model, k in zip(models, header.coefficients, strict=True):
        walk = (np.arange(k) * 31 + 7) % (2 * model.largest + 1) - model.largest
        layers.append(Layer(model, (walk * np.abs(walk) // model.largest).astype(np.int32)))
    return header, layers


def container_file() -> bytes:
    """The bytes of `golden/container.prc`."""
    header, layers = container()
    return write(header, layers, withheld=2, icc=b"a colour profile", exif=b"II*\0")


def siren_layers(header: Header, seed: int = 0) -> list[Layer]:
    """Random coefficients of a SIREN that make a lively picture: Laplace distributed.

    Those of a linear layer are larger, as after a training: with its start it would be grey. Its
    biases are not, or a channel would be at its end.
    """
    rng = np.random.default_rng(seed)
    siren = header.network
    assert isinstance(siren, Siren)
    layers = []
    for i, k in enumerate(header.coefficients):
        last = i % siren.layers == siren.depth
        q = rng.laplace(0, 24 if last else 2, k)
        if last and header.bases[i] == "identity":
            q[siren.widths[i // siren.layers] :: header.network.blocks[i][1]] /= 8
        symbols = np.rint(q).astype(np.int32)
        staged = bool(siren.stages)
        step = 184 if last else 160
        layers.append(Layer(fit_model(symbols, step, 32 if staged else 36, staged), symbols))
    return layers


def pyramid_layers(header: Header, seed: int = 0) -> list[Layer]:
    """Random coefficients of a pyramid's networks, small in filters and in the context network."""
    rng = np.random.default_rng(seed)
    pyramid = header.network
    assert isinstance(pyramid, Pyramid)
    layers = []
    for i, k in enumerate(header.coefficients):
        spread = 8.0 if i < pyramid.mixed_blocks else 1.5
        q = np.rint(rng.laplace(0, spread, k)).astype(np.int32)
        if i == pyramid.mixed_blocks - 1 and header.bases[i] == "identity":
            # The biases, which would leave a channel at its end.
            q[pyramid.blocks[i][1] - 1 :: pyramid.blocks[i][1]] //= 8
        layers.append(Layer(fit_model(q, step=168, edge=32), q))
    return layers


def pyramid_latents(header: Header, seed: int = 0, spread: float = 0.7) -> list[Symbols]:
    """Random latents: Laplace distributed, sparse in fine planes and large in coarse ones."""
    rng = np.random.default_rng(seed)
    pyramid = header.network
    assert isinstance(pyramid, Pyramid)
    latents = []
    for plane in lay_out(pyramid, header.width, header.height):
        q = np.rint(rng.laplace(0, spread * 2**plane.level, plane.shape))
        latents.append((q * (rng.random(plane.shape) < 0.3 + 0.1 * plane.level)).astype(np.int32))
    return latents


def siren_file(
    channels: int = 3,
    width: int = 8,
    depth: int = 3,
    stages: Sequence[int] = (),
    size: tuple[int, int] = (48, 32),
    seed: int = 0,
    withheld: int = 0,
    order: str = "",
    metadata: dict[str, bytes] | None = None,
    **options,
) -> bytes:
    """A small file of a SIREN with random coefficients; `options` are the header's."""
    siren = Siren(channels, width, depth, 12, 30, tuple(stages))
    header = Header(siren, *size, seed=seed, **options)
    layers = siren_layers(header, seed)
    planes = by_bits(layers) if order == "listed" else order
    return write(header, layers, withheld, order=planes, **metadata or {})


def by_bits(layers: Sequence[Layer]) -> list[int]:
    """An order of bit planes that a file has to list: the highest bits of all layers first."""
    planes = [
        (-bit, index)
        for index, layer in enumerate(layers)
        for bit in range(layer.model.largest.bit_length())
    ]
    return [index for _, index in sorted(planes)]


def pyramid_file(
    levels: Sequence[int] = (4, 3, 2, 1, 0),
    channels: int = 3,
    size: tuple[int, int] = (48, 32),
    seed: int = 0,
    parts: Sequence[int] = (),
    network: dict[str, object] | None = None,
    metadata: dict[str, bytes] | None = None,
    **options,
) -> bytes:
    """A small file of a pyramid with random networks and latents; `options` are the header's."""
    shape = {"channels": channels, "width": 8, "context": 4, "levels": tuple(levels)}
    header = Header(Pyramid(**(shape | (network or {}))), *size, seed=seed, **options)
    layers, latents = pyramid_layers(header, seed), pyramid_latents(header, seed)
    return write(header, layers, latents=latents, parts=parts, **metadata or {})
