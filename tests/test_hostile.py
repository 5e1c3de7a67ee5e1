"""Hostile files: refused with a FormatError or an ImageError, before memory or time is spent."""

from __future__ import annotations

import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import inrcodec
from inrcodec import FormatError, ImageError, ProgressiveDecoder
from inrcodec.container.fields import checksum, varint
from inrcodec.container.header import MAGIC, VERSION, Header, write_header
from inrcodec.container.segments import LIMIT_PAYLOAD
from inrcodec.entropy.layer import Layer
from inrcodec.entropy.model import LayerModel
from inrcodec.families.pyramid.shape import Pyramid
from inrcodec.families.siren.shape import Siren
from tests.files import joined, pyramid_file, segment, siren_file, split, write

DOORS = {
    "open": inrcodec.open,
    "decode": inrcodec.decode,
    "thumbnail": inrcodec.thumbnail,
    "ProgressiveDecoder": lambda data, **limits: ProgressiveDecoder(**limits).feed(data),
}
"""All ways into the library for the bytes of a stranger."""

CHILD = """
import resource, sys
from pathlib import Path
import inrcodec
from tests.files import pyramid_file, siren_file
from tests.test_hostile import DOORS
for small in (siren_file(), pyramid_file()):
    inrcodec.decode(small)  # kernels are loaded
data, door, space, seconds = Path(sys.argv[1]).read_bytes(), sys.argv[2], *map(int, sys.argv[3:])
before = resource.getrusage(resource.RUSAGE_SELF)
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + space,) * 2)
limit = int(before.ru_utime + before.ru_stime) + seconds
resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
try:
    found = DOORS[door](data)
    print("success", getattr(found, "size", ""))
except (inrcodec.FormatError, inrcodec.ImageError) as error:
    print(type(error).__name__, error)
"""


def outcome(path: Path, data: bytes, door: str, megabytes: int = 500, seconds: int = 10) -> str:
    """What a door says of a file, in a process with so much memory and CPU time more.

    The time is some ten times as long as a free machine takes.
    """
    (path / "hostile.prc").write_bytes(data)
    command = [sys.executable, "-c", CHILD, str(path / "hostile.prc"), door]
    command += [str(megabytes << 20), str(seconds)]
    root = Path(__file__).parents[1]
    result = subprocess.run(command, capture_output=True, text=True, cwd=root)
    assert result.returncode == 0, result.stderr[-600:]
    return result.stdout.strip()


def nothing(header: Header) -> list[Layer]:
    """Layers of zeros, which take no bytes."""
    model = LayerModel(step=160, edge=32, slope=0, curvature=0, largest=0)
    return [Layer(model, np.zeros(k, np.int32)) for k in header.coefficients]


def wide(basis: str) -> bytes:
    """A picture of one pixel by a network of three million parameters, in some 50 bytes."""
    header = Header(Siren(1, 1024, 4, 30, 30), 1, 1, basis=basis)
    data = write(header, nothing(header))
    assert len(data) < 60
    return data


def flat(side: int) -> bytes:
    """A pyramid of 16 planes at full size, whose header the library refuses to write."""
    shape = Pyramid(1, 4, 4, (0,) * 16)
    header = MAGIC + bytes([VERSION, 1, 1]) + varint(side) * 2 + b"\0\0" + shape.fields()
    header += checksum(header)
    layers = b"\xa0\x20\0\0\0" * len(shape.blocks)
    return joined(header, segment(1, layers), segment(5, bytes([16]) + bytes(16)))


def ordered(kind: int, largest: int = 16383, size: int = 100_000) -> bytes:
    """A SIREN with bit planes of the largest magnitudes, and random bytes as their code."""
    header = Header(Siren(1, 64, 16, 30, 30), 1, 1)
    layers = b"\xa0\x20\0\0" + varint(largest)
    rng = np.random.default_rng(kind)
    return joined(
        write_header(header),
        segment(1, bytes([kind]) + layers * len(header.coefficients)),
        segment(3, rng.bytes(size)),
    )


