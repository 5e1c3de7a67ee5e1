"""The report of a results folder: one HTML page and the same in Markdown, with plots and crops.

Everything is computed from the folder's points, so that a folder copied elsewhere gives the same
report; only the crops need the test pictures as well.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from datasets import DataError
from eval import anchors, bd, codecs, measure, plot, store, tables
from eval.record import Row
from inrcodec import metrics
from inrcodec.errors import CodecError
from inrcodec.image import Raster, to_pillow

_TEXTS = ("dataset", "image", "sha256", "codec", "knob", "detail", "version", "machine", "started")
_MEANS = ("bpp", "psnr", "mse", "ms_ssim", "ssim", "lpips")
_JPEG = "jpeg"
_LEVEL = 0.05
"""Differences in dB under this are called level: nobody sees them."""

_TOLERANCE = 1.03
"""How far a curve is continued at its ends: by as much as inrcodec's files miss their budget."""

_CROP = 192, 128
_CROPS = 3
_NO_CROPS = (DataError, CodecError, codecs.SpecificationError, KeyError, OSError)
Columns = tables.Columns


def write(folder: Path, root: str | None = None) -> list[Path]:
    """Write report.html, report.md, plots/*.png and crops/*.png into a results folder.

    `root` is the folder of the test pictures, as for `datasets.dataset`. Gives the paths written.

    Raises:
        ResultsError: points.csv has no points, or is none.
        OSError: it is missing, or the folder cannot be written to.
    """
    folder = Path(folder)
    points = _read(folder / "points.csv")
    failures = _read_failures(folder / "failures.csv")
    page = tables.Page(folder)
    page.heading(1, f"Rate, distortion and speed: {folder.resolve().name}")
    _measured(page, points, folder / "run.json")
    sets = [_Set(name, frame) for name, frame in points.groupby("dataset", sort=False)]
    page.heading(2, "Summary")
    for each in sets:
        _summary(page, each)
    for each in sets:
        page.heading(2, each.name)
        _curves(page, each)
        _bd_tables(page, each)
        _published(page, each)
        _mean_table(page, each)
        _pictures(page, each)
        _crops(page, root, each)
    _speed(page, sets)
    _failed(page, points, failures)
    return page.write()


class _Set:
    """The points of one data set.

    Attributes:
        name: of the data set.
        points: a row a point, ordered by codec, image and setting.
        codecs: ours first.
        own: the configuration of inrcodec with the most images, None where there is none.
        images: those that `own` was measured on; without it, all.
    """

    def __init__(self, name: str, points: pd.DataFrame) -> None:
        self.name = name
        self.codecs = sorted(points["codec"].unique(), key=_order)
        ranks = points["codec"].map(self.codecs.index)
        self.points = (
            points.assign(rank=ranks).sort_values(["rank", "image", "setting"]).drop(columns="rank")
        )
        images = {codec: self.of(codec) for codec in self.codecs}
        ours = [codec for codec in self.codecs if _is_own(codec)]
        self.own = max(ours, key=lambda codec: len(images[codec]), default=None)
        self.images = images[self.own] if self.own else sorted(points["image"].unique())

    @property
    def others(self) -> list[str]:
        return [codec for codec in self.codecs if codec != self.own]

    @property
    def file_name(self) -> str:
        return _safe(self.name)

    def of(self, codec: str) -> list[str]:
        """The images of a codec."""
        return sorted(self.points.loc[self.points["codec"] == codec, "image"].unique())

    def rows(self, codec: str, image: str) -> pd.DataFrame:
        found = self.points
        return found[(found["codec"] == codec) & (found["image"] == image)]

    @functools.cached_property
    def shared(self) -> pd.DataFrame:
        """Means over `images`, or those of them that a codec has."""
        return means(self.points[self.points["image"].isin(self.images)])

    def pair(self, a: str, b: str) -> pd.DataFrame:
        """Means of two codecs over the images that both have."""
        images = set(self.of(a)) & set(self.of(b))
        chosen = self.points["codec"].isin([a, b]) & self.points["image"].isin(images)
        return means(self.points[chosen])

    def label(self, *settings: float) -> str:
        """What points of ours are called: by their target rates."""
        knobs = self.points.loc[self.points["codec"] == self.own, "knob"]
        values = ", ".join(f"{setting:g}" for setting in settings)
        return f"{values} bpp" if (knobs == "bpp").all() else f"quality {values}"


