"""A pyramid's file: round trips, prefixes, damage, limits, and docs/format.md as its decoder."""

import math
import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inrcodec import decoder
from inrcodec.container.fields import checksum, varint
from inrcodec.container.header import Header, write_header
from inrcodec.entropy.layer import Layer
from inrcodec.entropy.model import fit_model
from inrcodec.errors import FormatError
from inrcodec.families.pyramid.context_coder import (
    FARTHEST,
    PlanesDecoder,
    encode_planes,
    latent_bits,
    scale_slopes,
    tables_of,
)
from inrcodec.families.pyramid.latents import lay_out
from inrcodec.families.pyramid.segments import context_network
from inrcodec.families.pyramid.shape import Pyramid
from inrcodec.prc import read, read_header
from tests import document
from tests.document import SPEC
from tests.files import joined, payload, segment, split, write


def contents(levels=(2, 1, 1, 0), width=13, height=9, channels=3, seed=0, spread=2.0,
             neighbours=10, filtered=False, second=0, taps=0, **options):  # fmt: skip
    """Random networks and latents."""
    rng = np.random.default_rng(seed)
    network = Pyramid(channels, 8, 4, levels, neighbours, filtered, second, taps)
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
    [(8, {}), (16, {}), (8, {"filtered": True, "second": 8, "taps": 3})],
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
    """The lowest symbol everywhere, each as unlikely as can be: all bytes stripped at the end."""
    header, layers, _ = contents(levels=(0,), width=17, height=5)
    nothing = [np.zeros_like(layer.symbols) for layer in layers]
    layers = [Layer(fit_model(q, step=168, edge=32), q) for q in nothing]
    for magnitude in (1, 142, 16383):
        lowest = [np.full((5, 17), -magnitude, np.int32)]
        data = write(header, layers, latents=lowest)
        assert read(data).parts[2].coded == 0
        assert np.array_equal(read(data).latents[0], lowest[0])


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(1, 40),
    st.integers(1, 30),
    st.sampled_from([0.0, 0.2, 1.0, 30.0, 3000.0]),
    st.lists(st.integers(0, 5), min_size=1, max_size=6),
)
def test_any_latents_come_back(seed, width, height, spread, levels):
    levels = (max(levels), *levels)
    header, layers, latents = contents(levels, width, height, seed=seed, spread=spread)
    latents = [np.clip(q, -16383, 16383) for q in latents]
    file = read(write(header, layers, latents=latents))
    assert all(map(np.array_equal, file.latents, latents))


class Counter:
    """In place of the document's range decoder: gives known latents, and counts their bits."""

    def __init__(self, indices):
        self.indices, self.bits = iter(indices.tolist()), []

    def decode(self, f):
        index = next(self.indices)
        self.bits.append(24 - math.log2(f[index]))
        return index


def costs(data, latents):
    """Bits of each latent of a file, by the document."""
    h = document.parse(data)
    blocks = document.context_blocks(h, document.coefficients(h))
    planes, bits = [], []
    for q in latents:
        most = int(np.abs(q).max())
        coder = Counter(q.ravel() + most)
        planes.append(document.plane(h, blocks, planes, most, coder))
        bits += coder.bits or [0.0] * q.size
    return bits


@pytest.mark.parametrize("spread", [0.3, 1.0, 4.0])
def test_the_size_is_the_code_length(spread):
    header, layers, latents = contents(width=50, height=40, spread=spread)
    data = write(header, layers, latents=latents)
    assert 0 <= 8 * read(data).parts[2].coded - sum(costs(data, latents)) < 40


def test_other_bytes_than_those_of_the_encoder_are_refused():
    header, layers, latents = contents()
    planes, network = lay_out(header.network, 13, 9), context_network(layers[2:])
    values = values_of(planes, latents)
    most = [int(abs(q).max()) for q in latents]
    data = encode_planes(planes, range(4), values, network, most)
    assert np.array_equal(decoded(data, planes, network, most), values)
    for wrong in (data + b"\1", data + b"\0"):
        with pytest.raises(FormatError, match="coded latents are invalid"):
            decoded(wrong, planes, network, most)


def values_of(planes, latents):
    """The array of all latents."""
    values = np.zeros(planes[-1].stop, np.float32)
    for plane, q in zip(planes, latents, strict=True):
        plane.inner(values)[:] = q
    return values


def decoded(data, planes, network, most):
    """The array of all latents, from whole coded bytes."""
    values = np.zeros(planes[-1].stop, np.float32)
    decoder = PlanesDecoder(planes, range(len(planes)), values, network, most)
    decoder.decode(data, cut=False)
    decoder.end(data)
    assert decoder.done == len(planes) and not decoder.partial
    return values


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
        count = len(flat) - missing(file)
        assert np.array_equal(decoded[:count], flat[:count]) and not decoded[count:].any()
        assert most <= count
        most = count
    picture = decoder.decode(data[: whole.parts[2].offset + 9])
    assert f"{cut} latents are missing" in picture.info["partial"]


