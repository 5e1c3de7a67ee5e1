"""Footprints of latents: which pixels' features a latent changes, and by which weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inrcodec.families.pyramid.kernels.rdoq import Footprint
from inrcodec.families.pyramid.latents import BORDER, Indices, Plane, Taps

Array = NDArray[np.float32]


def footprint(
    plane: Plane, rows: tuple[Indices, Taps], columns: tuple[Indices, Taps], filter_taps: Array
) -> Footprint:
    """Footprint of a plane's latents, see `kernels.rdoq.Footprint`.

    `rows` and `columns` are samples and weights (H, 4) and (W, 4) of the interpolation; columns
    count with the plane's border. `filter_taps` (n,) are those of the plane's filter. The gain
    2^-level of the plane is in the weights of the rows.
    """
    row_indices, row_taps = rows
    col_indices, col_taps = columns
    gain = np.float32(2.0**-plane.level)
    height, width = plane.shape
    return Footprint(
        *_axis_footprint(row_indices, row_taps * gain, height, filter_taps),
        *_axis_footprint(col_indices - BORDER, col_taps, width, filter_taps),
    )


def without_small_weights(footprint: Footprint, share: float) -> Footprint:
    """The footprint without the pixels at its ends whose weight is below a share of the largest.

    The share counts for each latent and axis alone. Rows and columns in between stay.
    """
    rows, row_taps, cols, col_taps = footprint
    return Footprint(*_trimmed(rows, row_taps, share), *_trimmed(cols, col_taps, share))


def _axis_footprint(
    indices: Indices, taps: Taps, count: int, filter_taps: Array
) -> tuple[Indices, Array]:
    """Along one axis: positions (count, 2), first and last + 1, that a sample changes, and weights.

    The transpose of the interpolation of N positions from samples `indices` with `taps`, (N, 4),
    after a symmetric filter with `filter_taps` (n,). `count` is the number of samples.
    """
    n = len(filter_taps)
    kernel = np.concatenate([filter_taps[::-1], np.ones(1, np.float32), filter_taps])
    moved = indices[:, :, None] + np.arange(-n, n + 1)
    indices = np.clip(moved, 0, count - 1).reshape(len(indices), -1)
    taps = (taps[:, :, None] * kernel).reshape(len(indices), -1)
    positions = np.broadcast_to(np.arange(len(indices))[:, None], indices.shape)
    known = taps != 0
    ranges = np.stack([np.full(count, len(indices)), np.zeros(count)], axis=1).astype(np.int64)
    np.minimum.at(ranges[:, 0], indices[known], positions[known])
    np.maximum.at(ranges[:, 1], indices[known], positions[known] + 1)
    ranges[:, 0] = np.minimum(ranges[:, 0], ranges[:, 1])
    # First positions must ascend; where a filter's weights cancel to 0 they might not.
    ranges[:, 0] = np.minimum.accumulate(ranges[::-1, 0])[::-1]
    weights = np.zeros((count, int((ranges[:, 1] - ranges[:, 0]).max())), np.float32)
    places = indices[known], positions[known] - ranges[indices[known], 0]
    np.add.at(weights, places, taps[known])
    return ranges, weights


def _trimmed(ranges: Indices, weights: Array, share: float) -> tuple[Indices, Array]:
    """`without_small_weights` along one axis."""
    size = np.abs(weights)
    counts = (size >= share * size.max(1, keepdims=True)) & (size > 0)
    first = np.where(counts.any(1), counts.argmax(1), 0)
    last = np.where(counts.any(1), weights.shape[1] - counts[:, ::-1].argmax(1), 0)
    places = first[:, None] + np.arange(max(1, int((last - first).max())))
    kept = np.take_along_axis(weights, np.minimum(places, weights.shape[1] - 1), 1)
    return np.stack([ranges[:, 0] + first, ranges[:, 0] + last], axis=1), np.ascontiguousarray(kept)