@pytest.mark.parametrize("door", DOORS)
def test_a_wide_kronecker_basis_takes_little_memory(tmp_path, door):
    assert outcome(tmp_path, wide("kronecker"), door).startswith("success")


@pytest.mark.parametrize("door", ["decode", "thumbnail", "ProgressiveDecoder"])
def test_a_wide_dense_basis_is_too_much_work(tmp_path, door):
    said = outcome(tmp_path, wide("dense"), door)
    assert said.startswith("FormatError") and "max_work" in said


@pytest.mark.parametrize("basis", ["identity", "hadamard", "sparse"])
def test_other_wide_bases_decode(tmp_path, basis):
    assert outcome(tmp_path, wide(basis), "decode").startswith("success")


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("side", [4096, 16384])
def test_more_latents_than_a_picture_needs_are_refused(tmp_path, side, door):
    said = outcome(tmp_path, flat(side), door, megabytes=20)
    assert said.startswith("FormatError") and "too many" in said


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("kind", [128, 129])
def test_large_magnitudes_in_bit_planes_take_time_in_proportion(tmp_path, kind, door):
    said = outcome(tmp_path, ordered(kind), door)
    assert said.startswith(("FormatError", "success"))
    said = outcome(tmp_path, ordered(kind)[:-1], door)
    assert said.startswith("success")


def test_large_magnitudes_in_a_refinement_take_time_in_proportion(tmp_path):
    header = Header(Siren(1, 64, 16, 30, 30), 1, 1)
    rng = np.random.default_rng(0)
    model = LayerModel(160, 32, 0, 0, 16383)
    layers = [Layer(model, rng.integers(-16383, 16384, k)) for k in header.coefficients]
    layers = [Layer(model, layer.symbols.astype(np.int32)) for layer in layers]
    for withheld in (1, 4):
        assert outcome(tmp_path, write(header, layers, withheld), "open").startswith("success")


@pytest.mark.parametrize("door", ["open", "decode"])
def test_too_little_memory_for_a_permitted_picture_is_a_format_or_image_error(tmp_path, door):
    """2^27 pixels, twice as many latents, all 0."""
    header = Header(Pyramid(1, 4, 4, (0, 0)), 1 << 14, 1 << 13)
    head = write_header(header)
    layers = b"\xa0\x20\0\0\0" * len(header.coefficients)
    data = joined(head, segment(1, layers), segment(5, b"\2\0\0"))
    said = outcome(tmp_path, data, door, megabytes=600, seconds=60)
    assert said.startswith(("FormatError", "ImageError")) and "too little memory" in said


@pytest.mark.parametrize("door", DOORS)
def test_pixels_are_limited(door):
    data = siren_file(size=(50, 40))
    with pytest.raises(FormatError, match=r"picture of 50x40 pixels; at most 1999 \(max_pixels\)"):
        DOORS[door](data, max_pixels=1999)
    for limit in (2000 * 4, None):
        assert DOORS[door](data, max_pixels=limit) is not None


@pytest.mark.parametrize("door", DOORS)
def test_pictures_above_the_default_limit_need_another_one(door):
    header = Header(Siren(1, 1, 1, 30, 30), 1 << 14, (1 << 13) + 1)
    data = write(header, nothing(header))
    with pytest.raises(FormatError, match=r"16384x8193 pixels; at most 134217728 \(max_pixels\)"):
        DOORS[door](data)
    assert inrcodec.open(data, max_pixels=None).complete
    assert inrcodec.thumbnail(data, max_pixels=None).size == (64, 32)
    assert inrcodec.decode(data, size=(4, 2), max_pixels=None).size == (4, 2)


def test_pixels_of_the_picture_that_is_asked_for_are_limited():
    data = siren_file(size=(50, 40))
    for options in ({"scale": 2}, {"size": (81, 81)}, {"region": (0, 0, 9, 9), "scale": 20}):
        with pytest.raises(ImageError, match=r"at most 6561 \(max_pixels\)|at most 6560"):
            inrcodec.decode(data, **options, max_pixels=6560)
        with pytest.raises(ImageError, match=r"max_pixels"):
            ProgressiveDecoder(**options, max_pixels=6560).feed(data)
        assert inrcodec.decode(data, **options, max_pixels=None)
    with pytest.raises(ImageError, match=r"a picture of 98x78 pixels.*max_pixels"):
        inrcodec.thumbnail(data, side=49, max_pixels=6560)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("make", [siren_file, pyramid_file])
