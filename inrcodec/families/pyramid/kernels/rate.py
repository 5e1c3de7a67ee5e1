"""The rate of latent planes under their context network, and its gradients, fused (Numba).

A latent's inputs are 10 or 18 causal neighbours in its plane, 4 values of two planes coded
before it, the level of its plane and how many of that level follow; two layers of rectified units
give centre and log₂ scale of a Laplace distribution (COOL-CHIC, Ladune et al. 2023; C3, Kim et al.
2024). The file is coded by `entropy.context`, in integers; this is the same in float32, for latents
that need not be integers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from inrcodec.families.pyramid.kernels.blocks import (
    BLOCK,
    affine,
    affine_back,
    affine_gradient,
    exp2,
    log2,
    rectify,
    rectify_back,
)
from inrcodec.families.pyramid.latents import BORDER, PLACES
from inrcodec.families.pyramid.shape import OTHER_INPUTS
from inrcodec.kernels.compile import compiled

SCALE_LEAST, SCALE_MOST = np.float32(-5), np.float32(9)
"""Limits of the log₂ scale."""

_U = np.uint64
_ZERO, _ONE, _HALF = np.float32(0), np.float32(1), np.float32(0.5)
_LOG2E, _LN2 = np.float32(1.4426950408889634), np.float32(0.6931471805599453)
FLOOR = np.float32(2e-7)
"""Added to a probability; the coder's own floor is a third of it."""

SCRATCH = 8
"""Buffers of a block that `context_rate` needs."""


@compiled
def context_rate(
    plane: Any,
    near: Any,
    near_rows: Any,
    near_cols: Any,
    far: Any,
    far_rows: Any,
    far_cols: Any,
    level: Any,
    later: Any,
    theta: Any,
    first: int,
    last: int,
    weight: Any,
    d_plane: Any,
    d_near: Any,
    d_far: Any,
    d_theta: Any,
    scratch: Any,
    differentiate: bool,
) -> Any:
    """Bits of the rows `first` to `last` of a plane.

    Planes are padded by BORDER (not below). `near` and `far` are two planes coded before it;
    `near_rows` (h, 2) and `near_cols` (w, 2) are the places in the near one of the value at a
    latent and of the one next to it, `far_rows` and `far_cols` (h,), (w,) those in the far one of
    the value alone.
    `level` and `later` are constants of the plane. `theta` holds weight and bias of the three
    layers. With `differentiate` the gradients, times `weight`, are added to the arrays named d_.
    """
    w1, b1, w2, b2, w3, b3 = theta
    d_w1, d_b1, d_w2, d_b2, d_w3, d_b3 = d_theta
    x, h1, g1, dx, out, g_out, h2, g2 = scratch
    n1, n2 = w1.shape[0] * BLOCK, w2.shape[0] * BLOCK
    w = plane.shape[1] - 2 * BORDER
    neighbours = w1.shape[1] - OTHER_INPUTS
    total: Any = 0.0
    for y in range(first, last):
        r = y + BORDER
        row0, row1, row2 = near_rows[y, 0], near_rows[y, 1], far_rows[y]
        for x0 in range(0, w, BLOCK):
            n = min(BLOCK, w - x0)
            for j in range(neighbours):
                start = x0 + BORDER + PLACES[j, 1]
                beside = plane[r + PLACES[j, 0], start : start + n]
                for p in range(n):
                    x[_U(j * BLOCK + p)] = beside[p]
            o = neighbours * BLOCK
            values0, values1, values2 = near[row0], near[row1], far[row2]
            for p in range(n):
                q = _U(near_cols[x0 + p, 0])
                x[_U(o + p)] = values0[q]
                x[_U(o + BLOCK + p)] = values0[_U(near_cols[x0 + p, 1])]
                x[_U(o + 2 * BLOCK + p)] = values1[q]
                x[_U(o + 3 * BLOCK + p)] = values2[_U(far_cols[x0 + p])]
                x[_U(o + 4 * BLOCK + p)] = level
                x[_U(o + 5 * BLOCK + p)] = later
            affine(w1, b1, x, h1)
            rectify(h1, n1)
            affine(w2, b2, h1, h2)
            rectify(h2, n2)
            affine(w3, b3, h2, out)
            bits: Any = _ZERO
            own = plane[r, x0 + BORDER : x0 + BORDER + n]
            d_own = d_plane[r, x0 + BORDER : x0 + BORDER + n]
            for p in range(n):
                scale = out[_U(BLOCK + p)]
                inside = (scale > SCALE_LEAST) & (scale < SCALE_MOST)
                # With s = 2^scale: P = ½(e1 - e2) beyond ½ from the centre, else 1 - ½(e1 + e2).
                per_s = exp2(-min(max(scale, SCALE_LEAST), SCALE_MOST))
                distance = own[p] - out[_U(p)]
                sign = _ONE if distance >= _ZERO else -_ONE
                d = abs(distance)
                e1 = exp2(-abs(d - _HALF) * per_s * _LOG2E)
                e2 = exp2(-(d + _HALF) * per_s * _LOG2E)
                probability = _HALF * (e1 - e2) if d > _HALF else _ONE - _HALF * (e1 + e2)
                probability += FLOOR
                bits -= log2(probability)
                slope = -weight * _LOG2E * _HALF / probability
                by_d = -slope * per_s * (e1 - e2) * sign
                by_per_s = slope * ((_HALF - d) * e1 + (d + _HALF) * e2)
                d_own[p] += by_d
                g_out[_U(p)] = -by_d
                g_out[_U(BLOCK + p)] = -by_per_s * per_s * _LN2 if inside else _ZERO
            total += bits
            if not differentiate:
                continue
            for p in range(n, BLOCK):
                g_out[_U(p)] = _ZERO
                g_out[_U(BLOCK + p)] = _ZERO
            affine_gradient(g_out, h2, d_w3, d_b3)
            affine_back(w3, g_out, g2)
            rectify_back(g2, h2, n2)
            affine_gradient(g2, h1, d_w2, d_b2)
            affine_back(w2, g2, g1)
            rectify_back(g1, h1, n1)
            affine_gradient(g1, x, d_w1, d_b1)
            affine_back(w1, g1, dx)
            for j in range(neighbours):
                start = x0 + BORDER + PLACES[j, 1]
                beside = d_plane[r + PLACES[j, 0], start : start + n]
                for p in range(n):
                    beside[p] += dx[_U(j * BLOCK + p)]
            values0, values1, values2 = d_near[row0], d_near[row1], d_far[row2]
            for p in range(n):
                q = _U(near_cols[x0 + p, 0])
                values0[q] += dx[_U(o + p)]
                values0[_U(near_cols[x0 + p, 1])] += dx[_U(o + BLOCK + p)]
                values1[q] += dx[_U(o + 2 * BLOCK + p)]
                values2[_U(far_cols[x0 + p])] += dx[_U(o + 3 * BLOCK + p)]
    return total
