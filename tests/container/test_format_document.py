"""docs/format.md is a decoder: its Python blocks read what the library writes."""

import re
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inrcodec.entropy.coder import decode_pass, encode_pass
from inrcodec.entropy.model import LIMIT_MAGNITUDE, LayerModel, coarsen
from inrcodec.entropy.passes import encode_first, encode_ordered, encode_refinement
from inrcodec.errors import FormatError
from inrcodec.prc import read

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "container_v0.prc"
TEXT = (ROOT / "docs" / "format.md").read_text(encoding="utf-8")
SPEC = {}
exec("\n".join(re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)), SPEC)

CODES = st.integers(0, 255)
MODELS = st.builds(LayerModel, CODES, CODES, CODES, CODES, st.integers(0, 80))
UNIFORM = LayerModel(0, 32, 0, 0, LIMIT_MAGNITUDE)
PEAKED = LayerModel(0, 255, 255, 255, LIMIT_MAGNITUDE)
WIDE = LayerModel(0, 32, 120, 30, LIMIT_MAGNITUDE)


@example(UNIFORM)
@example(PEAKED)
@example(WIDE)
@example(LayerModel(0, 0, 0, 0, 0))
@given(MODELS)
def test_symbol_model(model):
    codes = (model.edge, model.slope, model.curvature, model.largest)
    assert SPEC["frequencies"](*codes) == model.frequencies.tolist()


def spec_decode(data, runs):
    decoder = SPEC["RangeDecoder"](data)
    return [[decoder.decode(table.tolist()) for _ in range(count)] for table, count in runs]


def check_coder(runs):
    data = encode_pass(runs)
    assert spec_decode(data, [(table, len(symbols)) for table, symbols in runs]) == [
        symbols.tolist() for _, symbols in runs
    ]
    pairs = [(index, table.tolist()) for table, symbols in runs for index in symbols.tolist()]
    assert SPEC["encode"](pairs) == data


@given(st.lists(st.tuples(MODELS, st.lists(st.integers(0, 10**6), max_size=30)), max_size=4))
def test_range_coder_gives_and_takes_the_bytes_of_constriction(layers):
    check_coder(
        [
            (model.frequencies, np.array(values, dtype=np.int32) % (2 * model.largest + 1))
            for model, values in layers
        ]
    )


@pytest.mark.parametrize("model", [UNIFORM, PEAKED, WIDE])
@pytest.mark.parametrize("kind", ["likely", "any", "first", "last"])
def test_range_coder_with_extreme_tables(model, kind):
    rng = np.random.default_rng(5)
    n = len(model.frequencies)
    symbols = {
        "likely": rng.choice(n, 60, p=model.frequencies / 2**24),
        "any": rng.integers(0, n, 60),
        "first": np.zeros(60),
        "last": np.full(60, n - 1),
    }[kind]
    check_coder([(model.frequencies, symbols.astype(np.int32))])


@given(st.binary(max_size=20))
def test_range_decoders_agree_on_any_bytes(data):
    runs = [(LayerModel(0, 32, 210, 0, 7).frequencies, 9), (np.array([1, 2**24 - 1]), 3)]
    for bytes_ in (data, b"\xff" * 8 + data):
        try:
            symbols = [indices.tolist() for indices in decode_pass(bytes_, runs)]
        except FormatError:
            continue
        assert spec_decode(bytes_, runs) == symbols


@given(MODELS, st.integers(0, 4))
def test_coarse_symbols(model, withheld):
    q = np.arange(-model.largest, model.largest + 1, dtype=np.int32)
    assert [SPEC["coarse"](value, withheld) for value in q.tolist()] == coarsen(
        q, withheld
    ).tolist()
    table = SPEC["coarse_table"](model.frequencies.tolist(), withheld)
    assert table == model.coarse_frequencies(withheld).tolist()


@given(st.lists(MODELS, min_size=1, max_size=3), st.integers(0, 4), st.integers(0, 2**32))
def test_two_passes(models, withheld, seed):
    rng = np.random.default_rng(seed)
    symbols = [
        rng.permutation(np.repeat(np.arange(-m.largest, m.largest + 1, dtype=np.int32), 2))
        for m in models
    ]
    first, refinement = [], []
    for model, q in zip(models, symbols, strict=True):
        f = model.frequencies.tolist()
        c = [SPEC["coarse"](value, withheld) for value in q.tolist()]
        coarse_table = SPEC["coarse_table"](f, withheld)
        first += [(value + (model.largest >> withheld), coarse_table) for value in c]
        for value in sorted(set(c)):
            least, table = SPEC["group"](f, value, withheld)
            refinement += [
                (symbol - least, table)
                for symbol, other in zip(q.tolist(), c, strict=True)
                if other == value
            ]
    assert SPEC["encode"](first) == encode_first(models, symbols, withheld)
    assert SPEC["encode"](refinement) == encode_refinement(models, symbols, withheld)