def missing(file):
    """How many latents a file says that it lacks."""
    found = re.search(r"the last (\d+) of \d+ latents are missing", file.lacking)
    return int(found[1]) if found else 0


@pytest.mark.parametrize("spread, size", [(0.3, (40, 30)), (3.0, (40, 30)), (300.0, (14, 12))])
def test_a_cut_segment_gives_nearly_all_that_its_bytes_hold(spread, size):
    header, layers, latents = contents((1, 0), *size, spread=spread)
    latents[-1][:] = np.random.default_rng(0).integers(-3, 4, latents[-1].shape)
    data = write(header, layers, latents=latents)
    part = read(data).parts[-1]
    total = np.cumsum(costs(data, latents))
    start = part.offset + part.size - 4 - part.coded
    for length in range(start + 9, start + part.coded, 17):
        count = len(total) - missing(read(data[:length]))
        # The window of the coder is eight bytes wide, and a latent costs at most three.
        held = 8 * (length - start)
        assert held - 8 * 11 < (total[count - 1] if count else 0) < held + 1


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


def test_what_is_refused():
    header, layers, latents = contents()
    head, networks, first, second = split(write(header, layers, latents=latents, parts=(2, 2)))
    plain = payload(first)
    icc = segment(64, b"\0profile")
    cases = {
        "0 planes in a segment": [segment(5, b"\0" + plain[1:])],
        "9 planes in a segment; there are 4 left": [segment(5, b"\x09")],
        "4 planes in a segment; there are 2 left": [first, segment(5, b"\4\0\0\0\0")],
        "1 planes in a segment; there are 0 left": [first, second, segment(5, b"\1\0")],
        "latents of up to 16384": [segment(5, b"\1" + varint(16384))],
        "cut short in the latents": [segment(5, b"\2\1")],
        "last latents are missing": [first],
        "followed by other bytes": [segment(5, plain + b"\1"), second],
        "latents segment is out of order": [first, icc, second],
        "a pyramid has no refinement": [segment(2, b""), first, second],
        "a pyramid has no bit planes": [segment(3, b""), first, second],
        "a pyramid has no stage": [segment(4, b""), first, second],
    }
    for message, segments in cases.items():
        with pytest.raises(FormatError, match=message):
            read(joined(head, networks, *segments))
    with pytest.raises(FormatError, match="last latents are missing"):
        read(joined(head, networks))


def test_there_are_at_most_eight_segments_of_latents():
    header, layers, latents = contents(levels=(2,) * 9)
    with pytest.raises(ValueError, match="where there are 9"):
        write(header, layers, latents=latents, parts=(1,) * 9)
    head, networks, _ = split(write(header, layers, latents=latents))
    nothing = segment(5, b"\1\0")
    assert read(joined(head, networks, *[nothing] * 7, segment(5, b"\2\0\0"))).complete
    with pytest.raises(FormatError, match="9 segments of latents; at most 8"):
        read(joined(head, networks, *[nothing] * 9))


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
    with pytest.raises(ValueError, match="have no refinement"):
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
    for kind in (
        (10, False, 0),
        (18, False, 0),
        (10, True, 0),
        (10, False, 8),
        (18, True, 8, 3),
        (10, False, 128, 1),
    ):
        network = Pyramid(2, 20, 128, levels, *kind)
        options = {"bits": 16, "seed": 2**32 - 1, "basis": "hadamard", "compaction": 65536}
        header = Header(network, 700, 4000, low=30000, **options)
        data = write_header(header)
        assert read_header(data) == header and len(data) <= 46
        assert data[4:6] == b"\x0a\x01"


def test_fields_of_a_shape_that_cannot_be_are_refused():
    """Units, context and planes are at 11 to 13; second, taps and levels follow."""
    data = write_header(Header(Pyramid(3, 8, 4, (2, 1, 0), second=8, taps=2), 70, 50))[:-4]
    assert data[11:] == bytes([8 | 1 | 2, 4, 3, 8, 2, 0x21, 0x00])
    cases = {
        "second sine layer without units": (14, 0),
        "6 units": (14, 6),
        "filters of planes without taps": (15, 0),
        "4 taps": (15, 4),
        "level behind the last plane": (17, 1),
        "none may be coarser than the first": (16, 0x23),
        "132 units": (11, 132 | 3),
        "0 units": (12, 0),
        "0 planes": (13, 0),
    }
    for message, (place, value) in cases.items():
        wrong = bytearray(data)
        wrong[place] = value
        if message == "0 planes":
            del wrong[16:]
        with pytest.raises(FormatError, match=message):
            read_header(bytes(wrong) + checksum(bytes(wrong)))


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


