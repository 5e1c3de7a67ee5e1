"""Encoding: pixels to coefficients, to integers under a budget, to a file.

pixels ──fit──► α ──round, refit, layer by layer──► integers ──code──► .prc

That is the SIREN's way; `pyramid_encoder` has the pyramid's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from PIL import Image

from inrcodec import decoder, prc
from inrcodec.container.head import Header, write_header
from inrcodec.errors import TargetError
from inrcodec.families.pyramid.encode import (
    PyramidSettings,
    encode_to_budget,
    encode_to_psnr,
    expected_bytes,
)
from inrcodec.families.siren.fit.order import ORDERS
from inrcodec.families.siren.fit.problem import Problem
from inrcodec.families.siren.fit.rounding import Candidate, RateControl, Rounding
from inrcodec.families.siren.fit.stages import fit_stages
from inrcodec.families.siren.fit.train import fit
from inrcodec.families.siren.shape import LIMIT_PARAMETERS, LIMIT_WIDTH, Siren
from inrcodec.image import Raster, from_pillow
from inrcodec.metrics import psnr as measure_psnr
from inrcodec.optim.clock import EFFORTS, Clock, Effort, Report
from inrcodec.pranc.layout import BASES, NO_COMPACTION

FAMILIES = ("auto", "siren", "pyramid")

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

OMEGA_HIDDEN = 20.0
DEPTH = 8
"""Sine layers, where that leaves them wide enough: many narrow ones make more of the same bytes."""

LEAST_WIDTH = 3
"""Units of a layer for each sine layer; a narrower network has fewer layers."""

BITS_PER_COEFFICIENT = 5.0
"""Where width and precision balance at equal bytes (variations bits-4.5 and bits-5.5)."""

FINEST_BITS = 9.0
"""Bits per coefficient where the budget is large for the number of samples."""

LAYER_OVERHEAD = 6
STAGE_LAYER_OVERHEAD = 3
SEGMENT_OVERHEAD = 8
LEAST_SHARE = 0.97
"""A byte budget is used to at least this share."""

PREVIEW_BYTES = 1000
"""From this budget on, the coefficients' last bits come in a pass of their own, for 8 bytes: the
first 79 % of a file then show the picture (22.8 of 29.4 dB on kodim15 at 384x256, 0.27 bpp)."""

SHARES = ((2000, (0.25, 0.5, 0.75, 1.0)), (800, (0.5, 1.0)))
"""From how many bytes on a progressive SIREN has stages that end at these shares of the file."""

TOGETHER = 2
"""Fits of all stages together, in steps of an effort's fit, after one for each."""

STAGED_REFITS = 3
"""Steps of a refit, in those of an effort's, where there are stages."""

STAGED_PIXELS = 4
"""Pixels of a curvature, likewise: one sum of a pixel's channels has those of all stages."""

BITS_OF_STAGES = (7.0, 5.8, 5.4, 5.2)
GREY_BITS_OF_STAGES = (8.4, 6.4, 5.5, 4.7)
"""Bits per coefficient in each: what more units depend on is rounded more finely."""

LEAST_FIRST_WIDTH = 1.2
"""Units of the first stage for each sine layer; else there are fewer layers. Of five and eight
layers the eight are 1.0 and 0.35 dB ahead as a whole (kodim15, 00870a9c), but narrow first stages
learn little."""

MARGIN = 0.015
"""Of the file, by which stages should end earlier: their bits are not known in advance."""

SMALLEST_QUALITY_BYTES = 500
"""Added to every budget that a quality gives: a small picture needs more bits per pixel."""


def first_omega(width: int) -> float:
    """ω of the first layer: a wider network has coefficients for finer waves.

    Of 20, 30, 45, 60 and 90 (fits of 1,000 steps at full size), 45 and 60 are best at a width of 45
    (kodim19 +0.28 and +0.47 dB over 30, kodim13 +0.15 both), 30 and 45 at 48 (kodim05, kodim15), 20
    and 30 at 24 (kodim15, kodim19).

    >>> first_omega(8), first_omega(45), first_omega(100)
    (24.0, 45.0, 60.0)
    """
    return float(min(60, max(24, width)))


