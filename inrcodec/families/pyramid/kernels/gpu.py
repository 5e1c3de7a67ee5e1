"""What a training step of the pyramid does on a GPU, fused (Triton).

Soft rounding, the rate of the latents with its gradients, and the sine layers forth and back. Each
program goes through blocks of latents or pixels with the networks in registers and adds up the
gradients by these; the sums over programs are PyTorch's, and nothing depends on their order.
`fit.pyramid_device` has the same in plain PyTorch.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from inrcodec.families.pyramid.kernels.rate import FLOOR, SCALE_LEAST, SCALE_MOST

PROGRAMS = 1024
"""Of a kernel that adds up gradients: some for each multiprocessor of any GPU."""

RATE, SINES = (64, 4), (32, 4)
"""Latents or pixels at once, and warps: the fastest of five each (H200, 768x512, 40 and 20 sine
units, 24 of the context network)."""

PRECISION = ("tf32x3", "tf32")
"""Of matrix products for values, three on the matrix units for one of about float32's precision,
and of those for gradients, which need less."""

SIMPLE_BLOCK = 512
"""Likewise, of kernels without networks."""

LIMIT_UNITS = 64
"""Networks with more units than this don't fit into registers."""

_LEAST, _MOST = tl.constexpr(float(SCALE_LEAST)), tl.constexpr(float(SCALE_MOST))
_FLOOR = tl.constexpr(float(FLOOR))
_LN2, _LOG2E = tl.constexpr(0.6931471805599453), tl.constexpr(1.4426950408889634)
_PI, _PER_TURN = tl.constexpr(math.pi), tl.constexpr(0.5 / math.pi)
_S3, _S5, _S7, _S9 = (tl.constexpr(v) for v in (-1 / 6, 1 / 120, -1 / 5040, 1 / 362880))
_C2, _C4, _C6 = (tl.constexpr(v) for v in (-1 / 2, 1 / 24, -1 / 720))
_C8, _C10 = tl.constexpr(1 / 40320), tl.constexpr(-1 / 3628800)
_M0, _M1, _M2 = tl.constexpr(0x9E3779B1), tl.constexpr(0x7FEB352D), tl.constexpr(0x846CA68B)


@triton.jit
def _soft(x, sharpness, norm, steepness):
    middle = tl.floor(x) + 0.5
    t = 1 - 2 / (1 + tl.exp2((x - middle) * sharpness))
    return middle + norm * t, steepness * (1 - t * t)


@triton.jit
def _round_kernel(y, places, seed, given, q, slopes, count, SIZE: tl.constexpr):
    n = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
    inside = n < count
    place = tl.load(places + n, mask=inside, other=0).to(tl.uint64)
    h = place * _M0 + tl.load(seed).to(tl.uint64)
    h = (h ^ (h >> 16)).to(tl.uint32) * _M1
    h = (h ^ (h >> 15)).to(tl.uint32) * _M2
    h = (h ^ (h >> 16)).to(tl.uint32)
    noise = (h & 0xFFFF).to(tl.float32) + (h >> 16).to(tl.float32)
    sharpness, norm, steepness = tl.load(given), tl.load(given + 1), tl.load(given + 2)
    noise = noise * tl.load(given + 3) - tl.load(given + 4)
    v, slope = _soft(tl.load(y + n, mask=inside, other=0.0), sharpness, norm, steepness)
    value, second = _soft(v + noise, sharpness, norm, steepness)
    tl.store(q + n, value, mask=inside)
    tl.store(slopes + n, slope * second, mask=inside)


@triton.jit
def _weight(theta, rows, cols, ROWS: tl.constexpr, COLS: tl.constexpr):
    """Weight (ROWS, COLS) and bias (ROWS,) of a matrix (rows, cols + 1), with zeros around."""
    r, c = tl.arange(0, ROWS), tl.arange(0, COLS)
    inside = (r < rows)[:, None] & (c < cols)[None, :]
    weight = tl.load(theta + r[:, None] * (cols + 1) + c[None, :], mask=inside, other=0.0)
    return weight, tl.load(theta + r * (cols + 1) + cols, mask=r < rows, other=0.0)


@triton.jit
def _store_weight(theta, weight, bias, rows, cols, ROWS: tl.constexpr, COLS: tl.constexpr):
    """As `_weight` reads them."""
    r, c = tl.arange(0, ROWS), tl.arange(0, COLS)
    inside = (r < rows)[:, None] & (c < cols)[None, :]
    tl.store(theta + r[:, None] * (cols + 1) + c[None, :], weight, mask=inside)
    tl.store(theta + r * (cols + 1) + cols, bias, mask=r < rows)


