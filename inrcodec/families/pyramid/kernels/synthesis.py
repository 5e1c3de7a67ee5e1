"""Sine synthesis over interpolated latents, its error and gradients, fused (Numba, float32).

The planes are interpolated along their rows beforehand (`kernels.latents`); here pixels go through
the vertical interpolation and the layers in blocks that stay in the cache. The reference is
`families.pyramid.network.PyramidNetwork`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from inrcodec.families.pyramid.kernels.blocks import (
    BLOCK,
    Layers,
    affine,
    affine_back,
    affine_gradient,
    fours,
)
from inrcodec.kernels.compile import compiled
from inrcodec.kernels.sine import sine_and_cosine

_U = np.uint64
_ZERO, _TWO = np.float32(0), np.float32(2)


class PlaneRows(NamedTuple):
    """Planes interpolated along their rows, and how to interpolate them along columns.

    Plane k is (h_k, W), W the width of the picture. Row y of the picture is
    Σₜ taps[k, y, t] · (row rows[k, y, t] of plane k).

    Attributes:
        u: values of all planes, flat, one plane after the other.
        starts: (planes,), place in `u` of each plane's first value.
        rows: (planes, H, 4), rows of the planes.
        taps: (planes, H, 4), their weights, with the plane's gain 2^-level.
    """

    u: Any
    starts: Any
    rows: Any
    taps: Any


class SynthesisGradient(NamedTuple):
    """Where `synthesis_step` and `synthesis_back` add gradients.

    Attributes:
        weight: float32, factor of the sum of squared errors. `synthesis_back` ignores it: the
            gradient that it gets includes it.
        u: gradient by `PlaneRows.u`.
        layers: `Layers`, gradient by the network.
    """

    weight: Any
    u: Any
    layers: Any


class SynthesisScratch(NamedTuple):
    """Blocks of one thread, see `kernels.blocks`.

    Attributes:
        z: features.
        out: output, then the gradient by it.
        s1: sines of the first layer.
        c1: cosines of the first layer.
        s2: sines of the second layer.
        c2: cosines of the second layer.
        g1: gradient by the first layer's sines, then by their angles.
        g2: gradient by the second layer's sines, then by their angles.
        d_z: gradient by the features.
    """

    z: Any
    out: Any
    s1: Any
    c1: Any
    s2: Any
    c2: Any
    g1: Any
    g2: Any
    d_z: Any


def synthesis_scratch(units: int) -> SynthesisScratch:
    """Blocks for networks with at most `units` inputs, units or outputs a layer."""
    count = len(SynthesisScratch._fields)
    return SynthesisScratch(*(np.zeros(fours(units) * BLOCK, np.float32) for _ in range(count)))


def sine_layers(theta: Sequence[NDArray[np.float32]]) -> Layers:
    """`Layers` of a synthesis network, from weight and bias of its two or three layers."""
    nothing = (np.zeros((0, 0), np.float32), np.zeros(0, np.float32))
    return Layers(*theta[:2], *(theta[2:4] if len(theta) == 6 else nothing), *theta[-2:])


@compiled
def _features(source: Any, width: int, y: int, x0: int, n: int, z: Any) -> None:
    """Interpolate n pixels of row y from column x0 on vertically: features, block `z`."""
    u, starts, rows, taps = source
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
    """Replace the first n angles in `s` by their sines, and write their cosines."""
    for i in range(n):
        sine, slope = sine_and_cosine(s[_U(i)])
        s[_U(i)] = sine
        cosine[_U(i)] = slope


@compiled
def _hidden(layers: Any, scratch: Any) -> Any:
    """The block that the linear layer sees, from the features; fills the sines and cosines."""
    affine(layers.w1, layers.b1, scratch.z, scratch.s1)
    _sines(scratch.s1, scratch.c1, layers.w1.shape[0] * BLOCK)
    if len(layers.w2) == 0:
        return scratch.s1
    affine(layers.w2, layers.b2, scratch.s1, scratch.s2)
    _sines(scratch.s2, scratch.c2, layers.w2.shape[0] * BLOCK)
    return scratch.s2


@compiled
def synthesize(source: Any, layers: Any, first: int, last: int, out: Any, scratch: Any) -> None:
    """Write rows `first` to `last` of the network's output, `out` (C, H, W).

    `source` is `PlaneRows`, `layers` `Layers`, `scratch` `SynthesisScratch`.
    """
    z, o = scratch.z, scratch.out
    for y in range(first, last):
        for x0 in range(0, out.shape[2], BLOCK):
            n = min(BLOCK, out.shape[2] - x0)
            _features(source, out.shape[2], y, x0, n, z)
            affine(layers.w3, layers.b3, _hidden(layers, scratch), o)
            for c in range(out.shape[0]):
                row = out[c, y, x0 : x0 + n]
                for p in range(n):
                    row[p] = o[_U(c * BLOCK + p)]


@compiled
def synthesis_step(
    source: Any,
    layers: Any,
    target: Any,
    first: int,
    last: int,
    gradient: Any,
    scratch: Any,
    differentiate: bool,
) -> Any:
    """Sum of squared errors of rows `first` to `last` against `target` (C, H, W).

    With `differentiate` it adds the gradients of `gradient.weight` times the sum to `gradient`, a
    `SynthesisGradient`: one pass over the blocks serves both. Other arguments as in `synthesize`.
    """
    z, out = scratch.z, scratch.out
    weight = gradient.weight
    channels, _, width = target.shape
    total: Any = 0.0
    for y in range(first, last):
        for x0 in range(0, width, BLOCK):
            n = min(BLOCK, width - x0)
            _features(source, width, y, x0, n, z)
            affine(layers.w3, layers.b3, _hidden(layers, scratch), out)
            for c in range(channels):
                error: Any = _ZERO
                wanted = target[c, y, x0 : x0 + n]
                for p in range(n):
                    difference = out[_U(c * BLOCK + p)] - wanted[p]
                    error += difference * difference
                    out[_U(c * BLOCK + p)] = _TWO * weight * difference
                total += error
            if differentiate:
                _back(source, layers, (width, y, x0, n), channels, gradient, scratch)
    return total


@compiled
def synthesis_back(
    source: Any, layers: Any, d_out: Any, first: int, last: int, gradient: Any, scratch: Any
) -> None:
    """Add gradients to `gradient`, from rows `first` to `last` of that by the output, `d_out`.

    `d_out` is (C, H, W); other arguments as in `synthesis_step`.
    """
    z, out = scratch.z, scratch.out
    channels, _, width = d_out.shape
    for y in range(first, last):
        for x0 in range(0, width, BLOCK):
            n = min(BLOCK, width - x0)
            _features(source, width, y, x0, n, z)
            _hidden(layers, scratch)
            for c in range(channels):
                row = d_out[c, y, x0 : x0 + n]
                for p in range(n):
                    out[_U(c * BLOCK + p)] = row[p]
            _back(source, layers, (width, y, x0, n), channels, gradient, scratch)


@compiled
def _back(source: Any, layers: Any, place: Any, channels: int, gradient: Any, scratch: Any) -> None:
    """Add the gradients of a block, from that by its outputs, `scratch.out`.

    `place` is (width, y, x0, n): n pixels of row y from column x0 on, in a picture of that width.
    """
    d_u, d_layers = gradient.u, gradient.layers
    z, out, s1, c1, s2, c2, g1, g2, d_z = scratch
    width, y, x0, n = place
    # Rows and pixels that only pad the block have no gradient.
    for c in range(layers.w3.shape[0]):
        for p in range(n if c < channels else 0, BLOCK):
            out[_U(c * BLOCK + p)] = _ZERO
    if len(layers.w2) == 0:
        affine_gradient(out, s1, d_layers.w3, d_layers.b3)
        affine_back(layers.w3, out, g1)
    else:
        affine_gradient(out, s2, d_layers.w3, d_layers.b3)
        affine_back(layers.w3, out, g2)
        for i in range(layers.w2.shape[0] * BLOCK):
            g2[_U(i)] *= c2[_U(i)]
        affine_gradient(g2, s1, d_layers.w2, d_layers.b2)
        affine_back(layers.w2, g2, g1)
    for i in range(layers.w1.shape[0] * BLOCK):
        g1[_U(i)] *= c1[_U(i)]
    affine_gradient(g1, z, d_layers.w1, d_layers.b1)
    affine_back(layers.w1, g1, d_z)
    for k in range(len(source.starts)):
        for t in range(4):
            tap = source.taps[k, y, t]
            o = source.starts[k] + x0 + source.rows[k, y, t] * width
            d = d_u[o : o + n]
            for p in range(n):
                d[p] += tap * d_z[_U(k * BLOCK + p)]
