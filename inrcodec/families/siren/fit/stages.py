"""The fit of a SIREN that grows in stages, all of whose pictures count.

Stage by stage units are added, which start without a say in the picture; all coefficients train on,
and the pictures of earlier stages count a little, so that they stay what they are. At last all
train together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from inrcodec.container.head import Header
from inrcodec.entropy.layer import Layer
from inrcodec.families.siren.fit.problem import Problem
from inrcodec.families.siren.fit.train import fit
from inrcodec.families.siren.network import widened
from inrcodec.families.siren.shape import Siren
from inrcodec.image import Raster
from inrcodec.optim.clock import Clock

EARLIER = 0.1
"""How much the pictures of earlier stages count beside the newest."""

IMPORTANCES = (0.01, 0.05, 0.25)
"""How much the last pictures before the whole count beside it, at the end; earlier ones as the
first of these."""

TOGETHER_RATE = 0.1
"""Peak learning rate when all stages train together."""


class StagedProblem(Problem):
    """A picture, and the function of α whose stages should all become it.

    A layer's coefficients are those that the first stage adds to it, then those of the second, and
    so on; its matrix is that of all stages, 0 where units do not see each other. The last layer's
    has the outputs of all stages one below the other, each scaled by the root of its importance.
    """

    staged = True

    def __init__(
        self, raster: Raster, header: Header, device: str, importances: Sequence[float]
    ) -> None:
        """`importances` are those of the stages' pictures."""
        super().__init__(raster, header, device)
        self.compute_in(torch.float32)
        network = self._siren
        stages = len(network.widths)
        self._samples_once = self.targets
        total = sum(importances)
        roots = [math.sqrt(weight * stages / total) for weight in importances]
        self._aim_at(torch.cat([root * self.targets for root in roots], 1))
        self._starts: list[Tensor] = []
        self._scales: list[Tensor] = []
        self._places: list[Tensor] = []
        self._sizes: list[tuple[int, int]] = []
        for layer in range(network.layers):
            last = layer == network.layers - 1
            cols = 3 if layer == 0 else network.width + 1
            rows = stages * network.channels if last else network.width
            index = torch.arange(rows * cols, device=device).view(rows, cols)
            places, starts, scales, done = [], [], [], 0
            for stage, block in enumerate(self.pranc.blocks[layer :: network.layers]):
                root = roots[stage] if last else 1.0
                own = index[done : done + block.rows]
                places.append(torch.cat([own[:, : block.cols - 1], own[:, -1:]], 1).flatten())
                starts.append(root * block.theta0.flatten())
                scales.append(root * block.scale.expand(block.rows, -1).flatten())
                done += block.rows
            self._places.append(torch.cat(places))
            self._starts.append(torch.cat(starts))
            self._scales.append(torch.cat(scales))
            self._sizes.append((rows, cols))

    @property
    def _siren(self) -> Siren:
        assert isinstance(self.header.network, Siren)
        return self.header.network

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """The matrices of all stages in each layer's coefficients."""
        return [shape for layer in range(self._siren.layers) for shape in self._shapes(layer)]

    @property
    def rates(self) -> list[float]:
        """Factors of their learning rates."""
        stages = len(self._siren.widths)
        return [rate for rate in super().rates[: self._siren.layers] for _ in range(stages)]

    def _shapes(self, layer: int) -> list[tuple[int, int]]:
        return list(self._siren.blocks[layer :: self._siren.layers])

    def zeros(self) -> list[Tensor]:
        """The coefficients (k,) of each layer at the start, all zero."""
        return [torch.zeros_like(start) for start in self._starts]

    def dense(self, alphas: Sequence[Tensor]) -> list[Tensor]:
        """The matrix (rows, cols) of each layer, differentiable."""
        matrices = []
        for layer, alpha in enumerate(alphas):
            values = self._starts[layer] + self._scales[layer] * alpha
            rows, cols = self._sizes[layer]
            flat = values.new_zeros(rows * cols).index_copy(0, self._places[layer], values)
            matrices.append(flat.view(rows, cols))
        return matrices

    def project(self, layer: int, gradient: Tensor) -> Tensor:
        """The gradient (..., k) by a layer's coefficients, from that by its matrix."""
        return gradient.flatten(-2)[..., self._places[layer]] * self._scales[layer]

    def pieces(self, vectors: Sequence[Tensor], start: int = 0) -> list[Tensor]:
        """Views of vectors (k,) of layers from `start` on, one for each stage's matrix."""
        return [
            piece
            for layer, vector in enumerate(vectors, start)
            for piece in vector.split(self.sizes(layer))
        ]

    def shown(self, alphas: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Matrices of the network that a whole file decodes to, and its samples (N, C)."""
        return self.network.joined(self.pranc.matrices(self._by_stage(alphas))), self._samples_once

    def sizes(self, layer: int) -> list[int]:
        """How many coefficients each matrix in those of a layer has."""
        return [rows * cols for rows, cols in self._shapes(layer)]

    def in_file(self, layers: Sequence[Sequence[Layer]]) -> list[Layer]:
        """A file's blocks in its order, stage by stage, from the quantized matrices of layers."""
        return [part for stage in zip(*layers, strict=True) for part in stage]

    def _by_stage(self, vectors: Sequence[Tensor]) -> list[Tensor]:
        """Those of all blocks, in a file's order, from the vectors (k,) of layers."""
        count = len(self._siren.widths)
        pieces = self.pieces(vectors)
        return [piece for stage in range(count) for piece in pieces[stage::count]]

    def grown(self, alphas: Sequence[Tensor]) -> list[Tensor]:
        """Coefficients (k,) of layers from those of the network without the last stage.

        The new units are as they start, and have no say in the picture.
        """
        layers, blocks = self._siren.layers, self.pranc.blocks
        old, new = blocks[-layers - 1], blocks[-layers:]
        picture = old.theta0 + old.scale * alphas[-1][-old.basis.k :].view(old.rows, old.cols)
        last = (widened(picture, new[-1].cols) - new[-1].theta0) / new[-1].scale
        added = [*(block.theta0.new_zeros(block.basis.k) for block in new[:-1]), last.flatten()]
        return [torch.cat(pair) for pair in zip(alphas, added, strict=True)]


def fit_stages(
    raster: Raster, header: Header, device: str, steps: int, together: int, clock: Clock
) -> tuple[StagedProblem, list[Tensor]]:
    """Train a SIREN in stages; return its problem, with all pictures, and its coefficients.

    Each stage has `steps` steps, and then all have `together`. Gradients are in float32, which
    takes little longer for networks so narrow and is better (docs/science.md).
    """
    whole = header.network
    assert isinstance(whole, Siren)
    count = len(whole.stages)
    first = Problem(raster, replace(header, network=whole.first(1)), device)
    first.compute_in(torch.float32)
    alphas = fit(first, steps, clock)
    for stage in range(2, count + 1):
        part = replace(header, network=whole.first(stage))
        problem = StagedProblem(raster, part, device, [EARLIER] * (stage - 1) + [1.0])
        alphas = fit(problem, steps, clock, problem.grown(alphas))
    weights = [*[IMPORTANCES[0]] * max(0, count - 1 - len(IMPORTANCES)), *IMPORTANCES, 1.0][-count:]
    problem = StagedProblem(raster, header, device, weights)
    return problem, fit(problem, together, clock, alphas, TOGETHER_RATE)
