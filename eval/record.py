"""The results file of a command: measured points, each with the run that measured it.

It is written, whole, after each point. A point is finished where the file has it with equal
settings from the same source of inrcodec, versions and machine; others are left out when the file
is next written.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import shlex
import subprocess
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import inrcodec
from inrcodec.errors import CodecError
from inrcodec.files import write_atomically

Row = dict[str, Any]

_DECIDES = ("source", "machine", "versions")


class RecordError(Exception):
    """The results file is there but is none; the message says what to do."""


class Record:
    """Points of one results file.

    Attributes:
        path: the file, JSON.
        run: what is known of this run; see `describe`.
        failures: points that could not be measured, one line each.
    """

    def __init__(self, path: Path, arguments: Sequence[str], fresh: bool) -> None:
        """Take the finished points of an existing file, unless `fresh`.

        Raises:
            RecordError: the file is not a results file.
        """
        self.path = path
        self.run = describe(arguments)
        self.failures: list[str] = []
        self._points = [] if fresh or not path.exists() else self._finished()

    def _finished(self) -> list[Row]:
        try:
            content = json.loads(self.path.read_bytes())
            points = [point | {"run": content["runs"][point["run"]]} for point in content["points"]]
            return [
                point for point in points if all(point["run"][k] == self.run[k] for k in _DECIDES)
            ]
        except (ValueError, LookupError, TypeError) as error:
            raise RecordError(
                f"{self.path}: not a results file; --fresh writes it anew, --out takes another"
            ) from error

    def point(self, settings: Row, measure: Callable[[], Row]) -> Row | None:
        """Settings and measured values of a point, measured if it is not finished.

        None if `measure` raises a `CodecError`, whose message is then among the failures.
        """
        for point in self._points:
            if point["settings"] == settings:
                return {**settings, **point["measured"]}
        try:
            measured = {name: _finite(value) for name, value in measure().items()}
        except CodecError as error:
            self.failures.append(f"{label(settings)}: {error}")
            return None
        self._points.append({"run": self.run, "settings": settings, "measured": measured})
        self.save()
        return settings | measured

    @property
    def rows(self) -> list[Row]:
        """Settings and measured values of all points, also those that this run did not ask for."""
        return [point["settings"] | point["measured"] for point in self._points]

    def save(self, summary: Sequence[Row] = ()) -> None:
        """Write the file; `summary` is what a command derives from its points."""
        runs: list[Row] = []
        for point in self._points:
            if point["run"] not in runs:
                runs.append(point["run"])
        points = [point | {"run": runs.index(point["run"])} for point in self._points]
        content = {"summary": list(summary), "points": points, "runs": runs}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(content, indent=1, allow_nan=False) + "\n"
        write_atomically(self.path, text.encode())


def label(settings: Row) -> str:
    """A point in words, for messages."""
    words = [settings.get(name) for name in ("picture", "codec", "basis", "figure", "variation")]
    rate = f"at {settings['target_bpp']:g} bpp" if "target_bpp" in settings else None
    return " ".join(str(word) for word in (*words, rate) if word is not None)


def describe(arguments: Sequence[str]) -> Row:
    """This run: command line, time, commit, hash of inrcodec's source, machine and versions."""
    names = ("torch", "numpy", "pillow", "constriction")
    changes = _git("--no-optional-locks", "status", "--porcelain", "--", "inrcodec")
    return {
        "command": command(arguments),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "HEAD"),
        "modified": None if changes is None else bool(changes),
        "source": source_hash(Path(inrcodec.__file__).parent),
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "system": f"{platform.system()} {platform.machine()}",
        },
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in names},
            "inrcodec": inrcodec.__version__,
        },
    }


def command(arguments: Sequence[str]) -> str:
    """The command line without what only this machine has: `--data`, and folders outside of here.

    >>> command(["rd", "--data", "/home/me/sets", "/tmp/a.png", "--out=/tmp/rd.json", "--bpp", "1"])
    'python -m eval rd a.png --out=rd.json --bpp 1'
    """
    kept = []
    left = iter(arguments)
    for argument in left:
        if argument == "--data":
            next(left, None)
            continue
        if argument.startswith("--data="):
            continue
        option, equals, value = (
            argument.rpartition("=") if argument[:2] == "--" else ("", "", argument)
        )
        path = Path(value)
        if path.is_absolute() or ".." in path.parts:
            value = path.name
        kept.append(option + equals + value)
    return shlex.join(["python", "-m", "eval", *kept])


def source_hash(folder: Path) -> str:
    """The SHA-256, shortened, of the names and the text of all Python files in a folder."""
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        text = file.read_bytes()
        digest.update(f"{file.relative_to(folder).as_posix()} {len(text)}\n".encode() + text)
    return digest.hexdigest()[:16]


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def _finite(value: Any) -> Any:
    """JSON has no infinity (the PSNR of equal pictures) and no NaN (MS-SSIM of tiny ones)."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