@triton.jit
def _sine_and_cosine(x):
    """As `kernels.elementwise.sine_and_cosine`: Triton's own are slow for large angles' sake."""
    turns = x * _PER_TURN
    half = (turns - tl.floor(turns + 0.5)) * _PI
    q = half * half
    sine = half * (1 + q * (_S3 + q * (_S5 + q * (_S7 + q * _S9))))
    cosine = 1 + q * (_C2 + q * (_C4 + q * (_C6 + q * (_C8 + q * _C10))))
    return 2 * sine * cosine, 1 - 2 * sine * sine


@triton.jit
def _rate_kernel(
    values,
    index,
    plane_of,
    theta,
    prices,
    bits,
    d_inputs,
    d_values,
    d_theta,
    count,
    blocks,
    inputs,
    units,
    INPUTS: tl.constexpr,
    UNITS: tl.constexpr,
    SIZE: tl.constexpr,
    VALUES: tl.constexpr,
    SLOPES: tl.constexpr,
    DIFFERENTIATE: tl.constexpr,
):
    program = tl.program_id(0)
    i = tl.arange(0, INPUTS)
    two = units * (inputs + 1)
    three = two + units * (units + 1)
    w1, b1 = _weight(theta, units, inputs, UNITS, INPUTS)
    w2, b2 = _weight(theta + two, units, units, UNITS, UNITS)
    u = tl.arange(0, UNITS)
    w_centre = tl.load(theta + three + u, mask=u < units, other=0.0)
    w_scale = tl.load(theta + three + units + 1 + u, mask=u < units, other=0.0)
    b_centre, b_scale = tl.load(theta + three + units), tl.load(theta + three + 2 * units + 1)
    d_w1, d_w2 = tl.zeros_like(w1), tl.zeros_like(w2)
    d_b1, d_b2 = tl.zeros_like(b1), tl.zeros_like(b2)
    d_w_centre, d_w_scale = tl.zeros_like(w_centre), tl.zeros_like(w_scale)
    d_b_centre = tl.zeros((SIZE,), tl.float32)
    d_b_scale = tl.zeros((SIZE,), tl.float32)
    for step in range(blocks):
        n = (program * blocks + step) * SIZE + tl.arange(0, SIZE)
        inside = n < count
        there = (i < inputs)[:, None] & inside[None, :]
        place = i[:, None].to(tl.int64) * count + n[None, :]
        x = tl.load(values + tl.load(index + place, mask=there, other=0), mask=there, other=0.0)
        h1 = tl.maximum(tl.dot(w1, x, input_precision=VALUES) + b1[:, None], 0.0)
        h2 = tl.maximum(tl.dot(w2, h1, input_precision=VALUES) + b2[:, None], 0.0)
        centre = tl.sum(w_centre[:, None] * h2, 0) + b_centre
        free_scale = tl.sum(w_scale[:, None] * h2, 0) + b_scale
        scale = tl.minimum(tl.maximum(free_scale, _LEAST), _MOST)
        per_s = tl.exp2(-scale)
        off = tl.load(values + n, mask=inside, other=0.0) - centre
        d = tl.abs(off)
        e1, e2 = tl.exp(-tl.abs(d - 0.5) * per_s), tl.exp(-(d + 0.5) * per_s)
        p = tl.where(d > 0.5, 0.5 * (e1 - e2), 1 - 0.5 * (e1 + e2)) + _FLOOR
        tl.store(bits + n, -tl.log2(p), mask=inside)
        if DIFFERENTIATE:
            plane = tl.load(plane_of + n, mask=inside, other=0)
            slope = tl.load(prices + plane, mask=inside, other=0.0) * (0.5 * _LOG2E) * per_s / p
            sign = tl.where(off > 0, 1.0, tl.where(off < 0, -1.0, 0.0))
            g_value = slope * (e1 - e2) * sign
            g_scale = slope * ((0.5 - d) * e1 + (d + 0.5) * e2) * _LN2
            g_scale = tl.where(scale == free_scale, g_scale, 0.0)
            tl.store(d_values + n, g_value, mask=inside)
            d_w_centre -= tl.sum(h2 * g_value[None, :], 1)
            d_w_scale += tl.sum(h2 * g_scale[None, :], 1)
            d_b_centre -= g_value
            d_b_scale += g_scale
            g2 = w_scale[:, None] * g_scale[None, :] - w_centre[:, None] * g_value[None, :]
            g2 = tl.where(h2 > 0, g2, 0.0)
            d_w2 += tl.dot(g2, tl.trans(h1), input_precision=SLOPES)
            d_b2 += tl.sum(g2, 1)
            g1 = tl.dot(tl.trans(w2), g2, input_precision=SLOPES)
            g1 = tl.where(h1 > 0, g1, 0.0)
            d_w1 += tl.dot(g1, tl.trans(x), input_precision=SLOPES)
            d_b1 += tl.sum(g1, 1)
            d_x = tl.dot(tl.trans(w1), g1, input_precision=SLOPES)
            tl.store(d_inputs + place, d_x, mask=there)
    if DIFFERENTIATE:
        own = d_theta + program * (three + 2 * units + 2)
        _store_weight(own, d_w1, d_b1, units, inputs, UNITS, INPUTS)
        _store_weight(own + two, d_w2, d_b2, units, units, UNITS, UNITS)
        tl.store(own + three + u, d_w_centre, mask=u < units)
        tl.store(own + three + units + 1 + u, d_w_scale, mask=u < units)
        tl.store(own + three + units, tl.sum(d_b_centre, 0))
        tl.store(own + three + 2 * units + 1, tl.sum(d_b_scale, 0))


