"""The report of a results folder: one HTML page and the same in Markdown, with plots and crops.

Everything is computed from the folder's points, so that a folder copied elsewhere gives the same
report; only the crops need the test pictures as well.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from datasets import DataError
from eval import anchors, bd, codecs, crops, curves, plot, store, tables
from eval.curves import Curves
from eval.record import Row
from inrcodec.errors import CodecError

_JPEG = "jpeg"
_LEVEL = 0.05
"""Differences in dB under this are called level: nobody sees them."""

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
    points = curves.read(folder / "points.csv")
    failures = _read_failures(folder / "failures.csv")
    page = tables.Page(folder)
    page.heading(1, f"Rate, distortion and speed: {folder.resolve().name}")
    _measured(page, points, folder / "run.json")
    sets = [Curves(name, frame) for name, frame in points.groupby("dataset", sort=False)]
    page.heading(2, "Summary")
    for each in sets:
        _summary(page, each)
    for each in sets:
        page.heading(2, each.name)
        _curves(page, each)
        _bd_tables(page, each)
        _time_and_rate(page, each)
        _published(page, each)
        _mean_table(page, each)
        _pictures(page, each)
        _crops(page, root, each)
    _speed(page, sets)
    _failed(page, points, failures)
    return page.write()


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
        for codec in sorted(frame["codec"].unique(), key=curves.order):
            own = frame[frame["codec"] == codec]
            settings = ", ".join(f"{x:g}" for x in sorted(own["setting"].unique()))
            rows.append({
                "dataset": name,
                "codec": codec,
                "images": own["image"].nunique(),
                "points": len(own),
                "settings": f"{own['knob'].iloc[0]} {settings}",
                "version": "; ".join(map(tables.public, own["version"].dropna().unique())),
            })  # fmt: skip
    page.table(columns, rows)
    for name, frame in points.groupby("dataset", sort=False):
        images = frame.drop_duplicates("image").sort_values("image")
        sizes = ", ".join(sorted({f"{r.width:.0f}x{r.height:.0f}" for r in images.itertuples()}))
        kind = "/".join(sorted({"grey" if c < 3 else "colour" for c in images["channels"]}))
        page.text(f"{name}: {_many(len(images), 'image')}, {sizes}, {kind}: "
                  f"{', '.join(images['image'])}.")  # fmt: skip
    page.text(f"Machine: {'; '.join(map(tables.public, points['machine'].dropna().unique()))}. "
              f"{_jobs(points)} Measured from {points['started'].min()} "
              f"to {points['started'].max()}.")  # fmt: skip
    if run.exists():
        page.code(tables.public(line) for line in store.read_run(run.parent)["commands"])


def _jobs(points: pd.DataFrame) -> str:
    threads = "/".join(f"{x:g}" for x in sorted(points["threads"].dropna().unique()))
    jobs = "/".join(f"{x:g}" for x in sorted(points["jobs"].dropna().unique()))
    return f"Threads a point: {threads}; points at a time: {jobs}."


def _summary(page: tables.Page, each: Curves) -> None:
    page.heading(3, each.name)
    if each.own is None:
        page.text("inrcodec was not measured.")
        return
    if not each.others:
        page.text(f"Only {plot.name(each.own)} was measured, so there is nothing to compare with.")
        return
    own = plot.name(each.own)
    compared = {
        other: curves.differences(each.points, each.own, other, "psnr") for other in each.others
    }
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
        {
            other: curves.differences(each.points, each.own, other, "ms_ssim_db")
            for other in each.others
        },
    )


def _verdict(found: pd.DataFrame) -> str:
    mean = curves.by_setting(found)["mean"]
    if mean.empty:
        return "No rate in common"
    if (mean >= _LEVEL).all():
        return "Ahead at every rate compared"
    if (mean <= -_LEVEL).all():
        return "Behind at every rate compared"
    if (mean.abs() < _LEVEL).all():
        return "Level at every rate compared"
    return "Ahead at some rates, behind or level at others"


def _words(each: Curves, other: str, found: pd.DataFrame) -> str:
    table = curves.by_setting(found)
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
    defined, deltas = curves.image_deltas(each, other, each.own)
    if defined:
        mean = float(np.mean(defined))
        more = "more" if mean > 0 else "fewer"
        parts.append(f"needs {abs(mean):.1f} % {more} bytes at equal PSNR (mean BD-rate of "
                     f"{len(defined)} of {_many(len(deltas), 'image')})")  # fmt: skip
    return f"Against {plot.name(other)}: " + ("; ".join(parts) or "no rate in common") + "."


def _difference_table(page: tables.Page, each: Curves, compared: dict[str, pd.DataFrame]) -> None:
    settings = sorted(each.points.loc[each.points["codec"] == each.own, "setting"].unique())
    columns = [("inrcodec minus", "codec", "")]
    columns += [(each.label(setting), f"at {setting}", ">") for setting in settings]
    rows = []
    for other, found in compared.items():
        table = curves.by_setting(found)
        cells = {f"at {s}": f"{r['mean']:+.2f} ({r['won']:.0f}/{r['images']:.0f})"
                 for s, r in table.iterrows()}  # fmt: skip
        rows.append({"codec": plot.name(other), **cells})
    page.table(columns, rows)


def _curves(page: tables.Page, each: Curves) -> None:
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
    fewer = any(each.of(codec) != each.images for codec in each.codecs)
    page.figure(path, f"{each.name}, {note}. Solid: measured here. "
                + (f"Dashed: published. {_FLATTERED} " if published else "")
                + ("Curves of fewer images are means over these: compare them by the tables. "
                   if fewer else "") + remark)  # fmt: skip
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
    page.figure(path, f"All published curves (dashed) with inrcodec (solid). {_FLATTERED} {remark}")


_FLATTERED = (
    "Published means are mostly over files of one setting, ours over files of one rate, where they "
    "come out higher: see the table of published curves."
)

_PANELS = {"PSNR, dB": "psnr", "MS-SSIM": "ms_ssim", "MS-SSIM, dB": "ms_ssim_db"}


def _lines(each: Curves, metric: str) -> list[plot.Line]:
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


def _bd_tables(page: tables.Page, each: Curves) -> None:
    page.heading(3, "Bjøntegaard deltas")
    if len(each.codecs) < 2:
        page.text("One codec alone has none.")
        return
    page.text(f"BD-rate: bytes more (+) or fewer (−) at equal PSNR, {bd.METHOD} interpolation, "
              "over the qualities that both curves of an image have; the mean over the images that "
              "both codecs have.")  # fmt: skip
    if _JPEG in each.codecs:
        _against_jpeg(page, each)
    else:
        page.text("JPEG was not measured, so there is no table against it.")
    notes = tables.Notes()
    rows = []
    for test in each.codecs:
        row: Row = {"codec": plot.name(test)}
        for anchor in each.codecs:
            row[anchor] = "·" if anchor == test else _mean_shown(each, anchor, test, notes)
        rows.append(row)
    page.text("Every codec (row) against every codec (column), %; in brackets the images for which "
              "it is defined, where these are not all.")  # fmt: skip
    page.table(
        [("codec", "codec", ""), *((plot.name(c), c, ">") for c in each.codecs)], rows, notes
    )


def _time_and_rate(page: tables.Page, each: Curves) -> None:
    """The codecs' BD-rates over the time that an image takes."""
    if _JPEG not in each.codecs:
        return
    spots = []
    for codec in each.codecs:
        deltas = [0.0] if codec == _JPEG else curves.image_deltas(each, _JPEG, codec)[0]
        if deltas:
            found = each.points[each.points["codec"] == codec]
            spots.append(plot.Spot(codec, found["seconds_encode"].median(), np.mean(deltas)))
    if len(spots) < 2:
        return
    path = page.folder / "plots" / f"{each.file_name}-time.png"
    plot.time_and_rate(spots, f"{each.name}: time against rate", path)
    page.figure(path, f"{each.name}: seconds to encode an image (median), and BD-rate against "
                f"JPEG (mean over the images). {_jobs(each.points)}")  # fmt: skip


