"""Rows as Markdown for people and as CSV for programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from eval.record import Row
from inrcodec.files import write_atomically


def markdown(columns: Sequence[tuple[str, str, str]], rows: Sequence[Row]) -> str:
    """A Markdown table of columns (heading, key, format); numbers to the right.

    >>> print(markdown([("codec", "codec", ""), ("PSNR, dB", "psnr", ".2f")],
    ...                [{"codec": "jpeg", "psnr": 30.126}, {"codec": "webp", "psnr": None}]))
    | codec | PSNR, dB |
    |:------|---------:|
    | jpeg  |    30.13 |
    | webp  |        – |
    """
    cells = [[_cell(row.get(key), form) for row in rows] for _, key, form in columns]
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


def _cell(value: object, form: str) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "–" if value is None else f"{value:{form}}"


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write rows with all their keys as columns; what a row lacks is left empty."""
    text = io.StringIO(newline="")
    columns = dict.fromkeys(key for row in rows for key in row)
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, text.getvalue().encode())
