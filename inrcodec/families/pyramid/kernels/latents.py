"""Latents in a training step: soft rounding, interpolation with its adjoint, Adam (Numba, float32).

The definitions of rounding, noise and interpolation are in `inrcodec.kernels.reference`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from inrcodec.families.pyramid.kernels.blocks import exp2
from inrcodec.kernels.compile import compiled
from inrcodec.kernels.reference import NOISE_MULTIPLIERS

_U = np.uint64
_ZERO, _ONE, _TWO, _HALF = np.float32(0), np.float32(1), np.float32(2), np.float32(0.5)
_M0, _M1, _M2 = (np.uint32(m) for m in NOISE_MULTIPLIERS)
_S15, _S16, _LOW = np.uint32(15), np.uint32(16), np.uint32(0xFFFF)


class Rounding(NamedTuple):
    """How latents are rounded softly.

    Attributes:
        temperature: float; 0 rounds to integers.
        width: width of the noise's distribution, in steps of the quantizer.
        seed: of the noise, 0 to 2^32 - 1.
    """

    temperature: float
    width: float
    seed: int


class Moments(NamedTuple):
    """Adam's running means, each shaped as the parameters.

    Attributes:
        mean: of the gradient.
        square: of the squared gradient.
    """

    mean: Any
    square: Any


class AdamStep(NamedTuple):
    """Settings of one step of Adam.

    Attributes:
        rate: length of the step, in steps of the quantizer.
        beta1: decay of the mean.
        beta2: decay of the mean square.
        number: number of the step, from 1.
    """

    rate: float
    beta1: float
    beta2: float
    number: int


@compiled
def soft_round(
    y: Any, q: Any, slope: Any, inside: Any, rounding: Any, first: int, last: int
) -> None:
    """Round latents `first` to `last` of `y` softly with noise: values `q`, slopes by y `slope`.

    All arrays are (N,). Where `inside` is 0 (the planes' borders) value and slope are 0, elsewhere
    it is 1. `rounding` is a `Rounding`. The noise depends on the latent's place and the seed only.
    See `reference.soft_round` and `reference.noise`.
    """
    temperature, width, seed = rounding
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
    """First and last + 1 of the columns that share one set of taps; (0, 0) if they differ.

    In a plane of the picture's own resolution these are nearly all columns, and their loop needs no
    index tables.
    """
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
    """Interpolate rows `first` to `last` of a plane at the W columns of the picture: `out` (h, W).

    `plane` has `border` rows above; `cols` (W, 4) are places in one of its rows with the border
    included, and `taps` (W, 4) their weights. See `reference.interpolate`.
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
    """Adjoint of `interpolate_rows`: add the gradient `g` (h, W) by its output to `d_plane`.

    `d_plane` is the gradient by the plane, with the plane's border.
    """
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
def adam(y: Any, gradient: Any, slope: Any, moments: Any, step: Any, first: int, last: int) -> None:
    """Update `y` (N,), places `first` to `last`, by a step of Adam (Kingma and Ba 2015).

    The gradient is `gradient` times `slope`. `moments` are `Moments`, updated too; `step` is an
    `AdamStep`.
    """
    b1, b2 = np.float32(step.beta1), np.float32(step.beta2)
    length = np.float32(step.rate / (1 - step.beta1**step.number))
    correction = np.float32(1 / (1 - step.beta2**step.number))
    tiny = np.float32(1e-12)
    y, gradient, slope = y[first:last], gradient[first:last], slope[first:last]
    mean, square = moments.mean[first:last], moments.square[first:last]
    for i in range(last - first):
        g = gradient[i] * slope[i]
        mean[i] = b1 * mean[i] + (_ONE - b1) * g
        square[i] = b2 * square[i] + (_ONE - b2) * g * g
        y[i] -= length * mean[i] / (np.sqrt(square[i] * correction) + tiny)
