"""Pictures: Pillow images to sample arrays and back, with bit depth, alpha and ICC profile.

A picture is grey or RGB, with or without alpha, at 8 bits a sample; grey alone may have 16. Every
other Pillow mode is converted to one of these.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from inrcodec.errors import ImageError
from inrcodec.files import write_atomically

LIMIT_SIDE = 65535
"""Most pixels along one side."""

LIMIT_PIXELS = 2**28
"""Most pixels of a picture."""

Samples = NDArray[np.uint8] | NDArray[np.uint16]

_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


@dataclass(frozen=True, eq=False)
class Raster:
    """A picture as integer samples.

    Attributes:
        samples: (H, W, C) uint8 or uint16; C is 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha.
        has_alpha: the last channel is alpha, not premultiplied.
        icc: the ICC profile of the colours, empty where there is none.

    Raises:
        ImageError: the array is of another shape or type, or `has_alpha` does not fit C.

    >>> raster = Raster(np.zeros((2, 3, 4), np.uint8), has_alpha=True)
    >>> raster.mode, raster.width, raster.height, raster.channels, raster.bits, raster.peak
    ('RGBA', 3, 2, 4, 8, 255)
    """

    samples: Samples
    has_alpha: bool
    icc: bytes = b""

    def __post_init__(self) -> None:
        """Refuse what the attributes do not allow."""
        shape, dtype = self.samples.shape, self.samples.dtype
        if len(shape) != 3 or shape[2] not in _MODES or dtype not in (np.uint8, np.uint16):
            raise ImageError(f"samples must be (H, W, 1 to 4) uint8 or uint16, not {shape} {dtype}")
        if self.has_alpha != (shape[2] in (2, 4)):
            raise ImageError(f"has_alpha={self.has_alpha} does not fit {shape[2]} channels")

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.samples.shape[0])

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.samples.shape[1])

    @property
    def channels(self) -> int:
        """Channels, alpha included."""
        return int(self.samples.shape[2])

    @property
    def bits(self) -> int:
        """Bits of a sample: 8 or 16."""
        return 8 * self.samples.dtype.itemsize

    @property
    def peak(self) -> int:
        """The largest sample value: 255 or 65535."""
        return (1 << self.bits) - 1

    @property
    def mode(self) -> str:
        """Pillow's name (L, LA, RGB, RGBA, I;16); it has none for 16-bit LA;16, RGB;16, RGBA;16."""
        name = _MODES[self.channels]
        if self.bits == 8:
            return name
        return "I;16" if name == "L" else f"{name};16"


# Pillow mode -> the mode it is converted to, and the one where a colour is marked transparent.
_CONVERSIONS = {
    "1": ("L", "LA"),
    "L": ("L", "LA"),
    "LA": ("LA", "LA"),
    "La": ("LA", "LA"),
    "P": ("RGB", "RGBA"),
    "PA": ("RGBA", "RGBA"),
    "RGB": ("RGB", "RGBA"),
    "RGBA": ("RGBA", "RGBA"),
    "RGBa": ("RGBA", "RGBA"),
    "RGBX": ("RGB", "RGB"),
    "CMYK": ("RGB", "RGB"),
    "YCbCr": ("RGB", "RGB"),
    "LAB": ("RGB", "RGB"),
    "HSV": ("RGB", "RGB"),
}
_OTHER_COLOUR_SPACES = {"CMYK", "YCbCr", "LAB", "HSV"}
_GREY_16 = {"I", "I;16", "I;16L", "I;16B", "I;16N"}


