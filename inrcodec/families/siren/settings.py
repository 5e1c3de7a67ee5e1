"""Settings of a SIREN's training: shape of the network, fit, curvature, rounding, stages, search.

Each field says what it is and where its value was measured: a page of notebook/, or a variation of
eval/variations.py. Experiments use `dataclasses.replace`:

>>> from dataclasses import replace
>>> settings = SirenSettings()
>>> replace(settings, shape=replace(settings.shape, depth=5)).shape.depth
5
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from inrcodec.families.siren.fit.codes import CodeRule, equal_slopes
from inrcodec.families.siren.fit.sampling import Sampler, stratified
from inrcodec.optim.curvature import factorize
from inrcodec.optim.soap import Soap


class Optimizer(Protocol):
    """What the fit asks of an optimizer: `Soap`, or another with the same arguments."""

    def __init__(
        self,
        vectors: Sequence[Tensor],
        shapes: Sequence[tuple[int, int]],
        rates: Sequence[float],
    ) -> None:
        """Coefficient vectors, trained in place; shapes of their matrices; factors of rates."""

    def step(self, rate: float, gradients: Sequence[Tensor]) -> Any:
        """Move the vectors against their gradients; `rate` is the length per entry."""


@dataclass(frozen=True)
class SirenEffort:
    """How much work one effort level is.

    Attributes:
        fit_steps: steps of a fit.
        refit_steps: steps of the refit after each rounded layer.
        curvature_pixels: pixels that each estimate of the curvature samples.
    """

    fit_steps: int
    refit_steps: int
    curvature_pixels: int


def first_omega(width: int) -> float:
    """ω of the first layer: a wider network has enough coefficients for higher frequencies.

    Among 20, 30, 45, 60 and 90 (fits of 1,000 steps at full size), 45 and 60 are best at a width of
    45 (kodim19: 0.28 and 0.47 dB above 30, kodim13: both 0.15 dB), 30 and 45 at a width of 48
    (kodim05, kodim15), 20 and 30 at a width of 24 (kodim15, kodim19;
    notebook/2026-11-22-siren-network.md).

    >>> first_omega(8), first_omega(45), first_omega(100)
    (24.0, 45.0, 60.0)
    """
    return float(min(60, max(24, width)))


@dataclass(frozen=True)
class ShapeSettings:
    """Choice of the network's shape for a number of bytes."""

    depth: int = 8
    """Maximum number of sine layers; many narrow layers use the same bytes better than few wide
    ones (notebook/2026-11-22-siren-network.md; variations depth-5, depth-6 and depth-10)."""

    least_width: int = 3
    """Least units of a layer per sine layer; a narrower network gets fewer layers, which use a
    small budget better (notebook/2026-11-22-siren-network.md)."""

    bits_per_coefficient: float = 5.0
    """Bits per coefficient that size the network: width and precision are in balance at equal
    bytes (variations bits-4.5, bits-5.5)."""

    finest_bits: float = 9.0
    """Bits per coefficient where the network would have more coefficients than half the samples,
    because additional coefficients would only fit noise."""

    first_omega: Callable[[int], float] = first_omega
    """ω of the first layer as a function of the width, a multiple of 1/4 (variation
    omega-first-30)."""

    omega_hidden: float = 20.0
    """ω of the other sine layers, a multiple of 1/4 (variation omega-hidden-30)."""

    layer_overhead: int = 6
    """Bytes of a file for each layer besides its coded coefficients: its entry in the table of
    models, and rounding (docs/format.md)."""

    segment_overhead: int = 8
    """Bytes of a segment besides its payload, about (docs/format.md)."""


