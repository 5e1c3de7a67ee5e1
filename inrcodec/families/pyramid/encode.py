"""Encoding with a pyramid: the network's shape for a budget, the training, and its file."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace

import torch

from inrcodec import decoder, prc
from inrcodec.container.head import Header
from inrcodec.errors import TargetError
from inrcodec.families.pyramid.fit.device import DeviceProblem
from inrcodec.families.pyramid.fit.problem import PyramidProblem, samples_of
from inrcodec.families.pyramid.fit.train import Early, Goal, PyramidFit
from inrcodec.families.pyramid.shape import LIMIT_TAPS, SMALL, WIDE, Pyramid
from inrcodec.image import Raster
from inrcodec.metrics import psnr as measure_psnr
from inrcodec.optim.clock import Clock, Report

LEAST_BYTES = 400
"""Smaller budgets leave too little for latents beside the networks."""

COARSEST = 6
"""Level of the coarsest plane of a picture that is large enough for it."""

LEAST_SIDE = 4
"""Samples along the shorter side of the coarsest plane."""

STEP_WORK = 1300
"""What a step takes beside its networks, as multiplications per pixel."""

WHOLE_STEP = 4300
"""What a step takes in all with 48 and 24 sine units, 20 of the context network, and filters. At
768x512 on two cores that is 81 ms, and others of 24 to 64 units 43 to 125, in this proportion."""

SHORT_TRAINING = 400
"""Such steps below which large networks do not pay."""

LONG_TRAINING = 5000
"""Such steps below which more than 48 sine units, or 20 of the context network, take time that is
better spent on steps."""

LARGE_BYTES = 3000
"""Budget from which on the context network sees the wider neighbourhood, and a filter follows."""

FILTERED_RATE = 0.12
"""Bits per pixel from which on such files have filters of planes. At 0.08 kodim05 loses 0.15 dB to
them, at full size, and kodim15 hardly gains."""

PROGRESSIVE_STEPS = 2
"""Steps of a progressive file's training for each of another's: it has no warm-up. 1 is 0.1 dB
worse from a half on (five pictures at half size, 0.3 bits a pixel), 4 no better (kodim15)."""

PSNR_ATTEMPTS = 6
"""Trainings until a wanted PSNR counts as out of reach."""

MOST_BEYOND = 15.0
"""What they aim for at most, dB above the wanted PSNR."""

FEW_BYTES = ((1000, (8, 4, 4)), (1500, (12, 8, 4)))
"""Sine units of both layers, and units of the context network, of files below so many bytes. With
16, 8 and 8 those of 0.9 kB are 0.3 and 0.8 dB worse, of 1.3 kB level, and of 1.8 kB 0.1 dB better
(kodim05 and kodim15 at half size)."""

FEW_SHORT_BYTES = 800
"""Likewise, with 8 and 4 units after a short training: at 0.6 kB 16 and 8 are 0.6 and 1.8 dB worse,
at 0.9 kB level (kodim05 and kodim15 at half size, effort 1)."""

GREY = 0.45
"""Of one or two channels, files of such bytes times this count as those of colours there: at 3.1 kB
12, 8 and 4 are 0.1 dB better than 24, 12 and 12 (two chest X-rays at half size)."""

SMALLER = 0.4
"""Its networks have the filters and the neighbourhood of a file of this share of its bytes."""

PROGRESSIVE_GREY = 0.6
"""Its units are those of a progressive file of colours times this: 8, 4 and 4 are 0.4, 0.4 and 0.3
dB better than 12, 8 and 4 at a quarter, half and all of 3.1 kB (chest X-ray 00870a9c)."""

EARLY = ((0.24, 0.4), (0.485, 1.1))
"""Share of the file and importance of the two prefixes that show a good picture: the first set of
planes, and the first two."""

BETWEEN = 0.12
"""Importance of the pictures with the first plane of a set, too, and with all but the finest of the
last: without them PSNR falls by up to 0.7 dB while a set arrives, which 0.05 doesn't always mend,
and 75 % of nih_00000001_000 is 1.5 dB worse (half size)."""

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
    progressive: bool = False


def encode_to_budget(settings: PyramidSettings, budget: int) -> bytes:
    """The bytes of a file of at most `budget` bytes, and at least 99 % of that.

    Raises TargetError if there is none.
    """
    if budget - len(settings.icc) < LEAST_BYTES:
        least = LEAST_BYTES + len(settings.icc)
        other = ", or leave progressive away" if settings.progressive else ""
        raise TargetError(f"{budget} bytes are too few for a pyramid; give at least {least}{other}")
    data = _train(settings, Goal(size=budget), budget - len(settings.icc))
    if data is None:
        raise TargetError(f"cannot make a file of {budget} bytes for this picture; give another")
    return data


def encode_to_psnr(settings: PyramidSettings, psnr: float) -> bytes:
    """The bytes of a file of at least `psnr` dB; raises TargetError if that cannot be reached."""
    raster = settings.raster
    size = expected_bytes(raster, psnr)
    wanted, best, slope, more = psnr, -math.inf, 0.8, 0.0
    for _ in range(PSNR_ATTEMPTS):
        data = _train(settings, Goal(psnr=wanted), size)
        assert data is not None
        file = prc.open(data)
        reached = measure_psnr(decoder.rendered(file), raster.samples, raster.peak)
        if reached >= psnr:
            return data
        # The training does not round the samples, and networks may be too small for the size.
        missing = psnr - reached
        if best > -math.inf:
            slope = min(0.8, max(0.15, (reached - best) / more))
        more = min(missing / slope + 0.01, psnr + MOST_BEYOND - wanted)
        best, wanted = max(best, reached), wanted + more
        if more <= 0:
            break
        size = max(size, round(len(data) * 2 ** (missing / 5)))
    raise TargetError(f"reached {best:.2f} dB of {psnr:g} dB; ask for less, or raise --effort")


def expected_bytes(raster: Raster, psnr: float) -> int:
    """About what a file of a PSNR takes, for a picture of middling detail."""
    return 400 + int(raster.width * raster.height * 0.1 * 2 ** ((psnr - 28) / 4) / 8)


def _train(settings: PyramidSettings, goal: Goal, size: int) -> bytes | None:
    samples, header = samples_of(settings.raster), _header(settings, size)
    assert isinstance(header.network, Pyramid)
    goal = replace(goal, early=_early(header.network))
    steps = training_steps(header.network, settings.steps)
    if goal.early:
        steps *= PROGRESSIVE_STEPS
    clock = Clock(steps, settings.report, goal.size)
    try:
        problem = (
            PyramidProblem(samples, header)
            if settings.device == "cpu"
            else DeviceProblem(samples, header, settings.device)
        )
        data = PyramidFit(problem, goal, steps, clock, settings.icc).run()
    except torch.cuda.OutOfMemoryError as error:
        raise MemoryError("too little memory on the GPU for this picture: use the CPU") from error
    clock.advance(steps, "done")
    return data


def _header(settings: PyramidSettings, size: int) -> Header:
    raster = settings.raster
    levels = plane_levels(raster.width, raster.height)
    shape = progressive_shape if settings.progressive and levels[0] >= 3 else network_shape
    return Header(
        network=shape(raster.channels, levels, size, settings.steps, raster.width * raster.height),
        width=raster.width,
        height=raster.height,
        bits=raster.bits,
        basis=settings.basis,
        compaction=settings.compaction,
        seed=settings.seed,
        whole_first=False,
        whole_last=False,
    )


def _early(network: Pyramid) -> tuple[Early, ...]:
    """The prefixes of a file of three sets of planes whose pictures count too.

    >>> sets = (6, 5, 4, 3, 2, 2, 3, 2, 1, 2, 1, 0)
    >>> [(early.planes, early.share) for early in _early(Pyramid(3, 12, 8, sets))]
    [(6, 0.24), (7, None), (9, 0.485), (10, None), (11, None)]
    """
    if len(network.sets) == 1:
        return ()
    *ends, last = itertools.accumulate(network.sets)
    early = {planes: Early(planes, None, BETWEEN) for planes in (*(n + 1 for n in ends), last - 1)}
    early |= {end: Early(end, *goal) for end, goal in zip(ends, EARLY, strict=False)}
    return tuple(early[planes] for planes in sorted(early))


def network_shape(
    channels: int, levels: tuple[int, ...], size: int, steps: int, pixels: int
) -> Pyramid:
    """The networks over some planes, for a file of `size` bytes and an effort's `steps`.

    Measured with files of 0.8 to 30 kB (docs/science.md). A coefficient of the sine layers is worth
    more than one of the context network; two layers, of which the second has half as many units,
    more than a wide one. Filter and wide context cost what they bring at 2 kB, and short trainings
    can't use any of these.

    >>> [network_shape(3, (0,), size, 2000, 99).blocks[:2] for size in (900, 4000, 15000)]
    [((8, 2), (4, 9)), ((24, 2), (12, 25)), ((40, 2), (20, 41))]
    >>> network_shape(1, (0,), 2000, 2000, 99).blocks[:2]
    ((8, 2), (4, 9))
    >>> network_shape(3, (0,), 20000, 220, 99).blocks[:2]
    ((24, 2), (3, 25))
    """
    long, large = steps >= LONG_TRAINING, size >= LARGE_BYTES
    like = size * (1.0 if channels > 2 else GREY)
    if steps < SHORT_TRAINING and like < FEW_SHORT_BYTES:
        return Pyramid(channels, 8, 4, levels, adaptive=True)
    if steps < SHORT_TRAINING:
        width = 8 * min(3, max(1, round(18 * (size / 1000) ** 0.6 / 8)))
        context = 4 * min(4, max(2, round(3 * math.cbrt(size / 4000))))
        return Pyramid(channels, width, context, levels, adaptive=True)
    share = min(8 if long else 6, max(1, round(2 * math.cbrt(size / 1000))))
    context = min(8 if long else 5, max(2, round((4 if long else 3) * math.cbrt(size / 4000))))
    many = (8 * share, 4 * share, 4 * context)
    width, second, context = next((few for most, few in FEW_BYTES if like < most), many)
    return Pyramid(
        channels,
        width,
        context,
        levels,
        second=second,
        neighbours=WIDE if large else SMALL,
        filtered=large,
        taps=LIMIT_TAPS if large and 8 * size >= FILTERED_RATE * pixels else 0,
        adaptive=True,
    )


def progressive_shape(
    channels: int, levels: tuple[int, ...], size: int, steps: int, pixels: int
) -> Pyramid:
    """The same for a progressive file: small networks, since all of its pictures wait for them,
    over three sets of planes, which show a quarter, half and all of it (docs/science.md).

    >>> shape = progressive_shape(3, (6, 5, 4, 3, 2, 2, 1, 0), 3700, 1000, 384 * 256)
    >>> shape.levels, shape.blocks[:2]
    ((6, 5, 4, 3, 2, 2, 3, 2, 1, 2, 1, 0), ((12, 13), (8, 13)))
    """
    shape = network_shape(
        channels, (*levels[:-2], 3, 2, 1, 2, 1, 0), round(SMALLER * size), steps, pixels
    )
    if steps < SHORT_TRAINING:
        return shape
    units = math.cbrt(size / 4000) * (1.0 if channels > 2 else PROGRESSIVE_GREY)
    return replace(
        shape,
        width=4 * min(8, max(2, round(3 * units))),
        second=4 * min(4, max(1, round(2 * units))),
        context=4 * min(5, max(1, round(2 * units))),
    )


def training_steps(network: Pyramid, steps: int) -> int:
    """How many steps of a network take as long as `steps` of the largest that effort 3 trains.

    >>> shape = network_shape(3, plane_levels(768, 512), 4000, 1000, 768 * 512)
    >>> training_steps(shape, 1000)
    1670
    """
    return round(steps * WHOLE_STEP / (STEP_WORK + network.macs_per_pixel))


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