@triton.jit
def _collect_kernel(d_inputs, table, d_values, size, height, end, SIZE: tl.constexpr):
    n = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
    inside = n < size
    total = tl.load(d_values + n, mask=inside, other=0.0)
    row = table + n
    for _ in range(height):
        place = tl.load(row, mask=inside, other=end)
        total += tl.load(d_inputs + place, mask=place < end, other=0.0)
        row += size
    tl.store(d_values + n, total, mask=inside)


@triton.jit
def _sines_kernel(
    z,
    theta,
    out,
    d_out,
    d_z,
    d_theta,
    count,
    blocks,
    planes,
    width,
    second,
    channels,
    PLANES: tl.constexpr,
    WIDTH: tl.constexpr,
    SECOND: tl.constexpr,
    CHANNELS: tl.constexpr,
    SIZE: tl.constexpr,
    VALUES: tl.constexpr,
    SLOPES: tl.constexpr,
    BACK: tl.constexpr,
):
    program = tl.program_id(0)
    k, c = tl.arange(0, PLANES), tl.arange(0, CHANNELS)
    two = width * (planes + 1)
    three = two + second * (width + 1)
    last = width
    w1, b1 = _weight(theta, width, planes, WIDTH, PLANES)
    d_w1, d_b1 = tl.zeros_like(w1), tl.zeros_like(b1)
    if SECOND > 0:
        w2, b2 = _weight(theta + two, second, width, SECOND, WIDTH)
        d_w2, d_b2 = tl.zeros_like(w2), tl.zeros_like(b2)
        last = second
    TOP: tl.constexpr = SECOND if SECOND > 0 else WIDTH
    w3, b3 = _weight(theta + three, channels, last, CHANNELS, TOP)
    d_w3, d_b3 = tl.zeros_like(w3), tl.zeros_like(b3)
    for step in range(blocks):
        n = (program * blocks + step) * SIZE + tl.arange(0, SIZE)
        inside = n < count
        seen = (k < planes)[:, None] & inside[None, :]
        place = k[:, None].to(tl.int64) * count + n[None, :]
        x = tl.load(z + place, mask=seen, other=0.0)
        angle1 = tl.dot(w1, x, input_precision=VALUES) + b1[:, None]
        sine1, cosine1 = _sine_and_cosine(angle1)
        top = sine1
        if SECOND > 0:
            angle2 = tl.dot(w2, sine1, input_precision=VALUES) + b2[:, None]
            top, cosine2 = _sine_and_cosine(angle2)
        shown = (c < channels)[:, None] & inside[None, :]
        pixel = c[:, None].to(tl.int64) * count + n[None, :]
        if BACK:
            g = tl.load(d_out + pixel, mask=shown, other=0.0)
            d_w3 += tl.dot(g, tl.trans(top), input_precision=SLOPES)
            d_b3 += tl.sum(g, 1)
            g_top = tl.dot(tl.trans(w3), g, input_precision=SLOPES)
            if SECOND > 0:
                g2 = g_top * cosine2
                d_w2 += tl.dot(g2, tl.trans(sine1), input_precision=SLOPES)
                d_b2 += tl.sum(g2, 1)
                g_top = tl.dot(tl.trans(w2), g2, input_precision=SLOPES)
            g1 = g_top * cosine1
            d_w1 += tl.dot(g1, tl.trans(x), input_precision=SLOPES)
            d_b1 += tl.sum(g1, 1)
            d_x = tl.dot(tl.trans(w1), g1, input_precision=SLOPES)
            tl.store(d_z + place, d_x, mask=seen)
        else:
            y = tl.dot(w3, top, input_precision=VALUES) + b3[:, None]
            tl.store(out + pixel, y, mask=shown)
    if BACK:
        own = d_theta + program * (three + channels * (last + 1))
        _store_weight(own, d_w1, d_b1, width, planes, WIDTH, PLANES)
        if SECOND > 0:
            _store_weight(own + two, d_w2, d_b2, second, width, SECOND, WIDTH)
        _store_weight(own + three, d_w3, d_b3, channels, last, CHANNELS, TOP)


