"""Decoding: a file's integers to pixels, on any grid. Imports no training code and no torch."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inrcodec import prc
from inrcodec.container.header import Header
from inrcodec.content import Latents, Values
from inrcodec.errors import ImageError
from inrcodec.families import family_of
from inrcodec.image import (
    LIMIT_PIXELS,
    LIMIT_SIDE,
    Raster,
    Samples,
    srgb_profile,
    to_pillow,
    to_samples,
)
from inrcodec.limits import DEFAULT_LIMITS, Limits
from inrcodec.prc import PrcFile

CHUNK = 1 << 22
"""Values of a hidden layer that exist at one time: pixels times units."""

DEVICES = ("auto", "cpu", "cuda")


def decode(
    source: bytes | str | os.PathLike[str],
    size: tuple[int, int] | None = None,
    scale: float | None = None,
    device: str = "auto",
    region: tuple[float, float, float, float] | None = None,
    *,
    max_pixels: int | None = DEFAULT_LIMITS.max_pixels,
    max_work: float | None = DEFAULT_LIMITS.max_work,
) -> Image.Image:
    """Decode a .prc file to a picture.

    Args:
        source: a path, or a file's bytes. Of a file cut short, what is there is decoded; then the
            picture's `info["partial"]` says what is missing.
        size: (width, height) of the picture, pixels; the function is evaluated there, nothing is
            resampled. By default the encoded picture's.
        scale: the same as a factor of the encoded picture's size.
        device: where to render, "cpu" or "cuda"; "auto" is the CPU, since loading PyTorch takes
            longer than decoding.
        region: (x, y, width, height) of the part to decode, in pixels of the encoded picture, which
            it must lie in; a size or scale is then the region's.
        max_pixels: most pixels of the encoded and of the decoded picture, 2^27 by default; None is
            no limit.
        max_work: most multiplications that decoding may take, 2^38 by default; None is no limit.

    Returns:
        A picture of mode L, LA, RGB, RGBA or I;16, with its ICC profile in `info["icc_profile"]`.

    Raises:
        FormatError: not a readable .prc file, or beyond a limit.
        ImageError: a size that cannot be, or beyond a limit.
        ValueError: an unknown device, or one that this machine lacks.

    >>> import inrcodec, numpy
    >>> ramp = Image.fromarray(numpy.arange(0, 250, 10, dtype=numpy.uint8).reshape(5, 5))
    >>> data = inrcodec.encode(ramp, max_bytes=200, effort=1)
    >>> inrcodec.decode(data, scale=2).size
    (10, 10)
    """
    limits = Limits(max_pixels, max_work)
    view = View(size, scale, region, device, limits)
    data = prc.bytes_of(source)
    view.check(prc.read_header(data))
    return picture_of(prc.read(data, limits=limits), view)


@dataclass(frozen=True)
class View:
    """How a file is to be shown; the attributes are the arguments of `decode`."""

    size: tuple[int, int] | None = None
    scale: float | None = None
    region: tuple[float, float, float, float] | None = None
    device: str = "auto"
    limits: Limits = DEFAULT_LIMITS

    def check(self, header: Header) -> Window:
        """The grid of the picture; raises as `decode` where it cannot be or exceeds a limit."""
        check_device(self.device)
        self.limits.check_file(header)
        window = _window(header, self.region, self.size, self.scale)
        self.limits.check_size(*window.size)
        self.limits.check_rendering(header, window.size[0] * window.size[1])
        return window


def picture_of(file: PrcFile, view: View) -> Image.Image:
    """The picture of a file that has been read; see `decode`."""
    picture = _picture(file, view.check(file.header), view.device)
    if not file.complete:
        picture.info["partial"] = file.lacking
    return picture


THUMBNAIL_SIDE = 64

THUMBNAIL_POINTS = 2
"""Points along either side of a thumbnail's pixel whose mean it is."""


def thumbnail(
    source: bytes | str | os.PathLike[str],
    side: int = THUMBNAIL_SIDE,
    device: str = "auto",
    *,
    max_pixels: int | None = DEFAULT_LIMITS.max_pixels,
    max_work: float | None = DEFAULT_LIMITS.max_work,
) -> Image.Image:
    """Decode a small picture, from no more of the file than it shows: it may end anywhere after.

    Args:
        source: a path, or a file's bytes.
        side: the longest side in pixels; the encoded picture's where that is shorter.
        device: as for `decode`.
        max_pixels: as for `decode`.
        max_work: as for `decode`.

    Returns:
        A picture as of `decode`, without notes on what is missing.

    Raises:
        FormatError: not a readable .prc file, or beyond a limit.
        ImageError: twice that side is more than a picture may have.
        ValueError: a side below 1, an unknown device, or one that this machine lacks.

    >>> import inrcodec, numpy
    >>> ramp = Image.fromarray(numpy.arange(0, 240, 2, dtype=numpy.uint8).reshape(6, 20))
    >>> inrcodec.thumbnail(inrcodec.encode(ramp, max_bytes=200, effort=1), side=10).size
    (10, 3)
    """
    if side < 1:
        raise ValueError(f"a thumbnail of {side} pixels; it has at least 1")
    data = prc.bytes_of(source)
    header = prc.read_header(data)
    longest = max(header.width, header.height)
    points = THUMBNAIL_POINTS if longest > side else 1
    scale = min(1.0, side / longest)
    width, height = (max(1, round(scale * length)) for length in (header.width, header.height))
    # Finer planes than these change from one point to the next: they would only be noise.
    finest = max(0, math.floor(-math.log2(points * scale)))
    limits = Limits(max_pixels, max_work)
    view = View((points * width, points * height), device=device, limits=limits)
    window = view.check(header)
    return _picture(prc.read(data, finest, limits), window, device, points)


