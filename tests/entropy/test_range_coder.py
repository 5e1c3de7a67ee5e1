"""Range coding: exact frequencies, shortest bytes, one form only."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inrcodec.entropy.coder import PassDecoder, PassEncoder, decode_pass, encode_pass
from inrcodec.entropy.model import LayerModel
from inrcodec.errors import FormatError

TOTAL = 1 << 24


@st.composite
def runs(draw):
    """A few tables, flat to one-sided, each with symbols of any probability."""
    result = []
    for _ in range(draw(st.integers(0, 4))):
        weights = draw(st.lists(st.integers(0, 20), min_size=1, max_size=12))
        table = 1 + np.array([2**w for w in weights])
        table = 1 + table * (TOTAL - len(table)) // table.sum()
        table[draw(st.integers(0, len(table) - 1))] += TOTAL - table.sum()
        symbols = draw(st.lists(st.integers(0, len(table) - 1), max_size=40))
        result.append((table, np.array(symbols, dtype=np.int32)))
    return result


def ideal_bits(runs):
    return sum((24 - np.log2(table[symbols])).sum() for table, symbols in runs)


@given(runs())
def test_round_trip(runs):
    data = encode_pass(runs)
    decoded = decode_pass(data, [(table, len(symbols)) for table, symbols in runs])
    for (_, symbols), back in zip(runs, decoded, strict=True):
        assert back.dtype == np.int32 and back.tolist() == symbols.tolist()


@given(runs())
def test_bytes_are_within_one_of_the_ideal_code_length(runs):
    bits = ideal_bits(runs)
    assert 8 * len(encode_pass(runs)) < bits * 1.001 + 16


@pytest.mark.parametrize("largest", [1, 200, 16383])
@pytest.mark.parametrize("slope", [0, 130, 200, 255])
def test_long_passes_cost_their_ideal_length(largest, slope):
    model = LayerModel(0, 32, slope, 0, largest)
    rng = np.random.default_rng(slope)
    symbols = rng.choice(2 * largest + 1, 20000, p=model.frequencies / TOTAL).astype(np.int32)
    data = encode_pass([(model.frequencies, symbols)])
    assert abs(8 * len(data) - model.bits(symbols - largest)) < 16
    assert (decode_pass(data, [(model.frequencies, 20000)])[0] == symbols).all()


def test_bytes_never_change():
    """A guard on constriction: other versions must read our files."""
    table = LayerModel(0, 32, 230, 100, 9).frequencies
    symbols = (np.arange(60) * 7 % 19).astype(np.int32)
    assert encode_pass([(table, symbols)]).hex() == (
        "000f8d9b7772ce6fba0e611a14cb1f56c1a69eab6d4490061f007c79f4e0c3343868376a3f9f6cef3a472fb108"
    )


def test_nothing_is_coded_for_what_is_certain():
    certain = np.array([TOTAL])
    assert encode_pass([(certain, np.zeros(9, dtype=np.int32))]) == b""
    assert decode_pass(b"", [(certain, 9)])[0].tolist() == [0] * 9
    assert encode_pass([]) == b"" and decode_pass(b"", []) == []


def test_bytes_that_no_encoder_gives_are_refused():
    model = LayerModel(0, 32, 230, 0, 9)
    symbols = np.arange(19, dtype=np.int32)
    data, run = encode_pass([(model.frequencies, symbols)]), [(model.frequencies, 19)]
    for wrong in (data + b"\0", data + b"\1", data[:-1], data[:-1] + bytes([data[-1] ^ 1])):
        with pytest.raises(FormatError, match="coded coefficients"):
            decode_pass(wrong, run)


@st.composite
def rows(draw):
    """A table for each of k symbols, flat to one-sided, of up to 31 symbols."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    k, n = draw(st.integers(0, 60)), draw(st.integers(1, 31))
    weights = np.floor(np.exp2(rng.uniform(0, draw(st.integers(1, 40)), (k, n)))).astype(np.int64)
    tables = 1 + (weights * ((TOTAL - n) / weights.sum(1, keepdims=True))).astype(np.int64)
    tables[np.arange(k), rng.integers(0, n, k)] += TOTAL - tables.sum(1)
    return tables, rng.integers(0, n, k).astype(np.int32)


@given(rows())
def test_a_row_of_frequencies_for_each_symbol_gives_the_bytes_of_single_tables(arguments):
    tables, symbols = arguments
    data = encode_pass([(tables, symbols)])
    assert data == encode_pass([(t, symbols[i : i + 1]) for i, t in enumerate(tables)])
    assert decode_pass(data, [(tables, len(symbols))])[0].tolist() == symbols.tolist()
    singly = decode_pass(data, [(table, 1) for table in tables])
    assert [int(symbol[0]) for symbol in singly] == symbols.tolist()


def determined(data, tables, count):
    """The symbols that are the same with the least and greatest bytes after `data`."""
    decoders = [PassDecoder(data + filler * 16) for filler in (b"\0", b"\xff")]
    for decoder in decoders:
        decoder.close()
    common = []
    for i in range(count):
        row = tables[i : i + 1] if tables.ndim == 2 else tables
        try:
            options = {int(decoder.decode(row, 1)[0]) for decoder in decoders}
        except FormatError:
            break
        if len(options) > 1:
            break
        common += options
    return common


@given(rows(), st.binary(max_size=12), st.data())
def test_an_open_pass_gives_the_symbols_that_its_bytes_determine(arguments, other, data):
    tables, symbols = arguments
    coded = data.draw(
        st.sampled_from([encode_pass([(tables, symbols)]), other, b"\xff" * 7 + other])
    )
    decoder = PassDecoder()
    found = []
    for end in range(len(coded) + 1):
        decoder.feed(coded[max(end - 1, 0) : end])
        found += decoder.decode(tables[len(found) :], len(symbols) - len(found)).tolist()
        assert found == determined(coded[:end], tables, len(symbols))


def test_a_pass_in_pieces_is_checked_as_a_whole():
    table = LayerModel(0, 32, 230, 0, 9).frequencies
    symbols = np.arange(19, dtype=np.int32)
    data = encode_pass([(table, symbols)])
    for wrong in (b"", b"\0"):
        decoder = PassDecoder(data[:4])
        found = decoder.decode(table, 19)
        decoder.feed(data[4:] + wrong)
        decoder.close()
        found = np.concatenate((found, decoder.decode(table, 19 - len(found))))
        assert (found == symbols).all()
        if wrong:
            with pytest.raises(FormatError, match="followed by other bytes"):
                decoder.verify()
        else:
            decoder.verify()


def test_an_encoder_in_several_calls_gives_the_bytes_of_one():
    table = LayerModel(0, 32, 230, 100, 9).frequencies
    symbols = (np.arange(60) * 7 % 19).astype(np.int32)
    encoder = PassEncoder()
    for part in np.split(symbols, [0, 1, 5, 33]):
        encoder.encode(table, part)
    assert encoder.shortest() == encode_pass([(table, symbols)])


@given(st.binary(max_size=24), st.integers(0, 30))
def test_any_bytes_decode_or_are_refused(data, count):
    run = [(np.array([1, 5, TOTAL - 6]), count), (LayerModel(0, 32, 90, 9, 50).frequencies, count)]
    for bytes_ in (data, b"\xff" * 8 + data):
        try:
            symbols = decode_pass(bytes_, run)
        except FormatError:
            continue
        assert encode_pass([(run[0][0], symbols[0]), (run[1][0], symbols[1])]) == bytes_