def constant(centre, scale):
    """A context network that always predicts a centre, in sixteenths, and a scale."""
    shapes = ((16, 4), 4, (4, 4), 4, (4, 2))
    bias = np.array([256.0 * centre, 512.0 * (scale - 40)])
    assert (abs(bias) < 1 << 16).all()
    return *(np.zeros(shape) for shape in shapes), bias


def kernel_bits(plane, planes, values, network, most):
    """Bits of each latent of a plane, without corrections of the scale."""
    tables, inputs = tables_of(plane, planes, values), np.zeros(16)
    inputs[14:] = plane.level, plane.later
    buffers = (inputs, *(np.zeros(len(b)) for b in network[1::2]))
    places = np.ndindex(plane.shape)
    return np.array([latent_bits(tables, network, most, y, x, buffers) for y, x in places])


@settings(max_examples=60, deadline=None)
@given(st.integers(-255, 255), st.integers(0, 112), st.integers(0, 40))
def test_the_documents_frequencies(centre, scale, most):
    table = SPEC["latent_frequencies"](centre, scale, most)
    assert min(table) >= 1 and sum(table) == 2**24
    planes = lay_out(Pyramid(1, 8, 4, (0,)), 2 * most + 1, 1)
    values = values_of(planes, [np.arange(-most, most + 1)[None]])
    bits = kernel_bits(planes[0], planes, values, constant(centre, scale), most)
    assert np.rint(2 ** (24 - bits)).astype(int).tolist() == table


@settings(max_examples=60, deadline=None)
@given(st.integers(0, FARTHEST), st.integers(0, 112))
@example(0, 0)
@example(FARTHEST, 0)
@example(FARTHEST, 112)
def test_the_documents_slopes(t, scale):
    assert SPEC["slope"](t, scale) == scale_slopes()[scale, t]


def test_slopes_are_those_of_the_bits():
    """By counts of 2^-24, half an octave either side of the scale."""
    scales = (4, 30, 60, 108)
    tables = {s + d: SPEC["latent_frequencies"](0, s + d, 900) for s in scales for d in (4, -4)}
    for scale in scales:
        for q in (0, 1, 5, 31):
            counts = [tables[scale + d][q + 900] for d in (4, -4)]
            bits = np.log2(counts[1] / counts[0])
            if min(counts) > 2000:
                assert scale_slopes()[scale, 16 * q] / 256 == pytest.approx(bits, abs=0.02)


def test_scales_follow_what_the_network_does_not_know():
    """Columns of large and of small latents, beside a network that takes all for middling."""
    header, _, _ = contents(levels=(0,), width=256, height=60)
    planes = lay_out(header.network, 256, 60)
    values = np.zeros(planes[-1].stop, np.float32)
    rng = np.random.default_rng(5)
    spread = np.repeat([0.3, 4.0, 1.0, 10.0], 64)
    planes[0].inner(values)[:] = np.rint(rng.laplace(0, spread, (60, 256)))
    network = constant(0, 40)
    most = [int(abs(values).max())]
    data = encode_planes(planes, range(1), values, network, most)
    assert np.array_equal(decoded(data, planes, network, most), values)
    fixed = kernel_bits(planes[0], planes, values, network, *most).sum() / 8
    # What a Laplace distribution costs whose width is known, and its integral over each integer.
    q = planes[0].inner(values).astype(float)
    share = np.where(
        q == 0,
        1 - np.exp(-0.5 / spread),
        np.exp(-(abs(q) - 0.5) / spread) * -np.expm1(-1 / spread) / 2,
    )
    ideal = -np.log2(share).sum() / 8
    assert ideal < len(data) < 1.05 * ideal < 0.8 * fixed


@pytest.mark.parametrize("levels", [(2, 1, 1, 0), SETS])
@pytest.mark.parametrize("neighbours", [10, 18])
def test_a_file_by_the_document_alone(neighbours, levels):
    header, layers, latents = contents(levels, 70, 7, neighbours=neighbours)
    h = document.parse(write(header, layers, latents=latents, parts=(2, len(levels) - 2)))
    assert h.family == "pyramid" and neighbours == h.N and h.levels == list(levels)
    models = document.coefficients(h)
    assert [m.q for m in models] == [layer.symbols.tolist() for layer in layers]
    assert document.latents(h, models) == [q.tolist() for q in latents]


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


@pytest.mark.parametrize("size", [(13, 9), (21, 16)])
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
    ours = decoder.render(header, file.content.values, file.latents, window).astype(int)
    assert ours.shape == theirs.shape and np.abs(ours - theirs).max() <= 1
    assert (ours != theirs).mean() < 0.002 and ours.std() > 10


def test_planes_of_zeros_cost_nothing():
    header, layers, latents = contents()
    data = write(header, layers, latents=[np.zeros_like(q) for q in latents])
    file = read(data)
    assert file.parts[2].coded == 0 and not any(q.any() for q in file.latents)
