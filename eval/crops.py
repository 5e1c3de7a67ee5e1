"""Side by side: the same part of a picture by every codec, at equal bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from datasets import DataError
from eval import codecs, curves, measure, plot, store, tables
from eval.curves import Curves
from inrcodec import metrics
from inrcodec.image import Raster, to_pillow

WINDOW = 192, 128
"""Pixels of a crop, from the middle of the picture; it is shown at twice the size."""

MOST = 3
"""Most pictures of a data set that are shown."""

Tile = tuple[str, str, Raster]
"""Heading, figures and picture."""


def choose(each: Curves, rows: pd.DataFrame) -> tuple[str, pd.DataFrame]:
    """The images to show, and by what they were chosen."""
    if len(rows) <= MOST:
        return "all images whose files are here", rows
    other = next(iter([c for c in each.others if c == "jpeg"] or each.others), None)
    if other is None:
        return "the first images", rows.head(MOST)
    found = curves.differences(each.points, each.own, other, "psnr").set_index(["image", "setting"])
    gains = [
        found["difference"].get((r["image"], r["setting"]), np.nan) for _, r in rows.iterrows()
    ]
    order = rows.assign(gain=gains).sort_values("gain", kind="stable")
    known = int(order["gain"].notna().sum()) or len(order)
    places = sorted({0, known // 2, known - 1})
    return f"the images of least, middle and most gain over {plot.name(other)}", order.iloc[places]


def load(row: pd.Series, root: str | None) -> Raster:
    """The picture of a point; of a set that was reduced, its name says by how much."""
    name, _, factor = row["dataset"].partition("/")
    raster = measure.Set(name, root, int(factor or 1)).load(row["image"])
    if measure.short_fingerprint(raster) != row["sha256"]:
        raise DataError("the picture is not the one that was measured")
    return raster


def tiles(
    each: Curves, row: pd.Series, original: Raster, folder: Path
) -> tuple[list[Tile], list[str]]:
    """Heading, figures and picture of each tile, and the codecs that are missing."""
    size = int(row["bytes"])
    tiles = [("original", f"{row['width']:.0f}x{row['height']:.0f}", original)]
    without = []
    for name in [each.own, *each.others]:
        codec = codecs.parse(name)
        if reason := codec.missing():
            without.append(f"{plot.name(name)} ({tables.public(reason)})")
            continue
        if isinstance(codec, codecs.Classical):
            data, _ = codec.at_least(original, size)
        else:
            rows = each.rows(name, row["image"]).sort_values("bytes")
            if name == each.own or (rows["setting"] == row["setting"]).any():
                rows = rows[rows["setting"] == row["setting"]]
            else:
                rows = rows[rows["bytes"] >= size]
            found = [file(folder, other) for _, other in rows.iterrows()]
            found = [path for path in found if path is not None]
            if not found:
                without.append(f"{plot.name(name)} (no such file in the folder)")
                continue
            data = found[0].read_bytes()
        picture = codec.decode(data, original)
        psnr = metrics.psnr(original.samples, picture.samples, original.peak)
        tiles.append((plot.name(name), f"{len(data)} bytes, {psnr:.2f} dB", picture))
    return tiles, without


def file(folder: Path, row: pd.Series) -> Path | None:
    """The file of a point, where it lies in the folder and is that of the point."""
    values = row.to_dict() | {"setting": f"{row['setting']:g}"}
    path = folder / store.file_name(values)
    return path if path.is_file() and path.stat().st_size == row["bytes"] else None


def write_sheet(tiles: Sequence[Tile], path: Path) -> None:
    """Tiles in rows of four, each with its caption below."""
    margin, line = 8, 20
    font = ImageFont.load_default(size=15)
    crops = [(head, figures, window(raster)) for head, figures, raster in tiles]
    width, height = crops[0][2].size
    across = min(4, len(crops))
    down = math.ceil(len(crops) / across)
    cell = max(width, 240) + margin, height + 2 * line + margin
    sheet = Image.new("RGB", (cell[0] * across + margin, cell[1] * down + margin), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (head, figures, crop) in enumerate(crops):
        x, y = margin + cell[0] * (index % across), margin + cell[1] * (index // across)
        sheet.paste(crop, (x, y))
        draw.text((x, y + height + 2), head, fill="black", font=font)
        draw.text((x, y + height + line), figures, fill="black", font=font)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, "PNG", optimize=True)


def window(raster: Raster) -> Image.Image:
    """The middle of a picture at twice its size, RGB, 8 bit."""
    width, height = min(WINDOW[0], raster.width), min(WINDOW[1], raster.height)
    left, top = (raster.width - width) // 2, (raster.height - height) // 2
    samples = raster.samples[top : top + height, left : left + width]
    if raster.bits == 16:
        samples = (samples >> 8).astype(np.uint8)
    crop = to_pillow(Raster(samples, raster.has_alpha)).convert("RGB")
    return crop.resize((2 * width, 2 * height), Image.Resampling.NEAREST)
