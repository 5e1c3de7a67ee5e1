"""Two passes hold what one pass holds, for the same number of bits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inrcodec.entropy.coder import encode_pass
from inrcodec.entropy.model import LayerModel, coarsen
from inrcodec.entropy.passes import (
    decode_first,
    decode_refinement,
    encode_first,
    encode_refinement,
)

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
