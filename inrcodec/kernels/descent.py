"""Coordinate descent on latents as they are coded: integers, one after the other (Numba).

A move is judged by the squared errors of all pixels and the bits of all latents that it touches,
with the networks as the decoder has them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from inrcodec.entropy.context import latent_bits
from inrcodec.inr.architecture import CONTEXT_INPUTS
from inrcodec.inr.latents import BORDER
from inrcodec.kernels.elementwise import compiled, sine_and_cosine

REACH = 4
"""A move in row y of a plane reads and writes nothing of rows beyond y - 4 and y + 4, nor what they
cover of the picture and of finer planes."""

_ZERO, _TWO = np.float32(0), np.float32(2)
_SAVING = 8.0
"""Bits that a latent's neighbours may save at most when it moves, for what is worth a try."""


@compiled
def _scratch(tables: Any, network: Any) -> Any:
    inputs = np.zeros(CONTEXT_INPUTS)
    inputs[14], inputs[15] = tables[7], tables[8]
    return inputs, np.zeros(len(network[1])), np.zeros(len(network[3])), np.zeros(2)


@compiled
def measure_rows(tables: Any, network: Any, most: int, bits: Any, first: int, last: int) -> None:
    """Write the bits of all latents in rows `first` to `last` of a plane."""
    inputs, h1, h2, out = _scratch(tables, network)
    for y in range(first, last):
        for x in range(bits.shape[1]):
            bits[y, x] = latent_bits(tables, network, most, y, x, inputs, h1, h2, out)


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
    work: Any,
    keep: bool,
) -> Any:
    """The change of the sum of squared errors when a latent of plane k moves by d.

    It touches the rows ys[0] to ys[1] and columns xs[0] to xs[1] of `z` (H, W, planes) and `error`
    (H, W, C), with the weights `y_taps` and `x_taps`. With `keep` these change as well.
    """
    w1, b1, w2 = theta
    units, channels = len(b1), error.shape[2]
    total: Any = 0.0
    for i in range(ys[0], ys[1]):
        tap = d * y_taps[i - ys[0]]
        for j in range(xs[0], xs[1]):
            move = tap * x_taps[j - xs[0]]
            if move == 0:
                continue
            for u in range(units):
                work[u] = b1[u]
            for p in range(z.shape[2]):
                value = z[i, j, p]
                for u in range(units):
                    work[u] += w1[p, u] * value
            for u in range(units):
                before, _ = sine_and_cosine(work[u])
                after, _ = sine_and_cosine(work[u] + w1[k, u] * move)
                work[u] = after - before
            for c in range(channels):
                change: Any = _ZERO
                for u in range(units):
                    change += w2[c, u] * work[u]
                total += change * (_TWO * error[i, j, c] + change)
                if keep:
                    error[i, j, c] += change
            if keep:
                z[i, j, k] += move
    return total


@compiled
def descend_rows(
    tables: Any,
    child: Any,
    grandchild: Any,
    followers: int,
    network: Any,
    most: Any,
    bits: Any,
    child_bits: Any,
    grandchild_bits: Any,
    wanted: Any,
    far_off: float,
    weight: float,
    z: Any,
    error: Any,
    theta: Any,
    k: int,
    rows: Any,
    row_taps: Any,
    cols: Any,
    col_taps: Any,
    first: int,
    last: int,
) -> int:
    """Move latents of rows `first` to `last` of plane k where that lowers squares + weight · bits.

    A latent may move by 1: towards the real number that it was in `wanted`, if it is further than
    `far_off` from it, or towards 0. `child` and `grandchild` are the tables of the next
    `followers` planes; `most` holds the largest magnitude of each of the three, and `bits` what
    their latents cost, which is kept up to date as `z` and `error` are. `theta` is the weight,
    transposed, and bias of the sine layer and the weight of the linear one. `rows` (h, 2) and
    `row_taps` (h, ·) say which rows of the picture a latent touches, and how much.

    Returns how many latents were moved.
    """
    plane = tables[0]
    h, w = bits.shape
    size = 16
    octaves, far_octaves = 0, 0
    if followers > 0:
        octaves = tables[7] - child[7]
        size += (3 << octaves) ** 2
    if followers > 1:
        far_octaves = tables[7] - grandchild[7]
        size += (1 << far_octaves) ** 2
    new, places = np.zeros(size), np.zeros((size, 3), np.int64)
    own, own1, own2, own3 = _scratch(tables, network)
    next_, next1, next2, next3 = _scratch(child, network)
    last_, last1, last2, last3 = _scratch(grandchild, network)
    work = np.zeros(len(theta[1]), np.float32)
    moved = 0
    for y in range(first, last):
        r = y + BORDER
        for x in range(w):
            c = x + BORDER
            value = plane[r, c]
            off = wanted[r, c] - value
            back = np.float32(0 if abs(off) <= far_off else 1 if off > 0 else -1)
            down = np.float32(0 if value == 0 else -1 if value > 0 else 1)
            for d in (back, down if down != back else _ZERO):
                if d == 0 or abs(value + d) > most[0]:
                    continue
                squares = _squares(
                    z, error, theta, k, d, rows[y], row_taps[y], cols[x], col_taps[x], work, False
                )
                if squares > weight * (bits[y, x] + _SAVING):
                    continue
                plane[r, c] = value + d
                n, more = 0, 0.0
                for i in range(y, min(y + 3, h)):
                    for j in range(x if i == y else max(x - 2, 0), min(x + 3, w)):
                        b = latent_bits(tables, network, most[0], i, j, own, own1, own2, own3)
                        more += b - bits[i, j]
                        new[n], places[n, 0], places[n, 1], places[n, 2] = b, 0, i, j
                        n += 1
                if followers > 0 and most[1] > 0:
                    near_rows, near_cols = child[2], child[3]
                    for i in range(
                        max((y - 1) << octaves, 0), min((y + 2) << octaves, child_bits.shape[0])
                    ):
                        at, beside = near_rows[i, 0] == r, near_rows[i, 1] == r
                        if not (at or beside):
                            continue
                        for j in range(
                            max((x - 1) << octaves, 0), min((x + 2) << octaves, child_bits.shape[1])
                        ):
                            under = near_cols[j, 0] == c
                            if not (under or (at and near_cols[j, 1] == c)):
                                continue
                            b = latent_bits(
                                child, network, most[1], i, j, next_, next1, next2, next3
                            )
                            more += b - child_bits[i, j]
                            new[n], places[n, 0], places[n, 1], places[n, 2] = b, 1, i, j
                            n += 1
                if followers > 1 and most[2] > 0:
                    for i in range(
                        y << far_octaves, min((y + 1) << far_octaves, grandchild_bits.shape[0])
                    ):
                        for j in range(
                            x << far_octaves, min((x + 1) << far_octaves, grandchild_bits.shape[1])
                        ):
                            b = latent_bits(
                                grandchild, network, most[2], i, j, last_, last1, last2, last3
                            )
                            more += b - grandchild_bits[i, j]
                            new[n], places[n, 0], places[n, 1], places[n, 2] = b, 2, i, j
                            n += 1
                if squares + weight * more >= 0:
                    plane[r, c] = value
                    continue
                moved += 1
                for m in range(n):
                    i, j = places[m, 1], places[m, 2]
                    if places[m, 0] == 0:
                        bits[i, j] = new[m]
                    elif places[m, 0] == 1:
                        child_bits[i, j] = new[m]
                    else:
                        grandchild_bits[i, j] = new[m]
                _squares(
                    z, error, theta, k, d, rows[y], row_taps[y], cols[x], col_taps[x], work, True
                )
                break
    return moved
