"""Prefixes of a progressive file: weights of their errors and prices of their bits.

The weights make relative changes of the errors count by their importance. The prices lead prefixes
to their shares of the file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inrcodec.families.pyramid.fit.budget import rdoq_excess
from inrcodec.families.pyramid.fit.draft import Draft
from inrcodec.families.pyramid.fit.goal import PrefixGoal
from inrcodec.families.pyramid.fit.problem import Prefix, PyramidProblem
from inrcodec.families.pyramid.fit.rate_control import wanted_rate
from inrcodec.families.pyramid.settings import PyramidSettings


@dataclass(eq=False)
class PrefixControl:
    """The state of a training's prefixes.

    Attributes:
        settings: all settings of the training.
        ratios: error of each prefix as a multiple of that of the whole picture.
        prices: price of each prefix's bits, 1 where its importance alone decides.
    """

    settings: PyramidSettings
    ratios: list[float]
    prices: list[float]

    def follow(
        self, draft: Draft, error: float, planes: NDArray[np.float64], share: float, steps: int
    ) -> None:
        """Adapt weights and prices after a step.

        `error` is that of the whole picture, `planes` the bits of each plane after hard rounding,
        `share` the share of the training's `steps` that is done.
        """
        problem, settings, goals = draft.problem, self.settings.prefixes, draft.goal.prefixes
        budgets = self._budgets(draft, planes, share)
        gain = min(settings.max_price_gain, settings.price_gain / steps)
        least, most = settings.price_range
        for k, (goal, prefix) in enumerate(zip(goals, problem.prefixes, strict=True)):
            self.ratios[k] += settings.ratio_gain * (prefix.error / error - self.ratios[k])
            budget = budgets[k]
            if budget is not None and share >= settings.from_share:
                off = math.log(max(float(planes[: goal.planes].sum()), 1.0) / budget)
                change = gain * min(1.0, max(-1.0, off))
                self.prices[k] = min(most, max(least, self.prices[k] * math.exp(change)))
        self.apply(problem, goals)

    def _budgets(
        self, draft: Draft, planes: NDArray[np.float64], share: float
    ) -> list[float | None]:
        """Bits that the latents of each prefix may take now; None where they are not controlled."""
        goal, control = draft.goal, self.settings.control
        other = 8 * draft.overhead + draft.network_bits
        if goal.size is not None:
            size = 8.0 * (goal.size - draft.metadata_size)
            rate = wanted_rate(goal, self.settings, share)
        else:
            size, rate = float(planes.sum()) / rdoq_excess(draft, control) + other, 1.0
        budgets: list[float | None] = []
        for prefix in goal.prefixes:
            own = None
            if prefix.share is not None:
                free = control.aim * prefix.share * size - other
                least = self.settings.prefixes.min_latent_share * prefix.share * size
                own = rate * free if free >= least else None
            budgets.append(own)
        return budgets

    def apply(self, problem: PyramidProblem, goals: tuple[PrefixGoal, ...]) -> None:
        """Give the problem the weights of the prefixes' errors and the prices of the planes' bits.

        A prefix of no wanted size adds nothing to the prices.
        """
        problem.price[:] = 1
        for goal, prefix, ratio, price in zip(
            goals, problem.prefixes, self.ratios, self.prices, strict=True
        ):
            prefix.weight = goal.importance / ratio
            if goal.share is not None:
                problem.price[: goal.planes] += goal.importance * price


def begin_prefixes(
    problem: PyramidProblem, goals: tuple[PrefixGoal, ...], settings: PyramidSettings
) -> PrefixControl:
    """The state at the beginning, given to the problem."""
    count = len(goals)
    ratios = [settings.prefixes.first_ratio ** (count - k) for k in range(count)]
    control = PrefixControl(settings, ratios, [1.0] * count)
    problem.prefixes = [Prefix(goal.planes) for goal in goals]
    control.apply(problem, goals)
    return control
