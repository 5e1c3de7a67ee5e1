"""A pyramid's loss and gradients on another device, in PyTorch.

The same as the fused kernels of the CPU compute, for GPUs, where a step is captured once as a graph
and then replayed; its inner parts are kernels of their own where there is Triton. The latents and
their optimizer are on the device; the few coefficients and theirs stay where they were. Nothing is
added up in an order that may change: the same seed gives the same file on the same machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from inrcodec.container.head import Header
from inrcodec.families.pyramid.fit.problem import BETAS, Array, Prefix, PyramidProblem
from inrcodec.families.pyramid.kernels.rate import FLOOR, SCALE_LEAST, SCALE_MOST
from inrcodec.families.pyramid.latents import BORDER, Indices, around
from inrcodec.families.pyramid.shape import NEIGHBOURS

RUNS_BEFORE_CAPTURE = 2
"""Of a step: in the first ones libraries make what they need."""

_LOW = 0xFFFFFFFF
_M0, _M1, _M2 = 0x9E3779B1, 0x7FEB352D, 0x846CA68B
"""Of the noise, which is that of `kernels.pyramid.soft_round`."""

_ROUNDING = 5
"""Numbers that soft rounding depends on."""

LEAST_CAPABILITY = (8, 0)
"""Of a GPU that has the matrix products of `kernels.gpu`."""


def fused_kernels(device: torch.device) -> ModuleType | None:
    """The kernels for a device, or None where it must do with PyTorch's own."""
    if device.type != "cuda" or torch.cuda.get_device_capability(device) < LEAST_CAPABILITY:
        return None
    try:
        from inrcodec.families.pyramid.kernels import gpu
    except ImportError:
        return None
    return gpu


