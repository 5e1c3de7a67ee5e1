"""Other codecs to compare with, by Pillow: encode at a quality, decode, or hit a size.

JPEG, WebP, JPEG 2000 and AVIF come with Pillow, JPEG XL with the package pillow-jxl-plugin.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from PIL import Image, features

from inrcodec import metrics
from inrcodec.errors import ImageError
from inrcodec.image import Raster, from_pillow, to_pillow


@dataclass(frozen=True, eq=False)
class Encoded:
    """A picture as another codec gives it back.

    Attributes:
        codec: the codec's name.
        quality: what the codec was asked for.
        data: the file.
        raster: the decoded picture, of the original's mode.
        psnr: dB, against the original.
        ms_ssim: see `inrcodec.metrics.ms_ssim`.
        seconds_encode: wall clock of encoding once at this quality, without the search.
        seconds_decode: wall clock of decoding once.
    """

    codec: str
    quality: float
    data: bytes
    raster: Raster
    psnr: float
    ms_ssim: float
    seconds_encode: float
    seconds_decode: float

    @property
    def size_bytes(self) -> int:
        """Bytes of the file."""
        return len(self.data)


@dataclass(frozen=True)
class PillowCodec:
    """A codec that Pillow writes and reads, at settings that stay but for the quality.

    Attributes:
        name: ours.
        format: Pillow's name of the file format.
        qualities: all that may be asked for, in rising order; for JPEG 2000 bits per pixel.
        options: what else Pillow's writer is given.
    """

    name: str
    format: str
    qualities: Sequence[float]
    options: dict[str, Any] = field(default_factory=dict, compare=False)

    def missing(self) -> str | None:
        """Say why this machine lacks the codec, or None where it has it.

        >>> CODECS["jpeg"].missing() is None
        True
        """
        if self.format == "JXL":
            try:
                import pillow_jxl  # noqa: F401  (registers the format)
            except ImportError:
                return "JPEG XL needs a package: pip install pillow-jxl-plugin"
        elif self.format == "AVIF" and not features.check("avif"):
            return "this Pillow has no AVIF: install a wheel of Pillow 11.3 or later"
        elif self.format == "JPEG2000" and not features.check_codec("jpg_2000"):
            return "this Pillow has no JPEG 2000: install one built with OpenJPEG"
        return None

    @property
    def version(self) -> str:
        """The package that encodes, with its version and that of the library below it."""
        below = {
            "JPEG": lambda: f"libjpeg-turbo {features.version_feature('libjpeg_turbo')}",
            "WEBP": lambda: f"libwebp {features.version_module('webp')}",
            "AVIF": lambda: f"libavif {features.version_module('avif')}",
            "JPEG2000": lambda: f"OpenJPEG {features.version_codec('jpg_2000')}",
        }
        if self.format not in below:
            try:
                return f"pillow-jxl-plugin {version('pillow-jxl-plugin')}"
            except PackageNotFoundError:
                return "pillow-jxl-plugin, not installed"
        return f"Pillow {version('pillow')}, {below[self.format]()}"

    def encode(self, raster: Raster, quality: float) -> bytes:
        """Give the file of a picture at a quality.

        Raises:
            ImageError: the picture has alpha or 16 bits, or is too large for the codec; or the
                machine lacks the codec.
        """
        if raster.has_alpha or raster.bits != 8:
            raise ImageError(f"baselines take 8-bit grey or RGB, not {raster.mode}")
        if reason := self.missing():
            raise ImageError(reason)
        image = to_pillow(replace(raster, icc=b""))  # The rate is that of the samples alone.
        asked: dict[str, Any] = {"quality": quality}
        if self.format == "JPEG2000":
            # Its writer is told by how much to compress.
            asked = {"quality_layers": [raster.bits * raster.channels / quality]}
        file = io.BytesIO()
        try:
            image.save(file, self.format, **asked, **self.options)
        except (OSError, ValueError) as error:
            raise ImageError(f"{self.name} cannot encode it: {error}") from error
        return file.getvalue()

    def decode(self, data: bytes, like: Raster) -> Raster:
        """Give the picture of a file, of the mode of `like`."""
        with Image.open(io.BytesIO(data)) as image:
            # WebP, and AVIF in older Pillows, give grey back as RGB of three equal channels.
            return from_pillow(image.convert(like.mode))

    def at_least(self, raster: Raster, size: int) -> Encoded:
        """Give the smallest file of at least `size` bytes; the largest if none is that large.

        Among files of one size the PSNR decides.

        Raises:
            ImageError: as `encode`.
        """
        files: dict[int, tuple[bytes, float]] = {}

        def measured(index: int) -> int:
            if index not in files:
                start = time.perf_counter()
                data = self.encode(raster, self.qualities[index])
                files[index] = data, time.perf_counter() - start
            return len(files[index][0])

        indices = range(len(self.qualities))
        crossing = _first(lambda index: measured(index) >= size, indices)
        for index in range(crossing - _DISORDER, crossing + _DISORDER + 1):
            if index in indices:
                measured(index)
        sizes = [measured(index) for index in files]
        chosen = min((s for s in sizes if s >= size), default=max(sizes))
        candidates = [
            self._measured(raster, index, *files[index])
            for index in sorted(files)
            if measured(index) == chosen
        ]
        return max(candidates, key=lambda encoded: encoded.psnr)

    def _measured(self, raster: Raster, index: int, data: bytes, seconds_encode: float) -> Encoded:
        start = time.perf_counter()
        decoded = self.decode(data, raster)
        seconds_decode = time.perf_counter() - start
        a, b = raster.samples, decoded.samples
        return Encoded(
            codec=self.name,
            quality=self.qualities[index],
            data=data,
            raster=decoded,
            psnr=metrics.psnr(a, b, raster.peak),
            ms_ssim=metrics.ms_ssim(a, b, raster.peak),
            seconds_encode=seconds_encode,
            seconds_decode=seconds_decode,
        )


# Sizes are not monotone in quality: on crops of three Kodak images and a chest X-ray, a file was
# smaller than one of up to 3 quality steps less (AVIF; WebP 2, JPEG none).
_DISORDER = 4

CODECS = {
    codec.name: codec
    for codec in (
        PillowCodec("jpeg", "JPEG", range(1, 101), {"optimize": True, "subsampling": "4:2:0"}),
        PillowCodec("jpeg-444", "JPEG", range(1, 101), {"optimize": True, "subsampling": "4:4:4"}),
        PillowCodec("webp", "WEBP", range(101), {"method": 6}),
        # A bare codestream, which has no boxes to pay for; what is asked for is the rate in bits
        # per pixel. The colour transform, which Pillow leaves off, brings 1.8 dB on kodim15.
        PillowCodec(
            "jpeg2000",
            "JPEG2000",
            [round(2 ** (i / 32), 4) for i in range(-192, 97)],
            {"quality_mode": "rates", "irreversible": True, "mct": 1, "no_jp2": True},
        ),
        # On kodim15 at quality 35 and one core, speed 6 takes 0.15 s for 11.1 KB, speed 4 0.8 s for
        # 10.6 KB, speed 2 2.2 s for 10.2 KB.
        PillowCodec("avif", "AVIF", range(101), {"speed": 4, "subsampling": "4:2:0"}),
        # At 100 the plug-in switches to another, lossless mode.
        PillowCodec("jpegxl", "JXL", range(100), {"effort": 7}),
    )
}
"""The codecs by name: JPEG with optimized tables, WebP by its slowest method, AVIF at speed 4."""


def _first(holds: Callable[[int], bool], values: range) -> int:
    """Bisect for the first value that holds, as if all after it held too; the last if none does."""
    low, high = values[0], values[-1]
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low
