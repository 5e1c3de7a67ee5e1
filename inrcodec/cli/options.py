"""What the commands share: options, errors in one line, output paths and the progress line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

import click

from inrcodec.errors import CodecError

if TYPE_CHECKING:
    from inrcodec.optim.clock import Progress, Report

P = ParamSpec("P")


class ExpertOption(click.Option):
    """An option that `--help` lists in a group of its own, below the main options."""


class Command(click.Command):
    """A command whose help lists main options first and expert options below."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write both groups of options; without expert options there is one."""
        groups: dict[str, list[tuple[str, str]]] = {"Options": [], "Expert options": []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and isinstance(param, click.Option):
                expert = isinstance(param, ExpertOption)
                groups["Expert options" if expert else "Options"].append(record)
        for title, records in groups.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def expert_option(*names: str, **settings: Any) -> Callable[[Any], Any]:
    """An option for experiments."""
    return click.option(*names, cls=ExpertOption, **settings)


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


training_device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where to train; auto takes a GPU where there is one.",
)
rendering_device_option = expert_option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where to render; auto is the CPU. cuda needs PyTorch.",
)
force_option = click.option("--force", is_flag=True, help="Overwrite the output file.")


def limits_options(command: Callable[P, None]) -> Callable[P, None]:
    """The options --max-pixels and --max-work."""
    command = expert_option(
        "--max-work",
        type=click.FloatRange(0, min_open=True),
        default=float(1 << 38),
        show_default="2.7e11",
        help="Refuse files that take more multiplications to decode.",
    )(command)
    command = expert_option(
        "--max-pixels",
        type=click.IntRange(1),
        default=1 << 27,
        show_default=True,
        help="Refuse files with larger pictures, and larger pictures.",
    )(command)
    return command


def output_path(source: str, target: str | None, suffix: str, force: bool) -> Path:
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
def progress_line() -> Iterator[Report | None]:
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
