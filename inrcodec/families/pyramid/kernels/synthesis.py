"""What a training step of the pyramid does besides the context network, fused (Numba).

Soft rounding of the latents, their interpolation and its adjoint, the sine layers with their error
and gradients, and Adam's step. Everything is float32; `inr.pyramid` has the plain PyTorch version.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrcodec.families.pyramid.kernels.blocks import (
    BLOCK,
    affine,
    affine_back,
    affine_gradient,
    exp2,
)
from inrcodec.kernels.compile import compiled
from inrcodec.kernels.sine import sine_and_cosine

_U = np.uint64
_ZERO, _ONE, _TWO, _HALF = np.float32(0), np.float32(1), np.float32(2), np.float32(0.5)
_M0, _M1, _M2 = np.uint32(0x9E3779B1), np.uint32(0x7FEB352D), np.uint32(0x846CA68B)
_S15, _S16, _LOW = np.uint32(15), np.uint32(16), np.uint32(0xFFFF)

SCRATCH = 9
"""Buffers of a block that `synthesis_step` needs."""


def sine_layers(theta: Sequence[NDArray[np.float32]]) -> tuple[NDArray[np.float32], ...]:
    """Weight and bias of two sine layers and the linear one, the second without rows if `theta` has
    two layers in all."""
    nothing = (np.zeros((0, 0), np.float32), np.zeros(0, np.float32))
    return (*theta[:2], *(theta[2:4] if len(theta) == 6 else nothing), *theta[-2:])


@compiled
def soft_round(
    y: Any,
    q: Any,
    slope: Any,
    inside: Any,
    temperature: float,
    width: float,
    seed: Any,
    first: int,
    last: int,
) -> None:
    """q = s(s(y) + u) and its slope by y, for latents `first` to `last`; 0 where `inside` is 0.

    s rounds softly, the more sharply the lower the temperature, and u is noise of a triangular
    distribution, `width` wide, that depends on the place and `seed` alone (C3, Kim et al. 2024,
    with another distribution). At temperature 0 there is no noise, and q is y rounded.
    """
    # Slices: an index that might be negative, for what a compiler knows, stops vector instructions.
    y, q, slope, inside = y[first:last], q[first:last], slope[first:last], inside[first:last]
    if temperature == 0:
        for i in range(last - first):
            q[i] = np.floor(y[i] + _HALF) * inside[i]
            slope[i] = inside[i]
        return
    full = math.tanh(0.5 / temperature)
    rate = np.float32(2 * 1.4426950408889634 / temperature)
    norm, steepness = np.float32(0.5 / full), np.float32(0.5 / full / temperature)
    unit, margin = np.float32(width * 2.0**-17), np.float32(width * 0.5)
    start = np.uint32(seed)
    for i in range(last - first):
        h = np.uint32(first + i) * _M0 + start
        h = np.uint32((h ^ (h >> _S16)) * _M1)
        h = np.uint32((h ^ (h >> _S15)) * _M2)
        h = np.uint32(h ^ (h >> _S16))
        noise = np.float32(np.int32(h & _LOW)) + np.float32(np.int32(h >> _S16))
        noise = noise * unit - margin
        whole = np.floor(y[i])
        t = _ONE - _TWO / (_ONE + exp2((y[i] - whole - _HALF) * rate))
        v = whole + _HALF + norm * t + noise
        slope1 = steepness * (_ONE - t * t)
        whole = np.floor(v)
        t = _ONE - _TWO / (_ONE + exp2((v - whole - _HALF) * rate))
        q[i] = (whole + _HALF + norm * t) * inside[i]
        slope[i] = slope1 * steepness * (_ONE - t * t) * inside[i]


@compiled
def _same_taps(cols: Any, taps: Any) -> Any:
    """The columns, from and to, that all see their neighbours alike: in the finest plane most."""
    w = len(cols)
    for x in range(1, w - 2):
        for t in range(4):
            if cols[x, t] != cols[1, 0] + (x - 1) + t or taps[x, t] != taps[1, t]:
                return 0, 0
    return (1, w - 2) if w > 3 else (0, 0)


@compiled
def interpolate_rows(
    plane: Any, cols: Any, taps: Any, border: int, out: Any, first: int, last: int
) -> None:
    """Rows `first` to `last` of a padded plane at the columns of the picture, into `out` (h, W).

    `cols` (W, 4) are places in a padded row, `taps` (W, 4) their weights.
    """
    low, high = _same_taps(cols, taps)
    n, w = high - low, out.shape[1]
    for y in range(first, last):
        row = plane[y + border]
        for start, stop in ((0, low), (high, w)):
            for x in range(start, stop):
                value = _ZERO
                for t in range(4):
                    value += taps[x, t] * row[_U(cols[x, t])]
                out[y, x] = value
        if n > 0:
            inner = out[y, low:high]
            t0, t1, t2, t3 = taps[low, 0], taps[low, 1], taps[low, 2], taps[low, 3]
            o = cols[low, 0]
            r0, r1, r2, r3 = row[o : o + n], row[o + 1 :], row[o + 2 :], row[o + 3 :]
            for x in range(n):
                inner[x] = t0 * r0[x] + t1 * r1[x] + t2 * r2[x] + t3 * r3[x]


@compiled
def interpolate_rows_back(
    g: Any, cols: Any, taps: Any, border: int, d_plane: Any, first: int, last: int
) -> None:
    """The adjoint of `interpolate_rows`: adds to the padded gradient of the plane."""
    low, high = _same_taps(cols, taps)
    w = g.shape[1]
    for y in range(first, last):
        row = d_plane[y + border]
        for start, stop in ((0, low), (high, w)):
            for x in range(start, stop):
                value = g[y, x]
                for t in range(4):
                    row[_U(cols[x, t])] += taps[x, t] * value
        if high > low:
            inner = g[y, low:high]
            for t in range(4):
                part, tap = row[cols[low, t] :], taps[low, t]
                for x in range(high - low):
                    part[x] += tap * inner[x]


@compiled
def _features(
    u: Any, starts: Any, rows: Any, taps: Any, width: int, y: int, x0: int, n: int, z: Any
) -> None:
    """z of n pixels of row y from x0 on: the vertical half of the interpolation."""
    for k in range(len(starts)):
        o = starts[k] + x0
        o0, o1 = o + rows[k, y, 0] * width, o + rows[k, y, 1] * width
        o2, o3 = o + rows[k, y, 2] * width, o + rows[k, y, 3] * width
        u0, u1, u2, u3 = u[o0 : o0 + n], u[o1 : o1 + n], u[o2 : o2 + n], u[o3 : o3 + n]
        t0, t1, t2, t3 = taps[k, y, 0], taps[k, y, 1], taps[k, y, 2], taps[k, y, 3]
        for p in range(n):
            z[_U(k * BLOCK + p)] = t0 * u0[p] + t1 * u1[p] + t2 * u2[p] + t3 * u3[p]


@compiled
def _sines(s: Any, cosine: Any, n: int) -> None:
    for i in range(n):
        sine, slope = sine_and_cosine(s[_U(i)])
        s[_U(i)] = sine
        cosine[_U(i)] = slope


@compiled
def _hidden(theta: Any, scratch: Any) -> Any:
    """The units that the linear layer sees of a block, whose features are the first of `scratch`.

    The next but one are sines and cosines of either layer.
    """
    w1, b1, w2, b2, _, _ = theta
    z, _, s1, c1, s2, c2, _, _, _ = scratch
    affine(w1, b1, z, s1)
    _sines(s1, c1, w1.shape[0] * BLOCK)
    if len(w2) == 0:
        return s1
    affine(w2, b2, s1, s2)
    _sines(s2, c2, w2.shape[0] * BLOCK)
    return s2


@compiled
def synthesize(
    u: Any,
    starts: Any,
    rows: Any,
    taps: Any,
    theta: Any,
    first: int,
    last: int,
    out: Any,
    scratch: Any,
) -> None:
    """Channels `out` (C, H, W) of rows `first` to `last`; arguments as in `synthesis_step`."""
    z, o = scratch[0], scratch[1]
    for y in range(first, last):
        for x0 in range(0, out.shape[2], BLOCK):
            n = min(BLOCK, out.shape[2] - x0)
            _features(u, starts, rows, taps, out.shape[2], y, x0, n, z)
            affine(theta[4], theta[5], _hidden(theta, scratch), o)
            for c in range(out.shape[0]):
                row = out[c, y, x0 : x0 + n]
                for p in range(n):
                    row[p] = o[_U(c * BLOCK + p)]


@compiled
def synthesis_step(
    u: Any,
    starts: Any,
    rows: Any,
    taps: Any,
    theta: Any,
    target: Any,
    first: int,
    last: int,
    weight: Any,
    d_u: Any,
    d_theta: Any,
    scratch: Any,
    differentiate: bool,
) -> Any:
    """Sum of squared errors over rows `first` to `last` of `target` (C, H, W).

    `u` holds the planes, interpolated along their rows: plane k from starts[k] on, (h_k, W). Row y
    of the picture needs rows[k, y] of it with weights taps[k, y]. `theta` is weight and bias of two
    sine layers, of which the second may have no rows, and of the linear one; see
    `blocks.padded`.
    With `differentiate` the gradients, times `weight`, are added to `d_u` and `d_theta`.
    """
    z, out = scratch[0], scratch[1]
    channels, _, width = target.shape
    total: Any = 0.0
    for y in range(first, last):
        for x0 in range(0, width, BLOCK):
            n = min(BLOCK, width - x0)
            _features(u, starts, rows, taps, width, y, x0, n, z)
            affine(theta[4], theta[5], _hidden(theta, scratch), out)
            for c in range(channels):
                error: Any = _ZERO
                wanted = target[c, y, x0 : x0 + n]
                for p in range(n):
                    difference = out[_U(c * BLOCK + p)] - wanted[p]
                    error += difference * difference
                    out[_U(c * BLOCK + p)] = _TWO * weight * difference
                total += error
            if differentiate:
                place = (width, y, x0, n)
                _back(starts, rows, taps, theta, place, channels, d_u, d_theta, scratch)
    return total


@compiled
def synthesis_back(
    u: Any,
    starts: Any,
    rows: Any,
    taps: Any,
    theta: Any,
    gradient: Any,
    first: int,
    last: int,
    d_u: Any,
    d_theta: Any,
    scratch: Any,
) -> None:
    """Add to `d_u` and `d_theta` what rows `first` to `last` of the `gradient` (C, H, W) by the
    output give them; the other arguments as in `synthesis_step`."""
    z, out = scratch[0], scratch[1]
    channels, _, width = gradient.shape
    for y in range(first, last):
        for x0 in range(0, width, BLOCK):
            n = min(BLOCK, width - x0)
            _features(u, starts, rows, taps, width, y, x0, n, z)
            _hidden(theta, scratch)
            for c in range(channels):
                row = gradient[c, y, x0 : x0 + n]
                for p in range(n):
                    out[_U(c * BLOCK + p)] = row[p]
            _back(starts, rows, taps, theta, (width, y, x0, n), channels, d_u, d_theta, scratch)


@compiled
def _back(
    starts: Any,
    rows: Any,
    taps: Any,
    theta: Any,
    place: Any,
    channels: int,
    d_u: Any,
    d_theta: Any,
    scratch: Any,
) -> None:
    """The gradients of n pixels, `place`, from that by their channels, the second of `scratch`."""
    w1, _, w2, _, w3, _ = theta
    d_w1, d_b1, d_w2, d_b2, d_w3, d_b3 = d_theta
    z, out, s1, c1, s2, c2, g1, g2, d_z = scratch
    width, y, x0, n = place
    for c in range(w3.shape[0]):
        for p in range(n if c < channels else 0, BLOCK):
            out[_U(c * BLOCK + p)] = _ZERO
    if len(w2) == 0:
        affine_gradient(out, s1, d_w3, d_b3)
        affine_back(w3, out, g1)
    else:
        affine_gradient(out, s2, d_w3, d_b3)
        affine_back(w3, out, g2)
        for i in range(w2.shape[0] * BLOCK):
            g2[_U(i)] *= c2[_U(i)]
        affine_gradient(g2, s1, d_w2, d_b2)
        affine_back(w2, g2, g1)
    for i in range(w1.shape[0] * BLOCK):
        g1[_U(i)] *= c1[_U(i)]
    affine_gradient(g1, z, d_w1, d_b1)
    affine_back(w1, g1, d_z)
    for k in range(len(starts)):
        for t in range(4):
            tap = taps[k, y, t]
            o = starts[k] + x0 + rows[k, y, t] * width
            d = d_u[o : o + n]
            for p in range(n):
                d[p] += tap * d_z[_U(k * BLOCK + p)]


@compiled
def adam(
    y: Any,
    gradient: Any,
    slope: Any,
    mean: Any,
    square: Any,
    rate: float,
    betas: Any,
    step: int,
    first: int,
    last: int,
) -> None:
    """A step of Adam (Kingma and Ba 2015) for y, whose gradient is `gradient` times `slope`."""
    b1, b2 = np.float32(betas[0]), np.float32(betas[1])
    length = np.float32(rate / (1 - betas[0] ** step))
    correction = np.float32(1 / (1 - betas[1] ** step))
    tiny = np.float32(1e-12)
    y, gradient, slope = y[first:last], gradient[first:last], slope[first:last]
    mean, square = mean[first:last], square[first:last]
    for i in range(last - first):
        g = gradient[i] * slope[i]
        mean[i] = b1 * mean[i] + (_ONE - b1) * g
        square[i] = b2 * square[i] + (_ONE - b2) * g * g
        y[i] -= length * mean[i] / (np.sqrt(square[i] * correction) + tiny)
