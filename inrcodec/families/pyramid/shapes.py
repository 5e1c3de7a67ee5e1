"""The networks and planes that a picture gets: the choice of a `Pyramid` for a size and an effort.

The choices were measured with files of 0.8 to 30 kB
(notebook/2026-11-23-pyramid-sine-and-context-units.md, 2026-11-23-pyramid-second-sine-layer.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from inrcodec.families.pyramid.shape import LIMIT_TAPS, SMALL, WIDE, Pyramid


@dataclass(frozen=True)
class ShapeSettings:
    """What decides on planes, networks and the number of steps."""

    coarsest_level: int = 6
    """Level of the coarsest plane, where the picture is large enough for it."""

    min_plane_side: int = 4
    """Least number of latents along the shorter side of the coarsest plane."""

    double_level: int | None = 2
    """Level that has two planes, or None; on kodim15 at half size the second plane lowers the loss
    by 3 % (variation single-planes; notebook/2026-11-23-pyramid-ablation.md)."""

    step_work: int = 1300
    """Work of a training step besides the networks, in multiplications per pixel."""

    reference_work: int = 4300
    """Work of a training step with 48 and 24 sine units, 20 context units and filters, in
    multiplications per pixel; at 768x512 that step takes 81 ms on two cores, and steps of networks
    of 24 to 64 units take 43 to 125 ms in proportion to their work."""

    short_steps: int = 400
    """Efforts of fewer steps than this get small networks, because large ones do not pay there."""

    long_steps: int = 5000
    """Efforts of fewer steps than this get at most 48 sine and 20 context units, because steps are
    a better use of the time."""

    large_bytes: int = 3000
    """Least size of a file with the wide neighbourhood and the output filter, bytes; both cost what
    they bring at 2 kB."""

    filtered_rate: float = 0.12
    """Least rate of a file with plane filters, bits per pixel; at 0.08 they cost kodim05 0.15 dB at
    full size and bring kodim15 next to nothing
    (notebook/2026-11-23-pyramid-plane-filters.md)."""

    few_bytes: tuple[tuple[int, tuple[int, int, int]], ...] = (
        (1000, (8, 4, 4)),
        (1500, (12, 8, 4)),
    )
    """Units of both sine layers and of the context network for files below a size in bytes; with
    16, 8 and 8 units files of 0.9 kB are 0.3 and 0.8 dB worse, of 1.3 kB level, and of 1.8 kB
    0.1 dB better (kodim05 and kodim15 at half size; notebook/2026-11-27-pyramid-small-files.md)."""

    few_short_bytes: int = 800
    """Size below which a short training gets 8 sine and 4 context units, bytes; with 16 and 8 units
    files of 0.6 kB are 0.6 and 1.8 dB worse and of 0.9 kB level (kodim05 and kodim15 at half size,
    effort 1; notebook/2026-11-27-pyramid-small-files.md)."""

    grey: float = 0.45
    """Factor on the size of files of one or two channels where it is compared with those of colour
    files; at 3.1 kB 12, 8 and 4 units are 0.1 dB better than 24, 12 and 12 (two chest X-rays at
    half size; notebook/2026-11-27-pyramid-small-files.md)."""

    progressive_share: float = 0.4
    """Factor on the size of a progressive file in the choice of its filters and neighbourhood."""

    progressive_grey: float = 0.6
    """Factor on the units of a progressive file of one or two channels; 8, 4 and 4 units are 0.4,
    0.4 and 0.3 dB better than 12, 8 and 4 at a quarter, a half and all of 3.1 kB (chest X-ray
    00870a9c; notebook/2026-11-27-progressive-three-sets.md)."""


@dataclass(frozen=True)
class ShapeRequest:
    """What a choice of networks depends on.

    Attributes:
        channels: channels of the picture, 1 to 4.
        levels: levels of the planes, coarse to fine.
        size: bytes of the file without metadata.
        steps: steps of the effort, see `PyramidSettings.steps`.
        pixels: pixels of the picture.
    """

    channels: int
    levels: tuple[int, ...]
    size: int
    steps: int
    pixels: int


NetworkShape = Callable[[ShapeRequest, ShapeSettings], Pyramid]
"""A choice of networks; `network_shape` is the codec's."""


