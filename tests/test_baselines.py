"""What inrcodec.baselines promises."""

import sys

import numpy as np
import pytest

from inrcodec.baselines import CODECS, PillowCodec
from inrcodec.errors import ImageError
from inrcodec.image import Raster
from inrcodec.metrics import ms_ssim, psnr

AVAILABLE = [
    pytest.param(
        codec, id=name, marks=pytest.mark.skipif(bool(codec.missing()), reason=str(codec.missing()))
    )
    for name, codec in CODECS.items()
]
jpeg, webp = CODECS["jpeg"], CODECS["webp"]


def raster(channels: int, icc: bytes = b"") -> Raster:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:40, :48]
    waves = np.stack([np.sin(0.3 * x + 0.2 * y * c) for c in range(1, channels + 1)], axis=-1)
    samples = 128 + 80 * waves + rng.normal(0, 10, waves.shape)
    return Raster(samples.clip(0, 255).astype(np.uint8), has_alpha=False, icc=icc)


@pytest.mark.parametrize("codec", AVAILABLE)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_file_has_at_least_the_size_and_reports_what_it_is(
    channels: int, codec: PillowCodec
) -> None:
    original = raster(channels)
    encoded = codec.at_least(original, 1000)
    assert 1000 <= encoded.size_bytes == len(encoded.data) < 1200
    assert encoded.codec == codec.name
    assert encoded.raster.samples.shape == original.samples.shape
    assert encoded.psnr == psnr(original.samples, encoded.raster.samples, 255) > 20
    assert encoded.ms_ssim == ms_ssim(original.samples, encoded.raster.samples, 255)
    assert encoded.seconds_encode > 0 and encoded.seconds_decode > 0


@pytest.mark.parametrize("codec", AVAILABLE)
def test_beyond_the_range_of_qualities_the_ends_are_given(codec: PillowCodec) -> None:
    smallest, largest = codec.at_least(raster(1), 0), codec.at_least(raster(1), 10**9)
    assert smallest.quality in codec.qualities[: len(codec.qualities) // 10]
    assert largest.quality in codec.qualities[-len(codec.qualities) // 10 :]
    assert smallest.size_bytes < largest.size_bytes


@pytest.mark.parametrize("codec", [jpeg, webp])
def test_no_other_quality_gives_a_smaller_file_of_at_least_the_size(codec: PillowCodec) -> None:
    original = raster(3)
    sizes = [len(codec.encode(original, quality)) for quality in codec.qualities]
    for at_least in range(600, 1600, 50):
        expected = min(size for size in sizes if size >= at_least)
        assert codec.at_least(original, at_least).size_bytes == expected


def test_metadata_does_not_count() -> None:
    for codec in (jpeg, webp):
        assert codec.encode(raster(3), 50) == codec.encode(raster(3, icc=b"x" * 500), 50)


@pytest.mark.parametrize(
    "samples",
    [np.zeros((8, 8, 1), np.uint16), np.zeros((8, 8, 4), np.uint8)],
    ids=["16 bit", "RGBA"],
)
@pytest.mark.parametrize("codec", [jpeg, webp])
def test_other_pictures_are_refused(codec: PillowCodec, samples: np.ndarray) -> None:
    with pytest.raises(ImageError, match="8-bit grey or RGB"):
        codec.at_least(Raster(samples, has_alpha=samples.shape[2] == 4), 100)


def test_pictures_too_large_for_the_codec_are_refused() -> None:
    with pytest.raises(ImageError, match="webp"):
        webp.at_least(Raster(np.zeros((1, 16400, 1), np.uint8), has_alpha=False), 100)


def test_a_missing_codec_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_jxl", None)
    codec = CODECS["jpegxl"]
    assert "pip install pillow-jxl-plugin" in str(codec.missing())
    with pytest.raises(ImageError, match="pip install"):
        codec.encode(raster(3), 50)
