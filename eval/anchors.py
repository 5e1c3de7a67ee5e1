"""Published rate-distortion curves on the Kodak set, as data with the source of each.

Facts taken from the repositories of CompressAI, C3, NIF and Cool-chic; see `eval/published/*.json`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

_FOLDER = Path(__file__).parent / "published"

ONE_RATE = (
    "COIN",
    "COIN++",
    "Struempler basic 8 bit",
    "Struempler meta-learned 7 bit",
    "NIF",
    "RECOMBINER",
)
"""Those whose network has one size for all images, and so the files; others have one setting."""

FITTED = (*ONE_RATE, "COOL-CHIC", "COOL-CHICv2", "C3", "Cool-chic 5.0 (HOP)")
"""Those that, as inrcodec, fit a network to the one image; the others are standards or trained."""

IMAGES = 24
"""Images of the Kodak set."""

SELECTED = ("COIN", "NIF", "C3", "Cool-chic 5.0 (HOP)", "VTM")
"""Those in the figure with the measured codecs: the first of their kind, and the best."""


@dataclass(frozen=True)
class Anchor:
    """A published curve.

    Attributes:
        codec: its name.
        psnr: points (bpp, dB), RGB; both are means over images.
        ms_ssim: points (bpp, 0 to 1); empty where it was not published.
        source: where the numbers are from.
        note: what to know when comparing; may be empty.
        images: how many images the means are over.
        same: those are the images that were asked for.
        each: points (bpp, dB) of each of them, where these were published.
    """

    codec: str
    psnr: tuple[tuple[float, float], ...]
    ms_ssim: tuple[tuple[float, float], ...]
    source: str
    note: str
    images: int
    same: bool
    each: Mapping[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)


def kodak(images: Collection[str]) -> list[Anchor]:
    """Give the curves on Kodak, over the given images where the figures of each are published.

    >>> [(a.images, a.same) for a in kodak(["kodim15"]) if a.codec in ("C3", "Cool-chic 5.0 (HOP)")]
    [(24, False), (1, True)]
    """
    content = json.loads((_FOLDER / "kodak.json").read_text())
    each = json.loads((_FOLDER / "coolchic5_kodak_per_image.json").read_text())
    everything = set(images) == set(each["images"])
    found = []
    for codec, data in content["codecs"].items():
        psnr = _points(data["bpp"], data["psnr_rgb_db"])
        ms_ssim = _points(data["bpp"], data["ms_ssim"]) if "ms_ssim" in data else ()
        source, note = data["source"], data.get("note", "")
        chosen = {image: each["images"][image] for image in images if image in each["images"]}
        if codec == each["codec"] and chosen and len(chosen) == len(images):
            psnr = tuple(map(tuple, np.mean(list(chosen.values()), axis=0).tolist()))
            single = {image: tuple(map(tuple, points)) for image, points in chosen.items()}
            found.append(Anchor(codec, psnr, (), each["source"], note, len(chosen), True, single))
        else:
            found.append(Anchor(codec, psnr, ms_ssim, source, note, IMAGES, everything))
    return found


def image_by_image(published: Collection[Anchor]) -> Anchor | None:
    """The one whose images were published, if there is one."""
    return next((anchor for anchor in published if anchor.each), None)


def _points(rates: list[float], values: list[float]) -> tuple[tuple[float, float], ...]:
    return tuple(zip(rates, values, strict=True))
