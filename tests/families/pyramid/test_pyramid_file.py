"""A pyramid's file: round trips, prefixes, damage, limits, and docs/format.md as its decoder."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inrcodec import decoder
from inrcodec.container.fields import checksum, varint
from inrcodec.container.head import Header, read_header, write_header
from inrcodec.entropy.layer import Layer
from inrcodec.entropy.model import fit_model
from inrcodec.errors import FormatError
from inrcodec.families.pyramid.context_coder import (
    FARTHEST,
    _below,
    decode_planes,
    encode_planes,
    latent_bits,
    scale_slopes,
    tables_of,
)
from inrcodec.families.pyramid.latents import lay_out
from inrcodec.families.pyramid.shape import Pyramid
from inrcodec.prc import context_network, read, write

TEXT = (Path(__file__).parents[3] / "docs" / "format.md").read_text(encoding="utf-8")
SPEC = {}
exec("\n".join(re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)), SPEC)


def contents(levels=(2, 1, 1, 0), width=13, height=9, channels=3, seed=0, spread=2.0,
             neighbours=10, filtered=False, second=0, taps=0, adaptive=True,
             **options):  # fmt: skip
    """Random networks and latents."""
    rng = np.random.default_rng(seed)
    network = Pyramid(channels, 8, 4, levels, neighbours, filtered, second, taps, adaptive)
    header = Header(network, width, height, **options)
    layers = []
    for k in header.coefficients:
        q = np.rint(rng.laplace(0, 9, k)).astype(np.int32)
        layers.append(Layer(fit_model(q, step=168, edge=32), q))
    latents = [
        np.rint(rng.laplace(0, spread, plane.shape)).astype(np.int32)
        for plane in lay_out(header.network, width, height)
    ]
    latents[-1][:] = 0
    return header, layers, latents


def made(parts=(), **options):
    header, layers, latents = contents(**options)
    return write(header, layers, latents=latents, parts=parts)


@pytest.mark.parametrize("parts", [(), (2, 2), (1, 1, 1, 1)])
@pytest.mark.parametrize(
    "bits, network",
    [(8, {}), (16, {"adaptive": False}), (8, {"filtered": True, "second": 8, "taps": 3})],
)
def test_what_is_written_is_read(parts, bits, network):
    options = {"bits": bits, "basis": "hadamard", "compaction": 90}
    header, layers, latents = contents(seed=77, **options, **network)
    data = write(header, layers, latents=latents, parts=parts, icc=b"profile")
    file = read(data)
    assert file.header == header and file.complete and file.icc == b"profile"
    assert write(header, file.layers, latents=file.latents, parts=parts, icc=b"profile") == data
    for ours, theirs in zip(file.latents, latents, strict=True):
        assert ours.dtype == np.int32 and np.array_equal(ours, theirs)


def test_latents_whose_code_is_nothing_but_zeros_come_back():
    """The lowest symbol everywhere, each as unlikely as can be: 3 bytes a latent, all stripped."""
    header, layers, _ = contents(levels=(0,), width=17, height=5, adaptive=False)
    nothing = [np.zeros_like(layer.symbols) for layer in layers]
    layers = [Layer(fit_model(q, step=168, edge=32), q) for q in nothing]
    lowest = [np.full((5, 17), -142, np.int32)]
    data = write(header, layers, latents=lowest)
    assert np.array_equal(read(data).latents[0], lowest[0])


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(1, 40),
    st.integers(1, 30),
    st.sampled_from([0.0, 0.2, 1.0, 30.0, 3000.0]),
    st.lists(st.integers(0, 5), min_size=1, max_size=6),
    st.booleans(),
)
def test_any_latents_come_back(seed, width, height, spread, levels, adaptive):
    levels = (max(levels), *levels)
    options = {"seed": seed, "spread": spread, "adaptive": adaptive}
    header, layers, latents = contents(levels, width, height, **options)
    latents = [np.clip(q, -16383, 16383) for q in latents]
    file = read(write(header, layers, latents=latents))
    assert all(map(np.array_equal, file.latents, latents))


def costs(plane, planes, values, network, most):
    """Bits of each latent of a plane."""
    if not most:
        return [0.0] * plane.inner(values).size
    tables, inputs = tables_of(plane, planes, values), np.zeros(16)
    inputs[14:] = plane.level, plane.later
    layers = [np.zeros(len(b)) for b in network[1::2]]
    return [
        latent_bits(tables, network, most, y, x, inputs, *layers)
        for y, x in np.ndindex(plane.shape)
    ]


def test_the_size_is_the_code_length():
    header, _, latents = contents(width=200, height=150, spread=1.0)
    rng = np.random.default_rng(3)
    planes = lay_out(header.network, 200, 150)
    values = np.zeros(planes[-1].stop, np.float32)
    for plane, q in zip(planes, latents, strict=True):
        plane.inner(values)[:] = q
    network = tuple(
        np.rint(rng.normal(size=shape) * 900) for shape in ((16, 4), 4, (4, 4), 4, (4, 2), 2)
    )
    most = [int(abs(q).max()) for q in latents]
    data = encode_planes(planes, range(4), values, network, most)
    bits = sum(
        sum(costs(plane, planes, values, network, m)) for plane, m in zip(planes, most, strict=True)
    )
    assert 0 <= 8 * len(data) - bits < 40
    back = np.zeros_like(values)
    decode_planes(data, planes, range(4), back, network, most)
    assert np.array_equal(back, values)
    for wrong in (data + b"\1", data + b"\0"):
        with pytest.raises(FormatError, match="coded latents are invalid"):
            decode_planes(wrong, planes, range(4), back, network, most)


@pytest.mark.parametrize(
    ("levels", "parts", "cut"),
    [((2, 1, 1, 0), (2, 1, 1), "193 of 199"), ((2, 1, 1, 2, 1, 0), (2, 1, 3), "236 of 246")],
)
def test_any_prefix_shows_what_it_has(levels, parts, cut):
    data = made(parts, levels=levels)
    whole = read(data)
    networks = whole.parts[1].offset + whole.parts[1].size
    flat = np.concatenate([q.ravel() for q in whole.latents])
    most = 0
    for length in range(len(data)):
        if length < networks:
            with pytest.raises(FormatError, match="cut short"):
                read(data[:length])
            continue
        file = read(data[:length])
        assert not file.complete and file.bytes_read <= length
        decoded = np.concatenate([[0], *(q.ravel() for q in file.latents)])[1:]
        count = len(flat) - file.missing
        assert np.array_equal(decoded[:count], flat[:count]) and not decoded[count:].any()
        assert most <= count
        most = count
    picture = decoder.decode(data[: whole.parts[2].offset + 9])
    assert f"{cut} latents are missing" in picture.info["partial"]


@pytest.mark.parametrize("spread", [0.3, 3.0, 300.0])
def test_a_cut_segment_gives_nearly_all_that_its_bytes_hold(spread):
    header, layers, latents = contents((1, 0), 40, 30, spread=spread, adaptive=False)
    latents[-1][:] = np.random.default_rng(0).integers(-3, 4, latents[-1].shape)
    data = write(header, layers, latents=latents)
    part = read(data).parts[-1]
    planes = lay_out(header.network, 40, 30)
    values = np.zeros(planes[-1].stop, np.float32)
    for plane, q in zip(planes, latents, strict=True):
        plane.inner(values)[:] = q
    network = context_network(layers[2:])
    total = np.cumsum(
        np.concatenate(
            [
                costs(plane, planes, values, network, int(abs(q).max()))
                for plane, q in zip(planes, latents, strict=True)
            ]
        )
    )
    start = part.offset + part.size - 4 - part.coded
    for length in range(start + 9, start + part.coded, 17):
        count = len(total) - read(data[:length]).missing
        # The window of the coder is eight bytes wide, and a latent costs at most three.
        held = 8 * (length - start)
        assert held - 8 * 11 < total[count - 1] < held + 1


@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_damage_is_an_error_or_a_marked_partial_file(flip):
    data = made(parts=(3, 1))
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= flip
        try:
            file = read(bytes(damaged))
        except FormatError as error:
            assert "\n" not in str(error)
        else:
            assert not file.complete


def segment(kind, payload, last=False):
    body = bytes([kind | (0x80 if last else 0)]) + varint(len(payload)) + payload
    return body + checksum(body)


def test_what_is_refused():
    header, layers, latents = contents()
    data = write(header, layers, latents=latents, parts=(2, 2))
    parts = read(data).parts
    head = data[: parts[2].offset]
    first, second = (data[part.offset : part.offset + part.size] for part in parts[2:])
    payload = first[2 if len(first) < 128 else 3 : -4]
    cases = {
        "a part of the latents is missing": head + segment(3, b"\1\0", last=True),
        "0 planes in a segment": head + segment(2, b"\0" + payload[1:], last=True),
        "9 planes in a segment; there are 4 left": head + segment(2, b"\x09", last=True),
        "latents of up to 16384": head + segment(2, b"\1" + varint(16384), last=True),
        "last latents are missing": head + segment(2, payload, last=True),
        "followed by other bytes": head + segment(2, payload + b"\1") + second,
        "latents, part 1 is out of order": head + first + first,
    }
    for message, file in cases.items():
        with pytest.raises(FormatError, match=message):
            read(file)


def test_context_networks_must_be_exact():
    header, layers, latents = contents()
    for step, match in ((169, "not a power of two"), (192 + 40, "beyond ±16")):
        q = layers[3].symbols
        wrong = [*layers[:3], Layer(fit_model(q, step=step, edge=32), q), layers[4]]
        with pytest.raises(FormatError, match=match):
            write(header, wrong, latents=latents)


def test_what_cannot_be_written():
    header, layers, latents = contents()
    with pytest.raises(ValueError, match="shapes of the planes"):
        write(header, layers, latents=latents[:-1])
    with pytest.raises(ValueError, match="where there are 4"):
        write(header, layers, latents=latents, parts=(1, 2))
    with pytest.raises(ValueError, match="no refinement pass"):
        write(header, layers, withheld=1, latents=latents)
    with pytest.raises(ValueError, match="beyond ±16383"):
        write(header, layers, latents=[q + 20000 for q in latents])


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": 6},
        {"context": 132},
        {"levels": ()},
        {"levels": (0, 1)},
        {"levels": (16, 0)},
        {"levels": tuple([0] * 17)},
        {"channels": 5},
        {"neighbours": 12},
        {"second": 6},
        {"second": 132},
        {"taps": 4},
    ],
)
def test_impossible_pyramids(wrong):
    right = {"channels": 3, "width": 8, "context": 8, "levels": (1, 0)}
    with pytest.raises(ValueError, match="may"):
        Pyramid(**(right | wrong))


SETS = (2, 1, 1, 2, 1, 0)
"""Levels of two sets of planes."""


@pytest.mark.parametrize("levels", [(0,), (3, 2, 2), (6, 5, 4, 3, 2, 2, 1, 0), (15,) * 16, SETS])
def test_headers_come_back(levels):
    for *kind, version in (
        (10, False, 0, 2),
        (18, False, 0, 4),
        (10, True, 0, 5),
        (10, False, 8, 5),
        (18, True, 8, 3, 7),
        (10, False, 0, 1, 7),
        (10, False, 0, 0, True, 8),
        (18, True, 8, 3, True, 8),
    ):
        network = Pyramid(2, 20, 128, levels, *kind)
        header = Header(network, 700, 65535, bits=16, seed=2**32 - 1, compaction=65536)
        data = write_header(header)
        assert read_header(data) == header and len(data) <= 37
        assert data[4] == max(6 if levels == SETS else 0, version)


def test_before_version_6_there_is_one_set():
    data = bytearray(write_header(Header(Pyramid(3, 8, 8, SETS, filtered=True), 70, 50)))
    data[4] = 5
    data[-4:] = checksum(bytes(data[:-4]))
    with pytest.raises(FormatError, match="they may not ascend"):
        read_header(bytes(data))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=8))
def test_contexts_are_the_documents_and_have_one_child_in_the_last_set(levels):
    pyramid = Pyramid(1, 8, 8, (max(levels), *levels))
    planes = lay_out(pyramid, 20, 14)
    expected = [SPEC["planes_before"](pyramid.levels, k) for k in range(len(planes))]
    assert [(plane.near.plane, plane.far.plane) for plane in planes] == expected
    last = range(len(planes) - pyramid.sets[-1], len(planes))
    for role in zip(*expected, strict=True):
        seen = [k for k in role if k in last]
        assert len(seen) == len(set(seen))


@settings(max_examples=60, deadline=None)
@given(st.integers(-400, 400), st.integers(0, 112), st.integers(0, 40))
def test_the_documents_frequencies(centre, scale, most):
    table = SPEC["latent_frequencies"](centre, scale, most)
    assert min(table) >= 1 and sum(table) == 2**24
    below = [_below(q, most, centre, scale) for q in range(-most, most + 2)]
    assert table == np.diff(below).tolist()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, FARTHEST), st.integers(0, 112))
@example(0, 0)
@example(FARTHEST, 0)
@example(FARTHEST, 112)
def test_the_documents_slopes(t, scale):
    assert SPEC["slope"](t, scale) == scale_slopes(True)[scale, t]


def test_slopes_are_those_of_the_bits():
    """By counts of 2^-24, half an octave either side of the scale."""
    for scale in (4, 30, 60, 108):
        for q in (0, 1, 5, 31):
            counts = [np.diff([_below(q + i, 900, 0, scale + d) for i in (0, 1)]) for d in (4, -4)]
            bits = np.log2(counts[1] / counts[0])[0]
            if min(counts)[0] > 2000:
                assert scale_slopes(True)[scale, 16 * q] / 256 == pytest.approx(bits, abs=0.02)


def test_scales_follow_what_the_network_does_not_know():
    """Columns of large and of small latents, beside a network that takes all for middling."""
    header, _, _ = contents(levels=(0,), width=256, height=60)
    planes = lay_out(header.network, 256, 60)
    values = np.zeros(planes[-1].stop, np.float32)
    rng = np.random.default_rng(5)
    spread = np.repeat([0.3, 4.0, 1.0, 10.0], 64)
    planes[0].inner(values)[:] = np.rint(rng.laplace(0, spread, (60, 256)))
    network = tuple(np.zeros(shape) for shape in ((16, 4), 4, (4, 4), 4, (4, 2), 2))
    most = [int(abs(values).max())]
    sizes = []
    for adaptive in (False, True):
        data = encode_planes(planes, range(1), values, network, most, adaptive)
        back = np.zeros_like(values)
        assert decode_planes(data, planes, range(1), back, network, most, adaptive) == 60 * 256
        assert np.array_equal(back, values)
        sizes.append(len(data))
    # What a Laplace distribution costs whose width is known, and its integral over each integer.
    q = planes[0].inner(values).astype(float)
    share = np.where(
        q == 0,
        1 - np.exp(-0.5 / spread),
        np.exp(-(abs(q) - 0.5) / spread) * -np.expm1(-1 / spread) / 2,
    )
    ideal = -np.log2(share).sum() / 8
    assert ideal < sizes[1] < 1.05 * ideal < 0.8 * sizes[0]


SEEN = ("..www..", ".wsssw.", "wsssssw", "wss....")
"""Neighbours of a latent, whose own place is in the middle of the last row: s small, w wide."""


@pytest.mark.parametrize("levels", [(2, 1, 1, 0), SETS])
@pytest.mark.parametrize(("neighbours", "adaptive"), [(10, True), (18, False)])
def test_a_file_by_the_document_alone(neighbours, adaptive, levels):
    size, options = (70, 7), {"neighbours": neighbours, "adaptive": adaptive}
    header, layers, latents = contents(levels, *size, **options)
    data = write(header, layers, latents=latents)
    assert data[4] == (8 if adaptive else 6 if levels == SETS else 4)
    part = read(data).parts[2]
    payload = data[part.offset : part.offset + part.size - 4][2 if part.size < 130 else 3 :]
    count, largest = payload[0], list(payload[1 : len(levels) + 1])
    assert count == len(levels)
    coder = SPEC["RangeDecoder"](payload[len(levels) + 1 :])
    blocks = [
        np.floor(layer.symbols * 2.0 ** (168 // 8 - 26) * 2**12 + 0.5).astype(int).reshape(shape)
        for layer, shape in zip(layers[2:], header.network.blocks[2:], strict=True)
    ]
    decoded = []
    for k, (height, width) in enumerate(header.network.planes(*size)):
        plane = np.zeros((height + 3, width + 6), int)
        scales = SPEC["Scales"](width)
        for i in range(height):
            for j in range(width):
                around = plane[i : i + 4, j : j + 7]
                x = [around[r, c] for r in range(4) for c in range(7) if SEEN[r][c] == "s"]
                if neighbours == 18:
                    x += [around[r, c] for r in range(4) for c in range(7) if SEEN[r][c] == "w"]
                n = len(x)
                assert n == neighbours
                x += [0, 0, 0, 0]
                x += [levels[k], levels[k + 1 :].count(levels[k])]
                for role, m in enumerate(SPEC["planes_before"](levels, k)):
                    if m is None:
                        continue
                    other, d = decoded[m], levels[m] - levels[k]
                    r0, r1 = SPEC["nearest"](i, d, other.shape[0])
                    c0, c1 = SPEC["nearest"](j, d, other.shape[1])
                    if role == 0:
                        x[n : n + 3] = other[r0, c0], other[r0, c1], other[r1, c0]
                    else:
                        x[n + 3] = other[r0, c0]
                if largest[k]:
                    centre, scale = SPEC["context"](
                        [int(v) for v in x], [b.tolist() for b in blocks]
                    )
                    if adaptive:
                        scale = scales.adapted(j, scale)
                    table = SPEC["latent_frequencies"](centre, scale, largest[k])
                    q = plane[i + 3, j + 3] = coder.decode(table) - largest[k]
                    scales.learn(j, int(q), centre, scale)
        decoded.append(plane[3:, 3:-3])
    assert all(map(np.array_equal, decoded, latents))


def cubic(s, level):
    t = s - np.floor(s)
    if level:
        taps = [
            (1 - t) ** 3,
            4 - 6 * t**2 + 3 * t**3,
            4 - 6 * (1 - t) ** 2 + 3 * (1 - t) ** 3,
            t**3,
        ]
        return np.floor(s).astype(int), np.array(taps) / 6

    far = ((1 - x) ** 2 * (1 - 7 * x) for x in (t, 1 - t))
    near = (16 - 36 * x**2 + 21 * x**3 for x in (t, 1 - t))
    (first, last), (second, third) = far, near
    return np.floor(s).astype(int), np.array([first, second, third, last]) / 18


@pytest.mark.parametrize("size", [(13, 9), (40, 31)])
@pytest.mark.parametrize("taps", [0, 3])
@pytest.mark.parametrize("filtered, second", [(False, 0), (True, 0), (True, 4)])
@pytest.mark.parametrize("channels", [1, 4])
def test_the_documents_rendering(size, channels, filtered, second, taps):
    network = {"filtered": filtered, "second": second, "taps": taps}
    header, layers, latents = contents(channels=channels, spread=0.7, **network)
    file = read(write(header, layers, latents=latents))
    u = (np.arange(size[0]) + 0.5) * 13 / size[0] - 0.5
    v = (np.arange(size[1]) + 0.5) * 9 / size[1] - 0.5
    blocks = [
        (layer.values / 4).reshape(shape)
        for layer, shape in zip(layers, header.network.blocks, strict=True)
    ]

    def smooth(q, row):
        n, count = len(row), np.arange(q.shape[1])
        moved = [q[:, np.clip(count + j, 0, len(count) - 1)] for j in range(-n, n + 1)]
        return sum(t * v for t, v in zip([*row[::-1], 1, *row], moved, strict=True))

    planes = latents
    if taps:
        rows = blocks[2 + filtered + (second > 0)]
        planes = [smooth(smooth(q, t).T, t).T for q, t in zip(latents, rows, strict=True)]

    def g(x, y):
        z = []
        for level, plane in zip(header.network.levels, planes, strict=True):
            c, taps_x = cubic((x + 0.5) / 2**level - 0.5, level)
            r, taps_y = cubic((y + 0.5) / 2**level - 0.5, level)
            rows = np.clip(np.arange(r - 1, r + 3), 0, plane.shape[0] - 1)
            cols = np.clip(np.arange(c - 1, c + 3), 0, plane.shape[1] - 1)
            z.append(taps_y @ plane[np.ix_(rows, cols)] @ taps_x * 2.0**-level)
        for matrix in blocks[: 2 if second else 1]:
            z = np.sin(matrix[:, :-1] @ z + matrix[:, -1])
        linear = blocks[2 if second else 1]
        return linear[:, :-1] @ z + linear[:, -1]

    def o(x, y):
        if not filtered:
            return g(x, y)
        right = [min(max(x + i, min(x, 0)), max(x, 12)) for i in (-1, 0, 1)]
        down = [min(max(y + j, min(y, 0)), max(y, 8)) for j in (-1, 0, 1)]
        seen = np.array([[g(s, t) for s in right] for t in down])
        taps = blocks[3 if second else 2]
        return g(x, y) + taps[:, :-1] @ seen.transpose(2, 0, 1).ravel() + taps[:, -1]

    o = np.array([[o(x, y) for x in u] for y in v])
    theirs = np.floor(np.clip((o + 1) / 2, 0, 1) * 255 + 0.5).astype(int)
    window = decoder.Window((0, 0, 13, 9), size)
    ours = decoder.render(header, [x.values for x in layers], file.latents, window).astype(int)
    assert ours.shape == theirs.shape and np.abs(ours - theirs).max() <= 1
    assert (ours != theirs).mean() < 0.002 and ours.std() > 10


def test_planes_of_zeros_cost_nothing():
    header, layers, latents = contents()
    data = write(header, layers, latents=[np.zeros_like(q) for q in latents])
    file = read(data)
    assert file.parts[2].coded == 0 and not any(q.any() for q in file.latents)
