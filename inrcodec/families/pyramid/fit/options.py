"""The numbers that steer start, optimizers, curvature and RDOQ of a pyramid's training.

Numbers without a measurement beside them were set by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from inrcodec.optim.curvature import factorize
from inrcodec.optim.soap import Soap


class NetworkOptimizer(Protocol):
    """An optimizer of coefficient vectors, which have their gradients in `grad`."""

    def step(self, rate: float) -> None:
        """Move all vectors by about `rate`, times the factor of each."""


MakeOptimizer = Callable[
    [Sequence[Tensor], Sequence[tuple[int, int]], Sequence[float]], NetworkOptimizer
]
"""Makes an optimizer of vectors, from the shape of each one's matrix and the factor of its rate."""


@dataclass(frozen=True)
class OptimizerSettings:
    """How a step moves networks and latents.

    Attributes:
        make_optimizer: Class of the networks' optimizer. Adam in place of SOAP loses 0.2 dB
            (notebook/2026-11-23-pyramid-ablation.md; variation `adam-networks`).
        network_rate: Peak rate of the networks' optimizer. With 0.02 the loss is 60 % higher, with
            0.1 and 0.3 by two to three per cent.
        linear_offset: Added to the mean size of the linear layer's parameters, of which its rate is
            a multiple.
        filter_rate: Factor of the rate of the output filter. It replaces the mean size of the
            parameters, which start at 0.
        taps_rate: The same factor for the filters of planes.
        context_rate: The same factor for the three layers of the context network.
        rise: Steps until rates reach their peak.
        latent_betas: Decays of Adam's two moments for the latents. With 0.99 and 0.999 as the
            second the loss is 1 and 2 % higher.
    """

    make_optimizer: MakeOptimizer = Soap
    network_rate: float = 0.2
    linear_offset: float = 0.05
    filter_rate: float = 0.02
    taps_rate: float = 0.05
    context_rate: float = 0.15
    rise: int = 40
    latent_betas: tuple[float, float] = (0.9, 0.95)


@dataclass(frozen=True)
class StartSettings:
    """How a training starts: in closed form, then on the picture at half its size.

    Attributes:
        set_ratio: λ of a set of planes in closed form, as a multiple of that of the next set.
        chroma_ratio: λ of chroma planes in closed form, as a multiple of that of luma planes.
        shrinkage: What the size of each latent loses in closed form, in steps of the quantizer.
        iterations: Steps of Landweber's iteration that fit a plane to a picture.
        iteration_rate: Length of these steps, where 1 would do for a plane without overlap.
        fit_pixels: Sample of pixels for the least squares of the linear layer.
        ridge: Ridge of these least squares, as a multiple of the number of pixels.
        least_side: Pictures with a shorter side than this have no warm-up, in pixels; a huge number
            switches warm-ups off.
        steps_factor: Steps of the warm-up at each size are this times the square root of the steps
            at the whole size. After 130 steps at the whole 240 are 0.25 dB ahead of 120, for a
            fifth more time; after 1,200 and 1,300 steps 400 are 0.07 dB ahead of 800 in equal time.
        hot: Temperature of the soft rounding at the start of a warm-up.
        cold: Temperature at its end.
        latent_rate: Adam's peak rate in a warm-up, in steps of the quantizer.
        last_rate: Rates at the end of a warm-up, as a share of the peak; 0.1 and 0.6 are level.
    """

    set_ratio: float = 12.0
    chroma_ratio: float = 1 / 0.6
    shrinkage: float = 0.1
    iterations: int = 4
    iteration_rate: float = 1.5
    fit_pixels: int = 20000
    ridge: float = 1e-3
    least_side: int = 64
    steps_factor: float = 12.0
    hot: float = 0.5
    cold: float = 0.4
    latent_rate: float = 0.25
    last_rate: float = 0.3


@dataclass(frozen=True)
class CurvatureSettings:
    """How the curvature of the loss is estimated.

    Attributes:
        pixels: Sample of pixels for the synthesis, with one row of derivatives each.
        latents: Sample of latents for the context network.
        damping: Added to the diagonal of the curvature, as a share of its mean.
        factorize: Function that gives the lower Cholesky factor of a curvature (k, k). A diagonal
            one rounds coefficients independently (variation `independent-rounding`).
    """

    pixels: int = 1 << 14
    latents: int = 1 << 15
    damping: float = 1e-3
    factorize: Callable[[NDArray[np.float64]], NDArray[np.float64]] = factorize


@dataclass(frozen=True)
class RdoqSettings:
    """Numbers that steer RDOQ.

    Attributes:
        largest_level: Latents of planes of higher levels (coarser) stay: they are few, and each
            changes a large part of the picture.
        far_off: a latent moves towards its trained value only if that is further from the integer
            than this, in steps of the quantizer.
        saving: bits that a move is assumed to save other latents at most; a move that needs more is
            rejected before all of them are counted. With 8 in place of 4 a pass takes a quarter
            longer and gains 0.01 dB at most; without plane filters 2 in place of 8 takes half the
            time and loses 0.012 dB (four pictures).
        judged_share: moves are judged without the outermost pixels whose weight is below this share
            of the latent's largest, along each axis; they are carried out in full. For planes with
            filters only. With 0.2 passes along the gradient gain 0.01 to 0.04 dB less, in three
            quarters of the time (kodim15 at 0.3 bpp, kodim04 at 0.6 bpp).
        tried: share of a plane's latents that a pass along the gradient tries, for planes of level
            0, level 1 and higher levels: those with the largest gradients. They include 85 to 95 %
            of the latents that a pass over all would move (kodim15 and kodim04).
        parts: parts of a pass that is led to a number of bits; λ changes between them.
        gain: exponent of λ's correction in such a pass: after each part λ is multiplied by
            exp(gain · (relative change of the part's bits - relative change that the rest needs)).
        largest_correction: largest change of log λ after one part.
        largest_drift: largest change of log λ in a whole pass.
    """

    largest_level: int = 3
    far_off: float = 0.3
    saving: float = 4.0
    judged_share: float = 0.1
    tried: tuple[float, ...] = (0.1, 0.25, 0.5)
    parts: int = 32
    gain: float = 6.0
    largest_correction: float = 0.4
    largest_drift: float = 2.5


OPTIMIZER = OptimizerSettings()
START = StartSettings()
CURVATURE = CurvatureSettings()
RDOQ = RdoqSettings()
