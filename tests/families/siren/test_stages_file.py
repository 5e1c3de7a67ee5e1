"""Files of SIRENs that grow in stages: what is written comes back, prefixes hold whole stages."""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inrcodec.container.fields import checksum
from inrcodec.container.head import Header, read_header, write_header
from inrcodec.entropy.layer import Layer
from inrcodec.entropy.model import LayerModel, fit_model
from inrcodec.errors import FormatError
from inrcodec.families.siren.shape import Siren
from inrcodec.prc import PrcFile, read, write
from tests.container.test_format_document import SPEC
from tests.test_prc import check_same, prefixes, segment

SIREN = Siren(3, 9, 2, 30, 20, stages=(4, 3, 2))


def parts() -> tuple[Header, list[Layer]]:
    header = Header(SIREN, 48, 32, seed=5)
    layers = []
    for i, k in enumerate(header.coefficients):
        q = ((np.arange(k) * 7 + i) % 21 - 10).astype(np.int32)
        layers.append(Layer(fit_model(q, 150 + i, 32, gaussian=True), q))
    return header, layers


@pytest.fixture(scope="module")
def data() -> bytes:
    return write(*parts(), icc=b"a colour profile")


def check_first(file: PrcFile, count: int) -> None:
    """That it holds the first `count` layers, and no more."""
    check_same(file, parts()[1][:count])


def segments(data: bytes) -> list[bytes]:
    return [data[part.offset : part.offset + part.size] for part in read(data).parts]


def joined(header: bytes, *segments: bytes) -> bytes:
    """A file of these segments, the last of them marked."""
    last = bytes([segments[-1][0] | 0x80]) + segments[-1][1:-4]
    return b"".join((header, *segments[:-1], last + checksum(last)))


def test_all_stages_come_back(data):
    file = read(data)
    assert file.complete and file.icc == b"a colour profile" and file.header == parts()[0]
    assert [part.name for part in file.parts[1:]] == [
        "first coefficient pass", "stage 2", "stage 3", "ICC profile",
    ]  # fmt: skip
    check_first(file, 9)


def test_a_prefix_holds_the_stages_that_are_whole(data):
    ends = [part.offset + part.size for part in read(data).parts]
    for size, file in prefixes(data):
        stages = sum(end <= size for end in ends[1:4])
        check_first(file, 3 * stages)


@pytest.mark.parametrize(("finest", "stages"), [(0, 3), (1, 2), (2, 1), (9, 1)])
def test_a_small_picture_needs_the_first_stages(data, finest, stages):
    file = read(data, finest)
    assert file.complete
    check_first(file, 3 * stages)


def test_stages_must_be_there_in_order_and_no_more_than_there_are(data):
    header, first, second, third, icc = segments(data)
    for pieces in ([first, second], [first, second, icc], [first, icc]):
        with pytest.raises(FormatError, match="the last stages are missing"):
            read(joined(header, *pieces))
    with pytest.raises(FormatError, match="a stage is missing"):
        read(joined(header, first, third))
    with pytest.raises(FormatError, match="out of order"):
        read(joined(header, first, third, second))
    fourth = bytes([4]) + third[1:-4]
    with pytest.raises(FormatError, match="4 stages; there should be 3"):
        read(joined(header, first, second, third, fourth + checksum(fourth)))


def test_other_networks_have_no_stages(data):
    plain = Header(replace(SIREN, stages=()), 48, 32)
    layers = [
        Layer(fit_model(np.ones(k, np.int32), 150, 32), np.ones(k, np.int32))
        for k in plain.coefficients
    ]
    header, first = segments(write(plain, layers))
    with pytest.raises(FormatError, match="do not belong to this INR family"):
        read(joined(header, bytes([0]) + first[1:-4] + checksum(bytes([0]) + first[1:-4]),
                    segments(data)[2]))  # fmt: skip


def test_a_stage_that_cannot_be_is_refused(data):
    header, first, second, third, _ = segments(data)
    payload = second[2:-4]
    for changed in (payload[:5], payload[:-3] + b"\xff\xff\xff", payload + b"\x01" * 40):
        with pytest.raises(FormatError, match=r"stage 2|the coded coefficients are invalid"):
            read(joined(header, first, segment(2, changed), third))


def test_what_a_file_cannot_hold_is_not_written():
    header, layers = parts()
    for options in ({"withheld": 1}, {"order": "magnitude"}):
        with pytest.raises(ValueError, match="no refinement pass"):
            write(header, layers, **options)
    for model in (LayerModel(150, 40, 0, 60, 10), LayerModel(150, 32, 200, 60, 10)):
        with pytest.raises(ValueError, match="a dead zone or a slope"):
            write(header, [replace(layers[0], model=model), *layers[1:]])
    with pytest.raises(ValueError, match="it has the identity"):
        Header(SIREN, 48, 32, basis="sparse")


@given(st.lists(st.integers(1, 120), min_size=2, max_size=8), st.integers(1, 9))
def test_headers_come_back(stages, depth):
    siren = Siren(3, sum(stages), depth, 30, 20.25, stages=tuple(stages))
    header = Header(siren, 640, 427, seed=0xC0FFEE)
    written = write_header(header)
    assert read_header(written) == header and written[4:6] == b"\x09\x02"
    assert siren.first(len(stages)) == siren
    assert siren.first(1).blocks == siren.blocks[: depth + 1]


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (b"\x01\x04", "1 stages; there may be 2 to 8"),
        (b"\x09" + b"\x01" * 9, "9 stages; there may be 2 to 8"),
        (b"\x03\x00\x03\x02", "stages of .* units for a width of 5"),
        (b"\x02\x80\x08\x01", "a width of 1025"),
    ],
)
def test_stages_beyond_their_limits_are_refused(stages, message):
    header = bytearray(write_header(Header(SIREN, 48, 32, seed=5))[:-4])
    assert header[14:18] == b"\x03\x04\x03\x02"
    header[14:18] = stages
    with pytest.raises(FormatError, match=message):
        read_header(bytes(header) + checksum(bytes(header)))


def test_an_older_version_has_no_stages():
    header = bytearray(write_header(Header(SIREN, 48, 32))[:-4])
    header[4] = 8
    with pytest.raises(FormatError, match="unknown INR family 2"):
        read_header(bytes(header) + checksum(bytes(header)))


def test_stages_by_the_document_alone(data):
    """The table and coded bytes of a later stage."""
    body = segments(data)[2]
    assert body[0] == 2 and int.from_bytes(body[-4:], "little") == zlib.crc32(body[:-4])
    payload, i = body[2 if body[1] < 128 else 3 : -4], 0
    models = []
    for _ in range(SIREN.depth + 1):
        step, curvature, largest = payload[i : i + 3]
        models.append((step, SPEC["frequencies"](32, 0, curvature, largest), largest))
        i += 3
    decoder = SPEC["RangeDecoder"](payload[i:])
    for (step, f, largest), layer in zip(models, parts()[1][3:6], strict=True):
        assert step == layer.model.step
        assert [decoder.decode(f) - largest for _ in layer.symbols] == layer.symbols.tolist()
