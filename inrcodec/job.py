"""What an encoder is asked for: a picture, a target and how to reach it."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TypeVar

from inrcodec.container.segments import Segment, size_of
from inrcodec.image import Raster
from inrcodec.optim.clock import Report
from inrcodec.pranc.layout import NO_COMPACTION

S = TypeVar("S")

DEFAULT_QUALITY = 50

SMALLEST_QUALITY_BYTES = 500
"""Added to every budget that a quality gives: a small picture needs more bits per pixel."""

ORDERS = ("none", "magnitude", "contribution")
"""Orders of coefficients that `encode` knows."""

DEFAULT_EFFORT = 3
EFFORTS = range(1, 10)


@dataclass(frozen=True)
class Target:
    """The size or the quality of a file; exactly one attribute is not None.

    Attributes:
        max_bytes: most bytes of the file, at least 1.
        bpp: most bits per pixel, the whole file counted; above 0.
        psnr: least PSNR of the decoded samples, dB, between 0 and 100.
        quality: 1 to 100, a budget of 0.02 to 2 bits per pixel and 500 bytes.

    Raises:
        ValueError: an attribute is outside its range, or more than one is given.

    >>> Target().quality, Target(bpp=0.25).budget(768, 512), Target(psnr=30).budget(768, 512)
    (50, 12288, None)
    """

    max_bytes: int | None = None
    bpp: float | None = None
    psnr: float | None = None
    quality: int | None = None

    def __post_init__(self) -> None:
        """Refuse what the attributes do not allow; without any, quality is 50."""
        given = [v for v in (self.max_bytes, self.bpp, self.psnr, self.quality) if v is not None]
        if len(given) > 1:
            raise ValueError("give one of bpp, bytes, psnr and quality")
        if not given:
            object.__setattr__(self, "quality", DEFAULT_QUALITY)
        if self.max_bytes is not None and self.max_bytes < 1:
            raise ValueError(f"a budget of {self.max_bytes} bytes; it must be at least 1")
        if self.bpp is not None and not 0 < self.bpp < math.inf:
            raise ValueError(f"{self.bpp:g} bits per pixel; it must be above 0")
        if self.psnr is not None and not 0 < self.psnr < 100:
            raise ValueError(f"a PSNR of {self.psnr:g} dB; it must be above 0 and below 100")
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise ValueError(f"quality {self.quality}; it may be 1 to 100")

    def budget(self, width: int, height: int) -> int | None:
        """Most bytes of the file of a picture; None where a PSNR is the target."""
        if self.max_bytes is not None:
            return self.max_bytes
        if self.bpp is not None:
            return int(self.bpp * width * height / 8)
        if self.quality is not None:
            return SMALLEST_QUALITY_BYTES + int(quality_bpp(self.quality) * width * height / 8)
        return None


def quality_bpp(quality: int) -> float:
    """Bits per pixel of a quality from 1 to 100: 0.02 at 1, 0.2 in the middle, 2 at 100.

    >>> quality_bpp(1), round(quality_bpp(50), 2), quality_bpp(100)
    (0.02, 0.2, 2.0)
    """
    return float(0.02 * 100 ** ((quality - 1) / 99))


@dataclass(frozen=True)
class Aim:
    """What one training aims at.

    Attributes:
        size: most bytes of the whole file or, with a PSNR, about as many as it may take.
        psnr: least PSNR of the decoded samples, dB, or None where the size is all that counts.
    """

    size: int
    psnr: float | None = None


@dataclass(frozen=True)
class Attempt:
    """A training that aimed at a PSNR, and what came of it.

    Attributes:
        aim: what it aimed at.
        size: bytes of its file.
        psnr: PSNR of the decoded samples, dB.
    """

    aim: Aim
    size: int
    psnr: float


@dataclass(frozen=True)
class Job:
    """One picture to encode, and everything that is fixed for all attempts at it.

    Attributes:
        raster: the picture.
        target: size or quality of the file.
        effort: 1 to 9, how long to train.
        seed: of the initial network, the basis and all random draws, 0 to 2^32 - 1.
        basis: name of the PRANC basis, one of `pranc.layout.BASES`.
        compaction: D/k of the basis in units of 1/64.
        device: where to train, "cpu" or "cuda".
        metadata: ancillary segments of the file, in their order.
        order: of coefficients, one of `ORDERS`.
        progressive: whether prefixes of the file count, too.
        settings: settings of trainings, at most one of each family's type; the family's defaults
            where its type is missing.
        report: is called with a `Progress` a few times a second, or None.
    """

    raster: Raster
    target: Target = field(default_factory=Target)
    effort: int = DEFAULT_EFFORT
    seed: int = 0
    basis: str = "identity"
    compaction: int = NO_COMPACTION
    device: str = "cpu"
    metadata: tuple[Segment, ...] = ()
    order: str = "none"
    progressive: bool = False
    settings: Collection[object] = ()
    report: Report | None = None

    def __post_init__(self) -> None:
        """Refuse an effort or an order that does not exist."""
        if self.effort not in EFFORTS:
            raise ValueError(f"effort {self.effort}; it may be 1 to 9")
        if self.order not in ORDERS:
            raise ValueError(f"unknown order {self.order!r}; known are {', '.join(ORDERS)}")

    @property
    def pixels(self) -> int:
        """Pixels of the picture."""
        return self.raster.width * self.raster.height

    @property
    def budget(self) -> int | None:
        """Most bytes of the file; None where a PSNR is the target."""
        return self.target.budget(self.raster.width, self.raster.height)

    @property
    def metadata_size(self) -> int:
        """Bytes that the metadata take in the file."""
        return sum(size_of(segment) for segment in self.metadata)

    def settings_of(self, default: S) -> S:
        """The settings of the default's type, or the default."""
        return next((s for s in self.settings if isinstance(s, type(default))), default)
