"""Rows as Markdown and HTML for people and as CSV for programs, and pages of them."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path

from eval.record import Row
from inrcodec.files import write_atomically

Columns = Sequence[tuple[str, str, str]]
"""Heading, key of the rows and format of each column of a table."""


def markdown(columns: Columns, rows: Sequence[Row]) -> str:
    """A Markdown table of columns (heading, key, format); all to the right that has a format.

    >>> print(markdown([("codec", "codec", ""), ("PSNR, dB", "psnr", ".2f")],
    ...                [{"codec": "jpeg", "psnr": 30.126}, {"codec": "webp", "psnr": None}]))
    | codec | PSNR, dB |
    |:------|---------:|
    | jpeg  |    30.13 |
    | webp  |        – |
    """
    cells = [
        [_cell(row.get(key), form).replace("|", r"\|") for row in rows] for _, key, form in columns
    ]
    widths = [
        max(map(len, (heading, *column)))
        for (heading, _, _), column in zip(columns, cells, strict=True)
    ]
    sides = ["<" if form == "" else ">" for _, _, form in columns]

    def line(values: Sequence[str]) -> str:
        padded = (
            f"{value:{side}{width}}"
            for value, side, width in zip(values, sides, widths, strict=True)
        )
        return f"| {' | '.join(padded)} |"

    rules = (
        ":" + "-" * (width + 1) if side == "<" else "-" * (width + 1) + ":"
        for side, width in zip(sides, widths, strict=True)
    )
    lines = [line([heading for heading, _, _ in columns]), f"|{'|'.join(rules)}|"]
    return "\n".join([*lines, *(line(values) for values in zip(*cells, strict=True))])


def html(columns: Columns, rows: Sequence[Row]) -> str:
    """The same table in HTML.

    >>> print(html([("codec", "codec", ""), ("PSNR, dB", "psnr", ".2f")],
    ...            [{"codec": "a<b", "psnr": 1}]))
    <table>
    <tr><th>codec<th class="n">PSNR, dB
    <tr><td>a&lt;b<td class="n">1.00
    </table>
    """
    sides = ["" if form == "" else ' class="n"' for _, _, form in columns]

    def line(tag: str, values: Sequence[str]) -> str:
        cells = (f"<{tag}{side}>{escape(v)}" for side, v in zip(sides, values, strict=True))
        return "<tr>" + "".join(cells)

    lines = [line("th", [heading for heading, _, _ in columns])]
    lines += [line("td", [_cell(row.get(key), form) for _, key, form in columns]) for row in rows]
    return "\n".join(["<table>", *lines, "</table>"])


def _cell(value: object, form: str) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and math.isinf(value):
        return "∞"
    missing = value is None or (isinstance(value, float) and math.isnan(value))
    return "–" if missing else f"{value:{form}}"


def write_csv(path: Path, rows: Sequence[Row], columns: Sequence[str] = ()) -> None:
    """Write rows with all their keys as columns, `columns` first; what a row lacks is empty."""
    text = io.StringIO(newline="")
    names = dict.fromkeys([*columns, *(key for row in rows for key in row)])
    writer = csv.DictWriter(text, list(names), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, text.getvalue().encode())


class Page:
    """A page that grows from top to bottom, in HTML and in Markdown.

    Attributes:
        folder: where it is written; figures are referred to from there.
        figures: their files.
    """

    def __init__(self, folder: Path) -> None:
        """Begin an empty page; its first heading is its title."""
        self.folder = folder
        self.title = ""
        self.figures: list[Path] = []
        self._html: list[str] = []
        self._markdown: list[str] = []

    def heading(self, level: int, text: str) -> None:
        """Add a heading of a level, 1 the highest."""
        self.title = self.title or text
        self._html.append(f"<h{level}>{escape(text)}</h{level}>")
        self._markdown.append("#" * level + f" {_escaped(text)}")

    def text(self, text: str) -> None:
        """Add a paragraph of plain text."""
        self._html.append(f"<p>{escape(text)}</p>")
        self._markdown.append(_escaped(text))

    def bullets(self, texts: Iterable[str]) -> None:
        """Add a list of plain texts."""
        texts = list(texts)
        items = "\n".join(f"<li>{escape(text)}" for text in texts)
        self._html.append(f"<ul>\n{items}\n</ul>")
        self._markdown.append("\n".join(f"- {_escaped(text)}" for text in texts))

    def code(self, lines: Iterable[str]) -> None:
        """Add lines as they are, as of a terminal."""
        text = "\n".join(lines)
        self._html.append(f"<pre>{escape(text)}</pre>")
        self._markdown.append(f"```\n{text}\n```")

    def table(self, columns: Columns, rows: Sequence[Row], notes: Notes | None = None) -> None:
        """Add a table, and below it why cells are empty."""
        self._html.append(f'<div class="wide">\n{html(columns, rows)}\n</div>')
        self._markdown.append(markdown(columns, rows))
        for number, reason in enumerate(notes.reasons if notes else (), 1):
            self.text(f"[{number}] {reason}.")

    def figure(self, path: Path, caption: str) -> None:
        """Add a picture that lies in the folder."""
        self.figures.append(path)
        name, caption = path.relative_to(self.folder).as_posix(), caption.strip()
        short = caption.partition(". ")[0]
        self._html.append(
            f'<figure><img src="{escape(name)}" alt="{escape(short)}">'
            f"<figcaption>{escape(caption)}</figcaption></figure>"
        )
        self._markdown.append(f"![{_escaped(short)}]({name})\n\n{_escaped(caption)}")

    @contextmanager
    def fold(self, summary: str) -> Iterator[None]:
        """What is written meanwhile is folded away under its summary."""
        text = f"<details><summary>{escape(summary)}</summary>"
        self._html.append(text)
        self._markdown.append(text)
        yield
        self._html.append("</details>")
        self._markdown.append("</details>")

    def write(self) -> list[Path]:
        """Write report.html and report.md; gives them and the figures."""
        body = "\n".join(self._html)
        page = f"{_HEAD.replace('TITLE', escape(self.title))}{body}\n</body>\n</html>\n"
        texts = {"report.html": page, "report.md": "\n\n".join(self._markdown) + "\n"}
        for name, text in texts.items():
            write_atomically(self.folder / name, text.encode())
        return [self.folder / name for name in texts] + self.figures


_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>TITLE</title>
<style>
:root { color-scheme: light dark; --line: #8886; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2, h3 { line-height: 1.2; margin: 1.8em 0 .6em; }
h2 { border-bottom: 1px solid var(--line); padding-bottom: .2em; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; margin: .6em 0; }
th, td { padding: .15em .7em; text-align: left; border-bottom: 1px solid var(--line); }
th { vertical-align: bottom; }
.n { text-align: right; font-variant-numeric: tabular-nums; }
td.n, td:first-child { white-space: nowrap; }
figure { margin: 1em 0; }
img { max-width: 100%; background: #fff; }
figcaption { font-size: 13px; }
pre { overflow-x: auto; font-size: 12px; }
details { margin: .3em 0; }
summary { cursor: pointer; }
@media print { body { max-width: none; font-size: 11px; } figure, tr { break-inside: avoid; } }
</style>
</head>
<body>
"""


def _escaped(text: str) -> str:
    """Text that Markdown does not take for marks."""
    return re.sub(r"([*<`\\])", r"\\\1", text)


class Notes:
    """Why cells of a table are empty: reasons by number, each once."""

    def __init__(self) -> None:
        """Begin without reasons."""
        self.reasons: list[str] = []

    def cell(self, reason: str) -> str:
        """Give what the empty cell shows."""
        if reason not in self.reasons:
            self.reasons.append(reason)
        return f"– [{self.reasons.index(reason) + 1}]"


def safe(text: str) -> str:
    """Text as a part of a file name."""
    return re.sub(r"[^\w.=-]", "_", text)


def line(error: Exception) -> str:
    """An error's message in one line."""
    return " ".join(str(error).split())


def public(text: str) -> str:
    """Text without the folders of this machine: of an absolute path the last part.

    >>> public("eval run --data /home/me/sets --dataset kodak/2")
    'eval run --data sets --dataset kodak/2'
    """
    return re.sub(r"(?<![\w.:/])(?:/[^\s/'\",;:)]+)+/?", lambda m: Path(m[0]).name, text)
