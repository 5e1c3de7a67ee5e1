"""A pyramid's loss and gradients on another device, in plain PyTorch.

The same as the fused kernels of the CPU compute, for GPUs: interpolation and the places of the
context are products with matrices, which are deterministic where sums by index are not. Latents,
coefficients and their optimizers stay where they were; a step moves 4 bytes a latent and back.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import conv2d, linear, pad

from inrcodec.container.header import Header
from inrcodec.fit.pyramid import Array, Prefix, PyramidProblem
from inrcodec.inr.architecture import NEIGHBOURS
from inrcodec.inr.latents import BORDER, Parents
from inrcodec.kernels.context import FLOOR, SCALE_LEAST, SCALE_MOST


class DeviceProblem(PyramidProblem):
    """A `PyramidProblem` whose loss is computed on a device of PyTorch."""

    def __init__(self, target: Array, header: Header, device: str) -> None:
        """As for the class above; `device` is, for instance, "cuda"."""
        super().__init__(target, header)
        self._device = device
        self._wanted = torch.from_numpy(target).to(device).flatten(1)
        self._up = [
            (
                self._selection(*rows, plane.shape[0]) * 2.0**-plane.level,
                self._selection(cols - BORDER, taps, plane.shape[1]).T.contiguous(),
            )
            for plane, rows, (cols, taps) in zip(self.planes, self.rows, self.columns, strict=True)
        ]
        self._near = [self._places(plane.near, ((0, 0), (0, 1), (1, 0))) for plane in self.planes]
        self._far_places = [self._places(plane.far, ((0, 0),)) for plane in self.planes]

    def like(self, target: Array, header: Header) -> PyramidProblem:
        """Another problem on the same device."""
        return DeviceProblem(target, header, self._device)

    def loss(
        self, weight: float, temperature: float, seed: int = 0, differentiate: bool = False
    ) -> tuple[float, float]:
        """As of the class above."""
        self.load()
        self.run(lambda i: self._prepare(i, temperature, seed, differentiate))
        with torch.set_grad_enabled(differentiate):
            planes = self._latents()
            matrices = [matrix.requires_grad_(differentiate) for matrix in self._matrices()]
            error, bits = self._error(matrices, planes), self._bits(matrices, planes)
            if differentiate:
                price = torch.from_numpy(self.price).to(bits)
                total = error + weight / self.pixels * (price * bits).sum()
                total.backward()  # type: ignore[no-untyped-call]
                for prefix in self.prefixes:
                    own = self._error_of_prefix(matrices, planes, prefix)
                    prefix.error = own.item()
                    (prefix.weight * own).backward()  # type: ignore[no-untyped-call]
                self._gather(matrices, planes)
        return error.item(), bits.sum().item()

    @torch.no_grad()
    def bits(self) -> float:
        """As of the class above."""
        return float(self._bits(self._matrices(), self._latents()).sum())

    @torch.no_grad()
    def distortion(self) -> float:
        """As of the class above."""
        matrices, planes = self._matrices(), self._latents()
        total = self._error(matrices, planes)
        for prefix in self.prefixes:
            total += prefix.weight * self._error_of_prefix(matrices, planes, prefix)
        return float(total)

    @torch.no_grad()
    def unfiltered(self) -> Array:
        """As of the class above."""
        plain: Array = self._plain_output(self._matrices(), self._latents()).cpu().numpy()
        return plain.reshape(-1, self.height, self.width)

    def _latents(self) -> list[Tensor]:
        """The planes of `q`, without their borders, each a leaf."""
        whole = torch.from_numpy(self.q).to(self._device)
        planes = []
        for plane in self.planes:
            padded = whole[plane.start : plane.stop].view(plane.padded)
            planes.append(padded[BORDER:, BORDER:-BORDER].clone().requires_grad_())
        return planes

    def _matrices(self) -> list[Tensor]:
        own = self.pranc.matrices([alpha.detach() for alpha in self.alphas])
        return [matrix.detach().to(self._device, copy=True) for matrix in own]

    def _plain_output(self, matrices: Sequence[Tensor], planes: Sequence[Tensor]) -> Tensor:
        """What the sines give (C, pixels)."""
        if self.plane_filters is not None:
            filters = matrices[self.plane_filters]
            planes = [_smooth(plane, taps) for plane, taps in zip(planes, filters, strict=True)]
        features = [
            (rows @ plane @ cols).flatten()
            for plane, (rows, cols) in zip(planes, self._up, strict=True)
        ]
        h = torch.stack(features, dim=-1)
        *hidden, last = matrices[: self.architecture.mixed_blocks]
        for matrix in hidden:
            h = torch.sin(linear(h, matrix[:, :-1], matrix[:, -1]))
        return linear(h, last[:, :-1], last[:, -1]).T

    def _error(self, matrices: Sequence[Tensor], planes: Sequence[Tensor]) -> Tensor:
        output = self._plain_output(matrices, planes)
        if self.architecture.filtered:
            matrix = matrices[self.architecture.mixed_blocks]
            picture = output.view(1, -1, self.height, self.width)
            taps = matrix[:, :-1].view(len(output), len(output), 3, 3)
            beside = pad(picture, (1, 1, 1, 1), mode="replicate")
            output = output + conv2d(beside, taps, matrix[:, -1]).flatten(2)[0]
        return (output - self._wanted).square().mean()

    def _error_of_prefix(
        self, matrices: Sequence[Tensor], planes: Sequence[Tensor], prefix: Prefix
    ) -> Tensor:
        later = [torch.zeros_like(plane) for plane in planes[prefix.planes :]]
        return self._error(matrices, [*planes[: prefix.planes], *later])

    def _bits(self, matrices: Sequence[Tensor], planes: Sequence[Tensor]) -> Tensor:
        """Of each plane (planes,); `plane_bits` has them, too."""
        inputs = [self._context_inputs(k, planes) for k in range(len(planes))]
        h = torch.cat(inputs, dim=1).T
        for matrix in matrices[-3:-1]:
            h = torch.relu(linear(h, matrix[:, :-1], matrix[:, -1]))
        centre, scale = linear(h, matrices[-1][:, :-1], matrices[-1][:, -1]).unbind(-1)
        values = [plane.flatten() for plane in planes]
        parts = _laplace_bits(torch.cat(values), centre, scale).split([len(v) for v in values])
        bits = torch.stack([part.sum() for part in parts])
        self._threads[0].bits[:] = bits.detach().cpu().numpy()
        return bits

    def _context_inputs(self, k: int, planes: Sequence[Tensor]) -> Tensor:
        """(inputs, N) for plane k; see `kernels.context`."""
        plane, values = self.planes[k], planes[k]
        height, width = plane.shape
        padded = pad(values, (BORDER, BORDER, BORDER, 0))
        inputs = []
        for dy, dx in NEIGHBOURS[: self.architecture.neighbours]:
            top, left = BORDER + dy, BORDER + dx
            inputs.append(padded[top : top + height, left : left + width])
        for parents, places, count in (
            (plane.near, self._near[k], 3),
            (plane.far, self._far_places[k], 1),
        ):
            if parents.plane is None:
                inputs += [torch.zeros_like(values)] * count
            else:
                inputs += [rows @ planes[parents.plane] @ cols for rows, cols in places]
        inputs += [torch.full_like(values, float(c)) for c in (plane.level, plane.later)]
        return torch.stack(inputs).flatten(1)

    def _places(
        self, parents: Parents, places: Sequence[tuple[int, int]]
    ) -> list[tuple[Tensor, Tensor]]:
        """Matrices that select the rows and the columns of another plane."""
        if parents.plane is None:
            return []
        height, width = self.planes[parents.plane].shape
        one = np.ones((1, 1), np.float32)
        return [
            (
                self._selection(parents.rows[:, [i]] - BORDER, one, height),
                self._selection(parents.cols[:, [j]] - BORDER, one, width).T.contiguous(),
            )
            for i, j in places
        ]

    def _selection(self, indices: NDArray[np.int64], weights: Array, count: int) -> Tensor:
        """The matrix (N, count) of which row n has `weights` n at `indices` n, added up."""
        matrix = np.zeros((len(indices), count), np.float32)
        np.add.at(matrix, (np.arange(len(indices))[:, None], indices), weights)
        return torch.from_numpy(matrix).to(self._device)

    def _gather(self, matrices: Sequence[Tensor], planes: Sequence[Tensor]) -> None:
        """Put the gradients where `descend` and the networks' optimizer look for them."""
        for plane, values in zip(self.planes, planes, strict=True):
            assert values.grad is not None
            plane.inner(self._threads[0].latents)[:] = values.grad.cpu().numpy()
        for k, matrix in enumerate(matrices):
            assert matrix.grad is not None
            self.project(k, matrix.grad.cpu())


def _smooth(plane: Tensor, taps: Tensor) -> Tensor:
    """As `kernels.smoothing.smoothed`, of sums alone: these are deterministic, and in float32."""
    n = len(taps)
    for _ in range(2):
        first, last = (row[None].expand(n, -1) for row in (plane[0], plane[-1]))
        padded, h = torch.cat([first, plane, last]), len(plane)
        for j, tap in enumerate(taps, 1):
            plane = plane + tap * (padded[n - j : n - j + h] + padded[n + j : n + j + h])
        plane = plane.T
    return plane


def _laplace_bits(values: Tensor, centre: Tensor, scale: Tensor) -> Tensor:
    """Bits (N,) of intervals of width 1 around the values, in the form that float32 needs."""
    per_s = torch.exp2(-scale.clamp(float(SCALE_LEAST), float(SCALE_MOST)))
    d = (values - centre).abs()
    e1, e2 = torch.exp(-(d - 0.5).abs() * per_s), torch.exp(-(d + 0.5) * per_s)
    probability = torch.where(d > 0.5, 0.5 * (e1 - e2), 1 - 0.5 * (e1 + e2))
    return -torch.log2(probability + float(FLOOR))