def means(points: pd.DataFrame) -> pd.DataFrame:
    """Means over the images of each codec, at the settings that were measured on all of them.

    Columns: codec, setting, images, then the means of bpp, psnr, mse, ms_ssim, ssim, lpips, and
    psnr_of_mse (the PSNR of the mean MSE) and ms_ssim_db (of the mean MS-SSIM), dB.
    """
    groups = points.groupby(["codec", "setting"], sort=False)
    values = groups[list(_MEANS)]
    # A mean over some of the images, where a value is missing, would be of another set.
    found = values.mean().where(values.count().eq(groups.size(), axis=0))
    found.insert(0, "images", groups["image"].nunique())
    found = found.reset_index()
    of = points.groupby("codec")["image"].nunique()
    found = found[found["images"] == found["codec"].map(of)].reset_index(drop=True)
    found["psnr_of_mse"] = [
        math.inf if mse == 0 else 10 * math.log10(255**2 / mse) for mse in found["mse"]
    ]
    found["ms_ssim_db"] = [bd.decibels(x) for x in found["ms_ssim"]]
    return found


def differences(points: pd.DataFrame, own: str, other: str, metric: str) -> pd.DataFrame:
    """At each point of ours, how much more quality it has than another codec at the same rate.

    The other curve is interpolated linearly over log-rate between its points, and continued by no
    more than `_TOLERANCE`: columns image, setting, difference (NaN outside), below (its files there
    are all larger).
    """
    rows = []
    for image, ours in points[points["codec"] == own].groupby("image", sort=False):
        theirs = points[(points["codec"] == other) & (points["image"] == image)]
        curve = bd.frontier(zip(theirs["bpp"], theirs[metric], strict=True))
        if not curve:
            continue
        for row in ours.itertuples():
            difference = getattr(row, metric) - _interpolated(curve, row.bpp)
            rows.append((image, row.setting, difference, row.bpp * _TOLERANCE < curve[0][0]))
    frame = pd.DataFrame(rows, columns=["image", "setting", "difference", "below"])
    return frame.replace([np.inf, -np.inf], np.nan)


def _interpolated(curve: Sequence[tuple[float, float]], rate: float) -> float:
    """The quality of a curve, a `bd.frontier`, at a rate; NaN where that is outside."""
    rates, values = np.array(curve).T
    inside = rates[0] / _TOLERANCE <= rate <= rates[-1] * _TOLERANCE
    if not inside or len(rates) < 2:
        return math.nan
    end = int(np.clip(np.searchsorted(rates, rate), 1, len(rates) - 1))
    share = math.log(rate / rates[end - 1]) / math.log(rates[end] / rates[end - 1])
    return float((1 - share) * values[end - 1] + share * values[end])


def _read(path: Path) -> pd.DataFrame:
    try:
        points = pd.read_csv(path, dtype=dict.fromkeys(_TEXTS, str))
        points = points.drop_duplicates(["dataset", "image", "codec", "setting"], keep="last")
        for name in set(points.columns) - set(_TEXTS):
            points[name] = pd.to_numeric(points[name], errors="coerce").astype(float)
        points["ms_ssim_db"] = [bd.decibels(x) for x in points["ms_ssim"]]
    except (ValueError, KeyError) as error:
        raise store.ResultsError(f"{path.name}: not a table of points: {_line(error)}") from error
    if points.empty:
        raise store.ResultsError(f"{path.name}: no points")
    return points


def _read_failures(path: Path) -> pd.DataFrame:
    names = ["dataset", "image", "codec", "setting", "error"]
    if not path.exists():
        return pd.DataFrame(columns=names)
    return pd.read_csv(path, dtype=str, keep_default_na=False)[names]


def _measured(page: tables.Page, points: pd.DataFrame, run: Path) -> None:
    page.heading(2, "What was measured")
    columns = [("data set", "dataset", ""), ("codec", "codec", ""), ("images", "images", "d"),
               ("points", "points", "d"), ("settings", "settings", ""),
               ("version", "version", "")]  # fmt: skip
    rows = []
    for name, frame in points.groupby("dataset", sort=False):
        for codec in sorted(frame["codec"].unique(), key=_order):
            own = frame[frame["codec"] == codec]
            settings = ", ".join(f"{x:g}" for x in sorted(own["setting"].unique()))
            rows.append({
                "dataset": name,
                "codec": codec,
                "images": own["image"].nunique(),
                "points": len(own),
                "settings": f"{own['knob'].iloc[0]} {settings}",
                "version": "; ".join(map(_public, own["version"].dropna().unique())),
            })  # fmt: skip
    page.table(columns, rows)
    for name, frame in points.groupby("dataset", sort=False):
        images = frame.drop_duplicates("image").sort_values("image")
        sizes = ", ".join(sorted({f"{r.width:.0f}x{r.height:.0f}" for r in images.itertuples()}))
        kind = "/".join(sorted({"grey" if c < 3 else "colour" for c in images["channels"]}))
        page.text(f"{name}: {_many(len(images), 'image')}, {sizes}, {kind}: "
                  f"{', '.join(images['image'])}.")  # fmt: skip
    page.text(f"Machine: {'; '.join(map(_public, points['machine'].dropna().unique()))}. "
              f"{_jobs(points)} Measured from {points['started'].min()} "
              f"to {points['started'].max()}.")  # fmt: skip
    if run.exists():
        page.code(_public(line) for line in store.read_run(run.parent)["commands"])


