"""Two passes, and bit planes in any order, hold what one pass holds, for as many bits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inrcodec.entropy.coder import encode_pass
from inrcodec.entropy.model import LayerModel, coarsen, fit_model
from inrcodec.entropy.passes import (
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


@given(ordered(), st.binary(max_size=30), st.booleans())
def test_any_bytes_are_bit_planes_or_refused(arguments, coded, cut):
    models, symbols, order = arguments
    try:
        found, withheld = decode_ordered(
            coded, models, [len(q) for q in symbols], order is not None, cut
        )
    except FormatError:
        return
    assert cut or not any(withheld)
    for q, model, lacking in zip(found, models, withheld, strict=True):
        assert np.abs(q).max(initial=0) <= model.largest >> lacking


def test_an_order_that_leaves_planes_out_is_refused():
    model = LayerModel(0, 32, 200, 0, 5)
    with pytest.raises(ValueError, match="leaves out 1 bit planes"):
        encode_ordered([model], [np.arange(-5, 6, dtype=np.int32)], [0, 0])