@given(st.lists(MODELS, min_size=1, max_size=3), st.integers(0, 2**32), st.booleans())
def test_ordered_bit_planes(models, seed, listed):
    rng = np.random.default_rng(seed)
    symbols = [rng.integers(-m.largest, m.largest + 1, 9).astype(np.int32) for m in models]
    steps, largest = [m.step for m in models], [m.largest for m in models]
    order = SPEC["by_magnitude"](steps, largest)
    if listed:
        order = rng.permutation(order).tolist()
    decoder = SPEC["RangeDecoder"](encode_ordered(models, symbols, order if listed else None))
    left = [M.bit_length() for M in largest]
    found = [[0] * 9 for _ in models]
    for layer in order:
        if listed:
            table = SPEC["next_layer"](left)
            places = [i for i, w in enumerate(left) if w > 0]
            assert places[decoder.decode(table)] == layer
        left[layer] -= 1
        f = SPEC["coarse_table"](models[layer].frequencies.tolist(), left[layer])
        before = list(found[layer])
        for c in sorted(set(before)):
            first, table = SPEC["group"](f, c, 1)
            for i in range(9):
                if before[i] == c:
                    found[layer][i] = first + decoder.decode(table)
    assert found == [q.tolist() for q in symbols]


def test_the_golden_file_by_the_document_alone():
    data = GOLDEN.read_bytes()

    def varint(i):
        value = shift = 0
        while data[i] > 127:
            value, shift, i = value | (data[i] & 127) << shift, shift + 7, i + 1
        return value | data[i] << shift, i + 1

    def checked(start, end):
        assert int.from_bytes(data[end : end + 4], "little") == zlib.crc32(data[start:end])
        return end + 4

    assert data[:7] == b"\x8fPRC\0\0\3"
    width, height = (int.from_bytes(data[i : i + 2], "little") for i in (7, 9))
    assert (width, height, data[11]) == (640, 427, 2)
    compaction, i = varint(12)
    seed, i = varint(i)
    units, i = varint(i)
    depth = data[i]
    omega_first, i = varint(i + 1)
    omega_hidden, i = varint(i)
    assert (compaction, seed, units, depth) == (160, 0xC0FFEE, 8, 2 | 32 | 64)
    assert (omega_first, omega_hidden) == (4 * 30, 4 * 20 + 1)
    counts = (8 * 3, -(-64 * 8 * 9 // 160), 3 * 9)
    start = checked(0, i)

    assert data[start] == 0
    length, i = varint(start + 1)
    first_end = i + length
    r, i = data[i], i + 1
    table = []
    for _ in counts:
        step, edge, slope, curvature = data[i : i + 4]
        largest, i = varint(i + 4)
        table.append((step, edge, SPEC["frequencies"](edge, slope, curvature, largest), largest))
    decoder = SPEC["RangeDecoder"](data[i:first_end])
    coarse = []
    for (_, _, f, M), k in zip(table, counts, strict=True):
        c = SPEC["coarse_table"](f, r)
        coarse.append([decoder.decode(c) - (M >> r) for _ in range(k)])
    start = checked(start, first_end)

    assert data[start] == 1
    length, i = varint(start + 1)
    decoder = SPEC["RangeDecoder"](data[i : i + length])
    for (step, edge, f, _), cs, layer in zip(table, coarse, read(data).layers, strict=True):
        symbols = [0] * len(cs)
        for c in sorted(set(cs)):
            first, g = SPEC["group"](f, c, r)
            for place in (i for i, other in enumerate(cs) if other == c):
                symbols[place] = first + decoder.decode(g)
        assert layer.symbols.tolist() == symbols
        values = [
            (q > 0) - (q < 0) and (1 if q > 0 else -1) * (abs(q) - 1 / 2 + edge / 64)
            for q in symbols
        ]
        np.testing.assert_allclose(layer.values, np.array(values) * 2 ** ((step - 192) / 8))


def test_philox():
    """The known answers of Random123 1.14 for philox4x32, 10 rounds."""
    answers = {
        ((0, 0, 0, 0), (0, 0)): "6627e8d5 e169c58d bc57ac4c 9b00dbd8",
        ((2**32 - 1,) * 4, (2**32 - 1,) * 2): "408f276d 41c83b0e a20bc7c6 6d5451fd",
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
        ): "d16cfe09 94fdcceb 5001e420 24126ea1",
    }
    for arguments, words in answers.items():
        assert " ".join(f"{word:08x}" for word in SPEC["philox"](*arguments)) == words