def _jobs(points: pd.DataFrame) -> str:
    threads = "/".join(f"{x:g}" for x in sorted(points["threads"].dropna().unique()))
    jobs = "/".join(f"{x:g}" for x in sorted(points["jobs"].dropna().unique()))
    return f"Threads a point: {threads}; points at a time: {jobs}."


def _summary(page: tables.Page, each: _Set) -> None:
    page.heading(3, each.name)
    if each.own is None:
        page.text("inrcodec was not measured.")
        return
    if not each.others:
        page.text(f"Only {plot.name(each.own)} was measured, so there is nothing to compare with.")
        return
    own = plot.name(each.own)
    compared = {other: differences(each.points, each.own, other, "psnr") for other in each.others}
    page.text(f"PSNR of {own} at its own rates, against the other codec's at the same bytes "
              "(interpolated for each image; dB in the mean over images, and the number of images "
              "on which inrcodec is better).")  # fmt: skip
    verdicts: dict[str, list[str]] = {}
    for other, found in compared.items():
        verdicts.setdefault(_verdict(found), []).append(plot.name(other))
    page.text(" ".join(f"{verdict}: {'; '.join(names)}." for verdict, names in verdicts.items()))
    page.bullets(_words(each, other, found) for other, found in compared.items())
    _difference_table(page, each, compared)
    page.text("The same in MS-SSIM, dB.")
    _difference_table(
        page,
        each,
        {other: differences(each.points, each.own, other, "ms_ssim_db") for other in each.others},
    )


def _by_setting(found: pd.DataFrame) -> pd.DataFrame:
    """Mean difference, images compared and images won, by setting; those with none left out."""
    known = found.dropna(subset="difference")
    return known.groupby("setting")["difference"].agg(
        mean="mean", images="count", won=lambda values: int((values > 0).sum())
    )


def _verdict(found: pd.DataFrame) -> str:
    mean = _by_setting(found)["mean"]
    if mean.empty:
        return "No rate in common"
    if (mean >= _LEVEL).all():
        return "Ahead at every rate compared"
    if (mean <= -_LEVEL).all():
        return "Behind at every rate compared"
    if (mean.abs() < _LEVEL).all():
        return "Level at every rate compared"
    return "Ahead at some rates, behind or level at others"


def _words(each: _Set, other: str, found: pd.DataFrame) -> str:
    table = _by_setting(found)
    mean = table["mean"]
    parts = []
    for word, chosen in (
        ("ahead", mean[mean >= _LEVEL]),
        ("behind", mean[mean <= -_LEVEL]),
        ("level", mean[mean.abs() < _LEVEL]),
    ):
        if len(chosen):
            ends = [f"{size:.2f}" for size in (chosen.abs().min(), chosen.abs().max())]
            span = " to ".join(dict.fromkeys(ends))
            by = "" if word == "level" else f" by {span} dB"
            parts.append(f"{word}{by} at {each.label(*chosen.index)}")
    if len(table):
        parts.append(f"better in {table['won'].sum()} of {table['images'].sum()} "
                     "comparisons, image by image")  # fmt: skip
    below = found.groupby("setting")["below"].sum()
    larger = [f"{count} of {len(each.images)} at {each.label(setting)}"
              for setting, count in below[below > 0].items()]  # fmt: skip
    if larger:
        parts.append(f"no file as small for {', '.join(larger)}")
    delta = _mean_delta(each, other, each.own, "psnr", bd.bd_rate)
    if isinstance(delta, bd.Delta):
        more = "more" if delta.value > 0 else "fewer"
        parts.append(f"needs {abs(delta.value):.1f} % {more} bytes at equal PSNR "
                     f"between {delta.low:.1f} and {delta.high:.1f} dB (BD-rate)")  # fmt: skip
    return f"Against {plot.name(other)}: " + ("; ".join(parts) or "no rate in common") + "."


def _difference_table(page: tables.Page, each: _Set, compared: dict[str, pd.DataFrame]) -> None:
    settings = sorted(each.points.loc[each.points["codec"] == each.own, "setting"].unique())
    columns = [("inrcodec minus", "codec", "")]
    columns += [(each.label(setting), f"at {setting}", ">") for setting in settings]
    rows = []
    for other, found in compared.items():
        table = _by_setting(found)
        cells = {f"at {s}": f"{r['mean']:+.2f} ({r['won']:.0f}/{r['images']:.0f})"
                 for s, r in table.iterrows()}  # fmt: skip
        rows.append({"codec": plot.name(other), **cells})
    page.table(columns, rows)