@dataclass(frozen=True)
class FitSettings:
    """Training of real coefficients to the least squared error."""

    batch: int = 16384
    """Pixels of a training step on a CPU; half or twice as many are 0.7 dB worse after equal time
    (kodim15, 768x512, 20 s)."""

    gpu_batch: int = 1 << 18
    """Pixels of a training step on a GPU, where most pictures then take part whole."""

    sampler: Sampler = stratified
    """Choice of the pixels of a step; stratified sampling has less variance than independent draws,
    which is worth 0.16 dB after 1,000 steps (kodim15, 768x512; variation unbound-pixels)."""

    optimizer: type[Optimizer] = Soap
    """Optimizer of the fit (variation adam)."""

    rate: float = 0.2
    """Peak learning rate, in initial standard deviations per step (variation fit-rate-0.1)."""

    first_rate: float = 0.03
    """Factor of the learning rate in the first layer of wide networks. At the full rate its
    frequencies move faster than the layers above can follow, which costs 1.0 dB on kodim15 and
    0.5 dB on kodim05 after 1,000 steps (768x512, eight layers of 48); a frozen first layer is
    within 0.1 dB (notebook/2026-11-22-siren-network.md; variation equal-rates)."""

    narrow: int = 16
    """Width up to which the first layer has the full rate, because few units have too few
    frequencies to leave them where they start (0.6 dB better at 15 units;
    notebook/2026-11-22-siren-network.md)."""

    wide: int = 24
    """Width from which the first layer has `first_rate`; it is interpolated in between."""

    long_fit: int = 8000
    """Fits of more steps have weight decay (notebook/2026-11-23-siren-effort.md)."""

    decay: float = 1e-3
    """Weight decay of long fits, as a multiple of the learning rate (AdamW, Loshchilov & Hutter
    2019). Without it coefficients grow while the rate is high, until their rounding costs more than
    the longer fit gains: 14,000 steps on kodim13 at 0.155 bits per pixel give 20.6 dB without and
    21.2 dB with it, 8,000 steps 21.15 dB; kodim05 and kodim15 are level
    (notebook/2026-11-23-siren-effort.md)."""

    check: int = 50
    """Steps over which the loss is averaged to detect divergence."""

    diverged: float = 1.5
    """Factor of the least average loss above which the learning rate counts as too high."""

    stuck: float = 0.9
    """Share of a constant picture's error above which a fit at the full rate counts as stuck."""


@dataclass(frozen=True)
class CurvatureSettings:
    """Gauss-Newton curvature that rounding takes as its metric."""

    damping: float = 1e-3
    """Added to the diagonal, as a share of the loss at the fit: it limits the use of the flattest
    directions, where the quadratic model is least exact. A third or three times as much changes
    nothing (kodim05, kodim15), thirty times as much costs quality (variation damping-tenfold)."""

    limit_group: int = 6144
    """Maximum number of coefficients of a block; its Cholesky factor costs 6144³/3 operations."""

    factorize: Callable[[NDArray[np.float64]], NDArray[np.float64]] = factorize
    """Cholesky factor of a block (k, k), lower; a diagonal factor makes the rounding errors of
    coefficients independent (variation no-compensation)."""


@dataclass(frozen=True)
class RoundingSettings:
    """Quantization of the layers one after the other under a budget."""

    step_codes: CodeRule = equal_slopes
    """Relative step codes of the matrices from their sensitivities (variation one-step)."""

    edge: int = 32
    """Half the width of the dead zone in 1/64 steps; 32 is a uniform quantizer, and a wider dead
    zone gained nothing (notebook/2026-11-22-siren-ablation.md; variation dead-zone)."""

    refit_rate: float = 0.02
    """Peak learning rate of a refit, in initial standard deviations per step; half of it is 0.09 dB
    worse on kodim15 and equal on kodim05, a quarter is worse on both (variation
    refit-rate-0.005)."""

    finer: int = 8
    """Maximum number of codes by which the output layer is finer than planned where bytes are left
    over."""

    coarser: int = 4
    """Codes of the last sine layer that are tried, the finest that fits first, until an output
    layer fits."""

    least_share: float = 0.97
    """Share of a byte budget that a file must use at least."""

    preview_bytes: int = 1000
    """Bytes of the picture from which the last bit of each coefficient has a segment of its own;
    for 8 bytes, the first 79 % of a file then show the picture (22.8 of 29.4 dB on kodim15 at
    384x256, 0.27 bpp)."""

    contribution_pixels: int = 4096
    """Pixels on which the order "contribution" measures what a bit plane is worth."""


