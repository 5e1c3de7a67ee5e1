"""`inrcodec demo`."""

from __future__ import annotations

from pathlib import Path

import click

from inrcodec.cli.options import Command, one_line_errors, progress_line, training_device_option


@click.command(cls=Command, short_help="Encode a photograph; compare with JPEG and WebP.")
@click.argument("folder", metavar="[FOLDER]", default="inrcodec-demo")
@click.option("--effort", type=click.IntRange(1, 9), default=3, show_default=True)
@training_device_option
@one_line_errors
def demo(folder: str, effort: int, device: str) -> None:
    """Encode a photograph, decode it, and compare it with JPEG and WebP of equal size.

    Writes cat.prc, cat.png and comparison.png into FOLDER, and prints a table.
    """
    from inrcodec.demo import run

    with progress_line() as report:
        table = run(Path(folder), effort, device, report)
    click.echo(table)
