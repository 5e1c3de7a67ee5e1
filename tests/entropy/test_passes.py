"""Two passes, and bit planes in any order, hold what one pass holds, for as many bits."""

import hashlib

import constriction
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inrcodec.entropy.coder import encode_pass
from inrcodec.entropy.model import LIMIT_MAGNITUDE, LayerModel, coarsen, fit_model
from inrcodec.entropy.passes import (
    OrderedDecoder,
    bit_planes,
    by_magnitude,
    decode_first,
    decode_ordered,
    decode_refinement,
    encode_first,
    encode_ordered,
    encode_refinement,
)
from inrcodec.errors import FormatError

CODES = st.integers(0, 255)


@st.composite
def layers(draw):
    models, symbols = [], []
    for _ in range(draw(st.integers(1, 3))):
        M = draw(st.integers(0, 70))
        models.append(draw(st.builds(LayerModel, CODES, CODES, CODES, CODES, st.just(M))))
        q = draw(st.lists(st.integers(-M, M), min_size=1, max_size=30))
        symbols.append(np.array(q, dtype=np.int32))
    return models, symbols


@given(layers(), st.integers(0, 4))
def test_first_pass_gives_coarse_symbols_and_refinement_the_rest(layers, withheld):
    models, symbols = layers
    first = encode_first(models, symbols, withheld)
    coarse = decode_first(first, models, [len(q) for q in symbols], withheld)
    for c, q in zip(coarse, symbols, strict=True):
        assert (c == coarsen(q, withheld)).all()
    refined = decode_refinement(
        encode_refinement(models, symbols, withheld), models, coarse, withheld
    )
    for back, q in zip(refined, symbols, strict=True):
        assert back.dtype == np.int32 and (back == q).all()


@pytest.mark.parametrize("withheld", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("slope", "curvature", "largest"), [(200, 0, 300), (0, 150, 63), (0, 0, 16383)]
)
def test_two_passes_cost_as_much_as_one(withheld, slope, curvature, largest):
    model = LayerModel(0, 32, slope, curvature, largest)
    rng = np.random.default_rng(withheld)
    indices = rng.choice(2 * largest + 1, 5000, p=model.frequencies / 2**24)
    q = (indices - largest).astype(np.int32)
    one = len(encode_pass([(model.frequencies, indices)]))
    first = len(encode_first([model], [q], withheld))
    two = first + len(encode_refinement([model], [q], withheld))
    assert abs(8 * first - model.bits(coarsen(q, withheld), withheld)) < 16
    assert one - 2 <= two <= one * 1.001 + 3


def test_nothing_withheld_leaves_nothing_to_refine():
    model = LayerModel(0, 32, 200, 0, 5)
    assert encode_refinement([model], [np.arange(-5, 6, dtype=np.int32)], 0) == b""


def test_bytes_never_change():
    models = [LayerModel(152, 32, 200, 40, 37), LayerModel(158, 60, 150, 0, 100)]
    symbols = [
        (np.arange(24) * factor % (2 * m.largest + 1) - m.largest).astype(np.int32)
        for factor, m in zip((7, 31), models, strict=True)
    ]
    assert encode_refinement(models, symbols, 1).hex() == "1ab9ac856a8a"
    assert encode_refinement(models, symbols, 2).hex() == "113d7a587cd329892f69761e"
    assert encode_refinement(models, symbols, 4).hex() == (
        "0fac5b4e5445581edaa9e710beda5fc83bfd3deda78c0b277d"
    )
    assert encode_ordered(models, symbols, None).hex() == (
        "049c07e94361304dd0e8643b41b6111adb56d18a5cfe8bb1e2a3ea60a25d1b2298ddd3a24a378382701016"
    )
    assert encode_ordered(models, symbols, [1, 0] * 6 + [1]).hex() == (
        "78a2c9b62d3bb998d0890e82cdfae8028e2f91ecc05581571e11ea37618e42b8d8b6692bbe0922fb6d2c206f"
    )


