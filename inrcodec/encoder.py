"""Encoding: pixels to coefficients, to integers under a budget, to a file.

pixels ──fit──► α ──round, refit, layer by layer──► integers ──code──► .prc

That is the SIREN's way; `pyramid_encoder` has the pyramid's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from PIL import Image

from inrcodec import decoder, prc
from inrcodec.container.segments import Segment
from inrcodec.errors import TargetError
from inrcodec.families.pyramid.encode import (
    PyramidSettings,
    encode_to_budget,
    encode_to_psnr,
    expected_bytes,
)
from inrcodec.families.siren import encode as siren
from inrcodec.families.siren.settings import SirenSettings
from inrcodec.image import Raster, from_pillow
from inrcodec.job import ORDERS, Aim, Attempt, Job, Target
from inrcodec.metrics import psnr as measure_psnr
from inrcodec.optim.clock import EFFORTS, Effort, Report
from inrcodec.pranc.layout import BASES, NO_COMPACTION

FAMILIES = ("auto", "siren", "pyramid")

SIREN = SirenSettings()
"""Settings of a SIREN's training."""

LEAST_PYRAMID = 600
"""Bytes below which a pyramid's networks leave too little for its latents: with 500 it is level
with a SIREN on kodim05, with 600 0.3 dB behind, with 700 0.4 ahead; on an X-ray, and on pictures of
half that size, it is 0.2 to 1.1 ahead with 500 and 600 (docs/science.md)."""

LEAST_PIXELS, LEAST_SIDE = 2048, 16
"""Smaller pictures are a SIREN's."""

DEFAULT_BASIS = "identity"
DEFAULT_COMPACTION = {"identity": 1.0, "dense": 1.25, "hadamard": 1.25, "kronecker": 1.25,
                      "sparse": 1.25}  # fmt: skip
DEFAULT_QUALITY = 50
DEFAULT_EFFORT = 3

SMALLEST_QUALITY_BYTES = 500
"""Added to every budget that a quality gives: a small picture needs more bits per pixel."""


@dataclass(frozen=True)
class _Settings:
    """What is fixed for all attempts at one picture."""

    raster: Raster
    basis: str
    compaction: int
    effort: Effort
    level: int
    seed: int
    device: str
    icc: bytes
    report: Report | None
    order: str = "none"
    progressive: bool = False


def encode(
    image: Image.Image | Raster,
    *,
    bpp: float | None = None,
    max_bytes: int | None = None,
    psnr: float | None = None,
    quality: int | None = None,
    effort: int = DEFAULT_EFFORT,
    family: str = "auto",
    seed: int = 0,
    basis: str = DEFAULT_BASIS,
    compaction: float | None = None,
    device: str = "auto",
    strip: bool = False,
    order: str = "none",
    progressive: bool = False,
    report: Report | None = None,
) -> bytes:
    """Encode a picture as the bytes of a `.prc` file.

    Args:
        image: a picture of any mode that `image.from_pillow` takes.
        bpp: budget in bits per pixel, the whole file counted.
        max_bytes: budget in bytes. The file is never larger, and at most 1 % smaller (3 % with a
            SIREN) unless the picture needs no more.
        psnr: least PSNR of the decoded samples, dB.
        quality: 1 to 100, a budget of 0.02 to 2 bits per pixel and 500 bytes; 50 (0.2 bpp) if no
            target is given.
        effort: 1 to 9, how long to fit: on two cores 3 takes up to two minutes for 768x512
            pixels, 9 up to fifteen.
        family: "siren", "pyramid", or "auto": the pyramid, but for the smallest files.
        seed: 0 to 2^32 - 1; the same seed gives the same file on the same machine.
        basis: the PRANC basis of the hidden layers, one of `pranc.layout.BASES`.
        compaction: D/k of the basis, 1 to 1024; by default the basis's own.
        device: "cpu", "cuda", or "auto" for a GPU where there is one.
        strip: leave the ICC profile out.
        order: of a SIREN's coefficients, bit plane after bit plane: "magnitude", the largest
            first, or "contribution", those first that the picture feels most; a prefix then holds
            these. "none" is layer by layer. With family "auto" an order means a SIREN.
        progressive: train for what prefixes of the file show, too. A pyramid's quarter and half
            are good pictures then, if its networks leave them so much; that takes twice as long or
            more, and about 1 dB of the whole's quality. A picture less than 16 pixels high or
            wide is encoded as usual. A SIREN grows in stages that end at a quarter, half and three
            quarters of the file, from 800 bytes on at a half, below that there are none; that takes
            five to seven times as long. With family "auto" it means a pyramid.
        report: called with a `fit.schedule.Progress` a few times a second.

    Returns:
        The file.

    Raises:
        ImageError: the picture cannot be encoded.
        TargetError: the budget or the PSNR cannot be reached; the message says what can be.
        MemoryError: the GPU has too little memory for this picture.
        ValueError: an argument is outside its range, or more than one target is given.

    >>> import inrcodec, numpy
    >>> ramp = Image.fromarray(numpy.arange(0, 250, 10, dtype=numpy.uint8).reshape(5, 5))
    >>> data = inrcodec.encode(ramp, max_bytes=200, effort=1)
    >>> 194 <= len(data) <= 200
    True
    """
    if sum(target is not None for target in (bpp, max_bytes, psnr, quality)) > 1:
        raise ValueError("give one of bpp, bytes, psnr and quality")
    if effort not in EFFORTS:
        raise ValueError(f"effort {effort}; it may be 1 to 9")
    if basis not in BASES:
        raise ValueError(f"unknown basis {basis!r}; known are {', '.join(BASES)}")
    if family not in FAMILIES:
        raise ValueError(f"unknown family {family!r}; known are {', '.join(FAMILIES)}")
    if order not in ORDERS:
        raise ValueError(f"unknown order {order!r}; known are {', '.join(ORDERS)}")
    if order != "none" and family == "pyramid":
        raise ValueError(f"order {order} is for the family siren; leave one of the two away")
    if progressive and order != "none":
        raise ValueError("progressive has an order of its own; leave one of the two away")
    raster = image if isinstance(image, Raster) else from_pillow(image)
    ratio = DEFAULT_COMPACTION[basis] if compaction is None else compaction
    settings = _Settings(
        raster=raster,
        basis=basis,
        compaction=NO_COMPACTION if basis == "identity" else round(ratio * NO_COMPACTION),
        effort=EFFORTS[effort],
        level=effort,
        seed=seed,
        device=decoder.choose_device(device),
        icc=b"" if strip else raster.icc,
        report=report,
        order=order,
        progressive=progressive,
    )
    budget = None if psnr is not None else _budget(raster, bpp, max_bytes, quality)
    if family == "auto" and order != "none":
        family = "siren"
    if family == "auto" and progressive:
        family = "pyramid"
    if family == "auto":
        expected = expected_bytes(raster, psnr or 0) if budget is None else budget
        family = choose_family(raster, expected - (len(settings.icc) if budget else 0))
    if family == "pyramid":
        return _encode_pyramid(settings, budget, psnr)
    return _encode_siren(settings, budget, psnr)


