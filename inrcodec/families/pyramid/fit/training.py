"""The state of a training, and one step of it."""

from __future__ import annotations

from dataclasses import dataclass

from inrcodec.families.pyramid.fit.draft import Draft
from inrcodec.families.pyramid.fit.optimizer import Optimizer
from inrcodec.families.pyramid.fit.problem import PyramidProblem
from inrcodec.families.pyramid.fit.schedule import Schedule
from inrcodec.families.pyramid.settings import PyramidSettings
from inrcodec.optim.clock import Clock


@dataclass(eq=False)
class Training:
    """A training after its start.

    Attributes:
        draft: the file in the making, with the problem and the goal.
        optimizer: the state of the optimizers.
        schedule: temperature and learning rates.
        settings: all settings.
        clock: counts steps and reports progress.
        lam: λ, weight of the bits per pixel beside the mean squared error.
    """

    draft: Draft
    optimizer: Optimizer
    schedule: Schedule
    settings: PyramidSettings
    clock: Clock
    lam: float

    @property
    def problem(self) -> PyramidProblem:
        """The latents and networks."""
        return self.draft.problem

    @property
    def steps(self) -> int:
        """Steps of the training, those of its start aside."""
        return self.schedule.steps

    def step(self, temperature: float, rate: float) -> tuple[float, float]:
        """Train latents and unquantized layers for a step, at a share of the peak learning rates.

        Returns:
            Mean squared error and bits before the step, with soft rounding.
        """
        return self.optimizer.step(
            self.lam,
            temperature,
            self.settings.optimizer.network_rate * rate,
            self.schedule.latent_rate * rate,
            [layer is not None for layer in self.draft.layers],
        )

    def report(self, phase: str, error: float, bits: float) -> None:
        """Count a step and report its PSNR and the estimated size of the file."""
        self.clock.advance(1, phase, self.problem.psnr(error), self.draft.estimate(bits))
