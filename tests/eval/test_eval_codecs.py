"""What the codecs of the harness promise: one interface, whole files, clear specifications."""

from functools import cache

import numpy as np
import pytest
from PIL import Image
from skimage import data

from eval import codecs
from eval.codecs import Classical, Own, SpecificationError
from eval.variations import PARTS, PYRAMID, SIREN, VARIATIONS
from inrcodec.image import Raster, from_pillow
from inrcodec.metrics import psnr


def raster(channels: int) -> Raster:
    y, x = np.mgrid[:40, :48]
    waves = np.stack([np.sin(0.3 * x + 0.2 * y * c) for c in range(1, channels + 1)], axis=-1)
    # Without texture a short fit is as good as its luck, at any rate.
    texture = np.random.default_rng(0).normal(0, 12, waves.shape)
    samples = (128 + 80 * waves + texture).clip(0, 255)
    return Raster(samples.astype(np.uint8), has_alpha=False)


def available(name: str) -> codecs.Codec:
    codec = codecs.parse(name)
    if reason := codec.missing():
        pytest.skip(reason)
    return codec


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", codecs.NAMES)
def test_every_codec_encodes_and_decodes_at_its_settings(name: str, channels: int) -> None:
    codec = available(f"{name}:effort=1" if name in ("inrcodec", "coin") else name)
    original = raster(channels)
    settings = codec.settings([4.0, 2.0])
    assert settings == sorted(settings) and codec.version
    files = [codec.encode(original, setting) for setting in (settings[0], settings[-1])]
    assert len(files[0]) < len(files[1])
    decoded = [codec.decode(data, original) for data in files]
    assert all(d.samples.shape == original.samples.shape for d in decoded)
    worst, best = (psnr(d.samples, original.samples, 255) for d in decoded)
    assert 8 < worst < best
    if name in ("inrcodec", "coin"):
        assert settings == [2.0, 4.0]
        for data, bpp in zip(files, settings, strict=True):
            assert 8 * len(data) <= bpp * original.width * original.height


@pytest.mark.parametrize("name", ["jpeg", "webp", "jpeg2000"])
def test_a_classical_codec_hits_a_size_from_above(name: str) -> None:
    codec = available(name)
    assert isinstance(codec, Classical)
    data, setting = codec.at_least(raster(3), 900)
    assert 900 <= len(data) < 1100
    assert codec.encode(raster(3), setting) == data


def test_a_specification_configures_inrcodec() -> None:
    codec = codecs.parse("inrcodec:effort=1:basis=kronecker:compaction=2:seed=3")
    assert isinstance(codec, Own)
    assert (codec.effort, codec.basis, codec.compaction, codec.seed) == (1, "kronecker", 2.0, 3)
    data = codec.encode(raster(1), 4.0)
    detail = codec.detail(data)
    assert detail["k"] < detail["D"] and detail["macs_per_pixel"] < detail["D"]


@pytest.mark.parametrize(
    ("specification", "message"),
    [
        ("gif", "known are inrcodec, jpeg"),
        ("jpeg:quality=3", "takes no options"),
        ("inrcodec:speed=3", "known are effort, family"),
        ("inrcodec:effort", "no option"),
        ("inrcodec:effort=x", "'x' for effort"),
        ("inrcodec:effort=12", "1 to 9"),
        ("inrcodec:basis=random", "identity"),
        ("inrcodec:variation=random", "dead-zone"),
        ("inrcodec:progressive=2", "0 or 1"),
        ("inrcodec:progressive=1:order=magnitude", "order of its own"),
        ("coin:effort=0", "1 to 9"),
    ],
)
def test_an_impossible_specification_says_what_is_possible(
    specification: str, message: str
) -> None:
    with pytest.raises(SpecificationError, match=message):
        codecs.parse(specification)


def test_every_variation_changes_the_settings_of_one_family() -> None:
    for variation in list(VARIATIONS.values())[1:]:
        assert variation.settings not in (None, SIREN, PYRAMID)
        assert type(variation.settings) in (type(SIREN), type(PYRAMID))


@pytest.fixture(scope="module", params=[3.0, 20.0])
def whole(request: pytest.FixtureRequest) -> tuple[float, bytes]:
    """A rate, and a file without a variation."""
    return request.param, codecs.parse("inrcodec:effort=1").encode(raster(1), request.param)


@pytest.mark.parametrize("variation", PARTS["siren"])
def test_a_part_switched_off_gives_another_file_of_the_same_size(
    variation: str, whole: tuple[float, bytes]
) -> None:
    bpp, expected = whole
    changed = codecs.parse(f"inrcodec:effort=1:variation={variation}").encode(raster(1), bpp)
    # A narrow network has few layers and one rate anyway.
    assert (changed == expected) == (bpp == 3.0 and variation in ("depth-5", "equal-rates"))
    assert len(changed) == pytest.approx(len(expected), rel=0.03)


@cache
def pyramid(effort: int, option: str = "") -> bytes:
    picture = from_pillow(Image.fromarray(data.astronaut()[60:140, 160:272]))
    specification = f"inrcodec:effort={effort}:family=pyramid{option}"
    return codecs.parse(specification).encode(picture, 3.4)


@pytest.mark.parametrize("variation", PARTS["pyramid"])
def test_a_pyramid_without_a_part_is_another_file_of_the_same_size(variation: str) -> None:
    # Short trainings have none of these.
    long = ("one-layer", "no-filter", "plain-planes", "near-context")
    effort = 2 if variation in long else 1
    whole, other = pyramid(effort), pyramid(effort, f":variation={variation}")
    assert other != whole
    assert len(other) == pytest.approx(len(whole), rel=0.03)