def _curves(page: tables.Page, each: _Set) -> None:
    page.heading(3, "Curves")
    lines = {label: _lines(each, metric) for label, metric in _PANELS.items()}
    limit = plot.rate_limit(lines["PSNR, dB"])
    note = f"means over {_many(len(each.images), 'image')}"
    published = anchors.kodak(each.images) if each.name == "kodak" else []
    drawn = [_published_lines(anchor, index) for index, anchor in enumerate(published)]
    for anchor, panels in zip(published, drawn, strict=True):
        if anchor.codec in anchors.SELECTED:
            for label, line in zip(_PANELS, panels, strict=True):
                lines[label] += line
    remark = _remark(published, len(each.images))
    other = f"; published: over {anchors.IMAGES}, not comparable" if remark else ""
    path = page.folder / "plots" / f"{each.file_name}-curves.png"
    plot.panels(lines, limit, f"{each.name}: {note}{other}", path)
    page.figure(path, f"{each.name}, {note}. Solid: measured here. "
                + ("Dashed: published. " if published else "") + remark)  # fmt: skip
    if not published or each.own is None:
        return
    ours = [line for line in _lines(each, "psnr") if line.name == each.own]
    groups = {"fitted to one image": True, "standards, and networks trained on a set": False}
    compared = {
        title: ours
        + [
            replace(line, label=anchor.codec)
            for anchor, panels in zip(published, drawn, strict=True)
            if (anchor.codec in anchors.FITTED) == fitted
            for line in panels[0]
        ]
        for title, fitted in groups.items()
    }
    path = page.folder / "plots" / f"{each.file_name}-published.png"
    plot.beside(compared, limit, f"{each.name}: {note}{other}", path)
    page.figure(path, f"All published curves (dashed) with inrcodec (solid). {remark}")


_PANELS = {"PSNR, dB": "psnr", "MS-SSIM": "ms_ssim", "MS-SSIM, dB": "ms_ssim_db"}


def _lines(each: _Set, metric: str) -> list[plot.Line]:
    """The mean curves of the measured codecs."""
    lines = []
    for codec in each.codecs:
        rows = each.shared[each.shared["codec"] == codec]
        rows = rows[np.isfinite(rows[metric])]
        if len(rows):
            images = int(rows["images"].iloc[0])
            few = f" ({images} of {len(each.images)} images)" if images < len(each.images) else ""
            points = list(zip(rows["bpp"], rows[metric], strict=True))
            lines.append(plot.Line(codec, points, label=plot.name(codec) + few))
    return lines


def _published_lines(anchor: anchors.Anchor, index: int) -> list[list[plot.Line]]:
    """A published curve in the panels of `_PANELS`; no line where it has no MS-SSIM."""
    decibels = [(rate, bd.decibels(value)) for rate, value in anchor.ms_ssim]
    label = f"{anchor.codec} (published)"
    return [
        [plot.Line(anchor.codec, points, published=index, label=label)] if points else []
        for points in (anchor.psnr, anchor.ms_ssim, decibels)
    ]


def _remark(published: Sequence[anchors.Anchor], images: int) -> str:
    if not any(not anchor.same for anchor in published):
        return ""
    same = ", ".join(anchor.codec for anchor in published if anchor.same)
    return (
        f"The published means are over all {anchors.IMAGES} images of the set, ours over a subset "
        f"of {images}: the two are not comparable"
        + (f", but for {same}, which is averaged over the same subset." if same else ".")
    )


def _attempt(function: Callable[[bd.Curve, bd.Curve], bd.Delta], anchor: bd.Curve,
             test: bd.Curve) -> bd.Delta | str:  # fmt: skip
    """A delta, or why there is none."""
    try:
        return function(anchor, test)
    except bd.BdError as error:
        return str(error)


def _curve(rows: pd.DataFrame, codec: str, metric: str) -> list[tuple[float, float]]:
    rows = rows[rows["codec"] == codec]
    return list(zip(rows["bpp"], rows[metric], strict=True))


def _mean_delta(each: _Set, anchor: str, test: str, metric: str,
                function: Callable[[bd.Curve, bd.Curve], bd.Delta]) -> bd.Delta | str:  # fmt: skip
    rows = each.pair(anchor, test)
    if rows.empty:
        return "no image and setting in common"
    return _attempt(function, _curve(rows, anchor, metric), _curve(rows, test, metric))


