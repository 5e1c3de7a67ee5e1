"""This checkout against an earlier commit: the same files by both, side by side, in one run.

Each version runs in a process of its own that stays alive, so that compilation and imports do not
count. Both encode, and then both decode, a file at the same time, each on half of the cores. The
halves are exchanged several times a second, since the cores of a shared machine differ in speed,
and all change from one minute to the next.
"""

from __future__ import annotations

import base64
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from eval.record import Row
from eval.store import ResultsError
from inrcodec.image import Raster, to_pillow

EXCHANGE = 0.2
"""Seconds after which the two versions exchange their cores."""

DECODES = 60
"""How many times each file is decoded; the median counts."""

WORKER = """
import base64, io, json, statistics, sys, time
import inrcodec.cli, inrcodec
import numpy as np
from PIL import Image

def answer(**facts):
    print(json.dumps(facts), flush=True)

for line in sys.stdin:
    task = json.loads(line)
    if "decodes" in task:
        times = []
        for _ in range(task["decodes"]):
            began = time.perf_counter()
            inrcodec.decode(data, device="cpu")
            times.append(time.perf_counter() - began)
        answer(decode=statistics.median(times))
        continue
    picture = Image.open(io.BytesIO(base64.b64decode(task["png"])))
    picture.load()
    options = {name: task[name] for name in ("bpp", "effort", "seed")}
    began = time.perf_counter()
    data = inrcodec.encode(picture, device="cpu", **options)
    seconds = time.perf_counter() - began
    decoded = inrcodec.decode(data, device="cpu")
    mse = float(np.mean((np.asarray(decoded, np.float64) - np.asarray(picture, np.float64)) ** 2))
    answer(bytes=len(data), psnr=10 * np.log10(255 ** 2 / mse), encode=seconds)
"""


class Version:
    """A process that encodes and decodes with one version of the package."""

    def __init__(self, checkout: Path) -> None:
        """Start the process on the package in a checkout, with half of the cores' threads."""
        threads = str(max(1, (os.cpu_count() or 1) // 2))
        self._process = subprocess.Popen(
            [sys.executable, "-c", WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=checkout,
            env={**os.environ, "OMP_NUM_THREADS": threads},
        )

    def begin(self, task: Row) -> None:
        """Hand a task over."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()

    def end(self) -> Row:
        """Wait for what the task gave.

        Raises:
            ResultsError: the version failed.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ResultsError("a version of the package failed; see the messages above")
        row: Row = json.loads(line)
        return row

    def move(self, cores: Collection[int]) -> None:
        """Run all threads of the process on some cores from now on; Linux alone can do this."""
        for thread in Path(f"/proc/{self._process.pid}/task").glob("*"):
            with suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread.name), cores)

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def run(both: Sequence[Version], raster: Raster, settings: Row) -> list[Row]:
    """Bytes, PSNR and seconds of one file by each version; `settings` are options of `encode`.

    Raises:
        ResultsError: a version failed.
    """
    png = io.BytesIO()
    to_pillow(raster).save(png, "PNG")
    encoding = {"png": base64.b64encode(png.getvalue()).decode(), **settings}
    rows: list[Row] = [{} for _ in both]
    for task in (encoding, {"decodes": DECODES}):
        for version in both:
            version.begin(task)
        with exchanging_cores(both):
            for row, version in zip(rows, both, strict=True):
                row.update(version.end())
    return rows


@contextmanager
def exchanging_cores(both: Sequence[Version]) -> Iterator[None]:
    """Give each version half of the cores, another half every `EXCHANGE` seconds."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    halves = [cores[: len(cores) // 2], cores[len(cores) // 2 :]]
    done = threading.Event()

    def exchange() -> None:
        while not done.wait(EXCHANGE):
            halves.reverse()
            for version, half in zip(both, halves, strict=True):
                version.move(half)

    thread = threading.Thread(target=exchange)
    if halves[0]:
        thread.start()
    try:
        yield
    finally:
        done.set()
        if halves[0]:
            thread.join()


@contextmanager
def versions(commit: str) -> Iterator[tuple[Version, Version]]:
    """The package at a commit, and that of this checkout.

    Raises:
        ResultsError: git has no such commit.
    """
    root = Path(__file__).parents[1]
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(
            ["git", "archive", commit, "inrcodec"], cwd=root, capture_output=True
        )
        if archive.returncode:
            raise ResultsError(archive.stderr.decode().strip())
        subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
        both = Version(Path(folder)), Version(root)
        try:
            yield both
        finally:
            for version in both:
                version.close()


def measure(
    pictures: Sequence[tuple[str, Raster]],
    rates: Sequence[float],
    settings: tuple[int, int],
    both: tuple[Version, Version],
) -> Iterator[Row]:
    """A row for each picture and rate; `settings` are effort and seed.

    The first file is made twice: the first time, both versions compile kernels.
    """
    effort, seed = settings
    run(both, pictures[0][1], {"bpp": rates[0], "effort": effort, "seed": seed})
    for image, raster in pictures:
        for bpp in rates:
            before, after = run(both, raster, {"bpp": bpp, "effort": effort, "seed": seed})
            yield {
                "image": image,
                "bpp": bpp,
                "budget": int(bpp * raster.width * raster.height / 8),
                **{f"{name} before": value for name, value in before.items()},
                **{f"{name} after": value for name, value in after.items()},
                "dB": after["psnr"] - before["psnr"],
                "encode ratio": after["encode"] / before["encode"],
                "decode ratio": after["decode"] / before["decode"],
            }


def summary(rows: Sequence[Row]) -> Row:
    """Mean difference of PSNR, ratios of all seconds, and whether budgets were kept."""

    def ratio(name: str) -> float:
        return sum(row[f"{name} after"] for row in rows) / sum(
            row[f"{name} before"] for row in rows
        )

    return {
        "files": len(rows),
        "dB": float(np.mean([row["dB"] for row in rows])),
        "encode ratio": ratio("encode"),
        "median encode ratio": statistics.median(row["encode ratio"] for row in rows),
        "decode ratio": ratio("decode"),
        "median decode ratio": statistics.median(row["decode ratio"] for row in rows),
        "over budget": sum(row["bytes after"] > row["budget"] for row in rows),
        "least share": min(row["bytes after"] / row["budget"] for row in rows),
    }
