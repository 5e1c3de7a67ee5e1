"""Rate-distortion curves as PNG: legible in print, in grey, and by the colour-blind.

Colours are those of Okabe and Ito (2008). A codec keeps its colour and marker in all figures; what
was measured is drawn solid, what was published dashed and thin.
"""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from eval.record import Row
from inrcodec.files import write_atomically

_OWN = "#D55E00"
_STYLES = {
    "inrcodec": (_OWN, "o"),
    "jpeg": ("#000000", "s"),
    "webp": ("#0072B2", "^"),
    "avif": ("#009E73", "D"),
    "jpeg2000": ("#E69F00", "v"),
    "jpegxl": ("#CC79A7", "P"),
    "coin": ("#56B4E9", "X"),
    "jpeg-444": ("#777777", "p"),
}
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#000000", "#777777")
_MARKERS = ("h", "<", ">", "d", "*", "8", "H")
_DASHES = ((5, 2), (2, 1.5), (7, 2, 1.5, 2), (1, 1), (9, 3), (5, 1.5, 1, 1.5, 1, 1.5), (3, 3))
NAMES = {
    "jpeg": "JPEG",
    "jpeg-444": "JPEG 4:4:4",
    "webp": "WebP",
    "avif": "AVIF",
    "jpeg2000": "JPEG 2000",
    "jpegxl": "JPEG XL",
    "coin": "COIN",
}
"""How people write the codecs' names."""

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Line:
    """A curve of a figure.

    Attributes:
        name: codec or publication; see `NAMES`.
        points: (bpp, quality).
        published: not measured here: the number of its style. None if measured.
        label: of the legend; the name by default.
    """

    name: str
    points: Points
    published: int | None = None
    label: str = ""


@dataclass(frozen=True)
class Spot:
    """A codec in the plane of time and rate: seconds an image, and a BD-rate in percent."""

    codec: str
    seconds: float
    rate: float


def name(codec: str) -> str:
    """Give a codec's name as people write it.

    >>> name("jpegxl"), name("inrcodec:effort=2"), name("coin:effort=9")
    ('JPEG XL', 'inrcodec, effort 2', 'COIN, effort 9')
    """
    base, *options = codec.split(":")
    return ", ".join([NAMES.get(base, base), *(option.replace("=", " ") for option in options)])


def panels(figures: Mapping[str, Sequence[Line]], limit: float, title: str, path: Path) -> None:
    """Draw panels side by side, by the label of their quality axis, from 0 to `limit` bpp.

    One legend below holds all curves.
    """
    figure = Figure(figsize=(5.2 * len(figures), 5.6), dpi=110, layout="constrained")
    styles = _styles([line for lines in figures.values() for line in lines])
    handles = {}
    for axes, (label, lines) in zip(
        np.atleast_1d(figure.subplots(1, len(figures))), figures.items(), strict=True
    ):
        for line in lines:
            handles.setdefault(line.label or name(line.name), _draw(axes, line, styles))
        _frame(axes, lines, limit)
        axes.set_ylabel(label)
        axes.set_xlabel("rate, bits per pixel")
    figure.suptitle(title, fontsize=12)
    figure.legend(
        handles.values(), handles.keys(), loc="outside lower center",
        ncols=_columns(len(handles), 5), fontsize=9, frameon=False, handlelength=4,
    )  # fmt: skip
    _save(figure, path)


def beside(figures: Mapping[str, Sequence[Line]], limit: float, title: str, path: Path) -> None:
    """Draw panels of PSNR by title, each with a legend beside it in the order of its curves."""
    figure = Figure(figsize=(6.8 * len(figures), 4.8), dpi=110, layout="constrained")
    for axes, (heading, lines) in zip(
        np.atleast_1d(figure.subplots(1, len(figures))), figures.items(), strict=True
    ):
        styles = _styles(lines)
        ordered = sorted(lines, key=lambda line: -_at(line, limit / 2))
        handles = [_draw(axes, line, styles) for line in ordered]
        _frame(axes, lines, limit)
        axes.set_title(heading, fontsize=10)
        axes.set_ylabel("PSNR, dB")
        axes.set_xlabel("rate, bits per pixel")
        axes.legend(
            handles, [line.label or name(line.name) for line in ordered], loc="center left",
            bbox_to_anchor=(1, 0.5), fontsize=9, frameon=False, handlelength=4, labelspacing=0.9,
        )  # fmt: skip
    figure.suptitle(title, fontsize=12)
    _save(figure, path)


def _at(line: Line, rate: float) -> float:
    return float(np.interp(rate, *np.array(sorted(line.points)).T))


