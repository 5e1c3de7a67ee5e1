"""Encoding with a pyramid: the network's shape for a budget, the training, and its file."""

from __future__ import annotations

import math
from dataclasses import dataclass

from inrcodec import container, decoder
from inrcodec.container.header import Header
from inrcodec.errors import TargetError
from inrcodec.fit.pyramid import PyramidProblem, samples_of
from inrcodec.fit.pyramid_device import DeviceProblem
from inrcodec.fit.pyramid_train import Goal, PyramidFit
from inrcodec.fit.schedule import Clock, Report
from inrcodec.image import Raster
from inrcodec.inr.architecture import SMALL, WIDE, Pyramid
from inrcodec.metrics import psnr as measure_psnr

LEAST_BYTES = 400
"""Smaller budgets leave too little for latents beside the networks."""

COARSEST = 6
"""Level of the coarsest plane of a picture that is large enough for it."""

LEAST_SIDE = 4
"""Samples along the shorter side of the coarsest plane."""

SHORT_TRAINING = 400
"""Steps below which large networks do not pay."""

LONG_TRAINING = 4000
"""Steps below which more than 64 sine units take time that is better spent on steps."""

WIDE_BYTES = 3000
"""Budget from which on the context network sees the wider neighbourhood."""

FILTER_BYTES = 3000
"""Budget from which on a filter follows the sines."""

DOUBLE = 2
"""The level that has two planes: a second one brought 3 % of the loss on kodim15 at half size."""


@dataclass(frozen=True)
class PyramidSettings:
    """What is fixed for all attempts at one picture; see `encoder.encode`."""

    raster: Raster
    basis: str
    compaction: int
    steps: int
    seed: int
    device: str
    icc: bytes
    report: Report | None


def encode_to_budget(settings: PyramidSettings, budget: int) -> bytes:
    """The bytes of a file of at most `budget` bytes, and at least 99 % of that.

    Raises TargetError if there is none.
    """
    if budget - len(settings.icc) < LEAST_BYTES:
        least = LEAST_BYTES + len(settings.icc)
        raise TargetError(f"{budget} bytes are too few for a pyramid; give at least {least}")
    data = _train(settings, Goal(size=budget), budget - len(settings.icc))
    if data is None:
        raise TargetError(f"cannot make a file of {budget} bytes for this picture; give another")
    return data


def encode_to_psnr(settings: PyramidSettings, psnr: float) -> bytes:
    """The bytes of a file of at least `psnr` dB; raises TargetError if that cannot be reached."""
    raster = settings.raster
    size = expected_bytes(raster, psnr)
    wanted, best = psnr, -math.inf
    for _ in range(4):
        data = _train(settings, Goal(psnr=wanted), size)
        if data is None:
            break
        file = container.open(data)
        reached = measure_psnr(decoder.rendered(file), raster.samples, raster.peak)
        best = max(best, reached)
        if reached >= psnr:
            return data
        # The training does not round the samples.
        wanted += 1.2 * (psnr - reached) + 0.01
    raise TargetError(f"reached {best:.2f} dB of {psnr:g} dB; ask for less, or raise --effort")


def expected_bytes(raster: Raster, psnr: float) -> int:
    """About what a file of a PSNR takes, for a picture of middling detail."""
    return 400 + int(raster.width * raster.height * 0.1 * 2 ** ((psnr - 28) / 4) / 8)


def _train(settings: PyramidSettings, goal: Goal, size: int) -> bytes | None:
    clock = Clock(settings.steps, settings.report, goal.size)
    samples, header = samples_of(settings.raster), _header(settings, size)
    problem = (
        PyramidProblem(samples, header)
        if settings.device == "cpu"
        else DeviceProblem(samples, header, settings.device)
    )
    data = PyramidFit(problem, goal, settings.steps, clock, settings.icc).run()
    clock.advance(settings.steps, "done")
    return data


def _header(settings: PyramidSettings, size: int) -> Header:
    raster = settings.raster
    width, context, neighbours = network_shape(size, settings.steps)
    filtered = size >= FILTER_BYTES and settings.steps >= SHORT_TRAINING
    levels = plane_levels(raster.width, raster.height)
    return Header(
        network=Pyramid(raster.channels, width, context, levels, neighbours, filtered),
        width=raster.width,
        height=raster.height,
        bits=raster.bits,
        basis=settings.basis,
        compaction=settings.compaction,
        seed=settings.seed,
        whole_first=False,
        whole_last=False,
    )


def network_shape(size: int, steps: int) -> tuple[int, int, int]:
    """The networks for a file of `size` bytes and a training of `steps`.

    Sine units, units of each layer of the context network, and the neighbours that this sees. A
    sine unit has a fraction of the coefficients of one of the context network, and brings more: 40
    of them with 12 there are 0.4 dB ahead of 12 and 12 for 3.9 kB, and 64 with 16 0.25 ahead of 24
    and 24 for 15 kB, in less time (kodim15 and kodim05). The wide context brings 0.1 dB from 4 kB
    on, and costs that much at 2 kB (docs/science.md).

    >>> [network_shape(size, 2000) for size in (400, 1000, 4000, 15000)]
    [(8, 8, 10), (16, 8, 10), (40, 12, 18), (64, 20, 18)]
    >>> network_shape(20000, 220), network_shape(30000, 16000)
    ((24, 16, 10), (96, 24, 18))
    """
    short, long = steps < SHORT_TRAINING, steps >= LONG_TRAINING
    width = min(24 if short else 96 if long else 64, 8 * round(18 * (size / 1000) ** 0.6 / 8))
    context = min(16 if short else 24 if long else 20, 4 * round(3 * math.cbrt(size / 4000)))
    wide = size >= WIDE_BYTES and not short
    return max(8, width), max(8, context), WIDE if wide else SMALL


def plane_levels(width: int, height: int) -> tuple[int, ...]:
    """Levels of the planes of a picture, coarse to fine.

    >>> plane_levels(768, 512)
    (6, 5, 4, 3, 2, 2, 1, 0)
    >>> plane_levels(20, 9)
    (1, 0)
    """
    coarsest = min(COARSEST, max(0, int(math.log2(max(1, min(width, height) // LEAST_SIDE)))))
    levels = list(range(coarsest, -1, -1))
    if coarsest >= DOUBLE:
        levels.append(DOUBLE)
    return tuple(sorted(levels, reverse=True))
