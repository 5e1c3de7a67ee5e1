"""How many bits the latents of a file of a wanted size may take."""

from __future__ import annotations

import math

import numpy as np

from inrcodec.families.pyramid.fit.draft import Draft
from inrcodec.families.pyramid.settings import RateControlSettings


def latent_budget(draft: Draft, settings: RateControlSettings) -> float:
    """Bits that the latents are trained for, before RDOQ."""
    size = draft.goal.size
    assert size is not None
    other = draft.overhead + draft.metadata_size
    free = 8 * (settings.aim * size - other) - draft.network_bits
    least = settings.min_latent_share * 8 * size
    return rdoq_excess(draft, settings) * max(free, least)


def rdoq_excess(draft: Draft, settings: RateControlSettings) -> float:
    """Bits of the latents before RDOQ as a multiple of those after it.

    RDOQ changes only the last set of planes; the excess counts for its share of the bits. Without
    a wanted size the rate is that of the latents.
    """
    problem, size = draft.problem, draft.goal.size
    planes, last = problem.plane_bits(), problem.architecture.sets[-1]
    bits = float(planes.sum()) if size is None else 8.0 * size
    rates, factors = zip(*settings.excess, strict=True)
    log_rates = [math.log(rate) for rate in rates]
    excess = float(np.interp(math.log(max(bits, 1) / problem.pixels), log_rates, factors))
    if last == len(planes) or not planes.any():
        return excess
    return 1 + (excess - 1) * float(planes[-last:].sum() / planes.sum())
