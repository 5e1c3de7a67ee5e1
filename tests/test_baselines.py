"""What inrcodec.baselines promises."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import features

from inrcodec.baselines import Encoded, avif, jpeg, webp
from inrcodec.errors import ImageError
from inrcodec.image import Raster, to_pillow
from inrcodec.metrics import ms_ssim, psnr

CODECS = [
    pytest.param(jpeg, id="jpeg"),
    pytest.param(webp, id="webp"),
    pytest.param(
        avif,
        id="avif",
        marks=pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF"),
    ),
]
Codec = Callable[[Raster, int], Encoded]


def raster(channels: int, icc: bytes = b"") -> Raster:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:40, :48]
    waves = np.stack([np.sin(0.3 * x + 0.2 * y * c) for c in range(1, channels + 1)], axis=-1)
    samples = 128 + 80 * waves + rng.normal(0, 10, waves.shape)
    return Raster(samples.clip(0, 255).astype(np.uint8), has_alpha=False, icc=icc)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_file_has_at_least_the_size_and_reports_what_it_is(channels: int, codec: Codec) -> None:
    original = raster(channels)
    encoded = codec(original, 1000)
    assert 1000 <= encoded.size_bytes == len(encoded.data) < 1200
    assert encoded.codec == codec.__name__
    assert encoded.raster.samples.shape == original.samples.shape
    assert encoded.psnr == psnr(original.samples, encoded.raster.samples, 255) > 20
    assert encoded.ms_ssim == ms_ssim(original.samples, encoded.raster.samples, 255)
    assert encoded.seconds_encode > 0 and encoded.seconds_decode > 0


@pytest.mark.parametrize("codec", CODECS)
def test_beyond_the_range_of_qualities_the_ends_are_given(codec: Codec) -> None:
    smallest, largest = codec(raster(1), 0), codec(raster(1), 10**9)
    assert smallest.settings["quality"] <= 5
    assert largest.settings["quality"] == 100
    assert smallest.size_bytes < largest.size_bytes


@pytest.mark.parametrize("codec", [jpeg, webp])
def test_no_other_quality_gives_a_smaller_file_of_at_least_the_size(codec: Codec) -> None:
    original = raster(3)
    settings = codec(original, 1000).settings

    def size(quality: int) -> int:
        file = io.BytesIO()
        to_pillow(original).save(file, codec.__name__, **{**settings, "quality": quality})
        return len(file.getvalue())

    sizes = [size(quality) for quality in range(1, 101)]
    for at_least in range(600, 1600, 50):
        expected = min(size for size in sizes if size >= at_least)
        assert codec(original, at_least).size_bytes == expected


def test_metadata_does_not_count() -> None:
    for codec in (jpeg, webp):
        plain, tagged = codec(raster(3), 1000), codec(raster(3, icc=b"x" * 500), 1000)
        assert plain.data == tagged.data


@pytest.mark.parametrize(
    "samples",
    [np.zeros((8, 8, 1), np.uint16), np.zeros((8, 8, 4), np.uint8)],
    ids=["16 bit", "RGBA"],
)
@pytest.mark.parametrize("codec", [jpeg, webp])
def test_other_pictures_are_refused(codec: Codec, samples: np.ndarray) -> None:
    with pytest.raises(ImageError, match="8-bit grey or RGB"):
        codec(Raster(samples, has_alpha=samples.shape[2] == 4), 100)


def test_pictures_too_large_for_the_codec_are_refused() -> None:
    with pytest.raises(ImageError, match="webp"):
        webp(Raster(np.zeros((1, 16400, 1), np.uint8), has_alpha=False), 100)
