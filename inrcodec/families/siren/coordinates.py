"""Where a network is evaluated: pixel centres, the longer side spanning [-1, 1], pixels square."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def grid(
    picture: tuple[int, int],
    size: tuple[int, int] | None = None,
    rows: tuple[int, int] | None = None,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Coordinates (x, y) of pixel centres, row by row, as float32 (rows · width, 2).

    `picture` is (width, height) of the encoded picture, which fixes the rectangle; `size` the
    (width, height) of the grid laid over it, by default the same; `rows` the first row and the one
    after the last, by default all.

    >>> grid((4, 2))[:4, 0]
    tensor([-0.7500, -0.2500,  0.2500,  0.7500])
    >>> grid((4, 2), size=(2, 1))
    tensor([[-0.5000,  0.0000],
            [ 0.5000,  0.0000]])
    """
    width, height = size or picture
    first, last = rows or (0, height)
    x = _centres(width, picture[0] / max(picture))
    y = _centres(height, picture[1] / max(picture))[first:last]
    mesh = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
    return mesh.reshape(-1, 2).to(device, torch.float32)


def _centres(count: int, half: float) -> Tensor:
    """The middles of `count` equal parts of [-half, half]."""
    return ((2 * torch.arange(count, dtype=torch.float64) + 1) / count - 1) * half


def at(xs: NDArray[np.float64], ys: NDArray[np.float64], picture: tuple[int, int]) -> Tensor:
    """Coordinates (x, y) of the grid of `xs` and `ys`, in pixels, row by row; see `grid`."""
    width, height = picture
    x, y = (
        torch.from_numpy((2 * values + 1 - side) / max(picture))
        for values, side in ((xs, width), (ys, height))
    )
    mesh = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
    return mesh.reshape(-1, 2).to(torch.float32)