def test_bytes_with_the_largest_magnitudes_never_change():
    model = LayerModel(150, 32, 60, 10, LIMIT_MAGNITUDE)
    q = (np.arange(3000) ** 3 % 32767 - LIMIT_MAGNITUDE).astype(np.int32)
    assert hashlib.sha256(encode_ordered([model], [q], None)).hexdigest() == (
        "cdff33fd7e7b92359946f05f74aabe0001b9d0510345f1a843fd6598b936eb45"
    )
    assert hashlib.sha256(encode_refinement([model], [q], 3)).hexdigest() == (
        "fa7b5fe787534b04230e78252ec137a37052b65f5ee32b4f07f9f4bbe61a285a"
    )


@st.composite
def ordered(draw):
    models, symbols = draw(layers())
    planes = [i for i, count in enumerate(bit_planes(models)) for _ in range(count)]
    return models, symbols, draw(st.none() | st.permutations(planes))


@given(ordered(), st.data())
def test_bit_planes_come_back_in_any_order_and_cut_anywhere(arguments, data):
    models, symbols, order = arguments
    counts = [len(q) for q in symbols]
    coded = encode_ordered(models, symbols, order)
    back, withheld = decode_ordered(coded, models, counts, listed=order is not None)
    assert not any(withheld)
    assert all((a == b).all() and a.dtype == np.int32 for a, b in zip(back, symbols, strict=True))
    size = data.draw(st.integers(0, len(coded)))
    back, withheld = decode_ordered(
        coded[:size], models, counts, listed=order is not None, cut=True
    )
    for found, lacking, q in zip(back, withheld, symbols, strict=True):
        assert (found == coarsen(q, lacking)).all()
    # What is there are the first planes of the order, and no others.
    sequence = by_magnitude(models) if order is None else order
    done = [count - lacking for count, lacking in zip(bit_planes(models), withheld, strict=True)]
    assert [sequence[: sum(done)].count(i) for i in range(len(models))] == done


def test_a_longer_prefix_holds_more_bit_planes_and_the_largest_come_first():
    rng = np.random.default_rng(3)
    q = np.round(rng.laplace(0, 20, 400)).astype(np.int32)
    model = fit_model(q, 150, 32)
    coded = encode_ordered([model], [q], None)
    assert abs(len(coded) - len(encode_first([model], [q], 0))) <= 2
    left = []
    for size in range(0, len(coded) + 1, 20):
        (found,), (withheld,) = decode_ordered(coded[:size], [model], [400], False, cut=True)
        assert (found == coarsen(q, withheld)).all()
        left.append(withheld)
    assert left[0] == model.largest.bit_length() and left[-1] <= 1
    assert sorted(left, reverse=True) == left and len(set(left)) > 4


@settings(max_examples=40)
@given(ordered(), st.data())
def test_bytes_in_pieces_give_what_each_prefix_gives(arguments, data):
    models, symbols, order = arguments
    counts, listed = [len(q) for q in symbols], order is not None
    coded = encode_ordered(models, symbols, order)
    if data.draw(st.booleans()):
        place = data.draw(st.integers(0, len(coded)))
        coded = coded[:place] + data.draw(st.binary(max_size=9)) + coded[place + 1 :]
    decoder = OrderedDecoder(models, counts, listed)
    start = 0
    while start < len(coded):
        lacking = sum(decoder.withheld)
        stop = start + data.draw(st.integers(1, 4))
        completed = decoder.feed(coded[start:stop])
        found, withheld = decode_ordered(coded[:stop], models, counts, listed, cut=True)
        assert decoder.withheld == withheld
        assert completed == (sum(withheld) < lacking)
        for a, b in zip(decoder.symbols, found, strict=True):
            assert (a == b).all()
        start = stop
    try:
        found, _ = decode_ordered(coded, models, counts, listed)
    except FormatError:
        with pytest.raises(FormatError):
            decoder.finish()
    else:
        decoder.finish()
        assert all((a == b).all() for a, b in zip(decoder.symbols, found, strict=True))


class Work:
    """Counts what constriction's range decoders copy and decode."""

    def __init__(self, monkeypatch):
        self.words = self.symbols = 0
        original = constriction.stream.queue.RangeDecoder

        class Counted:
            def __init__(decoder, words):  # noqa: N805
                self.words += len(words)
                decoder.inner = original(words)
                decoder.seek = decoder.inner.seek

            def decode(decoder, model, parameters):  # noqa: N805
                self.symbols += parameters if np.isscalar(parameters) else len(parameters)
                return decoder.inner.decode(model, parameters)

        monkeypatch.setattr(constriction.stream.queue, "RangeDecoder", Counted)