def _picture(file: PrcFile, window: Window, device: str, points: int = 1) -> Image.Image:
    """The picture on a grid, or the means of its squares of `points` times `points`."""
    icc = file.icc or (srgb_profile() if file.header.srgb else b"")
    has_alpha = file.header.network.channels in (2, 4)
    try:
        values, latents = file.content.values, file.content.latents
        samples = render(file.header, values, latents, window, check_device(device))
        if points > 1:
            samples = _reduced(samples, points, has_alpha)
        return to_pillow(Raster(samples, has_alpha, icc))
    except MemoryError as error:
        raise ImageError(
            f"too little memory for {window.size[0]}x{window.size[1]} pixels"
        ) from error


def _reduced(samples: Samples, points: int, has_alpha: bool) -> Samples:
    """Means over squares of samples; colours count by their alpha."""
    height, width, channels = samples.shape
    shape = (height // points, points, width // points, points, channels)
    squares = samples.reshape(shape).astype(np.float64)
    weights = squares[..., -1:] + 1e-6 if has_alpha else np.ones_like(squares[..., :1])
    means = (squares * weights).sum((1, 3)) / weights.sum((1, 3))
    if has_alpha:
        means[..., -1] = squares[..., -1].mean((1, 3))
    reduced: Samples = np.floor(means + 0.5).astype(samples.dtype)
    return reduced


@dataclass(frozen=True)
class Window:
    """A grid of pixels over a part of the encoded picture.

    Attributes:
        region: (x, y, width, height), in pixels of the encoded picture.
        size: (width, height) of the grid.
    """

    region: tuple[float, float, float, float]
    size: tuple[int, int]

    @property
    def columns(self) -> NDArray[np.float64]:
        """Where the columns of the grid are, in pixels; 0 is the centre of the first."""
        x, _, width, _ = self.region
        return positions((x, x + width), self.size[0])

    @property
    def rows(self) -> NDArray[np.float64]:
        """Where its rows are."""
        _, y, _, height = self.region
        return positions((y, y + height), self.size[1])


def positions(extent: tuple[float, float], count: int) -> NDArray[np.float64]:
    """Centres of `count` equal parts of an extent in pixels, as pixels: 0 is the first's centre.

    >>> positions((0, 4), 4), positions((2, 4), 4)
    (array([0., 1., 2., 3.]), array([1.75, 2.25, 2.75, 3.25]))
    """
    start, stop = extent
    centres: NDArray[np.float64] = start - 0.5 + (np.arange(count) + 0.5) * (stop - start) / count
    return centres


def whole(header: Header) -> Window:
    """The encoded picture's own pixels."""
    return Window((0, 0, header.width, header.height), (header.width, header.height))


def rendered(file: PrcFile) -> Samples:
    """Samples (height, width, channels) of a file's picture, uint8 or uint16, from the CPU."""
    return render(file.header, file.content.values, file.content.latents)


def render(
    header: Header,
    values: Values,
    latents: Latents = (),
    window: Window | None = None,
    device: str = "cpu",
) -> Samples:
    """Samples (height, width, channels), uint8 or uint16, of dequantized coefficients by layer.

    `latents` are a pyramid's planes; the last may be missing, and so may a SIREN's last stages.
    """
    window = whole(header) if window is None else window
    paint = family_of(header).painter(header, values, latents, device)
    width, height = window.size
    samples = np.empty((height, width, header.network.channels), f"uint{header.bits}")
    # So that memory stays bounded; a row of the widest pictures is itself cut.
    rows = max(1, CHUNK // (width * header.network.width))
    columns = max(1, CHUNK // 64)
    xs, ys = window.columns, window.rows
    for top in range(0, height, rows):
        for left in range(0, width, columns):
            painted = paint(xs[left : left + columns], ys[top : top + rows])
            samples[top : top + rows, left : left + columns] = to_samples(
                (painted + 1) / 2, header.bits, header.low, header.top
            )
    return samples


def check_device(name: str) -> str:
    """The device that a name stands for; raises ValueError for one that is not there."""
    if name not in DEVICES:
        raise ValueError(f"unknown device {name!r}; known are {', '.join(DEVICES)}")
    if name != "cuda":
        return "cpu"
    try:
        import torch
    except ImportError:
        raise ValueError("no PyTorch here, which --device cuda needs; use --device cpu") from None
    if not torch.cuda.is_available():
        raise ValueError("no CUDA device here; use --device cpu")
    return name


def _window(
    header: Header,
    region: tuple[float, float, float, float] | None,
    size: tuple[int, int] | None,
    scale: float | None,
) -> Window:
    x, y, width, height = region = region or (0, 0, header.width, header.height)
    inside = x >= 0 and y >= 0 and x + width <= header.width and y + height <= header.height
    if not (inside and width > 0 and height > 0):
        raise ImageError(
            f"the region {x:g},{y:g},{width:g},{height:g} is not inside the picture of "
            f"{header.width}x{header.height} pixels"
        )
    if size is not None and scale is not None:
        raise ImageError("give a size or a scale, not both")
    if scale is not None and not 0 < scale < LIMIT_SIDE:
        raise ImageError(f"a scale of {scale:g}; it must be above 0 and give a possible size")
    if size is None:
        factor = 1 if scale is None else scale
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
    if not 1 <= min(size) <= max(size) <= LIMIT_SIDE or size[0] * size[1] > LIMIT_PIXELS:
        raise ImageError(
            f"a picture of {size[0]}x{size[1]} pixels; sides are 1 to {LIMIT_SIDE}, "
            f"at most {LIMIT_PIXELS} pixels in all"
        )
    return Window(region, size)
