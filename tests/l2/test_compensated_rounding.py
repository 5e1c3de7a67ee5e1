"""Compensated rounding is plain rounding without correlations, and much better with them."""

import numpy as np
import pytest

from inrcodec.l2.rounding import BLOCK, nearest_plane

FAR = 10**6


def plain(values, edge, scale):
    """Each to its own symbol: 0 within the edge, then one for every step that has begun."""
    size = np.abs(values)
    outside = np.sign(values) * np.floor(1 + (size - edge) / scale)
    return np.where(size <= edge, 0, outside).astype(np.int32)


def dequantized(symbols, edge, scale):
    return np.sign(symbols) * (edge + (np.abs(symbols) - 0.5) * scale) * (symbols != 0)


def loss(symbols, values, curvature, edge, scale):
    error = dequantized(symbols, edge, scale) - values
    return error @ curvature @ error


def transform(rng):
    """A step, and a dead zone from narrow to wide."""
    scale = 2 ** rng.uniform(-1, 1)
    return rng.uniform(0.25, 2.5) * scale, scale


def correlated(rng, k, rank):
    """A curvature with few stiff directions and many soft ones."""
    directions = rng.normal(size=(k, rank))
    return directions @ directions.T / rank + 0.01 * np.eye(k)


def directly(values, curvature, edge, scale, largest):
    """Rounds the last first, and lets all others move to where the loss is least each time."""
    k = len(values)
    symbols = np.zeros(k, np.int32)
    errors = np.zeros(k)
    for i in range(k - 1, -1, -1):
        force = curvature[: i + 1, i + 1 :] @ errors[i + 1 :]
        value = values[i] - np.linalg.solve(curvature[: i + 1, : i + 1], force)[i]
        one = slice(i, i + 1)
        symbols[one] = np.clip(plain(np.array([value]), edge, scale), -largest, largest)
        errors[one] = dequantized(symbols[one], edge, scale) - values[one]
    return symbols


@pytest.mark.parametrize("k", [1, 7, 200])
def test_without_correlations_it_is_plain_rounding(k):
    rng = np.random.default_rng(k)
    values = rng.normal(0, 6, k)
    edge, scale = transform(rng)
    for factor in (np.eye(k), np.diag(rng.uniform(0.1, 10, k))):
        symbols = nearest_plane(values, factor, edge, scale, FAR)
        assert symbols.dtype == np.int32
        np.testing.assert_array_equal(symbols, plain(values, edge, scale))


@pytest.mark.parametrize("k", [BLOCK - 1, BLOCK, BLOCK + 1, 200])
@pytest.mark.parametrize("largest", [2, FAR])
def test_it_moves_the_others_to_the_least_loss_each_time(k, largest):
    rng = np.random.default_rng(k)
    values = rng.normal(0, 4, k)
    edge, scale = transform(rng)
    curvature = correlated(rng, k, rank=k // 3)
    symbols = nearest_plane(values, np.linalg.cholesky(curvature), edge, scale, largest)
    expected = directly(values, curvature, edge, scale, largest)
    np.testing.assert_array_equal(symbols, expected)
    assert (symbols != np.clip(plain(values, edge, scale), -largest, largest)).any()


def test_for_any_curvature_it_is_no_worse_than_plain_rounding_in_the_mean():
    rng = np.random.default_rng(1)
    ratios = []
    for _ in range(40):
        k = int(rng.integers(2, 100))
        root = rng.normal(size=(k, 2 * k))
        curvature = root @ root.T
        values, scale = rng.normal(0, 4, k), 1.0
        rounded = nearest_plane(values, np.linalg.cholesky(curvature), scale / 2, scale, FAR)
        ratios.append(
            loss(rounded, values, curvature, scale / 2, scale)
            / loss(plain(values, scale / 2, scale), values, curvature, scale / 2, scale)
        )
    assert np.mean(ratios) < 0.8


def test_for_correlated_coefficients_it_is_far_better_than_plain_rounding():
    rng = np.random.default_rng(2)
    losses = np.zeros(2)
    for _ in range(10):
        k = 100
        curvature = correlated(rng, k, rank=20)
        values, scale = rng.normal(0, 4, k), 1.0
        rounded = nearest_plane(values, np.linalg.cholesky(curvature), scale / 2, scale, FAR)
        losses += [
            loss(symbols, values, curvature, scale / 2, scale)
            for symbols in (rounded, plain(values, scale / 2, scale))
        ]
    assert losses[0] < 0.15 * losses[1]


def test_magnitudes_end_at_the_largest_and_the_others_make_up_for_it():
    rng = np.random.default_rng(3)
    k, largest = 100, 3
    curvature = correlated(rng, k, rank=20)
    values, scale = rng.normal(0, 1.5, k), 1.0
    values[::10] = 6 * np.sign(values[::10])
    symbols = nearest_plane(values, np.linalg.cholesky(curvature), scale / 2, scale, largest)
    assert np.abs(symbols).max() == largest
    clipped = np.clip(plain(values, scale / 2, scale), -largest, largest)
    arguments = values, curvature, scale / 2, scale
    assert loss(symbols, *arguments) < 0.5 * loss(clipped, *arguments)


def test_the_dead_zone_is_0_and_what_it_drops_is_made_up_for():
    values = np.array([2.9, 2.9, 2.4, 2.4])
    assert nearest_plane(values, np.eye(4), 2.5, 1.0, FAR).tolist() == [1, 1, 0, 0]
    symbols = nearest_plane(values, np.linalg.cholesky(np.eye(4) + 4), 2.5, 1.0, FAR)
    assert symbols[2:].tolist() == [1, 0] and symbols.sum() > 2
