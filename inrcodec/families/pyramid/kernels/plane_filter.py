"""Separable symmetric filters of latent planes, and their gradients (Numba, float32).

f(i) = q(i) + Σⱼ tⱼ (q(i - j) + q(i + j)) with n taps tⱼ, first along the rows, then along the
columns. Beyond its edges a plane repeats its outermost samples. Planes may have a border, see
`families.pyramid.latents`; the intermediate `a` (h, w) has none. The definition is
`inrcodec.kernels.reference.filter_plane`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrcodec.families.pyramid.latents import BORDER
from inrcodec.kernels.compile import compiled

_ZERO = np.float32(0)


def smoothed(plane: NDArray[np.float32], taps: NDArray[np.float32]) -> NDArray[np.float32]:
    """A plane (h, w) without a border, filtered with `taps` (n,).

    >>> smoothed(np.array([[0, 4, 0, 0]], np.float32), np.array([0.25], np.float32))
    array([[1.5, 6. , 1.5, 0. ]], dtype=float32)
    """
    plane = np.ascontiguousarray(plane)
    a, out = np.empty_like(plane), np.empty_like(plane)
    smooth_along(plane, 0, taps, a, 0, len(plane))
    smooth_across(a, taps, out, 0, 0, len(plane))
    return out


@compiled
def smooth_along(plane: Any, border: int, taps: Any, a: Any, first: int, last: int) -> None:
    """Filter rows `first` to `last` of a plane along the rows: `a` (h, w)."""
    w = a.shape[1]
    for y in range(first, last):
        row, out = plane[y + border, border : border + w], a[y]
        # Not `out[:] = row`, whose error message takes seconds to compile.
        for x in range(w):
            out[x] = row[x]
        for j in range(1, len(taps) + 1):
            t = taps[j - 1]
            for x in range(min(j, w)):
                out[x] += t * (row[0] + row[min(x + j, w - 1)])
            for x in range(max(j, w - j), w):
                out[x] += t * (row[x - j] + row[w - 1])
            inner, right = out[j : max(j, w - j)], row[2 * j :]
            for x in range(len(inner)):
                inner[x] += t * (row[x] + right[x])


@compiled
def smooth_across(a: Any, taps: Any, plane: Any, border: int, first: int, last: int) -> None:
    """Filter `a` along the columns, and write rows `first` to `last` of the plane."""
    h, w = a.shape
    for y in range(first, last):
        out = plane[y + border, border : border + w]
        for x in range(w):
            out[x] = a[y, x]
        for j in range(1, len(taps) + 1):
            t, above, below = taps[j - 1], a[max(y - j, 0)], a[min(y + j, h - 1)]
            for x in range(w):
                out[x] += t * (above[x] + below[x])


@compiled
def _add_row(out: Any, tap: Any, plane: Any, y: int) -> None:
    """Add `tap` times row y of a padded plane to `out` (w,)."""
    row = plane[y + BORDER, BORDER : BORDER + len(out)]
    for x in range(len(out)):
        out[x] += tap * row[x]


@compiled
def smooth_across_back(
    g: Any, a: Any, taps: Any, d_a: Any, d_taps: Any, first: int, last: int
) -> None:
    """Adjoint of `smooth_across`, for rows `first` to `last`.

    From the gradient by the filtered plane, `g` (padded), writes that by `a` to `d_a` (h, w), and
    adds that by the taps to `d_taps` (n,).
    """
    h, w = a.shape
    for y in range(first, last):
        own, out = g[y + BORDER, BORDER : BORDER + w], d_a[y]
        for x in range(w):
            out[x] = own[x]
        for j in range(1, len(taps) + 1):
            t, above, below = taps[j - 1], a[max(y - j, 0)], a[min(y + j, h - 1)]
            total = _ZERO
            for x in range(w):
                total += own[x] * (above[x] + below[x])
            d_taps[j - 1] += total
            if y + j < h:
                _add_row(out, t, g, y + j)
            if y >= j:
                _add_row(out, t, g, y - j)
            # The first and the last row are also the rows beyond the edge.
            for s in range(min(j, h) if y == 0 else 0):
                _add_row(out, t, g, s)
            for s in range(max(h - j, 0) if y == h - 1 else h, h):
                _add_row(out, t, g, s)


@compiled
def smooth_along_back(
    d_a: Any, plane: Any, taps: Any, d_plane: Any, d_taps: Any, first: int, last: int
) -> None:
    """Adjoint of `smooth_along`, for rows `first` to `last`.

    From the gradient by `a`, `d_a` (h, w), adds that by the plane to `d_plane` (padded), and that
    by the taps to `d_taps` (n,).
    """
    w = d_a.shape[1]
    for y in range(first, last):
        g, row = d_a[y], plane[y + BORDER, BORDER : BORDER + w]
        out = d_plane[y + BORDER, BORDER : BORDER + w]
        for x in range(w):
            out[x] += g[x]
        for j in range(1, len(taps) + 1):
            t = taps[j - 1]
            n = max(w - j, 0)
            left, right, g_right, out_right = row[:n], row[j:], g[j:], out[j:]
            total = _ZERO
            for x in range(n):
                total += g_right[x] * left[x] + g[x] * right[x]
                out[x] += t * g_right[x]
            for x in range(n):
                out_right[x] += t * g[x]
            for x in range(min(j, w)):
                total += g[x] * row[0]
                out[0] += t * g[x]
            for x in range(n, w):
                total += g[x] * row[w - 1]
                out[w - 1] += t * g[x]
            d_taps[j - 1] += total
