"""Formulas of the kernels in plain NumPy: the definition that Numba and Triton are tested against.

Arrays are computed in their own precision, float32 or float64, unless a docstring says otherwise.
The polynomial coefficients, hash multipliers and limits here are the only ones; kernels import
them. The kernels themselves may reorder sums and use approximations of exp2 and log2 (relative
error 1e-6, see `families.pyramid.kernels.blocks`).

Filters and interpolation are linear: their adjoints follow from the forward formula, so that only
the forward formula is here.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating[Any]]
Indices = NDArray[np.integer[Any]]

SCALE_LEAST, SCALE_MOST = -5.0, 9.0
"""Limits of the log₂ scale of a Laplace distribution; scales beyond are clamped."""

FLOOR = 2e-7
"""Added to a symbol's probability, so that its bits are finite (at most 22.3). The range coder's
own floor is a third of it."""

NOISE_MULTIPLIERS = (0x9E3779B1, 0x7FEB352D, 0x846CA68B)
"""Odd constants of the noise hash: 2^32 divided by the golden ratio, and the two of the integer
hash lowbias32 (Wellons 2018)."""

SINE = (-1 / 6, 1 / 120, -1 / 5040, 1 / 362880)
"""Taylor coefficients of sin(x) / x - 1 by x², x⁴ and so on; on [-π/2, π/2] the remainder of the
sine is below 4e-6."""

COSINE = (-1 / 2, 1 / 24, -1 / 720, 1 / 40320, -1 / 3628800)
"""Taylor coefficients of cos(x) - 1 by x², x⁴ and so on; on [-π/2, π/2] the remainder of the cosine
is below 5e-7."""


def laplace_bits(values: ArrayLike, centre: ArrayLike, log2_scale: ArrayLike) -> Floats:
    """Bits that quantized values cost under Laplace distributions, of the arguments' common shape.

    -log₂(P + FLOOR), where P is the probability of [value - ½, value + ½] and the scale s = 2^t
    has t = `log2_scale`, clamped to [SCALE_LEAST, SCALE_MOST] (Ladune et al. 2023, COOL-CHIC).
    Values need not be integers. Float64.

    >>> float(laplace_bits(3, 3, 0).round(3)), float(laplace_bits(5, 3, 0).round(3))
    (1.346, 3.826)
    """
    return -np.log2(_laplace(values, centre, log2_scale)[0])


def laplace_slopes(
    values: ArrayLike, centre: ArrayLike, log2_scale: ArrayLike
) -> tuple[Floats, Floats, Floats]:
    """Derivatives of `laplace_bits` by value, by centre and by log₂ scale, in float64.

    That by the log₂ scale is 0 where the scale is clamped.
    """
    probability, upper, lower, distance, sign, per_s = _laplace(values, centre, log2_scale)
    by_probability = -1 / (math.log(2) * probability)
    by_value = -by_probability * sign * per_s * (upper - lower) / 2
    by_per_s = by_probability * ((0.5 - distance) * upper + (0.5 + distance) * lower) / 2
    free = np.asarray(log2_scale, np.float64)
    inside = (free > SCALE_LEAST) & (free < SCALE_MOST)
    by_scale = np.where(inside, -by_per_s * per_s * math.log(2), 0.0)
    return by_value, -by_value, by_scale


def _laplace(values: ArrayLike, centre: ArrayLike, log2_scale: ArrayLike) -> tuple[Floats, ...]:
    """P + FLOOR; exp(-|d ± ½| / s) of the nearer and of the farther edge of the interval; the
    distance d ≥ 0 from the centre, its sign, and 1 / s."""
    v, c, t = np.broadcast_arrays(
        *(np.asarray(a, np.float64) for a in (values, centre, log2_scale))
    )
    per_s = np.exp2(-np.clip(t, SCALE_LEAST, SCALE_MOST))
    d, sign = np.abs(v - c), np.where(v >= c, 1.0, -1.0)
    upper, lower = np.exp(-np.abs(d - 0.5) * per_s), np.exp(-(d + 0.5) * per_s)
    probability = np.where(d > 0.5, (upper - lower) / 2, 1 - (upper + lower) / 2) + FLOOR
    return probability, upper, lower, d, sign, per_s


def noise(places: Indices, seed: int, width: float) -> Floats:
    """Pseudo-random noise for soft rounding, in steps of the quantizer: float64, as `places`.

    Its distribution is triangular on [-width/2, width/2]: the sum of the two 16-bit halves of a
    hash of the place (0 to 2^32 - 1) and the seed (32 bits). The first product keeps 64 bits, all
    later ones 32.

    >>> noise(np.arange(3), seed=5, width=1.0).round(4)
    array([ 0.0967, -0.0164, -0.0768])
    """
    m0, m1, m2 = (np.uint64(m) for m in NOISE_MULTIPLIERS)
    low, half = np.uint64(0xFFFFFFFF), np.uint64(16)
    h = places.astype(np.uint64) * m0 + np.uint64(seed)
    h = (h ^ h >> half) * m1 & low
    h = (h ^ h >> np.uint64(15)) * m2 & low
    h = h ^ h >> half
    total = (h & np.uint64(0xFFFF)).astype(np.float64) + (h >> half).astype(np.float64)
    return total * (width * 2.0**-17) - width / 2


def soft_round(y: Floats, temperature: float, u: Floats | float = 0.0) -> tuple[Floats, Floats]:
    """Softly rounded latents s(s(y) + u) with noise `u`, and their slopes by y.

    s(x) = ⌊x⌋ + ½ + tanh((x - ⌊x⌋ - ½) / T) / (2 tanh(1 / 2T)) (Agustsson and Theis 2020; C3, Kim
    et al. 2024, section 3.1). For T → ∞, s(x) = x; for T → 0 it rounds. At temperature 0 the
    result is ⌊y + ½⌋ without noise, and the slope is 1 (straight-through).

    >>> soft_round(np.array([0.2, 0.7]), temperature=0.0)
    (array([0., 1.]), array([1., 1.]))
    """
    if temperature == 0:
        return np.floor(y + 0.5), np.ones_like(y)
    first, by_y = _soft(y, temperature)
    second, by_first = _soft(first + u, temperature)
    return second, by_y * by_first


def _soft(x: Floats, temperature: float) -> tuple[Floats, Floats]:
    middle = np.floor(x) + 0.5
    norm = 0.5 / math.tanh(0.5 / temperature)
    t = np.tanh((x - middle) / temperature)
    return middle + norm * t, norm / temperature * (1 - t * t)


def sine_and_cosine(x: Floats) -> tuple[Floats, Floats]:
    """Sine and cosine of x in radians, to 1e-5 for |x| < 100 in float32.

    With h half of x, reduced to [-π/2, π/2]: sin x = 2 sin h cos h and cos x = 1 - 2 sin² h, where
    sin h and cos h are the polynomials `SINE` and `COSINE`.

    >>> sine, cosine = sine_and_cosine(np.array([0.0, np.pi / 2]))
    >>> sine.round(4), np.abs(cosine).round(4)
    (array([0., 1.]), array([1., 0.]))
    """
    real = x.dtype.type
    turns = x * real(0.5 / math.pi)
    half = (turns - np.floor(turns + real(0.5))) * real(math.pi)
    square = half * half
    sine = half * _polynomial(SINE, square)
    cosine = _polynomial(COSINE, square)
    return 2 * sine * cosine, 1 - 2 * sine * sine


def _polynomial(coefficients: tuple[float, ...], q: Floats) -> Floats:
    """1 + c₀ q + c₁ q² + …, by Horner's rule."""
    total = np.zeros_like(q)
    for coefficient in reversed(coefficients):
        total = q * (q.dtype.type(coefficient) + total)
    return 1 + total


