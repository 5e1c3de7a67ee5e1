"""The mean squared error of the synthesis, differentiable, in PyTorch or by Triton's kernels."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inrcodec.families.pyramid.fit.device.gathering import Gathering
from inrcodec.families.pyramid.fit.geometry import Array, Geometry, plane_filter_block
from inrcodec.families.pyramid.latents import BORDER, Indices, around
from inrcodec.families.pyramid.shape import Pyramid


class DeviceSynthesis:
    """Filters and interpolation of planes, sine layers and output filter, beside the samples."""

    def __init__(
        self,
        target: Array,
        architecture: Pyramid,
        geometry: Geometry,
        kernels: ModuleType | None,
        device: torch.device,
    ) -> None:
        """Lay out the tables for samples `target` (C, H, W)."""
        self._architecture, self._kernels = architecture, kernels
        self._target = torch.from_numpy(target).to(device).flatten(1)
        moves = architecture.taps + 1
        self._up = [
            (
                Interpolation(rows, row_taps * np.float32(2.0**-plane.level), h, moves, device),
                Interpolation(cols - BORDER, col_taps, w, moves, device),
            )
            for plane, (rows, row_taps), (cols, col_taps) in zip(
                geometry.planes, geometry.rows, geometry.columns, strict=True
            )
            for h, w in [plane.shape]
        ]
        self._around: Gathering | None = None
        if architecture.filtered:
            places = torch.from_numpy(_filter_places(geometry)).to(device)
            self._around = Gathering(places, [geometry.width * geometry.height])

    def error(self, matrices: Sequence[Tensor], planes: Sequence[Tensor]) -> Tensor:
        """Mean squared error of the picture that networks make of planes (h, w)."""
        output = self.unfiltered(matrices, planes)
        if self._around is not None:
            taps = matrices[self._architecture.mixed_blocks]
            output = output + affine(taps, self._around(output).flatten(0, 1))
        return (output - self._target).square().mean()

    def unfiltered(self, matrices: Sequence[Tensor], planes: Sequence[Tensor]) -> Tensor:
        """The picture (C, H · W) without the output filter."""
        one = matrices[0].new_ones(len(planes), 1)
        index = plane_filter_block(self._architecture)
        taps = one if index is None else torch.cat([one, matrices[index]], dim=1)
        z = torch.stack(
            [
                (rows(own) @ plane @ cols(own).T).flatten()
                for plane, own, (rows, cols) in zip(planes, taps, self._up, strict=True)
            ]
        )
        *hidden, last = matrices[: self._architecture.mixed_blocks]
        if self._kernels:
            shape = (self._architecture.width, self._architecture.second, len(last))
            theta = torch.cat([matrix.flatten() for matrix in (*hidden, last)])
            picture: Tensor = _Sines.apply(z, theta, shape, self._kernels)  # type: ignore[no-untyped-call]
            return picture
        for matrix in hidden:
            z = torch.sin(affine(matrix, z))
        return affine(last, z)


class Interpolation:
    """Filter and interpolation along one axis of a plane, as a matrix (N, count) for given taps."""

    def __init__(
        self, indices: Indices, taps: Array, count: int, moves: int, device: torch.device
    ) -> None:
        """Row n of the matrix without a filter has `taps` n at the samples `indices` n, of `count`.

        Beside it are the matrices of a plane that is moved by j to both sides, for j < `moves`.
        """
        matrices = np.zeros((len(indices), count, moves), np.float32)
        rows = np.arange(len(indices))[:, None]
        for j in range(moves):
            for move in {-j, j}:
                places = np.clip(indices + move, 0, count - 1)
                np.add.at(matrices[:, :, j], (rows, places), taps)
        there = torch.from_numpy(matrices).to(device)
        self._shape, self._flat = there.shape[:2], there.flatten(0, 1)

    def __call__(self, weights: Tensor) -> Tensor:
        """The sum (N, count) of all moves with `weights` (moves,): 1 and the filter's taps."""
        if len(weights) == 1:
            return self._flat.view(self._shape)
        return torch.mv(self._flat, weights).view(self._shape)


def affine(matrix: Tensor, x: Tensor) -> Tensor:
    """Weight, and bias in the last column, applied to (inputs, N)."""
    return torch.addmm(matrix[:, -1:], matrix[:, :-1], x)


def _filter_places(geometry: Geometry) -> NDArray[np.int32]:
    """(9, H · W): the pixels that the output filter sees at each, in the order of its columns."""
    rows, cols = (around(np.arange(float(n)), n)[1] for n in (geometry.height, geometry.width))
    places = rows.T[:, None, :, None] * geometry.width + cols.T[None, :, None, :]
    flat: NDArray[np.int32] = places.reshape(9, -1).astype(np.int32)
    return flat


class _Sines(torch.autograd.Function):
    """The sine layers and the linear one, by fused kernels."""

    @staticmethod
    def forward(
        ctx: Any, z: Tensor, theta: Tensor, shape: tuple[int, int, int], kernels: ModuleType
    ) -> Tensor:
        ctx.save_for_backward(z, theta)
        ctx.shape, ctx.kernels = shape, kernels
        picture: Tensor = kernels.sines(z, theta, *shape)
        return picture

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        by_z, by_theta = ctx.kernels.sines_back(*ctx.saved_tensors, *ctx.shape[:2], gradients[0])
        return by_z, by_theta, None, None
