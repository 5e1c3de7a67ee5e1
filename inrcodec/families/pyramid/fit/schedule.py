"""Temperature, noise and learning rates over a training.

Soft rounding and noise stand for the quantization of latents and sharpen as the temperature falls
(C3, Kim et al. 2024). Where hard rounding has a much larger error than soft rounding, the training
is too hot: `RoundingGap` measures that and cools it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inrcodec.families.pyramid.fit.problem import PyramidProblem
from inrcodec.families.pyramid.settings import ScheduleSettings


@dataclass(frozen=True)
class Schedule:
    """The schedule of a training of `steps` steps."""

    settings: ScheduleSettings
    steps: int

    @property
    def cold(self) -> float:
        """Temperature at the end."""
        return self.settings.cold.at(self.steps)

    @property
    def latent_rate(self) -> float:
        """Peak learning rate of the latents, in quantizer steps."""
        return self.settings.latent_rate.at(self.steps)

    def temperature(self, step: int, heat: float) -> float:
        """Temperature at a step: from `heat` times the initial one linearly to the final one.

        >>> schedule = Schedule(ScheduleSettings(), steps=800)
        >>> [round(schedule.temperature(step, heat=1.0), 2) for step in (0, 400, 800)]
        [0.6, 0.36, 0.12]
        """
        hot = max(self.cold, self.settings.hot.at(self.steps) * heat)
        return hot + (self.cold - hot) * (step / self.steps)

    def noise(self, heat: float) -> float:
        """Width of the noise in quantizer steps, at most 1; missing heat adds to it."""
        return min(1.0, self.settings.noise.at(self.steps) + 1 - heat)

    def compares(self, step: int) -> bool:
        """Whether hard and soft rounding are compared after a step."""
        interval = max(self.settings.min_interval, self.steps // self.settings.comparisons)
        return step % interval == 0


@dataclass(eq=False)
class RoundingGap:
    """Hard rounding compared with soft rounding, and the heat that follows from it.

    Attributes:
        planes: bits of each plane (planes,) with hard rounding, as multiples of those with soft
            rounding; 1 before a comparison.
        bits: bits of all latents with hard rounding, as a multiple of those with soft rounding.
        error: mean squared error with hard rounding, as a multiple of that with soft rounding.
        heat: initial temperature as a share of the schedule's.
    """

    planes: NDArray[np.float64]
    bits: float = 1.0
    error: float = 1.0
    heat: float = 1.0

    def measure(self, problem: PyramidProblem, lam: float, error: float, bits: float) -> None:
        """Compare with the error and the bits of the last step, whose rounding was soft."""
        soft = problem.plane_bits()
        hard_error, hard_bits = problem.loss(lam, 0)
        self.error, self.bits = hard_error / error, hard_bits / bits
        self.planes = problem.plane_bits() / np.maximum(soft, 1)

    def adapt_heat(self, settings: ScheduleSettings) -> None:
        """Cool where hard rounding's error is above `hard_error`, else heat up to 1 at most."""
        change = math.exp(-settings.heat_gain * (self.error - settings.hard_error))
        self.heat = min(1.0, max(settings.min_heat, self.heat * change))
