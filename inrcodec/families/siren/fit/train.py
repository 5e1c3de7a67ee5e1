"""The fit: training of real coefficients to the least mean squared error."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from inrcodec.families.siren.fit.problem import Problem
from inrcodec.families.siren.settings import FitSettings, Optimizer
from inrcodec.kernels.threads import one_thread
from inrcodec.metrics import psnr_of_mse
from inrcodec.optim.clock import WARM_UP, Clock, cosine

HALVINGS = 3
"""Number of halvings of the learning rate after which a stuck fit is left as it is."""


@one_thread()
def fit(
    problem: Problem,
    steps: int,
    clock: Clock,
    start: Sequence[Tensor] | None = None,
    peak: float | None = None,
) -> list[Tensor]:
    """Train the coefficients (k,) of each layer to the least mean squared error.

    Training begins at zero, or at `start`, and has the learning rate `peak`, by default that of the
    problem's settings. Where it diverges, it goes on from the best coefficients at half the rate
    (`Restarts`).
    """
    settings = problem.settings
    begin = problem.zeros() if start is None else list(start)
    # At its first full rate, training may lose what `start` has.
    settled = 0 if start is None else min(2 * WARM_UP, steps // 2)
    error = float((problem.targets - problem.targets.mean(0)).square().mean())
    restarts = Restarts(settings, begin, settings.rate if peak is None else peak, error, settled)
    alphas = _copies(begin)
    optimizer = _optimizer(problem, alphas)
    for step in range(steps):
        loss, gradients = problem.gradient(alphas, problem.sample())
        rate = restarts.peak * cosine(step, steps)
        optimizer.step(rate, problem.pieces(gradients))
        if steps > settings.long_fit:
            for alpha in alphas:
                alpha *= 1 - settings.decay * rate
        back = restarts.check(step, loss, alphas)
        if back is not None:
            alphas = back
            optimizer = _optimizer(problem, alphas)
        clock.advance(1, "fit", psnr_of(loss))
    return alphas


class Restarts:
    """Detection of divergence, and where training goes on after it.

    The rate that is best for most pictures is too high for some: the loss rises far above its least
    value, or at the full rate it stays near that of a constant picture. Then the rate is halved.

    Attributes:
        peak: the peak learning rate, which restarts halve.
    """

    def __init__(
        self,
        settings: FitSettings,
        begin: Sequence[Tensor],
        peak: float,
        constant: float,
        settled: int,
    ) -> None:
        """Training from the coefficients `begin`.

        `constant` is the error of a constant picture; the best coefficients are looked for from the
        step `settled` on.
        """
        self._settings = settings
        self._begin = begin
        self._best = _copies(begin)
        self._constant, self._settled = constant, settled
        self._least, self._total = math.inf, 0.0
        self.peak = peak
        self._lowest = peak / 2**HALVINGS

    def check(self, step: int, loss: float, alphas: Sequence[Tensor]) -> list[Tensor] | None:
        """Where to go on after a step of some loss: at new coefficients, or None as before."""
        self._total += loss
        settings = self._settings
        if (step + 1) % settings.check:
            return None
        mean, self._total = self._total / settings.check, 0.0
        # An almost constant picture says nothing, nor do the first steps at the full rate.
        stuck = (
            step >= 2 * settings.check
            and mean > settings.stuck * self._constant > 0.01
            and self.peak > self._lowest
        )
        if stuck or not mean < settings.diverged * self._least:
            self.peak /= 2
            # Coefficients of a constant picture are worth nothing.
            return _copies(self._begin if stuck else self._best)
        if mean < self._least and step >= self._settled:
            self._least, self._best = mean, _copies(alphas)
        return None


def psnr_of(loss: float) -> float:
    """PSNR in dB of a mean squared error over samples in [-1, 1]."""
    return psnr_of_mse(max(loss, 1e-20), peak=2)


def _optimizer(problem: Problem, alphas: Sequence[Tensor]) -> Optimizer:
    return problem.settings.optimizer(problem.pieces(alphas), problem.shapes, problem.rates)


def _copies(alphas: Sequence[Tensor]) -> list[Tensor]:
    return [alpha.clone() for alpha in alphas]