def from_pillow(image: Image.Image) -> Raster:
    """Take a Pillow image of any mode but F, upright by its EXIF orientation.

    Palettes, masks and premultiplied or padded modes become L, LA, RGB or RGBA; a transparent
    colour becomes alpha; the I modes become 16-bit grey. CMYK, YCbCr, LAB and HSV become RGB and
    lose their ICC profile, which describes RGB no longer. Fully transparent pixels keep their
    colours. Of an animation the current frame is taken: the first, in a freshly opened file.

    Raises:
        ImageError: mode F, I with values outside 0 to 65535, 16 bits with a transparent value,
            empty, over `LIMIT_SIDE` or `LIMIT_PIXELS`, or the pixels cannot be read.

    >>> from_pillow(Image.new("CMYK", (4, 2))).samples.shape
    (2, 4, 3)
    """
    _check_size(image.width, image.height)
    try:
        image.load()
    except Exception as error:  # Pillow's readers raise errors of any type on damaged files.
        raise ImageError(f"the pixels cannot be read: {_one_line(error)}") from error
    image = _upright(image)
    icc = image.info.get("icc_profile") or b""
    if image.mode in _GREY_16:
        return Raster(_grey_16(image), has_alpha=False, icc=icc)
    if image.mode == "F":
        raise ImageError("floating point (mode F) is not supported: scale it to 8 or 16 bits first")
    if image.mode not in _CONVERSIONS:
        raise ImageError(f"mode {image.mode} is not supported: convert it to RGB first")
    mode = _CONVERSIONS[image.mode][image.has_transparency_data]
    if image.mode in _OTHER_COLOUR_SPACES:
        icc = b""
    if image.mode != mode:
        try:
            image = image.convert(mode)
        except Exception as error:  # A bad palette or transparency; LAB needs Pillow's LittleCMS.
            raise ImageError(
                f"mode {image.mode} cannot be converted to {mode}: {_one_line(error)}"
            ) from error
    samples = np.asarray(image)
    if samples.ndim == 2:
        samples = samples[:, :, None]
    return Raster(samples, has_alpha=mode in ("LA", "RGBA"), icc=icc)


def open_image(path: str | os.PathLike[str]) -> Raster:
    """Read an image file that Pillow can open.

    Pillow has no 16-bit colour: such files are read at 8 bits. Above 178 million pixels Pillow
    takes a file for a decompression bomb.

    Raises:
        ImageError: missing, not an image, damaged, a decompression bomb, or as for `from_pillow`;
            one line that names `path`.
    """
    try:
        with Image.open(path) as image:
            return from_pillow(image)
    except UnidentifiedImageError as error:
        raise ImageError(f"{path}: not an image, or of a kind that Pillow does not read") from error
    except Exception as error:  # Pillow's readers raise errors of any type on damaged files.
        raise ImageError(f"{path}: {_one_line(error)}") from error


def to_pillow(raster: Raster) -> Image.Image:
    """Give a Pillow image of mode L, LA, RGB, RGBA or I;16, any profile in `info["icc_profile"]`.

    Raises:
        ImageError: 16-bit colour or alpha, which Pillow cannot hold.
    """
    if raster.bits == 16 and raster.channels > 1:
        raise ImageError("Pillow holds 16 bits in grey pictures only: reduce the samples to 8 bits")
    samples = raster.samples[:, :, 0] if raster.channels == 1 else raster.samples
    # Copied, as fromarray may share an array's memory, and drawing must not change the raster.
    image = Image.fromarray(samples.copy())
    if raster.icc:
        image.info["icc_profile"] = raster.icc
    return image


def to_unit(raster: Raster) -> NDArray[np.float32]:
    """Give the samples as (H, W, C) float32 from 0 to 1."""
    unit: NDArray[np.float32] = raster.samples.astype(np.float32)
    unit /= raster.peak
    return unit


def to_samples(
    array: NDArray[np.floating[Any]], bits: int, low: int = 0, high: int | None = None
) -> Samples:
    """Quantize an array of any shape, 0 to 1, to integers: clamp, scale, round half up.

    `bits`, 8 or 16, is the depth of the result, 0 stands for `low` and 1 for `high`, by default the
    largest integer. NaN becomes `low`, so that hostile coefficients give the same picture on every
    machine.

    >>> to_samples(np.array([-1.0, 0.5, 2.0, np.nan]), bits=8)
    array([  0, 128, 255,   0], dtype=uint8)
    """
    span = np.float32(((1 << bits) - 1 if high is None else high) - low)
    rounded = np.floor(np.fmin(np.fmax(array, 0), 1) * span + 0.5)
    samples: Samples = rounded.astype(np.uint8 if bits == 8 else np.uint16)
    if low:
        samples += samples.dtype.type(low)
    return samples


