"""What a file shows before all of it is there."""

from __future__ import annotations

import itertools
import zlib

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from skimage import data

import inrcodec
from inrcodec.cli import main
from inrcodec.container.fields import CutShort
from inrcodec.entropy.coder import PassDecoder
from inrcodec.families.pyramid.context_coder import PlanesDecoder
from inrcodec.image import from_pillow
from inrcodec.prc import FileReader
from inrcodec.progressive import FRAMES, ProgressiveDecoder, save_stages, stages
from tests.files import siren_file
from tests.test_golden import golden


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


def content(reader):
    """All that a reader shows of its bytes so far."""
    try:
        file = reader.file()
    except CutShort as error:
        return str(error)
    layers = [(layer.model, layer.symbols.tolist(), layer.withheld) for layer in file.layers]
    latents = [plane.tolist() for plane in file.latents]
    facts = (file.header, file.icc, file.exif, file.xmp, file.complete, file.parts, file.lacking)
    return layers, latents, facts, reader.bytes_read


KINDS = [
    *("rgb_identity", "rgb_refinement", "grey_magnitude", "rgb_listed", "rgb_stages"),
    *("rgb_metadata", "rgb_pyramid", "rgb_pyramid_sets", "rgb_pyramid_deep"),
]
"""A golden file of each kind."""


@pytest.mark.parametrize("size", [1, 7])
@pytest.mark.parametrize("name", KINDS)
def test_pieces_of_any_size_give_what_their_prefix_gives(name, size):
    data = golden(name)
    reader = FileReader()
    for end in range(size, len(data) + size, size):
        reader.feed(data[end - size : end])
        whole = FileReader()
        whole.feed(data[:end])
        assert content(reader) == content(whole)
    assert reader.file().complete


@pytest.mark.parametrize("finest", [1, 2, 9])
@pytest.mark.parametrize("name", ["rgb_stages", "rgb_pyramid", "rgb_pyramid_sets"])
def test_pieces_give_what_their_prefix_gives_also_for_a_small_picture(name, finest):
    data = golden(name)
    reader = FileReader(finest)
    for end in range(1, len(data) + 1):
        reader.feed(data[end - 1 : end])
        whole = FileReader(finest)
        whole.feed(data[:end])
        assert content(reader) == content(whole)


@pytest.mark.parametrize("name", ["rgb_pyramid", "rgb_pyramid_sets"])
def test_each_latent_is_decoded_once_however_the_bytes_are_cut(name, monkeypatch):
    work = {"latents": 0}
    decode = PlanesDecoder.decode

    def counted(self, *arguments):
        before = self.count + self.partial
        decode(self, *arguments)
        work["latents"] += self.count + self.partial - before

    monkeypatch.setattr(PlanesDecoder, "decode", counted)
    data, reader = golden(name), FileReader()
    for position in range(len(data)):
        reader.feed(data[position : position + 1])
    assert work["latents"] == sum(plane.size for plane in reader.file().latents)


@pytest.mark.parametrize("name", ["grey_magnitude", "rgb_listed"])
def test_each_bit_plane_is_decoded_once_however_the_bytes_are_cut(name, monkeypatch):
    work = {"symbols": 0}
    decode = PassDecoder.decode

    def counted(self, *arguments):
        found = decode(self, *arguments)
        work["symbols"] += len(found)
        return found

    monkeypatch.setattr(PassDecoder, "decode", counted)
    data, whole, reader = golden(name), FileReader(), FileReader()
    whole.feed(data)
    once = work["symbols"]
    for position in range(len(data)):
        reader.feed(data[position : position + 1])
    assert work["symbols"] == 2 * once > 0


def test_a_segment_is_checked_once_however_the_bytes_are_cut(monkeypatch):
    """The bytes of metadata, which no decoder sees, are gone over for their checksum alone."""
    data = siren_file(metadata={"xmp": bytes(range(256)) * 4})
    sizes = []
    crc32 = zlib.crc32
    monkeypatch.setattr(zlib, "crc32", lambda part: sizes.append(len(part)) or crc32(part))
    decoder = ProgressiveDecoder()
    for position in range(len(data)):
        decoder.feed(data[position : position + 1])
    assert decoder.complete and sum(sizes) <= len(data)


def test_pictures_of_made_files_are_those_of_their_prefixes():
    for name in ("rgb_pyramid_taps", "rgb_listed", "rgb_stages", "rgba_pyramid_sparse"):
        data, decoder = golden(name), ProgressiveDecoder(size=(24, 16))
        for end in range(17, len(data) + 17, 17):
            shown = decoder.feed(data[end - 17 : end])
            if shown is not None:
                wanted = inrcodec.decode(data[:end], size=(24, 16))
                assert error(shown, wanted) == 0 and shown.info == wanted.info


def test_nothing_new_gives_no_picture_and_nothing_follows_the_end():
    data, decoder = golden("rgb_pyramid"), ProgressiveDecoder()
    assert decoder.feed(b"") is None
    assert decoder.feed(data[:-1]) is not None and decoder.feed(b"") is None
    assert decoder.feed(data[-1:]) is not None and decoder.complete
    assert decoder.feed(b"") is None
    for _ in range(2):
        with pytest.raises(inrcodec.FormatError, match="1 bytes follow the end"):
            decoder.feed(b"?")


@pytest.mark.parametrize("name", KINDS)
def test_damage_is_an_error_at_every_further_call(name):
    data = bytearray(golden(name))
    data[-1] ^= 1
    decoder = ProgressiveDecoder()
    decoder.feed(data[:-1])
    for more in (bytes(data[-1:]), b"", b"more"):
        with pytest.raises(inrcodec.FormatError, match="damaged: its checksum"):
            decoder.feed(more)


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
