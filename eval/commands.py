"""The commands of `python -m eval`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import torch

from datasets import DataError
from eval import against, codecs, prefixes, readme, report, run, speed, study, tables
from eval.codecs import SpecificationError
from eval.measure import Set, Task
from eval.record import Row, describe
from eval.store import Results, ResultsError, locked, read_run
from eval.variations import PARTS
from inrcodec.errors import CodecError
from inrcodec.files import write_atomically
from inrcodec.job import DEFAULT_EFFORT, EFFORTS

RESULTS = Path(__file__).parent / "results"


class _Group(click.Group):
    """Keeps the command line for the results, and gives errors in one line."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.obj = list(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (
            CodecError,
            DataError,
            ResultsError,
            SpecificationError,
            run.StoppedError,
            OSError,
        ) as error:
            raise click.ClickException(" ".join(str(error).split())) from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measure rate, distortion and speed."""


def _rates(ctx: click.Context, parameter: click.Parameter, values: Sequence[str]) -> list[float]:
    try:
        rates = [float(part) for value in values for part in value.split(",")]
    except ValueError as error:
        raise click.BadParameter("numbers, as in --bpp 0.1,0.2,0.4") from error
    if not all(0 < rate < 100 for rate in rates):
        raise click.BadParameter("above 0 and below 100")
    return rates


def _words(ctx: click.Context, parameter: click.Parameter, values: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(part for value in values for part in value.split(",") if part))


def _measuring(command: Callable[..., None]) -> Callable[..., None]:
    """The options of the commands that measure points."""
    options = [
        click.option("--dataset", required=True, metavar="NAME|DIR",
                     help="kodak, chest_xray, or a folder of images."),
        click.option("--images", multiple=True, callback=_words, metavar="NAME,…",
                     help="Names of images; all by default."),
        click.option("--reduce", type=click.IntRange(1, 64), default=1, show_default=True,
                     help="Reduce the images by this factor first."),
        click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True,
                     metavar="DIR", help="Folder of the results; a run there goes on."),
        click.option("--data", type=click.Path(file_okay=False), metavar="DIR",
                     help="Folder with a copy of the data sets, instead of the network."),
        click.option("--jobs", type=click.IntRange(1, 1024),
                     help="Points measured side by side.  [default: one a core, with a GPU one]"),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return click.pass_context(command)


@main.command()
@_measuring
@click.option("--codecs", "specifications", multiple=True, callback=_words, metavar="NAME,…",
              default=["inrcodec,jpeg,webp,avif"], show_default=True,
              help="As `python -m eval codecs` lists them.")  # fmt: skip
@click.option("--bpp", multiple=True, callback=_rates, default=["0.05,0.1,0.2,0.4"],
              show_default=True, help="Rates of the codecs that aim at one.")  # fmt: skip
@click.option("--lpips", is_flag=True, help="Measure LPIPS too; needs the package lpips.")
def rd(
    ctx: click.Context,
    dataset: str,
    images: list[str],
    reduce: int,
    out: Path,
    data: str | None,
    jobs: int | None,
    specifications: list[str],
    bpp: list[float],
    lpips: bool,
) -> None:
    """Measure rate-distortion curves. What is finished in --out is not measured again."""
    pictures = Set(dataset, data, reduce)
    tasks = run.tasks(pictures, _chosen(pictures, images), specifications, bpp, lpips)
    _measure(ctx, out, "rd", tasks, jobs)


@main.command(name="study")
@_measuring
@click.option("--bpp", type=click.FloatRange(0, 100, min_open=True), required=True,
              help="The rate of all files.")  # fmt: skip
@click.option("--effort", type=click.IntRange(1, 9), default=DEFAULT_EFFORT, show_default=True,
              help="How long to fit.")  # fmt: skip
@click.option("--family", type=click.Choice(sorted(PARTS)), default="siren", show_default=True,
              help="Whose parts.")  # fmt: skip
def ablation(
    ctx: click.Context,
    dataset: str,
    images: list[str],
    reduce: int,
    out: Path,
    data: str | None,
    jobs: int | None,
    bpp: float,
    effort: int,
    family: str,
) -> None:
    """Compare bases, compaction ratios and the parts of the codec at equal file size."""
    pictures = Set(dataset, data, reduce)
    compared = study.specifications(effort, family)
    tasks = run.tasks(pictures, _chosen(pictures, images), compared, [bpp])
    _measure(ctx, out, "study", tasks, jobs)


def _chosen(pictures: Set, images: list[str]) -> list[str]:
    """All images of a set, or those asked for."""
    if unknown := set(images) - set(pictures.images):
        raise click.BadParameter(
            f"{pictures.name} has no {', '.join(sorted(unknown))}", param_hint="--images"
        )
    return images or list(pictures.images)


def _measure(ctx: click.Context, out: Path, kind: str, tasks: list[Task], jobs: int | None) -> None:
    jobs = jobs or run.default_jobs()
    described = describe(ctx.obj)
    with locked(out):
        results = Results(out, kind)
        click.echo(_about(described) + f"\njobs:     {jobs}")
        results.began(described["command"])
        with _progress() as report:
            run.run(results, tasks, jobs, report)
    click.echo(f"{len(results.points)} points in {out / 'points.csv'}")
    if results.failures:
        raise click.ClickException(
            "\n".join([f"{len(results.failures)} failures:", *map(_failure, results.failures)])
        )


def _failure(row: Row) -> str:
    names = ("dataset", "image", "codec", "setting")
    return " ".join(str(row[name]) for name in names if name in row) + f": {row['error']}"


def _about(described: Row) -> str:
    modified = ", modified" if described["modified"] else ""
    versions = ", ".join(f"{name} {number}" for name, number in described["versions"].items())
    return (
        f"command:  {described['command']}\n"
        f"machine:  {described['machine']}\n"
        f"versions: {versions}\n"
        f"source:   {described['source']} (commit {described['commit'] or 'unknown'}{modified})"
    )


@contextmanager
def _progress() -> Iterator[Callable[[run.Progress], None] | None]:
    """A line on the terminal; nothing where there is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return

    def show(progress: run.Progress) -> None:
        left = progress.seconds_left
        time = "" if left is None else f", {left / 60:.0f} min left"
        last = progress.last
        point = "" if last is None else (
            f"; {last['image']} {last['codec']} {last['bpp']:.3f} bpp {last['psnr']:.2f} dB"
        )  # fmt: skip
        line = f"{progress.done}/{progress.total} points{time}{point}"
        click.echo(f"\r\033[K{line}", nl=False, err=True)

    try:
        yield show
    finally:
        click.echo("\r\033[K", nl=False, err=True)


