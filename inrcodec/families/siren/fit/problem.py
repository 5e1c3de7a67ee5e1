"""One picture to fit: pixels, the network, and how the picture depends on the coefficients.

The optimisers see vectors of coefficients α, one a layer, and a loss; what a network does with them
is the network's business.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from inrcodec.container.head import Header
from inrcodec.entropy.layer import Layer
from inrcodec.families.siren.coordinates import grid
from inrcodec.families.siren.kernels.step import SirenStep
from inrcodec.families.siren.network import grow
from inrcodec.families.siren.shape import Siren
from inrcodec.image import Raster, to_unit
from inrcodec.pranc.layout import kronecker_ranks
from inrcodec.pranc.reparametrization import Block

BATCH = 16384
"""Pixels of a training step on a CPU: after equal time, half or twice as many are 0.7 dB behind
(kodim15, 768x512, 20 s)."""

GPU_BATCH = 1 << 18
"""Pixels of a training step on a GPU, where most pictures then take part whole."""


FIRST_RATE = 0.03
"""Learning rate of the first layer of wide networks, in units of the others'. At the same rate its
frequencies move faster than the layers above can follow: 1.0 dB less on kodim15 and 0.5 on kodim05
after 1,000 steps (768x512, eight layers of 48); frozen it does as well within 0.1 dB."""

FEW, MANY = 16, 24
"""With few units there are too few frequencies to leave them where they are: up to 16 all layers
have one rate (0.6 dB better at 15 units), from 24 on the first has `FIRST_RATE`."""


class Problem:
    """A picture, and the function of α that should become it.

    Attributes:
        staged: whether its network grows in stages.
    """

    staged = False

    def __init__(self, raster: Raster, header: Header, device: str) -> None:
        """Grow the network of `header` and put the raster's samples, in [-1, 1], beside it."""
        assert isinstance(header.network, Siren)
        self.header = header
        self.device = device
        self.network, self.pranc = grow(header, device)
        self.coordinates = grid((header.width, header.height), device=device)
        unit = torch.from_numpy(to_unit(raster)).reshape(-1, raster.channels)
        self.peak = raster.peak
        self.compute_in(training_precision(device))
        batch = GPU_BATCH if device == "cuda" else BATCH
        self.batch = min(batch, len(unit))
        self._rng = np.random.default_rng(header.seed)
        if self._step is not None:
            self._xy = self.coordinates.T.contiguous().numpy()
        self._aim_at((2 * unit - 1).to(device))

    def compute_in(self, precision: torch.dtype) -> None:
        """Compute losses and gradients in float32 or bfloat16 from here on."""
        assert isinstance(self.header.network, Siren)
        self.precision = precision
        on_cpu = self.device != "cuda"
        self._step = SirenStep(self.header.network, precision) if on_cpu else None

    def _aim_at(self, targets: Tensor) -> None:
        """Set what the network's outputs should be, (N, outputs)."""
        self.targets = targets
        if self._step is not None:
            self._samples = targets.T.contiguous().numpy()

    def zeros(self) -> list[Tensor]:
        """The coefficients (k,) of each layer at the start, all zero."""
        return self.pranc.zeros()

    def dense(self, alphas: Sequence[Tensor]) -> list[Tensor]:
        """The matrix (rows, cols) of each layer, differentiable."""
        return self.pranc.matrices(alphas)

    def project(self, layer: int, gradient: Tensor) -> Tensor:
        """The gradient (..., k) by a layer's coefficients, from that by its matrix.

        That one is (..., rows, cols).
        """
        block = self.pranc.blocks[layer]
        flat = (block.scale * gradient).flatten(-2)
        return block.basis.project(flat.movedim(-1, 0)).movedim(0, -1)

    def pieces(self, vectors: Sequence[Tensor], start: int = 0) -> list[Tensor]:
        """Views of vectors (k,) of layers from `start` on, one for each matrix in them."""
        return list(vectors)

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """The matrix that each layer's coefficients form, for optimisers that use it."""
        return [matrix_shape(block, self.header.compaction) for block in self.pranc.blocks]

    @property
    def rates(self) -> list[float]:
        """Factors of the learning rate of each layer."""
        share = (self.header.network.width - FEW) / (MANY - FEW)
        first = FIRST_RATE ** min(1.0, max(0.0, share))
        return [first] + [1.0] * (len(self.pranc.blocks) - 1)

    def sample(self) -> Tensor:
        """The pixels of one training step: one from each cell of a grid, or all where they fit.

        Cells leave less to chance than draws from the whole picture: 0.16 dB after 1,000 steps
        (kodim15, 768x512).
        """
        if self.batch == len(self.targets):
            return torch.arange(self.batch, device=self.device)
        height, width = self.header.height, self.header.width
        rows = min(height, max(1, round(math.sqrt(self.batch * height / width))))
        cols = min(width, self.batch // rows)
        y, x = self._rng.random((2, rows, cols), np.float32)
        y = (np.arange(rows)[:, None] + y) * (height / rows)
        x = (np.arange(cols) + x) * (width / cols)
        # A float just below a cell's end may round up to it.
        y, x = np.minimum(y.astype(np.int64), height - 1), np.minimum(x.astype(np.int64), width - 1)
        return torch.from_numpy((y * width + x).ravel()).to(self.device)

    def gradient(
        self, alphas: Sequence[Tensor], pixels: Tensor, start: int = 0
    ) -> tuple[float, list[Tensor]]:
        """The `loss` of some pixels and its gradient by the coefficients (k,) of layers.

        The layers are those from `start` on.
        """
        if self._step is None:
            fixed = [alpha.detach() for alpha in alphas[:start]]
            leaves = [alpha.detach().requires_grad_() for alpha in alphas[start:]]
            loss = self.loss([*fixed, *leaves], pixels)
            return loss.item(), list(torch.autograd.grad(loss, leaves))
        with torch.no_grad():
            matrices = self.dense(alphas)
            error, gradients = self._step(matrices, self._xy, self._samples, pixels.numpy(), start)
            return error, [self.project(i, g) for i, g in enumerate(gradients, start)]

    def loss(self, alphas: Sequence[Tensor], pixels: Tensor | slice) -> Tensor:
        """Mean squared error of the samples, in [-1, 1], over some pixels; differentiable."""
        matrices = self.dense(alphas)
        output = self.network.evaluate(matrices, self.coordinates[pixels], self.precision)
        return (output - self.targets[pixels]).square().mean()

    @torch.no_grad()
    def psnr(self, alphas: Sequence[Tensor]) -> float:
        """PSNR in dB of the picture as it would be decoded, its samples rounded."""
        matrices, samples = self.shown(alphas)
        total = 0.0
        for xy, target in zip(self.coordinates.split(1 << 16), samples.split(1 << 16), strict=True):
            output = self.network.evaluate(matrices, xy)
            codes = ((output + 1) / 2 * self.peak).clamp_(0, self.peak).add_(0.5).floor_()
            error = codes - (target + 1) / 2 * self.peak
            total += error.double().square().sum().item()
        mse = total / samples.numel()
        return 10 * math.log10(self.peak**2 / mse) if mse else math.inf

    def sizes(self, layer: int) -> list[int]:
        """How many coefficients each matrix in those of a layer has."""
        return [self.pranc.blocks[layer].basis.k]

    def in_file(self, layers: Sequence[Sequence[Layer]]) -> list[Layer]:
        """A file's blocks in its order, from the quantized matrices of the layers."""
        return [part for layer in layers for part in layer]

    def shown(self, alphas: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Matrices of the network that a whole file decodes to, and its samples (N, C)."""
        return self.dense(alphas), self.targets

    @torch.no_grad()
    def derivatives(
        self, alphas: Sequence[Tensor], pixels: Tensor, weights: Tensor, layers: Sequence[int]
    ) -> list[Tensor]:
        """Derivatives (N, k) of outputs at N pixels by the coefficients of some layers.

        `weights` (N, C) say how much of each channel is in a pixel's one output.
        """
        passed = self.network.backpropagate(self.dense(alphas), self.coordinates[pixels], weights)
        derivatives = []
        for layer in layers:
            inputs, gradients = passed[layer]
            derivatives.append(self.project(layer, gradients[:, :, None] * inputs[:, None, :]))
        return derivatives


def matrix_shape(block: Block, compaction: int) -> tuple[int, int]:
    """The matrix that a block's coefficients form, for optimisers that use it."""
    if block.basis.name == "identity":
        return block.rows, block.cols
    if block.basis.name == "kronecker":
        return kronecker_ranks(block.rows, block.cols, compaction)
    return block.basis.k, 1


def training_precision(device: str) -> torch.dtype:
    """bfloat16 where the processor multiplies it natively, else float32."""
    if device == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    native = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return torch.bfloat16 if native is not None and native() else torch.float32
