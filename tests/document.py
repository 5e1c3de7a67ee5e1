"""A decoder of `.prc` files by docs/format.md alone: its Python blocks and its text, no library.

It is as slow as it is short. A file may lack whole segments at its end.
"""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from types import SimpleNamespace

TEXT = (Path(__file__).parents[1] / "docs" / "format.md").read_text(encoding="utf-8")
SPEC: dict[str, object] = {}
exec("\n".join(re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)), SPEC)

BASES = ("identity", "dense", "hadamard", "kronecker", "sparse")


class Bytes:
    """What the section "Conventions" says of integers."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        assert self.at + count <= len(self.data)
        self.at += count
        return self.data[self.at - count : self.at]

    def u8(self):
        return self.take(1)[0]

    def varint(self):
        value = 0
        for i in range(5):
            byte = self.u8()
            value |= byte % 128 << 7 * i
            if byte < 128:
                assert byte or not i
                return value
        raise AssertionError("a long varint")

    def checksum(self, start):
        expected = zlib.crc32(self.data[start : self.at])
        assert int.from_bytes(self.take(4), "little") == expected

    def rest(self):
        return self.take(len(self.data) - self.at)


def parse(data):
    """The header's fields, and `segments`: a list of (type, payload); the last may be missing."""
    fields = Bytes(data)
    h = SimpleNamespace(stages=[], levels=[], second=0, taps=0)
    assert fields.take(4) == bytes.fromhex("8f505243") and fields.u8() == 10
    kind, raster = fields.u8(), fields.u8()
    h.family = ("siren", "pyramid")[kind & 15]
    assert kind >> 4 == 0 and raster >> 6 == 0
    h.channels, h.bits, h.srgb = raster & 7, 16 if raster >> 3 & 1 else 8, raster >> 4 & 1
    h.width, h.height = fields.varint(), fields.varint()
    peak = 2**h.bits - 1
    h.low, h.top = (fields.varint(), fields.varint()) if raster >> 5 & 1 else (0, peak)
    basis = fields.u8()
    assert basis >> 6 == 0
    h.basis, h.whole_first, h.whole_last = BASES[basis & 15], basis >> 4 & 1, basis >> 5 & 1
    h.compaction = fields.varint() if h.basis != "identity" else 64
    h.seed = fields.varint()
    (siren_shape if h.family == "siren" else pyramid_shape)(fields, h)
    fields.checksum(0)
    h.segments, last = [], 0
    while not last and fields.at < len(data):
        start = fields.at
        flags = fields.u8()
        last = flags >> 7
        payload = fields.take(fields.varint())
        fields.checksum(start)
        h.segments.append((flags & 127, payload))
    h.complete = bool(last)
    assert not fields.rest()
    return h


def siren_shape(fields, h):
    counts = fields.u8()
    h.depth = (counts & 15) + 1
    h.stages = [fields.varint() for _ in range((counts >> 4) + 1)]
    h.omega_first, h.omega_hidden = fields.varint() / 4, fields.varint() / 4
    h.blocks, w = [], 0
    for a in h.stages:
        w += a
        h.blocks += [(a, 3), *[(a, w + 1)] * (h.depth - 1), (h.channels, w + 1)]
    h.mixed = len(h.blocks)


