"""What inrcodec.image and inrcodec.files promise."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageCms

from inrcodec.errors import ImageError
from inrcodec.files import write_atomically
from inrcodec.image import (
    LIMIT_SIDE,
    Raster,
    from_pillow,
    open_image,
    save_image,
    to_pillow,
    to_samples,
    to_unit,
)

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def noise(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, shape, dtype)


def picture(mode: str) -> Image.Image:
    """A 5x4 picture of any mode, with noise in every channel."""
    if mode in ("1", "L", "P"):
        return Image.fromarray(noise(4, 5)).convert(mode)
    if mode.startswith("I;16"):
        return Image.frombytes(mode, (5, 4), noise(4, 5, dtype=np.uint16).tobytes())
    if mode == "I":
        return Image.fromarray(noise(4, 5, dtype=np.uint16).astype(np.int32))
    channels = len(Image.new(mode, (1, 1)).getbands())
    return Image.frombytes(mode, (5, 4), noise(4, 5, channels).tobytes())


# Modes that are taken as they are


rasters = st.one_of(
    st.tuples(st.just(np.uint8), st.integers(1, 4)), st.just((np.uint16, 1))
).flatmap(
    lambda kind: hnp.arrays(
        kind[0], st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(kind[1]))
    )
)


@given(rasters, st.sampled_from([b"", ICC]))
def test_from_pillow_undoes_to_pillow(samples: np.ndarray, icc: bytes) -> None:
    raster = Raster(samples, has_alpha=samples.shape[2] in (2, 4), icc=icc)
    image = to_pillow(raster)
    again = from_pillow(image)
    assert image.mode == raster.mode == again.mode
    assert image.size == (raster.width, raster.height)
    assert again.samples.dtype == samples.dtype
    np.testing.assert_array_equal(again.samples, samples)
    assert (again.has_alpha, again.icc) == (raster.has_alpha, icc)


def test_an_image_does_not_share_memory_with_its_raster() -> None:
    raster = Raster(noise(4, 5, 1), has_alpha=False)
    before = raster.samples.copy()
    to_pillow(raster).putpixel((0, 0), 255 - int(before[0, 0, 0]))
    np.testing.assert_array_equal(raster.samples, before)


def test_transparent_pixels_keep_their_colours() -> None:
    raster = from_pillow(Image.new("RGBA", (2, 2), (10, 20, 30, 0)))
    assert raster.samples[0, 0].tolist() == [10, 20, 30, 0]


# Modes that are converted


@pytest.mark.parametrize(
    ("mode", "becomes"),
    [
        ("1", "L"),
        ("P", "RGB"),
        ("PA", "RGBA"),
        ("La", "LA"),
        ("RGBa", "RGBA"),
        ("RGBX", "RGB"),
        ("CMYK", "RGB"),
        ("YCbCr", "RGB"),
        ("LAB", "RGB"),
        ("HSV", "RGB"),
    ],
)
def test_other_modes_are_converted_as_pillow_does(mode: str, becomes: str) -> None:
    image = picture(mode)
    expected = np.asarray(image.convert(becomes)).reshape(4, 5, -1)
    raster = from_pillow(image)
    assert raster.mode == becomes
    np.testing.assert_array_equal(raster.samples, expected)


@pytest.mark.parametrize("mode", ["I", "I;16", "I;16L", "I;16B", "I;16N"])
def test_16_bit_grey_keeps_its_values(mode: str) -> None:
    values = noise(4, 5, dtype=np.uint16)
    image = picture(mode)
    if mode == "I;16B":
        values = values.byteswap()
    raster = from_pillow(image)
    assert (raster.mode, raster.bits, raster.peak) == ("I;16", 16, 65535)
    assert raster.samples.dtype == np.uint16
    np.testing.assert_array_equal(raster.samples[:, :, 0], values)


@pytest.mark.parametrize(
    ("mode", "fill", "transparent", "becomes"),
    [
        ("1", 255, 255, "LA"),
        ("L", 7, 7, "LA"),
        ("P", 3, 3, "RGBA"),
        ("P", 3, b"\xff\xff\xff\x00", "RGBA"),
        ("RGB", (1, 2, 3), (1, 2, 3), "RGBA"),
    ],
)
def test_a_transparent_colour_becomes_alpha(
    mode: str, fill: object, transparent: object, becomes: str
) -> None:
    image = Image.new(mode, (2, 1), fill)
    image.putpixel((1, 0), 0 if isinstance(fill, int) else (9, 9, 9))
    image.info["transparency"] = transparent
    raster = from_pillow(image)
    assert (raster.mode, raster.has_alpha) == (becomes, True)
    assert raster.samples[0, :, -1].tolist() == [0, 255]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (Image.new("F", (2, 2)), "mode F"),
        (Image.new("I", (2, 2), -1), "0 to 65535"),
        (Image.new("I", (2, 2), 65536), "0 to 65535"),
        (Image.new("L", (0, 2)), "empty"),
        (Image.new("L", (2, 0)), "empty"),
        (Image.new("1", (LIMIT_SIDE + 1, 1)), "too large"),
    ],
)
def test_what_cannot_be_encoded_is_refused(image: Image.Image, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        from_pillow(image)


def test_too_many_pixels_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inrcodec.image.LIMIT_PIXELS", 20)
    assert from_pillow(Image.new("L", (5, 4))).width == 5
    with pytest.raises(ImageError, match="too large"):
        from_pillow(Image.new("L", (3, 7)))


def test_16_bit_grey_with_a_transparent_value_is_refused() -> None:
    image = picture("I;16")
    image.info["transparency"] = 5
    with pytest.raises(ImageError, match="transparent"):
        from_pillow(image)


def test_a_transparency_that_pillow_cannot_apply_is_refused() -> None:
    image = Image.new("RGB", (2, 2))
    image.info["transparency"] = "red"
    with pytest.raises(ImageError, match="RGBA"):
        from_pillow(image)


@pytest.mark.parametrize(
    ("samples", "has_alpha"),
    [
        (np.zeros((2, 2), np.uint8), False),
        (np.zeros((2, 2, 5), np.uint8), False),
        (np.zeros((2, 2, 3), np.int32), False),
        (np.zeros((2, 2, 3), np.uint8), True),
        (np.zeros((2, 2, 4), np.uint8), False),
    ],
)
def test_a_raster_refuses_other_arrays(samples: np.ndarray, has_alpha: bool) -> None:
    with pytest.raises(ImageError):
        Raster(samples, has_alpha)


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_pillow_cannot_hold_16_bit_colour(channels: int) -> None:
    raster = Raster(noise(2, 2, channels, dtype=np.uint16), has_alpha=channels != 3)
    with pytest.raises(ImageError, match="16 bits"):
        to_pillow(raster)


# Metadata


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int, tmp_path: Path) -> None:
    upright = noise(4, 5, 3)
    # What a camera held that way stores: the inverse of what EXIF 2.3 says a reader must do.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: np.rot90(upright.transpose(1, 0, 2), 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "photo.png"
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif)
    np.testing.assert_array_equal(open_image(path).samples, upright)


def test_damaged_exif_costs_only_the_orientation(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    picture("RGB").save(path, exif=b"Exif\0\0garbage!")
    np.testing.assert_array_equal(open_image(path).samples, np.asarray(picture("RGB")))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "RGBX", "I;16"])
def test_the_icc_profile_is_kept_with_the_colour_space(mode: str) -> None:
    image = picture(mode)
    image.info["icc_profile"] = ICC
    assert from_pillow(image).icc == ICC


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "LAB", "HSV"])
def test_the_icc_profile_is_dropped_with_the_colour_space(mode: str) -> None:
    image = picture(mode)
    image.info["icc_profile"] = ICC
    assert from_pillow(image).icc == b""


# Units


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_sample_value_survives_the_unit_range(dtype: type) -> None:
    values = np.arange(np.iinfo(dtype).max + 1).astype(dtype)[None, :, None]
    raster = Raster(values, has_alpha=False)
    unit = to_unit(raster)
    assert (unit.dtype, unit.min(), unit.max()) == (np.float32, 0, 1)
    quantized = to_samples(unit, raster.bits)
    assert quantized.dtype == dtype
    np.testing.assert_array_equal(quantized, values)


def test_to_samples_clamps_and_rounds_half_up() -> None:
    unit = np.array([-np.inf, -0.1, 0.5 / 255, 1.49 / 255, 1.1, np.inf, np.nan])
    assert to_samples(unit, 8).tolist() == [0, 0, 1, 1, 255, 255, 0]


# Files


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".jp2", ".pnm", ".bmp", ""])
def test_lossless_formats_give_the_picture_back_or_refuse(
    suffix: str, mode: str, tmp_path: Path
) -> None:
    image = picture(mode).resize((32, 24))
    if "A" in mode:
        image.putalpha(0)
    image.info["icc_profile"] = ICC
    path = tmp_path / f"picture{suffix}"
    held = {".webp": ["L", "LA", "RGB", "RGBA"], ".pnm": ["L", "RGB"], ".bmp": ["L", "RGB"]}
    if mode not in held.get(suffix, [mode]):
        with pytest.raises(ImageError, match="cannot hold mode"):
            save_image(from_pillow(image), path)
        assert not list(tmp_path.iterdir())
        return
    save_image(from_pillow(image), path)
    assert list(tmp_path.iterdir()) == [path]
    again = open_image(path)
    expected = np.asarray(
        image.convert("RGB" + "A" * ("A" in mode)) if suffix == ".webp" else image
    )
    np.testing.assert_array_equal(np.squeeze(again.samples), expected)
    assert again.icc == (ICC if suffix in ("", ".png", ".tif", ".webp") else b"")


def test_jpeg_holds_grey_and_rgb_only(tmp_path: Path) -> None:
    path = tmp_path / "a.JPG"
    save_image(Image.new("RGB", (16, 16), (200, 100, 50)), path)
    assert abs(open_image(path).samples.astype(int) - [200, 100, 50]).max() <= 2
    for mode in ("LA", "RGBA", "I;16"):
        with pytest.raises(ImageError, match=f"JPEG cannot hold mode {mode}"):
            save_image(picture(mode), tmp_path / "b.jpeg")


def test_pillow_images_are_saved_as_they_are_encoded(tmp_path: Path) -> None:
    save_image(picture("CMYK"), tmp_path / "a.png")
    expected = np.asarray(picture("CMYK").convert("RGB"))
    np.testing.assert_array_equal(open_image(tmp_path / "a.png").samples, expected)


def test_unknown_suffixes_and_sizes_beyond_the_format_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"\.xyz.*\.png"):
        save_image(picture("RGB"), tmp_path / "a.xyz")
    with pytest.raises(ImageError, match="WEBP"):
        save_image(Image.new("RGB", (16400, 1)), tmp_path / "a.webp")
    assert not list(tmp_path.iterdir())


def test_the_first_frame_of_an_animation_is_read(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    path = tmp_path / "a.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert open_image(path).samples[0, 0, :3].tolist() == [255, 0, 0]


def png_chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


def png_of_size(width: int, height: int) -> bytes:
    """A PNG whose header claims a size that its data does not have."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", b"")


