"""Search for the smallest file of a fit that reaches a PSNR."""

from __future__ import annotations

import math

from inrcodec.families.siren.fit.rounding import Candidate, RateControl

FULL = 0.9
"""A file below this share of its budget has the finest steps that exist."""

PRECISION = 0.01
"""The search ends when its bounds differ by less than this share."""

DECIBELS_PER_BIT = 6
"""More PSNR for one bit more a coefficient, where rounding limits it."""


def reaching(control: RateControl, psnr: float, start: int) -> Candidate | None:
    """The smallest file found of at least `psnr` dB, or else that of the highest PSNR.

    None if no file could be made. The search begins at `start` bytes.
    """
    settings = control.settings.search
    low, high, budget = float(control.overhead), math.inf, start
    best: Candidate | None = None
    nearest: Candidate | None = None
    for _ in range(settings.files):
        found = control.within(budget, 0.0)
        if found is None:
            low = max(low, budget)
        elif found.psnr >= psnr:
            best, high = found, len(found.data)
            if found.psnr < psnr + settings.tolerance:
                break
        else:
            nearest = max(nearest or found, found, key=lambda candidate: candidate.psnr)
            low = max(low, len(found.data))
            exhausted = found.psnr > control.ceiling - settings.tolerance
            if len(found.data) < FULL * budget or exhausted:
                break
        missing = 0.0 if found is None else psnr + settings.tolerance / 2 - found.psnr
        budget = round(budget + missing / DECIBELS_PER_BIT * control.coefficients / 8)
        if not low < budget < high:
            budget = round((low + high) / 2 if math.isfinite(high) else 1.25 * low)
        if high - low < PRECISION * high:
            break
    return best or nearest
