"""The output and the pictures of docs/guide.md: `python -m eval.guide` runs what the guide shows.

Commands after `$` in the guide's `console` blocks and its `python` blocks run in their order, in
one folder. What they print replaces the rest of the block, or the `text` block after it. Then the
pictures of docs/images are made from the files that are in the folder, and comparison.png for the
README, too. It takes a quarter of an hour on two cores.
"""

from __future__ import annotations

import argparse
import io
import math
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

import inrcodec
from inrcodec.baselines import CODECS
from inrcodec.files import write_atomically
from inrcodec.image import Raster, from_pillow, open_image, to_pillow
from inrcodec.metrics import psnr

DOCS = Path(__file__).resolve().parents[1] / "docs"

WIDTH = 900
"""Pixels of a row of panels, as wide as README and guide show them."""

GAP, CAPTION = 4, 21
"""Pixels between panels, and pixels below them for each line of a caption."""

LARGEST = 200_000
"""Most bytes of a picture."""

FACE = (112, 64, 222, 132)
"""Part of the photograph that panels show: x, y, width, height; they show its pixels unscaled."""

EYE = (132, 76, 80, 80)
"""Part of the photograph that the guide decodes larger."""

CELL = (324, 270, 222, 200)
"""Part of the grey picture that panels show."""

INRCODEC = 'inrcodec() { "$PYTHON" -c "from inrcodec.cli import main; main()" "$@"; }'
"""The command `inrcodec` of this interpreter, for bash."""

Panel = tuple[Image.Image, str]
"""A picture and its caption of one or two lines."""


def main() -> None:
    """Run the guide, and write its output and the pictures."""
    parser = argparse.ArgumentParser(prog="python -m eval.guide", description=__doc__)
    parser.add_argument("--docs", type=Path, default=DOCS, help="folder with guide.md")
    parser.add_argument("--work", type=Path, help="folder for the files; temporary by default")
    parser.add_argument("--draft", action="store_true", help="encode with effort 1 where none is")
    parser.add_argument("--pictures", action="store_true", help="only draw the files in WORK again")
    options = parser.parse_args()
    guide = options.docs / "guide.md"
    with tempfile.TemporaryDirectory() as folder:
        work = options.work or Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        if not options.pictures:
            text = rerun(guide.read_text(encoding="utf-8"), work, options.draft)
            write_atomically(guide, text.encode())
        draw(work, options.docs / "images")


def rerun(text: str, work: Path, draft: bool = False) -> str:
    """The guide with what its commands print now; `draft` adds `--effort 1` to its encodings."""
    console = r"```console\n(?P<commands>.*?)```"
    python = r"(?P<python>```python\n(?P<code>.*?)```)(?P<between>\n+```text\n)?"
    blocks = re.compile(rf"{console}|{python}(?(between).*?```)", flags=re.S)

    def filled(found: re.Match[str]) -> str:
        if found["commands"] is not None:
            commands = re.findall(r"^\$ (.*)$", found["commands"], flags=re.M)
            lines = [f"$ {line}\n{_shell(line, work, draft)}" for line in commands]
            return f"```console\n{''.join(lines)}```"
        output = _run([sys.executable, "-c", found["code"]], work)
        return f"{found['python']}{found['between']}{output}```" if found["between"] else found[0]

    return blocks.sub(filled, text)


def _shell(line: str, work: Path, draft: bool) -> str:
    if draft and line.startswith("inrcodec encode") and "--effort" not in line:
        line += " --effort 1"
    return _run(["bash", "-c", f"{INRCODEC}; {line}"], work)


