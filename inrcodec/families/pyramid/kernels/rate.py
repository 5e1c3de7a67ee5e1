"""Rate of latent planes under their context network, and its gradients, fused (Numba, float32).

A latent's inputs are 10 or 18 causal neighbours in its plane, 4 values of two planes coded
before it, the level of its plane and how many planes of that level follow. Two layers of rectified
units give the centre and the log₂ scale of a Laplace distribution (COOL-CHIC, Ladune et al. 2023;
C3, Kim et al. 2024). `families.pyramid.context_coder` codes the file with the same network in
integers; here latents need not be integers. The definition of the bits is
`inrcodec.kernels.reference.laplace_bits`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from inrcodec.families.pyramid.kernels.blocks import (
    BLOCK,
    affine,
    affine_back,
    affine_gradient,
    exp2,
    fours,
    log2,
    rectify,
    rectify_back,
)
from inrcodec.families.pyramid.latents import BORDER, PLACES
from inrcodec.families.pyramid.shape import OTHER_INPUTS
from inrcodec.kernels import reference
from inrcodec.kernels.compile import compiled

SCALE_LEAST, SCALE_MOST = np.float32(reference.SCALE_LEAST), np.float32(reference.SCALE_MOST)
"""Limits of the log₂ scale."""

_U = np.uint64
_ZERO, _ONE, _HALF = np.float32(0), np.float32(1), np.float32(0.5)
_LOG2E, _LN2 = np.float32(1.4426950408889634), np.float32(0.6931471805599453)
FLOOR = np.float32(reference.FLOOR)
"""Added to a probability; the coder's own floor is a third of it."""


class RateGradient(NamedTuple):
    """Where `rate_rows` adds gradients.

    Attributes:
        weight: float32, factor of the bits.
        plane: gradient by the plane's latents, padded as the plane.
        near: gradient by the near plane, padded.
        far: gradient by the far plane, padded.
        layers: `Layers`, gradient by the context network.
    """

    weight: Any
    plane: Any
    near: Any
    far: Any
    layers: Any


class RateScratch(NamedTuple):
    """Blocks of one thread, see `kernels.blocks`.

    Attributes:
        x: inputs.
        h1: units of the first layer.
        g1: gradient by them.
        dx: gradient by the inputs.
        out: centre and log₂ scale.
        g_out: gradient by them.
        h2: units of the second layer.
        g2: gradient by them.
    """

    x: Any
    h1: Any
    g1: Any
    dx: Any
    out: Any
    g_out: Any
    h2: Any
    g2: Any


def rate_scratch(units: int) -> RateScratch:
    """Blocks for networks with at most `units` inputs or units a layer."""
    count = len(RateScratch._fields)
    return RateScratch(*(np.zeros(fours(units) * BLOCK, np.float32) for _ in range(count)))


@compiled
def _read_inputs(tables: Any, neighbours: int, place: Any, x: Any) -> None:
    """Fill block `x` with the inputs of n latents of row y from column x0 on; place: (y, x0, n)."""
    y, x0, n = place
    r = y + BORDER
    for j in range(neighbours):
        start = x0 + BORDER + PLACES[j, 1]
        beside = tables.plane[r + PLACES[j, 0], start : start + n]
        for p in range(n):
            x[_U(j * BLOCK + p)] = beside[p]
    o = neighbours * BLOCK
    values0, values1 = tables.near[tables.near_rows[y, 0]], tables.near[tables.near_rows[y, 1]]
    values2, near_cols, far_cols = tables.far[tables.far_rows[y]], tables.near_cols, tables.far_cols
    for p in range(n):
        q = _U(near_cols[x0 + p, 0])
        x[_U(o + p)] = values0[q]
        x[_U(o + BLOCK + p)] = values0[_U(near_cols[x0 + p, 1])]
        x[_U(o + 2 * BLOCK + p)] = values1[q]
        x[_U(o + 3 * BLOCK + p)] = values2[_U(far_cols[x0 + p])]
        x[_U(o + 4 * BLOCK + p)] = tables.level
        x[_U(o + 5 * BLOCK + p)] = tables.later


