"""Latent planes by their context network and a range coder, exactly, on any machine.

The network of `kernels.context` in fixed point: weights are integers in units of 2^-12, and all
arithmetic is on integers below 2^53, held in float64 where products and sums are exact in any
order. `docs/format.md`, sections "Context network" and "Latents", is the specification.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrcodec.entropy.model import PRECISION, exp2_weight
from inrcodec.errors import FormatError
from inrcodec.families.pyramid.latents import BORDER, PLACES, Indices, Plane
from inrcodec.families.pyramid.shape import OTHER_INPUTS
from inrcodec.kernels.compile import compiled

WEIGHT_BITS = 12
"""Fractional bits of a weight."""

LIMIT_WEIGHT = 1 << 16
"""Weights and biases are below this in magnitude, in units of 2^-12."""

_ALL = 1 << 62

SCALES = 113
"""Scales of the Laplace distribution, 2^-5 to 2^9 in steps of an eighth octave."""

Fixed = NDArray[np.float64]
Latents = NDArray[np.float32]

_OCTAVE = (
    *(0x2E2A8ECA5, 0x2A55AA4EC, 0x26D22ED05, 0x23995A974, 0x20A4FB7B1, 0x1DEF62F84),
    *(0x1B735B437, 0x192C1D443),
)
"""round(2^32 · 2·log₂(e) · 2^(-i/8)): bits that a 16th of a unit costs, at the scales from 2^-5."""

_TABLE = np.array([exp2_weight(i << 24) for i in range(257)], dtype=np.int64)
"""2^(-i/256) in units of 2^-31."""

_RATES = np.array([_OCTAVE[i % 8] >> (i // 8) for i in range(SCALES)], dtype=np.int64)

COLUMNS = 32
"""Columns of a plane whose scales adapt together."""

MOST_AWAY = 1 << 18
"""How far they may, in units of 2^-15 octaves: eight octaves."""

FARTHEST = 512
"""From its centre, in sixteenths: a latent that is further off teaches as much as one there."""

_U64 = np.uint64


def fixed_point(matrices: Sequence[NDArray[np.float64]]) -> tuple[Fixed, ...]:
    """Weight, transposed, and bias of the three layers as integers, from (rows, cols) matrices.

    Raises:
        FormatError: a weight is too large.
    """
    arrays: list[Fixed] = []
    for matrix in matrices:
        integers = np.floor(matrix * (1 << WEIGHT_BITS) + 0.5)
        if not (np.abs(integers) < LIMIT_WEIGHT).all():
            raise FormatError("the context network has weights beyond ±16")
        arrays += [np.ascontiguousarray(integers[:, :-1].T), integers[:, -1].copy()]
    return tuple(arrays)


def encode_planes(
    planes: Sequence[Plane],
    chosen: range,
    latents: Latents,
    network: tuple[Fixed, ...],
    largest: Sequence[int],
    adaptive: bool = False,
) -> bytes:
    """Code the chosen planes of integers, whose magnitudes are at most those of `largest` each.

    `latents` is the array of all planes; those before the first one chosen give it context. With
    `adaptive` the scales follow the latents.
    """
    # A latent costs at most 24 bits, and now and then four bytes come at once.
    buffer = np.zeros(sum(planes[i].stop - planes[i].start for i in chosen) * 3 + 64, np.uint8)
    state = np.array([0, (1 << 64) - 1], dtype=np.uint64)
    size = 0
    for index, most in zip(chosen, largest, strict=True):
        if most:
            tables = tables_of(planes[index], planes, latents)
            slopes = scale_slopes(adaptive)
            size = _encode_plane(*tables, network, slopes, most, state, buffer, size)
    low, width = (int(value) for value in state)
    low += int.from_bytes(buffer[:size].tobytes(), "big") << 64
    return _shortest(low, width, size)


def decode_planes(
    data: bytes,
    planes: Sequence[Plane],
    chosen: range,
    latents: Latents,
    network: tuple[Fixed, ...],
    largest: Sequence[int],
    adaptive: bool = False,
    cut: bool = False,
    first: bool = False,
) -> int:
    """Decode into `latents` what `encode_planes` gave, and return how many latents that are.

    With `cut` the data may end anywhere. Latents that it does not determine stay 0. With `first`
    the chosen planes are only the first of those coded, and what follows is not looked at.

    Raises:
        FormatError: the bytes are not those that `encode_planes` gives for any latents.
    """
    padded = np.frombuffer(data + bytes(16), np.uint8)
    state = np.array([int.from_bytes(padded[:8].tobytes(), "big"), (1 << 64) - 1], dtype=np.uint64)
    size, count = 8, 0
    known = len(data) if cut else _ALL
    for index, most in zip(chosen, largest, strict=True):
        plane = planes[index]
        plane.view(latents)[:] = 0
        decoded = latents_in_plane = plane.shape[0] * plane.shape[1]
        if most:
            tables = tables_of(plane, planes, latents)
            slopes = scale_slopes(adaptive)
            size, decoded = _decode_plane(
                *tables, network, slopes, most, state, padded, size, known
            )
        if size < 0:
            raise FormatError("the coded latents are invalid")
        count += decoded
        if decoded < latents_in_plane:
            break
    if cut or first:
        return count
    offset, width = (int(value) for value in state)
    low = int.from_bytes(data[:size].ljust(size, b"\0"), "big") - offset
    if _shortest(low, width, size - 8) != data:
        raise FormatError("the coded latents are invalid or followed by other bytes")
    return count


Tables = tuple[Latents, Latents, Indices, Indices, Latents, Indices, Indices, int, int]


def tables_of(plane: Plane, planes: Sequence[Plane], latents: Latents) -> Tables:
    """What the kernels need of a plane in the array of all: it, its near and far one with the
    tables of their places, its level and how many planes of that level follow."""
    nothing = np.zeros((1, 1), np.float32)
    near, far = (
        nothing if parents.plane is None else planes[parents.plane].view(latents)
        for parents in (plane.near, plane.far)
    )
    return (
        plane.view(latents),
        near,
        plane.near.rows,
        plane.near.cols,
        far,
        plane.far.rows,
        plane.far.cols,
        plane.level,
        plane.later,
    )


def _shortest(low: int, width: int, size: int) -> bytes:
    """The shortest bytes in [low, low + width), numbers of size + 8 bytes; the smallest of them."""
    kept = 0
    while True:
        unit = 1 << 8 * (8 - kept)
        number = -(-low // unit)
        if number * unit < low + width:
            return number.to_bytes(size + kept, "big").rstrip(b"\0")
        kept += 1


@cache
def scale_slopes(adaptive: bool) -> NDArray[np.int64]:
    """What a latent costs more at a scale half an octave above than half an octave below, in 1/256
    bits: (SCALES, FARTHEST + 1), by the scale and the distance from the centre in sixteenths.

    Empty where scales don't adapt.
    """
    if not adaptive:
        return np.zeros((0, 0), np.int64)
    t = np.arange(FARTHEST + 1)
    scales = np.arange(SCALES)[:, None]

    def tail(u: NDArray[np.int64]) -> NDArray[np.int64]:
        """Of the distribution beyond a distance, in units of 2^-32."""
        exponent = u * _RATES[scales]
        i, fraction = (exponent >> 24) & 255, (exponent >> 8) & 65535
        share = _TABLE[i] - ((_TABLE[i] - _TABLE[i + 1]) * fraction >> 16)
        tail: NDArray[np.int64] = share >> np.minimum(exponent >> 32, 62)
        return tail

    outside = np.where(t >= 8, tail(np.abs(t - 8)), (1 << 32) - tail(np.abs(t - 8)))
    # No symbol costs more than 24 bits.
    logarithms = _logarithms(np.maximum(outside - tail(t + 8), 1 << 32 - PRECISION))
    beside = scales[:, 0]
    slopes: NDArray[np.int64] = (
        logarithms[np.maximum(beside - 4, 0)] - logarithms[np.minimum(beside + 4, SCALES - 1)]
    )
    return slopes


def _logarithms(x: NDArray[np.int64]) -> NDArray[np.int64]:
    """⌊256 · log₂ x⌋ of integers from 1 to 2^32, nearly, in integers.

    >>> _logarithms(np.array([1, 3, 1 << 32]))
    array([   0,  405, 8192])
    """
    whole = np.frexp(x.astype(np.float64))[1].astype(np.int64) - 1
    mantissa = (x.astype(_U64) << _U64(31)) >> whole.astype(_U64)
    for _ in range(8):
        mantissa = mantissa * mantissa >> _U64(31)
        bit = mantissa >> _U64(32)
        mantissa >>= bit
        whole = 2 * whole + bit.astype(np.int64)
    return whole


@compiled
def _adapted(scale: Any, local: Any, whole: Any) -> Any:
    """The index of the scale after what was learned from these columns, and the whole plane."""
    return min(max(scale + ((local + whole + (1 << 12)) >> 13), 0), SCALES - 1)


@compiled
def _learned(slope: Any, local: Any, whole: Any) -> Any:
    """What is known after a latent whose cost has this slope."""
    local = min(max(local - 4 * slope, -MOST_AWAY), MOST_AWAY)
    return local, min(max(whole - slope, -MOST_AWAY), MOST_AWAY)


@compiled
def _gather(
    plane: Any,
    near: Any,
    near_rows: Any,
    near_cols: Any,
    far: Any,
    far_rows: Any,
    far_cols: Any,
    y: int,
    x: int,
    inputs: Any,
) -> bool:
    """The latents that a latent's context network sees, and whether one of them is not 0.

    The last two inputs, the constants of the plane, stay as they are.
    """
    n = len(inputs) - OTHER_INPUTS
    for j in range(n):
        inputs[j] = plane[y + BORDER + PLACES[j, 0], x + BORDER + PLACES[j, 1]]
    inputs[n] = near[near_rows[y, 0], near_cols[x, 0]]
    inputs[n + 1] = near[near_rows[y, 0], near_cols[x, 1]]
    inputs[n + 2] = near[near_rows[y, 1], near_cols[x, 0]]
    inputs[n + 3] = far[far_rows[y, 0], far_cols[x, 0]]
    busy = False
    for value in inputs[: n + 4]:
        busy |= value != 0
    return busy


@compiled
def _layer(inputs: Any, w: Any, b: Any, unit: float, out: Any) -> None:
    """out = b · unit + wᵀ inputs; many inputs are 0."""
    for u in range(len(out)):
        out[u] = b[u] * unit
    for i in range(len(inputs)):
        value = inputs[i]
        if value != 0:
            row = w[i]
            for u in range(len(out)):
                out[u] += row[u] * value


@compiled
def _rectify(h: Any, unit: float) -> None:
    """max(h, 0) in units of 2^-6, at most 2^16 - 1 of them; `h` is in 1 / (64 · unit)."""
    for u in range(len(h)):
        h[u] = min(np.floor((max(h[u], 0.0) + unit / 2) / unit), 65535.0)


@compiled
def _predict(inputs: Any, network: Any, h1: Any, h2: Any, out: Any) -> Any:
    """Centre in 1/16 and the index of the scale."""
    w1, b1, w2, b2, w3, b3 = network
    _layer(inputs, w1, b1, 1.0, h1)
    _rectify(h1, 64.0)
    _layer(h1, w2, b2, 64.0, h2)
    _rectify(h2, 4096.0)
    _layer(h2, w3, b3, 64.0, out)
    centre = np.floor((out[0] + 8192.0) / 16384.0)
    scale = np.floor((out[1] + 16384.0) / 32768.0)
    centre = min(max(centre, -262144.0), 262144.0)
    return np.int64(centre), np.int64(min(max(scale + 40.0, 0.0), SCALES - 1.0))


@compiled
def _below(symbol: Any, most: Any, centre: Any, scale: Any) -> Any:
    """Cumulative frequency of the symbols below `symbol`, of 2^24 in all."""
    if symbol <= -most:
        return 0
    if symbol > most:
        return 1 << PRECISION
    t = 16 * symbol - 8 - centre
    exponent = abs(t) * _RATES[scale]
    halvings = exponent >> 32
    share = 0
    if halvings < 32:
        i = (exponent >> 24) & 255
        fraction = (exponent >> 8) & 65535
        share = (_TABLE[i] - ((_TABLE[i] - _TABLE[i + 1]) * fraction >> 16)) >> halvings
    if t > 0:
        share = (1 << 32) - share
    return (share * ((1 << PRECISION) - (2 * most + 1)) >> 32) + symbol + most


@compiled
def _guess(centre: int, most: int) -> int:
    return min(max((centre + 8) >> 4, -most), most)


@compiled
def _encode_plane(
    plane: Any,
    near: Any,
    near_rows: Any,
    near_cols: Any,
    far: Any,
    far_rows: Any,
    far_cols: Any,
    level: int,
    later: int,
    network: Any,
    slopes: Any,
    most: int,
    state: Any,
    buffer: Any,
    size: int,
) -> int:
    """Append a plane to the buffer; returns its new size."""
    inputs, out = np.zeros(len(network[0])), np.zeros(2)
    inputs[-2], inputs[-1] = level, later
    h1, h2 = np.zeros(len(network[1])), np.zeros(len(network[3]))
    empty = _predict(inputs, network, h1, h2, out)
    low, width = state[0], state[1]
    adaptive = len(slopes) > 0
    local, whole = np.zeros(plane.shape[1] // COLUMNS + 1, np.int64), np.int64(0)
    for y in range(plane.shape[0] - BORDER):
        for x in range(plane.shape[1] - 2 * BORDER):
            centre, scale = empty
            if _gather(plane, near, near_rows, near_cols, far, far_rows, far_cols, y, x, inputs):
                centre, scale = _predict(inputs, network, h1, h2, out)
            symbol = np.int64(plane[y + BORDER, x + BORDER])
            if adaptive:
                at = x // COLUMNS
                scale = _adapted(scale, local[at], whole)
                slope = slopes[scale, min(abs(16 * symbol - centre), FARTHEST)]
                local[at], whole = _learned(slope, local[at], whole)
            below = _below(symbol, most, centre, scale)
            count = _below(symbol + 1, most, centre, scale) - below
            unit = width >> _U64(PRECISION)
            before = low
            low += unit * _U64(below)
            width = unit * _U64(count)
            if low < before:
                place = size - 1
                while buffer[place] == 255:
                    buffer[place] = 0
                    place -= 1
                buffer[place] += np.uint8(1)
            if width < _U64(1 << 32):
                for i in range(4):
                    buffer[size + i] = np.uint8((low >> _U64(56 - 8 * i)) & _U64(255))
                size += 4
                low <<= _U64(32)
                width <<= _U64(32)
    state[0], state[1] = low, width
    return size


@compiled
def _decode_plane(
    plane: Any,
    near: Any,
    near_rows: Any,
    near_cols: Any,
    far: Any,
    far_rows: Any,
    far_cols: Any,
    level: int,
    later: int,
    network: Any,
    slopes: Any,
    most: int,
    state: Any,
    data: Any,
    size: int,
    known: int,
) -> tuple[int, int]:
    """Decode a plane; returns how many bytes are used so far, or -1 where they are invalid.

    Of the bytes only the first `known` are; then also returns how many latents these determine.
    """
    inputs, out = np.zeros(len(network[0])), np.zeros(2)
    inputs[-2], inputs[-1] = level, later
    h1, h2 = np.zeros(len(network[1])), np.zeros(len(network[3]))
    empty = _predict(inputs, network, h1, h2, out)
    offset, width = state[0], state[1]
    adaptive = len(slopes) > 0
    local, whole = np.zeros(plane.shape[1] // COLUMNS + 1, np.int64), np.int64(0)
    count = 0
    for y in range(plane.shape[0] - BORDER):
        for x in range(plane.shape[1] - 2 * BORDER):
            centre, scale = empty
            if _gather(plane, near, near_rows, near_cols, far, far_rows, far_cols, y, x, inputs):
                centre, scale = _predict(inputs, network, h1, h2, out)
            if adaptive:
                scale = _adapted(scale, local[x // COLUMNS], whole)
            unit = width >> _U64(PRECISION)
            quantile = np.int64(offset // unit)
            if quantile >= 1 << PRECISION:
                return -1, count
            symbol = _guess(centre, most)
            below, above = (
                _below(symbol, most, centre, scale),
                _below(symbol + 1, most, centre, scale),
            )
            if not below <= quantile < above:
                first, last = (-most, symbol - 1) if quantile < below else (symbol + 1, most)
                while first < last:
                    middle = (first + last + 1) >> 1
                    if _below(middle, most, centre, scale) <= quantile:
                        first = middle
                    else:
                        last = middle - 1
                symbol = first
                below = _below(symbol, most, centre, scale)
                above = _below(symbol + 1, most, centre, scale)
            if size > known:
                unknown = size - known
                # What is unknown counts as 0 so far; is the symbol the same if it is all ones?
                if unknown >= 8 or unit * _U64(above) - offset < (_U64(1) << _U64(8 * unknown)):
                    return size, count
            plane[y + BORDER, x + BORDER] = symbol
            count += 1
            if adaptive:
                at = x // COLUMNS
                slope = slopes[scale, min(abs(16 * symbol - centre), FARTHEST)]
                local[at], whole = _learned(slope, local[at], whole)
            offset -= unit * _U64(below)
            width = unit * _U64(above - below)
            if width < _U64(1 << 32):
                word = _U64(0)
                for i in range(4):
                    byte = data[size + i] if size + i < len(data) else 0
                    word = (word << _U64(8)) | _U64(byte)
                size += 4
                offset = (offset << _U64(32)) | word
                width <<= _U64(32)
    state[0], state[1] = offset, width
    return size, count


@compiled
def latent_bits(
    tables: Any, network: Any, most: int, y: int, x: int, inputs: Any, h1: Any, h2: Any, out: Any
) -> Any:
    """What the latent in row y, column x of a plane costs; `inputs` ends with its constants."""
    plane, near, near_rows, near_cols, far, far_rows, far_cols, _, _ = tables
    _gather(plane, near, near_rows, near_cols, far, far_rows, far_cols, y, x, inputs)
    centre, scale = _predict(inputs, network, h1, h2, out)
    symbol = np.int64(plane[y + BORDER, x + BORDER])
    share = _below(symbol + 1, most, centre, scale) - _below(symbol, most, centre, scale)
    return PRECISION - math.log2(share)
