"""A SIREN's picture on any grid, in NumPy; on a GPU by PyTorch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from inrcodec.container.header import Header
from inrcodec.content import Latents, Painter, Values
from inrcodec.families.siren.coordinates import at
from inrcodec.families.siren.parameters import grow
from inrcodec.families.siren.shape import Siren

Array = NDArray[np.float32]

CHUNK = 1 << 13
"""Pixels that go through the network together; what they need stays in the cache."""


def painter(header: Header, values: Values, latents: Latents, device: str) -> Painter:
    """The picture as a function of columns and rows; missing stages are left out."""
    shape = header.network
    assert isinstance(shape, Siren)
    if len(values) < len(shape.blocks):
        shape = shape.first(len(values) // shape.layers)
        header = replace(header, network=shape)
    matrices = joined(shape, grow(header, values))
    picture = (header.width, header.height)

    def paint(xs: NDArray[np.float64], ys: NDArray[np.float64]) -> Array:
        coordinates = at(xs, ys, picture)
        if device == "cpu":
            output = evaluate(shape, matrices, coordinates)
        else:
            from inrcodec.families.siren.network import evaluate_on

            output = evaluate_on(device, shape, matrices, coordinates)
        return output.reshape(len(ys), len(xs), -1)

    return paint


def joined(shape: Siren, matrices: Sequence[Array]) -> list[Array]:
    """The matrix (rows, cols) of each layer, from those that all stages add to them.

    The last layer is that of the last stage.
    """
    layers = shape.layers
    *sines, _ = (matrices[layer::layers] for layer in range(layers))
    # What the last stage adds has the most columns.
    return [
        *(np.concatenate([_widened(m, parts[-1].shape[1]) for m in parts]) for parts in sines),
        matrices[-1],
    ]


def _widened(matrix: Array, cols: int) -> Array:
    """A matrix with columns of 0 for the units of later stages before its last one, the bias."""
    more = np.zeros((len(matrix), cols - matrix.shape[1]), np.float32)
    return np.concatenate([matrix[:, :-1], more, matrix[:, -1:]], axis=1)


def evaluate(shape: Siren, matrices: Sequence[Array], coordinates: Array) -> Array:
    """Channels (N, C) at coordinates (N, 2), with the matrix (rows, cols) of each layer."""
    omegas = [shape.omega_first] + [shape.omega_hidden] * (shape.depth - 1) + [1.0]
    thetas = [matrix * np.float32(omega) for matrix, omega in zip(matrices, omegas, strict=True)]
    output = np.empty((len(coordinates), shape.channels), np.float32)

    def work(start: int) -> None:
        h = coordinates[start : start + CHUNK].T
        for theta in thetas[:-1]:
            h = np.matmul(theta[:, :-1], h)
            h += theta[:, -1:]
            np.sin(h, out=h)
        output[start : start + CHUNK] = (thetas[-1][:, :-1] @ h + thetas[-1][:, -1:]).T

    starts = range(0, len(coordinates), CHUNK)
    if len(starts) < 2:
        for start in starts:
            work(start)
        return output
    # Threads of this call alone: a forked process would inherit a pool without its threads.
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        list(threads.map(work, starts))
    return output