def _image_delta(each: _Set, anchor: str, test: str, image: str) -> bd.Delta | str:
    curves = [_curve(each.rows(codec, image), codec, "psnr") for codec in (anchor, test)]
    return _attempt(bd.bd_rate, *curves) if all(curves) else "not measured on this image"


def _bd_tables(page: tables.Page, each: _Set) -> None:
    page.heading(3, "Bjøntegaard deltas")
    if len(each.codecs) < 2:
        page.text("One codec alone has none.")
        return
    page.text(f"BD-rate: bytes more (+) or fewer (−) at equal quality, {bd.METHOD} interpolation, "
              "over the qualities that both curves have; mean curves over the images that both "
              "codecs have.")  # fmt: skip
    if _JPEG in each.codecs:
        _against_jpeg(page, each)
    else:
        page.text("JPEG was not measured, so there is no table against it.")
    notes = tables.Notes()
    rows = []
    for test in each.codecs:
        row: Row = {"codec": plot.name(test)}
        for anchor in each.codecs:
            delta = _mean_delta(each, anchor, test, "psnr", bd.bd_rate)
            row[anchor] = "·" if anchor == test else _shown(delta, "+.1f", notes)
        rows.append(row)
    page.text("Every codec (row) against every codec (column): BD-rate of the mean curves in "
              "PSNR, %.")  # fmt: skip
    page.table(
        [("codec", "codec", ""), *((plot.name(c), c, ">") for c in each.codecs)], rows, notes
    )


def _against_jpeg(page: tables.Page, each: _Set) -> None:
    notes = tables.Notes()
    rows = []
    for codec in each.codecs:
        if codec == _JPEG:
            continue
        images = [image for image in each.of(codec) if image in each.of(_JPEG)]
        deltas = [_image_delta(each, _JPEG, codec, image) for image in images]
        defined = [delta.value for delta in deltas if isinstance(delta, bd.Delta)]
        rate = _mean_delta(each, _JPEG, codec, "psnr", bd.bd_rate)
        quality = _mean_delta(each, _JPEG, codec, "psnr", bd.bd_psnr)
        similar = _mean_delta(each, _JPEG, codec, "ms_ssim_db", bd.bd_rate)
        rows.append({
            "codec": plot.name(codec),
            "rate": _shown(rate, "+.1f", notes),
            "over": f"{rate.low:.1f} to {rate.high:.1f}" if isinstance(rate, bd.Delta) else None,
            "each": f"{np.mean(defined):+.1f} ({len(defined)} of {len(images)})"
                    if defined else f"– (0 of {len(images)})",
            "quality": _shown(quality, "+.2f", notes),
            "similar": _shown(similar, "+.1f", notes),
        })  # fmt: skip
    page.text("Against JPEG:")
    page.table(
        [
            ("codec", "codec", ""),
            ("BD-rate of the mean curves, %", "rate", ">"),
            ("over PSNR, dB", "over", ">"),
            ("mean BD-rate of the images, % (defined)", "each", ">"),
            ("BD-PSNR, dB", "quality", ">"),
            ("BD-rate in MS-SSIM, %", "similar", ">"),
        ],
        rows,
        notes,
    )


def _shown(delta: bd.Delta | str, form: str, notes: tables.Notes) -> str:
    return notes.cell(delta) if isinstance(delta, str) else f"{delta.value:{form}}"


def _published(page: tables.Page, each: _Set) -> None:
    """inrcodec against the published curves, and the sources of these."""
    if each.name != "kodak" or each.own is None:
        return
    page.heading(3, "Against published curves")
    ours = each.shared[each.shared["codec"] == each.own]
    published = anchors.kodak(each.images)
    notes = tables.Notes()
    rows = []
    for anchor in published:
        if anchor.same:
            curve = list(zip(ours["bpp"], ours["psnr"], strict=True))
            delta = _attempt(bd.bd_rate, anchor.psnr, curve)
            gains = {
                f"at {setting}": psnr - _interpolated(anchor.psnr, rate)
                for setting, rate, psnr in ours[["setting", "bpp", "psnr"]].to_numpy()
            }
            rows.append({"codec": anchor.codec, "rate": _shown(delta, "+.1f", notes), **gains})
    if remark := _remark(published, len(each.images)):
        page.text(remark)
    if rows:
        page.text(f"PSNR of {plot.name(each.own)} minus the published at our mean rates, dB, and "
                  "our BD-rate against it; mean curves.")  # fmt: skip
        rates = [(each.label(s), f"at {s}", "+.2f") for s in ours["setting"]]
        page.table([("published", "codec", ""), *rates, ("BD-rate, %", "rate", ">")], rows, notes)
    with page.fold("Sources of the published curves"):
        page.table(
            [("published", "codec", ""), ("images", "images", "d"), ("note", "note", ""),
             ("source", "source", "")],
            [vars(anchor) for anchor in published],
        )  # fmt: skip