def test_work_is_limited(door, make):
    data = make()
    if not (door == "open" and make is siren_file):  # which has nothing to compute
        with pytest.raises(FormatError, match=r"multiplications; at most 1.0e\+03 \(max_work\)"):
            DOORS[door](data, max_work=1000)
    for limit in (1e9, None):
        assert DOORS[door](data, max_work=limit) is not None


def test_a_larger_picture_takes_more_work():
    data = siren_file(depth=1)
    assert inrcodec.decode(data, max_work=200_000)
    with pytest.raises(FormatError, match="max_work"):
        inrcodec.decode(data, scale=4, max_work=200_000)


def deflated(content: int) -> bytes:
    """Metadata of so many zeros, compressed."""
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    chunk = bytes(1 << 20)
    parts = [packer.compress(chunk) for _ in range(content >> 20)]
    return b"\1" + b"".join(parts) + packer.compress(bytes(content % (1 << 20))) + packer.flush()


@pytest.mark.parametrize("kind", [64, 65, 66])
def test_metadata_that_grow_beyond_64_mib_are_refused(tmp_path, kind):
    bomb = joined(*split(siren_file()), segment(kind, deflated(1 << 30)))
    assert len(bomb) < 6_000_000
    said = outcome(tmp_path, bomb, "open", megabytes=250)
    assert said.startswith("FormatError") and f"longer than {LIMIT_PAYLOAD} bytes" in said


def test_metadata_of_64_mib_are_the_longest():
    plain = split(siren_file())
    file = inrcodec.open(joined(*plain, segment(66, deflated(LIMIT_PAYLOAD))))
    assert len(file.xmp) == LIMIT_PAYLOAD
    with pytest.raises(FormatError, match="longer than"):
        inrcodec.open(joined(*plain, segment(66, deflated(LIMIT_PAYLOAD + 1))))


@pytest.mark.parametrize(
    "payload", [b"", b"\0", b"\2content", b"\1", b"\1\xff", b"\1\3\0", b"\1\3", b"\1\3\0more"]
)
@pytest.mark.parametrize("kind", [64, 65, 66])
def test_damaged_metadata_are_refused(kind, payload):
    """An empty content, an unknown coding, no stream, its first byte, or more than a stream."""
    with pytest.raises(FormatError, match=r"is damaged|empty or coded in an unknown way"):
        inrcodec.open(joined(*split(siren_file()), segment(kind, payload)))


TINY = {
    "siren": lambda: siren_file(1, 2, 1, size=(6, 5)),
    "sparse": lambda: siren_file(1, 4, 2, size=(6, 5), basis="sparse", compaction=99),
    "refinement": lambda: siren_file(1, 2, 1, size=(6, 5), withheld=2),
    "magnitude": lambda: siren_file(1, 2, 1, size=(6, 5), order="magnitude"),
    "listed": lambda: siren_file(1, 2, 1, size=(6, 5), order="listed"),
    "stages": lambda: siren_file(1, 3, 1, (1, 2), size=(6, 5)),
    "range": lambda: siren_file(1, 2, 1, size=(6, 5), bits=16, low=300, high=60000),
    "metadata": lambda: siren_file(
        1, 2, 1, size=(6, 5), metadata={"icc": b"profile", "xmp": bytes(90)}
    ),
    "pyramid": lambda: pyramid_file((1, 0), 1, (6, 5), network={"width": 4}),
    "sets": lambda: pyramid_file((1, 0, 1), 1, (6, 5), parts=(2, 1)),
    "deep": lambda: pyramid_file(
        (1, 0), 1, (6, 5), network={"width": 4, "second": 4, "taps": 1, "filtered": True}
    ),
}
"""A file of each kind, as small as can be."""

LIMITS = {"max_pixels": 1 << 14, "max_work": 1e7}


