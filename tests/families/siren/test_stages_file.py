"""Files of SIRENs that grow in stages: what is written comes back, prefixes hold whole stages."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inrcodec.container.fields import checksum
from inrcodec.container.header import Header, write_header
from inrcodec.entropy.layer import Layer
from inrcodec.entropy.model import LayerModel, fit_model
from inrcodec.errors import FormatError
from inrcodec.families.siren.shape import Siren
from inrcodec.prc import PrcFile, read, read_header
from tests import document
from tests.files import joined, payload, segment, split, write
from tests.test_prc import check_same, prefixes

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


def test_all_stages_come_back(data):
    file = read(data)
    assert file.complete and file.icc == b"a colour profile" and file.header == parts()[0]
    assert [part.name for part in file.parts[1:]] == [
        "coefficients", "stage", "stage", "ICC profile",
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
    header, first, second, third, icc = split(data)
    for pieces in ([first, second], [first, second, icc], [first, icc]):
        with pytest.raises(FormatError, match="the last stages are missing"):
            read(joined(header, *pieces))
    # A stage does not say which one it is; another one in its place has another table or symbols.
    with pytest.raises(FormatError, match=r"coefficients are invalid|cut short|invalid"):
        read(joined(header, first, third, second))
    with pytest.raises(FormatError, match="stage segment is out of order"):
        read(joined(header, first, second, icc, third))
    with pytest.raises(FormatError, match="4 stages; there should be 3"):
        read(joined(header, first, second, third, third))


def test_other_networks_have_no_stages(data):
    plain = Header(replace(SIREN, stages=()), 48, 32)
    layers = [
        Layer(fit_model(np.ones(k, np.int32), 150, 32), np.ones(k, np.int32))
        for k in plain.coefficients
    ]
    header, first = split(write(plain, layers))
    with pytest.raises(FormatError, match="2 stages; there should be 1"):
        read(joined(header, first, split(data)[2]))


def test_stages_have_no_refinement(data):
    header, first, second, third, _ = split(data)
    for withheld in (1, 4, 128, 129):
        changed = segment(1, bytes([withheld]) + payload(first)[1:])
        with pytest.raises(FormatError, match="a SIREN in stages has no refinement"):
            read(joined(header, changed, second, third))


def test_a_stage_that_cannot_be_is_refused(data):
    header, first, second, third, _ = split(data)
    whole = payload(second)
    for changed in (whole[:5], whole[:-3] + b"\xff\xff\xff", whole + b"\x01" * 40):
        with pytest.raises(FormatError, match=r"in the stage|the coded coefficients are invalid"):
            read(joined(header, first, segment(4, changed), third))


def test_what_a_file_cannot_hold_is_not_written():
    header, layers = parts()
    for options in ({"withheld": 1}, {"order": "magnitude"}):
        with pytest.raises(ValueError, match="no refinement"):
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
    assert read_header(written) == header and written[4:6] == b"\x0a\x00"
    assert siren.first(len(stages)) == siren
    assert siren.first(1).blocks == siren.blocks[: depth + 1]


@pytest.mark.parametrize(
    ("counts", "stages", "message"),
    [
        (1 | 2 << 4, b"\x00\x03\x02", "stages of .* units for a width of 5"),
        (1 | 1 << 4, b"\x80\x08\x01", "a width of 1025"),
        (1 | 1 << 4, b"\x05\x00", "stages of .* units for a width of 5"),
        (1 | 1 << 7, b"\x05", "unknown bit"),
    ],
)
def test_stages_beyond_their_limits_are_refused(counts, stages, message):
    header = write_header(Header(SIREN, 48, 32, seed=5))[:-4]
    assert header[11:15] == b"\x21\x04\x03\x02"
    header = header[:11] + bytes([counts]) + stages + header[15:]
    with pytest.raises(FormatError, match=message):
        read_header(header + checksum(header))


def test_there_are_two_to_eight_stages():
    for stages in ((9,), (1,) * 9):
        with pytest.raises(ValueError, match=f"{len(stages)} stages; there may be 2 to 8"):
            replace(SIREN, width=9, stages=stages)


def test_stages_by_the_document_alone(data):
    """The tables and coded bytes of all stages."""
    models = document.coefficients(document.parse(data))
    for model, layer in zip(models, parts()[1], strict=True):
        assert (model.step, model.edge, model.M) == (layer.model.step, 32, layer.model.largest)
        assert model.q == layer.symbols.tolist()
