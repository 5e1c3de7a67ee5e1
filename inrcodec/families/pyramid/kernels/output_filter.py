"""Output filter of a pyramid, its error and its gradients (Numba, float32).

`y = x + W * x + b`: a 3x3 convolution over all channels with a residual path, as in COOL-CHIC
(Ladune et al. 2023; Leguay et al. 2023). Beyond its edges the picture repeats its outermost pixels.
The definition is `inrcodec.kernels.reference.filter_output`.

Pictures x are (C, H, W + 2), with an extra column at either side. A weight w is at least
(C, 9 C): row c holds, for output channel c, the taps of each input channel row by row. Gradients
have the shape of what they belong to.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from inrcodec.kernels.compile import compiled

_U = np.uint64
_ZERO, _TWO = np.float32(0), np.float32(2)


@compiled
def spread_rows(x: Any, first: int, last: int) -> None:
    """Copy the outermost pixels of rows `first` to `last` into the extra columns of x."""
    for c in range(x.shape[0]):
        for y in range(first, last):
            row = x[c, y]
            row[0], row[-1] = row[1], row[-2]


@compiled
def _filtered_row(x: Any, w: Any, b: Any, c: int, y: int, out: Any) -> None:
    """Write row y of output channel c to `out` (W,)."""
    n, height = len(out), x.shape[1]
    own = x[c, y, 1 : 1 + n]
    for p in range(n):
        out[p] = own[p] + b[c]
    for k in range(x.shape[0]):
        for t in range(3):
            row = x[k, min(max(y + t - 1, 0), height - 1)]
            r0, r1, r2 = row[:n], row[1 : n + 1], row[2 : n + 2]
            j = 9 * k + 3 * t
            w0, w1, w2 = w[c, j], w[c, j + 1], w[c, j + 2]
            for p in range(n):
                out[p] += w0 * r0[p] + w1 * r1[p] + w2 * r2[p]


@compiled
def filter_places(x: Any, w: Any, b: Any, rows: Any, cols: Any, out: Any) -> None:
    """Write the filtered channels at selected places, `out` (C, N, M).

    Output row i reads the rows `rows[i]` (N, 3) of x (C, H, W; no extra columns): above, own and
    below. Output column j reads the columns `cols[j]` (M, 3).
    """
    for c in range(out.shape[0]):
        for i in range(out.shape[1]):
            line, own = out[c, i], x[c, rows[i, 1]]
            for j in range(len(line)):
                line[j] = own[_U(cols[j, 1])] + b[c]
            for k in range(out.shape[0]):
                for t in range(3):
                    row, tap = x[k, rows[i, t]], 9 * k + 3 * t
                    w0, w1, w2 = w[c, tap], w[c, tap + 1], w[c, tap + 2]
                    for j in range(len(line)):
                        line[j] += (
                            w0 * row[_U(cols[j, 0])]
                            + w1 * row[_U(cols[j, 1])]
                            + w2 * row[_U(cols[j, 2])]
                        )


@compiled
def filter_rows(x: Any, w: Any, b: Any, out: Any, first: int, last: int) -> None:
    """Write rows `first` to `last` of y to `out` (C, H, W)."""
    for c in range(x.shape[0]):
        for y in range(first, last):
            _filtered_row(x, w, b, c, y, out[c, y])


@compiled
def filter_error(
    x: Any, w: Any, b: Any, target: Any, weight: Any, error: Any, first: int, last: int
) -> Any:
    """Sum of squared errors of rows `first` to `last` against `target` (C, H, W).

    Writes the gradient by y of `weight` times the sum to `error`, with zeros in the extra columns.
    """
    n = target.shape[2]
    out = np.empty(n, np.float32)
    total: Any = 0.0
    for c in range(x.shape[0]):
        for y in range(first, last):
            _filtered_row(x, w, b, c, y, out)
            wanted, gradient = target[c, y], error[c, y]
            squares: Any = _ZERO
            inner = gradient[1 : 1 + n]
            for p in range(n):
                difference = out[p] - wanted[p]
                squares += difference * difference
                inner[p] = _TWO * weight * difference
            gradient[0], gradient[-1] = _ZERO, _ZERO
            total += squares
    return total


@compiled
def filter_gradient(x: Any, error: Any, dw: Any, db: Any, first: int, last: int) -> None:
    """Add to `dw` and `db` the gradient by the filter, from rows `first` to `last` of that by y."""
    n, height = x.shape[2] - 2, x.shape[1]
    for c in range(x.shape[0]):
        for y in range(first, last):
            g = error[c, y, 1 : 1 + n]
            sum0 = _ZERO
            for p in range(n):
                sum0 += g[p]
            db[c] += sum0
            for k in range(x.shape[0]):
                for t in range(3):
                    row = x[k, min(max(y + t - 1, 0), height - 1)]
                    r0, r1, r2 = row[:n], row[1 : n + 1], row[2 : n + 2]
                    d0 = d1 = d2 = _ZERO
                    for p in range(n):
                        d0 += g[p] * r0[p]
                        d1 += g[p] * r1[p]
                        d2 += g[p] * r2[p]
                    j = 9 * k + 3 * t
                    dw[c, j] += d0
                    dw[c, j + 1] += d1
                    dw[c, j + 2] += d2


@compiled
def _spread_row(error: Any, y: int, w: Any, k: int, t: int, row: Any) -> None:
    """Add to `row` of input channel k what row t of the taps takes there from row y of `error`."""
    n = len(row) - 2
    j = 9 * k + 3 * t
    for c in range(error.shape[0]):
        inner = error[c, y, 1 : 1 + n]
        for i in range(3):
            part, tap = row[i : i + n], w[c, j + i]
            for p in range(n):
                part[p] += tap * inner[p]


@compiled
def filter_rows_back(error: Any, w: Any, dx: Any, first: int, last: int) -> None:
    """Write rows `first` to `last` of the gradient by x, `dx`, from that by y, `error`."""
    channels, height, wide = error.shape
    row = np.empty(wide, np.float32)
    for k in range(channels):
        for y in range(first, last):
            # Not `row[:] = error[k, y]`, whose error message takes seconds to compile.
            for x in range(wide):
                row[x] = error[k, y, x]
            for t in range(3):
                source = y + 1 - t
                if 0 <= source < height:
                    _spread_row(error, source, w, k, t, row)
            # The first and the last row are also the rows beyond the edge.
            if y == 0:
                _spread_row(error, y, w, k, 0, row)
            if y == height - 1:
                _spread_row(error, y, w, k, 2, row)
            row[1] += row[0]
            row[-2] += row[-1]
            for x in range(wide):
                dx[k, y, x] = row[x]
