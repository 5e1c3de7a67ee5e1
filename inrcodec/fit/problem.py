"""One picture to fit: pixels, the network, and how the picture depends on the coefficients.

The optimisers see vectors of coefficients α, one a layer, and a loss; what a network does with them
is the network's business.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from inrcodec.container.header import Header
from inrcodec.image import Raster, to_unit
from inrcodec.inr.coordinates import grid
from inrcodec.inr.family import grow
from inrcodec.pranc.layout import kronecker_ranks

BATCH = 16384
"""Pixels of a training step on a CPU: smaller ones are noisier, larger ones slower (kodim15)."""

GPU_BATCH = 1 << 18
"""Pixels of a training step on a GPU, where most pictures then take part whole."""


class Problem:
    """A picture, and the function of α that should become it."""

    def __init__(self, raster: Raster, header: Header, device: str) -> None:
        """Grow the network of `header` and put the raster's samples, in [-1, 1], beside it."""
        self.header = header
        self.device = device
        self.network, self.pranc = grow(header, device)
        self.coordinates = grid((header.width, header.height), device=device)
        unit = torch.from_numpy(to_unit(raster)).reshape(-1, raster.channels)
        self.targets = (2 * unit - 1).to(device)
        self.peak = raster.peak
        self.precision = training_precision(device)
        batch = GPU_BATCH if device == "cuda" else BATCH
        self.batch = min(batch, len(self.targets))
        self._sampler = torch.Generator().manual_seed(header.seed)

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """The matrix that each layer's coefficients form, for optimisers that use it."""
        return [self._shape(index) for index in range(len(self.pranc.blocks))]

    def _shape(self, index: int) -> tuple[int, int]:
        block = self.pranc.blocks[index]
        if block.basis.name == "identity":
            return block.rows, block.cols
        if block.basis.name == "kronecker":
            return kronecker_ranks(block.rows, block.cols, self.header.compaction)
        return block.basis.k, 1

    def sample(self) -> Tensor | slice:
        """The pixels of one training step, drawn from the seed; all where they fit."""
        if self.batch == len(self.targets):
            return slice(None)
        drawn = torch.randint(len(self.targets), (self.batch,), generator=self._sampler)
        return drawn.to(self.device)

    def loss(self, alphas: Sequence[Tensor], pixels: Tensor | slice) -> Tensor:
        """Mean squared error of the samples, in [-1, 1], over some pixels."""
        matrices = self.pranc.matrices(alphas)
        output = self.network.evaluate(matrices, self.coordinates[pixels], self.precision)
        return (output - self.targets[pixels]).square().mean()

    @torch.no_grad()
    def psnr(self, alphas: Sequence[Tensor]) -> float:
        """PSNR in dB of the picture as it would be decoded, its samples rounded."""
        matrices = self.pranc.matrices(alphas)
        total = 0.0
        for xy, target in zip(
            self.coordinates.split(1 << 16), self.targets.split(1 << 16), strict=True
        ):
            output = self.network.evaluate(matrices, xy)
            codes = ((output + 1) / 2 * self.peak).clamp_(0, self.peak).add_(0.5).floor_()
            error = codes - (target + 1) / 2 * self.peak
            total += error.double().square().sum().item()
        mse = total / self.targets.numel()
        return 10 * math.log10(self.peak**2 / mse) if mse else math.inf

    @torch.no_grad()
    def jacobian(self, alphas: Sequence[Tensor], pixels: Tensor) -> list[Tensor]:
        """Derivatives of the outputs at some pixels by α, (outputs, k) a layer."""
        matrices = self.pranc.matrices(alphas)
        by_layer = self.network.jacobian(matrices, self.coordinates[pixels])
        return [
            block.basis.project((rows * block.scale.expand(block.rows, -1).flatten()).T).T
            for block, rows in zip(self.pranc.blocks, by_layer, strict=True)
        ]


def training_precision(device: str) -> torch.dtype:
    """bfloat16 where the processor multiplies it natively, else float32."""
    if device == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    native = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return torch.bfloat16 if native is not None and native() else torch.float32