def _mean_shown(each: Curves, anchor: str, test: str, notes: tables.Notes) -> str:
    defined, deltas = curves.image_deltas(each, anchor, test)
    if not defined:
        return notes.cell(str(deltas[0]) if deltas else "no image in common")
    some = f" ({len(defined)} of {len(deltas)})" if len(defined) < len(deltas) else ""
    return f"{np.mean(defined):+.1f}{some}"


def _against_jpeg(page: tables.Page, each: Curves) -> None:
    notes = tables.Notes()
    rows = []
    for codec in each.codecs:
        if codec == _JPEG:
            continue
        rate = curves.mean_delta(each, _JPEG, codec, "psnr", bd.bd_rate)
        quality = curves.mean_delta(each, _JPEG, codec, "psnr", bd.bd_psnr)
        similar = curves.mean_delta(each, _JPEG, codec, "ms_ssim_db", bd.bd_rate)
        rows.append({
            "codec": plot.name(codec),
            "rate": _shown(rate, "+.1f", notes),
            "over": f"{rate.low:.1f} to {rate.high:.1f}" if isinstance(rate, bd.Delta) else None,
            "each": _mean_shown(each, _JPEG, codec, notes),
            "quality": _shown(quality, "+.2f", notes),
            "similar": _shown(similar, "+.1f", notes),
        })  # fmt: skip
    page.text("Against JPEG. Mean curves average rate and quality at equal settings, which is why "
              "they differ from the mean over images.")  # fmt: skip
    page.table(
        [
            ("codec", "codec", ""),
            ("BD-rate, %", "each", ">"),
            ("of the mean curves, %", "rate", ">"),
            ("over PSNR, dB", "over", ">"),
            ("their BD-PSNR, dB", "quality", ">"),
            ("their BD-rate in MS-SSIM, %", "similar", ">"),
        ],
        rows,
        notes,
    )


