"""Stages of a file that end too late, and step codes with which they end earlier."""

from __future__ import annotations

import math
from collections.abc import Sequence

from inrcodec.families.siren.fit.codes import STEPS_PER_OCTAVE, StepCodes


def with_earlier_ends(codes: StepCodes, ends: Sequence[int], wanted: Sequence[float]) -> StepCodes:
    """Step codes with which stages end at the wanted bytes, where they end later now.

    `ends` are the bytes at which the stages of a file end, `wanted` those at which all but the last
    should end at the latest. Where none ends too late, these are the same `codes`.

    For each stage that does, its coefficients and all earlier ones get as many bits less as all
    later ones get more, so that the file keeps its size.
    """
    counts = codes.sizes.sum(0)
    result = codes
    for stage, (latest, end) in enumerate(zip(wanted, ends, strict=False), 1):
        excess = end - latest
        if excess > 0:
            early, later = int(counts[:stage].sum()), int(counts[stage:].sum())
            bits = 8 * excess * (early + later) / (early * later)
            result = result.with_finer(stage, math.ceil(STEPS_PER_OCTAVE * bits))
    return result