def truncated_png() -> bytes:
    file = io.BytesIO()
    Image.fromarray(noise(64, 64, 3)).save(file, "PNG")
    return file.getvalue()[:6000]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 1000,
        b"This is a text file.\n" * 50,
        b"\x89PNG\r\n\x1a\n",
        truncated_png(),
        png_of_size(10, 10),
        png_of_size(0, 10),
        png_of_size(70000, 2),
        png_of_size(2**31 - 1, 2**31 - 1),
    ],
    ids=["empty", "zeros", "text", "magic", "truncated", "no data", "0 wide", "long", "bomb"],
)
def test_files_that_are_no_pictures_give_one_clear_line(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "hostile.png"
    path.write_bytes(data)
    with pytest.raises(ImageError) as caught:
        open_image(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message


def test_missing_files_and_folders_give_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="No such file"):
        open_image(tmp_path / "absent.png")
    with pytest.raises(ImageError, match="directory"):
        open_image(tmp_path)


# Atomic writes


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.prc"
    write_atomically(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    for step in ("fsync", "replace"):
        monkeypatch.setattr(os, step, lambda *_: full(0))
        with pytest.raises(OSError, match=r"No space left on device: .*a\.prc"):
            write_atomically(path, b"new")
        monkeypatch.undo()
        assert path.read_bytes() == b"old"
        assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_write_leaves_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "a.prc", b"new")
    assert not list(tmp_path.iterdir())


def test_a_write_replaces_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.prc"
    for data in (b"first", b"second"):
        write_atomically(path, data)
        assert path.read_bytes() == data
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_follows_links(tmp_path: Path) -> None:
    link, target = tmp_path / "link", tmp_path / "target"
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_atomically(link, b"new")
    assert link.is_symlink() and target.read_bytes() == b"new"


def test_a_write_to_a_device_does_not_replace_it() -> None:
    write_atomically(os.devnull, b"new")
    assert not Path(os.devnull).is_file()


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_a_new_file_has_the_permissions_of_the_umask(tmp_path: Path) -> None:
    plain, atomic = tmp_path / "plain", tmp_path / "atomic"
    plain.write_bytes(b"")
    write_atomically(atomic, b"")
    assert atomic.stat().st_mode == plain.stat().st_mode


def test_errors_name_the_file_that_was_asked_for(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent/a\.prc"):
        write_atomically(tmp_path / "absent/a.prc", b"")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotADirectoryError, match=r"file/a\.prc"):
        write_atomically(tmp_path / "file/a.prc", b"")
    with pytest.raises(IsADirectoryError):
        write_atomically(tmp_path, b"")