_PROFILE_DATE = b"".join(part.to_bytes(2, "big") for part in (1999, 10, 18, 0, 0, 0))
"""The date that a profile was made at, in place of the current time: that of IEC 61966-2-1."""


@cache
def srgb_profile() -> bytes:
    """An ICC profile of sRGB, by LittleCMS; the same bytes at any time."""
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile[:24] + _PROFILE_DATE + profile[36:]


_SUFFIXES = {
    ".png": "PNG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
    ".jp2": "JPEG2000",
    ".pgm": "PPM",
    ".ppm": "PPM",
    ".pnm": "PPM",
    ".bmp": "BMP",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
}
# Format -> (modes that it holds with their alpha and depth, options of Pillow's writer).
_FORMATS: dict[str, tuple[set[str], dict[str, Any]]] = {
    "PNG": ({"L", "LA", "RGB", "RGBA", "I;16"}, {}),
    "TIFF": ({"L", "LA", "RGB", "RGBA", "I;16"}, {"compression": "tiff_adobe_deflate"}),
    "WEBP": ({"L", "LA", "RGB", "RGBA"}, {"lossless": True, "exact": True}),
    "JPEG2000": ({"L", "LA", "RGB", "RGBA", "I;16"}, {}),
    "PPM": ({"L", "RGB"}, {}),
    "BMP": ({"L", "RGB"}, {}),
    "JPEG": ({"L", "RGB"}, {"quality": 95}),
}


def save_image(picture: Raster | Image.Image, path: str | os.PathLike[str]) -> None:
    """Write a picture to a file, whole or not at all, in the format of the suffix (without: PNG).

    A Pillow image is taken as by `from_pillow`. All formats are written losslessly but JPEG, at
    quality 95. JPEG 2000, PPM and BMP drop the ICC profile.

    Raises:
        ImageError: an unknown suffix, or a format that cannot hold the picture.
        OSError: the file cannot be written.
    """
    suffix = Path(path).suffix.lower() or ".png"
    if suffix not in _SUFFIXES:
        raise ImageError(f"{path}: cannot write {suffix} files; use {' '.join(_SUFFIXES)}")
    name = _SUFFIXES[suffix]
    modes, options = _FORMATS[name]
    image = to_pillow(picture if isinstance(picture, Raster) else from_pillow(picture))
    if image.mode not in modes:
        raise ImageError(f"{path}: {name} cannot hold mode {image.mode}; PNG can")
    data = io.BytesIO()
    try:
        image.save(data, name, icc_profile=image.info.get("icc_profile"), **options)
    except (OSError, ValueError) as error:
        raise ImageError(f"{path}: {name} cannot hold it: {_one_line(error)}") from error
    write_atomically(path, data.getvalue())


def _check_size(width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise ImageError(f"the picture is empty ({width}x{height})")
    if max(width, height) > LIMIT_SIDE or width * height > LIMIT_PIXELS:
        raise ImageError(
            f"{width}x{height} is too large: at most {LIMIT_SIDE} pixels a side and "
            f"{LIMIT_PIXELS} in all; cut it or scale it down"
        )


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # Damaged EXIF, of which Pillow raises any type, costs only the orientation.
        return image


def _grey_16(image: Image.Image) -> NDArray[np.uint16]:
    if "transparency" in image.info:
        raise ImageError("16-bit grey with a transparent value: convert it to LA first")
    samples = np.asarray(image)
    if samples.min() < 0 or samples.max() > 65535:
        raise ImageError("integer samples (mode I) must be 0 to 65535: scale them first")
    return samples.astype(np.uint16)[:, :, None]


def _one_line(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(text.split()) or type(error).__name__