def _mean_table(page: tables.Page, each: _Set) -> None:
    page.heading(3, "Means")
    dropped = []
    for codec in each.codecs:
        every = each.points[each.points["codec"] == codec]
        every = every[every["image"].isin(each.images)]
        kept = each.shared.loc[each.shared["codec"] == codec, "setting"]
        if left := sorted(set(every["setting"]) - set(kept)):
            dropped.append(f"{plot.name(codec)} {', '.join(f'{x:g}' for x in left)}")
    page.text(f"Over the {_many(len(each.images), 'image')} of the curves, at the settings that "
              "were measured on all of them"
              + (f" (left out: {'; '.join(dropped)})." if dropped else "."))  # fmt: skip
    columns = [
        ("codec", "codec", ""),
        ("setting", "setting", "g"),
        ("images", "images", "d"),
        ("bpp", "bpp", ".4f"),
        ("mean PSNR, dB", "psnr", ".2f"),
        ("PSNR of mean MSE, dB", "psnr_of_mse", ".2f"),
        ("MS-SSIM", "ms_ssim", ".4f"),
        ("MS-SSIM, dB", "ms_ssim_db", ".2f"),
        ("SSIM", "ssim", ".4f"),
        ("LPIPS", "lpips", ".4f"),
    ]
    rows = _records(each.shared)
    with page.fold(f"Means of {_many(len(rows), 'setting')}"):
        page.table(_filled(columns, each.shared), rows)


def _records(frame: pd.DataFrame) -> list[Row]:
    return [row | {"codec": plot.name(row["codec"])} for row in frame.to_dict("records")]


def _filled(columns: Columns, frame: pd.DataFrame) -> Columns:
    """The columns without those that have no value."""
    return [
        column for column in columns if column[1] not in frame or frame[column[1]].notna().any()
    ]


def _pictures(page: tables.Page, each: _Set) -> None:
    page.heading(3, "Image by image")
    shown = each.points[each.points["image"].isin(each.images)]
    path = page.folder / "plots" / f"{each.file_name}-images.png"
    rows = shown.rename(columns={"image": "picture"}).sort_values("picture", kind="stable")
    plot.rate_distortion(rows.to_dict("records"), path)
    page.figure(path, f"{each.name}: PSNR of each image.")
    if each.own is not None and each.others:
        _at_middle_rate(page, each)
    if _JPEG in each.codecs and len(each.codecs) > 1:
        notes = tables.Notes()
        others = [codec for codec in each.codecs if codec != _JPEG]
        found = [
            {"image": image}
            | {c: _shown(_image_delta(each, _JPEG, c, image), "+.1f", notes) for c in others}
            for image in each.images
        ]
        page.text("BD-rate against JPEG of each image, %.")
        page.table(
            [("image", "image", ""), *((plot.name(c), c, ">") for c in others)], found, notes
        )
    columns = [
        ("codec", "codec", ""),
        ("setting", "setting", "g"),
        ("bytes", "bytes", ".0f"),
        ("bpp", "bpp", ".4f"),
        ("PSNR, dB", "psnr", ".2f"),
        ("MS-SSIM", "ms_ssim", ".4f"),
        ("MS-SSIM, dB", "ms_ssim_db", ".2f"),
        ("SSIM", "ssim", ".4f"),
        ("LPIPS", "lpips", ".4f"),
        ("encode, s", "seconds_encode", ".3f"),
        ("decode, s", "seconds_decode", ".3f"),
    ]
    for image, frame in each.points.groupby("image"):
        with page.fold(f"All points of {image}"):
            page.table(_filled(columns, frame), _records(frame))


