"""One point: a picture as one file of one codec, with its rate, distortion, time and memory."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import scipy.linalg  # noqa: F401  (Numba's kernels would load it after the limit is set)
import threadpoolctl
import torch
from PIL import Image

from datasets import Dataset, dataset, fingerprint
from eval import codecs
from eval.codecs import Codec
from eval.record import Row
from inrcodec import metrics
from inrcodec.image import Raster, from_pillow, to_pillow
from inrcodec.optim.clock import Report

T = TypeVar("T")


@dataclass(frozen=True)
class Set:
    """Pictures of a data set, by name or path, reduced by a whole factor if that is above 1."""

    specification: str
    root: str | None = None
    reduce: int = 1

    @functools.cached_property
    def _set(self) -> Dataset:
        return dataset(self.specification, self.root)

    @property
    def name(self) -> str:
        """The data set's, with the factor: "kodak/2" are the Kodak images at half size."""
        return self._set.name + (f"/{self.reduce}" if self.reduce > 1 else "")

    @property
    def images(self) -> tuple[str, ...]:
        """All names."""
        return self._set.images

    def load(self, image: str) -> Raster:
        """Read a picture. Any ICC profile is dropped: the rate is that of the samples alone.

        Raises:
            DataError: absent or damaged.
            ImageError: not a picture that can be encoded.
        """
        raster = replace(from_pillow(self._set.load(image)), icc=b"")
        if self.reduce == 1:
            return raster
        size = max(1, raster.width // self.reduce), max(1, raster.height // self.reduce)
        return from_pillow(to_pillow(raster).resize(size, Image.Resampling.LANCZOS))


@dataclass(frozen=True)
class Task:
    """A point to measure."""

    set: Set
    image: str
    codec: str
    setting: float
    lpips: bool = False


def point(task: Task, threads: int, report: Report | None = None) -> tuple[Row, bytes]:
    """Encode, decode and compare; give the point's figures and the file.

    The time and memory are those of this process: for memory that says much, measure one point a
    process, as `eval.run` does.

    Raises:
        DataError, CodecError: the picture cannot be had or encoded.
    """
    torch.set_num_threads(threads)
    threadpoolctl.threadpool_limits(threads)  # NumPy's library of linear algebra has its own.
    codec = codecs.parse(task.codec)
    raster = task.set.load(task.image)
    encoding = _observed(lambda: codec.encode(raster, task.setting, report))
    data = encoding.result
    decoding = _observed(lambda: codec.decode(data, raster))
    row = {
        "dataset": task.set.name,
        "image": task.image,
        "sha256": short_fingerprint(raster),
        "width": raster.width,
        "height": raster.height,
        "channels": raster.channels,
        "codec": task.codec,
        "knob": codec.knob,
        "setting": f"{task.setting:g}",
        **rate(raster, data),
        **distortion(raster, decoding.result, task.lpips),
        "seconds_encode": round(encoding.seconds, 4),
        "seconds_decode": round(decoding.seconds, 4),
        "mib_encode": encoding.mib,
        "mib_decode": decoding.mib,
        **_detail(codec, data),
    }
    return row, data


def short_fingerprint(raster: Raster) -> str:
    """The first 16 digits of the SHA-256 of the samples, as `datasets.fingerprint` takes it."""
    return fingerprint(to_pillow(raster))[:16]


def rate(raster: Raster, data: bytes) -> Row:
    """Bytes of the whole file, and bits per pixel."""
    return {
        "bytes": len(data),
        "bpp": round(metrics.bpp(len(data), raster.width, raster.height), 6),
    }


def distortion(raster: Raster, decoded: Raster, with_lpips: bool = False) -> Row:
    """PSNR in dB, the mean squared error behind it, MS-SSIM, SSIM, and LPIPS where asked for.

    Raises:
        ImageError: LPIPS is asked for, and its package is missing.
    """
    a, b, peak = raster.samples, decoded.samples, raster.peak
    mse = float(np.mean(np.square(np.subtract(a, b, dtype=np.float64))))
    return {
        "psnr": round(metrics.psnr(a, b, peak), 4),
        "mse": round(mse, 5),
        "ms_ssim": round(metrics.ms_ssim(a, b, peak), 6),
        "ssim": round(metrics.ssim(a, b, peak), 6),
        "lpips": round(metrics.lpips(a, b, peak), 6) if with_lpips else None,
    }


def _detail(codec: Codec, data: bytes) -> Row:
    detail = codec.detail(data)
    macs = detail.pop("macs_per_pixel", None)
    return {"macs_per_pixel": macs, "detail": json.dumps(detail) if detail else None}


@dataclass(frozen=True)
class _Observed:
    result: Any
    seconds: float
    mib: float | None


def _observed(call: Callable[[], T]) -> _Observed:
    """A call's result, wall clock, and by how much it drove up the process's resident memory."""
    before = _resident(reset=True)
    start = time.perf_counter()
    result = call()
    seconds = time.perf_counter() - start
    peak = _resident()
    mib = None if before is None or peak is None else round((peak - before) / 1024, 1)
    return _Observed(result, seconds, mib)


def _resident(reset: bool = False) -> int | None:
    """The process's peak resident memory in KiB since the last reset; None but on Linux."""
    process = Path("/proc/self")
    try:
        if reset:
            (process / "clear_refs").write_text("5")
        lines = (process / "status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return None
