"""The header: every field comes back, limits hold, errors say what to do."""

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inrcodec.container.fields import Fields, checksum, varint
from inrcodec.container.header import MAGIC, Header, write_header
from inrcodec.errors import FormatError
from inrcodec.families.pyramid.shape import Pyramid
from inrcodec.families.siren.shape import LIMIT_PARAMETERS, Siren
from inrcodec.image import LIMIT_PIXELS
from inrcodec.pranc.layout import BASES, coefficients
from inrcodec.prc import read_header

SIREN = Siren(channels=3, width=32, depth=3, omega_first=30, omega_hidden=30)
HEADER = Header(SIREN, width=768, height=512)
OMEGAS = st.integers(1, 4096).map(lambda quarters: quarters / 4)


@st.composite
def headers(draw):
    depth = draw(st.integers(1, 16))
    most = 1024 if depth == 1 else math.isqrt(LIMIT_PARAMETERS // (depth - 1)) - 5
    siren = Siren(
        channels=draw(st.integers(1, 4)),
        width=draw(st.integers(1, min(1024, most))),
        depth=depth,
        omega_first=draw(OMEGAS),
        omega_hidden=draw(OMEGAS),
    )
    width = draw(st.integers(1, 65535))
    bits = draw(st.sampled_from([8, 16]))
    peak = (1 << bits) - 1
    low, high = sorted(draw(st.lists(st.integers(0, peak), min_size=2, max_size=2, unique=True)))
    basis = draw(st.sampled_from(BASES))
    return Header(
        siren,
        width=width,
        height=draw(st.integers(1, min(65535, LIMIT_PIXELS // width))),
        bits=bits,
        basis=basis,
        compaction=64 if basis == "identity" else draw(st.integers(64, 64 * 1024)),
        seed=draw(st.integers(0, 2**32 - 1)),
        whole_first=draw(st.booleans()),
        whole_last=draw(st.booleans()),
        srgb=draw(st.booleans()),
        low=low,
        high=high,
    )


def signed(data):
    """The bytes of a header before its CRC-32, with the right CRC-32."""
    return bytes(data) + checksum(bytes(data))


def with_field(offset, value):
    data = bytearray(write_header(HEADER)[:-4])
    data[offset] = value
    return signed(data)


@given(headers())
def test_round_trip(header):
    data = write_header(header)
    assert read_header(data) == header
    assert read_header(data + b"more") == header
    assert len(data) <= 39


@given(headers())
def test_layers_have_the_coefficients_of_their_basis(header):
    for i, (rows, cols) in enumerate(header.network.blocks):
        whole = (i == 0 and header.whole_first) or (i == header.network.depth and header.whole_last)
        basis = "identity" if whole else header.basis
        assert header.coefficients[i] == coefficients(basis, rows, cols, header.compaction)
    assert len(header.coefficients) == header.network.depth + 1


def test_blocks_hold_weight_and_bias_of_each_layer():
    assert Siren(1, 5, 1, 30, 30).blocks == ((5, 3), (1, 6))
    assert Siren(4, 5, 3, 30, 30).blocks == ((5, 3), (5, 6), (5, 6), (4, 6))
    assert Siren(4, 5, 3, 30, 30).D == 99


@given(headers(), st.data())
def test_every_prefix_of_a_header_is_cut_short(header, data):
    whole = write_header(header)
    size = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(FormatError, match="cut short in the header"):
        read_header(whole[:size])


@pytest.mark.parametrize("family", ["siren", "pyramid"])
def test_a_header_is_short(family):
    pyramid = Pyramid(3, 32, 16, (6, 5, 4, 3, 2, 2, 1, 0), second=16, taps=3)
    data = write_header(Header(SIREN if family == "siren" else pyramid, 768, 512))
    assert len(data) == 4 + 1 + 1 + 1 + 2 + 2 + 1 + 1 + (4 if family == "siren" else 9) + 4


def test_says_what_it_cannot_read():
    with pytest.raises(FormatError, match=r"not a \.prc file"):
        read_header(b"\x89PNG\r\n\x1a\n" + bytes(40))
    with pytest.raises(FormatError, match="family 9; update inrcodec"):
        read_header(MAGIC + b"\x0a\x09\3\1\1\0\0" + bytes(9))
    with pytest.raises(FormatError, match="start 1; update inrcodec"):
        read_header(with_field(5, 1 << 4))
    for offset, value in ((6, 3 | 64), (6, 3 | 128), (11, 64), (11, 128)):
        with pytest.raises(FormatError, match="unknown bits set"):
            read_header(with_field(offset, value))
    with pytest.raises(FormatError, match="unknown basis 5; update inrcodec"):
        # A basis other than the identity has a compaction.
        data = write_header(dataclasses.replace(HEADER, basis="sparse"))
        read_header(signed(data[:11] + b"\x05" + data[12:-4]))
    with pytest.raises(FormatError, match="depth and stages has an unknown bit"):
        read_header(with_field(13, 2 | 128))
    with pytest.raises(FormatError, match="header is damaged: its checksum"):
        read_header(write_header(HEADER)[:-1] + b"\0")


@pytest.mark.parametrize("version", [*range(10), 11, 255])
def test_another_version_is_refused_in_one_line(version):
    """Whatever follows, and as soon as the version is there."""
    what = "update inrcodec" if version > 10 else "encode the picture again"
    message = f"format version {version}, and this inrcodec reads version 10 alone; {what}"
    for more in (b"", b"\0", write_header(HEADER)[5:]):
        with pytest.raises(FormatError) as caught:
            read_header(MAGIC + bytes([version]) + more)
        assert str(caught.value) == message


def test_the_range_that_there_is_anyway_is_not_stored():
    data = write_header(HEADER)[:-4]
    assert dataclasses.replace(HEADER, high=None).top == 255
    assert dataclasses.replace(HEADER, high=255) == HEADER
    ranged = signed(data[:6] + bytes([3 | 32]) + data[7:11] + varint(0) + varint(255) + data[11:])
    with pytest.raises(FormatError, match="the range that it has anyway"):
        read_header(ranged)
    for low, top in ((5, 5), (6, 5), (0, 256)):
        part = varint(low) + varint(top)
        ranged = signed(data[:6] + bytes([3 | 32]) + data[7:11] + part + data[11:])
        with pytest.raises(FormatError, match=f"samples from {low} to {top} of 8 bits"):
            read_header(ranged)


@pytest.mark.parametrize("channels", [0, 5, 6, 7])
def test_refuses_channels_beyond_four(channels):
    with pytest.raises(FormatError, match=f"header is invalid: {channels} channels"):
        read_header(with_field(6, channels))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, "0x512 pixels"),
        ({"height": 65536}, "768x65536 pixels"),
        ({"width": 65535, "height": 65535}, "at most 268435456 in all"),
        ({"bits": 12}, "12 bits"),
        ({"basis": "fourier"}, "unknown basis 'fourier'"),
        ({"compaction": 63}, "compaction of 63/64"),
        ({"compaction": 65537}, "compaction of 65537/64"),
        ({"seed": -1}, "seed -1"),
        ({"seed": 2**32}, "seed 4294967296"),
        ({"low": -1}, "samples from -1 to 255"),
        ({"low": 255}, "samples from 255 to 255"),
        ({"high": 256}, "samples from 0 to 256"),
        ({"start": 1}, "unknown start 1"),
    ],
)
def test_a_header_has_limits(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(HEADER, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channels": 0}, "0 channels"),
        ({"channels": 5}, "5 channels"),
        ({"width": 0}, "width of 0"),
        ({"width": 1025}, "width of 1025"),
        ({"depth": 0}, "0 sine layers"),
        ({"depth": 17}, "17 sine layers"),
        ({"omega_first": 0}, "ω of 0"),
        ({"omega_hidden": 1024.25}, "ω of 1024.25"),
        ({"omega_hidden": 30.1}, "ω of 30.1"),
        ({"omega_first": math.nan}, "ω of nan"),
        ({"width": 1024, "depth": 16}, "15750147 parameters; there may be at most 4194304"),
    ],
)
def test_a_network_has_limits(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SIREN, **change)


def test_limits_hold_for_files_too():
    raster, seed = b"\x0a\0\x03", varint(0)
    siren = bytes([15]) + varint(1024) + varint(4) + varint(4)
    with pytest.raises(FormatError, match="15750147 parameters; there may be at most"):
        read_header(signed(MAGIC + raster + b"\1\1\0" + seed + siren))
    siren = bytes([0]) + varint(1) + varint(4) + varint(4)
    for sides, message in (
        (b"\0\1", "0x1 pixels"),
        (varint(65536) + b"\1", "65536x1 pixels"),
        (varint(65535) * 2, "at most 268435456 in all"),
    ):
        with pytest.raises(FormatError, match=message):
            read_header(signed(MAGIC + raster + sides + b"\0" + seed + siren))


def test_files_have_at_most_a_small_multiple_of_the_pixels_as_latents():
    assert write_header(Header(Pyramid(3, 8, 8, (0,) * 2), 2000, 1000))
    assert write_header(Header(Pyramid(3, 8, 8, (0,) * 16), 16, 16))
    with pytest.raises(ValueError, match="6000000 latents for 2000000 pixels; they are too many"):
        write_header(Header(Pyramid(3, 8, 8, (0,) * 3), 2000, 1000))


def test_the_identity_has_no_compaction():
    siren = Siren(3, 16, 3, 30, 30)
    header = Header(siren, 9, 9, basis="identity", compaction=100)
    assert header == Header(siren, 9, 9) and header.compaction == 64


@given(st.integers(0, 2**35 - 1))
def test_variable_length_integers_come_back(value):
    fields = Fields(varint(value), part="test")
    assert fields.varint() == value
    assert fields.position == max(1, math.ceil(value.bit_length() / 7))


@pytest.mark.parametrize("data", [b"\x80\x00", b"\xff\x80\x00", b"\x80\x80\x80\x80\x80\x01"])
def test_variable_length_integers_have_one_form(data):
    with pytest.raises(FormatError, match="not a shortest variable-length integer"):
        Fields(data, part="test").varint()