def rate_distortion(rows: Iterable[Row], path: Path, limit: float | None = None) -> None:
    """Draw PSNR over bits per pixel, one panel a picture and one curve a codec.

    Rows have picture, codec, bpp and psnr; a psnr of None or infinity is left out. Where inrcodec
    was measured, the axis ends a little after its largest rate, unless `limit` says where.
    """
    curves: dict[str, dict[str, set[tuple[float, float]]]] = {}
    for row in rows:
        found = curves.setdefault(row["picture"], {}).setdefault(row["codec"], set())
        if row["psnr"] is not None and math.isfinite(row["psnr"]):
            found.add((row["bpp"], row["psnr"]))
    lines = {
        picture: [Line(codec, sorted(points)) for codec, points in codecs.items() if points]
        for picture, codecs in curves.items()
    }
    styles = _styles([line for panel in lines.values() for line in panel])
    across = min(4, len(lines))
    down = math.ceil(len(lines) / across)
    size = (6.4, 4.6) if across == 1 else (3.5 * across, 2.9 * down)
    # Of many panels each is small anyway, and the file is to stay so.
    dpi = 80 if down > 3 else 110
    figure = Figure(figsize=(size[0], size[1] + 0.6), dpi=dpi, layout="constrained")
    handles = {}
    for index, (picture, panel) in enumerate(lines.items()):
        axes = figure.add_subplot(down, across, index + 1)
        for line in panel:
            handles.setdefault(name(line.name), _draw(axes, line, styles, small=across > 1))
        _frame(axes, panel, limit or rate_limit(panel))
        axes.set_title(picture, fontsize=10)
        if index >= len(lines) - across:
            axes.set_xlabel("rate, bits per pixel")
        if index % across == 0:
            axes.set_ylabel("PSNR, dB")
    figure.legend(
        handles.values(), handles.keys(), loc="outside lower center",
        ncols=_columns(len(handles), 1 + 2 * across), fontsize=9, frameon=False,
    )  # fmt: skip
    _save(figure, path)


def time_and_rate(spots: Sequence[Spot], title: str, path: Path) -> None:
    """Draw BD-rates over encoding times, the fewest bytes on top.

    Configurations of a codec that differ by effort alone are joined by a line.
    """
    figure = Figure(figsize=(8.2, 4.8), dpi=110, layout="constrained")
    axes = figure.subplots()
    styles = _styles([Line(spot.codec, []) for spot in spots])
    joined: dict[str, list[Spot]] = {}
    for spot in spots:
        options = [o for o in spot.codec.split(":") if not o.startswith("effort=")]
        joined.setdefault(":".join(options), []).append(spot)
    for group in joined.values():
        group.sort(key=lambda spot: spot.seconds)
        colour = styles[group[0].codec, None]["color"]
        axes.plot(
            [spot.seconds for spot in group], [spot.rate for spot in group], color=colour,
            linewidth=1.2, zorder=1,
        )  # fmt: skip
        for spot in group:
            style = styles[spot.codec, None]
            axes.plot(
                spot.seconds, spot.rate, color=style["color"], marker=style["marker"], markersize=7
            )
            axes.annotate(
                name(spot.codec), (spot.seconds, spot.rate), xytext=(7, 5), fontsize=8.5,
                textcoords="offset points",
            )  # fmt: skip
    axes.set_xscale("log")
    axes.margins(x=0.12, y=0.12)
    axes.invert_yaxis()
    axes.set_xlabel("seconds to encode an image")
    axes.set_ylabel("bytes more than JPEG at equal PSNR, %")
    axes.grid(alpha=0.3, linewidth=0.6)
    axes.tick_params(labelsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, fontsize=12)
    _save(figure, path)