def check(data: bytes) -> bool:
    """Whether any door takes a file; each takes or refuses it, in one line."""
    taken = False
    for door in DOORS.values():
        try:
            found = door(data, **LIMITS)
        except (FormatError, ImageError) as error:
            assert "\n" not in str(error)
        else:
            taken |= found is not None
    return taken


@pytest.mark.parametrize("kind", TINY)
def test_every_flipped_bit_is_an_error_or_a_marked_partial_picture(kind):
    data = TINY[kind]()
    for position in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[position // 8] ^= 1 << position % 8
        try:
            picture = inrcodec.decode(bytes(damaged))
        except FormatError as error:
            assert "\n" not in str(error)
        else:
            assert "partial" in picture.info


@pytest.mark.parametrize("kind", TINY)
def test_every_truncation_is_an_error_or_a_marked_partial_picture(kind):
    data = TINY[kind]()
    coefficients = inrcodec.open(data).parts[1]
    for length in range(len(data)):
        if length < coefficients.offset + coefficients.size:
            with pytest.raises(FormatError, match="cut short"):
                inrcodec.decode(data[:length])
        else:
            assert "partial" in inrcodec.decode(data[:length]).info
    assert "partial" not in inrcodec.decode(data).info


@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
@pytest.mark.parametrize("kind", TINY)
def test_every_changed_byte_under_a_right_checksum_is_taken_or_refused(kind, flip):
    """As an attacker would change a file."""
    pieces = split(TINY[kind]())
    for index, piece in enumerate(pieces):
        for position in range(len(piece) - 4):
            changed = bytearray(piece[:-4])
            changed[position] ^= flip
            signed = bytes(changed) + checksum(bytes(changed))
            check(b"".join((*pieces[:index], signed, *pieces[index + 1 :])))


@st.composite
def headers(draw):
    """Headers of small networks of any kind."""
    basis = draw(st.sampled_from(["identity", "dense", "hadamard", "kronecker", "sparse"]))
    channels = draw(st.integers(1, 4))
    if draw(st.booleans()):
        stages = draw(st.sampled_from([(), (), (1, 2)]))
        network = Siren(channels, 3, draw(st.integers(1, 3)), 30, 1024, stages)
        basis = "identity" if stages else basis
    else:
        levels = draw(st.lists(st.integers(0, 3), max_size=4))
        network = Pyramid(
            channels,
            4,
            4,
            (3, *levels),
            draw(st.sampled_from([10, 18])),
            draw(st.booleans()),
            draw(st.sampled_from([0, 4])),
            draw(st.integers(0, 3)),
        )
    return Header(
        network,
        draw(st.integers(1, 9)),
        draw(st.integers(1, 9)),
        basis=basis,
        compaction=64 if basis == "identity" else draw(st.integers(64, 300)),
    )


@given(headers(), st.binary(max_size=200))
def test_any_bytes_behind_a_header_are_refused(header, data):
    assert not check(write_header(header) + data)


@settings(max_examples=300)
@given(
    headers(),
    st.binary(max_size=60),
    st.sampled_from([0, 1, 4, 128, 129]),
    st.integers(0, 255),
    st.lists(st.tuples(st.sampled_from([2, 3, 4, 5, 64, 66, 99]), st.binary(max_size=40))),
)
def test_any_payloads_are_taken_or_refused(header, coded, first, largest, others):
    """Of segments with right checksums, and tables of layers that can be."""
    layer = bytes([255, 32]) + (b"\xf0\0" if first < 128 else b"\0\0") + varint(largest)
    table = layer * len(header.coefficients)
    kind = bytes([first]) if isinstance(header.network, Siren) else b""
    segments = [segment(1, kind + table + coded)]
    segments += [segment(*other) for other in sorted(others, key=lambda other: other[0])]
    check(joined(write_header(header), *segments))


@settings(max_examples=300)
@given(st.integers(0, 1), st.binary(min_size=6, max_size=40))
def test_any_header_under_a_right_checksum_is_taken_or_refused(family, fields):
    head = MAGIC + bytes([VERSION, family]) + fields
    data = head + checksum(head) + segment(1, bytes(200), last=True)
    check(data)
