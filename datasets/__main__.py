"""The commands of `python -m datasets`."""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path

import click

import datasets
from datasets import manifest


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Fetch and verify the test pictures."""


@main.command("list")
def list_sets() -> None:
    """Name the sets, with images, licence and home."""
    for name in manifest.SETS:
        for source, files in groupby(manifest.read(name), key=lambda file: file.source):
            group = list(files)
            click.echo(f"{name:<12}{len(group):>2} images  {group[0].licence}")
            click.echo(f"{'':<12}{source.home}")
            click.echo(f"{'':<12}{source.citation}")


@main.command()
@click.argument("name", type=click.Choice(manifest.SETS))
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="The folder of the sets; else INRCODEC_DATA.",
)
def fetch(name: str, data: Path | None) -> None:
    """Fetch what is absent of a set, and verify what is there. Goes on where it was interrupted."""
    terminal = sys.stderr.isatty()
    try:
        folder = datasets.fetch(name, data, _show if terminal else None)
    except datasets.DataError as error:
        raise click.ClickException(" ".join(str(error).split())) from error
    finally:
        if terminal:
            click.echo("\r\033[K", err=True, nl=False)
    click.echo(f"{len(manifest.read(name))} images in {folder}")


def _show(image: str, there: int, total: int | None) -> None:
    share = "" if total is None else f" of {total / 1e3:.0f}"
    click.echo(f"\r\033[K{image}  {there / 1e3:.0f}{share} kB", err=True, nl=False)


if __name__ == "__main__":
    main()
