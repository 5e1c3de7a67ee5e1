"""`inrcodec encode`."""

from __future__ import annotations

import time

import click

from inrcodec.cli.options import (
    Command,
    expert_option,
    force_option,
    one_line_errors,
    output_path,
    progress_line,
    training_device_option,
)
from inrcodec.pranc.layout import BASES


@click.command(cls=Command, short_help="Encode a picture as a .prc file.")
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
    help="How long to train: for 768x512 pixels on two cores 1 takes ten seconds, 3 up to two "
    "minutes, 9 up to fifteen.",
)
@click.option(
    "--progressive",
    is_flag=True,
    help="Optimize for progressive decoding: the first 25 % and 50 % of the file already give good "
    "pictures. Encoding takes at least twice as long; the complete file loses about 1 dB.",
)
@click.option("--strip", is_flag=True, help="Leave the ICC profile out.")
@force_option
@training_device_option
@expert_option(
    "--family",
    type=click.Choice(["auto", "siren", "pyramid"]),
    default="auto",
    show_default=True,
    help="Kind of network; auto: pyramid, or siren for files under 600 bytes and small pictures.",
)
@expert_option(
    "--seed",
    type=click.IntRange(0, (1 << 32) - 1),
    default=0,
    show_default=True,
    help="Seed of the initial network and the basis.",
)
@expert_option(
    "--basis",
    type=click.Choice(BASES),
    default=BASES[0],
    show_default=True,
    help="PRANC basis of the hidden layers; identity gives the best quality.",
)
@expert_option(
    "--order",
    type=click.Choice(["none", "magnitude", "contribution"]),
    default="none",
    show_default=True,
    help="Order of coefficients (siren only): largest first, or largest effect on the picture "
    "first.",
)
@one_line_errors
def encode(
    source: str,
    target: str | None,
    bpp: float | None,
    max_bytes: int | None,
    psnr: float | None,
    quality: int | None,
    effort: int,
    progressive: bool,
    strip: bool,
    force: bool,
    device: str,
    family: str,
    seed: int,
    basis: str,
    order: str,
) -> None:
    """Encode the picture IN, of any format that Pillow reads, as OUT.prc.

    Give at most one of --bpp, --bytes, --psnr and --quality.
    """
    targets = {"--bpp": bpp, "--bytes": max_bytes, "--psnr": psnr, "--quality": quality}
    given = [name for name, value in targets.items() if value is not None]
    if len(given) > 1:
        raise click.UsageError(f"{' and '.join(given)} exclude each other; give one of them.")
    path = output_path(source, target, ".prc", force)

    from inrcodec.decoder import decode
    from inrcodec.encoder import encode as encode_image
    from inrcodec.files import write_atomically
    from inrcodec.image import from_pillow, open_image
    from inrcodec.metrics import bpp as rate_of
    from inrcodec.metrics import psnr as psnr_of

    began = time.monotonic()
    raster = open_image(source)
    with progress_line() as report:
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
    decoded = from_pillow(decode(data, max_pixels=None, max_work=None))
    click.echo(
        f"{path}: {len(data)} bytes, {rate_of(len(data), raster.width, raster.height):.3f} bpp, "
        f"{psnr_of(decoded.samples, raster.samples, raster.peak):.2f} dB, "
        f"{time.monotonic() - began:.1f} s"
    )
