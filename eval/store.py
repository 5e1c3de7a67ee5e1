"""A results folder: finished points are rows of `points.csv`, failures rows of `failures.csv`.

The files are written whole, by renaming, after each point: a kill at any time loses no finished
point. The coded pictures lie under `files/`.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from datasets.download import alone
from eval.measure import Task
from eval.record import Row
from eval.tables import write_csv
from inrcodec.files import write_atomically

COLUMNS = (
    "dataset", "image", "sha256", "width", "height", "channels", "codec", "knob", "setting",
    "bytes", "bpp", "psnr", "mse", "ms_ssim", "ssim", "lpips", "seconds_encode", "seconds_decode",
    "mib_encode", "mib_decode", "macs_per_pixel", "detail", "version", "machine", "threads", "jobs",
    "started",
)  # fmt: skip
_FAILURES = ("dataset", "image", "codec", "setting", "error")
_POINT = ("dataset", "image", "codec", "setting")
_SAME = ("sha256", "version", "machine")


class ResultsError(Exception):
    """The folder holds something else; the message says what to do."""


class Results:
    """The points of a folder.

    Attributes:
        folder: it; made if absent.
        points: rows as text, in the order of measuring.
        failures: rows of this run.
    """

    def __init__(self, folder: Path, kind: str) -> None:
        """Open a folder for results of a `kind`, "rd" or "study".

        Raises:
            ResultsError: it holds results of another kind, or damaged ones.
        """
        self.folder = folder
        self.failures: list[Row] = []
        self._run: dict[str, Any] = {"kind": kind, "commands": []}
        if (folder / "run.json").exists():
            self._run = read_run(folder)
        if self._run["kind"] != kind:
            raise ResultsError(f"{folder} holds a {self._run['kind']}: give another folder")
        path = folder / "points.csv"
        self.points = read_points(folder) if path.exists() else []
        self._known = {_key(row): index for index, row in enumerate(self.points)}

    def began(self, command: str) -> None:
        """Add a command line to those that made the folder."""
        if command not in self._run["commands"]:
            self._run["commands"].append(command)
        self.folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self._run, indent=1) + "\n"
        write_atomically(self.folder / "run.json", text.encode())

    def has(self, task: Task, same: Row) -> bool:
        """Whether a point was measured with the same picture and version on the same machine."""
        index = self._known.get((task.set.name, task.image, task.codec, f"{task.setting:g}"))
        if index is None:
            return False
        return all(self.points[index][name] == str(same[name]) for name in _SAME)

    def add(self, row: Row, data: bytes) -> None:
        """Keep a point and its file, in the place of an earlier one of other software."""
        row = {name: "" if row.get(name) is None else str(row[name]) for name in COLUMNS}
        file = self.folder / file_name(row)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, data)
        if (index := self._known.get(_key(row))) is not None:
            self.points[index] = row
        else:
            self._known[_key(row)] = len(self.points)
            self.points.append(row)
        write_csv(self.folder / "points.csv", self.points, COLUMNS)

    def failed(self, row: Row) -> None:
        """Note a point or a codec that could not be measured."""
        self.failures.append(row)
        self.save_failures()

    def save_failures(self) -> None:
        """Write this run's failures over those of the one before."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_csv(self.folder / "failures.csv", self.failures, _FAILURES)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make the folder, and keep other runs out of it.

    Raises:
        ResultsError: another run is at work in it.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(alone(folder, wait=False))
        except BlockingIOError as error:
            raise ResultsError(f"another run writes to {folder}: wait, or use another") from error
        yield


def read_run(folder: Path) -> dict[str, Any]:
    """What `run.json` says: the kind of the results and the command lines that made them.

    Raises:
        ResultsError: there is none, or a damaged one.
    """
    try:
        run = json.loads((folder / "run.json").read_bytes())
        return {"kind": str(run["kind"]), "commands": list(run["commands"])}
    except FileNotFoundError as error:
        raise ResultsError(f"{folder} holds no results: run.json is absent") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ResultsError(
            f"{folder}/run.json is damaged: {error!r}; give another folder"
        ) from error


def read_points(folder: Path) -> list[Row]:
    """The rows of `points.csv` as text.

    Raises:
        ResultsError: other columns, or a row that is cut short.
    """
    with open(folder / "points.csv", newline="") as text:
        rows = list(csv.DictReader(text, strict=True))
    if rows and (tuple(rows[0]) != COLUMNS or any(None in row.values() for row in rows)):
        raise ResultsError(f"{folder}/points.csv is no table of points; give another folder")
    return rows


def file_name(row: Row) -> str:
    """Where a point's coded picture lies in the folder."""
    parts = row["dataset"], row["image"], f"{row['codec']}@{row['setting']}.bin"
    return "/".join(["files", *(re.sub(r"[^\w.@=-]", "_", part) for part in parts)])


def _key(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in _POINT)
