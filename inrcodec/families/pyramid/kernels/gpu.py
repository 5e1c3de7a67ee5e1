"""A pyramid's training step on a GPU: soft rounding, rate and sine layers, fused (Triton, float32).

Each program goes through blocks of latents or pixels with the networks in registers and sums the
gradients by the networks. PyTorch adds up the programs' sums, so that results do not depend on the
order of programs. The definitions are in `inrcodec.kernels.reference`; the same step in plain
PyTorch is in `families.pyramid.fit.device`.

Matrices of a network lie in one flat array `theta`, one after the other, each (rows, cols + 1) with
the bias as its last column.

Kernels have more than eight parameters because Triton takes one argument a pointer or size, and
its older versions take no tuples. Two are longer than 60 lines, a quarter of them parameters: they
keep networks and gradients in registers from the first block to the last.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from inrcodec.kernels.reference import (
    COSINE,
    FLOOR,
    NOISE_MULTIPLIERS,
    SCALE_LEAST,
    SCALE_MOST,
    SINE,
)

PROGRAMS = 1024
"""Programs of a kernel that sums gradients: several for each multiprocessor of any GPU."""

RATE, SINES = (64, 4), (32, 4)
"""Latents or pixels in a block, and warps, of the rate and of the sine layers: the fastest of five
choices each (H200, 768x512 pixels, 40 and 20 sine units, 24 units in the context network)."""

PRECISION = ("tf32x3", "tf32")
"""Triton's `input_precision` of matrix products: for values, three TF32 products give about
float32's precision; for gradients, one is enough."""

SIMPLE_BLOCK = 512
"""Latents in a block of kernels without networks."""

LIMIT_UNITS = 64
"""Networks with more units than this do not fit into registers."""

_LEAST, _MOST, _FLOOR = (tl.constexpr(v) for v in (SCALE_LEAST, SCALE_MOST, FLOOR))
_LN2, _LOG2E = tl.constexpr(0.6931471805599453), tl.constexpr(1.4426950408889634)
_PI, _PER_TURN = tl.constexpr(math.pi), tl.constexpr(0.5 / math.pi)
_S3, _S5, _S7, _S9 = (tl.constexpr(v) for v in SINE)
_C2, _C4, _C6, _C8, _C10 = (tl.constexpr(v) for v in COSINE)
_M0, _M1, _M2 = (tl.constexpr(m) for m in NOISE_MULTIPLIERS)


@triton.jit
def _soft(x, sharpness, norm, steepness):
    """s(x) and its slope, see `reference.soft_round`."""
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
    """Write weight and bias where `_weight` reads them."""
    r, c = tl.arange(0, ROWS), tl.arange(0, COLS)
    inside = (r < rows)[:, None] & (c < cols)[None, :]
    tl.store(theta + r[:, None] * (cols + 1) + c[None, :], weight, mask=inside)
    tl.store(theta + r * (cols + 1) + cols, bias, mask=r < rows)


@triton.jit
def _sine_and_cosine(x):
    """See `reference.sine_and_cosine`; Triton's own are slower, since they allow large angles."""
    turns = x * _PER_TURN
    half = (turns - tl.floor(turns + 0.5)) * _PI
    q = half * half
    sine = half * (1 + q * (_S3 + q * (_S5 + q * (_S7 + q * _S9))))
    cosine = 1 + q * (_C2 + q * (_C4 + q * (_C6 + q * (_C8 + q * _C10))))
    return 2 * sine * cosine, 1 - 2 * sine * sine


