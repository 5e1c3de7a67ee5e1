"""What the first bytes of a file show: PSNR over the share of it that has arrived.

The files are those of a folder of results, so that a prefix can be compared with a file that was
made to be as short.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from eval import bd, crops, curves, plot, store, tables
from eval.record import Row
from inrcodec.files import write_atomically
from inrcodec.image import to_pillow
from inrcodec.prc import open as open_file
from inrcodec.progressive import stages

SHARES = tuple(np.arange(1, 21) / 20)
"""Of a file's bytes, at which it is decoded."""

SHOWN = (0.25, 0.5, 0.75, 1.0)
"""Shares of the table."""

COLUMNS = ("dataset", "image", "codec", "setting", "sha256", "version", "share", "bytes", "psnr")

FILE, TABLE = "prefixes.csv", "prefixes.md"


def measure(
    folder: Path, root: str | None = None, report: Callable[[int, int], None] | None = None
) -> list[Row]:
    """Decode the prefixes of all files of inrcodec in a folder of results, and keep `FILE` there.

    What is there already, of the same picture and version, is not done again. Shares that show
    nothing yet have no row.

    Args:
        folder: of the results.
        root: of the data sets.
        report: called with the numbers of files done and of all.

    Returns:
        The rows, as text.

    Raises:
        ResultsError: there are no results, or no file of a point.
        DataError: a picture cannot be had.
    """
    points = curves.read(folder / "points.csv")
    points = points[points["codec"].map(curves.is_own)]
    path = folder / FILE
    known = pd.read_csv(path, dtype=str).to_dict("records") if path.exists() else []
    rows: list[Row] = []
    for done, (_, point) in enumerate(points.iterrows(), 1):
        about = {name: str(point[name]) for name in COLUMNS[:3]}
        about["setting"] = f"{point['setting']:g}"
        about |= {name: str(point[name]) for name in ("sha256", "version")}
        found = [row for row in known if all(row[name] == about[name] for name in about)]
        rows += found or _prefixes(folder, point, about, root)
        if not found:
            tables.write_csv(path, rows, COLUMNS)
        if report:
            report(done, len(points))
    tables.write_csv(path, rows, COLUMNS)
    return rows


def _prefixes(folder: Path, point: pd.Series, about: Row, root: str | None) -> list[Row]:
    try:
        data = (folder / store.file_name(about)).read_bytes()
    except FileNotFoundError as error:
        raise store.ResultsError(f"{folder} has no files: measure there with `rd`") from error
    file = open_file(data)
    first = file.parts[1].offset + file.parts[1].size
    shares = [share for share in SHARES if round(share * len(data)) >= first]
    picture = to_pillow(crops.load(point, root))
    return [
        about | {"share": f"{share:g}", "bytes": str(stage.size), "psnr": f"{stage.psnr:.4f}"}
        for share, stage in zip(shares, stages(data, shares, picture), strict=True)
    ]


def write(folder: Path, rows: list[Row]) -> tuple[str, Path]:
    """Draw the mean curves of a folder's prefixes into `plots/`, and write a table beside them.

    Returns the table and the plot's path. The table says for each codec and setting how far a
    prefix is behind a file that has as many bytes, where the image's curve reaches so far down, and
    by how much PSNR falls at most when a twentieth of the bytes is added. These files are of the
    codec without its options `order` and `progressive`, if the folder has such.
    """
    points = curves.read(folder / "points.csv")
    frame = pd.DataFrame(rows)
    for name in ("setting", "share", "bytes", "psnr"):
        frame[name] = frame[name].astype(float)
    lines: dict[str, list[plot.Line]] = {}
    plain_lines: dict[str, plot.Line] = {}
    summary = []
    for (dataset, codec, setting), found in frame.groupby(["dataset", "codec", "setting"]):
        here = points[points["dataset"] == dataset]
        plain = _plain(codec)
        compared = plain if plain in set(here["codec"]) else codec
        own = here[here["codec"] == compared]
        images = found.groupby("share")["image"].transform("count")
        shown = found[images == found["image"].nunique()]
        mean = shown.groupby("share")["psnr"].mean()
        about = f"{dataset}, {plot.name(codec)}"
        line = plot.Line(codec, list(mean.items()), label=f"{setting:g} bpp")
        lines.setdefault(about, []).append(line)
        row = {"about": about, "setting": setting}
        row |= {"images": found["image"].nunique(), "psnr": mean.iloc[-1]}
        row |= {f"behind {share:g}": _behind(found, own, share) for share in SHOWN}
        if compared != codec:
            # Of the largest files, which come last. What is unknown is NaN, and not drawn.
            level = [(x, mean[x] - row[f"behind {x:g}"]) for x in SHOWN if x in mean]
            label = f"plain files as long as those of {setting:g} bpp"
            plain_lines[about] = plot.Line(compared, level, label=label)
        row["fall"] = max(0.0, -float(found.groupby("image")["psnr"].diff().min()))
        summary.append(row)
    path = folder / "plots" / "prefixes.png"
    for about, line in plain_lines.items():
        lines[about].append(line)
    plot.shares(lines, path)
    columns = [("files", "about", ""), ("bpp", "setting", "g"), ("images", "images", "d")]
    columns.append(("PSNR, dB", "psnr", ".2f"))
    columns += [(f"{share:.0%}, dB", f"behind {share:g}", "+.2f") for share in SHOWN]
    columns.append(("largest fall, dB", "fall", ".2f"))
    table = tables.markdown(columns, summary)
    shares = ", ".join(f"{share:.0%}" for share in SHOWN)
    text = f"""# Prefixes of files

PSNR of all of a file, and of {shares} of its bytes minus that of files made as long; the largest
fall of an image's PSNR where a twentieth of the bytes is added. See docs/benchmarks.md.

{table}

![PSNR over the share of the bytes](plots/prefixes.png)
"""
    write_atomically(folder / TABLE, text.encode())
    return table, path


def _plain(codec: str) -> str:
    """The same codec, whose files are not made to be cut.

    >>> _plain("inrcodec:effort=2:progressive=1")
    'inrcodec:effort=2'
    """
    options = codec.split(":")
    return ":".join(o for o in options if not o.startswith(("order=", "progressive=")))


def _behind(found: pd.DataFrame, own: pd.DataFrame, share: float) -> float:
    """PSNR of a share of the files minus that of files as long, the mean over the images."""
    differences = []
    for image, rows in found[np.isclose(found["share"], share)].groupby("image"):
        files = own[own["image"] == image]
        curve = bd.frontier(zip(files["bytes"], files["psnr"], strict=True))
        row = rows.iloc[0]
        differences.append(row["psnr"] - curves.interpolated(curve, row["bytes"]))
    known = [value for value in differences if math.isfinite(value)]
    return float(np.mean(known)) if known else math.nan