@main.command(name="report")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), metavar="DIR")
@click.option("--data", type=click.Path(file_okay=False), metavar="DIR",
              help="Folder of the data sets, for the crops.")  # fmt: skip
def write_report(folder: Path, data: str | None) -> None:
    """Write report.html, report.md and plots into a folder of results."""
    kind = read_run(folder)["kind"]
    written = study.write(folder) if kind == "study" else report.write(folder, data)
    for path in written:
        click.echo(path)


@main.command(name="prefixes")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), metavar="DIR")
@click.option("--data", type=click.Path(file_okay=False), metavar="DIR",
              help="Folder with a copy of the data sets, instead of the network.")  # fmt: skip
def decode_prefixes(folder: Path, data: str | None) -> None:
    """PSNR of the first 5, 10, … % of inrcodec's files in a folder of `rd`."""

    def show(done: int, total: int) -> None:
        click.echo(f"\r\033[K{done}/{total} files", nl=done == total, err=True)

    with locked(folder):
        rows = prefixes.measure(folder, data, show if sys.stderr.isatty() else None)
        table, path = prefixes.write(folder, rows)
    shares = ", ".join(f"{share:.0%}" for share in prefixes.SHOWN)
    click.echo(f"PSNR minus that of files as long as {shares} of the bytes:\n\n{table}\n\n{path}")


@main.command(name="readme")
@click.argument("paths", type=click.Path(dir_okay=False, path_type=Path), nargs=-1)
def fill_readme(paths: tuple[Path, ...]) -> None:
    """Put the tables of the committed results into README.md and docs/benchmarks.md, or other files
    with their marks."""
    root = RESULTS.parents[1]
    for path in paths or (root / "README.md", root / "docs" / "benchmarks.md"):
        text = readme.filled(path.read_text(encoding="utf-8"), RESULTS)
        write_atomically(path, text.encode())


def _efforts(ctx: click.Context, parameter: click.Parameter, value: str) -> list[int]:
    words = value.split(",")
    if not all(word.isdigit() and int(word) in EFFORTS for word in words):
        raise click.BadParameter(f"numbers from 1 to {max(EFFORTS)}, as in 1,2,3")
    return [int(word) for word in words]


