"""This checkout against an earlier commit: the same files by both, in turn, in one run.

Each version runs in a process of its own that stays alive, so that compilation and imports do not
count, and load on the machine hits both. A file is encoded by one version and then by the other.
"""

from __future__ import annotations

import base64
import io
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from eval.record import Row
from eval.store import ResultsError
from inrcodec.image import Raster, to_pillow

WORKER = """
import base64, io, json, sys, time
import inrcodec.cli, inrcodec
import numpy as np
from PIL import Image

for line in sys.stdin:
    task = json.loads(line)
    picture = Image.open(io.BytesIO(base64.b64decode(task["png"])))
    picture.load()
    began = time.perf_counter()
    options = {name: task[name] for name in ("bpp", "effort", "seed")}
    data = inrcodec.encode(picture, device="cpu", **options)
    encoded = time.perf_counter()
    decoded = inrcodec.decode(data, device="cpu")
    times = []
    for _ in range(5):
        start = time.perf_counter()
        decoded = inrcodec.decode(data, device="cpu")
        times.append(time.perf_counter() - start)
    error = np.asarray(decoded, np.float64) - np.asarray(picture, np.float64)
    mse = float(np.mean(error ** 2))
    print(json.dumps({"bytes": len(data), "psnr": 10 * np.log10(255 ** 2 / mse),
                      "encode": encoded - began, "decode": min(times)}), flush=True)
"""


class Version:
    """A process that encodes and decodes with one version of the package."""

    def __init__(self, checkout: Path) -> None:
        """Start the process on the package in a checkout."""
        self._process = subprocess.Popen(
            [sys.executable, "-c", WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=checkout,
        )

    def run(self, raster: Raster, bpp: float, effort: int, seed: int) -> Row:
        """Bytes, PSNR and seconds of one file.

        Raises:
            ResultsError: the version failed.
        """
        png = io.BytesIO()
        to_pillow(raster).save(png, "PNG")
        task = {
            "png": base64.b64encode(png.getvalue()).decode(),
            "bpp": bpp,
            "effort": effort,
            "seed": seed,
        }
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise ResultsError("a version of the package failed; see the messages above")
        row: Row = json.loads(line)
        return row

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


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

    The first file of either version is made twice: the first time it compiles kernels.
    """
    effort, seed = settings
    for version in both:
        version.run(pictures[0][1], rates[0], effort, seed)
    for index, (image, raster) in enumerate(pictures):
        for bpp in rates:
            order = (0, 1) if index % 2 == 0 else (1, 0)
            found = {k: both[k].run(raster, bpp, effort, seed) for k in order}
            before, after = found[0], found[1]
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
