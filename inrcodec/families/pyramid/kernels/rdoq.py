"""RDOQ of latents: coordinate descent on integers under rate and distortion (Numba).

A move changes one latent by 1. It is judged by the squared errors of all pixels and the bits of all
latents that it changes, with the networks as the decoder has them: bits by the integer context
network (`families.pyramid.context_coder`), pixels in float32.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from inrcodec.families.pyramid.context_coder import latent_bits
from inrcodec.families.pyramid.latents import BORDER, PLACES
from inrcodec.families.pyramid.shape import OTHER_INPUTS
from inrcodec.kernels.compile import compiled
from inrcodec.kernels.sine import sine_and_cosine

REACH = 4
"""Rows of its plane, above and below, that a move reads or writes, with all pixels and latents of
finer planes that these rows cover. A plane's filter adds as many rows as it has taps."""

_ZERO, _ONE, _TWO = np.float32(0), np.float32(1), np.float32(2)


class CodedPlane(NamedTuple):
    """A plane and what its latents cost.

    Attributes:
        tables: `PlaneTables`.
        largest: magnitude of the plane's largest latent, which its symbols are limited to; 0 where
            the plane has no bits, or where there is no such plane.
        bits: (h, w), float64; bits of each latent, kept up to date.
    """

    tables: Any
    largest: int
    bits: Any


class CodedPlanes(NamedTuple):
    """Three planes whose bits a move may change; they share a context network.

    Attributes:
        own: the `CodedPlane` that the moved latent is in.
        near: the one whose near plane it is. Where there is none: `own` with `largest` 0.
        far: the one whose far plane it is. Where there is none: `own` with `largest` 0.
        network: weights, transposed, and biases of the three layers: `context_coder.fixed_point`.
    """

    own: Any
    near: Any
    far: Any
    network: Any


class Synthesis(NamedTuple):
    """Networks from features to pixels, in float32.

    Attributes:
        w1: (planes, units), weight of the first sine layer, transposed.
        b1: (units,), its bias.
        w2: (units, second), weight of the second sine layer, transposed; second may be 0.
        b2: (second,), its bias.
        w3: (C, units or second), weight of the linear layer. Its bias is not needed.
        output_taps: (C, 9 C), weight of the output filter, or (0, 0) without one.
    """

    w1: Any
    b1: Any
    w2: Any
    b2: Any
    w3: Any
    output_taps: Any


class Picture(NamedTuple):
    """State of all pixels, kept up to date.

    Attributes:
        z: (H, W, planes), features: what the first sine layer sees.
        error: (H, W, C), decoded samples minus the picture's, after the output filter.
    """

    z: Any
    error: Any


class Footprint(NamedTuple):
    """Pixels whose features a latent of a plane changes, and how much: separable.

    Where latent (y, x) moves by d, feature (i, j) of its plane changes by
    d · row_taps[y, i - rows[y, 0]] · col_taps[x, j - cols[x, 0]].

    Attributes:
        rows: (h, 2), first row and last + 1, for each row of the plane.
        row_taps: (h, ·), weights from that first row on.
        cols: (w, 2), first column and last + 1, for each column of the plane.
        col_taps: (w, ·), their weights.
    """

    rows: Any
    row_taps: Any
    cols: Any
    col_taps: Any


class Search(NamedTuple):
    """Which moves are tried, and how they are judged.

    Attributes:
        wanted: padded plane; a latent moves towards this number or towards 0.
        tried: padded plane of booleans; other latents stay.
        far_off: a latent nearer than this to `wanted` does not move towards it.
        cost: λ in squared errors per bit.
        saving: bits that a move may save other latents at most. A move that needs more is rejected
            early.
        touched: `Footprint` with all pixels that a latent changes; updated by moves.
        judged: `Footprint` with the smallest weights left out, for the decision alone.
    """

    wanted: Any
    tried: Any
    far_off: float
    cost: float
    saving: float
    touched: Any
    judged: Any


class _Waves(NamedTuple):
    """Sines and cosines of both layers, (window, W, units); row i of the picture is i % window."""

    s1: Any
    c1: Any
    s2: Any
    c2: Any