def pyramid_shape(fields, h):
    units, context, planes = fields.u8(), fields.u8(), fields.u8()
    h.second = fields.u8() if units & 1 else 0
    h.taps = fields.u8() if units & 2 else 0
    pairs = fields.take(-(-planes // 2))
    h.levels = [n for pair in pairs for n in (pair >> 4, pair & 15)][:planes]
    h.N, h.filtered = 18 if context & 1 else 10, context >> 1 & 1
    units, context = units & 0xFC, context & 0xFC
    h.blocks = [(units, planes + 1)]
    if h.second:
        h.blocks.append((h.second, units + 1))
    h.blocks.append((h.channels, (h.second or units) + 1))
    h.mixed = len(h.blocks)
    if h.filtered:
        h.blocks.append((h.channels, 9 * h.channels + 1))
    if h.taps:
        h.blocks.append((planes, h.taps))
    h.blocks += [(context, h.N + 7), (context, context + 1), (2, context + 1)]


def bases(h):
    """The basis of each block."""
    names = [h.basis] * h.mixed + ["identity"] * (len(h.blocks) - h.mixed)
    if h.whole_first:
        names[0] = "identity"
    if h.whole_last:
        names[h.mixed - 1] = "identity"
    return names


def kronecker_shape(rows, cols, t):
    from math import isqrt

    a, b = min(rows, cols), max(rows, cols)
    r_a = max(isqrt(t * a // b), -(-t // b))
    r_b = t // r_a
    return (r_a, r_b) if rows <= cols else (r_b, r_a)


def count(basis, rows, cols, compaction):
    """The number k of coefficients of a block."""
    t = -(-64 * rows * cols // compaction)
    if basis == "kronecker":
        r_rows, r_cols = kronecker_shape(rows, cols, t)
        return r_rows * r_cols
    return rows * cols if basis == "identity" else t


def table(fields, layers, staged):
    models = []
    for _ in range(layers):
        if staged:
            step, edge, slope, curvature = fields.u8(), 32, 0, fields.u8()
        else:
            step, edge, slope, curvature = fields.take(4)
        M = fields.varint()
        f = SPEC["frequencies"](edge, slope, curvature, M)
        models.append(SimpleNamespace(step=step, edge=edge, M=M, f=f))
    return models


def pass_of(coded, models, counts, r):
    """Symbols without their r last bits."""
    decoder, found = SPEC["RangeDecoder"](coded), []
    for m, k in zip(models, counts, strict=True):
        f = SPEC["coarse_table"](m.f, r)
        found.append([decoder.decode(f) - (m.M >> r) for _ in range(k)])
    return found


def finer(decoder, f, cs, bits):
    """Symbols of a group after the other."""
    symbols = [0] * len(cs)
    for c in sorted(set(cs)):
        first, g = SPEC["group"](f, c, bits)
        for place in (i for i, other in enumerate(cs) if other == c):
            symbols[place] = first + decoder.decode(g)
    return symbols


def ordered(coded, models, counts, listed):
    decoder = SPEC["RangeDecoder"](coded)
    left = [m.M.bit_length() for m in models]
    found = [[0] * k for k in counts]
    order = iter(SPEC["by_magnitude"]([m.step for m in models], [m.M for m in models]))
    while any(left):
        if listed:
            index = decoder.decode(SPEC["next_layer"](left))
            layer = [i for i, w in enumerate(left) if w > 0][index]
        else:
            layer = next(order)
        left[layer] -= 1
        f = SPEC["coarse_table"](models[layer].f, left[layer])
        found[layer] = finer(decoder, f, found[layer], 1)
    return found


def coefficients(h):
    """The models of all layers, each with its symbols as `q`."""
    names = zip(bases(h), h.blocks, strict=True)
    counts = [count(basis, *shape, h.compaction) for basis, shape in names]
    fields = Bytes(h.segments[0][1])
    assert h.segments[0][0] == 1
    others = [payload for kind, payload in h.segments[1:] if kind < 5]
    if h.family == "pyramid":
        models = table(fields, len(counts), staged=False)
        found = pass_of(fields.rest(), models, counts, 0)
    elif len(h.stages) > 1:
        assert fields.u8() == 0
        models, found = [], []
        for part in (fields, *map(Bytes, others)):
            chosen, own = table(part, h.depth + 1, staged=True), counts[len(models) :]
            found += pass_of(part.rest(), chosen, own[: h.depth + 1], 0)
            models += chosen
    else:
        r = fields.u8()
        models = table(fields, len(counts), staged=False)
        if r >= 128:
            assert not fields.rest()
            found = ordered(others[0], models, counts, listed=r == 129)
        else:
            found = pass_of(fields.rest(), models, counts, r)
            if r:
                decoder = SPEC["RangeDecoder"](others[0])
                found = [finer(decoder, m.f, cs, r) for m, cs in zip(models, found, strict=True)]
    for model, q in zip(models, found, strict=True):
        model.q = q
    return models


def alpha(model):
    """The coefficients of a layer."""
    sign = [(q > 0) - (q < 0) for q in model.q]
    step = 2 ** ((model.step - 192) / 8)
    return [
        s * (abs(q) - 1 / 2 + model.edge / 64) * step for s, q in zip(sign, model.q, strict=True)
    ]


def context_blocks(h, models):
    """The three matrices of the context network in units of 2^-12."""
    matrices = []
    for model, (rows, cols) in zip(models[-3:], h.blocks[-3:], strict=True):
        assert model.edge == 32 and model.step % 8 == 0
        # θ·2^12 = q·2^(step/8 - 14)
        up = model.step // 8 - 14
        w = [q << up if up >= 0 else 2 * q + (1 << -up) >> 1 - up for q in model.q]
        assert all(abs(v) < 2**16 for v in w)
        matrices.append([w[row * cols : (row + 1) * cols] for row in range(rows)])
    return matrices


OWN = [(-2, -1), (-2, 0), (-2, 1), *((-1, j) for j in range(-2, 3)), (0, -2), (0, -1)]
WIDE = [(-3, -1), (-3, 0), (-3, 1), (-2, -2), (-2, 2), (-1, -3), (-1, 3), (0, -3)]


def latents(h, models):
    """The planes, lists of rows."""
    blocks, planes = context_blocks(h, models), []
    for kind, payload in h.segments:
        if kind != 5:
            continue
        fields = Bytes(payload)
        largest = [fields.varint() for _ in range(fields.u8())]
        decoder = SPEC["RangeDecoder"](fields.rest())
        for M in largest:
            planes.append(plane(h, blocks, planes, M, decoder))
    assert len(planes) == len(h.levels)
    return planes


def plane(h, blocks, planes, M, decoder):
    k = len(planes)
    level = h.levels[k]
    width, height = -(-h.width // 2**level), -(-h.height // 2**level)
    q = [[0] * width for _ in range(height)]
    if not M:
        return q
    scales = SPEC["Scales"](width)
    later = h.levels[k + 1 :].count(level)

    def own(i, j):
        return q[i][j] if 0 <= i < height and 0 <= j < width else 0

    def pair(other, i, j):
        if other is None:
            return (0, 0, 0)
        there, d = planes[other], h.levels[other] - level
        i1, i2 = SPEC["nearest"](i, d, len(there))
        j1, j2 = SPEC["nearest"](j, d, len(there[0]))
        return there[i1][j1], there[i1][j2], there[i2][j1]

    near, far = SPEC["planes_before"](h.levels, k)
    for i in range(height):
        for j in range(width):
            x = [own(i + di, j + dj) for di, dj in (OWN + WIDE)[: h.N]]
            x += [*pair(near, i, j), pair(far, i, j)[0], level, later]
            centre, scale = SPEC["context"](x, blocks)
            scale = scales.corrected(j, scale)
            f = SPEC["latent_frequencies"](centre, scale, M)
            q[i][j] = decoder.decode(f) - M
            scales.update(j, q[i][j], centre, scale)
    return q


def content(kind, payload):
    """The content of a segment of metadata."""
    assert kind >= 64 and payload[0] in (0, 1)
    return zlib.decompress(payload[1:], -15) if payload[0] else payload[1:]
