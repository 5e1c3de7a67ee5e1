"""Learning-rate schedule and progress of a training."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

WARM_UP = 100
"""Steps of the warm-up, or a tenth of all steps where that is less."""


def cosine(step: int, steps: int) -> float:
    """Learning rate of a step as a share of its peak: linear warm-up, half cosine down to 0."""
    warm_up = min(WARM_UP, steps / 10)
    return min(1.0, (step + 1) / warm_up) * 0.5 * (1 + math.cos(math.pi * step / steps))


@dataclass(frozen=True)
class Progress:
    """Progress of an encoder.

    Attributes:
        phase: name of what it does now.
        share: share of the work that is done, 0 to 1.
        psnr: PSNR of the picture, dB, or None where it is not known.
        size: estimated size of the file, bytes, or None where it is not known.
        seconds_left: estimated time until the end, seconds.
    """

    phase: str
    share: float
    psnr: float | None
    size: int | None
    seconds_left: float


Report = Callable[[Progress], None]


class Clock:
    """Progress reports, a few a second, from the work that is done."""

    def __init__(self, work: float, report: Report | None, size: int | None = None) -> None:
        """`work` is all work, in units of the caller's choice; `size` the bytes aimed at."""
        self._work = work
        self._size = size
        self._psnr: float | None = None
        self._report = report
        self._done = 0.0
        self._began = time.monotonic()
        self._last, self._phase = 0.0, ""

    def advance(
        self, work: float, phase: str, psnr: float | None = None, size: int | None = None
    ) -> None:
        """Count `work` as done, and report it unless `phase` had a report in the last 0.2 seconds.

        A PSNR or size of None leaves the last known one.
        """
        self._done += work
        self._psnr = self._psnr if psnr is None else psnr
        self._size = self._size if size is None else size
        now = time.monotonic()
        if self._report is None or (phase == self._phase and now - self._last < 0.2):
            return
        self._last, self._phase = now, phase
        share = min(1.0, self._done / self._work)
        elapsed = now - self._began
        self._report(Progress(phase, share, self._psnr, self._size, elapsed / share - elapsed))