class _Scratch(NamedTuple):
    """Buffers of one call.

    Attributes:
        own: inputs and activations for `latent_bits` in the own plane.
        near: inputs and activations in the near plane.
        far: inputs and activations in the far plane.
        changes: (·, 4), new bits of a latent, which plane it is in (0: own, 1: near, 2: far), its
            row and column.
        angle1: (units,), change of the first layer's angles.
        turn1: (units,), change of its sines.
        angle2: (second,), change of the second layer's angles.
        turn2: (second,).
        moved: (·, ·, C), change of the unfiltered output, in a frame of two pixels of zeros.
    """

    own: Any
    near: Any
    far: Any
    changes: Any
    angle1: Any
    turn1: Any
    angle2: Any
    turn2: Any
    moved: Any


@compiled
def _context_buffers(tables: Any, network: Any) -> Any:
    """The buffers of `latent_bits`."""
    inputs = np.zeros(len(network[0]))
    inputs[-2], inputs[-1] = tables.level, tables.later
    return inputs, np.zeros(len(network[1])), np.zeros(len(network[3])), np.zeros(2)


@compiled
def measure_rows(coded: Any, network: Any, first: int, last: int) -> None:
    """Write the bits of all latents in rows `first` to `last` of a `CodedPlane`."""
    buffers = _context_buffers(coded.tables, network)
    for y in range(first, last):
        for x in range(coded.bits.shape[1]):
            coded.bits[y, x] = latent_bits(coded.tables, network, coded.largest, y, x, buffers)


@compiled
def _make_waves(z: Any, synthesis: Any, i: int, waves: Any) -> None:
    """Write the sines and cosines of row i of the picture."""
    row = i % len(waves.s1)
    s1, c1, s2, c2 = waves.s1[row], waves.c1[row], waves.s2[row], waves.c2[row]
    for j in range(z.shape[1]):
        _sine_layer(z[i, j], synthesis.w1, synthesis.b1, s1[j], c1[j])
        if len(synthesis.b2):
            _sine_layer(s1[j], synthesis.w2, synthesis.b2, s2[j], c2[j])


@compiled
def _sine_layer(x: Any, w: Any, b: Any, sines: Any, cosines: Any) -> None:
    """Write sines and cosines (units,) of wᵀ x + b."""
    for u in range(len(b)):
        sines[u] = b[u]
    for p in range(len(x)):
        for u in range(len(b)):
            sines[u] += w[p, u] * x[p]
    for u in range(len(b)):
        sines[u], cosines[u] = sine_and_cosine(sines[u])


@compiled
def _turn(angle: Any, s: Any, c: Any, turn: Any, keep: bool) -> None:
    """Write to `turn` how much the sines s change if the angles grow by `angle`.

    With `keep`, s and the cosines c change too.
    """
    for u in range(len(s)):
        sine, cosine = sine_and_cosine(angle[u])
        turn[u] = s[u] * (cosine - _ONE) + c[u] * sine
        if keep:
            c[u] = c[u] * cosine - s[u] * sine
            s[u] += turn[u]


@compiled
def _squares(
    picture: Any,
    synthesis: Any,
    waves: Any,
    scratch: Any,
    move: Any,
    place: Any,
    keep: bool,
) -> Any:
    """Change of the sum of squared errors if a latent moves.

    `move` is (k, d): a latent of plane k moves by d. `place` is its footprint: first row and last +
    1, weights of the rows, and the same of the columns. With `keep`, `picture` and `waves` change
    too: the decision and the update are one formula.
    """
    k, d = move
    ys, y_taps, xs, x_taps = place
    w1, w2, w3 = synthesis.w1, synthesis.w2, synthesis.w3
    angle1, turn1, angle2, turn2 = scratch.angle1, scratch.turn1, scratch.angle2, scratch.turn2
    z, error, moved = picture.z, picture.error, scratch.moved
    filtered, deep = len(synthesis.output_taps) > 0, len(synthesis.b2) > 0
    if filtered:
        moved[: ys[1] - ys[0] + 4, : xs[1] - xs[0] + 4] = _ZERO
    total: Any = 0.0
    for i in range(ys[0], ys[1]):
        tap = d * y_taps[i - ys[0]]
        row = i % len(waves.s1)
        for j in range(xs[0], xs[1]):
            feature = tap * x_taps[j - xs[0]]
            if feature == 0:
                continue
            for u in range(len(angle1)):
                angle1[u] = w1[k, u] * feature
            _turn(angle1, waves.s1[row, j], waves.c1[row, j], turn1, keep)
            top = turn1
            if deep:
                angle2[:] = _ZERO
                for u in range(len(turn1)):
                    for v in range(len(angle2)):
                        angle2[v] += w2[u, v] * turn1[u]
                _turn(angle2, waves.s2[row, j], waves.c2[row, j], turn2, keep)
                top = turn2
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
                z[i, j, k] += feature
    if filtered:
        return _filtered_squares(error, synthesis.output_taps, moved, ys, xs, keep)
    return total