def interpolate(values: Floats, indices: Indices, taps: Floats) -> Floats:
    """Values (…, n), interpolated at N positions along the last axis: (…, N).

    Position i has the value Σₜ taps[i, t] · values[…, indices[i, t]]. `indices` and `taps` (N, 4)
    are those of `families.pyramid.latents.interpolation`, which holds the formula of the taps.

    >>> interpolate(np.array([[1.0, 3.0]]), np.array([[0, 1]]), np.array([[0.25, 0.75]]))
    array([[2.5]])
    """
    result: Floats = (values[..., indices] * taps).sum(-1)
    return result


def filter_plane(plane: Floats, taps: Floats) -> Floats:
    """A latent plane (h, w) after its separable symmetric filter with n taps tⱼ.

    Along each axis f(i) = q(i) + Σⱼ tⱼ (q(i - j) + q(i + j)), j from 1 to n. Beyond its edges the
    plane repeats its outermost samples.

    >>> filter_plane(np.array([[0.0, 4.0, 0.0, 0.0]]), np.array([0.25]))
    array([[1.5, 6. , 1.5, 0. ]])
    """
    for axis in (1, 0):
        size = plane.shape[axis]
        total = plane
        for j, tap in enumerate(taps, 1):
            for step in (-j, j):
                beside = np.clip(np.arange(size) + step, 0, size - 1)
                total = total + tap * np.take(plane, beside, axis)
        plane = total
    return plane


def filter_output(x: Floats, weight: Floats, bias: Floats) -> Floats:
    """Channels (C, H, W) after the 3x3 output filter y = x + W * x + b with its residual path.

    `weight` (C, 9 C) holds for each output channel the taps of every input channel, row by row;
    `bias` (C,). Beyond the edges the outermost pixels are repeated.
    """
    channels, height, width = x.shape
    wide = np.pad(x, ((0, 0), (1, 1), (1, 1)), mode="edge")
    y: Floats = x + bias[:, None, None]
    for c in range(channels):
        for k in range(channels):
            for i in range(3):
                for j in range(3):
                    part = wide[k, i : i + height, j : j + width]
                    y[c] += weight[c, 9 * k + 3 * i + j] * part
    return y
