"""What the baseline COIN promises."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from eval import coin
from inrcodec import metrics
from inrcodec.errors import FormatError, ImageError, TargetError
from inrcodec.families.siren.coordinates import grid
from inrcodec.families.siren.network import SirenNetwork
from inrcodec.families.siren.shape import Siren
from inrcodec.image import Raster, from_pillow

BPP = 8.0
STEPS = 20


@pytest.fixture(scope="module")
def raster(photograph: Image.Image) -> Raster:
    return from_pillow(photograph)


@pytest.fixture(scope="module")
def file(raster: Raster) -> bytes:
    return coin.encode(raster, BPP, STEPS)


def test_the_file_holds_the_picture_s_shape_and_decodes_alike_twice(
    file: bytes, raster: Raster
) -> None:
    decoded = coin.decode(file)
    assert decoded.samples.shape == raster.samples.shape and decoded.mode == "RGB"
    assert np.array_equal(decoded.samples, coin.decode(file).samples)


def test_the_seed_decides_the_file(file: bytes, raster: Raster) -> None:
    assert coin.encode(raster, BPP, STEPS, seed=0) == file
    assert coin.encode(raster, BPP, STEPS, seed=1) != file


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("bpp", [8.0, 12.0, 31.9, 100.0])
def test_the_budget_is_kept_and_used(mode: str, bpp: float, photograph: Image.Image) -> None:
    data = coin.encode(from_pillow(photograph.convert(mode)), bpp, steps=1)
    budget = int(bpp * photograph.width * photograph.height / 8)
    assert 0.85 * budget <= len(data) <= budget


@pytest.mark.parametrize(("depth", "width"), coin.NETWORKS)
def test_the_networks_are_the_paper_s_at_the_paper_s_rates(depth: int, width: int) -> None:
    weights = Siren(3, width, depth, 30, 30).D
    network = coin._network(3, 2 * weights + 12)
    assert (network.depth, network.width) == (depth, width)
    assert coin._network(3, 2 * weights + 11).width == width - 1


def test_a_smooth_picture_is_learned() -> None:
    y, x = np.mgrid[:32, :48]
    slope = (60 + 2 * x + 3 * y)[:, :, None].astype(np.uint8)
    picture = Raster(slope, has_alpha=False)
    reports: list[float] = []
    data = coin.encode(picture, BPP, 200, report=lambda progress: reports.append(progress.share))
    assert metrics.psnr(coin.decode(data).samples, slope, 255) > 30
    assert reports and reports == sorted(reports) and reports[-1] <= 1


def test_decoding_is_the_network_of_the_half_precision_weights(
    file: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = coin.read(file)[0].network
    weights = torch.from_numpy(np.frombuffer(file[12:], np.float16).copy()).float()
    matrices, start = [], 0
    for rows, cols in network.blocks:
        matrices.append(weights[start : start + rows * cols].reshape(rows, cols))
        start += rows * cols
    with torch.no_grad():
        output = (
            SirenNetwork(network)
            .evaluate(matrices, torch.from_numpy(grid((48, 32))))
            .reshape(32, 48, 3)
        )
    expected = ((output + 1) / 2).clamp(0, 1).mul(255).round().numpy()
    assert np.abs(coin.decode(file).samples - expected).max() <= 1
    monkeypatch.setattr(coin, "CHUNK", 1)
    assert np.abs(coin.decode(file).samples - expected).max() <= 1


def test_multiply_accumulates_are_the_weights_without_biases(file: bytes) -> None:
    network = Siren(3, 20, 5, 30, 30)
    data = coin._HEADER.pack(b"COIN", 8, 8, 3, 5, 20) + bytes(2 * network.D)
    assert coin.macs_per_pixel(data) == 2 * 20 + 4 * 20 * 20 + 20 * 3
    biases = sum(rows for rows, _ in coin.read(file)[0].network.blocks)
    assert coin.macs_per_pixel(file) == (len(file) - 12) // 2 - biases


def test_other_and_damaged_files_are_refused(file: bytes) -> None:
    damaged = [b"", b"COIN", b"\x8fPRC" + file[4:], file[:-1], file[:11], file[:12], file + b"\0"]
    damaged += [file[:position] + b"\0" + file[position + 1 :] for position in (4, 8, 9, 10)]
    damaged.append(
        coin._HEADER.pack(b"COIN", 8, 8, 2, 5, 20) + bytes(2 * Siren(2, 20, 5, 30, 30).D)
    )
    for data in damaged:
        with pytest.raises(FormatError) as error:
            coin.decode(data)
        assert "\n" not in str(error.value)


def test_weights_that_are_no_numbers_decode_to_some_picture(file: bytes) -> None:
    assert coin.decode(file[:12] + b"\xff" * (len(file) - 12)).samples.max() == 0


def test_other_pictures_are_refused(rgba: Image.Image, grey16: Image.Image) -> None:
    for image in (rgba, grey16, rgba.convert("LA")):
        with pytest.raises(ImageError, match="8-bit grey and RGB"):
            coin.encode(from_pillow(image), BPP, STEPS)


def test_targets_out_of_reach_are_refused(raster: Raster) -> None:
    with pytest.raises(TargetError, match="too few") as error:
        coin.encode(raster, 0.1, STEPS)
    least = int(str(error.value).split()[-1])
    pixels = raster.width * raster.height
    assert len(coin.encode(raster, 8 * least / pixels, steps=1)) == least
    for bpp in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="bits per pixel"):
            coin.encode(raster, bpp, STEPS)
    with pytest.raises(ValueError, match="steps"):
        coin.encode(raster, BPP, 0)
