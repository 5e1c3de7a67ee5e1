"""Decoding: coefficients to network to pixels, on any grid. Imports neither encoder nor fit."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from inrcodec import prc
from inrcodec.container.head import Header
from inrcodec.entropy.passes import bit_planes
from inrcodec.errors import ImageError
from inrcodec.families.pyramid.kernels.plane_filter import smoothed
from inrcodec.families.pyramid.network import grow as grow_pyramid
from inrcodec.families.pyramid.paint import paint_pyramid
from inrcodec.families.pyramid.shape import Pyramid
from inrcodec.families.siren.coordinates import at
from inrcodec.families.siren.network import grow
from inrcodec.families.siren.shape import Siren
from inrcodec.image import LIMIT_PIXELS, LIMIT_SIDE, Raster, Samples, from_unit, to_pillow
from inrcodec.prc import PrcFile

CHUNK = 1 << 22
"""Values of a hidden layer that exist at one time: pixels times units."""


def decode(
    source: bytes | str | os.PathLike[str],
    size: tuple[int, int] | None = None,
    scale: float | None = None,
    device: str = "auto",
    region: tuple[float, float, float, float] | None = None,
) -> Image.Image:
    """Decode a `.prc` file to a picture.

    Args:
        source: a path, or a file's bytes. Of a file cut short, what is there is decoded; then the
            picture's `info["partial"]` says what is missing.
        size: (width, height) of the picture, pixels; the function is evaluated there, nothing is
            resampled. By default the encoded picture's.
        scale: the same as a factor of the encoded picture's size.
        region: (x, y, width, height) of the part to decode, in pixels of the encoded picture, which
            it must lie in; a size or scale is then the region's.
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
    return picture_of(prc.open(source), size, scale, device, region)


def picture_of(
    file: PrcFile,
    size: tuple[int, int] | None = None,
    scale: float | None = None,
    device: str = "auto",
    region: tuple[float, float, float, float] | None = None,
) -> Image.Image:
    """The picture of a file that has been read; see `decode`."""
    picture = _picture(file, _window(file.header, region, size, scale), choose_device(device))
    if not file.complete:
        picture.info["partial"] = missing(file)
    return picture


THUMBNAIL_SIDE = 64

THUMBNAIL_POINTS = 2
"""Points along either side of a thumbnail's pixel whose mean it is."""


def thumbnail(
    source: bytes | str | os.PathLike[str], side: int = THUMBNAIL_SIDE, device: str = "auto"
) -> Image.Image:
    """Decode a small picture, from no more of the file than it shows: it may end anywhere after.

    Args:
        source: a path, or a file's bytes.
        side: the longest side in pixels; the encoded picture's where that is shorter.
        device: as for `decode`.

    Returns:
        A picture as of `decode`, without notes on what is missing.

    Raises:
        FormatError: not a readable `.prc` file.
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
    window = _window(header, None, (points * width, points * height), None)
    return _picture(prc.open(data, finest), window, choose_device(device), points)


def _picture(file: PrcFile, window: Window, device: str, points: int = 1) -> Image.Image:
    """The picture on a grid, or the means of its squares of `points` times `points`."""
    samples = render(file.header, _values(file), file.latents, window, device)
    has_alpha = file.header.network.channels in (2, 4)
    if points > 1:
        samples = _reduced(samples, points, has_alpha)
    return to_pillow(Raster(samples, has_alpha, file.icc))


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
    return render(file.header, _values(file), file.latents)


def render(
    header: Header,
    values: Sequence[NDArray[np.float64]],
    latents: Sequence[NDArray[np.int32]] = (),
    window: Window | None = None,
    device: str = "cpu",
) -> Samples:
    """Samples (height, width, channels), uint8 or uint16, of dequantized coefficients by layer.

    `latents` are a pyramid's planes; the last may be missing, and so may a SIREN's last stages.
    """
    window = whole(header) if window is None else window
    alphas = [torch.from_numpy(value).to(device, torch.float32) for value in values]
    with torch.no_grad():
        if isinstance(header.network, Pyramid):
            paint = _pyramid(header, alphas, latents, device)
        else:
            paint = _siren(header, alphas, device)
    width, height = window.size
    samples = np.empty((height, width, header.network.channels), f"uint{header.bits}")
    # So that memory stays bounded; a row of the widest pictures is itself cut.
    rows = max(1, CHUNK // (width * header.network.width))
    columns = max(1, CHUNK // 64)
    with torch.no_grad():
        xs, ys = window.columns, window.rows
        for top in range(0, height, rows):
            for left in range(0, width, columns):
                painted = paint(xs[left : left + columns], ys[top : top + rows])
                unit = (painted + 1) / 2
                samples[top : top + rows, left : left + columns] = from_unit(unit, header.bits)
    return samples


Painter = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float32]]
"""From columns (w,) and rows (h,), in pixels, to the network's output (h, w, C)."""


