"""The command line: thin over the library, which is imported only when a command needs it."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

import click

from inrcodec import __version__
from inrcodec.errors import CodecError
from inrcodec.pranc.layout import BASES

if TYPE_CHECKING:
    from inrcodec.optim.clock import Progress, Report
    from inrcodec.prc import PrcFile

P = ParamSpec("P")

# PyTorch's threads wait for one another in a busy loop. On two cores, with another program at work,
# that makes the fit ten times slower; sleeping instead costs up to a fifth on an idle machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def one_line_errors(command: Callable[P, None]) -> Callable[P, None]:
    """Turn what bad input raises into one line on standard error and exit status 1."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except (CodecError, ValueError) as error:
            raise click.ClickException(str(error)) from error
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            raise click.ClickException(f"{where}{error.strerror or error}") from error
        except MemoryError as error:
            message = str(error) or "not enough memory for a picture of this size"
            raise click.ClickException(message) from error

    return wrapped


class Size(click.ParamType[tuple[int, int]]):
    """A size in pixels such as 640x480."""

    name = "WxH"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Read "640x480" as (640, 480)."""
        width, _, height = str(value).lower().partition("x")
        if not (width.isdecimal() and height.isdecimal()):
            self.fail(f"{value!r} is no size; write it as in 640x480", param, ctx)
        return int(width), int(height)


class Region(click.ParamType[tuple[float, float, float, float]]):
    """A part of a picture such as 0,0,320,240: left, top, width and height in pixels."""

    name = "X,Y,W,H"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, float, float, float]:
        """Read "0,0,320,240"."""
        try:
            x, y, width, height = (float(word) for word in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is no region; write it as in 0,0,320,240", param, ctx)
        return x, y, width, height


device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where to compute; auto takes a GPU where there is one.",
)
force_option = click.option("--force", is_flag=True, help="Overwrite the output file.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="inrcodec")
def main() -> None:
    """Encode pictures as small neural networks, and decode them at any size."""


@main.command(short_help="Encode a picture as a .prc file.")
@click.argument("source", metavar="IN")
@click.argument("target", metavar="[OUT.prc]", required=False)
@click.option("--bpp", type=click.FloatRange(0, min_open=True), help="Budget in bits per pixel.")
@click.option(
    "--bytes",
    "max_bytes",
    type=click.IntRange(1),
    help="Budget in bytes: the file is never larger, and hardly smaller.",
)
@click.option(
    "--psnr",
    type=click.FloatRange(0, 100, min_open=True, max_open=True),
    help="Least PSNR of the decoded picture, dB.",
)
@click.option(
    "--quality",
    type=click.IntRange(1, 100),
    help="Budget on a scale from 0.02 bits per pixel (1) to 2 (100), plus 500 bytes.  "
    "[default: 50, 0.2 bpp]",
)
@click.option(
    "--effort",
    type=click.IntRange(1, 9),
    default=3,
    show_default=True,
    help="How long to fit: for 768x512 pixels on two cores 1 takes ten seconds, 3 up to two "
    "minutes, 9 up to fifteen.",
)
@click.option(
    "--family",
    type=click.Choice(["auto", "siren", "pyramid"]),
    default="auto",
    show_default=True,
    help="The function that is fitted; auto is the pyramid, but for the smallest files.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, (1 << 32) - 1),
    default=0,
    show_default=True,
    help="Seed of the initial network and the basis.",
)
@click.option(
    "--basis",
    type=click.Choice(BASES),
    default="identity",
    show_default=True,
    help="PRANC basis of the hidden layers; for experiments, the default is best.",
)
@click.option(
    "--order",
    type=click.Choice(["none", "magnitude", "contribution"]),
    default="none",
    show_default=True,
    help="Which coefficients of a SIREN come first: the largest, or those that the picture needs.",
)
@click.option(
    "--progressive",
    is_flag=True,
    help="Train a quarter and a half of the file to show good pictures: takes twice as long or "
    "more, and the whole file is about 1 dB behind one without. A SIREN grows in stages.",
)
@click.option("--strip", is_flag=True, help="Leave the ICC profile out.")
@device_option
@force_option
@one_line_errors
def encode(
    source: str,
    target: str | None,
    bpp: float | None,
    max_bytes: int | None,
    psnr: float | None,
    quality: int | None,
    effort: int,
    family: str,
    seed: int,
    basis: str,
    order: str,
    progressive: bool,
    strip: bool,
    device: str,
    force: bool,
) -> None:
    """Encode the picture IN, of any format that Pillow reads, as OUT.prc.

    Give at most one of --bpp, --bytes, --psnr and --quality.
    """
    targets = {"--bpp": bpp, "--bytes": max_bytes, "--psnr": psnr, "--quality": quality}
    given = [name for name, value in targets.items() if value is not None]
    if len(given) > 1:
        raise click.UsageError(f"{' and '.join(given)} exclude each other; give one of them.")
    path = _output(source, target, ".prc", force)

    from inrcodec.decoder import decode
    from inrcodec.encoder import encode as encode_image
    from inrcodec.files import write_atomically
    from inrcodec.image import from_pillow, open_image
    from inrcodec.metrics import bpp as rate_of
    from inrcodec.metrics import psnr as psnr_of

    began = time.monotonic()
    raster = open_image(source)
    with _progress() as report:
        data = encode_image(
            raster,
            bpp=bpp,
            max_bytes=max_bytes,
            psnr=psnr,
            quality=quality,
            effort=effort,
            family=family,
            seed=seed,
            basis=basis,
            order=order,
            progressive=progressive,
            strip=strip,
            device=device,
            report=report,
        )
    write_atomically(path, data)
    decoded = from_pillow(decode(data, device=device))
    click.echo(
        f"{path}: {len(data)} bytes, {rate_of(len(data), raster.width, raster.height):.3f} bpp, "
        f"{psnr_of(decoded.samples, raster.samples, raster.peak):.2f} dB, "
        f"{time.monotonic() - began:.1f} s"
    )


@main.command(short_help="Decode a .prc file, whole or in part, at any size.")
@click.argument("source", metavar="IN.prc")
@click.argument("target", metavar="[OUT.png]", required=False)
@click.option("--size", type=Size(), help="Pixels of the picture, such as 640x480.")
@click.option(
    "--scale", type=click.FloatRange(0, min_open=True), help="Factor of the encoded picture's size."
)
@click.option(
    "--region",
    type=Region(),
    help="The part to decode, in pixels of the encoded picture, such as 0,0,320,240.",
)
@click.option(
    "--fraction",
    type=click.FloatRange(0, 1, min_open=True),
    help="Use only this share of the file's bytes, from its start.",
)
@click.option("--max-bytes", type=click.IntRange(1), help="Use only so many bytes of the file.")
@device_option
@force_option
@one_line_errors
def decode(
    source: str,
    target: str | None,
    size: tuple[int, int] | None,
    scale: float | None,
    region: tuple[float, float, float, float] | None,
    fraction: float | None,
    max_bytes: int | None,
    device: str,
    force: bool,
) -> None:
    """Decode IN.prc to a picture, in the format that OUT's suffix names (PNG by default).

    With --size, --scale or --region the network is evaluated on that grid; nothing is resampled.
    """
    for first, second, both in (
        ("--size", "--scale", size and scale),
        ("--fraction", "--max-bytes", fraction and max_bytes),
    ):
        if both:
            raise click.UsageError(f"{first} and {second} exclude each other; give one of them.")
    path = _output(source, target, ".png", force)

    from inrcodec.decoder import decode as decode_file
    from inrcodec.image import save_image

    data = _prefix(source, fraction, max_bytes) if fraction or max_bytes else source
    picture = decode_file(data, size=size, scale=scale, device=device, region=region)
    save_image(picture, path)
    if "partial" in picture.info:
        cut = f"what you chose of {source}" if fraction or max_bytes else source
        click.echo(f"Warning: {cut} is {picture.info['partial']}", err=True)
    click.echo(f"{path}: {picture.width}x{picture.height}")


@main.command(short_help="Show what a .prc file holds.")
@click.argument("source", metavar="IN.prc")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@one_line_errors
def info(source: str, as_json: bool) -> None:
    """Show what IN.prc holds: its header, its parts, what each layer costs, and its planes.

    A layer's coefficients are multiples of its step; those within its edge of 0 are 0.
    """
    from inrcodec import prc

    facts = describe(prc.open(source))
    click.echo(json.dumps(facts, indent=2) if as_json else _as_text(source, facts))


@main.command(short_help="Decode a small picture from the start of a file.")
@click.argument("source", metavar="IN.prc")
@click.argument("target", metavar="OUT.png")
@click.option(
    "--side", type=click.IntRange(1, 65535), default=64, show_default=True, help="Longest side."
)
@device_option
@force_option
@one_line_errors
def thumbnail(source: str, target: str, side: int, device: str, force: bool) -> None:
    """Decode IN.prc to a small picture, from the first part of the file."""
    path = _output(source, target, ".png", force)

    from inrcodec.decoder import thumbnail as decode_thumbnail
    from inrcodec.image import save_image

    picture = decode_thumbnail(source, side, device)
    save_image(picture, path)
    click.echo(f"{path}: {picture.width}x{picture.height}")


@main.command(short_help="Show how a picture sharpens byte by byte.")
@click.argument("source", metavar="IN.prc")
@click.argument("target", metavar="OUT.gif|.webp|.png")
@click.option("--reference", metavar="PICTURE", help="What the PSNR is against: the original.")
@device_option
@force_option
@one_line_errors
def progressive(source: str, target: str, reference: str | None, device: str, force: bool) -> None:
    """Show how IN.prc sharpens as its bytes arrive: an animation, or a contact sheet as .png.

    Without --reference the PSNR is against the picture of the complete file.
    """
    path = _output(source, target, ".gif", force)

    from inrcodec import prc
    from inrcodec.decoder import missing
    from inrcodec.image import open_image, to_pillow
    from inrcodec.progressive import check_suffix, save_stages, stages

    check_suffix(path)
    data = prc.bytes_of(source)
    file = prc.open(data)
    original = None if reference is None else to_pillow(open_image(reference))
    found = stages(data, reference=original, device=device)
    save_stages(found, path)
    if not file.complete:
        click.echo(f"Warning: {source} is {missing(file)}", err=True)
    click.echo(f"{path}: {len(found)} pictures, from {found[0].size} bytes to {found[-1].size}")


@main.command(short_help="Encode a photograph; compare with JPEG and WebP.")
@click.argument("folder", metavar="[FOLDER]", default="inrcodec-demo")
@click.option("--effort", type=click.IntRange(1, 9), default=3, show_default=True)
@device_option
@one_line_errors
def demo(folder: str, effort: int, device: str) -> None:
    """Encode a photograph, decode it, and compare it with JPEG and WebP of equal size.

    Writes cat.prc, cat.png and comparison.png into FOLDER, and prints a table.
    """
    from inrcodec.demo import run

    with _progress() as report:
        table = run(Path(folder), effort, device, report)
    click.echo(table)


def describe(file: PrcFile) -> dict[str, Any]:
    """The facts of a file as JSON values."""
    header = file.header
    network = asdict(header.network)
    k, d = sum(header.coefficients), header.network.D
    facts = {
        "width": header.width,
        "height": header.height,
        "channels": network.pop("channels"),
        "bits": header.bits,
        "bytes": file.bytes_read,
        "bpp": 8 * file.bytes_read / (header.width * header.height),
        "complete": file.complete,
        "family": header.family,
        "network": network,
        "macs_per_pixel": header.network.macs_per_pixel,
        "seed": header.seed,
        "basis": header.basis,
        "D": d,
        "k": k,
        "compaction": d / k,
        "order": file.order or "none",
        "overhead_bytes": file.overhead,
        "parts": [
            {"name": part.name, "offset": part.offset, "bytes": part.size, "coded": part.coded}
            for part in file.parts
        ],
        "layers": [
            {
                "basis": basis,
                "parameters": rows * cols,
                "coefficients": len(layer.symbols),
                "bits_per_coefficient": layer.bits_per_coefficient,
                "step": layer.model.step_size,
                "edge": layer.model.edge / 64 * layer.model.step_size,
                "zeros": int((layer.symbols == 0).sum()),
            }
            for layer, basis, (rows, cols) in zip(
                file.layers, header.bases, header.network.blocks, strict=False
            )
        ],
    }
    if "levels" in network:
        facts["planes"] = [
            {
                "level": level,
                "width": plane.shape[1],
                "height": plane.shape[0],
                "largest": int(abs(plane).max()),
                "zeros": int((plane == 0).sum()),
            }
            for level, plane in zip(network["levels"], file.latents, strict=False)
        ]
    return facts


def _as_text(source: str, facts: dict[str, Any]) -> str:
    network = facts["network"]
    kind = {1: "grey", 2: "grey + alpha", 3: "RGB", 4: "RGB + alpha"}[facts["channels"]]
    if facts["family"] == "siren":
        shape = (
            f"SIREN of {network['depth']} sine layers of {network['width']}, "
            f"omega {network['omega_first']:g} and {network['omega_hidden']:g}"
        )
    else:
        shape = (
            f"pyramid of {len(network['levels'])} planes, {network['width']} "
            f"{'and {second} '.format(**network) if network['second'] else ''}sine units, "
            f"{'a filter, ' if network['filtered'] else ''}"
            f"{'filtered planes, ' if network['taps'] else ''}"
            f"2 x {network['context']} context units that see {network['neighbours']} neighbours"
        )
    order = "contribution" if facts["order"] == "listed" else facts["order"]
    planes = [
        "  plane  level      size    largest     zeros",
        *(
            f"  {index:>5}  {plane['level']:>5}  {plane['width']:>5}x{plane['height']:<5}"
            f"{plane['largest']:>7}  {plane['zeros']:>8}"
            for index, plane in enumerate(facts.get("planes", []))
        ),
    ]
    lines = [
        f"{source}: {facts['width']}x{facts['height']} {kind}, {facts['bits']} bits a sample",
        f"  {facts['bytes']} bytes, {facts['bpp']:.3f} bpp"
        + ("" if facts["complete"] else "; the rest of the file is missing"),
        f"  {shape}, {facts['macs_per_pixel']:.0f} multiplications per pixel",
        *([f"  bit planes in the order of their {order}"] if order != "none" else []),
        f"  seed {facts['seed']}, basis {facts['basis']}, "
        f"D/k = {facts['D']}/{facts['k']} = {facts['compaction']:.2f}",
        "  part                      bytes",
        *(f"    {part['name']:<22} {part['bytes']:>6}" for part in facts["parts"]),
        "  layer  basis      coefficients  bits/coef.     step     edge   zeros",
        *(
            f"  {index:>5}  {layer['basis']:<9}  {layer['coefficients']:>12}  "
            f"{layer['bits_per_coefficient']:>10.2f}  {layer['step']:>7.4f}  "
            f"{layer['edge']:>7.4f}  {layer['zeros']:>6}"
            for index, layer in enumerate(facts["layers"])
        ),
        *(planes if "planes" in facts else []),
    ]
    return "\n".join(lines)


def _prefix(source: str, fraction: float | None, max_bytes: int | None) -> bytes:
    """The start of a file: a share of its bytes, or at most so many."""
    from inrcodec import prc

    data = prc.bytes_of(source)
    return data[: max_bytes if fraction is None else round(fraction * len(data))]


def _output(source: str, target: str | None, suffix: str, force: bool) -> Path:
    """Where the result goes; checked before the work, not after it."""
    path = Path(source).with_suffix(suffix) if target is None else Path(target)
    if path.exists() and Path(source).exists() and path.samefile(source):
        raise click.ClickException(f"{path} is the input; name another output")
    if path.is_dir():
        raise click.ClickException(f"{path} is a folder; name a file")
    if path.exists() and not force:
        raise click.ClickException(f"{path} exists; use --force to overwrite it")
    if not path.absolute().parent.is_dir():
        raise click.ClickException(f"the folder {path.parent} does not exist")
    return path


@contextmanager
def _progress() -> Iterator[Report | None]:
    """A line on the terminal that follows the encoder; nothing in a pipe."""
    if not sys.stderr.isatty():
        yield None
        return
    try:
        yield _show
    finally:
        click.echo("\r\033[K", err=True, nl=False)


def _show(progress: Progress) -> None:
    minutes, seconds = divmod(round(progress.seconds_left), 60)
    parts = [
        f"{progress.phase:<10} {progress.share:>4.0%}",
        "" if progress.psnr is None else f"{progress.psnr:.2f} dB",
        "" if progress.size is None else f"about {progress.size} bytes",
        f"{minutes}:{seconds:02} left",
    ]
    click.echo("\r\033[K" + "  ".join(part for part in parts if part), err=True, nl=False)


if __name__ == "__main__":
    main()