def _shown(delta: bd.Delta | str, form: str, notes: tables.Notes) -> str:
    return notes.cell(delta) if isinstance(delta, str) else f"{delta.value:{form}}"


def _published(page: tables.Page, each: Curves) -> None:
    """inrcodec against the published curves, and the sources of these."""
    if each.name != "kodak" or each.own is None:
        return
    page.heading(3, "Against published curves")
    ours = each.shared[each.shared["codec"] == each.own]
    published = anchors.kodak(each.images)
    single = curves.published_deltas(each, published)
    notes = tables.Notes()
    rows = []
    for anchor in published:
        if anchor.same:
            curve = list(zip(ours["bpp"], ours["psnr"], strict=True))
            delta = curves.attempt(bd.bd_rate, anchor.psnr, curve)
            gains = {
                f"at {setting}": psnr - curves.interpolated(anchor.psnr, rate)
                for setting, rate, psnr in ours[["setting", "bpp", "psnr"]].to_numpy()
            }
            images = f"{single[anchor.codec]:+.1f}" if anchor.codec in single else None
            rate = _shown(delta, "+.1f", notes)
            rows.append({"codec": anchor.codec, "rate": rate, "images": images, **gains})
    if remark := _remark(published, len(each.images)):
        page.text(remark)
    if rows:
        page.text(f"PSNR of {plot.name(each.own)} minus the published at our mean rates, dB, and "
                  "our BD-rate against it; mean curves.")  # fmt: skip
        rates = [(each.label(s), f"at {s}", "+.2f") for s in ours["setting"]]
        columns = [("published", "codec", ""), *rates, ("BD-rate, %", "rate", ">")]
        via = anchors.image_by_image(published) if single else None
        if via:
            columns.append(("image by image, %", "images", ">"))
        page.table(columns, rows, notes)
        if via:
            page.text("Mean curves flatter us where the published means are over files of one "
                      "setting: ours are over files of one rate, so that easy images get more of "
                      "the bytes, and gain more decibels by them. The last column is free "
                      f"of that: for {via.codec} the mean of the images' BD-rates; for "
                      "the others that, divided by their own BD-rate to it, both of one setting. "
                      "Where there is none, files are of one rate too.")  # fmt: skip
    with page.fold("Sources of the published curves"):
        page.table(
            [("published", "codec", ""), ("images", "images", "d"), ("note", "note", ""),
             ("source", "source", "")],
            [vars(anchor) for anchor in published],
        )  # fmt: skip


def _mean_table(page: tables.Page, each: Curves) -> None:
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


def _pictures(page: tables.Page, each: Curves) -> None:
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
            | {c: _shown(curves.image_delta(each, _JPEG, c, image), "+.1f", notes) for c in others}
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


def _at_middle_rate(page: tables.Page, each: Curves) -> None:
    setting = curves.middle(each)
    compared = {}
    for other in each.others:
        found = curves.differences(each.points, each.own, other, "psnr")
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


def _crops(page: tables.Page, root: str | None, each: Curves) -> None:
    page.heading(3, "Crops at equal bytes")
    if each.own is None:
        page.text("None: inrcodec was not measured.")
        return
    folder, setting = page.folder, curves.middle(each)
    rows = each.points[(each.points["codec"] == each.own) & (each.points["setting"] == setting)]
    rows = rows[[crops.file(folder, row) is not None for _, row in rows.iterrows()]]
    if rows.empty:
        page.text(f"None: the files of {plot.name(each.own)} at {each.label(setting)} are not "
                  "in the folder.")  # fmt: skip
        return
    words, chosen = crops.choose(each, rows)
    page.text(f"The middle {crops.WINDOW[0]}x{crops.WINDOW[1]} pixels, twice as large, at "
              f"{each.label(setting)}: {words}. The other codecs have "
              "the smallest file of at least as many bytes.")  # fmt: skip
    for _, row in chosen.iterrows():
        try:
            original = crops.load(row, root)
            tiles, without = crops.tiles(each, row, original, folder)
        except _NO_CROPS as error:
            page.text(f"{row['image']}: no crops: {tables.public(tables.line(error))}")
            continue
        path = page.folder / "crops" / f"{each.file_name}-{tables.safe(row['image'])}.png"
        crops.write_sheet(tiles, path)
        page.figure(path, f"{row['image']}, {row['width']:.0f}x{row['height']:.0f}")
        if without:
            page.text(f"Without {'; '.join(without)}.")


def _speed(page: tables.Page, sets: Collection[Curves]) -> None:
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
        failures = failures.assign(error=failures["error"].map(tables.public))
        page.table([(name, name, "") for name in columns], failures.to_dict("records"))
    measured = {codec.partition(":")[0] for codec in points["codec"]}
    absent = [plot.name(name) for name in codecs.NAMES if name not in measured]
    if absent:
        page.text(f"Without any point here: {', '.join(absent)}.")


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
