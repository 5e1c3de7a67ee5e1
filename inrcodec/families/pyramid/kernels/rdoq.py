"""Coordinate descent on latents as they are coded: integers, one after the other (Numba).

A move is judged by the squared errors of all pixels and the bits of all latents that it touches,
with the networks as the decoder has them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from inrcodec.families.pyramid.context_coder import latent_bits
from inrcodec.families.pyramid.latents import BORDER, PLACES
from inrcodec.families.pyramid.shape import OTHER_INPUTS
from inrcodec.kernels.compile import compiled
from inrcodec.kernels.sine import sine_and_cosine

REACH = 4
"""A move in row y of a plane without a filter reads and writes nothing of rows beyond y - 4 and
y + 4, nor what they cover of the picture and of finer planes; with one that is as many rows more as
it has taps."""

_ZERO, _ONE, _TWO = np.float32(0), np.float32(1), np.float32(2)


@compiled
def _scratch(tables: Any, network: Any) -> Any:
    inputs = np.zeros(len(network[0]))
    inputs[-2], inputs[-1] = tables[7], tables[8]
    return inputs, np.zeros(len(network[1])), np.zeros(len(network[3])), np.zeros(2)


@compiled
def measure_rows(tables: Any, network: Any, most: int, bits: Any, first: int, last: int) -> None:
    """Write the bits of all latents in rows `first` to `last` of a plane."""
    scratch = _scratch(tables, network)
    for y in range(first, last):
        for x in range(bits.shape[1]):
            bits[y, x] = latent_bits(tables, network, most, y, x, *scratch)


@compiled
def _look(z: Any, theta: Any, i: int, waves: Any) -> None:
    """Sines and cosines (W, units) of both layers in row i of the picture."""
    w1, b1, w2, b2 = theta[:4]
    row = i % len(waves[0])
    s1, c1, s2, c2 = waves[0][row], waves[1][row], waves[2][row], waves[3][row]
    for j in range(z.shape[1]):
        _wave(z[i, j], w1, b1, s1[j], c1[j])
        if len(b2):
            _wave(s1[j], w2, b2, s2[j], c2[j])


@compiled
def _wave(x: Any, w: Any, b: Any, sines: Any, cosines: Any) -> None:
    """Of wᵀ x + b."""
    for u in range(len(b)):
        sines[u] = b[u]
    for p in range(len(x)):
        for u in range(len(b)):
            sines[u] += w[p, u] * x[p]
    for u in range(len(b)):
        sines[u], cosines[u] = sine_and_cosine(sines[u])


@compiled
def _turn(angle: Any, s: Any, c: Any, work: Any, keep: bool) -> None:
    """Write to `work` how much sines s change where the angles grow by `angle`; or `keep` that."""
    for u in range(len(s)):
        sine, cosine = sine_and_cosine(angle[u])
        work[u] = s[u] * (cosine - _ONE) + c[u] * sine
        if keep:
            c[u] = c[u] * cosine - s[u] * sine
            s[u] += work[u]


@compiled
def _squares(
    z: Any,
    error: Any,
    theta: Any,
    k: int,
    d: Any,
    ys: Any,
    y_taps: Any,
    xs: Any,
    x_taps: Any,
    waves: Any,
    work: Any,
    moved: Any,
    keep: bool,
) -> Any:
    """The change of the sum of squared errors when a latent of plane k moves by d.

    It touches the rows ys[0] to ys[1] and columns xs[0] to xs[1] of `z` (H, W, planes) and `error`
    (H, W, C), with the weights `y_taps` and `x_taps`. Row i of the picture has the `waves` of
    `_look` at i modulo their number. With `keep` all these change as well. A filter sees what has
    `moved`, two pixels of zeros around it.
    """
    w1, _, w2, b2, w3, taps = theta
    angle1, work1, angle2, work2 = work
    filtered, deep = len(taps) > 0, len(b2) > 0
    if filtered:
        moved[: ys[1] - ys[0] + 4, : xs[1] - xs[0] + 4] = _ZERO
    total: Any = 0.0
    for i in range(ys[0], ys[1]):
        tap = d * y_taps[i - ys[0]]
        row = i % len(waves[0])
        for j in range(xs[0], xs[1]):
            move = tap * x_taps[j - xs[0]]
            if move == 0:
                continue
            for u in range(len(angle1)):
                angle1[u] = w1[k, u] * move
            _turn(angle1, waves[0][row, j], waves[1][row, j], work1, keep)
            top = work1
            if deep:
                angle2[:] = _ZERO
                for u in range(len(work1)):
                    for v in range(len(angle2)):
                        angle2[v] += w2[u, v] * work1[u]
                _turn(angle2, waves[2][row, j], waves[3][row, j], work2, keep)
                top = work2
            for channel in range(error.shape[2]):
                change: Any = _ZERO
                for u in range(len(top)):
                    change += w3[channel, u] * top[u]
                if filtered:
                    moved[i - ys[0] + 2, j - xs[0] + 2, channel] = change
                    continue
                total += change * (_TWO * error[i, j, channel] + change)
                if keep:
                    error[i, j, channel] += change
            if keep:
                z[i, j, k] += move
    return _filtered_squares(error, taps, moved, ys, xs, keep) if filtered else total


@compiled
def _filtered_squares(error: Any, taps: Any, moved: Any, ys: Any, xs: Any, keep: bool) -> Any:
    """As `_squares`, from what has moved of what the filter sees; `taps` are (C, 9 C)."""
    height, width, channels = error.shape
    total: Any = 0.0
    for i in range(max(ys[0] - 1, 0), min(ys[1] + 1, height)):
        for j in range(max(xs[0] - 1, 0), min(xs[1] + 1, width)):
            for channel in range(channels):
                change = moved[i - ys[0] + 2, j - xs[0] + 2, channel]
                for t in range(9):
                    row = min(max(i + t // 3 - 1, 0), height - 1) - ys[0] + 2
                    col = min(max(j + t % 3 - 1, 0), width - 1) - xs[0] + 2
                    for other in range(channels):
                        change += taps[channel, 9 * other + t] * moved[row, col, other]
                total += change * (_TWO * error[i, j, channel] + change)
                if keep:
                    error[i, j, channel] += change
    return total


@compiled
def _recount(
    tables: Any,
    network: Any,
    most: int,
    bits: Any,
    k: int,
    y: int,
    x: int,
    scratch: Any,
    touched: Any,
    n: int,
) -> Any:
    """Note the new bits of a latent as number n of `touched`; returns how many more these are."""
    now = latent_bits(tables, network, most, y, x, *scratch)
    touched[n, 0], touched[n, 1], touched[n, 2], touched[n, 3] = now, k, y, x
    return now - bits[y, x]


@compiled
def _bits_change(
    planes: Any,
    network: Any,
    most: Any,
    bits: Any,
    y: int,
    x: int,
    scratch: Any,
    touched: Any,
    most_own: float,
) -> Any:
    """What the move of a latent in row y, column x of the first plane changes in bits.

    Its own bits change, those of the latents that have it as a neighbour, and those of the
    latents of two other planes that it is a value for. Returns how many and the sum; `touched`
    has their new bits and places. If its own bits alone change by more than `most_own` the rest is
    not looked at, and none are counted.
    """
    r, c = y + BORDER, x + BORDER
    h, w = bits[0].shape
    n, more = 0, 0.0
    more += _recount(planes[0], network, most[0], bits[0], 0, y, x, scratch[0], touched, n)
    if more > most_own:
        return 0, more
    n += 1
    for m in range(len(network[0]) - OTHER_INPUTS):
        i, j = y - PLACES[m, 0], x - PLACES[m, 1]
        if i < h and 0 <= j < w:
            more += _recount(planes[0], network, most[0], bits[0], 0, i, j, scratch[0], touched, n)
            n += 1
    if most[1] > 0:
        rows, cols = planes[1][2], planes[1][3]
        h, w = bits[1].shape
        octaves = planes[0][7] - planes[1][7]
        for i in range(max((y - 1) << octaves, 0), min((y + 2) << octaves, h)):
            at, beside = rows[i, 0] == r, rows[i, 1] == r
            if not (at or beside):
                continue
            for j in range(max((x - 1) << octaves, 0), min((x + 2) << octaves, w)):
                if cols[j, 0] == c or (at and cols[j, 1] == c):
                    more += _recount(
                        planes[1], network, most[1], bits[1], 1, i, j, scratch[1], touched, n
                    )
                    n += 1
    if most[2] > 0:
        h, w = bits[2].shape
        octaves = planes[0][7] - planes[2][7]
        for i in range(y << octaves, min((y + 1) << octaves, h)):
            for j in range(x << octaves, min((x + 1) << octaves, w)):
                more += _recount(
                    planes[2], network, most[2], bits[2], 2, i, j, scratch[2], touched, n
                )
                n += 1
    return n, more


@compiled
def descend_rows(
    planes: Any,
    network: Any,
    most: Any,
    bits: Any,
    wanted: Any,
    tried: Any,
    far_off: float,
    weight: float,
    saving: float,
    z: Any,
    error: Any,
    theta: Any,
    k: int,
    rows: Any,
    row_taps: Any,
    cols: Any,
    col_taps: Any,
    judged: Any,
    first: int,
    last: int,
) -> None:
    """Move latents of rows `first` to `last` of plane k where that lowers squares + weight · bits.

    A latent may move by 1: towards the real number that it was in `wanted`, if it is further than
    `far_off` from it, or towards 0. It stays where `tried` is false, and is not tried to the end
    where that would need others to become cheaper by more than `saving` bits. `planes` are the
    tables of this plane, of that which has it as the near one of its context and of that which has
    it as the far one, `most` their largest magnitudes, 0 where there is no such plane, and `bits`
    what their latents cost, which is kept up to date as `z` and `error` are. `theta` is the weight,
    transposed, and bias of the first sine layer and the second, which may have no units, the weight
    of the linear one and that of the filter, which may have no rows. `rows` (h, 2) and `row_taps`
    (h, ·) say which rows of the picture a latent touches, and how much; `judged` are these and
    those of the columns once more, without what is too little to count before a move is made.
    """
    plane = planes[0][0]
    octaves, far_octaves = planes[0][7] - planes[1][7], planes[0][7] - planes[2][7]
    touched = np.zeros((len(network[0]) + (3 << octaves) ** 2 + (1 << far_octaves) ** 2, 4))
    scratch = (
        _scratch(planes[0], network),
        _scratch(planes[1], network),
        _scratch(planes[2], network),
    )
    units, second = len(theta[1]), len(theta[3])
    work = (
        np.zeros(units, np.float32),
        np.zeros(units, np.float32),
        np.zeros(second, np.float32),
        np.zeros(second, np.float32),
    )
    window = np.int64(np.max(rows[first:last, 1] - rows[first:last, 0])) if last > first else 1
    wide = np.int64(np.max(cols[:, 1] - cols[:, 0]))
    moved = np.zeros((window + 4, wide + 4, error.shape[2]), np.float32)
    waves = (
        np.zeros((window, z.shape[1], units), np.float32),
        np.zeros((window, z.shape[1], units), np.float32),
        np.zeros((window, z.shape[1], second), np.float32),
        np.zeros((window, z.shape[1], second), np.float32),
    )
    seen: Any = 0
    for y in range(first, last):
        for i in range(max(seen, rows[y, 0]), rows[y, 1]):
            _look(z, theta, i, waves)
        seen = rows[y, 1]
        for x in range(bits[0].shape[1]):
            if not tried[y + BORDER, x + BORDER]:
                continue
            value = plane[y + BORDER, x + BORDER]
            off = wanted[y + BORDER, x + BORDER] - value
            back = np.float32(0 if abs(off) <= far_off else 1 if off > 0 else -1)
            down = np.float32(0 if value == 0 else -1 if value > 0 else 1)
            place = (rows[y], row_taps[y], cols[x], col_taps[x], waves, work, moved)
            judged_place = (
                judged[0][y],
                judged[1][y],
                judged[2][x],
                judged[3][x],
                waves,
                work,
                moved,
            )
            for d in (back, down if down != back else _ZERO):
                if d == 0 or abs(value + d) > most[0]:
                    continue
                squares = _squares(z, error, theta, k, d, *judged_place, False)
                if squares > weight * (bits[0][y, x] + saving):
                    continue
                plane[y + BORDER, x + BORDER] = value + d
                n, more = _bits_change(
                    planes,
                    network,
                    most,
                    bits,
                    y,
                    x,
                    scratch,
                    touched,
                    saving - squares / weight if weight > 0 else np.inf,
                )
                if n == 0 or squares + weight * more >= 0:
                    plane[y + BORDER, x + BORDER] = value
                    continue
                for m in range(n):
                    changed = bits[np.int64(touched[m, 1])]
                    changed[np.int64(touched[m, 2]), np.int64(touched[m, 3])] = touched[m, 0]
                _squares(z, error, theta, k, d, *place, True)
                break
