"""Small matrix products and elementary functions for fused kernels (Numba), in float32.

A block holds the values of one layer for BLOCK pixels: a flat array (units · BLOCK,), unit after
unit. Loops over a block have a constant length and unsigned indices, so that LLVM vectorizes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from inrcodec.kernels.compile import compiled

BLOCK = 128
"""Pixels that go through a layer together; their values fit into the first-level cache."""

_U = np.uint64
_ZERO, _ONE, _HALF = np.float32(0), np.float32(1), np.float32(0.5)
_LEAST = np.float32(-126)


def _polynomial(function: Any, degree: int) -> tuple[np.float32, ...]:
    """Coefficients, lowest first, of the interpolation at Chebyshev points of [0, 1]."""
    count = degree + 1
    x = (1 + np.cos(np.pi * (np.arange(count) + 0.5) / count)) / 2
    fit = np.polynomial.Polynomial.fit(x, function(x), degree).convert()
    return tuple(np.float32(c) for c in fit.coef)


_E0, _E1, _E2, _E3, _E4, _E5 = _polynomial(lambda x: 2.0**x, 5)
# log2(1 + t) / t, so that the logarithm of 1 is 0 exactly.
_L0, _L1, _L2, _L3, _L4, _L5, _L6 = _polynomial(lambda t: np.log2(1 + t) / t, 6)
_SHIFT, _BIAS = np.int32(23), np.int32(127)
_MANTISSA, _UNIT = np.int32(0x7FFFFF), np.int32(0x3F800000)


class Layers(NamedTuple):
    """Weights and biases of three layers, or the gradients by them, as `padded` makes them.

    Rows and columns come in multiples of four; the added ones are 0. A second sine layer that a
    network lacks has no rows.

    Attributes:
        w1: weight (units, inputs) of the first layer.
        b1: its bias (units,).
        w2: weight (units, units) of the second layer.
        b2: its bias.
        w3: weight (outputs, units) of the linear layer.
        b3: its bias.
    """

    w1: Any
    b1: Any
    w2: Any
    b2: Any
    w3: Any
    b3: Any


def fours(count: int) -> int:
    """The smallest multiple of four that is at least `count`.

    >>> fours(3), fours(8)
    (4, 8)
    """
    return -(-count // 4) * 4


def padded(matrices: Sequence[NDArray[np.float32]]) -> tuple[NDArray[np.float32], ...]:
    """Weight and bias of each matrix (rows, cols), whose last column is the bias.

    Both are padded with zeros, so that weights have rows and columns in multiples of four.
    """
    arrays: list[NDArray[np.float32]] = []
    for matrix in matrices:
        rows, cols = matrix.shape
        weight = np.zeros((fours(rows), fours(cols - 1)), np.float32)
        bias = np.zeros(len(weight), np.float32)
        weight[:rows, : cols - 1] = matrix[:, :-1]
        bias[:rows] = matrix[:, -1]
        arrays += [weight, bias]
    return tuple(arrays)


@compiled
def exp2(x: Any) -> Any:
    """2^x with a relative error of 1e-6, for x up to 127; x below -126 gives 2^-126."""
    x = max(x, _LEAST)
    whole = np.floor(x)
    f = x - whole
    power = np.int32((np.int32(whole) + _BIAS) << _SHIFT).view(np.float32)
    return power * (_E0 + f * (_E1 + f * (_E2 + f * (_E3 + f * (_E4 + f * _E5)))))


@compiled
def log2(x: Any) -> Any:
    """log₂ x with an error of 1e-5, for positive normal x."""
    bits = np.float32(x).view(np.int32)
    t = np.int32((bits & _MANTISSA) | _UNIT).view(np.float32) - _ONE
    series = _L0 + t * (_L1 + t * (_L2 + t * (_L3 + t * (_L4 + t * (_L5 + t * _L6)))))
    return np.float32((bits >> _SHIFT) - _BIAS) + t * series


@compiled
def affine(w: Any, b: Any, x: Any, y: Any) -> None:
    """Set block `y` to w x + b; `w` (units, inputs) has rows and columns in multiples of four."""
    for o in range(0, w.shape[0], 4):
        k = o * BLOCK
        b0, b1, b2, b3 = b[o], b[o + 1], b[o + 2], b[o + 3]
        for p in range(BLOCK):
            y[_U(k + p)] = b0
            y[_U(k + BLOCK + p)] = b1
            y[_U(k + 2 * BLOCK + p)] = b2
            y[_U(k + 3 * BLOCK + p)] = b3
        for i in range(0, w.shape[1], 4):
            a00, a01, a02, a03 = w[o, i], w[o, i + 1], w[o, i + 2], w[o, i + 3]
            a10, a11, a12, a13 = w[o + 1, i], w[o + 1, i + 1], w[o + 1, i + 2], w[o + 1, i + 3]
            a20, a21, a22, a23 = w[o + 2, i], w[o + 2, i + 1], w[o + 2, i + 2], w[o + 2, i + 3]
            a30, a31, a32, a33 = w[o + 3, i], w[o + 3, i + 1], w[o + 3, i + 2], w[o + 3, i + 3]
            m = i * BLOCK
            for p in range(BLOCK):
                x0, x1 = x[_U(m + p)], x[_U(m + BLOCK + p)]
                x2, x3 = x[_U(m + 2 * BLOCK + p)], x[_U(m + 3 * BLOCK + p)]
                y[_U(k + p)] += a00 * x0 + a01 * x1 + a02 * x2 + a03 * x3
                y[_U(k + BLOCK + p)] += a10 * x0 + a11 * x1 + a12 * x2 + a13 * x3
                y[_U(k + 2 * BLOCK + p)] += a20 * x0 + a21 * x1 + a22 * x2 + a23 * x3
                y[_U(k + 3 * BLOCK + p)] += a30 * x0 + a31 * x1 + a32 * x2 + a33 * x3


@compiled
def affine_back(w: Any, g: Any, dx: Any) -> None:
    """Set block `dx` to wᵀ g: the gradient by the inputs of `affine`, from `g` by its outputs."""
    for i in range(0, w.shape[1], 4):
        m = i * BLOCK
        for p in range(4 * BLOCK):
            dx[_U(m + p)] = _ZERO
        for o in range(0, w.shape[0], 4):
            a00, a01, a02, a03 = w[o, i], w[o, i + 1], w[o, i + 2], w[o, i + 3]
            a10, a11, a12, a13 = w[o + 1, i], w[o + 1, i + 1], w[o + 1, i + 2], w[o + 1, i + 3]
            a20, a21, a22, a23 = w[o + 2, i], w[o + 2, i + 1], w[o + 2, i + 2], w[o + 2, i + 3]
            a30, a31, a32, a33 = w[o + 3, i], w[o + 3, i + 1], w[o + 3, i + 2], w[o + 3, i + 3]
            k = o * BLOCK
            for p in range(BLOCK):
                g0, g1 = g[_U(k + p)], g[_U(k + BLOCK + p)]
                g2, g3 = g[_U(k + 2 * BLOCK + p)], g[_U(k + 3 * BLOCK + p)]
                dx[_U(m + p)] += a00 * g0 + a10 * g1 + a20 * g2 + a30 * g3
                dx[_U(m + BLOCK + p)] += a01 * g0 + a11 * g1 + a21 * g2 + a31 * g3
                dx[_U(m + 2 * BLOCK + p)] += a02 * g0 + a12 * g1 + a22 * g2 + a32 * g3
                dx[_U(m + 3 * BLOCK + p)] += a03 * g0 + a13 * g1 + a23 * g2 + a33 * g3


@compiled
def affine_gradient(g: Any, x: Any, dw: Any, db: Any) -> None:
    """Add to `dw` and `db` the gradient by `w` and `b` of `affine`, from `g` by its outputs."""
    for o in range(0, dw.shape[0], 2):
        k = o * BLOCK
        s0 = s1 = _ZERO
        for p in range(BLOCK):
            s0 += g[_U(k + p)]
            s1 += g[_U(k + BLOCK + p)]
        db[o] += s0
        db[o + 1] += s1
        for i in range(0, dw.shape[1], 4):
            m = i * BLOCK
            a0 = a1 = a2 = a3 = c0 = c1 = c2 = c3 = _ZERO
            for p in range(BLOCK):
                g0, g1 = g[_U(k + p)], g[_U(k + BLOCK + p)]
                x0, x1 = x[_U(m + p)], x[_U(m + BLOCK + p)]
                x2, x3 = x[_U(m + 2 * BLOCK + p)], x[_U(m + 3 * BLOCK + p)]
                a0 += g0 * x0
                a1 += g0 * x1
                a2 += g0 * x2
                a3 += g0 * x3
                c0 += g1 * x0
                c1 += g1 * x1
                c2 += g1 * x2
                c3 += g1 * x3
            dw[o, i] += a0
            dw[o, i + 1] += a1
            dw[o, i + 2] += a2
            dw[o, i + 3] += a3
            dw[o + 1, i] += c0
            dw[o + 1, i + 1] += c1
            dw[o + 1, i + 2] += c2
            dw[o + 1, i + 3] += c3


@compiled
def rectify(x: Any, n: int) -> None:
    """Replace the first n values of `x` by max(x, 0)."""
    for i in range(n):
        x[_U(i)] = max(x[_U(i)], _ZERO)


@compiled
def rectify_back(g: Any, x: Any, n: int) -> None:
    """Set `g` to 0 where the outputs `x` of `rectify` are 0, for the first n values."""
    for i in range(n):
        g[_U(i)] = g[_U(i)] if x[_U(i)] > _ZERO else _ZERO
