"""Other codecs at the same rate, by Pillow: JPEG, WebP and AVIF files of at least a given size."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image, features

from inrcodec import metrics
from inrcodec.errors import ImageError
from inrcodec.image import Raster, from_pillow, to_pillow


@dataclass(frozen=True, eq=False)
class Encoded:
    """A picture as another codec gives it back.

    Attributes:
        codec: "jpeg", "webp" or "avif".
        settings: what Pillow's writer was given, the quality among them.
        data: the file.
        raster: the decoded picture, of the original's mode.
        psnr: dB, against the original.
        ms_ssim: see `inrcodec.metrics.ms_ssim`.
        seconds_encode: wall clock of encoding once at these settings, without the search.
        seconds_decode: wall clock of decoding once.
    """

    codec: str
    settings: dict[str, Any]
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


def jpeg(raster: Raster, at_least: int) -> Encoded:
    """Give the smallest JPEG of `at_least` bytes or more: optimized Huffman tables, 4:2:0 chroma.

    If none is that large it is the largest. Among files of one size the PSNR decides.

    Raises:
        ImageError: the picture has alpha or 16 bits, or is too large for the codec.
    """
    settings = {"optimize": True, "subsampling": "4:2:0"}
    return _smallest(raster, at_least, "jpeg", range(1, 101), settings)


def webp(raster: Raster, at_least: int) -> Encoded:
    """Give the smallest lossy WebP of `at_least` bytes or more, slowest method; else as `jpeg`."""
    return _smallest(raster, at_least, "webp", range(101), {"method": 6})


def avif(raster: Raster, at_least: int) -> Encoded:
    """Give the smallest AVIF of `at_least` bytes or more, 4:2:0, speed 4; else as `jpeg`.

    On kodim15 at quality 35 and one core,
    speed 6 takes 0.15 s for 11.1 KB, speed 4 0.8 s for 10.6 KB, speed 2 2.2 s for 10.2 KB.

    Raises:
        ImageError: as `jpeg`, or this Pillow has no AVIF.
    """
    if not features.check("avif"):
        raise ImageError("this Pillow has no AVIF: install a wheel of Pillow 11.3 or later")
    return _smallest(raster, at_least, "avif", range(101), {"speed": 4, "subsampling": "4:2:0"})


# Sizes are not monotone in quality: on crops of three Kodak images and a chest X-ray, a file was
# smaller than one of up to 3 quality steps less (AVIF; WebP 2, JPEG none).
_DISORDER = 4


def _smallest(
    raster: Raster, at_least: int, codec: str, qualities: range, settings: dict[str, Any]
) -> Encoded:
    if raster.has_alpha or raster.bits != 8:
        raise ImageError(f"baselines take 8-bit grey or RGB, not {raster.mode}")
    image = to_pillow(replace(raster, icc=b""))  # The rate is that of the samples alone.
    files: dict[int, tuple[bytes, float]] = {}

    def size(quality: int) -> int:
        if quality not in files:
            start = time.perf_counter()
            data = _encode(image, codec, {"quality": quality, **settings})
            files[quality] = data, time.perf_counter() - start
        return len(files[quality][0])

    crossing = _first(lambda quality: size(quality) >= at_least, qualities)
    for quality in range(crossing - _DISORDER, crossing + _DISORDER + 1):
        if quality in qualities:
            size(quality)
    enough = [size(quality) for quality in files if size(quality) >= at_least]
    chosen = min(enough) if enough else max(map(size, files))
    candidates = [
        _decoded(raster, codec, {"quality": quality, **settings}, *files[quality])
        for quality in sorted(files)
        if size(quality) == chosen
    ]
    return max(candidates, key=lambda encoded: encoded.psnr)


def _first(holds: Callable[[int], bool], values: range) -> int:
    """Bisect for the first value that holds, as if all after it held too; the last if none does."""
    low, high = values[0], values[-1]
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def _encode(image: Image.Image, codec: str, settings: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    try:
        image.save(file, codec.upper(), **settings)
    except (OSError, ValueError) as error:
        raise ImageError(f"{codec} cannot encode it: {error}") from error
    return file.getvalue()


def _decoded(
    raster: Raster, codec: str, settings: dict[str, Any], data: bytes, seconds_encode: float
) -> Encoded:
    start = time.perf_counter()
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        seconds_decode = time.perf_counter() - start
        # WebP, and AVIF in older Pillows, give grey back as RGB of three equal channels.
        decoded = from_pillow(image.convert(raster.mode))
    a, b = raster.samples, decoded.samples
    return Encoded(
        codec=codec,
        settings=settings,
        data=data,
        raster=decoded,
        psnr=metrics.psnr(a, b, raster.peak),
        ms_ssim=metrics.ms_ssim(a, b, raster.peak),
        seconds_encode=seconds_encode,
        seconds_decode=seconds_decode,
    )
