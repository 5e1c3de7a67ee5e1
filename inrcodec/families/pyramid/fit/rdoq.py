"""Rate-distortion optimized rounding of a pyramid's latents, at the end of its training."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from inrcodec.families.pyramid.context_coder import Fixed, fixed_point, tables_of
from inrcodec.families.pyramid.fit.problem import Array, PyramidProblem
from inrcodec.families.pyramid.kernels.output_filter import filter_rows
from inrcodec.families.pyramid.kernels.rdoq import REACH, descend_rows, measure_rows
from inrcodec.families.pyramid.latents import BORDER

LIMIT_LEVEL = 3
"""Coarser planes have few latents, of which each touches much of the picture."""

FAR_OFF = 0.3
"""A latent that was further from its integer than this may go to the other one beside it."""

SAVING = 4.0
"""More than a latent's neighbours often save when it moves: with 8 a pass takes a fourth longer
for 0.01 dB at most."""

JUDGED_SHARE = 0.1
"""Of the largest share that a filtered latent has in a row or column of the picture: beyond the
last ones above that on either side, a move is carried out but not judged. With 0.2 guided passes
gain 0.01 to 0.04 dB less, in three quarters of the time (kodim15 at 0.3, kodim04 at 0.6)."""

TRIED = (0.1, 0.25, 0.5)
"""Share of the latents of planes of level 0, 1 and more that a guided pass tries: of those that it
would move in a pass over all, the 85 to 95 % with the largest gradients (kodim15 and kodim04)."""

PARTS = 32
"""Of a pass that is led to a number of bits."""

LED, MOST_LED, LED_AWAY = 6.0, 0.4, 2.5
"""The logarithm of λ follows a part's change of bits, as a share, by this, and so much at most; and
that is the most that it is led away from where it began."""


class Descent:
    """A pyramid's latents as integers `q`, to be improved one after the other.

    Attributes:
        q: all latents in one array, as `PyramidProblem.y`.
    """

    def __init__(self, problem: PyramidProblem, saving: float = SAVING) -> None:
        """Round the latents of `problem`, whose networks are quantized.

        Of several sets of planes only those of the last one move: what the others show alone stays.

        `saving` is how many bits a move is thought to spare others at most: what would need more is
        not tried to the end.
        """
        self._saving = saving
        problem.load()
        self._problem, planes = problem, problem.planes
        self.q: Array = np.floor(problem.y + np.float32(0.5))
        self._wanted: Array = problem.y.copy()
        self._tried = np.ones(len(self.q), np.bool_)
        matrices = [m.numpy() for m in problem.pranc.matrices(problem.alphas)]
        mixed, blocks = problem.architecture.mixed_blocks, problem.architecture.synthesis_blocks
        *hidden, linear = matrices[:mixed]
        layers = [*hidden, np.zeros((0, len(hidden[0]) + 1), np.float32)][:2]
        taps = matrices[mixed] if problem.architecture.filtered else np.zeros((0, 1), np.float32)
        self._theta = (
            *(a.copy() for layer in layers for a in (layer[:, :-1].T, layer[:, -1])),
            np.ascontiguousarray(linear[:, :-1]),
            np.ascontiguousarray(taps[:, :-1]),
        )
        self._network: tuple[Fixed, ...] = fixed_point([m.astype(float) for m in matrices[blocks:]])
        self._tables = [tables_of(plane, planes, self.q) for plane in planes]
        self._first = len(planes) - problem.architecture.sets[-1]
        # No plane of the last set is the near one, or the far one, of two others.
        self._children = {
            k: [
                next((j for j, plane in enumerate(planes) if getattr(plane, role).plane == k), None)
                for role in ("near", "far")
            ]
            for k in range(self._first, len(planes))
        }
        self._most = np.array([np.abs(plane.inner(self.q)).max() for plane in planes], np.int64)
        self._moving = [
            k
            for k in range(self._first, len(planes))
            if planes[k].level <= LIMIT_LEVEL and self._most[k]
        ]
        self._reach = REACH + problem.architecture.taps
        # So high that neither they nor the rows between two of them touch the same.
        self._bands = [
            max(1, min(problem.threads, plane.shape[0] // (4 * self._reach))) for plane in planes
        ]
        self._touched = [
            (
                *_touched(rows, taps * np.float32(2.0**-plane.level), plane.shape[0], own),
                *_touched(cols - BORDER, col_taps, plane.shape[1], own),
            )
            for plane, (rows, taps), (cols, col_taps), own in zip(
                planes, problem.rows, problem.columns, problem.plane_taps(), strict=True
            )
        ]
        # Without filters all counts: there is little of it.
        share = JUDGED_SHARE if problem.architecture.taps else 0.0
        self._judged = [
            (*_trimmed(*touched[:2], share), *_trimmed(*touched[2:], share))
            for touched in self._touched
        ]
        self._z = np.ascontiguousarray(
            problem.features(self.q, np.arange(problem.pixels)).T
        ).reshape(problem.height, problem.width, -1)
        shown: Array = np.empty((problem.height, problem.width, len(linear)), np.float32)
        for row, out in zip(self._z, shown, strict=True):
            for matrix in hidden:
                row = np.sin(row @ matrix[:, :-1].T + matrix[:, -1])
            out[:] = row @ linear[:, :-1].T + linear[:, -1]
        if len(taps):
            shown = filtered(shown, taps)
        self._error: Array = shown - problem.target.transpose(1, 2, 0)
        self._bits = [np.zeros(plane.shape) for plane in planes]
        problem.run(self._measure)

    @property
    def error(self) -> float:
        """Mean squared error, of samples in [-1, 1]."""
        return float(np.mean(np.square(self._error), dtype=np.float64))

    @property
    def bits(self) -> float:
        """What the latents cost."""
        return float(sum(bits.sum() for bits in self._bits))

    def run(self, weight: float) -> None:
        """One pass over the planes, from coarse to fine; `weight` is λ, per bit a pixel."""
        self._run_edges(weight)
        self._run_part(weight, 0, 1)

    def guide(self, weight: float) -> None:
        """Let passes try latents against the gradient of error and rate at where all are now, those
        with the largest, and no longer towards what they were trained to be; `weight` is λ."""
        problem = self._problem
        trained = problem.y.copy()
        problem.y[:] = self.q
        problem.loss(weight, 0, differentiate=True)
        problem.y[:] = trained
        gradient = problem.latent_gradient()
        self._wanted = self.q - np.sign(gradient)
        for k in self._moving:
            plane = problem.planes[k]
            size = np.abs(plane.inner(gradient))
            share = TRIED[min(plane.level, len(TRIED) - 1)]
            plane.inner(self._tried)[:] = size > np.quantile(size, 1 - share)

    def lead(self, weight: float, wanted: float) -> float:
        """One pass that ends near `wanted` bits; λ, first `weight`, is led there part by part.

        Returns the last λ.
        """
        self._run_edges(weight)
        low, high = weight * math.exp(-LED_AWAY), weight * math.exp(LED_AWAY)
        before = [self._part_bits(part) for part in range(PARTS)]
        for part, own in enumerate(before):
            bits = self.bits
            self._run_part(weight, part, PARTS)
            left = sum(before[part + 1 :])
            if own and left:
                # By what share the part's bits changed, and by which those of the rest should.
                change, needed = (self.bits - bits) / own, (wanted - self.bits) / left
                weight *= math.exp(min(MOST_LED, max(-MOST_LED, LED * (change - needed))))
                weight = min(high, max(low, weight))
        return weight

    def _part_bits(self, part: int) -> float:
        return sum(
            float(self._bits[k][slice(*self._band(k, index, part, PARTS))].sum())
            for k in self._moving
            for index in range(self._bands[k])
        )

    def _run_part(self, weight: float, part: int, parts: int) -> None:
        """A part of each band's rows, plane by plane."""
        for k in self._moving:
            self._run_plane(k, self._cost(weight), part, parts)

    def _run_plane(self, k: int, cost: float, part: int, parts: int) -> None:
        self._problem.run(lambda index: self._descend(k, cost, *self._band(k, index, part, parts)))

    def _run_edges(self, weight: float) -> None:
        """The rows between two bands."""
        for k in self._moving:
            self._run_edges_of(k, self._cost(weight))

    def _run_edges_of(self, k: int, cost: float) -> None:
        def run(index: int) -> None:
            if 0 < index < self._bands[k]:
                edge, _ = self._whole_band(k, index)
                self._descend(k, cost, edge - self._reach, edge + self._reach)

        self._problem.run(run)

    def _whole_band(self, k: int, index: int) -> tuple[int, int]:
        """With the rows that are left to the edges."""
        return self._problem.band(self._problem.planes[k].shape[0], index, self._bands[k])

    def _cost(self, weight: float) -> float:
        """Of a bit, in squared errors."""
        return weight * self._error.size / self._problem.pixels

    def _band(self, k: int, index: int, part: int, parts: int) -> tuple[int, int]:
        """A part of a band's rows of plane k, which a thread goes over. Threads stay apart, so that
        nothing depends on their order."""
        if index >= self._bands[k]:
            return 0, 0
        first, last = self._whole_band(k, index)
        first += self._reach * (index > 0)
        last -= self._reach * (index + 1 < self._bands[k])
        start, stop = (first + max(0, last - first) * n // parts for n in (part, part + 1))
        return start, stop

    def _measure(self, index: int) -> None:
        for k, plane in enumerate(self._problem.planes):
            if self._most[k]:
                first, last = self._problem.band(plane.shape[0], index)
                most = int(self._most[k])
                measure_rows(self._tables[k], self._network, most, self._bits[k], first, last)

    def _descend(self, k: int, cost: float, first: int, last: int) -> None:
        # The plane stands in for those that there are not, of which none has a latent then.
        places = [k, *(k if child is None else child for child in self._children[k])]
        most = self._most[places]
        most[1:] *= [child is not None for child in self._children[k]]
        own, near, far = places
        descend_rows(
            (self._tables[own], self._tables[near], self._tables[far]),
            self._network,
            most,
            (self._bits[own], self._bits[near], self._bits[far]),
            self._problem.planes[k].view(self._wanted),
            self._problem.planes[k].view(self._tried),
            FAR_OFF,
            cost,
            self._saving,
            self._z,
            self._error,
            self._theta,
            k,
            *self._touched[k],
            self._judged[k],
            first,
            last,
        )


def filtered(shown: Array, matrix: Array) -> Array:
    """A picture (H, W, C) after the filter of a block's matrix."""
    plain = np.pad(shown.transpose(2, 0, 1), ((0, 0), (0, 0), (1, 1)), mode="edge")
    out = np.empty(plain[:, :, 2:].shape, np.float32)
    filter_rows(
        plain, np.ascontiguousarray(matrix[:, :-1]), matrix[:, -1].copy(), out, 0, len(shown)
    )
    return np.ascontiguousarray(out.transpose(1, 2, 0))


def _touched(
    indices: NDArray[np.int64], taps: Array, count: int, own: Array
) -> tuple[NDArray[np.int64], Array]:
    """For each of `count` samples the positions, first and last + 1, that it has a tap at, and
    those taps; from the samples and taps (N, 4) of each position, and those of a filter (n,) that
    the samples go through before."""
    n = len(own)
    kernel = np.concatenate([own[::-1], np.ones(1, np.float32), own])
    moved = indices[:, :, None] + np.arange(-n, n + 1)
    indices = np.clip(moved, 0, count - 1).reshape(len(indices), -1)
    taps = (taps[:, :, None] * kernel).reshape(len(indices), -1)
    positions = np.broadcast_to(np.arange(len(indices))[:, None], indices.shape)
    known = taps != 0
    ranges = np.stack([np.full(count, len(indices)), np.zeros(count)], axis=1).astype(np.int64)
    np.minimum.at(ranges[:, 0], indices[known], positions[known])
    np.maximum.at(ranges[:, 1], indices[known], positions[known] + 1)
    ranges[:, 0] = np.minimum(ranges[:, 0], ranges[:, 1])
    # None starts later than the next one, as it would where the nearest taps are 0.
    ranges[:, 0] = np.minimum.accumulate(ranges[::-1, 0])[::-1]
    all_taps = np.zeros((count, int((ranges[:, 1] - ranges[:, 0]).max())), np.float32)
    places = indices[known], positions[known] - ranges[indices[known], 0]
    np.add.at(all_taps, places, taps[known])
    return ranges, all_taps


def _trimmed(
    ranges: NDArray[np.int64], taps: Array, share: float
) -> tuple[NDArray[np.int64], Array]:
    """What `_touched` gave without the smallest taps at both ends, below a share of the largest."""
    size = np.abs(taps)
    counts = (size >= share * size.max(1, keepdims=True)) & (size > 0)
    first = np.where(counts.any(1), counts.argmax(1), 0)
    last = np.where(counts.any(1), taps.shape[1] - counts[:, ::-1].argmax(1), 0)
    places = first[:, None] + np.arange(max(1, int((last - first).max())))
    kept = np.take_along_axis(taps, np.minimum(places, taps.shape[1] - 1), 1)
    return np.stack([ranges[:, 0] + first, ranges[:, 0] + last], axis=1), np.ascontiguousarray(kept)
