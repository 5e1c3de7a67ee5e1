"""Limits of what reading and decoding a file may take, checked before memory or time is spent."""

from __future__ import annotations

from dataclasses import dataclass

from inrcodec.container.header import Header
from inrcodec.errors import FormatError, ImageError
from inrcodec.pranc import layout


@dataclass(frozen=True)
class Limits:
    """What a file may ask for; None is no limit.

    Attributes:
        max_pixels: pixels of the encoded picture, and of the picture that is decoded. The default,
            2^27, holds a picture of 134 megapixels; reading its latents takes up to 2 GB.
        max_work: multiplications, about, of reading the latents, and of growing the networks and
            rendering the picture. The default, 2^38, is a pyramid of 100 megapixels; growing a
            dense basis of that work takes some minutes on one core.

    >>> Limits(max_pixels=100).check_size(20, 10)
    Traceback (most recent call last):
    ...
    inrcodec.errors.ImageError: a picture of 20x10 pixels; at most 100 (max_pixels)
    """

    max_pixels: int | None = 1 << 27
    max_work: float | None = 1 << 38

    def check_file(self, header: Header) -> None:
        """Raise FormatError where reading a file exceeds a limit."""
        pixels = header.width * header.height
        if self.max_pixels is not None and pixels > self.max_pixels:
            raise FormatError(
                f"a picture of {header.width}x{header.height} pixels; "
                f"at most {self.max_pixels} (max_pixels)"
            )
        self._check_work(header.network.reading_macs(header.width, header.height))

    def check_size(self, width: int, height: int) -> None:
        """Raise ImageError where a picture that is to be decoded has too many pixels."""
        if self.max_pixels is not None and width * height > self.max_pixels:
            raise ImageError(
                f"a picture of {width}x{height} pixels; at most {self.max_pixels} (max_pixels)"
            )

    def check_rendering(self, header: Header, pixels: int) -> None:
        """Raise FormatError where growing the networks and rendering `pixels` exceeds the work."""
        growing = sum(
            layout.work(basis, rows, cols, header.compaction)
            for basis, (rows, cols) in zip(header.bases, header.network.blocks, strict=True)
        )
        self._check_work(growing + pixels * header.network.macs_per_pixel)

    def _check_work(self, work: float) -> None:
        if self.max_work is not None and work > self.max_work:
            raise FormatError(
                f"decoding takes {work:.1e} multiplications; at most {self.max_work:.1e} (max_work)"
            )


DEFAULT_LIMITS = Limits()
