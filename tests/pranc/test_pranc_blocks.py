"""A network's parameters follow from a seed and coefficients, without PyTorch."""

import math
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inrcodec.pranc import philox
from inrcodec.pranc.bases import expand
from inrcodec.pranc.blocks import BlockSpec, Initial, grow
from inrcodec.pranc.layout import BASES, coefficients
from inrcodec.pranc.philox import Purpose

SEED = 0x1122334455667788
WEIGHT, BIAS = Initial.uniform(0.3), Initial(centre=0.5, spread=0.7, scale=0.11)


def block(basis, rows, cols):
    """A weight, and a bias as last column."""
    return BlockSpec.of(basis, rows, [(cols - 1, WEIGHT), (1, BIAS)])


def drawn(spec, compaction):
    k = coefficients(spec.basis, spec.rows, spec.cols, compaction)
    return np.random.default_rng(k).normal(size=k)


def test_columns_start_as_their_part_does():
    spec = block("dense", 5, 3)
    assert (spec.rows, spec.cols) == (5, 3)
    assert spec.centre.tolist() == [0, 0, 0.5]
    assert spec.spread.tolist() == [0.3, 0.3, 0.7]
    assert spec.scale.tolist() == [0.3 / math.sqrt(3), 0.3 / math.sqrt(3), 0.11]


def test_a_start_has_the_standard_deviation_that_is_its_scale():
    theta0 = BlockSpec.of("identity", 400, [(50, WEIGHT)]).theta0(SEED, 3)
    assert np.abs(theta0).max() <= np.float32(0.3)
    assert theta0.std() == pytest.approx(WEIGHT.scale, rel=0.01)


def test_the_start_is_drawn_from_the_seed_and_the_blocks_number():
    theta0 = block("dense", 4, 6).theta0(SEED, 9)
    u = philox.uniform(SEED, (0, 9, Purpose.INITIAL), 24).reshape(4, 6)
    assert theta0.dtype == np.float32
    assert np.array_equal(theta0[:, :-1], np.float32(0.3) * u[:, :-1])
    assert np.array_equal(theta0[:, -1], np.float32(0.5) + np.float32(0.7) * u[:, -1])


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(st.sampled_from(BASES), st.integers(1, 20), st.integers(1, 20)), max_size=4),
    st.integers(64, 640),
)
def test_parameters_are_the_start_plus_the_scaled_basis(shapes, compaction):
    specs = [block(*shape) for shape in shapes]
    alphas = [drawn(spec, compaction) for spec in specs]
    matrices = grow(specs, SEED, compaction, alphas)
    assert len(matrices) == len(specs)
    for index, (spec, alpha, theta) in enumerate(zip(specs, alphas, matrices, strict=True)):
        move = expand(spec.basis, spec.rows, spec.cols, compaction, SEED, index, alpha)
        start = spec.theta0(SEED, index, np.float64)
        expected = start + spec.scale * move.reshape(spec.rows, spec.cols)
        assert theta.dtype == np.float32 and theta.flags["C_CONTIGUOUS"]
        np.testing.assert_allclose(theta, expected, rtol=0, atol=1e-5)


def test_a_wide_kronecker_network_grows_in_seconds_and_little_memory():
    """A file of 55 bytes may ask for it: 1,024 units, with D/k near 1."""
    specs = [block("kronecker", rows, cols) for rows, cols in [(1024, 3), *[(1024, 1025)] * 3]]
    alphas = [drawn(spec, 65) for spec in specs]
    tracemalloc.start()
    try:
        begin = time.process_time()
        grow(specs, SEED, 65, alphas)
        seconds = time.process_time() - begin
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert seconds < 30
    assert peak < 64 * sum(spec.rows * spec.cols for spec in specs)


def test_refuses_coefficients_of_the_wrong_number():
    spec = block("sparse", 4, 4)
    with pytest.raises(ValueError, match="2 coefficient vectors for 1 blocks"):
        grow([spec], SEED, 128, [np.zeros(8)] * 2)
    with pytest.raises(ValueError, match="expected 8 coefficients"):
        grow([spec], SEED, 128, [np.zeros(9)])