def soft_round(y: Tensor, places: Tensor, seed: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
    """Latents (N,) at their `places`, softly rounded with noise, and the slopes of that.

    `seed` is one integer, `given` the sharpness, the norm and the steepness of the rounding and the
    unit and the margin of its noise: see `DeviceProblem`.
    """
    q, slopes = torch.empty_like(y), torch.empty_like(y)
    grid = (triton.cdiv(len(y), SIMPLE_BLOCK),)
    _round_kernel[grid](y, places, seed, given, q, slopes, len(y), SIZE=SIMPLE_BLOCK)
    return q, slopes


def rate(
    values: Tensor,
    index: Tensor,
    plane_of: Tensor,
    theta: Tensor,
    prices: Tensor,
    units: int,
    differentiate: bool,
) -> tuple[Tensor, ...]:
    """Bits (N,) of latents, the first N of `values`; and, with `differentiate`, gradients of the
    sum of their prices.

    `index` (inputs, N) says where in `values` each finds its context; `plane_of` (N,) which of the
    `prices` its bits have; `theta` holds the three matrices of the context network with `units`.
    The gradients are by the inputs (inputs, N), by the latents themselves (N,) and by `theta`.
    """
    inputs, count = index.shape
    bits = torch.empty(count, device=values.device)
    blocks, programs, options = _shared(count, RATE)
    # Without gradients, something that is not written.
    d_inputs = d_values = d_theta = bits
    if differentiate:
        d_inputs, d_values = torch.empty_like(index, dtype=torch.float32), torch.empty_like(bits)
        d_theta = torch.empty(programs, len(theta), device=values.device)
    _rate_kernel[(programs,)](
        *(values, index, plane_of, theta, prices, bits, d_inputs, d_values, d_theta),
        *(count, blocks, inputs, units),
        INPUTS=_power(inputs),
        UNITS=_power(units),
        DIFFERENTIATE=differentiate,
        **options,
    )
    return (bits, d_inputs, d_values, d_theta.sum(0)) if differentiate else (bits,)


def collect(d_inputs: Tensor, table: Tensor, d_values: Tensor) -> None:
    """Add to `d_values` (n,) what is at the places in a `table` (height, n) of `d_inputs`, but for
    those behind its end."""
    height, size = table.shape
    _collect_kernel[(triton.cdiv(size, SIMPLE_BLOCK),)](
        d_inputs, table, d_values, size, height, d_inputs.numel(), SIZE=SIMPLE_BLOCK
    )


def sines(z: Tensor, theta: Tensor, width: int, second: int, channels: int) -> Tensor:
    """The picture (C, N) that sine layers of `width` and `second` units (0 for none) and a linear
    one, their matrices in `theta`, make of features (planes, N)."""
    out = torch.empty(channels, z.shape[1], device=z.device)
    _run_sines(z, theta, (width, second, channels), out, None)
    return out


def sines_back(
    z: Tensor, theta: Tensor, width: int, second: int, d_out: Tensor
) -> tuple[Tensor, Tensor]:
    """The gradients by features and matrices, from that by the picture (C, N)."""
    d_z = torch.empty_like(z)
    parts = _run_sines(z, theta, (width, second, len(d_out)), d_out.contiguous(), d_z)
    return d_z, parts.sum(0)


def _run_sines(
    z: Tensor, theta: Tensor, shape: tuple[int, int, int], picture: Tensor, d_z: Tensor | None
) -> Tensor:
    """Write the picture or, from a gradient in its place, that by z; then the programs' own parts
    of that by the matrices are returned."""
    (planes, count), (width, second, channels) = z.shape, shape
    blocks, programs, options = _shared(count, SINES)
    back = d_z is not None
    d_theta = torch.empty(programs, len(theta), device=z.device) if back else z
    _sines_kernel[(programs,)](
        *(z, theta, picture, picture, d_z if back else z, d_theta),
        *(count, blocks, planes, width, second, channels),
        PLANES=_power(planes),
        WIDTH=_power(width),
        SECOND=_power(second) if second else 0,
        CHANNELS=16,
        BACK=back,
        **options,
    )
    return d_theta


def _shared(count: int, plan: tuple[int, int]) -> tuple[int, int, dict[str, Any]]:
    """How many blocks each program has, how many programs there are, and what a kernel with
    networks is told besides, by its block and its warps."""
    size, warps = plan
    blocks = -(-count // (size * PROGRAMS))
    values, slopes = PRECISION
    options = {"SIZE": size, "VALUES": values, "SLOPES": slopes, "num_warps": warps}
    return blocks, -(-count // (size * blocks)), options


def _power(count: int) -> int:
    """What the matrix products of Triton take: a power of two from 16 on."""
    return 1 << max(4, (count - 1).bit_length())
