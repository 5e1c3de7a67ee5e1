"""Rate-distortion curves as a PNG."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from eval.record import Row
from inrcodec.files import write_atomically

# Colours that the colour-blind can tell apart (Okabe and Ito 2008), and markers for print.
_STYLES = {
    "inrcodec": ("#D55E00", "o"),
    "jpeg": ("#000000", "s"),
    "webp": ("#0072B2", "^"),
    "avif": ("#009E73", "D"),
}
_NAMES = {"jpeg": "JPEG", "webp": "WebP", "avif": "AVIF"}


def rate_distortion(rows: Sequence[Row], path: Path) -> None:
    """Draw PSNR over bits per pixel, one panel a picture and one curve a codec."""
    pictures = list(dict.fromkeys(row["picture"] for row in rows))
    across = min(3, len(pictures))
    down = math.ceil(len(pictures) / across)
    figure = Figure(figsize=(6.4 * across, 4.6 * down), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    for index, picture in enumerate(pictures):
        axes = figure.add_subplot(down, across, index + 1)
        for codec, (colour, marker) in _STYLES.items():
            found = {(row["bpp"], row["psnr"]) for row in rows
                     if (row["picture"], row["codec"]) == (picture, codec)}  # fmt: skip
            points = sorted(point for point in found if point[1] is not None)
            if points:
                axes.plot(
                    *zip(*points, strict=True),
                    color=colour,
                    marker=marker,
                    markersize=5,
                    linewidth=2.2 if codec == "inrcodec" else 1.3,
                    label=_NAMES.get(codec, codec),
                )
        axes.set_title(picture)
        axes.set_xlabel("rate (bits per pixel, whole file)")
        axes.set_ylabel("PSNR (dB)")
        axes.set_xlim(left=0)
        axes.grid(alpha=0.3)
        axes.legend(loc="lower right")
    image = io.BytesIO()
    figure.savefig(image, format="png")
    write_atomically(path, image.getvalue())
