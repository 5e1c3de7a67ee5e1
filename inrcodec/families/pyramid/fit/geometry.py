"""Where the latents of one picture lie, and how planes are interpolated to its pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inrcodec.families.pyramid.kernels import latents as kernels
from inrcodec.families.pyramid.latents import (
    BORDER,
    Indices,
    Plane,
    Taps,
    interpolation,
    lay_out,
)
from inrcodec.families.pyramid.shape import Pyramid

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Geometry:
    """The planes of a picture and the tables of their interpolation, one of each kind a plane.

    Attributes:
        width: width of the picture in pixels.
        height: height of the picture in pixels.
        planes: layout of each plane, in coding order.
        rows: samples (H, 4) of a plane that each row of the picture is made of, and their weights.
        columns: the same for the columns (W, 4), as places in a row with its border.
    """

    width: int
    height: int
    planes: list[Plane]
    rows: list[tuple[Indices, Taps]]
    columns: list[tuple[Indices, Taps]]

    @classmethod
    def of(cls, architecture: Pyramid, width: int, height: int) -> Geometry:
        """The geometry of a pyramid for a picture of so many pixels."""
        planes = lay_out(architecture, width, height)
        ys, xs = np.arange(float(height)), np.arange(float(width))
        rows = [interpolation(ys, plane.level, plane.shape[0]) for plane in planes]
        columns = []
        for plane in planes:
            cols, taps = interpolation(xs, plane.level, plane.shape[1])
            columns.append((cols + BORDER, taps))
        return cls(width, height, planes, rows, columns)

    @property
    def latents(self) -> int:
        """Length of the array of all latents, borders included."""
        return self.planes[-1].stop


def plane_filter_block(architecture: Pyramid) -> int | None:
    """Number of the block that holds the taps of the planes' filters, if there is one."""
    return architecture.synthesis_blocks - 1 if architecture.taps else None


def expand(geometry: Geometry, k: int, values: Array) -> Array:
    """Plane k, (h, w), interpolated to every pixel (H, W)."""
    along = _interpolated(values, *_inner_columns(geometry, k))
    across = _interpolated(np.ascontiguousarray(along.T), *geometry.rows[k])
    return np.ascontiguousarray(across.T)


def contract(geometry: Geometry, k: int, picture: Array) -> Array:
    """The adjoint of `expand`: from (H, W) to plane k, (h, w)."""
    height, width = geometry.planes[k].shape
    across = _adjoint(np.ascontiguousarray(picture.T), *geometry.rows[k], height)
    return _adjoint(np.ascontiguousarray(across.T), *_inner_columns(geometry, k), width)


def _inner_columns(geometry: Geometry, k: int) -> tuple[Indices, Taps]:
    """The table of the columns for a plane without its border."""
    cols, taps = geometry.columns[k]
    return cols - BORDER, taps


def _interpolated(rows: Array, indices: Indices, taps: Taps) -> Array:
    """Each row (n, m) at N positions: (n, N)."""
    out = np.empty((len(rows), len(indices)), np.float32)
    kernels.interpolate_rows(rows, indices, taps, 0, out, 0, len(rows))
    return out


def _adjoint(rows: Array, indices: Indices, taps: Taps, count: int) -> Array:
    """The adjoint of `_interpolated`: from (n, N) to (n, count)."""
    out = np.zeros((len(rows), count), np.float32)
    kernels.interpolate_rows_back(rows, indices, taps, 0, out, 0, len(rows))
    return out