@dataclass(frozen=True)
class StageSettings:
    """Progressive SIRENs, which grow in stages."""

    shares: tuple[tuple[int, tuple[float, ...]], ...] = (
        (2000, (0.25, 0.5, 0.75, 1.0)),
        (800, (0.5, 1.0)),
    )
    """Least bytes of the picture, and the shares of the file at which stages then end; smaller
    files have no stages (notebook/2026-11-28-siren-stages-eight-pictures.md)."""

    bits: tuple[float, ...] = (7.0, 5.8, 5.4, 5.2)
    """Bits per coefficient of each stage of a colour picture: early stages affect more of the
    picture, so that they need finer quantization (notebook/2026-11-28-siren-stages-rounding.md)."""

    grey_bits: tuple[float, ...] = (8.4, 6.4, 5.5, 4.7)
    """Bits per coefficient of each stage of a picture of one or two channels
    (notebook/2026-11-28-siren-stages-rounding.md)."""

    least_first_width: float = 1.2
    """Least units of the first stage per sine layer; otherwise the network gets fewer layers,
    because a narrow first stage shows little, although eight layers are 1.0 and 0.35 dB better
    than five for the whole file (kodim15, X-ray 00870a9c;
    notebook/2026-11-28-siren-stages-training.md)."""

    margin: float = 0.015
    """Share of the file by which a stage is planned to end earlier, because its bits are not known
    in advance."""

    layer_overhead: int = 3
    """Bytes of a stage for each layer besides its coded coefficients (docs/format.md)."""

    limit_late: int = 3
    """Maximum number of times that a file is made again because a stage ends too late."""

    earlier_weight: float = 0.1
    """Weight in the loss of the pictures of earlier stages while a stage is added
    (notebook/2026-11-28-siren-stages-eight-pictures.md)."""

    final_weights: tuple[float, ...] = (0.01, 0.05, 0.25)
    """Weights in the loss of the last pictures before the whole one, whose weight is 1, when all
    stages are trained together; still earlier ones have the first weight
    (notebook/2026-11-28-siren-stages-eight-pictures.md)."""

    together_rate: float = 0.1
    """Peak learning rate when all stages are trained together, half of a fit's, because they start
    from trained coefficients (notebook/2026-11-28-siren-stages-training.md)."""

    together_fits: int = 2
    """Training of all stages together, in fits of the effort level, after one fit for each stage
    (notebook/2026-11-28-siren-stages-training.md)."""

    refit_factor: int = 3
    """Factor of an effort's refit steps: 0.05 dB on kodim15
    (notebook/2026-11-28-siren-stages-training.md)."""

    pixels_factor: int = 4
    """Factor of an effort's curvature pixels, because one pixel's random sum of channels has to
    stand for the channels of all stages: 0.04 dB (notebook/2026-11-28-siren-stages-rounding.md)."""


@dataclass(frozen=True)
class SearchSettings:
    """Search for a file of a wanted PSNR."""

    tolerance: float = 0.1
    """Decibels above the wanted PSNR that end the search among files of one fit."""

    files: int = 6
    """Maximum number of files of one fit that the search makes."""

    fixed_bytes: int = 300
    """Bytes that a file is expected to take besides those that its pixels determine."""

    bits_per_pixel: float = 0.12
    """Bits per pixel expected at 28 dB, for a picture of medium detail; they double every 4 dB."""

    fits: int = 6
    """Maximum number of fits until a PSNR counts as unreachable."""

    growth: float = 4.0
    """Maximum factor of the bytes from one fit to the next."""

    excess: float = 1.25
    """Factor of the bytes that the missing decibels ask for, at 2.5 dB for twice the bytes (2 to
    3 dB were measured)."""


EFFORTS = (
    SirenEffort(350, 2, 4096),
    SirenEffort(680, 15, 4096),
    SirenEffort(1400, 50, 6144),
    SirenEffort(2800, 100, 8192),
    SirenEffort(5600, 200, 8192),
    SirenEffort(8000, 300, 8192),
    SirenEffort(10000, 360, 8192),
    SirenEffort(12500, 450, 8192),
    SirenEffort(16000, 580, 8192),
)
"""Work of the levels 1 to 9. Level 3 takes up to two minutes for 768x512 pixels on two CPU cores,
level 9 up to fifteen. At level 3, 1400 and 50 steps are 0.1 dB better than 1000 and 100, and 0.2 dB
better than 1800 and 0 (kodim05, kodim15 at 768x512, 0.155 bits per pixel); after shorter fits, more
fit steps gain more than refits (notebook/2026-11-23-siren-effort.md; variation no-refit)."""


@dataclass(frozen=True)
class SirenSettings:
    """All numbers and replaceable parts that steer the training of a SIREN."""

    shape: ShapeSettings = field(default_factory=ShapeSettings)
    """Choice of the network's shape."""

    fit: FitSettings = field(default_factory=FitSettings)
    """Training of the coefficients."""

    curvature: CurvatureSettings = field(default_factory=CurvatureSettings)
    """Metric of the rounding."""

    rounding: RoundingSettings = field(default_factory=RoundingSettings)
    """Quantization and refits."""

    stages: StageSettings = field(default_factory=StageSettings)
    """Progressive files."""

    search: SearchSettings = field(default_factory=SearchSettings)
    """Search for a PSNR."""

    efforts: tuple[SirenEffort, ...] = EFFORTS
    """Work of the effort levels 1 to 9 (see `EFFORTS`)."""