def shares(figures: Mapping[str, Sequence[Line]], path: Path) -> None:
    """Draw panels of PSNR over the share of a file's bytes, by title."""
    across = min(2, len(figures))
    down = math.ceil(len(figures) / across)
    figure = Figure(figsize=(5.6 * across, 4.4 * down), dpi=110, layout="constrained")
    for index, (heading, lines) in enumerate(figures.items()):
        axes = figure.add_subplot(down, across, index + 1)
        for colour, marker, line in zip(
            itertools.cycle(_COLOURS), itertools.cycle(_MARKERS), lines, strict=False
        ):
            axes.plot(
                *zip(*sorted(line.points), strict=True), color=colour, marker=marker,
                markersize=4, linewidth=1.4, label=line.label or name(line.name),
            )  # fmt: skip
        axes.set_title(heading, fontsize=10)
        axes.set_xlim(0, 1.02)
        axes.set_xlabel("share of the file's bytes")
        axes.set_ylabel("PSNR, dB")
        axes.legend(fontsize=9, frameon=False)
        axes.grid(alpha=0.3, linewidth=0.6)
        axes.tick_params(labelsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def _columns(entries: int, most: int) -> int:
    """Columns of a legend whose rows are about equally long."""
    return math.ceil(entries / math.ceil(entries / most))


def rate_limit(lines: Iterable[Line]) -> float:
    """Where a rate axis should end: 1.25 of inrcodec's largest rate, or of what there is."""
    lines = list(lines)
    own = [line for line in lines if line.name.startswith("inrcodec")]
    return 1.25 * max((rate for line in own or lines for rate, _ in line.points), default=0.8)


def _styles(lines: Sequence[Line]) -> dict[tuple[str, int | None], dict[str, object]]:
    """Colour, marker and dashes by name and by whether it is published."""
    styles: dict[tuple[str, int | None], dict[str, object]] = {}
    own = next((line.name for line in lines if line.name.startswith("inrcodec")), None)
    variants = 0
    for line in lines:
        key, number = (line.name, line.published), line.published
        if key in styles:
            continue
        base, *options = line.name.split(":")
        if number is not None:
            turn, place = divmod(number, len(_COLOURS))
            styles[key] = {
                "color": _COLOURS[place],
                "dashes": _DASHES[(place + 2 * turn) % len(_DASHES)],
                "marker": "os^DvPX"[(place + 3 * turn) % 7],
                "markerfacecolor": "white",
                "linewidth": 1.0,
            }
        elif line.name == own or (base in _STYLES and not options):
            colour, marker = _STYLES[base]
            width = 2.4 if line.name == own else 1.4
            styles[key] = {"color": colour, "marker": marker, "linewidth": width}
        else:
            place = variants % len(_MARKERS)
            styles[key] = {
                "color": _STYLES[base][0] if base in _STYLES else _COLOURS[place],
                "marker": _MARKERS[place],
                "markerfacecolor": "white",
                "linewidth": 1.4,
            }
            variants += 1
    return styles


def _draw(
    axes: Axes,
    line: Line,
    styles: Mapping[tuple[str, int | None], dict[str, object]],
    small: bool = False,
) -> object:
    style = styles[line.name, line.published]
    published = line.published is not None
    size = (3.5 if published else 5.5) - (2 if small else 0)
    (handle,) = axes.plot(
        *zip(*sorted(line.points), strict=True),
        **style,
        markersize=size,
        markeredgewidth=0.8,
        zorder=1 if published else 3 if line.name.startswith("inrcodec") else 2,
    )
    return handle


def _frame(axes: Axes, lines: Sequence[Line], limit: float) -> None:
    """Rates up to `limit`, and the qualities that the curves have there.

    Of what lies at under half of inrcodec's smallest rate the axis takes no account.
    """
    own = [rate for line in lines if line.name.startswith("inrcodec") for rate, _ in line.points]
    low, seen = min(own, default=0) / 2, []
    for line in lines:
        rates, values = np.array(sorted(line.points)).T
        seen += values[(low <= rates) & (rates <= limit)].tolist()
        edges = [edge for edge in (low, limit) if rates[0] <= edge <= rates[-1]]
        seen += np.interp(edges, rates, values).tolist()
    axes.set_xlim(0, limit)
    if seen:
        margin = 0.04 * (max(seen) - min(seen)) or 1
        axes.set_ylim(min(seen) - margin, max(seen) + margin)
    axes.grid(alpha=0.3, linewidth=0.6)
    axes.tick_params(labelsize=9)
    axes.spines[["top", "right"]].set_visible(False)


def _save(figure: Figure, path: Path) -> None:
    """Write the figure with a palette, which makes it a third of the size."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    data = io.BytesIO()
    picture.quantize(128, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(
        data, "PNG", optimize=True, dpi=(figure.dpi, figure.dpi)
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, data.getvalue())


def differences(
    by_ratio: Mapping[str, Points], by_name: Mapping[str, float], title: str, path: Path
) -> None:
    """Draw PSNR differences: over D/k, a curve a basis, and beside it a bar a name."""
    figure = Figure(figsize=(11, 4.2), dpi=110, layout="constrained")
    curves, bars = figure.subplots(1, 2)
    for index, (basis, points) in enumerate(by_ratio.items()):
        if points:
            curves.plot(
                *zip(*sorted(points), strict=True), label=basis, color=_COLOURS[index],
                marker="os^D"[index % 4], linewidth=1.6,
            )  # fmt: skip
    curves.axhline(0, color=_OWN, linewidth=1.2)
    curves.set_xscale("log", base=2)
    ratios = sorted({ratio for points in by_ratio.values() for ratio, _ in points})
    curves.set_xticks(ratios, [f"{ratio:g}" for ratio in ratios], minor=False)
    curves.set_xlabel("parameters for each coefficient, D/k")
    curves.set_ylabel("PSNR above the basis identity, dB")
    curves.legend(fontsize=9, frameon=False, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    names = list(by_name)[::-1]
    drawn = bars.barh(names, [by_name[each] for each in names], color=_COLOURS[0], height=0.6)
    bars.bar_label(drawn, fmt="%+.2f", padding=3, fontsize=9)
    bars.axvline(0, color=_OWN, linewidth=1.2)
    bars.margins(x=0.18)
    bars.set_xlabel("PSNR above the codec with all its parts, dB")
    for axes in (curves, bars):
        axes.grid(alpha=0.3, linewidth=0.6)
        axes.tick_params(labelsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=12)
    _save(figure, path)
