"""Thumbnails: near the picture at that size, from the first part of a file, of every mode."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from skimage.data import astronaut

import inrcodec
from inrcodec import prc
from inrcodec.cli import main
from inrcodec.image import from_pillow
from inrcodec.metrics import psnr
from tests.test_golden import golden


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    return Image.fromarray(astronaut()).resize((200, 136), Image.Resampling.BOX)


@pytest.fixture(scope="module")
def encoded(picture) -> bytes:
    return inrcodec.encode(picture, max_bytes=3000, effort=1, device="cpu")


def test_it_is_near_the_picture_at_that_size(encoded, picture):
    small = inrcodec.thumbnail(encoded, side=25)
    assert small.size == (25, 17) and small.mode == "RGB"
    wanted = np.asarray(picture.resize(small.size, Image.Resampling.BOX))
    assert psnr(np.asarray(small), wanted, 255) > 27
    samples = np.asarray(inrcodec.decode(encoded, size=small.size))
    assert psnr(np.asarray(small), wanted, 255) > psnr(samples, wanted, 255) + 2


def test_the_first_segments_are_enough(encoded):
    file = inrcodec.open(encoded)
    prefix = encoded[: file.parts[2].offset + file.parts[2].size]
    assert len(prefix) < 0.75 * len(encoded)
    assert inrcodec.thumbnail(prefix, 25).tobytes() == inrcodec.thumbnail(encoded, 25).tobytes()
    assert "partial" not in inrcodec.thumbnail(prefix, 25).info


def test_planes_are_left_out_by_their_level(encoded):
    whole = inrcodec.open(encoded)
    levels = whole.header.network.levels
    for finest in (1, 2, 9):
        some = prc.read(encoded, finest)
        count = max(1, sum(level >= finest for level in levels))
        assert len(some.latents) == count < len(levels)
        for plane, same in zip(some.latents, whole.latents, strict=False):
            assert np.array_equal(plane, same)
        missing = sum(plane.size for plane in whole.latents[count:])
        assert some.content.lacking.startswith(f"the last {missing} of")


def test_of_sets_of_planes_the_first_may_be_enough():
    data = (Path(__file__).parent / "golden" / "rgb_pyramid_sets.prc").read_bytes()
    assert inrcodec.open(data).header.network.levels == (4, 3, 2, 2, 1, 2, 1, 0)
    counts = [len(prc.read(data, finest).latents) for finest in (2, 1, 0)]
    assert counts == [4, 7, 8]


def test_of_three_sets_the_second_refines_a_thumbnail(picture):
    data = inrcodec.encode(picture, max_bytes=3000, effort=1, progressive=True)
    file = inrcodec.open(data)
    assert file.header.network.levels == (5, 4, 3, 2, 2, 3, 2, 1, 2, 1, 0)
    counts = [len(prc.read(data, finest).latents) for finest in (3, 2, 1, 0)]
    assert counts == [3, 7, 10, 11]
    second = file.parts[3]
    prefix = data[: second.offset + second.size]
    assert len(prefix) < 0.65 * len(data)
    assert inrcodec.thumbnail(prefix, 25).tobytes() == inrcodec.thumbnail(data, 25).tobytes()


def test_damage_is_seen_also_where_it_is_left_out(encoded):
    damaged = bytearray(encoded)
    damaged[-9] ^= 1
    with pytest.raises(inrcodec.FormatError):
        inrcodec.thumbnail(bytes(damaged), 25)


def test_a_larger_side_is_the_picture_itself(encoded):
    for side in (200, 1000):
        same = inrcodec.thumbnail(encoded, side)
        assert same.tobytes() == inrcodec.decode(encoded).tobytes()


@pytest.mark.parametrize("family", ["siren", "pyramid"])
@pytest.mark.parametrize("name", ["photograph", "rgba", "grey16"])
def test_modes_stay(name, family, request):
    original = request.getfixturevalue(name)
    data = inrcodec.encode(original, max_bytes=800, effort=1, family=family)
    small = inrcodec.thumbnail(data, side=8)
    full = inrcodec.decode(data)
    assert small.mode == full.mode and small.size == (8, round(8 * full.height / full.width))
    mean, wanted = (from_pillow(p).samples.astype(float).mean((0, 1)) for p in (small, full))
    if name != "rgba":
        assert np.abs(mean - wanted).max() < 0.02 * from_pillow(full).peak


@pytest.mark.parametrize("name", ["la_sparse", "rgba_kronecker", "rgb_identity", "grey_dense"])
def test_a_pixel_is_the_mean_of_four_points_and_colours_count_by_their_alpha(name):
    data = golden(name)
    points = np.asarray(inrcodec.decode(data, size=(24, 16))).astype(float).reshape(8, 2, 12, 2, -1)
    mean = points.mean((1, 3))
    if "a_" in name:
        alpha = points[..., -1:]
        colours = (points * (alpha + 1e-6)).sum((1, 3)) / (alpha + 1e-6).sum((1, 3))
        assert np.abs(colours - mean)[..., :-1].max() > 1
        mean[..., :-1] = colours[..., :-1]
    shown = np.asarray(inrcodec.thumbnail(data, side=12)).reshape(mean.shape)
    assert np.array_equal(shown, np.floor(mean + 0.5))


def test_no_side_is_refused(encoded):
    with pytest.raises(ValueError, match="at least 1"):
        inrcodec.thumbnail(encoded, side=0)


def test_the_command_writes_it(encoded, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cat.prc").write_bytes(encoded)
    result = CliRunner().invoke(main, ["thumbnail", "cat.prc", "cat.png", "--side", "20"])
    assert result.exit_code == 0, result.output
    assert Image.open("cat.png").size == (20, 14)
    result = CliRunner().invoke(main, ["thumbnail", "absent.prc", "cat2.png"])
    assert result.exit_code != 0 and result.stderr.startswith("Error: ")