@main.command(name="speed")
@click.option("--width", type=click.IntRange(1, 65535), default=384, show_default=True)
@click.option("--height", type=click.IntRange(1, 65535), default=256, show_default=True)
@click.option("--bpp", type=click.FloatRange(0, 100, min_open=True), default=0.27,
              show_default=True)  # fmt: skip
@click.option("--efforts", default="1,2,3", show_default=True, callback=_efforts)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
@click.option("--runs", type=click.IntRange(1), default=3, show_default=True,
              help="How often to time everything; the median counts.")  # fmt: skip
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path),
              default=RESULTS / "speed.json", show_default="eval/results/speed.json")  # fmt: skip
@click.pass_context
def time_it(
    ctx: click.Context,
    width: int,
    height: int,
    bpp: float,
    efforts: list[int],
    seed: int,
    runs: int,
    out: Path,
) -> None:
    """Time encoding by effort and phase, decoding, and steps of the fit, on a made picture."""
    described = describe(ctx.obj)
    click.echo(_about(described) + f"\nthreads:  {torch.get_num_threads()}\n")
    timings = speed.Timings(speed.synthetic(width, height), bpp, efforts, seed, runs)
    measured = {figure: measure() for figure, measure in timings.figures.items()}
    rows: list[Row] = []
    for figure, row in measured.items():
        times = list(row["times"].items())
        rows += [
            {"figure": figure, "of": name, "unit": row["unit"], **time} for name, time in times
        ]
        if "ratio" in row:
            rows.append({"figure": figure, "of": f"{times[0][0]} / {times[1][0]}",
                         "unit": "", "median": row["ratio"]})  # fmt: skip
    picture = {"width": width, "height": height, "bpp": bpp, "seed": seed, "runs": runs}
    content = {"run": described, "picture": picture, "figures": measured}
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, (json.dumps(content, indent=1) + "\n").encode())
    columns = [("figure", "figure", ""), ("of", "of", "")]
    columns += [(name, name, ".3f") for name in ("median", "least", "most")]
    columns.append(("unit", "unit", ""))
    click.echo(tables.markdown(columns, rows))


@main.command(name="against")
@click.argument("commit")
@click.option(
    "--dataset",
    "chosen",
    required=True,
    multiple=True,
    metavar="NAME[/N]:IMAGE,…",
    help="Pictures, such as kodak/2:kodim05,kodim13 at half size; may be repeated.",
)
@click.option("--bpp", multiple=True, callback=_rates, default=["0.15,0.3"], show_default=True)
@click.option("--effort", type=click.IntRange(1, 9), default=2, show_default=True)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
@click.option(
    "--data",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Folder with a copy of the data sets, instead of the network.",
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True,
              metavar="FILE.json")  # fmt: skip
@click.pass_context
def compare_with_commit(
    ctx: click.Context,
    commit: str,
    chosen: Sequence[str],
    bpp: list[float],
    effort: int,
    seed: int,
    data: str | None,
    out: Path,
) -> None:
    """Compare this checkout with an earlier COMMIT: the same files by both, side by side."""
    pictures = []
    for words in chosen:
        name, _, images = words.rpartition(":")
        whole, _, factor = name.rpartition("/")
        loaded = Set(whole, data, int(factor)) if factor.isdigit() else Set(name, data)
        pictures += [(image, loaded.load(image)) for image in images.split(",") if image]
    described = describe(ctx.obj)
    click.echo(_about(described))
    rows: list[Row] = []
    with against.versions(commit) as both:
        for row in against.measure(pictures, bpp, (effort, seed), both):
            rows.append(row)
            ratios = f"encode x{row['encode ratio']:.3f}, decode x{row['decode ratio']:.3f}"
            click.echo(f"{row['image']} at {row['bpp']:g}: {row['dB']:+.3f} dB, {ratios}")
    content = {"run": described, "commit": commit, "rows": rows, "summary": against.summary(rows)}
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, (json.dumps(content, indent=1) + "\n").encode())
    click.echo(json.dumps(content["summary"], indent=1))


@main.command(name="codecs")
def list_codecs() -> None:
    """List the codecs, and whether this machine has them."""
    for name in codecs.NAMES:
        codec = codecs.parse(name)
        click.echo(f"{name:<9} {codec.missing() or codec.version}")
    options = "effort=2:family=siren:seed=0:basis=identity:compaction=1.25:device=auto"
    options += ":order=none"
    click.echo(f"\nOptions: inrcodec:{options}")
    click.echo("         coin:effort=2:seed=0")
