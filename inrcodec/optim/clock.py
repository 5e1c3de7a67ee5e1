"""Learning-rate schedule and progress of a training, and the work of the effort levels."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Effort:
    """How long to train.

    Attributes:
        fit_steps: steps of a SIREN's fit.
        refit_steps: of the refit after each of its layers.
        curvature_pixels: pixels that show its curvature.
        pyramid_steps: of a pyramid's training, if its networks are the largest of effort 3.
            Smaller ones have more in the same time, `pyramid_encoder.training_steps`.
        gpu_steps: likewise, on a GPU.
    """

    fit_steps: int
    refit_steps: int
    curvature_pixels: int
    pyramid_steps: int
    gpu_steps: int


EFFORTS = {
    1: Effort(350, 2, 4096, 40, 200),
    2: Effort(680, 15, 4096, 500, 1500),
    3: Effort(1400, 50, 6144, 1000, 5300),
    4: Effort(2800, 100, 8192, 1700, 6500),
    5: Effort(5600, 200, 8192, 2600, 8000),
    6: Effort(8000, 300, 8192, 3900, 9600),
    7: Effort(10000, 360, 8192, 5300, 12000),
    8: Effort(12500, 450, 8192, 7200, 15500),
    9: Effort(16000, 580, 8192, 8400, 20000),
}
"""3 is made for two CPU cores: up to two minutes for 768x512 pixels, where 9 takes up to fifteen.

There 1400 and 50 steps are 0.1 dB ahead of 1000 and 100 and 0.2 dB of 1800 and none (kodim05 and
kodim15 at 768x512, 0.155 bits per pixel); after a shorter fit longer training brings more than
refits (variation `no-refit`).

On a GPU, whose step takes 4 ms where two cores take 80, 3 trains as long as 7 does on a CPU.
"""

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
