"""The fused kernels of the pyramid compute what their formulas say."""

import numpy as np
import pytest

from inrcodec.families.pyramid.kernels import blocks
from inrcodec.families.pyramid.kernels.latents import Rounding, soft_round
from inrcodec.kernels.compile import compiled


def test_soft_rounding_has_its_slope_and_rounds_when_cold():
    y = np.linspace(-3.4, 3.4, 501).astype(np.float32)
    ones, q, slope = np.ones_like(y), np.zeros_like(y), np.zeros_like(y)
    above, below, unused = (np.zeros_like(y) for _ in range(3))
    soft_round(y, q, slope, ones, Rounding(0.6, 1.0, 5), 0, len(y))
    soft_round(y + 1e-2, above, unused, ones, Rounding(0.6, 1.0, 5), 0, len(y))
    soft_round(y - 1e-2, below, unused, ones, Rounding(0.6, 1.0, 5), 0, len(y))
    assert np.abs((above - below) / 2e-2 - slope).max() < 0.03
    soft_round(y, q, slope, ones, Rounding(0.02, 1.0, 5), 0, len(y))
    near = np.abs(y - np.round(y)) < 0.4
    assert np.abs(q - np.round(y))[near].mean() < 0.05
    soft_round(y, q, slope, ones, Rounding(0.0, 1.0, 5), 0, len(y))
    assert np.array_equal(q, np.floor(y + np.float32(0.5))) and (slope == 1).all()


def test_noise_depends_on_place_and_seed_alone():
    y = np.zeros(1000, np.float32)
    ones, whole, part, other, slope = (np.ones_like(y) for _ in range(5))
    soft_round(y, whole, slope, ones, Rounding(0.5, 1.0, 1), 0, 1000)
    soft_round(y, part, slope, ones, Rounding(0.5, 1.0, 1), 400, 1000)
    soft_round(y, other, slope, ones, Rounding(0.5, 1.0, 2), 0, 1000)
    # Not equal: a vectorized loop and the one that takes its remainder may round differently.
    assert np.abs(whole[400:] - part[400:]).max() < 1e-5
    assert abs(np.corrcoef(whole, other)[0, 1]) < 0.15 and abs(whole.mean()) < 0.05
    soft_round(y, other, slope, ones, Rounding(0.5, 0.5, 1), 0, 1000)
    assert np.array_equal(np.sign(other), np.sign(whole)) and (np.abs(other) < np.abs(whole)).all()


@compiled
def _apply(f, x, y):
    for i in range(len(x)):
        y[i] = f(x[i])


@pytest.mark.parametrize(
    ("ours", "theirs", "x"),
    [
        (blocks.exp2, np.exp2, np.linspace(-120, 100, 9001)),
        (blocks.log2, np.log2, np.geomspace(1e-30, 1e30, 9001)),
    ],
)
def test_elementary_functions(ours, theirs, x):
    values = np.zeros(len(x), np.float32)
    _apply(ours, x.astype(np.float32), values)
    assert np.allclose(values, theirs(x.astype(np.float32).astype(np.float64)), 3e-6, 1.5e-5)
