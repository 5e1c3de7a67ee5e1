"""The commands of `python -m eval`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from datasets import DataError
from eval import plot, points, speed, tables
from eval.record import Record, RecordError, Row, label
from eval.variations import VARIATIONS
from inrcodec.encoder import DEFAULT_BASIS, DEFAULT_EFFORT
from inrcodec.errors import CodecError
from inrcodec.fit.schedule import Progress, Report
from inrcodec.pranc.layout import BASES

RESULTS = Path(__file__).parent / "results"


class _Group(click.Group):
    """Keeps the command line for the results, and gives errors in one line."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.obj = list(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (CodecError, DataError, RecordError, OSError) as error:
            raise click.ClickException(" ".join(str(error).split())) from error


@click.group(cls=_Group)
def main() -> None:
    """Measure rate, distortion and speed. Finished points are not measured again."""


def _options(name: str, data: bool = True) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The options that the commands share; `name` is that of the default results file."""
    options = [
        click.option("--effort", type=click.IntRange(1, 9), default=DEFAULT_EFFORT,
                     show_default=True, help="How long to fit."),
        click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True,
                     help="Seed of the files."),
        click.option("--out", type=click.Path(dir_okay=False, path_type=Path),
                     default=RESULTS / f"{name}.json", show_default=f"eval/results/{name}.json",
                     help="The results file; tables and plots go beside it."),
        click.option("--fresh", is_flag=True, help="Measure all anew and drop earlier results."),
    ]  # fmt: skip
    if data:
        options.append(click.option("--data", type=click.Path(file_okay=False), metavar="DIR",
                                    help="The folder of the test pictures."))  # fmt: skip

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            command = option(command)
        return click.pass_context(command)

    return decorate


_CODEC_COLUMNS = [
    ("picture", "picture", ""),
    ("codec", "codec", ""),
    ("bytes", "bytes", "d"),
    ("bpp", "bpp", ".4f"),
    ("PSNR, dB", "psnr", ".2f"),
    ("MS-SSIM", "ms_ssim", ".4f"),
    ("encode, s", "seconds_encode", ".3f"),
    ("decode, s", "seconds_decode", ".3f"),
]


@main.command()
@_options("quality")
def quality(
    ctx: click.Context, data: str | None, effort: int, seed: int, out: Path, fresh: bool
) -> None:
    """Hold the codec against its first bar: gain over JPEG, and encoding time."""
    record = _open(ctx, out, fresh)
    asked = [(bar, points.load(bar.picture, data)) for bar in points.FIRST_BAR]
    rows: list[Row] = []
    summary: list[Row] = []
    for bar, picture in asked:
        settings = points.own_settings(picture, bar.bpp, effort, seed, DEFAULT_BASIS, None)
        own = _own(record, picture, settings)
        if own is None:
            continue
        others = {codec: _other(record, picture, codec, own["bytes"]) for codec in points.OTHERS}
        rows += [own, *(row for row in others.values() if row)]
        if others["jpeg"] is not None:
            summary.append(_held_against(bar, own, others["jpeg"]))
    record.save(summary)
    tables.write_csv(out.with_suffix(".csv"), record.rows)
    click.echo(tables.markdown(_CODEC_COLUMNS, rows) + "\n")
    click.echo(
        tables.markdown(
            [
                ("picture", "picture", ""),
                ("over JPEG, dB", "gain", "+.2f"),
                ("bar, dB", "bar_gain", "+.2f"),
                ("encode, s", "seconds_encode", ".1f"),
                ("bar, s", "bar_seconds", ".0f"),
                ("passed", "passed", ""),
            ],
            summary,
        )
    )
    _close(record)
    if not all(row["passed"] for row in summary):
        ctx.exit(1)


def _held_against(bar: points.Bar, own: Row, jpeg: Row) -> Row:
    gain = round(own["psnr"] - jpeg["psnr"], 4)
    return {
        "picture": own["picture"],
        "target_bpp": bar.bpp,
        "gain": gain,
        "bar_gain": bar.gain,
        "seconds_encode": own["seconds_encode"],
        "bar_seconds": points.BAR_SECONDS,
        "passed": gain >= bar.gain
        and own["seconds_encode"] < points.BAR_SECONDS
        and jpeg["bytes"] >= own["bytes"],
    }


@main.command()
@_options("bases")
@click.option(
    "--compaction",
    type=click.FloatRange(1, 1024),
    help="D/k of every basis but identity, instead of the basis's own.",
)
def bases(
    ctx: click.Context,
    data: str | None,
    effort: int,
    seed: int,
    out: Path,
    fresh: bool,
    compaction: float | None,
) -> None:
    """Compare the PRANC bases at equal bytes, on the pictures of the first bar."""
    record = _open(ctx, out, fresh)
    asked = [(bar, points.load(bar.picture, data)) for bar in points.FIRST_BAR]
    summary: list[Row] = []
    for bar, picture in asked:
        identity = None
        for basis in BASES:
            settings = points.own_settings(picture, bar.bpp, effort, seed, basis, compaction)
            row = _own(record, picture, settings)
            if row is None:
                continue
            identity = row if basis == "identity" else identity
            difference = round(row["psnr"] - identity["psnr"], 4) if identity else None
            names = ("picture", "basis", "D", "k", "bpp", "psnr", "seconds_encode")
            ratio = {"ratio": round(row["D"] / row["k"], 4), "difference": difference}
            summary.append({name: row[name] for name in names} | ratio)
    record.save(summary)
    tables.write_csv(out.with_suffix(".csv"), record.rows)
    click.echo(
        tables.markdown(
            [
                ("picture", "picture", ""),
                ("basis", "basis", ""),
                ("D/k", "ratio", ".2f"),
                ("D", "D", "d"),
                ("k", "k", "d"),
                ("bpp", "bpp", ".4f"),
                ("PSNR, dB", "psnr", ".2f"),
                ("to identity, dB", "difference", "+.2f"),
                ("encode, s", "seconds_encode", ".1f"),
            ],
            summary,
        )
    )
    _close(record)


@main.command()
@_options("variations")
@click.option("--only", multiple=True, help="Names of the variations to measure; all by default.")
def variations(
    ctx: click.Context,
    data: str | None,
    effort: int,
    seed: int,
    out: Path,
    fresh: bool,
    only: Sequence[str],
) -> None:
    """Change one default at a time, on the first picture of the first bar."""
    unknown = set(only) - {variation.name for variation in VARIATIONS}
    if unknown:
        raise click.BadParameter(f"no variation is named {sorted(unknown)}")
    record = _open(ctx, out, fresh)
    bar = points.FIRST_BAR[0]
    picture = points.load(bar.picture, data)
    rows: list[Row] = []
    for variation in VARIATIONS:
        if only and variation.name not in only:
            continue
        settings = points.own_settings(picture, bar.bpp, effort, seed, DEFAULT_BASIS, None)
        with variation.applied():
            row = _own(record, picture, {**settings, "variation": variation.name})
        if row is not None:
            defaults = rows[0] if rows else row
            rows.append({**row, "difference": round(row["psnr"] - defaults["psnr"], 4)})
    record.save()
    tables.write_csv(out.with_suffix(".csv"), record.rows)
    click.echo(
        tables.markdown(
            [
                ("picture", "picture", ""),
                ("variation", "variation", ""),
                ("k", "k", "d"),
                ("bpp", "bpp", ".4f"),
                ("PSNR, dB", "psnr", ".2f"),
                ("to the first, dB", "difference", "+.2f"),
            ],
            rows,
        )
    )
    _close(record)


def _rates(ctx: click.Context, parameter: click.Parameter, values: Sequence[str]) -> list[float]:
    try:
        rates = [float(part) for value in values for part in value.split(",")]
    except ValueError as error:
        raise click.BadParameter("numbers, as in --bpp 0.1,0.2,0.4") from error
    if not all(0 < rate < 100 for rate in rates):
        raise click.BadParameter("above 0 and below 100")
    return rates


@main.command()
@click.argument("images", nargs=-1, required=True)
@click.option("--bpp", multiple=True, required=True, callback=_rates, help="As in 0.1,0.2,0.4.")
@_options("rd")
def rd(
    ctx: click.Context,
    images: Sequence[str],
    bpp: Sequence[float],
    data: str | None,
    effort: int,
    seed: int,
    out: Path,
    fresh: bool,
) -> None:
    """Rate-distortion curves of IMAGES: names (kodim15, 00870a9c, kodim15@384x256) or paths."""
    record = _open(ctx, out, fresh)
    pictures = [points.load(image, data) for image in images]
    rows: list[Row | None] = []
    for picture in pictures:
        for rate in bpp:
            settings = points.own_settings(picture, rate, effort, seed, DEFAULT_BASIS, None)
            rows.append(_own(record, picture, settings))
            at_least = int(rate * picture.raster.width * picture.raster.height / 8)
            rows += [_other(record, picture, codec, at_least) for codec in points.OTHERS]
    # Where a codec's smallest file is larger than several budgets, it is the point of all of them.
    shown = {(row["picture"], row["codec"], row["bytes"]): row for row in rows if row}
    record.save()
    tables.write_csv(out.with_suffix(".csv"), record.rows)
    if shown:
        plot.rate_distortion(list(shown.values()), out.with_suffix(".png"))
    click.echo(tables.markdown(_CODEC_COLUMNS, list(shown.values())))
    _close(record)


@main.command(name="speed")
@click.option("--width", type=click.IntRange(1, 65535), default=384, show_default=True)
@click.option("--height", type=click.IntRange(1, 65535), default=256, show_default=True)
@click.option("--bpp", type=click.FloatRange(0, 100, min_open=True), default=0.27,
              show_default=True)  # fmt: skip
@click.option("--runs", type=click.IntRange(1), default=5, show_default=True,
              help="How often to time everything; the median counts.")  # fmt: skip
@_options("speed", data=False)
def time_it(
    ctx: click.Context,
    width: int,
    height: int,
    bpp: float,
    runs: int,
    effort: int,
    seed: int,
    out: Path,
    fresh: bool,
) -> None:
    """Time encoding by phases, decoding, and steps of the fit, on a made picture."""
    record = _open(ctx, out, fresh)
    picture = speed.synthetic(width, height)
    timings = speed.Timings(picture, bpp, effort, seed, runs)
    rows: list[Row] = []
    for figure, measure in timings.figures.items():
        settings = {
            "picture": picture.name,
            "sha256": picture.sha256,
            "figure": figure,
            "target_bpp": bpp,
            "seed": seed,
            "runs": runs,
        } | ({"effort": effort} if figure == "encode" else {})
        with _progress(settings):
            row = record.point(settings, measure)
        if row is None:
            continue
        times = list(row["times"].items())
        rows += [
            {"figure": figure, "of": name, "unit": row["unit"], **time} for name, time in times
        ]
        if "ratio" in row:
            rows.append({"figure": figure, "of": f"{times[0][0]} / {times[1][0]}",
                         "unit": "", "median": row["ratio"]})  # fmt: skip
    record.save()
    click.echo(
        tables.markdown(
            [
                ("figure", "figure", ""),
                ("of", "of", ""),
                ("median", "median", ".3f"),
                ("least", "least", ".3f"),
                ("most", "most", ".3f"),
                ("unit", "unit", ""),
            ],
            rows,
        )
    )
    _close(record)


def _own(record: Record, picture: points.Picture, settings: Row) -> Row | None:
    with _progress(settings) as report:
        return record.point(settings, lambda: points.own(picture, settings, report))


def _other(record: Record, picture: points.Picture, codec: str, at_least: int) -> Row | None:
    settings = points.other_settings(picture, codec, at_least)
    with _progress(settings):
        return record.point(settings, lambda: points.other(picture, settings))


def _open(ctx: click.Context, out: Path, fresh: bool) -> Record:
    """The record of a command, after saying what runs on what."""
    record = Record(out, ctx.obj, fresh)
    run = record.run
    settings = {name: value for name, value in ctx.params.items()
                if name not in ("data", "out", "fresh", "images")}  # fmt: skip
    modified = ", modified" if run["modified"] else ""
    click.echo(
        f"command:  {run['command']}\n"
        f"settings: {_words(settings)}\n"
        f"machine:  {_words(run['machine'])}\n"
        f"versions: {_words(run['versions'])}\n"
        f"source:   {run['source']} (commit {run['commit'] or 'unknown'}{modified})\n"
    )
    return record


def _words(values: Row) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items() if value is not None)


def _close(record: Record) -> None:
    if record.failures:
        raise click.ClickException("\n".join(record.failures))


@contextmanager
def _progress(settings: Row) -> Iterator[Report | None]:
    """A line on the terminal about the point in work; nothing where there is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return

    def report(progress: Progress) -> None:
        show(f"{progress.phase}, {progress.share:.0%}, {progress.seconds_left:.0f} s left")

    def show(state: str) -> None:
        click.echo(f"\r\033[K{label(settings)}: {state}", nl=False, err=True)

    show("…")
    try:
        yield report
    finally:
        click.echo("\r\033[K", nl=False, err=True)


if __name__ == "__main__":
    main(prog_name="python -m eval")
