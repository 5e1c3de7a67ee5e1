"""A `Backend` on a device of PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from types import ModuleType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inrcodec.container.header import Header
from inrcodec.families.pyramid.fit.backend import Array, Gradients, Prefix, Terms
from inrcodec.families.pyramid.fit.bands import Bands
from inrcodec.families.pyramid.fit.device.graph import Graph
from inrcodec.families.pyramid.fit.device.inputs import StepInputs
from inrcodec.families.pyramid.fit.device.latents import DeviceLatents
from inrcodec.families.pyramid.fit.device.rate import DeviceRate
from inrcodec.families.pyramid.fit.device.synthesis import DeviceSynthesis
from inrcodec.families.pyramid.fit.geometry import Geometry
from inrcodec.families.pyramid.fit.problem import PyramidProblem
from inrcodec.families.pyramid.shape import Pyramid

LEAST_CAPABILITY = (8, 0)
"""Compute capability from which on a GPU has the matrix products of `kernels.gpu`."""


def device_problem(target: Array, header: Header, device: str) -> PyramidProblem:
    """A problem whose loss is computed on a device of PyTorch, for instance "cuda"."""
    return PyramidProblem(target, header, partial(DeviceBackend, device=torch.device(device)))


DeviceProblem = device_problem
"""The same by its former name."""


def fused_kernels(device: torch.device) -> ModuleType | None:
    """Triton's kernels for a device, or None where PyTorch's own must do."""
    if device.type != "cuda" or torch.cuda.get_device_capability(device) < LEAST_CAPABILITY:
        return None
    try:
        from inrcodec.families.pyramid.kernels import gpu
    except ImportError:
        return None
    return gpu


class DeviceBackend:
    """Latents on a device, and their loss by PyTorch or Triton; see `fit.backend.Backend`."""

    def __init__(
        self,
        target: Array,
        architecture: Pyramid,
        geometry: Geometry,
        bands: Bands,
        device: torch.device,
    ) -> None:
        """Lay out the parts for samples `target` (C, H, W); all latents and networks are 0."""
        self._kernels = fused_kernels(device)
        most = max(architecture.width, architecture.context)
        if self._kernels and most > self._kernels.LIMIT_UNITS:
            self._kernels = None
        self._picture = target.shape
        self._inputs = StepInputs(architecture, device)
        self._latents = DeviceLatents(geometry, device)
        self._synthesis = DeviceSynthesis(target, architecture, geometry, self._kernels, device)
        self._rate = DeviceRate(architecture, geometry, self._latents, self._kernels, device)
        self._prefixes: tuple[int, ...] = ()
        self._soft_step = Graph(lambda: self._step(self._inputs.rounding), device)
        self._plane_bits = np.zeros(len(geometry.planes))

    @property
    def y(self) -> Array:
        """All latents, in host memory; callers may write to them."""
        return self._latents.y

    @property
    def q(self) -> Array:
        """The latents of the last loss, softly rounded, in host memory."""
        return self._latents.q

    def load(self, matrices: Sequence[Tensor]) -> None:
        """Take over the networks: the matrix of each block (rows, cols)."""
        self._inputs.load(matrices)

    @torch.no_grad()
    def loss(self, terms: Terms) -> tuple[float, float]:
        """Mean squared error, and bits, of the softly rounded latents."""
        self._set(terms)
        numbers = self._inputs.rounding if terms.temperature else None
        self._latents.keep(*self._latents.round(numbers, self._inputs.seed, self._kernels))
        matrices, planes = self._inputs.matrices, self._rounded()
        _, bits = self._rate.cost(matrices, planes, self._inputs.prices)
        found = torch.cat([self._synthesis.error(matrices, planes)[None], bits]).cpu()
        return found[0].item(), self._counted(found[1:])

    def gradients(self, terms: Terms) -> Gradients:
        """The same with all gradients; those by the latents stay on the device."""
        self._set(terms)
        # A step with hard rounding is rare, and has no graph.
        outputs = self._soft_step() if terms.temperature else self._step(None)
        values, rounded, slopes, self._latents.gradient = outputs
        self._latents.keep(rounded, slopes)
        counts = [1, len(self._plane_bits), len(terms.prefixes)]
        error, bits, early, theta = values.cpu().split([*counts, len(values) - sum(counts)])
        matrices = self._inputs.blocks(theta)
        return Gradients(error.item(), self._counted(bits), early.tolist(), matrices)

    @torch.no_grad()
    def bits(self) -> float:
        """Bits of the latents of the last loss, with the networks loaded since."""
        inputs = self._inputs
        return self._counted(
            self._rate.cost(inputs.matrices, self._rounded(), inputs.prices)[1].cpu()
        )

    def plane_bits(self) -> NDArray[np.float64]:
        """Bits of each plane (planes,), as they were last counted."""
        return self._plane_bits.copy()

    @torch.no_grad()
    def distortion(self, prefixes: Sequence[Prefix]) -> float:
        """Error of the latents of the last loss, with the networks loaded since, and of prefixes
        by their weights."""
        matrices, planes = self._inputs.matrices, self._rounded()
        total = self._synthesis.error(matrices, planes)
        for prefix in prefixes:
            total += prefix.weight * self._synthesis.error(matrices, _first(planes, prefix.planes))
        return float(total)

    @torch.no_grad()
    def unfiltered(self) -> Array:
        """The picture (C, H, W) before its filter, at the last loss."""
        plain = self._synthesis.unfiltered(self._inputs.matrices, self._rounded())
        picture: Array = plain.cpu().numpy().reshape(self._picture)
        return picture

    def latent_gradient(self) -> Array:
        """Gradient of the last loss by `q`, in host memory."""
        return self._latents.latent_gradient()

    def descend(self, rate: float, betas: tuple[float, float]) -> None:
        """One step of Adam on the latents along the last gradients."""
        self._latents.descend(rate, betas)

    def _set(self, terms: Terms) -> None:
        """Take all that a loss depends on to the device."""
        self._latents.update()
        resized = self._inputs.set(terms)
        prefixes = tuple(prefix.planes for prefix in terms.prefixes)
        if resized or prefixes != self._prefixes:
            self._soft_step.reset()
        self._prefixes = prefixes

    def _rounded(self) -> list[Tensor]:
        """The planes (h, w) of the last loss, softly rounded."""
        return self._latents.planes(self._latents.rounded)

    def _counted(self, bits: Tensor) -> float:
        """Keep the bits of each plane (planes,), and return their sum."""
        self._plane_bits = bits.double().numpy()
        return float(self._plane_bits.sum())

    def _step(self, numbers: Tensor | None) -> tuple[Tensor, ...]:
        """Loss and gradients of the latents, rounded by `numbers`; see `DeviceLatents.round`.

        Returns, as (N,) vectors: error, bits of each plane, errors of prefixes and gradients by
        the networks, one after the other; the rounded latents, their slopes, and the gradients by
        the rounded ones.
        """
        with torch.no_grad():
            q, slopes = self._latents.round(numbers, self._inputs.seed, self._kernels)
        matrices = [matrix.detach().requires_grad_() for matrix in self._inputs.matrices]
        planes = [plane.detach().requires_grad_() for plane in self._latents.planes(q)]
        leaves = [*matrices, *planes]
        with torch.enable_grad():
            error = self._synthesis.error(matrices, planes)
            cost, bits = self._rate.cost(matrices, planes, self._inputs.prices)
            gradients = torch.autograd.grad(error + cost, leaves)
            early = []
            for count, weight in zip(self._prefixes, self._inputs.prefix_weights, strict=True):
                own = self._synthesis.error(matrices, _first(planes, count))
                early.append(own)
                more = torch.autograd.grad(weight * own, leaves, materialize_grads=True)
                gradients = tuple(a + b for a, b in zip(gradients, more, strict=True))
        flat = [gradient.flatten() for gradient in gradients]
        values = torch.cat([torch.stack([error, *bits, *early]).detach(), *flat[: len(matrices)]])
        return values, q, slopes, torch.cat(flat[len(matrices) :])


def _first(planes: Sequence[Tensor], count: int) -> list[Tensor]:
    """The first planes, and zeros in place of the others."""
    return [*planes[:count], *(torch.zeros_like(plane) for plane in planes[count:])]