class DeviceProblem(PyramidProblem):
    """A `PyramidProblem` whose loss is computed on a device of PyTorch."""

    def __init__(self, target: Array, header: Header, device: str) -> None:
        """As for the class above; `device` is, for instance, "cuda"."""
        # Which of the two copies of the latents is newer, and of the rounded ones.
        self._edited, self._trained, self._fetched = True, False, True
        super().__init__(target, header)
        self._device = torch.device(device)
        self._wanted = self._there(target).flatten(1)
        self._places = np.flatnonzero(self._inside)
        self._here = self._there(self._places.astype(np.int32))
        self._sizes = [plane.shape[0] * plane.shape[1] for plane in self.planes]
        self._latents, self._first, self._second = torch.zeros(
            3, len(self._places), device=self._device
        )
        self._rounded, self._slopes, self._gradient = torch.zeros_like(self._latents).expand(3, -1)
        self._up = [
            (
                self._interpolations(rows, row_taps * np.float32(2.0**-plane.level), h),
                self._interpolations(cols - BORDER, col_taps, w),
            )
            for plane, (rows, row_taps), (cols, col_taps) in zip(
                self.planes, self.rows, self.columns, strict=True
            )
            for h, w in [plane.shape]
        ]
        constants = [0.0, *(float(c) for p in self.planes for c in (p.level, p.later))]
        self._constants = torch.tensor(constants, device=self._device)
        self._context = _Places(self._there(self._context_places()), self._sizes)
        self._beside = (
            _Places(self._there(self._filter_places()), [self.pixels])
            if self.architecture.filtered
            else None
        )
        self._kernels = fused_kernels(self._device)
        a = self.architecture
        if self._kernels and max(a.width, a.context) > self._kernels.LIMIT_UNITS:
            self._kernels = None
        numbers = torch.repeat_interleave(torch.arange(len(self.planes)), torch.tensor(self._sizes))
        self._plane_of = numbers.to(self._device, torch.int8)
        self._seed = torch.zeros((), dtype=torch.int64, device=self._device)
        self._given = torch.zeros(0)
        self._graph: Any = None
        self._captured: tuple[Tensor, ...] = ()
        self._bits_of_planes = np.zeros(len(self.planes))

    def like(self, target: Array, header: Header) -> PyramidProblem:
        """Another problem on the same device."""
        return DeviceProblem(target, header, str(self._device))

    @property
    def y(self) -> Array:
        """As of the class above, here to be read or written, and taken back for the next loss."""
        if self._trained:
            self._y[self._places] = self._latents.cpu().numpy()
        self._edited, self._trained = True, False
        return self._y

    @y.setter
    def y(self, value: Array) -> None:
        self._y = value

    @property
    def q(self) -> Array:
        """As of the class above, to be read."""
        if not self._fetched:
            self._q[self._places] = self._rounded.cpu().numpy()
            self._fetched = True
        return self._q

    @q.setter
    def q(self, value: Array) -> None:
        self._q = value

    def loss(
        self, weight: float, temperature: float, seed: int = 0, differentiate: bool = False
    ) -> tuple[float, float]:
        """As of the class above."""
        if self._edited:
            self._latents.copy_(torch.from_numpy(self._y[self._places]))
            self._edited = False
        self._give(weight, temperature, seed)
        self._fetched = False
        if not differentiate:
            with torch.no_grad():
                self._rounded, self._slopes = self._round(hard=temperature == 0)
                matrices, planes = self._matrices(), self._planes(self._rounded)
                _, bits = self._cost(planes, matrices)
                found = torch.cat([self._error(matrices, planes)[None], bits]).cpu()
            self._note_bits(found[1:])
            return found[0].item(), float(self._bits_of_planes.sum())
        outputs = self._step_outputs(hard=temperature == 0)
        values, self._rounded, self._slopes, self._gradient = outputs
        counts = [1, len(self.planes), len(self.prefixes)]
        error, bits, early, networks = values.cpu().split([*counts, len(values) - sum(counts)])
        self._note_bits(bits)
        for prefix, own in zip(self.prefixes, early, strict=True):
            prefix.error = own.item()
        for k, gradient in enumerate(self._blocks(networks)):
            self.project(k, gradient)
        return error.item(), float(self._bits_of_planes.sum())

    @torch.no_grad()
    def bits(self) -> float:
        """As of the class above."""
        self._give_networks()
        self._note_bits(self._cost(self._planes(self._rounded), self._matrices())[1].cpu())
        return float(self._bits_of_planes.sum())

    def plane_bits(self) -> NDArray[np.float64]:
        """As of the class above."""
        return self._bits_of_planes.copy()

    @torch.no_grad()
    def distortion(self) -> float:
        """As of the class above."""
        self._give_networks()
        matrices, planes = self._matrices(), self._planes(self._rounded)
        total = self._error(matrices, planes)
        for prefix in self.prefixes:
            total += prefix.weight * self._error(matrices, _first(planes, prefix))
        return float(total)

    @torch.no_grad()
    def unfiltered(self) -> Array:
        """As of the class above."""
        plain = self._plain_output(self._matrices(), self._planes(self._rounded))
        picture: Array = plain.cpu().numpy().reshape(-1, self.height, self.width)
        return picture

    def features(self, latents: Array, chosen: NDArray[np.int64]) -> Array:
        """As of the class above."""
        self.load()
        return super().features(latents, chosen)

    def latent_gradient(self) -> Array:
        """As of the class above."""
        total = np.zeros_like(self._q)
        total[self._places] = self._gradient.cpu().numpy()
        return total

    def descend(self, rate: float) -> None:
        """As of the class above."""
        self._step += 1
        (b1, b2), gradient = BETAS, self._gradient * self._slopes
        self._first.lerp_(gradient, 1 - b1)
        self._second.mul_(b2).addcmul_(gradient, gradient, value=1 - b2)
        scale = (self._second / (1 - b2**self._step)).sqrt_().add_(1e-12)
        self._latents.addcdiv_(self._first, scale, value=-rate / (1 - b1**self._step))
        self._trained = True

    def _give(self, weight: float, temperature: float, seed: int) -> None:
        """Take to the device what a step depends on, besides the latents."""
        rounding = [0.0] * _ROUNDING
        if temperature:
            norm = 0.5 / math.tanh(0.5 / temperature)
            sharpness = 2 * math.log2(math.e) / temperature
            rounding = [sharpness, norm, norm / temperature, self.noise * 2.0**-17, self.noise / 2]
        prices = weight / self.pixels * self.price
        settings = [*rounding, *prices, *(prefix.weight for prefix in self.prefixes)]
        count = len(settings) + self.architecture.D
        if len(self._given) != count:
            self._given, self._graph = torch.zeros(count, device=self._device), None
        self._given[: len(settings)].copy_(torch.tensor(settings, dtype=torch.float32))
        self._seed.fill_(seed & _LOW)
        self._give_networks()

    def _give_networks(self) -> None:
        matrices = self.pranc.matrices([alpha.detach() for alpha in self.alphas])
        flat = torch.cat([matrix.flatten() for matrix in matrices])
        self._given[-len(flat) :].copy_(flat)

    def _step_outputs(self, hard: bool) -> tuple[Tensor, ...]:
        """What `_differentiated` returns, by a graph where the device has such."""
        if self._device.type != "cuda" or hard:
            return self._differentiated(hard)
        if self._graph is None:
            stream = torch.cuda.Stream(self._device)
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(RUNS_BEFORE_CAPTURE):
                    self._differentiated(hard)
            torch.cuda.current_stream().wait_stream(stream)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._captured = self._differentiated(hard)
        self._graph.replay()
        return self._captured

    def _differentiated(self, hard: bool) -> tuple[Tensor, ...]:
        """Error, bits of planes, errors of prefixes and gradients by networks, one after the other;
        the latents rounded, their slopes, and the gradients by them."""
        with torch.no_grad():
            q, slopes = self._round(hard)
        matrices = [matrix.detach().requires_grad_() for matrix in self._matrices()]
        planes = [plane.detach().requires_grad_() for plane in self._planes(q)]
        weights = self._given[_ROUNDING + len(self.planes) :]
        with torch.enable_grad():
            error, (cost, bits) = self._error(matrices, planes), self._cost(planes, matrices)
            leaves = [*matrices, *planes]
            gradients = torch.autograd.grad(error + cost, leaves)
            early = []
            for prefix, weight in zip(self.prefixes, weights, strict=False):
                own = self._error(matrices, _first(planes, prefix))
                early.append(own)
                more = torch.autograd.grad(weight * own, leaves, materialize_grads=True)
                gradients = tuple(a + b for a, b in zip(gradients, more, strict=True))
        flat = [gradient.flatten() for gradient in gradients]
        values = torch.cat([torch.stack([error, *bits, *early]).detach(), *flat[: len(matrices)]])
        return values, q, slopes, torch.cat(flat[len(matrices) :])

    def _round(self, hard: bool) -> tuple[Tensor, Tensor]:
        """The latents softly rounded, with noise, and the slope of that; see `soft_round`."""
        if hard:
            return torch.floor(self._latents + 0.5), torch.ones_like(self._latents)
        given = self._given[:_ROUNDING]
        if self._kernels:
            q, slopes = self._kernels.soft_round(self._latents, self._here, self._seed, given)
            return q, slopes
        sharpness, norm, steepness, unit, margin = given
        # The kernel's first product has 64 bits.
        h = self._here.long() * _M0 + self._seed
        h = (h ^ h >> 16) * _M1 & _LOW
        h = (h ^ h >> 15) * _M2 & _LOW
        h = h ^ h >> 16
        noise = ((h & 0xFFFF) + (h >> 16)).float() * unit - margin

        def rounded(x: Tensor) -> tuple[Tensor, Tensor]:
            middle = torch.floor(x) + 0.5
            t = 1 - 2 / (1 + torch.exp2((x - middle) * sharpness))
            return middle + norm * t, steepness * (1 - t * t)

        v, slope = rounded(self._latents)
        q, second = rounded(v + noise)
        return q, slope * second

    def _planes(self, latents: Tensor) -> list[Tensor]:
        parts = latents.split(self._sizes)
        return [part.view(plane.shape) for part, plane in zip(parts, self.planes, strict=True)]

    def _matrices(self) -> list[Tensor]:
        return self._blocks(self._given[-self.architecture.D :])

    def _blocks(self, flat: Tensor) -> list[Tensor]:
        """The matrices of all blocks, out of their entries one after the other."""
        shapes = self.architecture.blocks
        parts = flat.split([rows * cols for rows, cols in shapes])
        return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]

    def _plain_output(self, matrices: Sequence[Tensor], planes: Sequence[Tensor]) -> Tensor:
        """What the sines give (C, pixels)."""
        one = matrices[0].new_ones(len(planes), 1)
        index = self.plane_filters
        taps = one if index is None else torch.cat([one, matrices[index]], dim=1)
        z = torch.stack(
            [
                (rows(own) @ plane @ cols(own).T).flatten()
                for plane, own, (rows, cols) in zip(planes, taps, self._up, strict=True)
            ]
        )
        *hidden, last = matrices[: self.architecture.mixed_blocks]
        if self._kernels:
            shape = (self.architecture.width, self.architecture.second, len(last))
            theta = torch.cat([matrix.flatten() for matrix in (*hidden, last)])
            picture: Tensor = _Sines.apply(z, theta, shape, self._kernels)
            return picture
        for matrix in hidden:
            z = torch.sin(_affine(matrix, z))
        return _affine(last, z)

    def _error(self, matrices: Sequence[Tensor], planes: Sequence[Tensor]) -> Tensor:
        output = self._plain_output(matrices, planes)
        if self._beside is not None:
            taps = matrices[self.architecture.mixed_blocks]
            output = output + _affine(taps, self._beside(output).flatten(0, 1))
        return (output - self._wanted).square().mean()

    def _cost(self, planes: Sequence[Tensor], matrices: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Bits of each plane (planes,), which are not differentiable, and the sum of their prices,
        which is."""
        prices = self._given[_ROUNDING:][: len(self.planes)]
        values = torch.cat([plane.flatten() for plane in planes])
        first, second, last = matrices[-3:]
        if self._kernels:
            theta = torch.cat([matrix.flatten() for matrix in (first, second, last)])
            found: tuple[Tensor, Tensor] = _Rate.apply(values, theta, prices, self)
            return found
        inputs = self._context(torch.cat([values, self._constants])[None])[0]
        h = torch.relu(_affine(second, torch.relu(_affine(first, inputs))))
        bits = self._sums(_laplace_bits(values, *_affine(last, h)))
        return (prices * bits).sum(), bits.detach()

    def rate(
        self, values: Tensor, theta: Tensor, prices: Tensor, differentiate: bool
    ) -> tuple[Tensor, ...]:
        """By the fused kernels: bits of each plane and, if wanted, the gradients of the sum of
        their `prices` by the latents `values` (N,) and by the context network's matrices in
        `theta`."""
        assert self._kernels
        bits, *gradients = self._kernels.rate(
            torch.cat([values, self._constants]),
            self._context.index.view(self._context.shape),
            self._plane_of,
            theta,
            prices,
            self.architecture.context,
            differentiate,
        )
        if not differentiate:
            return (self._sums(bits),)
        d_inputs, d_values, d_theta = gradients
        for table, part in zip(self._context.tables, d_values.split(self._sizes), strict=True):
            self._kernels.collect(d_inputs, table, part)
        return self._sums(bits), d_values, d_theta

    def _sums(self, values: Tensor) -> Tensor:
        """Of the latents of each plane (planes,)."""
        return torch.stack([part.sum() for part in values.split(self._sizes)])

    def _note_bits(self, bits: Tensor) -> None:
        self._bits_of_planes = bits.double().numpy()

    def _there(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)

    def _interpolations(self, indices: Indices, taps: Array, count: int) -> _Interpolation:
        """The matrix (N, count) of which row n has `taps` n at `indices` n, added up; and those
        after each of the moves of a plane's filter."""
        moves = self.architecture.taps + 1
        matrices = np.zeros((len(indices), count, moves), np.float32)
        rows = np.arange(len(indices))[:, None]
        for j in range(moves):
            for move in {-j, j}:
                places = np.clip(indices + move, 0, count - 1)
                np.add.at(matrices[:, :, j], (rows, places), taps)
        return _Interpolation(self._there(matrices))

    def _context_places(self) -> NDArray[np.int32]:
        """(inputs, N): where each latent finds what the context network sees, among the latents
        and, behind them, `_constants`; see `kernels.context`."""
        nothing = len(self._places)
        numbers = np.full(len(self._inside), nothing, np.int32)
        numbers[self._places] = np.arange(nothing)
        parts = []
        for k, plane in enumerate(self.planes):
            (height, width), own = plane.shape, plane.view(numbers)
            places = []
            for dy, dx in NEIGHBOURS[: self.architecture.neighbours]:
                top, left = BORDER + dy, BORDER + dx
                places.append(own[top : top + height, left : left + width])
            for parents, i, j in (
                *((plane.near, 0, 0), (plane.near, 0, 1), (plane.near, 1, 0)),
                (plane.far, 0, 0),
            ):
                if parents.plane is None:
                    places.append(np.full((height, width), nothing, np.int32))
                else:
                    other = self.planes[parents.plane].view(numbers)
                    places.append(other[parents.rows[:, [i]], parents.cols[:, j]])
            for i in (1, 2):
                places.append(np.full((height, width), nothing + 2 * k + i, np.int32))
            parts.append(np.stack(places).reshape(len(places), -1))
        return np.concatenate(parts, axis=1)

    def _filter_places(self) -> NDArray[np.int32]:
        """(9, pixels): what the filter sees, in the order of its columns."""
        rows, cols = (around(np.arange(float(n)), n)[1] for n in (self.height, self.width))
        places = rows.T[:, None, :, None] * self.width + cols.T[None, :, None, :]
        flat: NDArray[np.int32] = places.reshape(9, -1).astype(np.int32)
        return flat


class _Interpolation:
    """Matrices (N, count, moves) that are added up with weights (moves,)."""

    def __init__(self, matrices: Tensor) -> None:
        self._shape, self._flat = matrices.shape[:2], matrices.flatten(0, 1)

    def __call__(self, weights: Tensor) -> Tensor:
        """Their sum (N, count)."""
        if len(weights) == 1:
            return self._flat.view(self._shape)
        return torch.mv(self._flat, weights).view(self._shape)


class _Places:
    """An index (K, N) of values, and where each of the first values is found in it.

    `sizes` cut these values into groups, each with a table as high as the most frequent needs.
    """

    def __init__(self, index: Tensor, sizes: Sequence[int]) -> None:
        self.shape, self.index = index.shape, index.flatten()
        values, order = torch.sort(self.index, stable=True)
        counts = torch.bincount(values)[: sum(sizes)]
        starts = counts.cumsum(0) - counts
        count = int(counts.sum())
        values, order = values[:count].long(), order[:count].int()
        rank = torch.arange(count, device=index.device) - starts[values]
        self.tables = []
        first, at = 0, 0
        for size in sizes:
            own = counts[first : first + size]
            stop = at + int(own.sum())
            table = torch.full((int(own.max()), size), index.numel(), device=index.device)
            table = table.int()
            table[rank[at:stop], values[at:stop] - first] = order[at:stop]
            self.tables.append(table)
            first, at = first + size, stop

    def __call__(self, values: Tensor) -> Tensor:
        """The values (B, M) at the index (B, K, N), differentiable in the first ones."""
        found: Tensor = _Gather.apply(values, self)
        return found


class _Gather(torch.autograd.Function):
    """Its adjoint gathers too, and adds in a fixed order, as sums by index do not."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, places: _Places) -> Tensor:
        ctx.places, ctx.count = places, values.shape[1]
        return values.index_select(1, places.index).view(-1, *places.shape)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        flat = pad(gradients[0].flatten(1), (0, 1))
        parts = [
            flat.index_select(1, table.flatten()).view(-1, *table.shape).sum(1)
            for table in ctx.places.tables
        ]
        found = torch.cat(parts, dim=1)
        return pad(found, (0, ctx.count - found.shape[1])), None


class _Rate(torch.autograd.Function):
    """The price of all latents, and the bits of each plane, by fused kernels."""

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, theta: Tensor, prices: Tensor, problem: DeviceProblem
    ) -> tuple[Tensor, Tensor]:
        bits, *gradients = problem.rate(values, theta, prices, any(ctx.needs_input_grad))
        ctx.save_for_backward(*gradients)
        ctx.mark_non_differentiable(bits)
        return (prices * bits).sum(), bits

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        by_values, by_theta = ctx.saved_tensors
        return gradients[0] * by_values, gradients[0] * by_theta, None, None


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


def _affine(matrix: Tensor, x: Tensor) -> Tensor:
    """Weight, and bias in the last column, applied to (inputs, N)."""
    return torch.addmm(matrix[:, -1:], matrix[:, :-1], x)


def _first(planes: Sequence[Tensor], prefix: Prefix) -> list[Tensor]:
    later = [torch.zeros_like(plane) for plane in planes[prefix.planes :]]
    return [*planes[: prefix.planes], *later]


def _laplace_bits(values: Tensor, centre: Tensor, scale: Tensor) -> Tensor:
    """Bits (N,) of intervals of width 1 around the values, in the form that float32 needs."""
    per_s = torch.exp2(-scale.clamp(float(SCALE_LEAST), float(SCALE_MOST)))
    d = (values - centre).abs()
    e1, e2 = torch.exp(-(d - 0.5).abs() * per_s), torch.exp(-(d + 0.5) * per_s)
    probability = torch.where(d > 0.5, 0.5 * (e1 - e2), 1 - 0.5 * (e1 + e2))
    return -torch.log2(probability + float(FLOOR))