@compiled
def _filtered_squares(error: Any, taps: Any, moved: Any, ys: Any, xs: Any, keep: bool) -> Any:
    """Change of the sum of squared errors, from that of the unfiltered output.

    `taps` (C, 9 C) are those of the output filter, `moved` is (·, ·, C) with two pixels of zeros
    around rows ys[0] to ys[1] and columns xs[0] to xs[1]. With `keep`, `error` changes too.
    """
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
    coded: Any, network: Any, buffers: Any, changes: Any, role: int, y: int, x: int, n: int
) -> Any:
    """Write the new bits of latent (y, x) to entry n of `changes`; returns how many more they are.

    `role` says which plane it is in: see `_Scratch.changes`.
    """
    now = latent_bits(coded.tables, network, coded.largest, y, x, buffers)
    changes[n, 0], changes[n, 1], changes[n, 2], changes[n, 3] = now, role, y, x
    return now - coded.bits[y, x]


@compiled
def _bits_change(planes: Any, y: int, x: int, scratch: Any, limit: float) -> Any:
    """Change of all bits after latent (y, x) of the own plane has moved.

    Three groups change: its own bits, those of latents that have it as a neighbour, and those of
    latents of the near and far planes that read it. Returns how many latents these are and the sum;
    `scratch.changes` has their new bits. If its own bits grow by more than `limit` it returns 0
    latents, and counts no others.
    """
    own, near, far, network = planes
    changes = scratch.changes
    # Stars, so that Numba does not compile `_recount` for each literal role.
    in_own = own, network, scratch.own, changes
    in_near = near, network, scratch.near, changes
    in_far = far, network, scratch.far, changes
    r, c = y + BORDER, x + BORDER
    h, w = own.bits.shape
    n, more = 0, 0.0
    more += _recount(*in_own, 0, y, x, n)
    if more > limit:
        return 0, more
    n += 1
    for m in range(len(network[0]) - OTHER_INPUTS):
        i, j = y - PLACES[m, 0], x - PLACES[m, 1]
        if i < h and 0 <= j < w:
            more += _recount(*in_own, 0, i, j, n)
            n += 1
    if near.largest > 0:
        rows, cols = near.tables.near_rows, near.tables.near_cols
        h, w = near.bits.shape
        octaves = own.tables.level - near.tables.level
        for i in range(max((y - 1) << octaves, 0), min((y + 2) << octaves, h)):
            at, beside = rows[i, 0] == r, rows[i, 1] == r
            if not (at or beside):
                continue
            for j in range(max((x - 1) << octaves, 0), min((x + 2) << octaves, w)):
                if cols[j, 0] == c or (at and cols[j, 1] == c):
                    more += _recount(*in_near, 1, i, j, n)
                    n += 1
    if far.largest > 0:
        h, w = far.bits.shape
        octaves = own.tables.level - far.tables.level
        for i in range(y << octaves, min((y + 1) << octaves, h)):
            for j in range(x << octaves, min((x + 1) << octaves, w)):
                more += _recount(*in_far, 2, i, j, n)
                n += 1
    return n, more


