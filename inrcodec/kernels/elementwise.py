"""What a sine layer does element by element, in one pass over memory (Numba).

Arrays hold units × pixels, in float32, or in bfloat16 as the upper halves of float32 (uint16).
Arithmetic is float32 throughout; sums may be reordered.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba import njit, types
from numba.extending import overload

F = TypeVar("F", bound=Callable[..., Any])
_OPTIONS: dict[str, Any] = {"fastmath": True, "nogil": True, "error_model": "numpy"}


def compiled(function: F) -> F:
    """Compile at the first call, and keep the result on disk where the place allows it."""
    try:
        kernel: F = njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:
        # Neither the package's folder nor the user's cache can be written.
        kernel = njit(**_OPTIONS)(function)
    return kernel


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


# Taylor coefficients of sine and cosine; on [-π/2, π/2] the remainders are below 4e-6 and 5e-7.
_S3, _S5, _S7, _S9 = (np.float32(v) for v in (-1 / 6, 1 / 120, -1 / 5040, 1 / 362880))
_C2, _C4, _C6, _C8, _C10 = (
    np.float32(v) for v in (-1 / 2, 1 / 24, -1 / 720, 1 / 40320, -1 / 3628800)
)
_ONE, _TWO, _HALF = np.float32(1), np.float32(2), np.float32(0.5)
_PI, _PER_TURN = np.float32(np.pi), np.float32(0.5 / np.pi)


@compiled
def sine_and_cosine(x: Any) -> Any:
    """Of x in radians, to 1e-5 where |x| is below 100; from those of half the angle."""
    turns = x * _PER_TURN
    half = (turns - np.floor(turns + _HALF)) * _PI
    q = half * half
    sine = half * (_ONE + q * (_S3 + q * (_S5 + q * (_S7 + q * _S9))))
    cosine = _ONE + q * (_C2 + q * (_C4 + q * (_C6 + q * (_C8 + q * _C10))))
    return _TWO * sine * cosine, _ONE - _TWO * sine * sine


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
