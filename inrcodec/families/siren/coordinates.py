"""Where a SIREN is evaluated: pixel centres, the longer side spanning [-1, 1], pixels square."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def grid(
    picture: tuple[int, int],
    size: tuple[int, int] | None = None,
    rows: tuple[int, int] | None = None,
) -> NDArray[np.float32]:
    """Coordinates (x, y) of pixel centres, row by row, (rows · width, 2).

    `picture` is (width, height) of the encoded picture, which fixes the rectangle; `size` the
    (width, height) of the grid laid over it, by default the same; `rows` the first row and the one
    after the last, by default all.

    >>> grid((4, 2))[:4, 0]
    array([-0.75, -0.25,  0.25,  0.75], dtype=float32)
    >>> grid((4, 2), size=(2, 1))
    array([[-0.5,  0. ],
           [ 0.5,  0. ]], dtype=float32)
    """
    width, height = size or picture
    first, last = rows or (0, height)
    x = _centres(width, picture[0] / max(picture))
    y = _centres(height, picture[1] / max(picture))[first:last]
    return _mesh(x, y)


def at(
    xs: NDArray[np.float64], ys: NDArray[np.float64], picture: tuple[int, int]
) -> NDArray[np.float32]:
    """Coordinates (x, y) of the grid of `xs` and `ys`, in pixels, row by row; see `grid`."""
    width, height = picture
    x, y = ((2 * values + 1 - side) / max(picture) for values, side in ((xs, width), (ys, height)))
    return _mesh(x, y)


def _mesh(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float32]:
    mesh = np.stack(np.meshgrid(x, y, indexing="xy"), axis=-1)
    return mesh.reshape(-1, 2).astype(np.float32)


def _centres(count: int, half: float) -> NDArray[np.float64]:
    """The middles of `count` equal parts of [-half, half]."""
    centres: NDArray[np.float64] = ((2 * np.arange(count) + 1) / count - 1) * half
    return centres
