"""What a run is told by: its command line, machine, versions and source."""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import inrcodec

Row = dict[str, Any]


def describe(arguments: Sequence[str]) -> Row:
    """This run: command line, time, commit, hash of inrcodec's source, machine and versions."""
    names = ("torch", "numpy", "pillow", "constriction", "pytorch-msssim", "scikit-image")
    changes = _git("--no-optional-locks", "status", "--porcelain", "--", "inrcodec")
    return {
        "command": command(arguments),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "HEAD"),
        "modified": None if changes is None else bool(changes),
        "source": source_hash(Path(inrcodec.__file__).parent),
        "machine": machine(),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in names},
            "inrcodec": inrcodec.__version__,
        },
    }


def machine() -> str:
    """The processor, its cores, the system, and the GPU if there is one."""
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}{gpu}"


def command(arguments: Sequence[str]) -> str:
    """The command line without what only this machine has: `--data`, and folders outside of here.

    >>> command(["rd", "--data", "/home/me/sets", "--dataset=/tmp/photos", "--bpp", "1"])
    'python -m eval rd --dataset=photos --bpp 1'
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


def source_hash(path: Path) -> str:
    """The SHA-256, shortened, of a Python file, or of the names and texts of all in a folder."""
    digest = hashlib.sha256()
    for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
        text = file.read_bytes()
        digest.update(f"{file.relative_to(path).as_posix()} {len(text)}\n".encode() + text)
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
