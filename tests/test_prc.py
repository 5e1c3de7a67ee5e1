"""Files: they come back whole, damage is an error, prefixes are marked, overhead is bounded."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inrcodec import prc
from inrcodec.container.fields import varint
from inrcodec.container.header import Header, write_header
from inrcodec.container.segments import ICC, LIMIT_PAYLOAD, Segment
from inrcodec.entropy.layer import Layer
from inrcodec.entropy.model import LayerModel, coarsen, fit_model
from inrcodec.errors import FormatError
from inrcodec.families.siren.shape import Siren
from inrcodec.prc import read, read_header
from tests.files import by_bits, container, container_file, joined, payload, segment, split, write

GOLDEN = Path(__file__).parent / "golden" / "container.prc"
GOLDEN_SHA256 = "41eb77400918233f13418bb43f2522396c90270ee3fef047ca25f1d780db7159"
CODES = st.integers(0, 255)


def small(depth=1, width=3, withheld=0, largest=40, **segments):
    header = Header(Siren(1, width, depth, 30, 30), 16, 16)
    layers = []
    for k in header.coefficients:
        q = ((np.arange(k) * 5) % (2 * largest + 1) - largest).astype(np.int32)
        layers.append(Layer(fit_model(q, step=150, edge=32), q))
    return header, layers, write(header, layers, withheld, **segments)


def check_same(file, layers):
    for got, expected in zip(file.layers, layers, strict=True):
        assert got.model == expected.model and got.withheld == 0
        assert got.symbols.dtype == np.int32 and (got.symbols == expected.symbols).all()


def prefixes(data):
    """Sizes and files of all prefixes that can be read: all with the coefficients, all marked."""
    ends = [part.offset + part.size for part in read(data).parts]
    for size in range(len(data)):
        if size < ends[1]:
            with pytest.raises(FormatError, match="cut short"):
                read(data[:size])
            continue
        file = read(data[:size])
        assert not file.complete
        assert file.bytes_read == max(end for end in ends if end <= size)
        yield size, file


def test_what_is_written_never_changes():
    data = container_file()
    assert hashlib.sha256(data).hexdigest() == GOLDEN_SHA256
    assert GOLDEN.read_bytes() == data


def test_golden_file_reads_back():
    header, layers = container()
    file = read(GOLDEN.read_bytes())
    assert file.header == header == read_header(GOLDEN.read_bytes())
    assert file.complete and file.content.withheld == 2
    assert (file.icc, file.exif, file.xmp) == (b"a colour profile", b"II*\0", b"")
    check_same(file, layers)


def test_every_truncation_is_an_error_or_a_marked_partial_file():
    _, layers = container()
    data = container_file()
    whole = read(data)
    ends = [part.offset + part.size for part in whole.parts]
    for size, file in prefixes(data):
        assert file.parts == whole.parts[: len(file.parts)]
        assert file.icc == (whole.icc if size >= ends[3] else b"")
        if size >= ends[2]:
            check_same(file, layers)
        else:
            for got, expected in zip(file.layers, layers, strict=True):
                assert got.withheld == 2
                assert (got.symbols == coarsen(expected.symbols, 2)).all()


@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_every_damaged_byte_is_an_error_or_a_marked_partial_file(flip):
    _, layers = container()
    data = container_file()
    for i in range(len(data)):
        damaged = bytearray(data)
        damaged[i] ^= flip
        try:
            file = read(bytes(damaged))
        except FormatError as error:
            assert "\n" not in str(error)
            continue
        assert not file.complete
        for got, expected in zip(file.layers, layers, strict=True):
            assert (got.symbols == coarsen(expected.symbols, got.withheld)).all()


@pytest.mark.parametrize(("index", "name"), [(0, "header"), (1, "coefficients")])
def test_damage_names_its_part(index, name):
    data = bytearray(container_file())
    part = read(bytes(data)).parts[index]
    data[part.offset + part.size - 5] ^= 1
    with pytest.raises(FormatError, match=f"the {name}( segment)? is damaged"):
        read(bytes(data))


@pytest.mark.parametrize(
    ("index", "name"), [(2, "refinement"), (3, "ICC profile"), (4, "EXIF metadata")]
)
def test_damage_after_the_coefficients_is_an_error_not_a_partial_file(index, name):
    data = bytearray(container_file())
    part = read(bytes(data)).parts[index]
    assert part.name == name
    data[part.offset + part.size - 5] ^= 1
    with pytest.raises(FormatError, match=f"the {name} segment is damaged: its checksum"):
        read(bytes(data))


@st.composite
def files(draw):
    siren = Siren(draw(st.integers(1, 4)), draw(st.integers(1, 6)), draw(st.integers(1, 4)), 30, 30)
    basis = draw(st.sampled_from(["identity", "kronecker", "sparse"]))
    compaction = 64 if basis == "identity" else draw(st.integers(64, 400))
    header = Header(siren, 9, 7, basis=basis, compaction=compaction)
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    layers = []
    for k in header.coefficients:
        largest = draw(st.integers(0, 200))
        model = draw(st.builds(LayerModel, CODES, CODES, CODES, CODES, st.just(largest)))
        q = rng.integers(-largest, largest + 1, k) * rng.integers(0, 2, k)
        layers.append(Layer(model, q.astype(np.int32)))
    metadata = {kind: draw(st.binary(max_size=9)) for kind in ("icc", "exif", "xmp")}
    return header, layers, draw(st.integers(0, 4)), metadata


@given(files())
def test_round_trip(arguments):
    header, layers, withheld, metadata = arguments
    data = write(header, layers, withheld, **metadata)
    file = read(data)
    assert (file.header, file.content.withheld) == (header, withheld)
    assert {kind: getattr(file, kind) for kind in metadata} == metadata
    assert file.complete and file.bytes_read == len(data)
    check_same(file, layers)
    assert sum(part.size for part in file.parts) == len(data)


@given(files())
def test_a_file_costs_its_ideal_code_length_and_a_bounded_overhead(arguments):
    header, layers, withheld, _ = arguments
    ideal = sum(layer.bits for layer in layers) / 8
    one, two = (read(write(header, layers, bits)) for bits in (0, withheld))
    assert max(one.overhead, two.overhead) <= 48 + 6 * len(layers)
    assert one.bytes_read - one.overhead < ideal * 1.001 + 2
    assert two.bytes_read - two.overhead < ideal * 1.001 + 4


def test_overhead_is_bounded_for_the_longest_header_and_passes():
    """Header 31, type 1, length 4, withheld 1, CRC 4; a refinement below 2 MiB 8 more.

    Sides over 16383 pixels take a byte more each, and a range of samples up to 6.
    """
    siren = Siren(4, 1024, 4, 1024, 1024)
    options = {"bits": 16, "basis": "sparse", "compaction": 64 * 1024, "seed": 2**32 - 1}
    head = len(write_header(Header(siren, 16383, 16383, **options)))
    assert head == 31
    assert len(write_header(Header(siren, 4096, 65535, **options))) == head + 1
    assert len(write_header(Header(siren, 16384, 16384, **options))) == head + 2
    ranged = Header(siren, 16384, 16384, low=20000, high=60000, **options)
    assert len(write_header(ranged)) == head + 8
    assert head + len(segment(1, b"")) - 1 + len(varint(LIMIT_PAYLOAD)) + 1 == 41
    assert head + 2 * (len(segment(1, b"")) - 1 + len(varint((1 << 21) - 1))) + 1 == 48
    assert len(varint(16383)) + 4 == 6


def test_parts_and_overhead_add_up():
    _, layers, data = small()
    file = read(data)
    assert [part.name for part in file.parts] == ["header", "coefficients"]
    assert file.overhead == 19 + 1 + 1 + 1 + 5 * 2 + 4
    assert file.parts[1].coded == len(data) - file.overhead
    total = sum(layer.bits for layer in file.layers)
    assert total == sum(layer.bits_per_coefficient * len(layer.symbols) for layer in layers)
    assert 8 * file.parts[1].coded == pytest.approx(total, abs=16)


def test_a_partial_file_shows_the_middle_of_each_coarse_interval():
    _, layers, data = small(withheld=3)
    file = read(data[: read(data).parts[2].offset])
    for coarse, fine in zip(file.layers, layers, strict=True):
        # Eight magnitudes share a coarse one, so none is more than 3.5 steps from their middle.
        far = np.abs(coarse.values - fine.values) / fine.model.step_size
        shown = coarse.symbols != 0
        assert far[shown].max() < 3.501 and (coarse.values[~shown] == 0).all()


def test_unknown_ancillary_segments_are_skipped():
    _, layers, data = small()
    data = joined(*split(data), segment(64, b"\0profile"), segment(99, b"?"))
    file = read(data)
    check_same(file, layers)
    assert file.complete and file.icc == b"profile"
    assert file.parts[-1].name == "ancillary segment 99" and file.bytes_read == len(data)


@pytest.mark.parametrize("content", [b"x", b"not compressible", bytes(1000), b"ab" * 999])
def test_metadata_come_back_and_are_compressed_where_that_is_shorter(content):
    header, layers, plain = small()
    data = write(header, layers, icc=content, exif=content, xmp=content)
    file = read(data)
    assert (file.icc, file.exif, file.xmp) == (content,) * 3
    assert [part.name for part in file.parts[2:]] == [
        "ICC profile", "EXIF metadata", "XMP metadata",
    ]  # fmt: skip
    assert len(data) - len(plain) <= 3 * min(len(content) + 8, 40)


def test_metadata_never_move_the_picture():
    header, layers, plain = small()
    data = write(header, layers, icc=b"profile", exif=b"II*\0", xmp=b"<x/>")
    size = read(plain).bytes_read
    assert data[: size - len(split(plain)[1])] == plain[: size - len(split(plain)[1])]
    file = read(data[:size])
    assert not file.complete and "metadata is missing" in file.lacking
    check_same(file, layers)


def test_segments_that_do_not_belong_are_refused():
    head, plain = split(small()[2])
    _, two, refinement = split(small(withheld=2)[2])
    icc, exif = segment(64, b"\0profile"), segment(65, b"\0exif")
    cases = {
        "unknown segment type 0; update": joined(head, segment(0, b"")),
        "unknown segment type 20; update": joined(head, plain, segment(20, b"")),
        "ICC profile segment is out of order": joined(head, plain, exif, icc),
        "EXIF metadata segment is out of order": joined(head, plain, exif, exif),
        "ancillary segment 99 is out of order": joined(head, plain, *[segment(99, b"")] * 2),
        "coefficients segment is out of order": joined(head, plain, plain),
        "refinement segment is out of order": joined(head, two, icc, refinement),
        "nothing to refine": joined(head, plain, refinement),
        "not in an order": joined(head, plain, segment(3, b"")),
        "refinement is missing": joined(head, two),
        "EXIF metadata segment comes before the coefficients": joined(head, exif),
        "refinement segment comes before the coefficients": joined(head, refinement),
        "3 stages|2 stages; there should be 1": joined(head, plain, segment(4, b"")),
        "a SIREN has no latents": joined(head, plain, segment(5, b"\1\0")),
        "1 bytes follow the end": joined(head, plain) + b"\0",
        "claims 67108865 bytes": head + b"\1" + varint(LIMIT_PAYLOAD + 1),
    }
    for message, data in cases.items():
        with pytest.raises(FormatError, match=message):
            read(data)


@pytest.mark.parametrize("order", ["magnitude", [0, 1] * 6])
def test_bit_planes_in_an_order_come_back_and_may_be_cut(order):
    header, layers, plain = small()
    data = write(header, layers, order=order)
    file = read(data)
    assert file.order == ("magnitude" if order == "magnitude" else "listed")
    assert file.complete and file.content.withheld == 0
    check_same(file, layers)
    # The order by magnitude costs a second segment, a list of it a few bytes more.
    assert len(data) - len(plain) <= (9 if order == "magnitude" else 13)
    first = file.parts[2].offset
    known = 0
    for size in range(first, len(data)):
        part = read(data[:size])
        assert not part.complete
        planes = [layer.model.largest.bit_length() - layer.withheld for layer in part.layers]
        assert sum(planes) >= known
        known = sum(planes)
        for layer, whole in zip(part.layers, layers, strict=True):
            assert (layer.symbols == coarsen(whole.symbols, layer.withheld)).all()
    assert known == 12


@pytest.mark.parametrize("listed", [False, True])
def test_an_order_costs_at_most_two_percent(listed):
    # 2,600 coefficients as a training leaves them: bell-shaped, some layers finer than others.
    header = Header(Siren(3, 24, 5, 30, 30), 384, 256)
    rng = np.random.default_rng(0)
    layers = []
    for spread, k in zip((60, 20, 12, 8, 5, 3), header.coefficients, strict=True):
        q = np.rint(rng.normal(0, spread, k)).astype(np.int32)
        layers.append(Layer(fit_model(q, step=150, edge=32), q))
    order = by_bits(layers) if listed else "magnitude"
    assert len(write(header, layers, order=order)) <= 1.02 * len(write(header, layers))


def test_orders_that_do_not_belong_are_refused():
    header, layers, _ = small()
    head, first, planes = split(write(header, layers, order="magnitude"))
    table = payload(first)
    with pytest.raises(FormatError, match="have an order and something else"):
        read(joined(head, segment(1, table + b"\1"), planes))
    with pytest.raises(FormatError, match="the refinement is missing"):
        read(joined(head, first))
    with pytest.raises(FormatError, match="nothing to refine"):
        read(joined(head, first, segment(2, payload(planes))))
    with pytest.raises(ValueError, match="none with an order"):
        write(header, layers, withheld=1, order="magnitude")
    with pytest.raises(ValueError, match="an order by taste"):
        write(header, layers, order="taste")


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"", "cut short in the coefficients"),
        (b"\x05" + bytes(10), "5 withheld bits"),
        (b"\x00" + bytes(9), "cut short in the coefficients"),
        (b"\x00" + bytes(4) + varint(16384) + bytes(5), "a magnitude of 16384"),
        (b"\x00" + bytes(4) + b"\x80\x00" + bytes(5), "not a shortest"),
        (b"\x00" + bytes(10) + b"\x01", "coded coefficients are invalid"),
    ],
)
def test_wrong_coefficients_are_refused(payload, message):
    head = write_header(small()[0])
    with pytest.raises(FormatError, match=message):
        read(head + segment(1, payload, last=True))


@settings(max_examples=300)
@given(
    st.sampled_from([0, 1, 4, 128, 129]),
    st.binary(max_size=40),
    st.sampled_from([2, 3]),
    st.binary(max_size=20),
    st.booleans(),
)
def test_any_payload_reads_or_is_refused(withheld, payload, kind, refinement, last):
    """With right checksums, as an attacker would write them."""
    header = Header(Siren(1, 3, 1, 30, 30), 16, 16)
    data = write_header(header) + segment(1, bytes([withheld]) + payload)
    data += segment(kind, refinement, last)
    try:
        file = read(data)
    except FormatError:
        return
    assert [layer.symbols.shape for layer in file.layers] == [(9,), (4,)]
    assert all(np.abs(layer.symbols).max() <= layer.model.largest for layer in file.layers)


@given(st.binary(max_size=60))
def test_any_bytes_are_refused(data):
    for start in (b"", b"\x8fPRC", b"\x8fPRC\x0a\0", container_file()[:40]):
        with pytest.raises(FormatError):
            read(start + data)


def test_writing_refuses_what_cannot_be_read():
    header, layers, _ = small()
    beyond = Layer(layers[1].model, layers[1].symbols * 3)
    least = Layer(layers[1].model, np.full(4, -(2**31), dtype=np.int32))
    cases = [
        ("1 layers for a network of 2", (header, layers[:1])),
        ("layer 0 must have 9 whole symbols", (header, layers[::-1])),
        ("layer 1 has a symbol beyond", (header, [layers[0], beyond])),
        ("layer 1 has a symbol beyond", (header, [layers[0], least])),
        ("5 withheld bits", (header, layers, 5)),
        ("-1 withheld bits", (header, layers, -1)),
        (
            "layer 0 must have 9 whole",
            (header, [Layer(layers[0].model, layers[0].symbols, 1), layers[1]]),
        ),
    ]
    for message, arguments in cases:
        with pytest.raises(ValueError, match=message):
            write(*arguments)
    with pytest.raises(ValueError, match="67108865 bytes of ICC profile"):
        prc.write(header, [Segment(ICC, bytes(LIMIT_PAYLOAD + 1))])


def test_a_fresh_process_reads_and_writes_the_same_without_torch():
    code = f"""
import sys
from inrcodec.prc import read
from tests.files import write
data = open({str(GOLDEN)!r}, "rb").read()
file = read(data)
again = write(file.header, file.layers, file.content.withheld, file.icc, file.exif)
assert again == data
assert "torch" not in sys.modules
"""
    root = str(GOLDEN.parents[2])
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)
