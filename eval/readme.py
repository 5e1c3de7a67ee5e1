"""The tables of README.md and docs/benchmarks.md, from the committed results."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from eval import curves, plot, study, tables
from eval.curves import Curves
from eval.record import Row
from eval.store import ResultsError, read_points

SETS = {"kodak": "Kodak", "chest_xray": "chest X-rays"}
"""Folders of results, which are named as their data set, and what people call it."""

SIREN = "inrcodec:effort=3:family=siren"
"""The only other configuration of ours with a row."""

_STUDIED = {
    "kodak/2": "Kodak at half size, 0.27 bpp",
    "chest_xray": "chest X-rays, 0.1 bpp",
}


def filled(text: str, results: Path) -> str:
    """Put the tables into a document, between the marks that it has.

    Raises:
        ResultsError: results are missing, or the text has no mark, or one twice.
    """
    makers = {name: lambda n=name: _differences(results / n, SETS[n]) for name in SETS}
    makers["study"] = lambda: _bases(results / "study")
    found = 0
    for mark, make in makers.items():
        pattern = rf"(<!-- {mark} -->\n).*?(\n<!-- end -->)"
        count = len(re.findall(pattern, text, flags=re.S))
        if count > 1:
            raise ResultsError(f"the document has {count} tables marked {mark!r}; at most one")
        if count:
            table = make()
            text = re.sub(pattern, lambda m, t=table: m[1] + t + m[2], text, flags=re.S)
            found += 1
    if not found:
        raise ResultsError(f"the document has no table; marks are {', '.join(makers)}")
    return text


def _differences(folder: Path, name: str) -> str:
    """PSNR of ours minus that of each other codec at the same bytes, and the BD-rate."""
    each = Curves(folder.name, curves.read(folder / "points.csv"))
    if each.own is None:
        raise ResultsError(f"{folder.name}: inrcodec was not measured")
    rows: list[Row] = []
    for codec in each.others:
        if curves.is_own(codec) and codec != SIREN:
            continue
        found = curves.by_setting(curves.differences(each.points, each.own, codec, "psnr"))
        defined, all_ = curves.image_deltas(each, codec, each.own)
        row: Row = {"codec": "our SIREN" if codec == SIREN else plot.name(codec)}
        for setting, at in found.iterrows():
            row[f"{setting:g}"] = f"{at['mean']:+.2f} ({at['won']:.0f} of {at['images']:.0f})"
        if defined:
            some = f" ({len(defined)} of {len(all_)})" if len(defined) < len(all_) else ""
            row["bd"] = f"{np.mean(defined):+.0f} %{some}"
        rows.append(row)
    settings = sorted(each.points.loc[each.points["codec"] == each.own, "setting"].unique())
    columns = [(f"{name}, {len(each.images)} images", "codec", "")]
    columns += [(each.label(setting), f"{setting:g}", ">") for setting in settings]
    return tables.markdown([*columns, ("BD-rate", "bd", ">")], rows)


def _bases(folder: Path) -> str:
    """What each basis costs, from a study."""
    points = pd.DataFrame(read_points(folder))
    rows: dict[tuple[str, float], Row] = {}
    columns = [("basis", "basis", ""), ("D/k", "ratio", "g")]
    for name, found in points.groupby("dataset", sort=False):
        columns.append((_STUDIED[str(name)], str(name), ">"))
        for row in study.summary(found.to_dict("records")):
            if row["part"] or row["basis"] == "identity":
                continue
            cells = {"basis": f"`{row['basis']}`", "ratio": row["ratio"]}
            cells = rows.setdefault((row["basis"], row["ratio"]), cells)
            cells[str(name)] = f"{row['difference']:+.2f} ± {row['error']:.2f}"
    return tables.markdown(columns, [rows[key] for key in sorted(rows)])
