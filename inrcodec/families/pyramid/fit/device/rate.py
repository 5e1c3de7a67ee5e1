"""The bits of the latents, differentiable, in PyTorch or by Triton's kernels."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inrcodec.families.pyramid.fit.device.gathering import Gathering
from inrcodec.families.pyramid.fit.device.latents import DeviceLatents
from inrcodec.families.pyramid.fit.device.synthesis import affine
from inrcodec.families.pyramid.fit.geometry import Geometry
from inrcodec.families.pyramid.kernels.rate import FLOOR, SCALE_LEAST, SCALE_MOST
from inrcodec.families.pyramid.latents import BORDER
from inrcodec.families.pyramid.shape import NEIGHBOURS, Pyramid


class DeviceRate:
    """The context network over all latents at once."""

    def __init__(
        self,
        architecture: Pyramid,
        geometry: Geometry,
        latents: DeviceLatents,
        kernels: ModuleType | None,
        device: torch.device,
    ) -> None:
        """Lay out the tables that say what the context network sees at each latent."""
        self._kernels, self._sizes = kernels, latents.sizes
        self._units = architecture.context
        planes = geometry.planes
        constants = [0.0, *(float(c) for p in planes for c in (p.level, p.later))]
        self._constants = torch.tensor(constants, device=device)
        places = _context_places(architecture, geometry, latents.places)
        self._context = Gathering(torch.from_numpy(places).to(device), self._sizes)
        numbers = torch.repeat_interleave(torch.arange(len(planes)), torch.tensor(self._sizes))
        self._plane_of = numbers.to(device, torch.int8)

    def cost(
        self, matrices: Sequence[Tensor], planes: Sequence[Tensor], prices: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The sum of the bits times their `prices`, and the bits of each plane (planes,), which are
        not differentiable."""
        values = torch.cat([plane.flatten() for plane in planes])
        first, second, last = matrices[-3:]
        if self._kernels:
            theta = torch.cat([matrix.flatten() for matrix in (first, second, last)])
            found: tuple[Tensor, Tensor] = _FusedRate.apply(  # type: ignore[no-untyped-call]
                values, theta, prices, self
            )
            return found
        inputs = self._context(torch.cat([values, self._constants])[None])[0]
        h = torch.relu(affine(second, torch.relu(affine(first, inputs))))
        bits = self._sums(laplace_bits(values, *affine(last, h)))
        return (prices * bits).sum(), bits.detach()

    def fused(
        self, values: Tensor, theta: Tensor, prices: Tensor, differentiate: bool
    ) -> tuple[Tensor, ...]:
        """By the fused kernels: the bits of each plane (planes,) of latents `values` (N,).

        `theta` holds the context network's matrices. With `differentiate` the gradients of the sum
        of the `prices` by `values` and by `theta` follow.
        """
        assert self._kernels
        bits, *gradients = self._kernels.rate(
            torch.cat([values, self._constants]),
            self._context.index.view(self._context.shape),
            self._plane_of,
            theta,
            prices,
            self._units,
            differentiate,
        )
        if not differentiate:
            return (self._sums(bits),)
        d_inputs, d_values, d_theta = gradients
        for table, part in zip(self._context.tables, d_values.split(self._sizes), strict=True):
            self._kernels.collect(d_inputs, table, part)
        return self._sums(bits), d_values, d_theta

    def _sums(self, bits: Tensor) -> Tensor:
        """Sums (planes,) of the bits (N,) of each plane's latents."""
        return torch.stack([part.sum() for part in bits.split(self._sizes)])


def laplace_bits(values: Tensor, centre: Tensor, scale: Tensor) -> Tensor:
    """Bits (N,) of values under Laplace distributions, differentiable: `reference.laplace_bits`."""
    per_s = torch.exp2(-scale.clamp(float(SCALE_LEAST), float(SCALE_MOST)))
    d = (values - centre).abs()
    e1, e2 = torch.exp(-(d - 0.5).abs() * per_s), torch.exp(-(d + 0.5) * per_s)
    probability = torch.where(d > 0.5, 0.5 * (e1 - e2), 1 - 0.5 * (e1 + e2))
    return -torch.log2(probability + float(FLOOR))


def _context_places(
    architecture: Pyramid, geometry: Geometry, places: NDArray[np.int64]
) -> NDArray[np.int32]:
    """(inputs, N): where each latent finds what the context network sees, in the order of the CPU's
    kernel (`kernels.rate`): among the latents or, behind them, the constants.

    Constants are 0, for missing planes, and level and number of followers of each plane. `places`
    (N,) are those of the latents in the array with borders.
    """
    zero = len(places)
    numbers = np.full(geometry.latents, zero, np.int32)
    numbers[places] = np.arange(zero)
    parts = []
    for k, plane in enumerate(geometry.planes):
        (height, width), own = plane.shape, plane.view(numbers)
        seen = []
        for dy, dx in NEIGHBOURS[: architecture.neighbours]:
            top, left = BORDER + dy, BORDER + dx
            seen.append(own[top : top + height, left : left + width])
        near, far = plane.near, plane.far
        for parents, i, j in ((near, 0, 0), (near, 0, 1), (near, 1, 0), (far, 0, 0)):
            if parents.plane is None:
                seen.append(np.full((height, width), zero, np.int32))
            else:
                other = geometry.planes[parents.plane].view(numbers)
                seen.append(other[parents.rows[:, [i]], parents.cols[:, j]])
        for i in (1, 2):
            seen.append(np.full((height, width), zero + 2 * k + i, np.int32))
        parts.append(np.stack(seen).reshape(len(seen), -1))
    return np.concatenate(parts, axis=1)


class _FusedRate(torch.autograd.Function):
    """`DeviceRate.cost` by the fused kernels, which compute the gradients at once."""

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, theta: Tensor, prices: Tensor, rate: DeviceRate
    ) -> tuple[Tensor, Tensor]:
        bits, *gradients = rate.fused(values, theta, prices, any(ctx.needs_input_grad))
        ctx.save_for_backward(*gradients)
        ctx.mark_non_differentiable(bits)
        return (prices * bits).sum(), bits

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        by_values, by_theta = ctx.saved_tensors
        return gradients[0] * by_values, gradients[0] * by_theta, None, None
