"""Where latents lie: the planes' places in one array, and what is read from them, as index tables.

Sample i of a plane of level ℓ is at (i + ½)·2^ℓ - ½ in pixels of the picture. Between samples a
plane is interpolated, so that it has a value anywhere; at the borders its samples are repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from inrcodec.families.pyramid.shape import NEIGHBOURS, Pyramid

BORDER = 3
"""Zeros above, to the left and to the right of a plane: the neighbours of its first latents."""

PLACES = np.array(NEIGHBOURS, np.int64)
"""`NEIGHBOURS`, as kernels take them."""

Indices = NDArray[np.int64]
Taps = NDArray[np.float32]
T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Parents:
    """Where a plane's latents find their context in another plane, in places of its padded array.

    Attributes:
        plane: number of the other plane, or None before the first, where all context is 0.
        rows: (h, 2), the row of the value at the latent, and of its nearer neighbour.
        cols: (w, 2), the column of the value at the latent, and of its nearer neighbour.
    """

    plane: int | None
    rows: Indices
    cols: Indices


@dataclass(frozen=True, eq=False)
class Plane:
    """One plane of latents in the array of them all.

    Attributes:
        level: it has 1/2^level of the picture's resolution.
        later: how many planes of this level come after it.
        shape: (h, w).
        start: place of its first value, of the border.
        near: context in a plane coded before.
        far: context in another one.
    """

    level: int
    later: int
    shape: tuple[int, int]
    start: int
    near: Parents
    far: Parents

    @property
    def padded(self) -> tuple[int, int]:
        """Shape of the plane with its border, which is above, to the left and to the right."""
        return self.shape[0] + BORDER, self.shape[1] + 2 * BORDER

    @property
    def stop(self) -> int:
        """Place after its last value."""
        return self.start + self.padded[0] * self.padded[1]

    def view(self, array: NDArray[T]) -> NDArray[T]:
        """The plane with its border, out of the array of all."""
        return array[self.start : self.stop].reshape(self.padded)

    def inner(self, array: NDArray[T]) -> NDArray[T]:
        """The plane without its border."""
        return self.view(array)[BORDER:, BORDER:-BORDER]


def lay_out(pyramid: Pyramid, width: int, height: int) -> list[Plane]:
    """The planes of a picture in coding order.

    >>> planes = lay_out(Pyramid(3, 16, 8, levels=(1, 0)), width=4, height=3)
    >>> [(plane.shape, plane.start, plane.stop) for plane in planes]
    [((2, 2), 0, 40), ((3, 4), 40, 100)]
    >>> planes[1].near.cols
    array([[3, 3],
           [3, 4],
           [4, 3],
           [4, 4]])
    """
    planes: list[Plane] = []
    for index, (level, shape) in enumerate(
        zip(pyramid.levels, pyramid.planes(width, height), strict=True)
    ):
        near, far = (
            _parents(level, shape, planes, other) for other in _before(pyramid.levels, index)
        )
        start = planes[-1].stop if planes else 0
        later = pyramid.levels[index + 1 :].count(level)
        planes.append(Plane(level, later, shape, start, near, far))
    return planes


def _before(levels: Sequence[int], index: int) -> tuple[int, int]:
    """The two planes that a plane has its context in, or -1 for none.

    Near is, of those before it that are not finer, the last of the lowest level. Far is the plane
    coded just before it, unless that is near itself or finer: then it is what near has for near. In
    a pyramid of one set these are the two planes coded before it.

    >>> [_before((2, 1, 1, 2, 1, 0), index) for index in range(6)]
    [(-1, -1), (0, -1), (1, 0), (0, -1), (2, 3), (4, 2)]
    """
    coarser = [k for k in range(index) if levels[k] >= levels[index]]
    if not coarser:
        return -1, -1
    near = max(coarser, key=lambda k: (-levels[k], k))
    far = index - 1 if index - 1 in coarser else near
    return near, far if far != near else _before(levels, near)[0]


def _parents(level: int, shape: tuple[int, int], planes: list[Plane], index: int) -> Parents:
    if index < 0:
        return Parents(None, *(np.zeros((n, 2), np.int64) for n in shape))
    other = planes[index]
    rows, cols = (
        _nearest(n, m, other.level - level) + BORDER
        for n, m in zip(shape, other.shape, strict=True)
    )
    return Parents(index, rows, cols)


def _nearest(n: int, m: int, octaves: int) -> Indices:
    """For each of n samples the sample of m, 2^octaves times as wide, and its nearer neighbour."""
    i = np.arange(n, dtype=np.int64)
    own = np.minimum(i >> octaves, m - 1)
    # In a plane of the same level the next one: the one before is known to the plane itself.
    right = (i << 1 | 1) >= (own << 1 | 1) << octaves if octaves else np.ones(n, np.bool_)
    return np.stack([own, np.clip(own + np.where(right, 1, -1), 0, m - 1)], axis=1)


def around(positions: NDArray[np.float64], n: int) -> tuple[NDArray[np.float64], Indices]:
    """All places that a filter at `positions` (N,) sees, and which three of them each does (N, 3).

    They are a pixel apart. Beyond the centres of the outermost of n pixels there is nothing new.

    >>> around(np.array([0.0, 1.0]), n=2)
    (array([0., 1.]), array([[0, 0, 1],
           [0, 1, 1]]))
    """
    beside = positions[:, None] + np.arange(-1, 2)
    least, most = np.minimum(positions, 0)[:, None], np.maximum(positions, n - 1)[:, None]
    # Rounded, so that what two of them see is the same place.
    places, indices = np.unique(np.clip(beside, least, most).round(9), return_inverse=True)
    return places, indices.reshape(beside.shape)


def interpolation(positions: NDArray[np.float64], level: int, n: int) -> tuple[Indices, Taps]:
    """The four samples, of n, and their weights (N, 4) that give a plane's values at positions.

    Positions (N,) are in pixels of the picture, 0 at the centre of the first. The weights are those
    of the cubic kernels of Mitchell and Netravali (1988): B = C = 1/3 for the finest plane, which a
    B-spline would blur, and the B-spline, B = 1 and C = 0, for the others.

    >>> indices, taps = interpolation(np.array([0.5]), level=1, n=3)
    >>> indices, taps.round(3)
    (array([[0, 0, 1, 2]]), array([[0.167, 0.667, 0.167, 0.   ]], dtype=float32))
    """
    u = (positions + 0.5) / 2**level - 0.5
    first = np.floor(u)
    t = u - first
    b = 1 / 3 if level == 0 else 1.0
    c = (1 - b) / 2
    near = (2 - 1.5 * b - c, -3 + 2 * b + c, 0, 1 - b / 3)
    far = (-b / 6 - c, b + 5 * c, -2 * b - 8 * c, 4 * b / 3 + 4 * c)
    taps = np.stack(
        [
            np.polyval(far, t + 1),
            np.polyval(near, t),
            np.polyval(near, 1 - t),
            np.polyval(far, 2 - t),
        ],
        axis=1,
    )
    indices = np.clip(first[:, None].astype(np.int64) + np.arange(-1, 3), 0, n - 1)
    return indices, taps.astype(np.float32)
