"""Elementwise parts of sine layers and their gradients, each one pass over memory (Numba).

Arrays are (w, n): units × pixels, in float32, or in bfloat16 stored as the upper halves of float32
(uint16). Arithmetic is float32 throughout; sums may be reordered. Sines and cosines are defined in
`inrcodec.kernels.reference`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from inrcodec.kernels.compile import compiled
from inrcodec.kernels.sine import sine_and_cosine


def _load(stored: Any) -> Any:
    """A stored number as float32."""
    raise NotImplementedError("for kernels only")


def _store(value: Any, array: Any) -> Any:
    """A float32 as `array` stores it, rounded to nearest even."""
    raise NotImplementedError("for kernels only")


# Numba requires an overload and its implementations to have equal parameter names.
@overload(_load)
def _load_kernel(stored: Any) -> Any:
    def widened(stored: Any) -> Any:
        return np.uint32(np.uint32(stored) << np.uint32(16)).view(np.float32)

    def itself(stored: Any) -> Any:
        return stored

    return widened if stored == types.uint16 else itself


@overload(_store)
def _store_kernel(value: Any, array: Any) -> Any:
    def rounded(value: Any, array: Any) -> Any:
        bits = np.float32(value).view(np.uint32)
        even = (bits >> np.uint32(16)) & np.uint32(1)
        return np.uint16((bits + np.uint32(0x7FFF) + even) >> np.uint32(16))

    def itself(value: Any, array: Any) -> Any:
        return np.float32(value)

    return rounded if array.dtype == types.uint16 else itself


@compiled
def first_layer(theta: Any, xy: Any, sine: Any, cosine: Any) -> None:
    """Write sines and cosines of the first layer's angles: `theta` (w, 3) times (x, y, 1).

    `xy` (2, n) are the coordinates of n pixels.
    """
    for i in range(theta.shape[0]):
        a, b, c = theta[i, 0], theta[i, 1], theta[i, 2]
        for j in range(xy.shape[1]):
            s, k = sine_and_cosine(a * xy[0, j] + b * xy[1, j] + c)
            sine[i, j] = _store(s, sine)
            cosine[i, j] = _store(k, cosine)


@compiled
def sine_layer(z: Any, sine: Any, cosine: Any) -> None:
    """Write sines and cosines of the angles `z` (w, n)."""
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            s, k = sine_and_cosine(_load(z[i, j]))
            sine[i, j] = _store(s, sine)
            cosine[i, j] = _store(k, cosine)


@compiled
def last_layer(
    theta: Any, sine: Any, cosine: Any, targets: Any, residual: Any, g: Any, gradient: Any
) -> Any:
    """Linear layer `theta` (C, w + 1): its squared error and gradients. Returns |residual|².

    Writes `residual` (C, n), the output minus `targets`, and to `g` (w, n) the gradient of
    ½ |residual|² by the angles of the layer below; adds that by theta to `gradient` (C, w + 1).
    """
    channels, w = theta.shape[0], theta.shape[1] - 1
    n = targets.shape[1]
    loss = np.float32(0)
    for q in range(channels):
        for j in range(n):
            residual[q, j] = theta[q, w] - targets[q, j]
        for i in range(w):
            a = theta[q, i]
            for j in range(n):
                residual[q, j] += a * _load(sine[i, j])
        total = np.float32(0)
        for j in range(n):
            total += residual[q, j]
            loss += residual[q, j] * residual[q, j]
        gradient[q, w] += total
    for i in range(w):
        for q in range(channels):
            total = np.float32(0)
            for j in range(n):
                total += residual[q, j] * _load(sine[i, j])
            gradient[q, i] += total
        for j in range(n):
            total = np.float32(0)
            for q in range(channels):
                total += theta[q, i] * residual[q, j]
            g[i, j] = _store(total * _load(cosine[i, j]), g)
    return loss


@compiled
def through_sine(g: Any, cosine: Any) -> None:
    """Turn the gradient by sines, `g` (w, n), into that by their angles: multiply by `cosine`."""
    for i in range(g.shape[0]):
        for j in range(g.shape[1]):
            g[i, j] = _store(_load(g[i, j]) * _load(cosine[i, j]), g)


@compiled
def first_gradient(g: Any, cosine: Any, xy: Any, gradient: Any) -> None:
    """Add the gradient by the first layer to `gradient` (w, 3), from that by its sines, `g` (w, n).

    `cosine` (w, n) are the cosines of its angles, `xy` (2, n) the coordinates.
    """
    for i in range(g.shape[0]):
        a = b = c = np.float32(0)
        for j in range(xy.shape[1]):
            value = _load(g[i, j]) * _load(cosine[i, j])
            a += value * xy[0, j]
            b += value * xy[1, j]
            c += value
        gradient[i, 0] += a
        gradient[i, 1] += b
        gradient[i, 2] += c
