"""What a file shows before all of it is there."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from skimage import data

import inrcodec
from inrcodec.cli import main
from inrcodec.image import from_pillow
from inrcodec.progressive import FRAMES, ProgressiveDecoder, save_stages, stages


@pytest.fixture(scope="module")
def picture():
    return Image.fromarray(data.astronaut()[60:188, 150:310])


@pytest.fixture(scope="module")
def pyramid(picture):
    return inrcodec.encode(picture, max_bytes=2000, effort=1, family="pyramid")


@pytest.fixture(scope="module")
def siren(picture):
    return inrcodec.encode(picture, max_bytes=1500, effort=1, family="siren")


def error(one, other):
    a, b = (from_pillow(x).samples.astype(float) for x in (one, other))
    return np.square(a - b).mean()


def test_bytes_fed_one_by_one_give_the_pictures_of_all_prefixes(pyramid):
    decoder, seen = ProgressiveDecoder(), 0
    for length in range(1, len(pyramid) + 1):
        shown = decoder.feed(pyramid[length - 1 : length])
        assert decoder.complete == (length == len(pyramid))
        if shown is not None and length % 97 == 0:
            assert error(shown, inrcodec.decode(pyramid[:length])) == 0
        seen += shown is not None
    assert error(shown, inrcodec.decode(pyramid)) == 0
    assert seen > 1000


def test_more_bytes_come_nearer_to_the_picture(pyramid, picture):
    found = stages(pyramid, reference=picture)
    assert len(found) == FRAMES and found[-1].size == len(pyramid)
    assert found[0].psnr < found[5].psnr < found[-1].psnr
    assert np.isinf(stages(pyramid)[-1].psnr)


def test_a_siren_shows_its_coarse_pass(siren):
    sizes = [stage.size for stage in stages(siren)]
    assert sizes[0] < 0.85 * len(siren) and sizes == sorted(sizes)


def test_wrong_bytes_are_refused():
    decoder = ProgressiveDecoder()
    with pytest.raises(inrcodec.FormatError, match=r"not a \.prc file"):
        decoder.feed(b"\x89PNG")


@pytest.mark.parametrize("options", [{"scale": 0.5}, {"size": (20, 9)}, {"region": (8, 8, 16, 16)}])
def test_options_are_those_of_decode(pyramid, options):
    shown = ProgressiveDecoder(**options).feed(pyramid[:1500])
    assert error(shown, inrcodec.decode(pyramid[:1500], **options)) == 0


def test_stages_say_what_is_complete_and_skip_what_shows_no_more(pyramid, picture):
    found = stages(pyramid[:1500])
    assert not any(stage.complete for stage in found) and np.isinf(found[-1].psnr)
    assert stages(pyramid)[-1].complete
    siren = inrcodec.encode(picture, max_bytes=700, family="siren", effort=1)
    shown = [np.asarray(stage.picture) for stage in stages(siren)]
    assert len(shown) < FRAMES
    assert all((a != b).any() for a, b in itertools.pairwise(shown))


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_a_file_of_all_stages(tmp_path, pyramid, suffix):
    path = tmp_path / f"out{suffix}"
    save_stages(stages(pyramid), path)
    with Image.open(path) as image:
        if suffix == ".png":
            assert image.size == (4 * 194 - 4, 3 * (128 + 18 + 4) - 4)
        else:
            assert image.n_frames == FRAMES
    with pytest.raises(inrcodec.ImageError, match=r"use \.gif \.webp \.png"):
        save_stages(stages(pyramid), tmp_path / "out.jpg")


def test_the_command_line(tmp_path, pyramid, picture, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.prc").write_bytes(pyramid)
    picture.save("a.png")

    def run(*arguments):
        return CliRunner().invoke(main, arguments)

    result = run("decode", "a.prc", "half.png", "--fraction", "0.5")
    assert result.exit_code == 0 and "you chose of a.prc is cut short after" in result.stderr
    assert error(Image.open("half.png"), inrcodec.decode(pyramid[: round(len(pyramid) / 2)])) == 0
    result = run("decode", "a.prc", "some.png", "--max-bytes", "1200")
    assert error(Image.open("some.png"), inrcodec.decode(pyramid[:1200])) == 0
    assert run("decode", "a.prc", "--fraction", "1", "--max-bytes", "9").exit_code == 2
    for arguments, message in (
        (("decode", "a.prc", "no.png", "--max-bytes", "30"), "cut short in the coefficients"),
        (("progressive", "a.prc", "no.bmp"), "use .gif .webp .png"),
        (("progressive", "a.prc", "no.gif", "--reference", "half.tif"), "half.tif"),
    ):
        result = run(*arguments)
        assert result.exit_code == 1 and message in result.stderr
        assert result.stderr.count("\n") == 1
    assert not list(tmp_path.glob("no.*"))
    result = run("progressive", "a.prc", "a.gif", "--reference", "a.png")
    assert result.exit_code == 0 and "12 pictures" in result.stdout
    (tmp_path / "cut.prc").write_bytes(pyramid[:1500])
    result = run("progressive", "cut.prc", "cut.gif")
    assert result.exit_code == 0 and "cut.prc is cut short after 1500 bytes" in result.stderr
    Image.new("RGB", (9, 9)).save("small.png")
    result = run("progressive", "a.prc", "b.gif", "--reference", "small.png")
    assert result.exit_code == 1 and "the reference is 9x9" in result.stderr
