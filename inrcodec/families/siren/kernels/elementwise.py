"""What a sine layer does element by element, in one pass over memory (Numba).

Arrays hold units × pixels, in float32, or in bfloat16 as the upper halves of float32 (uint16).
Arithmetic is float32 throughout; sums may be reordered.
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


# Numba wants the same names and annotations in what it asks for a kernel and in the kernel.
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
    """Sine and cosine of `theta` (w, 3) applied to (x, y, 1), for coordinates `xy` (2, n)."""
    for i in range(theta.shape[0]):
        a, b, c = theta[i, 0], theta[i, 1], theta[i, 2]
        for j in range(xy.shape[1]):
            s, k = sine_and_cosine(a * xy[0, j] + b * xy[1, j] + c)
            sine[i, j] = _store(s, sine)
            cosine[i, j] = _store(k, cosine)


@compiled
def sine_layer(z: Any, sine: Any, cosine: Any) -> None:
    """Sine and cosine of `z` (w, n)."""
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            s, k = sine_and_cosine(_load(z[i, j]))
            sine[i, j] = _store(s, sine)
            cosine[i, j] = _store(k, cosine)


@compiled
def last_layer(
    theta: Any, sine: Any, cosine: Any, targets: Any, residual: Any, g: Any, gradient: Any
) -> Any:
    """The linear layer `theta` (C, w + 1) and all that its output y is needed for.

    Sets `residual` (C, n) to y - targets and `g` (w, n) to the gradient of ½|residual|² by the
    arguments of the sines below, and adds that by theta to `gradient`. Returns |residual|².
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
    """Multiply the gradient `g` by sines with their slope `cosine`, both (w, n), in place."""
    for i in range(g.shape[0]):
        for j in range(g.shape[1]):
            g[i, j] = _store(_load(g[i, j]) * _load(cosine[i, j]), g)


@compiled
def first_gradient(g: Any, cosine: Any, xy: Any, gradient: Any) -> None:
    """Add to `gradient` (w, 3) that by the first layer, from the gradient `g` by its sines."""
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
