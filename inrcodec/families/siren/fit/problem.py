"""The optimization problem of one picture: loss, gradient, derivatives and PSNR of coefficients α.

Optimizers have one vector of coefficients for each layer; `parametrization` says how they make the
network's matrices.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from inrcodec.container.header import Header
from inrcodec.entropy.layer import Layer
from inrcodec.families.siren.coordinates import grid
from inrcodec.families.siren.file import siren_of
from inrcodec.families.siren.fit.parametrization import (
    Parametrization,
    PlainParametrization,
    StagedParametrization,
    matrix_sizes,
)
from inrcodec.families.siren.kernels.step import SirenStep
from inrcodec.families.siren.network import grow
from inrcodec.families.siren.settings import FitSettings
from inrcodec.image import Raster, to_unit
from inrcodec.metrics import psnr_of_mse

CHUNK = 1 << 16
"""Pixels whose PSNR is computed together."""


class Problem:
    """A picture, and the network whose coefficients are trained to show it.

    Attributes:
        header: picture size, network, basis and seed.
        settings: settings of the fit.
        siren: the network's shape.
        parametrization: from coefficients to matrices.
        targets: (N, outputs), what the network's outputs should be.
        batch: pixels of a training step.
        precision: data type of the layers between the first and the last.
        rng: generator of the pixels of training steps, seeded by the header.
    """

    def __init__(
        self,
        raster: Raster,
        header: Header,
        device: str,
        settings: FitSettings | None = None,
        weights: Sequence[float] = (),
    ) -> None:
        """Grow the network of `header` for the samples of `raster`.

        `weights` are those of the pictures of the stages in the loss; a network without stages has
        none.
        """
        self.header = header
        self.device = device
        self.settings = settings or FitSettings()
        self.siren = siren_of(header)
        self.network, self.pranc = grow(header, device)
        self.parametrization: Parametrization = (
            StagedParametrization(self.network, self.pranc, weights)
            if weights
            else PlainParametrization(self.pranc)
        )
        self.coordinates = torch.from_numpy(grid((header.width, header.height))).to(device)
        self.peak = raster.peak
        self.compute_in(training_precision(device))
        unit = torch.from_numpy(to_unit(raster)).reshape(-1, raster.channels)
        largest = self.settings.gpu_batch if device == "cuda" else self.settings.batch
        self.batch = min(largest, len(unit))
        self.rng = np.random.default_rng(header.seed)
        self.aim_at((2 * unit - 1).to(device))

    def compute_in(self, precision: torch.dtype) -> None:
        """Compute losses and gradients in float32 or bfloat16 from now on."""
        self.precision = precision
        self._step = SirenStep(self.siren, precision) if self.device != "cuda" else None

    def aim_at(self, samples: Tensor) -> None:
        """Set the picture's samples (N, C), in [-1, 1]."""
        self.samples = samples
        self.targets = self.parametrization.targets(samples)
        if self._step is not None:
            self._xy = self.coordinates.T.contiguous().numpy()
            self._outputs = self.targets.T.contiguous().numpy()

    @property
    def staged(self) -> bool:
        """Whether the network grows in stages."""
        return bool(self.siren.stages)

    @property
    def sizes(self) -> list[list[int]]:
        """Numbers of coefficients of each layer's matrices, one for each stage."""
        return matrix_sizes(self.pranc.blocks, self.siren)

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Shape of each of `pieces`, for optimizers that use it."""
        blocks, layers = self.pranc.blocks, self.siren.layers
        return [
            block.coefficient_shape for layer in range(layers) for block in blocks[layer::layers]
        ]

    @property
    def rates(self) -> list[float]:
        """Factor of the learning rate of each of `pieces`."""
        settings = self.settings
        share = (self.siren.width - settings.narrow) / (settings.wide - settings.narrow)
        first = settings.first_rate ** min(1.0, max(0.0, share))
        factors = [first] + [1.0] * (self.siren.layers - 1)
        return [rate for rate in factors for _ in self.siren.widths]

    def pieces(self, vectors: Sequence[Tensor], start: int = 0) -> list[Tensor]:
        """Views of the vectors (k,) of the layers from `start` on, one for each matrix."""
        return [
            piece
            for sizes, vector in zip(self.sizes[start:], vectors, strict=True)
            for piece in vector.split(sizes)
        ]

    def zeros(self) -> list[Tensor]:
        """The coefficients (k,) of each layer at the start, all zero."""
        return [torch.zeros(sum(sizes), device=self.device) for sizes in self.sizes]

    def sample(self) -> Tensor:
        """Indices of the pixels of one training step."""
        size = self.header.height, self.header.width
        return torch.from_numpy(self.settings.sampler(self.rng, *size, self.batch)).to(self.device)

    def gradient(
        self, alphas: Sequence[Tensor], pixels: Tensor, start: int = 0
    ) -> tuple[float, list[Tensor]]:
        """The `loss` over some pixels, and its gradients (k,) by the layers from `start` on."""
        if self._step is None:
            fixed = [alpha.detach() for alpha in alphas[:start]]
            leaves = [alpha.detach().requires_grad_() for alpha in alphas[start:]]
            loss = self.loss([*fixed, *leaves], pixels)
            return loss.item(), list(torch.autograd.grad(loss, leaves))
        with torch.no_grad():
            matrices = self.parametrization.matrices(alphas)
            error, gradients = self._step(matrices, self._xy, self._outputs, pixels.numpy(), start)
            project = self.parametrization.project
            return error, [project(layer, g) for layer, g in enumerate(gradients, start)]

    def loss(self, alphas: Sequence[Tensor], pixels: Tensor | slice) -> Tensor:
        """Mean squared error of the outputs, in [-1, 1], over some pixels; differentiable."""
        matrices = self.parametrization.matrices(alphas)
        output = self.network.evaluate(matrices, self.coordinates[pixels], self.precision)
        return (output - self.targets[pixels]).square().mean()

    @torch.no_grad()
    def psnr(self, alphas: Sequence[Tensor]) -> float:
        """PSNR in dB of the picture that a file of these coefficients decodes to."""
        matrices = self.parametrization.decoded(alphas)
        parts = zip(self.coordinates.split(CHUNK), self.samples.split(CHUNK), strict=True)
        total = 0.0
        for xy, samples in parts:
            output = self.network.evaluate(matrices, xy)
            codes = ((output + 1) / 2 * self.peak).clamp_(0, self.peak).add_(0.5).floor_()
            error = codes - (samples + 1) / 2 * self.peak
            total += error.double().square().sum().item()
        mse = total / self.samples.numel()
        return psnr_of_mse(mse, self.peak)

    @torch.no_grad()
    def derivatives(
        self, alphas: Sequence[Tensor], pixels: Tensor, weights: Tensor, layers: Sequence[int]
    ) -> list[Tensor]:
        """Derivatives (N, k) of N pixels by the coefficients of some layers.

        A pixel stands for the sum of its outputs with `weights` (N, outputs).
        """
        matrices = self.parametrization.matrices(alphas)
        passed = self.network.backpropagate(matrices, self.coordinates[pixels], weights)
        derivatives = []
        for layer in layers:
            inputs, gradients = passed[layer]
            outer = gradients[:, :, None] * inputs[:, None, :]
            derivatives.append(self.parametrization.project(layer, outer))
        return derivatives


def in_file_order(layers: Sequence[Sequence[Layer]]) -> list[Layer]:
    """The blocks of a file, stage after stage, from the quantized matrices of each layer."""
    return [part for stage in zip(*layers, strict=True) for part in stage]


def training_precision(device: str) -> torch.dtype:
    """bfloat16 where the processor multiplies it natively, else float32."""
    if device == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    native = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return torch.bfloat16 if native is not None and native() else torch.float32