@dataclass(frozen=True)
class _Settings:
    """What is fixed for all attempts at one picture."""

    raster: Raster
    basis: str
    compaction: int
    effort: Effort
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
    if progressive and family == "siren" and basis != "identity":
        raise ValueError(f"a progressive siren with basis {basis}; it has the identity")
    raster = image if isinstance(image, Raster) else from_pillow(image)
    ratio = DEFAULT_COMPACTION[basis] if compaction is None else compaction
    settings = _Settings(
        raster=raster,
        basis=basis,
        compaction=NO_COMPACTION if basis == "identity" else round(ratio * NO_COMPACTION),
        effort=EFFORTS[effort],
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
    if psnr is not None:
        return _encode_to_psnr(settings, psnr)
    assert budget is not None
    return _encode_to_budget(settings, budget)


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


def _encode_to_budget(settings: _Settings, budget: int) -> bytes:
    header = _header(settings, budget - len(settings.icc))
    clock = Clock(_work(settings.effort, header), settings.report, budget)
    control = _prepare(settings, header, budget, clock)
    found = control.within(budget, LEAST_SHARE)
    clock.advance(_work(settings.effort, header), "done")
    if found is None:
        sizes = control.sizes
        raise TargetError(
            f"cannot make a file of {budget} bytes for this picture: files have "
            f"{min(sizes)} to {max(sizes)} bytes; give another budget"
        )
    return found.data


def _encode_to_psnr(settings: _Settings, psnr: float) -> bytes:
    _check_psnr(psnr)
    raster = settings.raster
    pixels = raster.width * raster.height
    # Twice the raw picture: beyond that, fitting is no way to store it.
    most = min(2 * pixels * raster.channels * raster.bits // 8 + 400, LIMIT_PARAMETERS // 2)
    budget = min(most, 300 + int(pixels * 0.12 * 2 ** ((psnr - 28) / 4) / 8))
    best = -math.inf
    for _ in range(6):
        found, reached = _attempt(settings, budget, psnr)
        if found is not None:
            return found.data
        best = max(best, reached)
        if budget >= most:
            break
        # Twice the bytes bring 2 to 3 dB; up to a quarter more than what that asks for.
        budget = min(most, int(budget * min(4.0, 1.25 * 2 ** ((psnr - reached) / 2.5))))
    raise TargetError(f"reached {best:.2f} dB of {psnr:g} dB; ask for less, or raise --effort")


def _attempt(settings: _Settings, budget: int, psnr: float) -> tuple[Candidate | None, float]:
    """The smallest file of at least `psnr` dB from a network made for `budget`, and its best."""
    header = _header(settings, budget)
    clock = Clock(_work(settings.effort, header), settings.report, budget)
    # The budget of an attempt is the network's; a profile comes on top of it.
    control = _prepare(settings, header, budget + len(settings.icc), clock)
    found = control.reaching(psnr, budget + len(settings.icc))
    reached = -math.inf if found is None else _decoded_psnr(found.data, settings)
    clock.advance(_work(settings.effort, header), "done")
    # The promise is about the decoder's pixels, not the encoder's estimate of them.
    return (found if reached >= psnr else None), max(reached, control.best_psnr)


def _decoded_psnr(data: bytes, settings: _Settings) -> float:
    file = prc.open(data)
    return measure_psnr(decoder.rendered(file), settings.raster.samples, settings.raster.peak)


def _prepare(settings: _Settings, header: Header, budget: int, clock: Clock) -> RateControl:
    """Fit the picture; what is left is to make files of the fit."""
    effort = settings.effort
    rounding = _rounding(effort, header)
    if _stages(header):
        steps, together = effort.fit_steps, TOGETHER * effort.fit_steps
        staged = fit_stages(settings.raster, header, settings.device, steps, together, clock)
        ends = _shares(budget - len(settings.icc))
        return RateControl(*staged, rounding, clock, settings.icc, ends=ends)
    problem = Problem(settings.raster, header, settings.device)
    alphas = fit(problem, effort.fit_steps, clock)
    withheld = 1 if budget >= PREVIEW_BYTES else 0
    return RateControl(problem, alphas, rounding, clock, settings.icc, withheld, settings.order)


def _work(effort: Effort, header: Header) -> float:
    """All work of an attempt, in steps of the fit."""
    assert isinstance(header.network, Siren)
    fits = _stages(header) + TOGETHER if _stages(header) else 1
    refit_steps = _rounding(effort, header).refit_steps
    return fits * effort.fit_steps + header.network.depth * refit_steps


def _rounding(effort: Effort, header: Header) -> Rounding:
    if not _stages(header):
        return Rounding(effort.refit_steps, effort.curvature_pixels)
    return Rounding(STAGED_REFITS * effort.refit_steps, STAGED_PIXELS * effort.curvature_pixels)


def _first_stage(header: Header) -> int:
    assert isinstance(header.network, Siren)
    return header.network.widths[0]


def _stages(header: Header) -> int:
    return len(header.network.stages) if isinstance(header.network, Siren) else 0


def _overhead(header: Header) -> int:
    """Bytes of a file besides its coded coefficients, about."""
    assert isinstance(header.network, Siren)
    segments = 2 * SEGMENT_OVERHEAD
    return len(write_header(header)) + segments + LAYER_OVERHEAD * header.network.layers


def _header(settings: _Settings, budget: int) -> Header:
    """The widest network whose coefficients, at the usual precision, fit the budget."""
    samples = settings.raster.width * settings.raster.height * settings.raster.channels

    def shaped(width: int, depth: int) -> Header:
        return Header(
            network=Siren(settings.raster.channels, width, depth, first_omega(width), OMEGA_HIDDEN),
            width=settings.raster.width,
            height=settings.raster.height,
            bits=settings.raster.bits,
            basis=settings.basis,
            compaction=settings.compaction,
            seed=settings.seed,
        )

    def fits(header: Header) -> bool:
        k = sum(header.coefficients)
        # More coefficients than half the samples fit noise; then they are coded more finely.
        precision = BITS_PER_COEFFICIENT if k < samples / 2 else FINEST_BITS
        return _overhead(header) + k * precision / 8 <= budget

    # A small budget is better spent on few layers than on a narrow network.
    for depth in range(DEPTH, 0, -1):
        widths = [w for w in range(1, LIMIT_WIDTH + 1) if w * w * depth < LIMIT_PARAMETERS]
        low, high = 0, len(widths)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (
                (middle, high) if fits(shaped(widths[middle - 1], depth)) else (low, middle - 1)
            )
        if low >= LEAST_WIDTH * depth or (low and depth == 1):
            header = shaped(widths[low - 1], depth)
            few = sum(header.coefficients) < samples / 2
            staged = _in_stages(header, budget) if settings.progressive and few else header
            if not _stages(staged) or _first_stage(staged) >= LEAST_FIRST_WIDTH * depth:
                return staged
    least = _overhead(shaped(1, 1)) + 16
    raise TargetError(f"{max(0, budget)} bytes are too few for this picture; give at least {least}")


def _in_stages(header: Header, budget: int) -> Header:
    """The same with stages that end at their shares of the budget, about, or a little before.

    Unchanged where the budget is too small for two.
    """
    plain = header.network
    assert isinstance(plain, Siren)
    shares = _shares(budget)
    all_bits = BITS_OF_STAGES if plain.channels > 2 else GREY_BITS_OF_STAGES
    fixed = STAGE_LAYER_OVERHEAD * plain.layers + SEGMENT_OVERHEAD
    end = float(len(write_header(header)) + len(shares))
    stages: list[int] = []
    for share, bits in zip(shares, all_bits, strict=False):
        wanted = (share - (MARGIN if share < 1 else 0)) * budget
        room = (wanted - end - fixed) * 8 / bits
        units = 0
        while _parameters(plain, sum(stages), units + 1) < room:
            units += 1
        if not units:
            return header
        end += fixed + _parameters(plain, sum(stages), units) * bits / 8
        stages.append(units)
    if not stages:
        return header
    width = sum(stages)
    network = replace(plain, width=width, stages=tuple(stages), omega_first=first_omega(width))
    return replace(header, network=network)


def _shares(budget: int) -> tuple[float, ...]:
    """Those of a file at which the stages of a progressive SIREN end; none where it has none."""
    return next((shares for least, shares in SHARES if budget >= least), ())


def _parameters(siren: Siren, width: int, added: int) -> int:
    """Those of a stage that adds units to sine layers of some width."""
    inputs = width + added + 1
    return added * (3 + (siren.depth - 1) * inputs) + siren.channels * inputs
