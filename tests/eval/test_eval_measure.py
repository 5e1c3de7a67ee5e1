"""What one point of the harness promises: figures right to the last digit."""

import json
import math
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eval import codecs, measure
from eval.measure import Set, Task
from inrcodec.image import Raster
from inrcodec.metrics import ms_ssim, ssim

WIDTH, HEIGHT = 48, 40


class Known:
    """A codec of known rate and distortion: `setting` bytes, every sample 5 too large."""

    name, knob, version = "known", "quality", "known 1"

    def missing(self) -> None:
        return None

    def settings(self, rates: object) -> list[float]:
        return [30.0, 60.0]

    def encode(self, raster: Raster, setting: float, report: object = None) -> bytes:
        return bytes(int(setting))

    def decode(self, data: bytes, like: Raster) -> Raster:
        return Raster(like.samples + np.uint8(5), has_alpha=False)

    def detail(self, data: bytes) -> dict[str, float]:
        return {"macs_per_pixel": 7, "k": len(data)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    samples = np.random.default_rng(0).integers(0, 251, (HEIGHT, WIDTH, 3), np.uint8)
    Image.fromarray(samples).save(tmp_path / "noise.png")
    return tmp_path


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codecs, "parse", lambda specification: Known())


@pytest.mark.parametrize("size", [30, 60])
def test_a_codec_of_known_rate_and_distortion_comes_out_exact(
    known: None, folder: Path, size: int
) -> None:
    pictures = Set(str(folder))
    row, data = measure.point(Task(pictures, "noise.png", "known", size), threads=1)
    assert data == bytes(size)
    assert row["bytes"] == size
    assert row["bpp"] == round(8 * size / (WIDTH * HEIGHT), 6)
    assert row["mse"] == 25
    assert row["psnr"] == round(20 * math.log10(255 / 5), 4)
    original = pictures.load("noise.png").samples
    assert row["ms_ssim"] == round(ms_ssim(original, original + np.uint8(5), 255), 6)
    assert row["ssim"] == round(ssim(original, original + np.uint8(5), 255), 6)
    assert (row["macs_per_pixel"], json.loads(row["detail"])) == (7, {"k": size})
    assert (row["width"], row["height"], row["channels"]) == (WIDTH, HEIGHT, 3)
    assert row["lpips"] is None


def test_a_lossless_codec_has_an_infinite_psnr(
    known: None, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Known, "decode", lambda self, data, like: like)
    row, _ = measure.point(Task(Set(str(folder)), "noise.png", "known", 30), threads=1)
    assert (row["psnr"], row["mse"], row["ssim"], row["ms_ssim"]) == (math.inf, 0, 1, 1)


def test_time_and_memory_are_those_of_the_calls(
    known: None, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def encode(self: Known, raster: Raster, setting: float, report: object = None) -> bytes:
        np.ones(64 << 20, np.uint8)
        time.sleep(0.2)
        return bytes(int(setting))

    def decode(self: Known, data: bytes, like: Raster) -> Raster:
        time.sleep(0.001)
        return like

    monkeypatch.setattr(Known, "encode", encode)
    monkeypatch.setattr(Known, "decode", decode)
    row, _ = measure.point(Task(Set(str(folder)), "noise.png", "known", 30), threads=1)
    assert row["seconds_encode"] > row["seconds_decode"] > 0
    if row["mib_encode"] is None:
        pytest.skip("peak memory is measured on Linux only")
    assert 60 < row["mib_encode"] < 200 and row["mib_decode"] < 30


def test_the_first_point_of_a_process_keeps_to_its_threads_too(folder: Path) -> None:
    """A library that is loaded later would round sums otherwise than for the points after it."""
    code = (
        "import sys, threadpoolctl; from eval.measure import Set, Task, point; "
        "point(Task(Set(sys.argv[1]), 'noise.png', 'inrcodec:effort=1:family=pyramid', 4.0), 1); "
        "assert {pool['num_threads'] for pool in threadpoolctl.threadpool_info()} == {1}"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True)


def test_reduced_pictures_are_a_set_of_their_own(folder: Path) -> None:
    pictures = Set(str(folder), reduce=2)
    assert pictures.name == f"{folder.name}/2"
    raster = pictures.load("noise.png")
    assert (raster.width, raster.height) == (WIDTH // 2, HEIGHT // 2)


def test_an_icc_profile_does_not_count(folder: Path) -> None:
    with Image.open(folder / "noise.png") as image:
        image.save(folder / "tagged.png", icc_profile=b"x" * 500)
    assert Set(str(folder)).load("tagged.png").icc == b""


def test_lpips_without_its_package_says_what_to_install() -> None:
    pytest.importorskip("torch")
    try:
        import lpips  # noqa: F401
    except ImportError:
        black = Raster(np.zeros((16, 16, 1), np.uint8), has_alpha=False)
        with pytest.raises(Exception, match="pip install lpips"):
            measure.distortion(black, black, with_lpips=True)
    else:
        pytest.skip("lpips is installed here")
