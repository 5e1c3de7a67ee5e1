"""The latents in training on a device, and copies of them in host memory."""

from __future__ import annotations

from enum import Enum
from types import ModuleType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inrcodec.families.pyramid.fit.device.rounding import soft_round
from inrcodec.families.pyramid.fit.geometry import Geometry

Array = NDArray[np.float32]


class _Newest(Enum):
    """Which copy of the latents is up to date."""

    HOST = "host"
    DEVICE = "device"
    BOTH = "both"


class DeviceLatents:
    """All latents, without the planes' borders: their rounded values, gradients and Adam's moments.

    Host copies have borders, as everywhere. They follow the device when they are read, and the
    device follows what was written to them at the next loss.

    Attributes:
        places: (N,), places of the latents in the array with borders.
        sizes: number of latents of each plane.
        values: the latents (N,).
        rounded: the latents of the last loss, softly rounded (N,).
        slopes: slopes of the rounding (N,).
        gradient: gradient of the last loss by `rounded` (N,).
    """

    def __init__(self, geometry: Geometry, device: torch.device) -> None:
        """Start with zeros everywhere."""
        self._shapes = [plane.shape for plane in geometry.planes]
        self.sizes = [height * width for height, width in self._shapes]
        self._y, self._q, inside = np.zeros((3, geometry.latents), np.float32)
        for plane in geometry.planes:
            plane.inner(inside)[:] = 1
        self.places = np.flatnonzero(inside)
        self._noise_places = torch.from_numpy(self.places.astype(np.int32)).to(device)
        self.values, self._mean, self._square = torch.zeros(3, len(self.places), device=device)
        self.rounded, self.slopes, self.gradient = torch.zeros_like(self.values).expand(3, -1)
        self._newest, self._fetched, self._steps = _Newest.HOST, True, 0

    @property
    def y(self) -> Array:
        """The host copy of the latents, which may be written to."""
        if self._newest is _Newest.DEVICE:
            self._y[self.places] = self.values.cpu().numpy()
        self._newest = _Newest.HOST
        return self._y

    @property
    def q(self) -> Array:
        """The host copy of the rounded latents, to be read only."""
        if not self._fetched:
            self._q[self.places] = self.rounded.cpu().numpy()
            self._fetched = True
        return self._q

    def latent_gradient(self) -> Array:
        """A host copy of the gradient by the rounded latents."""
        total = np.zeros_like(self._q)
        total[self.places] = self.gradient.cpu().numpy()
        return total

    def update(self) -> None:
        """Take over what was written to the host copy."""
        if self._newest is _Newest.HOST:
            self.values.copy_(torch.from_numpy(self._y[self.places]))
            self._newest = _Newest.BOTH

    def keep(self, rounded: Tensor, slopes: Tensor) -> None:
        """Keep the rounded latents of a loss and their slopes."""
        self.rounded, self.slopes, self._fetched = rounded, slopes, False

    def round(
        self, numbers: Tensor | None, seed: Tensor, kernels: ModuleType | None
    ) -> tuple[Tensor, Tensor]:
        """The latents softly rounded and the slopes of that; `numbers` see `rounding_numbers`, None
        for integers."""
        if numbers is None:
            return torch.floor(self.values + 0.5), torch.ones_like(self.values)
        rounding = kernels.soft_round if kernels else soft_round
        q, slopes = rounding(self.values, self._noise_places, seed, numbers)
        return q, slopes

    def planes(self, values: Tensor) -> list[Tensor]:
        """The plane (h, w) of each part of (N,) values."""
        parts = values.split(self.sizes)
        return [part.view(shape) for part, shape in zip(parts, self._shapes, strict=True)]

    def descend(self, rate: float, betas: tuple[float, float]) -> None:
        """One step of Adam (Kingma and Ba 2015) along the last gradient."""
        self.update()
        self._steps += 1
        (b1, b2), gradient = betas, self.gradient * self.slopes
        self._mean.lerp_(gradient, 1 - b1)
        self._square.mul_(b2).addcmul_(gradient, gradient, value=1 - b2)
        scale = (self._square / (1 - b2**self._steps)).sqrt_().add_(1e-12)
        self.values.addcdiv_(self._mean, scale, value=-rate / (1 - b1**self._steps))
        self._newest = _Newest.DEVICE
