"""Decoding: coefficients to network to pixels, on any grid. Imports neither encoder nor fit."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from inrcodec import container
from inrcodec.container import PrcFile
from inrcodec.container.header import Header
from inrcodec.errors import ImageError
from inrcodec.image import LIMIT_PIXELS, LIMIT_SIDE, Raster, Samples, from_unit, to_pillow
from inrcodec.inr.coordinates import grid
from inrcodec.inr.family import grow

CHUNK = 1 << 22
"""Values of a hidden layer that exist at one time: pixels times units."""


def decode(
    source: bytes | str | os.PathLike[str],
    size: tuple[int, int] | None = None,
    scale: float | None = None,
    device: str = "auto",
) -> Image.Image:
    """Decode a `.prc` file to a picture.

    Args:
        source: a path, or a file's bytes. Of a file cut short, what is there is decoded; then the
            picture's `info["partial"]` says what is missing.
        size: (width, height) of the picture, pixels; the function is evaluated there, nothing is
            resampled. By default the encoded picture's.
        scale: the same as a factor of the encoded picture's size.
        device: "cpu", "cuda", or "auto" for a GPU where there is one.

    Returns:
        A picture of mode L, LA, RGB, RGBA or I;16, with its ICC profile in `info["icc_profile"]`.

    Raises:
        FormatError: not a readable `.prc` file.
        ImageError: a size that cannot be.
        ValueError: an unknown device, or one that this machine lacks.

    >>> import inrcodec, numpy
    >>> ramp = Image.fromarray(numpy.arange(0, 250, 10, dtype=numpy.uint8).reshape(5, 5))
    >>> data = inrcodec.encode(ramp, max_bytes=200, effort=1)
    >>> inrcodec.decode(data, scale=2).size
    (10, 10)
    """
    file = container.open(source)
    values = [layer.values for layer in file.layers]
    samples = render(file.header, values, _target(file.header, size, scale), choose_device(device))
    has_alpha = file.header.network.channels in (2, 4)
    picture = to_pillow(Raster(samples, has_alpha, file.icc))
    if not file.complete:
        picture.info["partial"] = missing(file)
    return picture


def render(
    header: Header,
    values: Sequence[NDArray[np.float64]],
    size: tuple[int, int] | None = None,
    device: str = "cpu",
) -> Samples:
    """Samples (height, width, channels), uint8 or uint16, of dequantized coefficients by layer."""
    network, pranc = grow(header, device)
    alphas = [torch.from_numpy(value).to(device, torch.float32) for value in values]
    picture = (header.width, header.height)
    width, height = size or picture
    samples = np.empty((height, width, header.network.channels), f"uint{header.bits}")
    rows = max(1, CHUNK // (width * header.network.width))
    with torch.no_grad():
        matrices = pranc.matrices(alphas)
        for first in range(0, height, rows):
            last = min(first + rows, height)
            xy = grid(picture, (width, height), (first, last), device)
            # A row of the widest pictures is itself cut, so that memory stays bounded.
            output = torch.cat(
                [network.evaluate(matrices, part) for part in xy.split(max(1, CHUNK // 64))]
            )
            unit = (output.reshape(last - first, width, -1) + 1) / 2
            samples[first:last] = from_unit(unit.cpu().numpy(), header.bits)
    return samples


def choose_device(name: str) -> str:
    """The torch device of a name; "auto" is a GPU where there is one.

    Raises ValueError for another name, or a GPU that is not there.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise ValueError(f"unknown device {name!r}; known are auto, cpu, cuda")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ValueError("no CUDA device here; use --device cpu")
    return "cuda" if available and name != "cpu" else "cpu"


def missing(file: PrcFile) -> str:
    """What a file cut short lacks, in words."""
    withheld = max(layer.withheld for layer in file.layers)
    what = f"the last {withheld} bits of the coefficients" if withheld else "metadata"
    return f"cut short after {file.bytes_read} bytes: {what} missing"


def _target(
    header: Header, size: tuple[int, int] | None, scale: float | None
) -> tuple[int, int] | None:
    if size is not None and scale is not None:
        raise ImageError("give a size or a scale, not both")
    if scale is not None:
        if not 0 < scale < LIMIT_SIDE:
            raise ImageError(f"a scale of {scale:g}; it must be above 0 and give a possible size")
        size = (max(1, round(header.width * scale)), max(1, round(header.height * scale)))
    if size is not None:
        width, height = size
        if not 1 <= min(size) <= max(size) <= LIMIT_SIDE or width * height > LIMIT_PIXELS:
            raise ImageError(
                f"a picture of {width}x{height} pixels; sides are 1 to {LIMIT_SIDE}, "
                f"at most {LIMIT_PIXELS} pixels in all"
            )
    return size
