"""The pyramid: one or two sine layers over latent planes, such as `W₂ sin(W₁ z(p) + b₁) + b₂`.

z(p) are the planes' values at p, each times 2^-ℓ for a plane of level ℓ. Latents and a context
network for them are COOL-CHIC's (Ladune et al. 2023); the sine is SIREN's (Sitzmann et al. 2020).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import linear

from inrcodec.container.header import Header
from inrcodec.content import Painter
from inrcodec.families.pyramid.latents import around, interpolation
from inrcodec.families.pyramid.parameters import START
from inrcodec.families.pyramid.shape import Pyramid
from inrcodec.pranc.affine import Affine
from inrcodec.pranc.reparametrization import Initial, Reparametrization


class PyramidNetwork(nn.Module):
    """The synthesis and the context network of a `Pyramid`: shapes, and the synthesis in PyTorch.

    >>> network = PyramidNetwork(Pyramid(3, width=8, context=4, levels=(1, 0)))
    >>> matrices = [torch.zeros(rows, cols) for rows, cols in network.architecture.blocks]
    >>> planes = [torch.zeros(2, 3), torch.zeros(4, 6)]
    >>> network.evaluate(matrices, planes, (6, 4), np.arange(6.0), np.arange(4.0)).shape
    torch.Size([4, 6, 3])
    """

    def __init__(self, architecture: Pyramid) -> None:
        """Shapes only: the values are those that `pranc` makes."""
        super().__init__()
        self.architecture = architecture
        self.layers = nn.ModuleList(Affine(cols - 1, rows) for rows, cols in architecture.blocks)

    @property
    def whole_layers(self) -> tuple[str, str]:
        """The names of the first and the last layer that a basis may mix."""
        return "layers.0", f"layers.{self.architecture.mixed_blocks - 1}"

    @property
    def unmixed_layers(self) -> tuple[str, ...]:
        """The names of the layers of the filters and of the context network."""
        mixed, count = self.architecture.mixed_blocks, len(self.architecture.blocks)
        return tuple(f"layers.{n}" for n in range(mixed, count))

    def initial(self, layer: nn.Module, name: str, parameter: nn.Parameter) -> Initial:
        """How a parameter starts and what one unit of α moves it by (docs/format.md)."""
        return START

    def evaluate(
        self,
        matrices: Sequence[Tensor],
        planes: Sequence[Tensor],
        picture: tuple[int, int],
        xs: NDArray[np.float64],
        ys: NDArray[np.float64],
    ) -> Tensor:
        """Channels (N, M, C) at M columns `xs` and N rows `ys`, in pixels of the picture.

        `planes` are (h, w), in coding order, and have passed their filters; those that are missing
        count as 0. `picture` is its width and height.
        """
        if not self.architecture.filtered:
            return self._sines(matrices, planes, xs, ys)
        (xs, cols), (ys, rows) = (around(v, n) for v, n in zip((xs, ys), picture, strict=True))
        plain = self._sines(matrices, planes, xs, ys)
        seen = plain[rows[:, None, :, None], cols[None, :, None, :]]
        # (N, M, 3, 3, C) in the order of the filter's columns
        taps = seen.permute(0, 1, 4, 2, 3).flatten(2)
        last = matrices[self.architecture.mixed_blocks]
        return seen[:, :, 1, 1] + linear(taps, last[:, :-1], last[:, -1])

    def _sines(
        self,
        matrices: Sequence[Tensor],
        planes: Sequence[Tensor],
        xs: NDArray[np.float64],
        ys: NDArray[np.float64],
    ) -> Tensor:
        features = [
            _interpolate(plane, level, xs, ys)
            for plane, level in zip(planes, self.architecture.levels, strict=False)
        ]
        zeros = matrices[0].new_zeros(len(ys), len(xs))
        features += [zeros] * (len(self.architecture.levels) - len(features))
        h = torch.stack(features, dim=-1)
        *hidden, last = matrices[: self.architecture.mixed_blocks]
        for matrix in hidden:
            h = torch.sin(linear(h, matrix[:, :-1], matrix[:, -1]))
        return linear(h, last[:, :-1], last[:, -1])


def _interpolate(
    plane: Tensor, level: int, xs: NDArray[np.float64], ys: NDArray[np.float64]
) -> Tensor:
    rows, row_taps = (
        torch.from_numpy(a).to(plane.device) for a in interpolation(ys, level, len(plane))
    )
    cols, col_taps = (
        torch.from_numpy(a).to(plane.device) for a in interpolation(xs, level, plane.shape[1])
    )
    along = (plane[:, cols] * col_taps).sum(-1)
    return (along[rows] * row_taps[:, :, None]).sum(1) * 2.0**-level


def grow(header: Header, device: torch.device | str) -> tuple[PyramidNetwork, Reparametrization]:
    """The networks of a header and θ = θ₀ + S·B·α for them, both from the header's seed."""
    assert isinstance(header.network, Pyramid)
    with torch.device(device):
        network = PyramidNetwork(header.network)
    flags = (header.whole_first, header.whole_last)
    whole = [name for name, flag in zip(network.whole_layers, flags, strict=True) if flag]
    return network, Reparametrization(
        network,
        seed=header.seed,
        basis=header.basis,
        compaction=header.compaction,
        whole=[*whole, *network.unmixed_layers],
        initial=network.initial,
    )


def painter_on(
    device: str,
    shape: Pyramid,
    matrices: Sequence[NDArray[np.float32]],
    planes: Sequence[NDArray[np.float32]],
    picture: tuple[int, int],
) -> Painter:
    """The picture as a function of columns and rows, computed on a device of PyTorch."""
    network = PyramidNetwork(shape)
    weights = [torch.from_numpy(matrix).to(device) for matrix in matrices]
    latents = [torch.from_numpy(plane).to(device) for plane in planes]

    @torch.no_grad()
    def paint(xs: NDArray[np.float64], ys: NDArray[np.float64]) -> NDArray[np.float32]:
        output = network.evaluate(weights, latents, picture, xs, ys)
        painted: NDArray[np.float32] = output.cpu().numpy()
        return painted

    return paint
