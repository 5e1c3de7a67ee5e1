"""The ablation: bases and compaction ratios, and the codec without each part, at equal file size.

Its points are ordinary ones, of inrcodec in many configurations at one rate for each data set.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from eval import codecs, plot
from eval.codecs import Own
from eval.record import Row
from eval.store import ResultsError, read_points, read_run
from eval.tables import Page
from eval.variations import PARTS, VARIATIONS
from inrcodec.encoder import DEFAULT_COMPACTION
from inrcodec.pranc.layout import BASES

RATIOS = (1.25, 2.0)
"""Parameters for each coefficient, D/k."""


def specifications(effort: int, family: str) -> list[str]:
    """The codecs to compare, the reference first: inrcodec as it is, with the basis `identity`."""
    reference = f"inrcodec:effort={effort}:family={family}:basis=identity"
    based = [
        f"inrcodec:effort={effort}:family={family}:basis={basis}:compaction={ratio:g}"
        for basis in BASES
        if basis != "identity"
        for ratio in RATIOS
    ]
    return [reference, *based, *(f"{reference}:variation={part}" for part in PARTS[family])]


def write(folder: Path) -> list[Path]:
    """Write report.html, report.md and a plot a data set into a folder; give the paths written.

    Raises:
        ResultsError: the folder holds no results.
        OSError: it cannot be written to.
    """
    points = pd.DataFrame(read_points(folder))
    page = Page(folder)
    page.heading(1, "What the basis costs, and what each part brings")
    page.text(
        "All files of an image have the same budget in bytes, which includes everything. The "
        "difference is the PSNR above that of the reference on the same image, inrcodec with the "
        "basis identity; ± is the standard error of its mean over the images."
    )
    page.code(read_run(folder)["commands"])
    for name, found in points.groupby("dataset", sort=False):
        rows = summary(found.to_dict("records"))
        about = found.iloc[0]
        page.heading(2, str(name))
        page.text(
            f"Images: {', '.join(found['image'].unique())}; {float(about['setting']):g} bits per "
            f"pixel. {about['version']}; {about['machine']}."
        )
        file = folder / "plots" / f"{str(name).replace('/', '-')}.png"
        plot.differences(
            {
                basis: [(row["ratio"], row["difference"]) for row in rows if row["basis"] == basis]
                for basis in BASES
                if basis != "identity"
            },
            {row["about"]: row["difference"] for row in rows if row["part"]},
            f"{name}, {float(about['setting']):g} bits per pixel, {rows[0]['images']} images",
            file,
        )
        page.figure(file, f"{name}: PSNR above the reference at equal file size.")
        page.table([column for column in _COLUMNS if column[1] in rows[0]], rows)
    return page.write()


_COLUMNS = [
    ("configuration", "about", ""),
    ("D/k", "ratio", ".2f"),
    ("D", "D", ".0f"),
    ("k", "k", ".0f"),
    ("images", "images", "d"),
    ("bytes", "bytes", ".0f"),
    ("of them networks", "network_bytes", ".0f"),
    ("PSNR, dB", "psnr", ".2f"),
    ("to the reference, dB", "difference", "+.2f"),
    ("±", "error", ".2f"),
    ("MS-SSIM", "ms_ssim", ".4f"),
    ("encode, s", "seconds", ".0f"),
]


def summary(points: Sequence[Row]) -> list[Row]:
    """Means of each configuration over the images that it and the reference were measured on.

    The reference has the basis identity and all parts. Points are rows of one data set, as
    text or numbers, in any order.

    Raises:
        ResultsError: the reference is not among them.
    """
    by_codec: dict[Own, dict[str, Row]] = {}
    for point in points:
        codec = codecs.parse(point["codec"])
        if isinstance(codec, Own):
            by_codec.setdefault(codec, {})[point["image"]] = point
    ordered = sorted(by_codec, key=_order)
    if not ordered or _order(ordered[0])[:2] != (0, 0):
        raise ResultsError("the study has no points of the basis identity to compare with yet")
    reference = by_codec[ordered[0]]
    rows = []
    for codec in ordered:
        shared = pd.DataFrame([row for image, row in by_codec[codec].items() if image in reference])
        if shared.empty:
            continue
        psnr = shared["psnr"].astype(float)
        against = pd.Series([float(reference[image]["psnr"]) for image in shared["image"]])
        difference = psnr - against
        detail = pd.DataFrame([json.loads(text) for text in shared["detail"]])
        means = {name: shared[name].astype(float).mean() for name in ("bytes", "ms_ssim")}
        rows.append(
            {
                "about": _about(codec),
                "basis": codec.basis,
                "part": codec.variation if codec.variation != "none" else "",
                "ratio": codec.compaction or DEFAULT_COMPACTION[codec.basis],
                "images": len(shared),
                "psnr": psnr.mean(),
                "difference": difference.mean(),
                "error": difference.std() / math.sqrt(len(shared)),
                "seconds": shared["seconds_encode"].astype(float).mean(),
                **means,
                **detail.mean(),
            }
        )
    return rows


def _order(codec: Own) -> tuple[int, int, float]:
    """All parts first, then the bases as they are listed, then D/k."""
    return list(VARIATIONS).index(codec.variation), BASES.index(codec.basis), codec.compaction


def _about(codec: Own) -> str:
    if codec.variation != "none":
        return VARIATIONS[codec.variation].about
    return codec.basis
