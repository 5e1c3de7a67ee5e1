"""The command `inrcodec`, which its subcommands hang on."""

from __future__ import annotations

import os

import click

from inrcodec import __version__
from inrcodec.cli.decode import decode, progressive, thumbnail
from inrcodec.cli.demo import demo
from inrcodec.cli.encode import encode
from inrcodec.cli.info import info

# PyTorch's threads wait for one another in a busy loop. On two cores, with another program at work,
# that makes the fit ten times slower; sleeping instead costs up to a fifth on an idle machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="inrcodec")
def main() -> None:
    """Encode pictures as small neural networks, and decode them at any size."""


for command in (encode, decode, info, thumbnail, progressive, demo):
    main.add_command(command)
