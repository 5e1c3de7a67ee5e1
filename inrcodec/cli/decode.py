"""`inrcodec decode`, `thumbnail` and `progressive`: what makes pictures of a file."""

from __future__ import annotations

import click

from inrcodec.cli.options import (
    Command,
    Region,
    Size,
    force_option,
    limits_options,
    one_line_errors,
    output_path,
    rendering_device_option,
)


@click.command(cls=Command, short_help="Decode a .prc file, whole or in part, at any size.")
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
@force_option
@rendering_device_option
@limits_options
@one_line_errors
def decode(
    source: str,
    target: str | None,
    size: tuple[int, int] | None,
    scale: float | None,
    region: tuple[float, float, float, float] | None,
    fraction: float | None,
    max_bytes: int | None,
    force: bool,
    device: str,
    max_pixels: int,
    max_work: float,
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
    path = output_path(source, target, ".png", force)

    from inrcodec import prc
    from inrcodec.decoder import decode as decode_file
    from inrcodec.image import save_image

    data = prc.bytes_of(source)
    if fraction or max_bytes:
        data = data[: max_bytes if fraction is None else round(fraction * len(data))]
    picture = decode_file(
        data, size, scale, device, region, max_pixels=max_pixels, max_work=max_work
    )
    save_image(picture, path)
    if "partial" in picture.info:
        cut = f"what you chose of {source}" if fraction or max_bytes else source
        click.echo(f"Warning: {cut} is {picture.info['partial']}", err=True)
    click.echo(f"{path}: {picture.width}x{picture.height}")


@click.command(cls=Command, short_help="Decode a small picture from the start of a file.")
@click.argument("source", metavar="IN.prc")
@click.argument("target", metavar="OUT.png")
@click.option(
    "--side", type=click.IntRange(1, 65535), default=64, show_default=True, help="Longest side."
)
@force_option
@rendering_device_option
@limits_options
@one_line_errors
def thumbnail(
    source: str,
    target: str,
    side: int,
    force: bool,
    device: str,
    max_pixels: int,
    max_work: float,
) -> None:
    """Decode IN.prc to a small picture, from the first part of the file."""
    path = output_path(source, target, ".png", force)

    from inrcodec.decoder import thumbnail as decode_thumbnail
    from inrcodec.image import save_image

    picture = decode_thumbnail(source, side, device, max_pixels=max_pixels, max_work=max_work)
    save_image(picture, path)
    click.echo(f"{path}: {picture.width}x{picture.height}")


@click.command(cls=Command, short_help="Show how a picture sharpens byte by byte.")
@click.argument("source", metavar="IN.prc")
@click.argument("target", metavar="OUT.gif|.webp|.png")
@click.option("--reference", metavar="PICTURE", help="What the PSNR is against: the original.")
@force_option
@rendering_device_option
@one_line_errors
def progressive(source: str, target: str, reference: str | None, force: bool, device: str) -> None:
    """Show how IN.prc sharpens as its bytes arrive: an animation, or a contact sheet as .png.

    Without --reference the PSNR is against the picture of the complete file.
    """
    path = output_path(source, target, ".gif", force)

    from inrcodec import prc
    from inrcodec.image import open_image, to_pillow
    from inrcodec.progressive import check_suffix, save_stages, stages

    check_suffix(path)
    data = prc.bytes_of(source)
    file = prc.read(data)
    original = None if reference is None else to_pillow(open_image(reference))
    found = stages(data, reference=original, device=device)
    save_stages(found, path)
    if not file.complete:
        click.echo(f"Warning: {source} is {file.lacking}", err=True)
    click.echo(f"{path}: {len(found)} pictures, from {found[0].size} bytes to {found[-1].size}")
