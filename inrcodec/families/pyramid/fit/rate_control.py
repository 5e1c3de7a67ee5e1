"""Rate control: λ follows the wanted size or PSNR during a training."""

from __future__ import annotations

import math

from inrcodec.families.pyramid.fit.budget import latent_budget
from inrcodec.families.pyramid.fit.draft import Draft
from inrcodec.families.pyramid.fit.goal import Goal
from inrcodec.families.pyramid.fit.schedule import RoundingGap
from inrcodec.families.pyramid.settings import PyramidSettings


def control_from(goal: Goal, settings: PyramidSettings) -> float:
    """Share of the training after which λ is controlled."""
    sized_prefixes = bool(goal.prefixes) and goal.size is not None
    return settings.prefixes.from_share if sized_prefixes else settings.control.from_share


def wanted_rate(goal: Goal, settings: PyramidSettings, share: float) -> float:
    """Rate after a share of the training, as a multiple of the final one.

    >>> [round(wanted_rate(Goal(size=1), PyramidSettings(), share), 2) for share in (0, 0.5, 0.9)]
    [2.21, 1.24, 1.0]
    """
    surplus = settings.prefixes.surplus if goal.prefixes else settings.control.surplus
    return 1 + surplus * max(0.0, settings.control.surplus_until - share) ** 2


def lam_factor(
    draft: Draft,
    settings: PyramidSettings,
    loss: tuple[float, float],
    gap: RoundingGap,
    share: float,
    steps: int,
) -> float:
    """Factor on λ after a step.

    `loss` is the step's mean squared error and bits, `share` the share of the training's `steps`
    that is done.
    """
    control, goal, (error, bits) = settings.control, draft.goal, loss
    if goal.size is not None:
        wanted = wanted_rate(goal, settings, share) * latent_budget(draft, control)
        off = math.log(max(bits * gap.bits, 1.0) / wanted)
    else:
        off = math.log(goal.error / max(control.rdoq_loss * error * gap.error, 1e-9))
    gain = min(control.max_gain, control.gain / steps)
    return math.exp(gain * min(1.0, max(-1.0, off)))