def _siren(header: Header, alphas: Sequence[Tensor], device: str) -> Painter:
    assert isinstance(header.network, Siren)
    if len(alphas) < len(header.network.blocks):
        stages = len(alphas) // header.network.layers
        header = replace(header, network=header.network.first(stages))
    network, pranc = grow(header, device)
    matrices = network.joined(pranc.matrices(alphas))
    picture = (header.width, header.height)

    def paint(xs: NDArray[np.float64], ys: NDArray[np.float64]) -> NDArray[np.float32]:
        output = network.evaluate(matrices, at(xs, ys, picture).to(device))
        painted: NDArray[np.float32] = output.reshape(len(ys), len(xs), -1).cpu().numpy()
        return painted

    return paint


def _pyramid(
    header: Header,
    alphas: Sequence[Tensor],
    latents: Sequence[NDArray[np.int32]],
    device: str,
) -> Painter:
    network, pranc = grow_pyramid(header, device)
    matrices = pranc.matrices(alphas)
    planes = [np.ascontiguousarray(plane, np.float32) for plane in latents]
    if network.architecture.taps:
        filters = matrices[network.architecture.synthesis_blocks - 1].cpu().numpy()
        # One after the other: two planes of a large picture more, not all.
        for k, plane in enumerate(planes):
            planes[k] = smoothed(plane, filters[k])
    picture = (header.width, header.height)
    if device == "cpu":
        arrays = [matrix.numpy() for matrix in matrices[: network.architecture.synthesis_blocks]]
        return partial(paint_pyramid, network.architecture, arrays, planes, picture)
    tensors = [torch.from_numpy(plane).to(device) for plane in planes]

    def paint(xs: NDArray[np.float64], ys: NDArray[np.float64]) -> NDArray[np.float32]:
        painted: NDArray[np.float32] = (
            network.evaluate(matrices, tensors, picture, xs, ys).cpu().numpy()
        )
        return painted

    return paint


def _values(file: PrcFile) -> list[NDArray[np.float64]]:
    return [layer.values for layer in file.layers]


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
    what = "metadata is missing"
    if withheld:
        bits, are = ("bit", "is") if withheld == 1 else (f"{withheld} bits", "are")
        what = f"the last {bits} of the coefficients {are} missing"
    if file.order:
        lacking = sum(layer.withheld for layer in file.layers)
        planes = sum(bit_planes([layer.model for layer in file.layers]))
        of_all = f"{lacking} of {planes} bit planes of the coefficients are missing"
        what = of_all if lacking else what
    if file.missing:
        network = file.header.network
        assert isinstance(network, Pyramid)
        shapes = network.planes(file.header.width, file.header.height)
        what = f"the last {file.missing} of {sum(h * w for h, w in shapes)} latents are missing"
    lacking = len(file.header.network.blocks) - len(file.layers)
    if lacking:
        assert isinstance(file.header.network, Siren)
        siren = file.header.network
        what = f"{lacking // siren.layers} of {len(siren.stages)} stages are missing"
    return f"cut short after {file.bytes_read} bytes: {what}"


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