@compiled
def _make_scratch(planes: Any, synthesis: Any, touched: Any, window: Any, channels: int) -> Any:
    """The `_Scratch` of a call whose moves change at most `window` rows of the picture."""
    own, near, far, network = planes
    octaves = own.tables.level - near.tables.level
    far_octaves = own.tables.level - far.tables.level
    most = len(network[0]) + (3 << octaves) ** 2 + (1 << far_octaves) ** 2
    wide = np.int64(np.max(touched.cols[:, 1] - touched.cols[:, 0]))
    units, second = len(synthesis.b1), len(synthesis.b2)
    return _Scratch(
        _context_buffers(own.tables, network),
        _context_buffers(near.tables, network),
        _context_buffers(far.tables, network),
        np.zeros((most, 4)),
        np.zeros(units, np.float32),
        np.zeros(units, np.float32),
        np.zeros(second, np.float32),
        np.zeros(second, np.float32),
        np.zeros((window + 4, wide + 4, channels), np.float32),
    )


@compiled
def _moves(value: Any, wanted: Any, far_off: float) -> Any:
    """Two moves of a latent, in the order of trial: towards `wanted`, towards 0; 0 is none."""
    off = wanted - value
    back = np.float32(0 if abs(off) <= far_off else 1 if off > 0 else -1)
    down = np.float32(0 if value == 0 else -1 if value > 0 else 1)
    return back, down if down != back else _ZERO


@compiled
def rdoq_rows(
    k: int,
    planes: Any,
    picture: Any,
    synthesis: Any,
    search: Any,
    first: int,
    last: int,
) -> None:
    """Move latents of rows `first` to `last` of plane k where that lowers squares + cost · bits.

    `planes` is `CodedPlanes`, `picture` a `Picture`; latents, bits, features and errors are updated
    with each move. `synthesis` is a `Synthesis`, `search` a `Search`.
    """
    own, plane, bits = planes.own, planes.own.tables.plane, planes.own.bits
    all_bits = (planes.own.bits, planes.near.bits, planes.far.bits)
    touched, judged = search.touched, search.judged
    cost, saving = search.cost, search.saving
    z, channels = picture.z, picture.error.shape[2]
    rows = touched.rows
    window = np.int64(np.max(rows[first:last, 1] - rows[first:last, 0])) if last > first else 1
    scratch = _make_scratch(planes, synthesis, touched, window, channels)
    units, second = len(synthesis.b1), len(synthesis.b2)
    waves = _Waves(
        np.zeros((window, z.shape[1], units), np.float32),
        np.zeros((window, z.shape[1], units), np.float32),
        np.zeros((window, z.shape[1], second), np.float32),
        np.zeros((window, z.shape[1], second), np.float32),
    )
    # Behind a star, arguments have no literal types: Numba compiles `_squares` once, not twice.
    pixels = picture, synthesis, waves, scratch
    seen: Any = 0
    for y in range(first, last):
        for i in range(max(seen, rows[y, 0]), rows[y, 1]):
            _make_waves(z, synthesis, i, waves)
        seen = rows[y, 1]
        for x in range(bits.shape[1]):
            if not search.tried[y + BORDER, x + BORDER]:
                continue
            value = plane[y + BORDER, x + BORDER]
            place = rows[y], touched.row_taps[y], touched.cols[x], touched.col_taps[x]
            judged_place = judged.rows[y], judged.row_taps[y], judged.cols[x], judged.col_taps[x]
            for d in _moves(value, search.wanted[y + BORDER, x + BORDER], search.far_off):
                if d == 0 or abs(value + d) > own.largest:
                    continue
                move = k, d
                squares = _squares(*pixels, move, judged_place, False)
                if squares > cost * (bits[y, x] + saving):
                    continue
                plane[y + BORDER, x + BORDER] = value + d
                limit = saving - squares / cost if cost > 0 else np.inf
                n, more = _bits_change(planes, y, x, scratch, limit)
                if n == 0 or squares + cost * more >= 0:
                    plane[y + BORDER, x + BORDER] = value
                    continue
                for m in range(n):
                    now, role, i, j = scratch.changes[m]
                    all_bits[np.int64(role)][np.int64(i), np.int64(j)] = now
                _squares(*pixels, move, place, True)
                break
