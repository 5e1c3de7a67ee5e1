"""Encoding: a job to a family, to a file; and the one search for a wanted PSNR.

pixels ──fit──► α ──round──► integers ──range coder──► .prc
"""

from __future__ import annotations

from collections.abc import Collection

from PIL import Image

from inrcodec import decoder, prc
from inrcodec.container.segments import ICC, metadata_segment
from inrcodec.errors import MissingPackageError, TargetError
from inrcodec.families import FAMILIES, Family, choose, named
from inrcodec.image import Raster, from_pillow
from inrcodec.job import DEFAULT_EFFORT, Aim, Attempt, Job, Target
from inrcodec.metrics import psnr as measure_psnr
from inrcodec.optim.clock import Report
from inrcodec.pranc.layout import BASES, NO_COMPACTION

AUTO = "auto"

FAMILY_NAMES = (AUTO, *FAMILIES)
"""What `encode` takes as a family."""

DEFAULT_BASIS = BASES[0]
DEFAULT_COMPACTION = {basis: 1.0 if basis == DEFAULT_BASIS else 1.25 for basis in BASES}
"""D/k of each basis where none is asked for."""


def encode(
    image: Image.Image | Raster,
    *,
    bpp: float | None = None,
    max_bytes: int | None = None,
    psnr: float | None = None,
    quality: int | None = None,
    effort: int = DEFAULT_EFFORT,
    family: str = AUTO,
    seed: int = 0,
    basis: str = DEFAULT_BASIS,
    compaction: float | None = None,
    device: str = "auto",
    strip: bool = False,
    order: str = "none",
    progressive: bool = False,
    settings: Collection[object] = (),
    report: Report | None = None,
) -> bytes:
    """Encode a picture as the bytes of a .prc file.

    Args:
        image: a picture of any mode that `image.from_pillow` takes.
        bpp: budget in bits per pixel, the whole file counted.
        max_bytes: budget in bytes. The file is never larger, and at most 1 % smaller (3 % with a
            SIREN) unless the picture needs no more.
        psnr: least PSNR of the decoded samples, dB.
        quality: 1 to 100, a budget of 0.02 to 2 bits per pixel and 500 bytes; 50 (0.2 bpp) if no
            target is given.
        effort: 1 to 9, how long to train: on two cores 3 takes up to two minutes for 768x512
            pixels, 9 up to fifteen.
        family: "siren", "pyramid", or "auto": the pyramid, or the SIREN for files under 600 bytes
            and for small pictures.
        seed: 0 to 2^32 - 1. The same seed gives the same file on the same machine with the same
            number of threads.
        basis: the PRANC basis of the hidden layers, one of `pranc.layout.BASES`.
        compaction: D/k of the basis, 1 to 1024; by default 1.25 (1 with the identity).
        device: where to train, "cpu", "cuda", or "auto" for a GPU where there is one.
        strip: leave the ICC profile out.
        order: order of the coefficients (SIREN only), bit plane after bit plane: "magnitude" has
            the largest first, "contribution" those with the largest effect on the picture; "none"
            is layer by layer.
        progressive: optimize for progressive decoding. The first quarter and half of a pyramid's
            file already give good pictures; training takes at least twice as long, and the complete
            file loses about 1 dB. A SIREN grows in stages that end at a quarter, half and three
            quarters of the file, from 800 bytes on at a half; it takes five to seven times as long.
            Pictures under 16 pixels high or wide are encoded as usual.
        settings: settings of trainings (`SirenSettings`, `PyramidSettings`) in place of the
            defaults, for experiments.
        report: called with a `optim.clock.Progress` a few times a second.

    Returns:
        The file.

    Raises:
        ImageError: the picture cannot be encoded.
        TargetError: the budget or the PSNR cannot be reached; the message says what can be.
        MissingPackageError: PyTorch is not installed.
        MemoryError: the GPU has too little memory for this picture.
        ValueError: an argument is outside its range, or more than one target is given.

    >>> import inrcodec, numpy
    >>> ramp = Image.fromarray(numpy.arange(0, 250, 10, dtype=numpy.uint8).reshape(5, 5))
    >>> data = inrcodec.encode(ramp, max_bytes=200, effort=1)
    >>> 194 <= len(data) <= 200
    True
    """
    _require_torch()
    target = Target(max_bytes, bpp, psnr, quality)
    if basis not in BASES:
        raise ValueError(f"unknown basis {basis!r}; known are {', '.join(BASES)}")
    chosen = None if family == AUTO else named(family)
    raster = image if isinstance(image, Raster) else from_pillow(image)
    ratio = DEFAULT_COMPACTION[basis] if compaction is None else compaction
    icc = b"" if strip else raster.icc
    job = Job(
        raster=raster,
        target=target,
        effort=effort,
        seed=seed,
        basis=basis,
        compaction=NO_COMPACTION if basis == DEFAULT_BASIS else round(ratio * NO_COMPACTION),
        device=choose_device(device),
        metadata=(metadata_segment(ICC, icc),) if icc else (),
        order=order,
        progressive=progressive,
        settings=settings,
        report=report,
    )
    return encode_job(job, chosen or choose(job))


def _require_torch() -> None:
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(
            "encoding needs PyTorch, which is not installed: pip install torch"
        ) from error


def encode_job(job: Job, family: Family) -> bytes:
    """The file of a job; see `encode`."""
    family.check(job)
    if job.budget is not None:
        return family.encode(job, Aim(job.budget))
    assert job.target.psnr is not None
    return _reach_psnr(job, family, job.target.psnr)


def _reach_psnr(job: Job, family: Family, psnr: float) -> bytes:
    """The first file whose decoded samples have at least `psnr` dB.

    The family says what to aim at next; what counts is measured here, on the decoder's pixels.
    """
    attempts: list[Attempt] = []
    aim: Aim | None = Aim(family.expected_bytes(job, psnr), psnr)
    while aim is not None:
        data = family.encode(job, aim)
        samples = decoder.rendered(prc.read(data))
        reached = measure_psnr(samples, job.raster.samples, job.raster.peak)
        if reached >= psnr:
            return data
        attempts.append(Attempt(aim, len(data), reached))
        aim = family.next_aim(job, attempts)
    best = max(attempt.psnr for attempt in attempts)
    raise TargetError(f"reached {best:.2f} dB of {psnr:g} dB; ask for less, or raise --effort")


def choose_device(name: str) -> str:
    """The device to train on, "cpu" or "cuda"; "auto" is a GPU where there is one.

    Raises ValueError for another name, or a GPU that is not there.
    """
    if name != AUTO:
        return decoder.check_device(name)
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