@compiled
def _add_input_gradient(tables: Any, neighbours: int, place: Any, dx: Any, gradient: Any) -> None:
    """Add block `dx`, the gradient by the inputs, to that by the planes: adjoint of the reading."""
    y, x0, n = place
    r = y + BORDER
    for j in range(neighbours):
        start = x0 + BORDER + PLACES[j, 1]
        beside = gradient.plane[r + PLACES[j, 0], start : start + n]
        for p in range(n):
            beside[p] += dx[_U(j * BLOCK + p)]
    o = neighbours * BLOCK
    values0, values1 = gradient.near[tables.near_rows[y, 0]], gradient.near[tables.near_rows[y, 1]]
    values2, near_cols, far_cols = (
        gradient.far[tables.far_rows[y]],
        tables.near_cols,
        tables.far_cols,
    )
    for p in range(n):
        q = _U(near_cols[x0 + p, 0])
        values0[q] += dx[_U(o + p)]
        values0[_U(near_cols[x0 + p, 1])] += dx[_U(o + BLOCK + p)]
        values1[q] += dx[_U(o + 2 * BLOCK + p)]
        values2[_U(far_cols[x0 + p])] += dx[_U(o + 3 * BLOCK + p)]


@compiled
def _laplace(own: Any, out: Any, weight: Any, d_own: Any, g_out: Any) -> Any:
    """Bits of n latents `own` (n,) whose centres and log₂ scales are in block `out`.

    Adds the gradient of `weight` times the bits by the latents to `d_own` (n,), and writes that by
    centre and scale to block `g_out`. See `reference.laplace_bits` and `reference.laplace_slopes`.
    """
    bits: Any = _ZERO
    for p in range(len(own)):
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
    return bits


@compiled
def _layers_back(layers: Any, n: int, d_layers: Any, scratch: Any) -> None:
    """Add the gradient by the network to `d_layers`, and set `scratch.dx` to that by the inputs.

    `scratch.g_out` is the gradient by centre and scale of the first n latents.
    """
    x, h1, g1, dx, _, g_out, h2, g2 = scratch
    n1, n2 = layers.w1.shape[0] * BLOCK, layers.w2.shape[0] * BLOCK
    for p in range(n, BLOCK):
        g_out[_U(p)] = _ZERO
        g_out[_U(BLOCK + p)] = _ZERO
    affine_gradient(g_out, h2, d_layers.w3, d_layers.b3)
    affine_back(layers.w3, g_out, g2)
    rectify_back(g2, h2, n2)
    affine_gradient(g2, h1, d_layers.w2, d_layers.b2)
    affine_back(layers.w2, g2, g1)
    rectify_back(g1, h1, n1)
    affine_gradient(g1, x, d_layers.w1, d_layers.b1)
    affine_back(layers.w1, g1, dx)


@compiled
def rate_rows(
    tables: Any,
    layers: Any,
    first: int,
    last: int,
    gradient: Any,
    scratch: Any,
    differentiate: bool,
) -> Any:
    """Bits of rows `first` to `last` of a plane.

    `tables` is `PlaneTables` with `far_rows` (h,), `far_cols` (w,) and float32 constants, `layers`
    the context network's `Layers`. With `differentiate` it adds the gradients of `gradient.weight`
    times the bits to `gradient`, a `RateGradient`: one pass over the blocks serves both. Without,
    `gradient.plane` is not meaningful afterwards.
    """
    x, h1, _, dx, out, g_out, h2, _ = scratch
    n1, n2 = layers.w1.shape[0] * BLOCK, layers.w2.shape[0] * BLOCK
    w = tables.plane.shape[1] - 2 * BORDER
    neighbours = layers.w1.shape[1] - OTHER_INPUTS
    total: Any = 0.0
    for y in range(first, last):
        for x0 in range(0, w, BLOCK):
            place = y, x0, min(BLOCK, w - x0)
            _read_inputs(tables, neighbours, place, x)
            affine(layers.w1, layers.b1, x, h1)
            rectify(h1, n1)
            affine(layers.w2, layers.b2, h1, h2)
            rectify(h2, n2)
            affine(layers.w3, layers.b3, h2, out)
            r, start, stop = y + BORDER, x0 + BORDER, x0 + BORDER + place[2]
            own, d_own = tables.plane[r, start:stop], gradient.plane[r, start:stop]
            total += _laplace(own, out, gradient.weight, d_own, g_out)
            if differentiate:
                _layers_back(layers, place[2], gradient.layers, scratch)
                _add_input_gradient(tables, neighbours, place, dx, gradient)
    return total