@pytest.mark.parametrize("count", [300, 3000])
@pytest.mark.parametrize("piece", [1, 50])
def test_the_work_for_pieces_is_linear_in_bytes_and_symbols(monkeypatch, count, piece):
    rng = np.random.default_rng(3)
    q = np.round(rng.laplace(0, 20, count)).astype(np.int32)
    model = fit_model(q, 150, 32)
    coded = encode_ordered([model], [q], None)
    work = Work(monkeypatch)
    decoder = OrderedDecoder([model], [count], listed=False)
    for start in range(0, len(coded), piece):
        decoder.feed(coded[start : start + piece])
    decoder.finish()
    assert (decoder.symbols[0] == q).all()
    pieces = -(-len(coded) // piece)
    assert work.words < len(coded) + 20 * pieces
    assert work.symbols < 8 * count * model.largest.bit_length() + 100 * pieces


@pytest.mark.parametrize("start", [b"\xff" * 8, b""])
def test_the_work_for_bytes_without_a_meaning_is_linear(monkeypatch, start):
    """Bytes that no encoder gives, or that follow the last plane."""
    model = LayerModel(150, 32, 180, 0, 9)
    q = np.arange(-9, 10, dtype=np.int32)
    data = start + encode_ordered([model], [q], None) + bytes(range(256)) * 8
    work = Work(monkeypatch)
    decoder = OrderedDecoder([model], [19], listed=False)
    for byte in data:
        decoder.feed(bytes([byte]))
    assert work.words < len(data) and work.symbols < len(data)
    with pytest.raises(FormatError):
        decoder.finish()


@given(ordered(), st.binary(max_size=30), st.booleans())
def test_any_bytes_are_bit_planes_or_refused(arguments, coded, cut):
    models, symbols, order = arguments
    counts = [len(q) for q in symbols]
    check_any_bytes(models, counts, order is not None, coded, cut)


def check_any_bytes(models, counts, listed, coded, cut):
    try:
        found, withheld = decode_ordered(coded, models, counts, listed, cut)
    except FormatError:
        return
    assert cut or not any(withheld)
    for q, count, model, lacking in zip(found, counts, models, withheld, strict=True):
        assert q.shape == (count,) and q.dtype == np.int32
        assert np.abs(q).max(initial=0) <= model.largest >> lacking


ANY_LAYERS = st.lists(
    st.tuples(
        st.builds(LayerModel, CODES, CODES, CODES, CODES, st.integers(0, LIMIT_MAGNITUDE)),
        st.integers(0, 300),
    ),
    max_size=3,
)
ANY_BYTES = st.binary(max_size=200) | st.binary(max_size=8).map(lambda end: b"\xff" * 30 + end)


@given(ANY_LAYERS, ANY_BYTES, st.booleans(), st.booleans())
def test_any_bytes_of_any_models_are_bit_planes_or_refused(layers, coded, listed, cut):
    models, counts = [model for model, _ in layers], [count for _, count in layers]
    check_any_bytes(models, counts, listed, coded, cut)


@given(ANY_LAYERS, ANY_BYTES, ANY_BYTES, st.integers(0, 4))
def test_any_bytes_are_two_passes_or_refused(layers, first, refinement, withheld):
    models, counts = [model for model, _ in layers], [count for _, count in layers]
    try:
        coarse = decode_first(first, models, counts, withheld)
    except FormatError:
        rng = np.random.default_rng(len(first))
        coarse = [
            rng.integers(-(m.largest >> withheld), (m.largest >> withheld) + 1, count, np.int32)
            for m, count in layers
        ]
    try:
        symbols = decode_refinement(refinement, models, coarse, withheld)
    except FormatError:
        return
    for q, c, model in zip(symbols, coarse, models, strict=True):
        assert (coarsen(q, withheld) == c).all() and np.abs(q).max(initial=0) <= model.largest
    assert encode_refinement(models, symbols, withheld) == refinement


def test_an_order_that_leaves_planes_out_is_refused():
    model = LayerModel(0, 32, 200, 0, 5)
    with pytest.raises(ValueError, match="leaves out 1 bit planes"):
        encode_ordered([model], [np.arange(-5, 6, dtype=np.int32)], [0, 0])
