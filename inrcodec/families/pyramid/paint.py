"""A pyramid's picture on any grid, by kernels (Numba); on a GPU by PyTorch.

The reference is `PyramidNetwork`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from inrcodec.container.header import Header
from inrcodec.content import Latents, Painter, Values
from inrcodec.families.pyramid.kernels import output_filter as filtering
from inrcodec.families.pyramid.kernels import synthesis as pyramid
from inrcodec.families.pyramid.kernels.blocks import padded
from inrcodec.families.pyramid.kernels.latents import interpolate_rows
from inrcodec.families.pyramid.kernels.plane_filter import smoothed
from inrcodec.families.pyramid.latents import around, interpolation
from inrcodec.families.pyramid.parameters import grow
from inrcodec.families.pyramid.shape import Pyramid
from inrcodec.kernels.compile import ensure

Array = NDArray[np.float32]


def painter(header: Header, values: Values, latents: Latents, device: str) -> Painter:
    """The picture as a function of columns and rows; missing planes count as 0."""
    shape = header.network
    assert isinstance(shape, Pyramid)
    matrices = grow(header, values)
    ensure("decode-pyramid")
    planes = [np.ascontiguousarray(plane, np.float32) for plane in latents]
    if shape.taps:
        taps = matrices[shape.synthesis_blocks - 1]
        # One after the other: two planes of a large picture more, not all.
        for k, plane in enumerate(planes):
            planes[k] = smoothed(plane, taps[k])
    picture = (header.width, header.height)
    if device == "cpu":
        return partial(paint_pyramid, shape, matrices, planes, picture)
    from inrcodec.families.pyramid.network import painter_on

    return painter_on(device, shape, matrices, planes, picture)


def paint_pyramid(
    architecture: Pyramid,
    matrices: Sequence[Array],
    planes: Sequence[Array],
    picture: tuple[int, int],
    xs: NDArray[np.float64],
    ys: NDArray[np.float64],
) -> Array:
    """Channels (N, M, C) at M columns `xs` and N rows `ys`; see `PyramidNetwork.evaluate`."""
    if not architecture.filtered:
        out = _paint(architecture, matrices, planes, xs, ys)
    else:
        (xs, cols), (ys, rows) = (around(v, n) for v, n in zip((xs, ys), picture, strict=True))
        plain = _paint(architecture, matrices, planes, xs, ys)
        out = np.empty((len(plain), len(rows), len(cols)), np.float32)
        last = matrices[architecture.mixed_blocks]
        w, b = last[:, :-1], last[:, -1]
        filtering.filter_places(plain, np.ascontiguousarray(w), b.copy(), rows, cols, out)
    return np.ascontiguousarray(out.transpose(1, 2, 0))


def _paint(
    architecture: Pyramid,
    matrices: Sequence[Array],
    planes: Sequence[Array],
    xs: NDArray[np.float64],
    ys: NDArray[np.float64],
) -> Array:
    """The output of the sine network (C, N, M)."""
    count = len(architecture.levels)
    rows, taps = np.zeros((count, len(ys), 4), np.int64), np.zeros((count, len(ys), 4), np.float32)
    starts, parts = np.zeros(count, np.int64), [np.zeros((1, len(xs)), np.float32)]
    # A missing plane reads the row of zeros at the start.
    for k, (plane, level) in enumerate(zip(planes, architecture.levels, strict=False)):
        indices, taps[k] = interpolation(ys, level, len(plane))
        taps[k] *= 2.0**-level
        first, last = int(indices.min()), int(indices.max()) + 1
        rows[k] = indices - first
        starts[k] = sum(part.size for part in parts)
        part = np.empty((last - first, len(xs)), np.float32)
        cols, col_taps = interpolation(xs, level, plane.shape[1])
        interpolate_rows(plane[first:last], cols, col_taps, 0, part, 0, last - first)
        parts.append(part)
    out = np.empty((architecture.channels, len(ys), len(xs)), np.float32)
    units = max(architecture.width, architecture.second, count)
    u = np.concatenate([part.ravel() for part in parts])
    pyramid.synthesize(
        pyramid.PlaneRows(u, starts, rows, taps),
        pyramid.sine_layers(padded(matrices[: architecture.mixed_blocks])),
        0,
        len(ys),
        out,
        pyramid.synthesis_scratch(units),
    )
    return out
