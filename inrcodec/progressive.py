"""Decoding what there is of a file so far: bytes as they come, and pictures of growing prefixes."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from inrcodec import prc
from inrcodec.container.fields import CutShort
from inrcodec.decoder import View, picture_of
from inrcodec.errors import ImageError
from inrcodec.files import write_atomically
from inrcodec.image import from_pillow
from inrcodec.limits import DEFAULT_LIMITS, Limits
from inrcodec.metrics import psnr
from inrcodec.prc import FileReader

FRAMES = 12
"""Pictures of an animation or a contact sheet."""

FRAME_MILLISECONDS = 400
LAST_MILLISECONDS = 2400
"""How long an animation shows a picture, and the complete one."""

CAPTION_HEIGHT = 18
"""Pixels under each picture for its caption."""

COLUMNS = 4
"""Pictures side by side in a contact sheet."""


class ProgressiveDecoder:
    """Decodes a file while its bytes arrive. Each byte is read about once, however they are cut.

    Attributes:
        complete: whether all of the file has arrived.

    >>> import inrcodec, numpy
    >>> ramp = Image.fromarray(numpy.arange(0, 250, 10, dtype=numpy.uint8).reshape(5, 5))
    >>> data = inrcodec.encode(ramp, max_bytes=200, effort=1)
    >>> decoder = ProgressiveDecoder()
    >>> decoder.feed(data[:20]) is None, decoder.feed(data[20:]).size, decoder.complete
    (True, (5, 5), True)
    """

    def __init__(
        self,
        size: tuple[int, int] | None = None,
        scale: float | None = None,
        device: str = "auto",
        region: tuple[float, float, float, float] | None = None,
        *,
        max_pixels: int | None = DEFAULT_LIMITS.max_pixels,
        max_work: float | None = DEFAULT_LIMITS.max_work,
    ) -> None:
        """The arguments are those of `decode`."""
        self._view = View(size, scale, region, device, Limits(max_pixels, max_work))
        self._reader = FileReader(limits=self._view.limits)
        self._shown = 0
        self.complete = False

    def feed(self, data: bytes) -> Image.Image | None:
        """Take the next bytes; return the picture so far, or None where they add nothing to it.

        Raises:
            FormatError: not a readable .prc file, or bytes after its end.
            ImageError, ValueError: as `decode`.
        """
        known = self._reader.header is not None
        self._reader.feed(data)
        if not known and self._reader.header is not None:
            self._view.check(self._reader.header)
        if self._reader.bytes_read == self._shown:
            return None
        try:
            file = self._reader.file()
        except CutShort:
            return None
        self._shown, self.complete = file.bytes_read, file.complete
        return picture_of(file, self._view)


@dataclass(frozen=True, eq=False)
class Stage:
    """The picture of a prefix of a file.

    Attributes:
        size: bytes of the prefix.
        share: of the file.
        picture: what it decodes to.
        psnr: in dB, against the reference.
        complete: whether it is all of a file that is itself complete.
    """

    size: int
    share: float
    picture: Image.Image
    psnr: float
    complete: bool = False


def stages(
    data: bytes,
    shares: Sequence[float] | None = None,
    reference: Image.Image | None = None,
    device: str = "auto",
) -> list[Stage]:
    """The pictures of growing prefixes of a file.

    Args:
        data: the file's bytes.
        shares: of the file, ascending; by default `FRAMES` even ones, from the first that shows
            anything to all of it, without those that show no more than the one before.
        reference: what the PSNR is against; by default the picture of the complete file.
        device: as for `decode`.

    Raises:
        FormatError: not a readable .prc file, or a share of it that shows nothing.
        ImageError: the reference has another size or other channels.
    """
    file, view = prc.open(data), View(device=device)
    last = picture_of(file, view)
    wanted = from_pillow(last if reference is None else reference)
    if wanted.samples.shape != from_pillow(last).samples.shape:
        raise ImageError(
            f"the reference is {wanted.width}x{wanted.height} with {wanted.samples.shape[2]} "
            f"channels, the file's picture {last.width}x{last.height} of mode {last.mode}"
        )
    even = shares is None
    if shares is None:
        first = file.parts[1].offset + file.parts[1].size
        shares = np.linspace(min(1.0, first / len(data) + 1e-9), 1, FRAMES).tolist()
    found: list[Stage] = []
    used = 0
    for share in shares:
        size = min(len(data), round(share * len(data)))
        prefix = prc.open(data[:size])
        if even and prefix.bytes_read == used:
            continue
        used = prefix.bytes_read
        picture = picture_of(prefix, view)
        raster = from_pillow(picture)
        quality = psnr(raster.samples, wanted.samples, wanted.peak)
        found.append(Stage(size, size / len(data), picture, quality, prefix.complete))
    return found


def check_suffix(path: str | os.PathLike[str]) -> None:
    """Raise ImageError if `save_stages` can't write to this path for its suffix."""
    suffix = Path(path).suffix.lower()
    if suffix not in (".gif", ".webp", ".png"):
        raise ImageError(f"{path}: cannot show progress as {suffix or 'this'}; use .gif .webp .png")


def save_stages(found: Sequence[Stage], path: str | os.PathLike[str]) -> None:
    """Write stages with captions: an animation as .gif or .webp, a contact sheet as .png.

    Raises:
        ImageError: another suffix.
        OSError: the file cannot be written.
    """
    check_suffix(path)
    suffix = Path(path).suffix.lower()
    frames = [_captioned(stage) for stage in found]
    data = io.BytesIO()
    if suffix == ".png":
        _sheet(frames).save(data, "PNG")
    else:
        times = [FRAME_MILLISECONDS] * (len(frames) - 1) + [LAST_MILLISECONDS]
        options = {"lossless": True} if suffix == ".webp" else {}
        frames[0].save(
            data,
            suffix[1:].upper(),
            save_all=True,
            append_images=frames[1:],
            duration=times,
            loop=0,
            **options,
        )
    write_atomically(path, data.getvalue())


def _captioned(stage: Stage) -> Image.Image:
    """The picture in 8-bit RGB, its size and quality under it."""
    raster = from_pillow(stage.picture)
    samples = raster.samples >> 8 if raster.peak > 255 else raster.samples
    colours = samples[..., :3] if samples.shape[2] >= 3 else samples[..., :1].repeat(3, axis=2)
    frame = Image.new("RGB", (max(raster.width, 190), raster.height + CAPTION_HEIGHT), "white")
    frame.paste(Image.fromarray(np.ascontiguousarray(colours, np.uint8)), (0, 0))
    quality = "as the whole" if np.isinf(stage.psnr) else f"{stage.psnr:.2f} dB"
    quality = "complete" if np.isinf(stage.psnr) and stage.complete else quality
    text = f"{stage.size} bytes ({stage.share:.0%}), {quality}"
    font = ImageFont.load_default(size=12)
    ImageDraw.Draw(frame).text((4, raster.height + 1), text, fill="black", font=font)
    return frame


def _sheet(frames: Sequence[Image.Image]) -> Image.Image:
    columns = min(COLUMNS, len(frames))
    width, height = frames[0].size
    rows = -(-len(frames) // columns)
    sheet = Image.new("RGB", (columns * (width + 4) - 4, rows * (height + 4) - 4), "white")
    for index, frame in enumerate(frames):
        row, column = divmod(index, columns)
        sheet.paste(frame, (column * (width + 4), row * (height + 4)))
    return sheet
