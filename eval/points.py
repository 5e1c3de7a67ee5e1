"""Points of the rate-distortion plane: one picture as one file of one codec."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image, features

from datasets import chest_xray, fingerprint, kodak
from eval.record import Row
from inrcodec import baselines, container, metrics
from inrcodec.baselines import Encoded
from inrcodec.decoder import decode
from inrcodec.encoder import DEFAULT_COMPACTION, encode
from inrcodec.fit.schedule import Report
from inrcodec.image import Raster, from_pillow, open_image, to_pillow


@dataclass(frozen=True)
class Bar:
    """What the codec must reach on a picture.

    Attributes:
        picture: as `load` takes it.
        bpp: budget, bits per pixel.
        gain: least PSNR above a JPEG of at least as many bytes, dB.
    """

    picture: str
    bpp: float
    gain: float


FIRST_BAR = (Bar("kodim15@384x256", 0.27, 1.5), Bar("00870a9c", 0.10, 0.3))

BAR_SECONDS = 90.0
"""Most seconds of encoding, on two CPU cores."""

OTHERS: dict[str, Callable[[Raster, int], Encoded]] = {
    "jpeg": baselines.jpeg,
    "webp": baselines.webp,
    "avif": baselines.avif,
}
if not features.check("avif"):
    del OTHERS["avif"]


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture under the name that results give it; `sha256` is that of its pixels, shortened."""

    name: str
    sha256: str
    raster: Raster


def load(spec: str, root: str | None = None) -> Picture:
    """Read a picture: the name of one in a set, or a path; with `@WxH`, reduced by LANCZOS to that.

    `root` is the folder of the sets, as for `datasets.locate`. Any ICC profile is dropped: the
    rate is that of the samples alone.

    Raises:
        DataError: a picture of a set is absent or damaged.
        ImageError: a file cannot be read as a picture.
    """
    name, size = spec, None
    if not Path(spec).exists() and (match := re.fullmatch(r"(.+)@(\d+)x(\d+)", spec)):
        name, size = match[1], (int(match[2]), int(match[3]))
    sets = [module for module in (kodak, chest_xray) if name in module.names()]
    raster = from_pillow(sets[0].load(name, root)) if sets else open_image(name)
    raster = replace(raster, icc=b"")
    if size:
        raster = from_pillow(to_pillow(raster).resize(size, Image.Resampling.LANCZOS))
        name = f"{name}@{size[0]}x{size[1]}"
    return Picture(Path(name).name, fingerprint(to_pillow(raster))[:16], raster)


def own_settings(
    picture: Picture, bpp: float, effort: int, seed: int, basis: str, compaction: float | None
) -> Row:
    """What decides a file of inrcodec; `compaction` None is the basis's own."""
    if compaction is None or basis == "identity":
        compaction = DEFAULT_COMPACTION[basis]
    return {
        "picture": picture.name,
        "sha256": picture.sha256,
        "codec": "inrcodec",
        "target_bpp": bpp,
        "effort": effort,
        "seed": seed,
        "basis": basis,
        "compaction": compaction,
        "device": "cpu",
    }


def own(picture: Picture, settings: Row, report: Report | None = None) -> Row:
    """Encode with `own_settings`, decode and compare. D are parameters, k coefficients."""
    chosen = {name: settings[name] for name in ("effort", "seed", "basis", "compaction", "device")}
    start = time.perf_counter()
    data = encode(picture.raster, bpp=settings["target_bpp"], report=report, **chosen)
    seconds_encode = time.perf_counter() - start
    start = time.perf_counter()
    image = decode(data, device=settings["device"])
    seconds_decode = time.perf_counter() - start
    header = container.open(data).header
    a, b = picture.raster.samples, from_pillow(image).samples
    return {
        **_rate(picture, len(data)),
        "psnr": round(metrics.psnr(a, b, picture.raster.peak), 4),
        "ms_ssim": round(metrics.ms_ssim(a, b, picture.raster.peak), 5),
        "seconds_encode": round(seconds_encode, 4),
        "seconds_decode": round(seconds_decode, 4),
        "D": sum(rows * cols for rows, cols in header.network.blocks),
        "k": sum(header.coefficients),
    }


def other_settings(picture: Picture, codec: str, at_least: int) -> Row:
    """What decides a file of another codec, of `at_least` bytes."""
    return {
        "picture": picture.name,
        "sha256": picture.sha256,
        "codec": codec,
        "at_least": at_least,
    }


def other(picture: Picture, settings: Row) -> Row:
    """Encode with `other_settings`, decode and compare; `quality` is that of Pillow's writer."""
    encoded = OTHERS[settings["codec"]](picture.raster, settings["at_least"])
    return {
        **_rate(picture, encoded.size_bytes),
        "psnr": round(encoded.psnr, 4),
        "ms_ssim": round(encoded.ms_ssim, 5),
        "seconds_encode": round(encoded.seconds_encode, 4),
        "seconds_decode": round(encoded.seconds_decode, 4),
        "quality": encoded.settings["quality"],
    }


def _rate(picture: Picture, size: int) -> Row:
    rate = metrics.bpp(size, picture.raster.width, picture.raster.height)
    return {"bytes": size, "bpp": round(rate, 5)}
