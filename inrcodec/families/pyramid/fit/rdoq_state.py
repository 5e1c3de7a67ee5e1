"""State of RDOQ: integer latents, the picture's error and the latents' bits, kept up to date."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inrcodec.families.pyramid.context_coder import Fixed, fixed_point, tables_of
from inrcodec.families.pyramid.fit.footprint import footprint, without_small_weights
from inrcodec.families.pyramid.fit.problem import Array, PyramidProblem
from inrcodec.families.pyramid.kernels.output_filter import filter_rows
from inrcodec.families.pyramid.kernels.rdoq import (
    CodedPlane,
    CodedPlanes,
    Picture,
    Search,
    Synthesis,
    measure_rows,
    rdoq_rows,
)


@dataclass(frozen=True, eq=False)
class Moves:
    """Moves that a pass tries; arrays are shaped as `PyramidProblem.y`.

    Attributes:
        wanted: a latent moves by 1 towards this number, or towards 0.
        tried: booleans; other latents stay.
        far_off: a latent nearer than this to `wanted` does not move towards it.
        saving: bits that a move may save other latents at most; one that needs more is rejected.
    """

    wanted: Array
    tried: NDArray[np.bool_]
    far_off: float
    saving: float


class RdoqState:
    """Latents of a problem as integers, and what moves of single latents change.

    Only planes of the last set move: planes before it are also shown without it.

    Attributes:
        q: all latents in one array, as `PyramidProblem.y`.
        largest: (planes,), magnitude of each plane's largest latent at the start. Latents do not
            grow beyond it, since the range of a plane's symbols depends on it.
    """

    def __init__(self, problem: PyramidProblem, judged_share: float) -> None:
        """Round the latents of `problem`, whose networks are quantized.

        `judged_share`: see `RdoqSettings`.
        """
        problem.load()
        planes, architecture = problem.planes, problem.architecture
        self._problem = problem
        self.q: Array = np.floor(problem.y + np.float32(0.5))
        matrices = [m.numpy() for m in problem.pranc.matrices(problem.alphas)]
        exact = [m.astype(float) for m in matrices[architecture.synthesis_blocks :]]
        self._network: tuple[Fixed, ...] = fixed_point(exact)
        self.largest = np.array([np.abs(plane.inner(self.q)).max() for plane in planes], np.int64)
        self._coded = [
            CodedPlane(
                tables_of(plane, planes, self.q),
                int(largest),
                np.zeros(plane.shape),
            )
            for plane, largest in zip(planes, self.largest, strict=True)
        ]
        first = len(planes) - architecture.sets[-1]
        self.movable = range(first, len(planes))
        self._planes = {k: self._coded_planes(k) for k in self.movable}
        self._touched = [
            footprint(plane, rows, columns, taps)
            for plane, rows, columns, taps in zip(
                planes, problem.rows, problem.columns, problem.plane_taps(), strict=True
            )
        ]
        # Without plane filters all pixels are judged: they are few.
        share = judged_share if architecture.taps else 0.0
        self._judged = [without_small_weights(touched, share) for touched in self._touched]
        self._synthesis, self._picture = _synthesize(problem, self.q, matrices)
        problem.run(self._measure)

    @property
    def error(self) -> float:
        """Mean squared error of samples in [-1, 1]."""
        return float(np.mean(np.square(self._picture.error), dtype=np.float64))

    @property
    def bits(self) -> float:
        """Bits of all latents."""
        return float(sum(coded.bits.sum() for coded in self._coded))

    def row_bits(self, k: int, first: int, last: int) -> float:
        """Bits of rows `first` to `last` of plane k."""
        return float(self._coded[k].bits[first:last].sum())

    def measure(self) -> None:
        """Count the bits of all latents anew."""
        self._problem.run(self._measure)

    def improve(self, k: int, moves: Moves, lam: float, first: int, last: int) -> None:
        """Make moves in rows `first` to `last` of plane k that lower error + λ · bits per pixel.

        `lam` is λ. Threads may call it at the same time for rows far enough apart, see `RdoqBands`.
        """
        plane = self._problem.planes[k]
        search = Search(
            plane.view(moves.wanted),
            plane.view(moves.tried),
            moves.far_off,
            lam * self._picture.error.size / self._problem.pixels,
            moves.saving,
            self._touched[k],
            self._judged[k],
        )
        rdoq_rows(k, self._planes[k], self._picture, self._synthesis, search, first, last)

    def _measure(self, index: int) -> None:
        for coded, plane in zip(self._coded, self._problem.planes, strict=True):
            if coded.largest:
                first, last = self._problem.band(plane.shape[0], index)
                measure_rows(coded, self._network, first, last)

    def _coded_planes(self, k: int) -> CodedPlanes:
        """Plane k and the planes that have it as near or far plane: in the last set one at most."""
        planes, own = self._problem.planes, self._coded[k]
        nothing = own._replace(largest=0)
        coded = list(zip(self._coded, planes, strict=True))
        near = next((c for c, plane in coded if plane.near.plane == k), nothing)
        far = next((c for c, plane in coded if plane.far.plane == k), nothing)
        return CodedPlanes(own, near, far, self._network)


def _synthesize(
    problem: PyramidProblem, q: Array, matrices: Sequence[Array]
) -> tuple[Synthesis, Picture]:
    """The networks that show latents `q`, and the picture that they show now."""
    mixed = problem.architecture.mixed_blocks
    *hidden, linear = matrices[:mixed]
    first, second = [*hidden, np.zeros((0, len(hidden[0]) + 1), np.float32)][:2]
    taps = matrices[mixed] if problem.architecture.filtered else np.zeros((0, 1), np.float32)
    synthesis = Synthesis(
        w1=first[:, :-1].T.copy(),
        b1=first[:, -1].copy(),
        w2=second[:, :-1].T.copy(),
        b2=second[:, -1].copy(),
        w3=np.ascontiguousarray(linear[:, :-1]),
        output_taps=np.ascontiguousarray(taps[:, :-1]),
    )
    z = np.ascontiguousarray(problem.features(q, np.arange(problem.pixels)).T)
    z = z.reshape(problem.height, problem.width, -1)
    shown: Array = np.empty((problem.height, problem.width, len(linear)), np.float32)
    for row, out in zip(z, shown, strict=True):
        for matrix in hidden:
            row = np.sin(row @ matrix[:, :-1].T + matrix[:, -1])
        out[:] = row @ linear[:, :-1].T + linear[:, -1]
    if len(taps):
        shown = _filtered(shown, taps)
    return synthesis, Picture(z, shown - problem.target.transpose(1, 2, 0))


def _filtered(shown: Array, matrix: Array) -> Array:
    """A picture (H, W, C) after the output filter with a matrix (C, 9 C + 1)."""
    plain = np.pad(shown.transpose(2, 0, 1), ((0, 0), (0, 0), (1, 1)), mode="edge")
    out = np.empty(plain[:, :, 2:].shape, np.float32)
    weight, bias = np.ascontiguousarray(matrix[:, :-1]), matrix[:, -1].copy()
    filter_rows(plain, weight, bias, out, 0, len(shown))
    return np.ascontiguousarray(out.transpose(1, 2, 0))