def _run(command: Sequence[str], work: Path) -> str:
    """What a command prints, errors included, with blanks at line ends removed."""
    print(command[-1].removeprefix(f"{INRCODEC}; "), flush=True)
    environment = {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run(
        command,
        cwd=work,
        env=environment,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    print(done.stdout, flush=True)
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())


def draw(work: Path, images: Path) -> None:
    """Make all pictures from the files that the guide's commands left in a folder."""
    images.mkdir(parents=True, exist_ok=True)
    cat, cell = open_image(work / "cat.png"), open_image(work / "cell.png")
    pictures = {
        "comparison.png": comparison(cat, (work / "cat.prc").read_bytes()),
        "rates.webp": rates(cat, [(work / f"{name}.prc") for name in ("low", "cat", "high")]),
        "zoom.webp": zoom(cat, (work / "cat.prc").read_bytes()),
        "thumbnail.webp": thumbnails((work / "cat.prc").read_bytes()),
        "prefixes.webp": prefixes(
            cat, (work / "cat.prc").read_bytes(), (work / "cat-progressive.prc").read_bytes()
        ),
        "grey.webp": comparison(cell, (work / "cell.prc").read_bytes(), CELL),
    }
    for name, picture in pictures.items():
        data = _file_of(picture, name)
        write_atomically(images / name, data)
        print(f"{images / name}: {picture.width}x{picture.height}, {len(data)} bytes")


def comparison(
    original: Raster, data: bytes, part: tuple[int, int, int, int] = FACE
) -> Image.Image:
    """The original, inrcodec, and JPEG and WebP in the smallest files that are no smaller."""
    panels = [(_part(to_pillow(original), part), "original")]
    panels.append(_panel("inrcodec", original, data, part))
    for name, title in (("jpeg", "JPEG"), ("webp", "WebP")):
        other = CODECS[name].at_least(original, len(data))
        caption = f"{title}\n{_figures(other.size_bytes, other.psnr)}"
        panels.append((_part(to_pillow(other.raster), part), caption))
    return _row(panels)


def rates(original: Raster, files: Sequence[Path]) -> Image.Image:
    """The original, and files of rising rates."""
    panels = [(_part(to_pillow(original), FACE), "original")]
    for file in files:
        data = file.read_bytes()
        rate = 8 * len(data) / (original.width * original.height)
        panels.append(_panel(f"{rate:.2f} bpp", original, data))
    return _row(panels)


def zoom(original: Raster, data: bytes) -> Image.Image:
    """Where a part lies; its pixels; and the function, evaluated on a finer grid."""
    x, y, width, height = EYE
    side = (WIDTH - 2 * GAP) // 3
    whole = inrcodec.decode(data)
    ImageDraw.Draw(whole).rectangle((x, y, x + width, y + height), outline="white", width=3)
    scale = side / whole.width
    small = whole.resize((side, round(scale * whole.height)), Image.Resampling.LANCZOS)
    pixels = _part(to_pillow(original), EYE).resize((side, side), Image.Resampling.NEAREST)
    return _row(
        [
            (small, f"decoded, {whole.width}x{whole.height}"),
            (pixels, f"the original's {width}x{height} pixels, enlarged"),
            (inrcodec.decode(data, size=(side, side), region=EYE), f"decoded at {side}x{side}"),
        ]
    )


def thumbnails(data: bytes) -> Image.Image:
    """Thumbnails of a file and of its first half, beside the whole."""
    half = data[: len(data) // 2]
    return _row(
        [
            (inrcodec.thumbnail(data), f"thumbnail\n{len(data)} bytes"),
            (inrcodec.thumbnail(half), f"thumbnail\n{len(half)} bytes"),
            (inrcodec.thumbnail(half, side=222), f"thumbnail, 222 pixels wide\n{len(half)} bytes"),
            (inrcodec.decode(data, scale=0.5), f"decoded at half size\n{len(data)} bytes"),
        ],
        width=0,
    )


def prefixes(original: Raster, plain: bytes, progressive: bytes) -> Image.Image:
    """What a quarter, a half, three quarters and all of two files show, one file a row."""
    rows = [
        _row(
            [
                _panel(f"{title}, {share} %", original, data[: round(share / 100 * len(data))])
                for share in (25, 50, 75, 100)
            ]
        )
        for title, data in (("plain", plain), ("--progressive", progressive))
    ]
    canvas = Image.new("RGB", (rows[0].width, sum(row.height for row in rows)), "white")
    canvas.paste(rows[0], (0, 0))
    canvas.paste(rows[1], (0, rows[0].height))
    return canvas


def _panel(
    title: str,
    original: Raster,
    data: bytes,
    part: tuple[int, int, int, int] = FACE,
) -> Panel:
    """A part of what a file, or a prefix of one, decodes to, with the figures of the whole."""
    try:
        picture = inrcodec.decode(data)
    except inrcodec.FormatError:
        return Image.new("RGB", part[2:], "lightgrey"), f"{title}\n{len(data)} bytes: nothing yet"
    quality = psnr(from_pillow(picture).samples, original.samples, original.peak)
    return _part(picture, part), f"{title}\n{_figures(len(data), quality)}"


def _figures(size: int, quality: float) -> str:
    return f"{size} bytes, {quality:.1f} dB" if math.isfinite(quality) else f"{size} bytes"


def _part(picture: Image.Image, part: tuple[int, int, int, int]) -> Image.Image:
    x, y, width, height = part
    return picture.crop((x, y, x + width, y + height))


def _row(panels: Sequence[Panel], width: int = WIDTH) -> Image.Image:
    """Panels side by side, their captions below; centred on `width` pixels if that is wider."""
    font = ImageFont.load_default(size=15)
    lines = max(caption.count("\n") + 1 for _, caption in panels)
    height = max(picture.height for picture, _ in panels)
    cells = [max(p.width, *(int(font.getlength(t)) + 8 for t in c.split("\n"))) for p, c in panels]
    row = sum(cells) + GAP * (len(panels) - 1)
    canvas = Image.new("RGB", (max(row, width), height + CAPTION * lines + 6), "white")
    pen = ImageDraw.Draw(canvas)
    left = (canvas.width - row) // 2
    for (picture, caption), cell in zip(panels, cells, strict=True):
        corner = (left + (cell - picture.width) // 2, height - picture.height)
        canvas.paste(picture.convert("RGB"), corner)
        for index, text in enumerate(caption.split("\n")):
            start = left + (cell - font.getlength(text)) / 2
            pen.text((start, height + 2 + CAPTION * index), text, fill="black", font=font)
        left += cell + GAP
    return canvas


def _file_of(picture: Image.Image, name: str) -> bytes:
    """A picture's file, lossless as .png, and as .webp where that is small enough."""
    for options in ({"lossless": True}, {"quality": 95}):
        data = io.BytesIO()
        if name.endswith(".png"):
            picture.save(data, "PNG", optimize=True)
        else:
            picture.save(data, "WEBP", method=6, **options)
        if data.tell() <= LARGEST:
            return data.getvalue()
    raise SystemExit(f"{name}: {data.tell()} bytes; at most {LARGEST}")


if __name__ == "__main__":
    main()
