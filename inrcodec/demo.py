"""The demonstration: one photograph through inrcodec, and through JPEG and WebP at equal size."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

from PIL import Image

from inrcodec.baselines import CODECS
from inrcodec.decoder import decode
from inrcodec.encoder import encode
from inrcodec.files import write_atomically
from inrcodec.image import Raster, from_pillow, save_image, to_pillow
from inrcodec.metrics import bpp, ms_ssim, psnr
from inrcodec.optim.clock import Report


@dataclass(frozen=True)
class Row:
    """One codec's result."""

    codec: str
    size_bytes: int
    raster: Raster
    psnr: float
    ms_ssim: float
    seconds_encode: float
    seconds_decode: float


def run(folder: Path, effort: int, device: str, report: Report | None) -> str:
    """Write cat.prc, cat.png and comparison.png into `folder`; return the table as text.

    The photograph is scikit-image's `chelsea` (CC0, Stéfan van der Walt).
    """
    from skimage.data import chelsea

    folder.mkdir(parents=True, exist_ok=True)
    original = from_pillow(Image.fromarray(chelsea()))
    began = time.perf_counter()
    data = encode(original, effort=effort, device=device, report=report)
    encoded = time.perf_counter()
    picture = decode(data, device=device)
    decoded = time.perf_counter()
    write_atomically(folder / "cat.prc", data)
    save_image(picture, folder / "cat.png")

    raster = from_pillow(picture)
    rows = [
        Row(
            "inrcodec",
            len(data),
            raster,
            psnr(raster.samples, original.samples, original.peak),
            ms_ssim(raster.samples, original.samples, original.peak),
            encoded - began,
            decoded - encoded,
        )
    ]
    for other in (CODECS[name].at_least(original, len(data)) for name in ("jpeg", "webp")):
        rows.append(
            Row(
                other.codec,
                other.size_bytes,
                other.raster,
                other.psnr,
                other.ms_ssim,
                other.seconds_encode,
                other.seconds_decode,
            )
        )
    _draw(folder / "comparison.png", original, rows)
    size = f"{original.width}x{original.height}"
    return "\n".join(
        [
            f"A cat, {size}, the others at equal or more bytes:",
            _table(rows, original),
            f"Files: {folder / 'cat.prc'}, {folder / 'cat.png'}, {folder / 'comparison.png'}",
        ]
    )


def _table(rows: list[Row], original: Raster) -> str:
    head = "codec      bytes    bpp  PSNR dB  MS-SSIM   enc s   dec s"
    lines = [
        f"{row.codec:<9} {row.size_bytes:>6} "
        f"{bpp(row.size_bytes, original.width, original.height):>6.3f} {row.psnr:>8.2f} "
        f"{row.ms_ssim:>8.4f} {row.seconds_encode:>7.2f} {row.seconds_decode:>7.3f}"
        for row in rows
    ]
    return "\n".join([head, *lines])


def _draw(path: Path, original: Raster, rows: list[Row]) -> None:
    """The original and each codec's picture side by side, with their figures."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 8), dpi=110, layout="constrained")
    panels = figure.subplots(2, 2).flatten()
    titles = ["original"] + [
        f"{row.codec}: {row.size_bytes} bytes, {row.psnr:.2f} dB" for row in rows
    ]
    for panel, title, raster in zip(
        panels, titles, [original, *(row.raster for row in rows)], strict=True
    ):
        panel.imshow(to_pillow(raster))
        panel.set_title(title)
        panel.set_axis_off()
    with NamedTemporaryFile(dir=path.parent, suffix=".png", delete=False) as file:
        FigureCanvasAgg(figure).print_png(file)
    Path(file.name).replace(path)
