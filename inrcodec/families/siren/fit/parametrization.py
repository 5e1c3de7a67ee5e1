"""How trained coefficients make the matrices of a network: of a plain SIREN, or of one in stages.

The optimizer has one vector of coefficients α for each layer; a file has one for each block. A
plain SIREN has one block a layer, a SIREN in S stages has S, whose matrices together are block
triangular: earlier units do not see later ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from inrcodec.families.siren.network import SirenNetwork, widened
from inrcodec.families.siren.shape import Siren
from inrcodec.pranc.reparametrization import Block, Reparametrization


class Parametrization(Protocol):
    """From vectors of coefficients, one a layer, to matrices, and back for gradients."""

    def matrices(self, alphas: Sequence[Tensor]) -> list[Tensor]:
        """The matrix (rows, cols) of each layer of the trained network, differentiable."""

    def project(self, layer: int, gradient: Tensor) -> Tensor:
        """The gradient (..., k) by a layer's α, from that (..., rows, cols) by its matrix."""

    def decoded(self, alphas: Sequence[Tensor]) -> list[Tensor]:
        """The matrix of each layer of the network that a whole file decodes to."""

    def targets(self, samples: Tensor) -> Tensor:
        """What the outputs (N, outputs) of the trained network should be, from samples (N, C)."""


class PlainParametrization:
    """θ = θ₀ + S·B·α of one block for each layer (PRANC)."""

    def __init__(self, pranc: Reparametrization) -> None:
        """The parametrization of `pranc`, whose blocks are the layers."""
        self._pranc = pranc

    def matrices(self, alphas: Sequence[Tensor]) -> list[Tensor]:
        """The matrix (rows, cols) of each layer, differentiable."""
        return self._pranc.matrices(alphas)

    def project(self, layer: int, gradient: Tensor) -> Tensor:
        """The gradient (..., k) by a layer's α, from that (..., rows, cols) by its matrix."""
        block = self._pranc.blocks[layer]
        flat = (block.scale * gradient).flatten(-2)
        return block.basis.project(flat.movedim(-1, 0)).movedim(0, -1)

    def decoded(self, alphas: Sequence[Tensor]) -> list[Tensor]:
        """The same matrices as `matrices`."""
        return self.matrices(alphas)

    def targets(self, samples: Tensor) -> Tensor:
        """The samples (N, C) themselves."""
        return samples


@dataclass(frozen=True, eq=False)
class _Entries:
    """The entries of a layer's matrix that are not zero: places in it, starts and scales (k,)."""

    rows: int
    cols: int
    places: Tensor
    start: Tensor
    scale: Tensor


class StagedParametrization:
    """All stages of a SIREN in one network, which has the outputs of all of them.

    A layer's coefficients are those of its blocks, stage after stage; its matrix is that of all
    stages, with zeros where units do not see each other. The last layer has the outputs of all
    stages one below the other, each scaled by the root of its weight in the loss, so that the mean
    squared error of the outputs is the weighted mean of the errors of the pictures.
    """

    def __init__(
        self, network: SirenNetwork, pranc: Reparametrization, weights: Sequence[float]
    ) -> None:
        """Weights of the stages' pictures in the loss; the basis is the identity."""
        self._network, self._pranc = network, pranc
        siren = network.architecture
        stages = len(siren.widths)
        total = sum(weights)
        self._roots = [math.sqrt(weight * stages / total) for weight in weights]
        self._sizes = matrix_sizes(pranc.blocks, siren)
        self._layers = [self._entries(siren, layer) for layer in range(siren.layers)]

    def _entries(self, siren: Siren, layer: int) -> _Entries:
        stages = len(siren.widths)
        last = layer == siren.layers - 1
        cols = 3 if layer == 0 else siren.width + 1
        rows = stages * siren.channels if last else siren.width
        device = self._pranc.blocks[0].theta0.device
        index = torch.arange(rows * cols, device=device).view(rows, cols)
        places, starts, scales, done = [], [], [], 0
        for stage, block in enumerate(self._pranc.blocks[layer :: siren.layers]):
            root = self._roots[stage] if last else 1.0
            own = index[done : done + block.rows]
            places.append(torch.cat([own[:, : block.cols - 1], own[:, -1:]], 1).flatten())
            starts.append(root * block.theta0.flatten())
            scales.append(root * block.scale.expand(block.rows, -1).flatten())
            done += block.rows
        return _Entries(rows, cols, torch.cat(places), torch.cat(starts), torch.cat(scales))

    def matrices(self, alphas: Sequence[Tensor]) -> list[Tensor]:
        """The matrix (rows, cols) of each layer, differentiable."""
        matrices = []
        for layer, alpha in zip(self._layers, alphas, strict=True):
            values = layer.start + layer.scale * alpha
            flat = values.new_zeros(layer.rows * layer.cols).index_copy(0, layer.places, values)
            matrices.append(flat.view(layer.rows, layer.cols))
        return matrices

    def project(self, layer: int, gradient: Tensor) -> Tensor:
        """The gradient (..., k) by a layer's α, from that (..., rows, cols) by its matrix."""
        entries = self._layers[layer]
        return gradient.flatten(-2)[..., entries.places] * entries.scale

    def decoded(self, alphas: Sequence[Tensor]) -> list[Tensor]:
        """The matrix of each layer of the last stage's network."""
        return self._network.joined(self._pranc.matrices(self.by_block(alphas)))

    def targets(self, samples: Tensor) -> Tensor:
        """The samples (N, C) side by side for each stage, scaled as the outputs are."""
        return torch.cat([root * samples for root in self._roots], 1)

    def by_block(self, alphas: Sequence[Tensor]) -> list[Tensor]:
        """Coefficients of each block in the order of a file, from those of the layers."""
        pieces = [alpha.split(sizes) for alpha, sizes in zip(alphas, self._sizes, strict=True)]
        return [piece for stage in zip(*pieces, strict=True) for piece in stage]

    def grown(self, alphas: Sequence[Tensor]) -> list[Tensor]:
        """Coefficients of the layers, from those of the network without the last stage.

        The new stage shows the picture of the stage before: its units have the values of the start
        and no weight in the picture.
        """
        layers, blocks = len(alphas), self._pranc.blocks
        old, new = blocks[-layers - 1], blocks[-layers:]
        picture = old.theta0 + old.scale * alphas[-1][-old.basis.k :].view(old.rows, old.cols)
        last = (widened(picture, new[-1].cols) - new[-1].theta0) / new[-1].scale
        added = [*(block.theta0.new_zeros(block.basis.k) for block in new[:-1]), last.flatten()]
        return [torch.cat(pair) for pair in zip(alphas, added, strict=True)]


def matrix_sizes(blocks: Sequence[Block], siren: Siren) -> list[list[int]]:
    """Numbers of coefficients of each layer's blocks, one for each stage."""
    return [
        [block.basis.k for block in blocks[layer :: siren.layers]] for layer in range(siren.layers)
    ]