def choose_family(raster: Raster, budget: int) -> str:
    """The family that makes more of a budget in bytes.

    >>> import numpy
    >>> choose_family(Raster(numpy.zeros((512, 768, 3), numpy.uint8), False), 9000)
    'pyramid'
    """
    pixels = raster.width * raster.height
    small = pixels < LEAST_PIXELS or min(raster.width, raster.height) < LEAST_SIDE
    return "siren" if small or budget < LEAST_PYRAMID else "pyramid"


def _encode_pyramid(settings: _Settings, budget: int | None, psnr: float | None) -> bytes:
    effort = settings.effort
    pyramid = PyramidSettings(
        raster=settings.raster,
        basis=settings.basis,
        compaction=settings.compaction,
        steps=effort.pyramid_steps if settings.device == "cpu" else effort.gpu_steps,
        seed=settings.seed,
        device=settings.device,
        icc=settings.icc,
        report=settings.report,
        progressive=settings.progressive,
    )
    if psnr is not None:
        _check_psnr(psnr)
        return encode_to_psnr(pyramid, psnr)
    assert budget is not None
    return encode_to_budget(pyramid, budget)


def _check_psnr(psnr: float) -> None:
    if not 0 < psnr < 100:
        raise ValueError(f"a PSNR of {psnr:g} dB; it must be above 0 and below 100")


def _budget(raster: Raster, bpp: float | None, max_bytes: int | None, quality: int | None) -> int:
    if max_bytes is not None:
        return max_bytes
    if bpp is None:
        quality = DEFAULT_QUALITY if quality is None else quality
        if not 1 <= quality <= 100:
            raise ValueError(f"quality {quality}; it may be 1 to 100")
        bits = quality_bpp(quality) * raster.width * raster.height
        return SMALLEST_QUALITY_BYTES + int(bits / 8)
    if not 0 < bpp < math.inf:
        raise ValueError(f"{bpp:g} bits per pixel; it must be above 0")
    return int(bpp * raster.width * raster.height / 8)


def quality_bpp(quality: int) -> float:
    """Bits per pixel of a quality from 1 to 100: 0.02 at 1, 0.2 in the middle, 2 at 100.

    >>> quality_bpp(1), round(quality_bpp(50), 2), quality_bpp(100)
    (0.02, 0.2, 2.0)
    """
    return float(0.02 * 100 ** ((quality - 1) / 99))


def _encode_siren(settings: _Settings, budget: int | None, psnr: float | None) -> bytes:
    if psnr is not None:
        _check_psnr(psnr)
    job = Job(
        raster=settings.raster,
        target=Target(max_bytes=budget if budget is None else max(1, budget), psnr=psnr),
        effort=settings.level,
        seed=settings.seed,
        basis=settings.basis,
        compaction=settings.compaction,
        device=settings.device,
        metadata=(Segment(64, settings.icc),) if settings.icc else (),
        order=settings.order,
        progressive=settings.progressive,
        settings=(SIREN,),
        report=settings.report,
    )
    if psnr is None:
        assert budget is not None
        return siren.encode(job, Aim(budget))
    aim: Aim | None = Aim(siren.expected_bytes(job, psnr), psnr)
    attempts: list[Attempt] = []
    while aim is not None:
        data = siren.encode(job, aim)
        reached = measure_psnr(
            decoder.rendered(prc.open(data)), settings.raster.samples, settings.raster.peak
        )
        if reached >= psnr:
            return data
        attempts.append(Attempt(aim, len(data), reached))
        aim = siren.next_aim(job, attempts)
    best = max(attempt.psnr for attempt in attempts)
    raise TargetError(f"reached {best:.2f} dB of {psnr:g} dB; ask for less, or raise --effort")
