"""Coordinates: pixel centres on one rectangle, whatever grid is laid over it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inrcodec.families.siren.coordinates import grid

law = settings(deadline=None)
SIDES = st.integers(1, 50)
PICTURES = st.tuples(SIDES, SIDES)


def planes(xy, size):
    """x and y as images (height, width)."""
    width, height = size
    assert xy.shape == (width * height, 2) and xy.dtype == np.float32
    images = xy.astype(np.float64).reshape(height, width, 2)
    return images[..., 0], images[..., 1]


@law
@given(PICTURES)
def test_pixels_are_square_and_the_longer_side_spans_2(picture):
    width, height = picture
    x, y = planes(grid(picture), picture)
    pixel = 2 / max(picture)
    columns = (np.arange(width) - (width - 1) / 2) * pixel
    rows = (np.arange(height) - (height - 1) / 2) * pixel
    np.testing.assert_allclose(x, np.broadcast_to(columns, (height, width)), atol=1e-7)
    np.testing.assert_allclose(y, np.broadcast_to(rows[:, None], (height, width)), atol=1e-7)
    # Half a pixel further is the picture's border.
    assert max(x.max(), y.max()) + pixel / 2 == pytest.approx(1)
    assert min(x.min(), y.min()) - pixel / 2 == pytest.approx(-1)


@law
@given(PICTURES, PICTURES)
def test_any_grid_spans_the_same_rectangle(picture, size):
    x, y = planes(grid(picture, size), size)
    for values, count, side in zip((x, y), size, picture, strict=True):
        half = side / max(picture)
        assert values.max() + half / count == pytest.approx(half, abs=1e-6)
        assert values.min() - half / count == pytest.approx(-half, abs=1e-6)
        assert len(np.unique(values)) == count
    assert (x[:, 1:] > x[:, :-1]).all() and (y[1:] > y[:-1]).all()


@law
@given(PICTURES, st.integers(1, 6))
def test_a_pixel_of_the_picture_is_the_mean_of_its_parts(picture, factor):
    width, height = picture
    fine = planes(
        grid(picture, (width * factor, height * factor)), (width * factor, height * factor)
    )
    for whole, parts in zip(planes(grid(picture), picture), fine, strict=True):
        means = parts.reshape(height, factor, width, factor).mean((1, 3))
        np.testing.assert_allclose(means, whole, rtol=0, atol=1e-6)


@law
@given(PICTURES, PICTURES, st.data())
def test_rows_are_a_part_of_the_whole(picture, size, data):
    width, height = size
    first = data.draw(st.integers(0, height - 1))
    last = data.draw(st.integers(first + 1, height))
    part = grid(picture, size, rows=(first, last))
    assert np.array_equal(part, grid(picture, size)[first * width : last * width])


def test_the_centres_of_large_pictures_are_exact_to_float32():
    x, _ = planes(grid((65535, 1)), (65535, 1))
    expected = (2 * np.arange(65535) + 1 - 65535) / 65535
    assert np.array_equal(x[0], expected.astype(np.float32).astype(np.float64))