def _middle(each: _Set) -> float:
    """The middle one of our settings that all images have."""
    settings = sorted(each.shared.loc[each.shared["codec"] == each.own, "setting"])
    settings = settings or sorted(
        each.points.loc[each.points["codec"] == each.own, "setting"].unique()
    )
    return float(settings[len(settings) // 2])


def _at_middle_rate(page: tables.Page, each: _Set) -> None:
    setting = _middle(each)
    compared = {}
    for other in each.others:
        found = differences(each.points, each.own, other, "psnr")
        compared[other] = found[found["setting"] == setting].set_index("image")["difference"]
    ours = each.points[(each.points["codec"] == each.own) & (each.points["setting"] == setting)]
    rows = [
        {"image": row.image, "bpp": row.bpp, "psnr": row.psnr}
        | {other: found.get(row.image) for other, found in compared.items()}
        for row in ours.itertuples()
    ]
    page.text(f"At {each.label(setting)}: PSNR of {plot.name(each.own)}, and how much more that is "
              "than the other codec's at the same bytes, dB.")  # fmt: skip
    page.table(
        [
            ("image", "image", ""),
            ("bpp", "bpp", ".4f"),
            ("PSNR, dB", "psnr", ".2f"),
            *((f"− {plot.name(other)}", other, "+.2f") for other in each.others),
        ],
        rows,
    )


def _crops(page: tables.Page, root: str | None, each: _Set) -> None:
    page.heading(3, "Crops at equal bytes")
    if each.own is None:
        page.text("None: inrcodec was not measured.")
        return
    folder, setting = page.folder, _middle(each)
    rows = each.points[(each.points["codec"] == each.own) & (each.points["setting"] == setting)]
    rows = rows[[_file(folder, row) is not None for _, row in rows.iterrows()]]
    if rows.empty:
        page.text(f"None: the files of {plot.name(each.own)} at {each.label(setting)} are not "
                  "in the folder.")  # fmt: skip
        return
    words, chosen = _choice(each, rows)
    page.text(f"The middle {_CROP[0]}x{_CROP[1]} pixels, twice as large, at "
              f"{each.label(setting)}: {words}. The other codecs have "
              "the smallest file of at least as many bytes.")  # fmt: skip
    for _, row in chosen.iterrows():
        try:
            original = _load(row, root)
            tiles, without = _tiles(each, row, original, folder)
        except _NO_CROPS as error:
            page.text(f"{row['image']}: no crops: {_public(_line(error))}")
            continue
        path = page.folder / "crops" / f"{each.file_name}-{_safe(row['image'])}.png"
        _sheet(tiles, path)
        page.figure(path, f"{row['image']}, {row['width']:.0f}x{row['height']:.0f}")
        if without:
            page.text(f"Without {'; '.join(without)}.")


def _choice(each: _Set, rows: pd.DataFrame) -> tuple[str, pd.DataFrame]:
    """The images to show, and by what they were chosen."""
    if len(rows) <= _CROPS:
        return "all images whose files are here", rows
    other = next(iter([c for c in each.others if c == _JPEG] or each.others), None)
    if other is None:
        return "the first images", rows.head(_CROPS)
    found = differences(each.points, each.own, other, "psnr").set_index(["image", "setting"])
    gains = [
        found["difference"].get((r["image"], r["setting"]), np.nan) for _, r in rows.iterrows()
    ]
    order = rows.assign(gain=gains).sort_values("gain", kind="stable")
    known = int(order["gain"].notna().sum()) or len(order)
    places = sorted({0, known // 2, known - 1})
    return f"the images of least, middle and most gain over {plot.name(other)}", order.iloc[places]


def _load(row: pd.Series, root: str | None) -> Raster:
    """The picture of a point; of a set that was reduced, its name says by how much."""
    name, _, factor = row["dataset"].partition("/")
    raster = measure.Set(name, root, int(factor or 1)).load(row["image"])
    if measure.short_fingerprint(raster) != row["sha256"]:
        raise DataError("the picture is not the one that was measured")
    return raster


Tile = tuple[str, str, Raster]


def _tiles(
    each: _Set, row: pd.Series, original: Raster, folder: Path
) -> tuple[list[Tile], list[str]]:
    """Heading, figures and picture of each tile, and the codecs that are missing."""
    size = int(row["bytes"])
    tiles = [("original", f"{row['width']:.0f}x{row['height']:.0f}", original)]
    without = []
    for name in [each.own, *each.others]:
        codec = codecs.parse(name)
        if reason := codec.missing():
            without.append(f"{plot.name(name)} ({_public(reason)})")
            continue
        if hasattr(codec, "at_least"):
            data, _ = codec.at_least(original, size)
        else:
            rows = each.rows(name, row["image"]).sort_values("bytes")
            if name == each.own or (rows["setting"] == row["setting"]).any():
                rows = rows[rows["setting"] == row["setting"]]
            else:
                rows = rows[rows["bytes"] >= size]
            found = [_file(folder, other) for _, other in rows.iterrows()]
            found = [path for path in found if path is not None]
            if not found:
                without.append(f"{plot.name(name)} (no such file in the folder)")
                continue
            data = found[0].read_bytes()
        picture = codec.decode(data, original)
        psnr = metrics.psnr(original.samples, picture.samples, original.peak)
        tiles.append((plot.name(name), f"{len(data)} bytes, {psnr:.2f} dB", picture))
    return tiles, without


def _file(folder: Path, row: pd.Series) -> Path | None:
    """The file of a point, where it lies in the folder and is that of the point."""
    values = row.to_dict() | {"setting": f"{row['setting']:g}"}
    path = folder / store.file_name(values)
    return path if path.is_file() and path.stat().st_size == row["bytes"] else None


def _sheet(tiles: Sequence[Tile], path: Path) -> None:
    """Tiles in rows of four, each with its caption below."""
    margin, line = 8, 20
    font = ImageFont.load_default(size=15)
    crops = [(head, figures, _window(raster)) for head, figures, raster in tiles]
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


def _window(raster: Raster) -> Image.Image:
    """The middle of a picture at twice its size, RGB, 8 bit."""
    width, height = min(_CROP[0], raster.width), min(_CROP[1], raster.height)
    left, top = (raster.width - width) // 2, (raster.height - height) // 2
    samples = raster.samples[top : top + height, left : left + width]
    if raster.bits == 16:
        samples = (samples >> 8).astype(np.uint8)
    crop = to_pillow(Raster(samples, raster.has_alpha)).convert("RGB")
    return crop.resize((2 * width, 2 * height), Image.Resampling.NEAREST)


def _speed(page: tables.Page, sets: Collection[_Set]) -> None:
    page.heading(2, "Speed")
    page.text("Medians over all points, wall clock; memory is the largest growth of the process.")
    if any((each.points["jobs"] > 1).any() for each in sets):
        page.text("Where more than one point was measured at a time they shared the machine, "
                  "so times are longer than on an idle one.")  # fmt: skip
    rows = []
    for each in sets:
        for codec in each.codecs:
            found = each.points[each.points["codec"] == codec]
            pixels = found["width"] * found["height"]
            macs = found["macs_per_pixel"].dropna()
            rows.append({
                "dataset": each.name,
                "codec": plot.name(codec),
                "points": len(found),
                "encode": found["seconds_encode"].median(),
                "encode_rate": (pixels / found["seconds_encode"]).median() / 1e6,
                "decode": found["seconds_decode"].median(),
                "decode_rate": (pixels / found["seconds_decode"]).median() / 1e6,
                "mib_encode": found["mib_encode"].max(),
                "mib_decode": found["mib_decode"].max(),
                "macs": _span(macs.min(), macs.max()) if len(macs) else None,
                "threads": "/".join(f"{x:g}" for x in sorted(found["threads"].dropna().unique())),
                "jobs": "/".join(f"{x:g}" for x in sorted(found["jobs"].dropna().unique())),
            })  # fmt: skip
    page.table(
        [
            ("data set", "dataset", ""),
            ("codec", "codec", ""),
            ("points", "points", "d"),
            ("encode, s", "encode", ".3f"),
            ("Mpixel/s", "encode_rate", ".4g"),
            ("decode, s", "decode", ".4f"),
            ("Mpixel/s", "decode_rate", ".4g"),
            ("encode, MiB", "mib_encode", ".0f"),
            ("decode, MiB", "mib_decode", ".0f"),
            ("MACs a pixel", "macs", ">"),
            ("threads", "threads", ">"),
            ("at a time", "jobs", ">"),
        ],
        rows,
    )


def _span(low: float, high: float) -> str:
    return f"{low:.0f}" if low == high else f"{low:.0f} to {high:.0f}"


def _failed(page: tables.Page, points: pd.DataFrame, failures: pd.DataFrame) -> None:
    page.heading(2, "Failures and missing codecs")
    columns = ["dataset", "image", "codec", "setting", "error"]
    if failures.empty:
        page.text("No point failed.")
    else:
        failures = failures.assign(error=failures["error"].map(_public))
        page.table([(name, name, "") for name in columns], failures.to_dict("records"))
    measured = {codec.partition(":")[0] for codec in points["codec"]}
    absent = [plot.name(name) for name in codecs.NAMES if name not in measured]
    if absent:
        page.text(f"Without any point here: {', '.join(absent)}.")


def _order(codec: str) -> tuple[bool, int, str]:
    """inrcodec, its other configurations, then the rest as `codecs.NAMES` has them."""
    base = codec.partition(":")[0]
    place = codecs.NAMES.index(base) if base in codecs.NAMES else len(codecs.NAMES)
    return (not _is_own(codec), place, codec)


def _is_own(codec: str) -> bool:
    return codec.startswith("inrcodec")


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _safe(text: str) -> str:
    return re.sub(r"[^\w.=-]", "_", text)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def _public(text: str) -> str:
    """Text without the folders of this machine: of an absolute path the last part.

    >>> _public("eval run --data /home/me/sets --dataset kodak/2")
    'eval run --data sets --dataset kodak/2'
    """
    return re.sub(r"(?<![\w.:/])(?:/[^\s/'\",;:)]+)+/?", lambda m: Path(m[0]).name, text)
