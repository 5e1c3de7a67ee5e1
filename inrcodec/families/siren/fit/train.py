"""The fit: training real coefficients to the least error."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from inrcodec.families.siren.fit.problem import Problem
from inrcodec.kernels.threads import one_thread
from inrcodec.optim.clock import WARM_UP, Clock, cosine
from inrcodec.optim.soap import Soap

FIT_RATE = 0.2
"""Peak learning rate of the fit, in initial standard deviations per step."""

LONG_FIT = 8000
"""In fits of more steps the coefficients decay."""

DECAY = 1e-3
"""What they lose in a step, as a share of them and a multiple of the rate (AdamW, Loshchilov &
Hutter 2019). Without it they grow for as long as the rate is high, on fine texture until rounding
them costs more than the longer fit brought: 14,000 steps on kodim13 at 0.155 bits per pixel gave
20.6 dB, with it 21.2, where 8,000 give 21.15; kodim05 and kodim15 are level."""

CHECK = 50
"""Steps over which the fit's loss is averaged to see whether it diverges."""

DIVERGED = 1.5
"""A loss so many times the least one so far means that the learning rate was too high."""


@one_thread()
def fit(
    problem: Problem,
    steps: int,
    clock: Clock,
    start: Sequence[Tensor] | None = None,
    peak: float = FIT_RATE,
) -> list[Tensor]:
    """Train the coefficients (k,) of each layer to least mean squared error.

    The rate that is best for most pictures is too high for some. Where the loss rises far above its
    least, or has not fallen below a constant picture's by the full rate, training goes back to the
    best point and on at half the rate. It starts from zero, or from what was trained before, which
    the full rate may first make worse.
    """
    begin = problem.zeros() if start is None else list(start)
    alphas = [alpha.clone() for alpha in begin]
    soap = Soap(problem.pieces(alphas), problem.shapes, problem.rates)
    constant = float((problem.targets - problem.targets.mean(0)).square().mean())
    lowest, least, total = peak / 8, math.inf, 0.0
    settled = 0 if start is None else min(2 * WARM_UP, steps // 2)
    best = [alpha.clone() for alpha in alphas]
    for step in range(steps):
        loss, gradients = problem.gradient(alphas, problem.sample())
        rate = peak * cosine(step, steps)
        soap.step(rate, problem.pieces(gradients))
        if steps > LONG_FIT:
            for alpha in alphas:
                alpha *= 1 - DECAY * rate
        total += loss
        if (step + 1) % CHECK == 0:
            mean, total = total / CHECK, 0.0
            # A picture that is nearly constant itself is no sign of anything, nor are the first
            # steps at the full rate.
            stuck = step >= 2 * CHECK and mean > 0.9 * constant > 0.01 and peak > lowest
            if stuck or not mean < DIVERGED * least:
                peak /= 2
                # Stuck at a constant, nothing so far is worth keeping.
                alphas = [alpha.clone() for alpha in (begin if stuck else best)]
                soap = Soap(problem.pieces(alphas), problem.shapes, problem.rates)
            elif mean < least and step >= settled:
                least, best = mean, [alpha.clone() for alpha in alphas]
        clock.advance(1, "fit", psnr_of(loss))
    return alphas


def psnr_of(loss: float) -> float:
    """PSNR in dB of a mean squared error over samples in [-1, 1]."""
    return 10 * math.log10(4 / max(loss, 1e-20))
