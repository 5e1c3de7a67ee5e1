"""Range coding of latent planes by their context network, in integers: alike on every machine.

The network is that of `kernels.rate` in fixed point: weights are integers in units of 2^-12. All
arithmetic is on integers below 2^53, held in float64, where products and sums are exact in any
order. `docs/format.md`, sections "Context network" and "Latents", is the specification.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from inrcodec.entropy.model import PRECISION, exp2_weight
from inrcodec.errors import FormatError
from inrcodec.families.pyramid.kernels.tables import PlaneTables
from inrcodec.families.pyramid.latents import BORDER, PLACES, Plane
from inrcodec.families.pyramid.shape import OTHER_INPUTS
from inrcodec.kernels.compile import compiled, ensure

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
"""Columns of a plane that share a correction of the scale."""

MOST_AWAY = 1 << 18
"""Largest correction of a scale, in units of 2^-16 octaves: four octaves."""

FARTHEST = 512
"""Largest distance from the centre that changes a correction more than a smaller one, in
sixteenths."""

GUARD = 16
"""Zero bytes behind those that are known."""

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


class Progress(NamedTuple):
    """The state of a range coder within a plane, kept in arrays so that kernels may change it.

    Attributes:
        interval: (2,) uint64: lower end of the interval, or offset within it, and its width.
        place: (4,) int64: bytes written or read, row and column of the next latent, and how many
            latents of the plane are done.
        local: corrections of the scale for each `COLUMNS` columns, in 2^-16 octaves.
        whole: (1,), correction of the scale for the whole plane, in 2^-16 octaves.
    """

    interval: NDArray[np.uint64]
    place: NDArray[np.int64]
    local: NDArray[np.int64]
    whole: NDArray[np.int64]


class Work(NamedTuple):
    """Buffers of the context network, and its output where it sees nothing but zeros (2,)."""

    inputs: Fixed
    h1: Fixed
    h2: Fixed
    out: Fixed
    empty: NDArray[np.int64]


def tables_of(plane: Plane, planes: Sequence[Plane], latents: Latents) -> PlaneTables:
    """The tables of a plane in the array of all latents."""
    nothing = np.zeros((1, 1), np.float32)
    near, far = (
        nothing if parents.plane is None else planes[parents.plane].view(latents)
        for parents in (plane.near, plane.far)
    )
    return PlaneTables(
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


def _work_of(plane: Plane, network: tuple[Fixed, ...]) -> Work:
    inputs = np.zeros(len(network[0]))
    inputs[-2], inputs[-1] = plane.level, plane.later
    work = Work(
        inputs,
        np.zeros(len(network[1])),
        np.zeros(len(network[3])),
        np.zeros(2),
        np.zeros(2, np.int64),
    )
    work.empty[:] = _predict(work.inputs, network, work.h1, work.h2, work.out)
    return work


def _begin(interval: NDArray[np.uint64], size: int, plane: Plane) -> Progress:
    """The state at the first latent of a plane."""
    local = np.zeros(plane.shape[1] // COLUMNS + 1, np.int64)
    return Progress(interval, np.array([size, 0, 0, 0], np.int64), local, np.zeros(1, np.int64))


def encode_planes(
    planes: Sequence[Plane],
    chosen: range,
    latents: Latents,
    network: tuple[Fixed, ...],
    largest: Sequence[int],
) -> bytes:
    """Code the chosen planes of integers, whose magnitudes are at most those of `largest` each.

    `latents` is the array of all planes; those before the first one chosen give it context.
    """
    # A latent costs at most 24 bits, and now and then four bytes come at once.
    buffer = np.zeros(sum(planes[i].stop - planes[i].start for i in chosen) * 3 + 64, np.uint8)
    interval = np.array([0, (1 << 64) - 1], dtype=np.uint64)
    size = 0
    for index, most in zip(chosen, largest, strict=True):
        if most:
            plane = planes[index]
            tables, work = tables_of(plane, planes, latents), _work_of(plane, network)
            progress = _begin(interval, size, plane)
            _encode_plane(tables, network, scale_slopes(), most, progress, work, buffer)
            size = int(progress.place[0])
    low, width = (int(value) for value in interval)
    low += int.from_bytes(buffer[:size].tobytes(), "big") << 64
    return _shortest(low, width, size)


class PlanesDecoder:
    """Decodes what `encode_planes` gave, from bytes that may arrive little by little.

    Attributes:
        done: how many of the chosen planes are decoded to their end.
        count: how many latents are decoded, those of whole planes included.
    """

    def __init__(
        self,
        planes: Sequence[Plane],
        chosen: range,
        latents: Latents,
        network: tuple[Fixed, ...],
        largest: Sequence[int],
    ) -> None:
        """Arguments as of `encode_planes`; the latents are decoded into `latents`.

        Latents that the bytes do not determine yet are 0.
        """
        ensure("decode-pyramid")
        self._planes, self._chosen, self._latents = planes, chosen, latents
        self._network, self._largest = network, largest
        self._interval = np.array([0, (1 << 64) - 1], dtype=np.uint64)
        self._known = 0
        self._place = 8
        self._states: tuple[PlaneTables, Work, Progress] | None = None
        self.done, self.count = 0, 0

    def decode(self, data: bytes, cut: bool) -> None:
        """Decode on; `data` are all bytes so far, to which later calls append.

        With `cut` more bytes may follow, and only latents that these cannot change are decoded.

        Raises:
            FormatError: the bytes are not those that `encode_planes` gives for any latents.
        """
        self._append(data)
        known = self._known if cut else _ALL
        while self.done < len(self._chosen):
            plane = self._planes[self._chosen[self.done]]
            size = plane.shape[0] * plane.shape[1]
            if self._largest[self.done]:
                decoded = self._decode_plane(plane, data, known)
                if decoded < size:
                    return
                self._states = None
            self.done += 1
            self.count += size

    @property
    def partial(self) -> int:
        """Latents that are decoded of the plane after those that are done."""
        return 0 if self._states is None else int(self._states[2].place[3])

    def end(self, data: bytes) -> None:
        """Make sure that `data` are the bytes that `encode_planes` gives for the latents.

        Raises:
            FormatError: they are not.
        """
        offset, width = (int(value) for value in self._interval)
        low = int.from_bytes(bytes(data[: self._place]).ljust(self._place, b"\0"), "big") - offset
        if _shortest(low, width, self._place - 8) != data:
            raise FormatError("the coded latents are invalid or followed by other bytes")

    def _append(self, data: bytes) -> None:
        """Add bytes to the interval that it has read before they were known, as 0."""
        offset = int(self._interval[0])
        for i in range(self._known, min(len(data), self._place)):
            offset += data[i] << 8 * (self._place - 1 - i)
        self._interval[0] = offset
        self._known = len(data)

    def _decode_plane(self, plane: Plane, data: bytes, known: int) -> int:
        """How many latents of a plane are decoded now."""
        if self._states is None:
            tables = tables_of(plane, self._planes, self._latents)
            work = _work_of(plane, self._network)
            self._states = tables, work, _begin(self._interval, self._place, plane)
        tables, work, progress = self._states
        first = self._place
        rest = np.frombuffer(bytes(data[first:]) + bytes(GUARD), np.uint8)
        most = self._largest[self.done]
        slopes = scale_slopes()
        ok = _decode_plane(
            tables, self._network, slopes, most, progress, work, (rest, first, known)
        )
        if not ok:
            raise FormatError("the coded latents are invalid")
        self._place = int(progress.place[0])
        return int(progress.place[3])


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
def scale_slopes() -> NDArray[np.int64]:
    """Slopes of a latent's cost (SCALES, FARTHEST + 1), by scale and distance from the centre.

    A slope is the cost at a scale half an octave above minus that at a scale half an octave below,
    in 1/256 bits; distances are in sixteenths.
    """
    t = np.arange(FARTHEST + 1)
    scales = np.arange(SCALES)[:, None]

    def tail(u: NDArray[np.int64]) -> NDArray[np.int64]:
        """The share of the distribution beyond a distance, in units of 2^-32."""
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
def _rows_of(tables: Any, y: int) -> Any:
    """Rows of a latent and of its context: in its own plane, two in the near and one in the far."""
    return y + BORDER, tables.near_rows[y, 0], tables.near_rows[y, 1], tables.far_rows[y, 0]


@compiled
def _gather(
    plane: Any, near: Any, near_cols: Any, far: Any, far_cols: Any, rows: Any, x: int, inputs: Any
) -> bool:
    """Write what the context network sees of a latent; return whether any latent there is not 0.

    `rows` are those of `_rows_of`. The last two inputs, the constants of the plane, stay as they
    are. Arrays are parameters of their own: Numba counts references to those in a tuple at each
    call, and decoding a plane took 1.4 times as long.
    """
    row, near_row, near_beside, far_row = rows
    n = len(inputs) - OTHER_INPUTS
    for j in range(n):
        inputs[j] = plane[row + PLACES[j, 0], x + BORDER + PLACES[j, 1]]
    inputs[n] = near[near_row, near_cols[x, 0]]
    inputs[n + 1] = near[near_row, near_cols[x, 1]]
    inputs[n + 2] = near[near_beside, near_cols[x, 0]]
    inputs[n + 3] = far[far_row, far_cols[x, 0]]
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
def _adapted(scale: Any, local: Any, whole: Any) -> Any:
    """The index of a scale with the corrections of its columns and of the plane."""
    return min(max(scale + ((local + whole + (1 << 12)) >> 13), 0), SCALES - 1)


@compiled
def _corrected(correction: Any, step: Any) -> Any:
    """A correction of the scale, moved against a step."""
    return min(max(correction - step, -MOST_AWAY), MOST_AWAY)


@compiled
def _guess(centre: int, most: int) -> int:
    return min(max((centre + 8) >> 4, -most), most)


@compiled
def _encode_plane(
    tables: Any, network: Any, slopes: Any, most: int, progress: Any, work: Any, buffer: Any
) -> None:
    """Append a plane to the buffer."""
    plane, near, near_cols = tables.plane, tables.near, tables.near_cols
    far, far_cols = tables.far, tables.far_cols
    inputs, h1, h2, out, empty = work
    low, width, size = progress.interval[0], progress.interval[1], progress.place[0]
    local, whole = progress.local, progress.whole[0]
    for y in range(plane.shape[0] - BORDER):
        rows = _rows_of(tables, y)
        for x in range(plane.shape[1] - 2 * BORDER):
            centre, scale = empty[0], empty[1]
            if _gather(plane, near, near_cols, far, far_cols, rows, x, inputs):
                centre, scale = _predict(inputs, network, h1, h2, out)
            symbol = np.int64(plane[y + BORDER, x + BORDER])
            at = x // COLUMNS
            scale = _adapted(scale, local[at], whole)
            slope = slopes[scale, min(abs(16 * symbol - centre), FARTHEST)]
            local[at], whole = _corrected(local[at], 4 * slope), _corrected(whole, slope)
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
    progress.interval[0], progress.interval[1], progress.place[0] = low, width, size
    progress.whole[0] = whole


@compiled
def _decode_plane(
    tables: Any, network: Any, slopes: Any, most: int, progress: Any, work: Any, source: Any
) -> bool:
    """Decode a plane from where `progress` is; return False where the bytes are invalid.

    `source` is the bytes from the position `first` on, that position, and how many bytes of all are
    known. The kernel stops before the first latent that unknown bytes may change.
    """
    data, first, known = source
    plane, near, near_cols = tables.plane, tables.near, tables.near_cols
    far, far_cols = tables.far, tables.far_cols
    inputs, h1, h2, out, empty = work
    offset, width, size = progress.interval[0], progress.interval[1], progress.place[0]
    columns = plane.shape[1] - 2 * BORDER
    start, end = progress.place[3], (plane.shape[0] - BORDER) * columns
    y, x = progress.place[1], progress.place[2]
    local, whole = progress.local, progress.whole[0]
    rows = _rows_of(tables, 0)
    for n in range(start, end):
        if x == 0 or n == start:
            rows = _rows_of(tables, y)
        centre, scale = empty[0], empty[1]
        if _gather(plane, near, near_cols, far, far_cols, rows, x, inputs):
            centre, scale = _predict(inputs, network, h1, h2, out)
        at = x // COLUMNS
        scale = _adapted(scale, local[at], whole)
        unit = width >> _U64(PRECISION)
        quantile = np.int64(offset // unit)
        if quantile >= 1 << PRECISION:
            return False
        symbol, below, above = _symbol_at(quantile, most, centre, scale)
        if size > known:
            unknown = size - known
            # Unknown bytes count as 0 so far; is the symbol the same if all their bits are 1?
            if unknown >= 8 or unit * _U64(above) - offset < (_U64(1) << _U64(8 * unknown)):
                progress.interval[0], progress.interval[1] = offset, width
                progress.whole[0] = whole
                progress.place[0], progress.place[1] = size, y
                progress.place[2], progress.place[3] = x, n
                return True
        plane[y + BORDER, x + BORDER] = symbol
        slope = slopes[scale, min(abs(16 * symbol - centre), FARTHEST)]
        local[at], whole = _corrected(local[at], 4 * slope), _corrected(whole, slope)
        offset -= unit * _U64(below)
        width = unit * _U64(above - below)
        if width < _U64(1 << 32):
            word = _U64(0)
            for i in range(4):
                at = size + i - first
                byte = data[at] if at < len(data) else 0
                word = (word << _U64(8)) | _U64(byte)
            size += 4
            offset = (offset << _U64(32)) | word
            width <<= _U64(32)
        x += 1
        if x == columns:
            x = 0
            y += 1
    progress.interval[0], progress.interval[1], progress.whole[0] = offset, width, whole
    progress.place[0], progress.place[1], progress.place[2], progress.place[3] = size, y, x, end
    return True


@compiled
def _symbol_at(quantile: Any, most: Any, centre: Any, scale: Any) -> Any:
    """The symbol whose interval holds a quantile, and the bounds of that interval."""
    symbol = _guess(centre, most)
    below = _below(symbol, most, centre, scale)
    above = _below(symbol + 1, most, centre, scale)
    if below <= quantile < above:
        return symbol, below, above
    first, last = (-most, symbol - 1) if quantile < below else (symbol + 1, most)
    while first < last:
        middle = (first + last + 1) >> 1
        if _below(middle, most, centre, scale) <= quantile:
            first = middle
        else:
            last = middle - 1
    return first, _below(first, most, centre, scale), _below(first + 1, most, centre, scale)


@compiled
def latent_bits(tables: Any, network: Any, most: int, y: int, x: int, buffers: Any) -> Any:
    """Bits of the latent at y, x of a plane, without corrections of the scale.

    `buffers` are inputs, which end with the constants of the plane, and the values of three layers.
    """
    inputs, h1, h2, out = buffers
    plane, near, near_cols = tables.plane, tables.near, tables.near_cols
    rows = _rows_of(tables, y)
    _gather(plane, near, near_cols, tables.far, tables.far_cols, rows, x, inputs)
    centre, scale = _predict(inputs, network, h1, h2, out)
    symbol = np.int64(tables[0][y + BORDER, x + BORDER])
    share = _below(symbol + 1, most, centre, scale) - _below(symbol, most, centre, scale)
    return PRECISION - math.log2(share)
