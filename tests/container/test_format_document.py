"""docs/format.md is a decoder: its Python blocks read what the library writes."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inrcodec.entropy.coder import decode_pass, encode_pass
from inrcodec.entropy.model import LIMIT_MAGNITUDE, LayerModel, coarsen
from inrcodec.entropy.passes import encode_first, encode_ordered, encode_refinement
from inrcodec.errors import FormatError
from inrcodec.prc import read
from tests import document
from tests.document import SPEC
from tests.test_golden import GOLDEN, SYMBOLS

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


@pytest.mark.parametrize("name", ["container", *SYMBOLS])
def test_a_golden_file_by_the_document_alone(name):
    """Each field, symbol and latent, and the content of each ancillary segment."""
    data = (GOLDEN / f"{name}.prc").read_bytes()
    ours, theirs = read(data), document.parse(data)
    header, network = ours.header, ours.header.network
    for field in ("family", "width", "height", "bits", "srgb", "low", "top", "basis", "seed"):
        assert getattr(theirs, field) == getattr(header, field)
    for field in ("compaction", "whole_first", "whole_last"):
        assert getattr(theirs, field) == getattr(header, field)
    assert theirs.channels == network.channels and tuple(theirs.blocks) == network.blocks
    assert theirs.complete
    models = document.coefficients(theirs)
    for model, layer in zip(models, ours.layers, strict=True):
        assert (model.step, model.edge) == (layer.model.step, layer.model.edge)
        assert model.q == layer.symbols.tolist()
        np.testing.assert_allclose(document.alpha(model), layer.values)
    kept = {kind: document.content(kind, payload) for kind, payload in theirs.segments if kind > 63}
    assert [kept.get(kind, b"") for kind in (64, 65, 66)] == [ours.icc, ours.exif, ours.xmp]
    if theirs.family == "siren":
        assert (theirs.omega_first, theirs.omega_hidden) == (
            network.omega_first, network.omega_hidden,
        )  # fmt: skip
    else:
        planes = document.latents(theirs, models)
        assert [q.tolist() for q in ours.latents] == planes


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