def network_shape(request: ShapeRequest, settings: ShapeSettings) -> Pyramid:
    """The networks of a file.

    A coefficient of the sine layers is worth more than one of the context network. Two sine layers,
    the second half as wide as the first, are worth more than a wide one.

    >>> def blocks(channels, size, steps):
    ...     request = ShapeRequest(channels, (0,), size, steps, pixels=99)
    ...     return network_shape(request, ShapeSettings()).blocks[:2]
    >>> [blocks(3, size, 2000) for size in (900, 4000, 15000)]
    [((8, 2), (4, 9)), ((24, 2), (12, 25)), ((40, 2), (20, 41))]
    >>> blocks(1, 2000, 2000), blocks(3, 20000, 220)
    (((8, 2), (4, 9)), ((24, 2), (3, 25)))
    """
    if request.steps < settings.short_steps:
        return _short_shape(request, settings)
    size = request.size
    long, large = request.steps >= settings.long_steps, size >= settings.large_bytes
    share = min(8 if long else 6, max(1, round(2 * math.cbrt(size / 1000))))
    context = min(8 if long else 5, max(2, round((4 if long else 3) * math.cbrt(size / 4000))))
    many, like = (8 * share, 4 * share, 4 * context), _colour_size(request, settings)
    width, second, context = next((few for most, few in settings.few_bytes if like < most), many)
    smooth = large and 8 * size >= settings.filtered_rate * request.pixels
    return Pyramid(
        request.channels,
        width,
        context,
        request.levels,
        second=second,
        neighbours=WIDE if large else SMALL,
        filtered=large,
        taps=LIMIT_TAPS if smooth else 0,
    )


def _short_shape(request: ShapeRequest, settings: ShapeSettings) -> Pyramid:
    """The networks of a short training: one sine layer, no filters."""
    width = 8 * min(3, max(1, round(18 * (request.size / 1000) ** 0.6 / 8)))
    context = 4 * min(4, max(2, round(3 * math.cbrt(request.size / 4000))))
    if _colour_size(request, settings) < settings.few_short_bytes:
        width, context = 8, 4
    return Pyramid(request.channels, width, context, request.levels)


def _colour_size(request: ShapeRequest, settings: ShapeSettings) -> float:
    """Size of the colour file whose networks suit the request, bytes."""
    return request.size * (1.0 if request.channels > 2 else settings.grey)


def progressive_shape(
    request: ShapeRequest, settings: ShapeSettings, chosen: NetworkShape
) -> Pyramid:
    """The networks of a progressive file: small ones, since every picture needs them first.

    Three sets of planes show pictures at a quarter, a half and all of the file
    (notebook/2026-11-27-progressive-three-sets.md).
    Filters and neighbourhood are those that `chosen` gives a smaller file.

    >>> request = ShapeRequest(3, (6, 5, 4, 3, 2, 2, 1, 0), 3700, 1000, 384 * 256)
    >>> shape = progressive_shape(request, ShapeSettings(), network_shape)
    >>> shape.levels, shape.blocks[:2]
    ((6, 5, 4, 3, 2, 2, 3, 2, 1, 2, 1, 0), ((12, 13), (8, 13)))
    """
    levels = (*request.levels[:-2], 3, 2, 1, 2, 1, 0)
    smaller = replace(request, levels=levels, size=round(settings.progressive_share * request.size))
    shape = chosen(smaller, settings)
    if request.steps < settings.short_steps:
        return shape
    grey = 1.0 if request.channels > 2 else settings.progressive_grey
    units = math.cbrt(request.size / 4000) * grey
    return replace(
        shape,
        width=4 * min(8, max(2, round(3 * units))),
        second=4 * min(4, max(1, round(2 * units))),
        context=4 * min(5, max(1, round(2 * units))),
    )


def training_steps(network: Pyramid, steps: int, settings: ShapeSettings) -> int:
    """Steps of a network that take as long as `steps` of the reference network.

    >>> settings = ShapeSettings()
    >>> request = ShapeRequest(3, plane_levels(768, 512, settings), 4000, 1000, 768 * 512)
    >>> training_steps(network_shape(request, settings), 1000, settings)
    1670
    """
    work = settings.step_work + network.macs_per_pixel
    return round(steps * settings.reference_work / work)


def plane_levels(width: int, height: int, settings: ShapeSettings) -> tuple[int, ...]:
    """Levels of the planes of a picture, coarse to fine.

    >>> plane_levels(768, 512, ShapeSettings())
    (6, 5, 4, 3, 2, 2, 1, 0)
    >>> plane_levels(20, 9, ShapeSettings())
    (1, 0)
    """
    side = max(1, min(width, height) // settings.min_plane_side)
    coarsest = min(settings.coarsest_level, max(0, int(math.log2(side))))
    levels = list(range(coarsest, -1, -1))
    if settings.double_level is not None and coarsest >= settings.double_level:
        levels.append(settings.double_level)
    return tuple(sorted(levels, reverse=True))