@triton.jit
def _laplace(value, centre, free_scale):
    """Bits, and their slopes by value and log₂ scale: see `reference.laplace_bits`."""
    scale = tl.minimum(tl.maximum(free_scale, _LEAST), _MOST)
    per_s = tl.exp2(-scale)
    off = value - centre
    d = tl.abs(off)
    e1, e2 = tl.exp(-tl.abs(d - 0.5) * per_s), tl.exp(-(d + 0.5) * per_s)
    p = tl.where(d > 0.5, 0.5 * (e1 - e2), 1 - 0.5 * (e1 + e2)) + _FLOOR
    slope = (0.5 * _LOG2E) * per_s / p
    sign = tl.where(off > 0, 1.0, tl.where(off < 0, -1.0, 0.0))
    by_scale = slope * ((0.5 - d) * e1 + (d + 0.5) * e2) * _LN2
    return -tl.log2(p), slope * (e1 - e2) * sign, tl.where(scale == free_scale, by_scale, 0.0)


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
        value = tl.load(values + n, mask=inside, other=0.0)
        own_bits, by_value, by_scale = _laplace(value, centre, free_scale)
        tl.store(bits + n, own_bits, mask=inside)
        if DIFFERENTIATE:
            plane = tl.load(plane_of + n, mask=inside, other=0)
            price = tl.load(prices + plane, mask=inside, other=0.0)
            g_value, g_scale = price * by_value, price * by_scale
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
    """Latents (N,), softly rounded with noise, and their slopes (N,): see `reference.soft_round`.

    `places` (N,), of int32, and `seed`, one int64, determine the noise. `given` holds numbers that
    follow from temperature T and noise width: 2 log₂(e) / T, n = ½ / tanh(½ / T), n / T,
    width · 2^-17 and width / 2.
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
    """Bits (N,) of latents, the first N of `values`, under the context network.

    `index` (inputs, N) are the places in `values` of each latent's inputs. `theta` holds the three
    matrices of the context network, whose hidden layers have `units` units. With `differentiate`,
    three gradients of the price follow, Σ bits · prices[plane_of], where `plane_of` is (N,): by the
    inputs (inputs, N), by the latents themselves (N,) and by `theta`.
    """
    inputs, count = index.shape
    bits = torch.empty(count, device=values.device)
    blocks, programs, options = _shared(count, RATE)
    # Without gradients the kernel does not write these; any pointer does.
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
    """Add to `d_values` (n,) the sum over each column of `table` (height, n) of `d_inputs` there.

    Entries of the table are places in `d_inputs`; those behind its end count as 0. This is the
    adjoint of the reading of inputs in `rate`.
    """
    height, size = table.shape
    _collect_kernel[(triton.cdiv(size, SIMPLE_BLOCK),)](
        d_inputs, table, d_values, size, height, d_inputs.numel(), SIZE=SIMPLE_BLOCK
    )


def sines(z: Tensor, theta: Tensor, width: int, second: int, channels: int) -> Tensor:
    """Output (C, N) of the synthesis network for features `z` (planes, N).

    The sine layers have `width` and `second` units (0: no second layer); `theta` holds their
    matrices and the linear layer's, for `channels` outputs.
    """
    out = torch.empty(channels, z.shape[1], device=z.device)
    _run_sines(z, theta, (width, second, channels), out, None)
    return out


def sines_back(
    z: Tensor, theta: Tensor, width: int, second: int, d_out: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients by the features (planes, N) and by `theta`, from that by the output (C, N)."""
    d_z = torch.empty_like(z)
    parts = _run_sines(z, theta, (width, second, len(d_out)), d_out.contiguous(), d_z)
    return d_z, parts.sum(0)


def _run_sines(
    z: Tensor, theta: Tensor, shape: tuple[int, int, int], picture: Tensor, d_z: Tensor | None
) -> Tensor:
    """Run `_sines_kernel` forward or, where there is a `d_z` to write, backward.

    `picture` (C, N) is the output to write, or the gradient by it. `shape` is the units of the two
    sine layers and the channels. Returns, after a backward run, each program's part of the gradient
    by theta (programs, len(theta)).
    """
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
    """Blocks a program, number of programs, and further arguments of a kernel with networks.

    `count` is the number of latents or pixels, `plan` the size of a block and the warps.
    """
    size, warps = plan
    blocks = -(-count // (size * PROGRAMS))
    values, slopes = PRECISION
    options = {"SIZE": size, "VALUES": values, "SLOPES": slopes, "num_warps": warps}
    return blocks, -(-count // (size * blocks)), options


def _power(count: int) -> int:
    """The smallest size that Triton's matrix products take: a power of two from 16 on."""
    return 1 << max(4, (count - 1).bit_length())
