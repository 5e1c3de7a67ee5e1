"""What a run of the harness promises: no finished point lost or repeated, no failure silent."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from multiprocessing import forkserver
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from eval import codecs, commands, run
from eval.measure import Set
from eval.store import COLUMNS, Results, file_name, locked
from inrcodec.baselines import PillowCodec

ROOT = Path(commands.__file__).parents[1]
CODECS = ("jpeg", "webp")
POINTS = 4


@pytest.fixture(autouse=True)
def two_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for codec in CODECS:
        monkeypatch.setitem(codecs._SWEEPS, codec, [20, 40])


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index, name in enumerate(("a.png", "b.png")):
        noise = np.random.default_rng(index).integers(0, 256, (6, 8, 3), np.uint8)
        Image.fromarray(noise).resize((48, 32), Image.Resampling.BICUBIC).save(folder / name)
    return folder


def arguments(pictures: Path, out: Path, *more: object) -> list[str]:
    words = ["rd", "--dataset", pictures, "--out", out]
    if "--codecs" not in more:
        words += ["--codecs", ",".join(CODECS)]
    words += more
    return [str(word) for word in words]


def invoke(pictures: Path, out: Path, *more: object) -> Result:
    return CliRunner().invoke(commands.main, arguments(pictures, out, *more))


def table(path: Path) -> list[dict[str, Any]]:
    with open(path, newline="") as text:
        return list(csv.DictReader(text))


def test_a_run_records_every_point_with_settings_and_versions(
    pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = invoke(pictures, out, "--jobs", 2)
    assert result.exit_code == 0, result.output
    rows = table(out / "points.csv")
    assert tuple(rows[0]) == COLUMNS and len(rows) == 2 * POINTS
    for row in rows:
        data = (out / file_name(row)).read_bytes()
        assert len(data) == int(row["bytes"])
        assert float(row["bpp"]) == round(8 * len(data) / (48 * 32), 6)
        assert "Pillow" in row["version"] and "cores" in row["machine"]
        assert (row["jobs"], row["dataset"]) == ("2", "pictures")
    assert table(out / "failures.csv") == []
    run_ = json.loads((out / "run.json").read_text())
    assert run_["kind"] == "rd"
    assert run_["commands"] == [
        "python -m eval rd --dataset pictures --out out --codecs jpeg,webp --jobs 2"
    ]
    for path in (tmp_path, Path.home(), Path.cwd()):
        assert f"{path}/" not in (out / "points.csv").read_text() + json.dumps(run_)


def test_pandas_opens_the_points(pictures: Path, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    invoke(pictures, tmp_path / "out", "--images", "a.png")
    frame = pandas.read_csv(tmp_path / "out" / "points.csv")
    for column in ("bpp", "psnr", "ms_ssim", "setting", "seconds_encode"):
        assert pandas.api.types.is_numeric_dtype(frame[column])
    assert len(frame) == POINTS


def test_a_killed_run_goes_on_without_loss_or_repetition(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    monkeypatch.undo()
    total = 2 * len(codecs.parse("jpeg").settings([]))
    more = ("--codecs", "jpeg", "--jobs", 1)
    process = subprocess.Popen(
        [sys.executable, "-m", "eval", *arguments(pictures, out, *more)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not (out / "points.csv").exists() or len(table(out / "points.csv")) < 3:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = table(out / "points.csv")
    assert 3 <= len(before) < total
    result = invoke(pictures, out, *more)
    assert result.exit_code == 0, result.output
    after = table(out / "points.csv")
    assert after[: len(before)] == before
    assert len({(row["image"], row["setting"]) for row in after}) == len(after) == total


def test_a_finished_run_measures_nothing_again(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    invoke(pictures, out)
    before = (out / "points.csv").read_bytes()
    assert invoke(pictures, out).exit_code == 0
    assert (out / "points.csv").read_bytes() == before


def test_a_changed_picture_or_codec_is_measured_again_in_place(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    invoke(pictures, out)
    before = table(out / "points.csv")
    Image.new("RGB", (48, 32), "blue").save(pictures / "a.png")
    invoke(pictures, out)
    after = table(out / "points.csv")
    assert len(after) == len(before)
    for old, new in zip(before, after, strict=True):
        assert (old == new) == (new["image"] == "b.png")
    monkeypatch.setattr(PillowCodec, "version", "other")
    invoke(pictures, out)
    assert {row["version"] for row in table(out / "points.csv")} == {"other"}


def test_a_missing_codec_is_reported_and_the_rest_goes_on(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        PillowCodec, "missing", lambda self: "install it" if self.name == "webp" else None
    )
    result = invoke(pictures, tmp_path / "out")
    assert result.exit_code == 1
    assert "webp: install it" in result.stderr
    (failure,) = table(tmp_path / "out" / "failures.csv")
    assert (failure["codec"], failure["error"]) == ("webp", "install it")
    rows = table(tmp_path / "out" / "points.csv")
    assert {row["codec"] for row in rows} == {"jpeg"}
    assert len(rows) == POINTS


def test_a_corrupt_image_is_reported_and_the_rest_goes_on(pictures: Path, tmp_path: Path) -> None:
    whole = (pictures / "a.png").read_bytes()
    (pictures / "broken.png").write_bytes(whole[: len(whole) // 2])
    result = invoke(pictures, tmp_path / "out")
    assert result.exit_code == 1
    (failure,) = table(tmp_path / "out" / "failures.csv")
    assert failure["image"] == "broken.png" and failure["error"] in result.stderr
    assert len(table(tmp_path / "out" / "points.csv")) == 2 * POINTS


def test_a_point_out_of_reach_is_reported_and_the_rest_goes_on(
    pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = invoke(pictures, out, "--images", "a.png", "--codecs", "inrcodec:effort=1",
                    "--bpp", "0.1,2")  # fmt: skip
    assert result.exit_code == 1
    (failure,) = table(out / "failures.csv")
    assert (failure["codec"], failure["setting"]) == ("inrcodec:effort=1", "0.1")
    assert "too few" in failure["error"] or "cannot" in failure["error"]
    assert [row["setting"] for row in table(out / "points.csv")] == ["2"]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds processes as Linux does")
def test_a_killed_worker_ends_the_run_with_what_was_finished(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = Results(tmp_path / "out", "rd")
    monkeypatch.setitem(codecs._SWEEPS, "jpeg", list(range(10, 20)))
    tasks = run.tasks(Set(str(pictures)), ["a.png"], ["jpeg"], [])
    add, killer = Results.add, Thread(target=kill_workers, args=[ended := Event()])

    def add_the_first(self: Results, row: dict[str, Any], data: bytes) -> None:
        add(self, row, data)
        killer.start()

    monkeypatch.setattr(Results, "add", add_the_first)
    try:
        with pytest.raises(run.StoppedError, match="the same command goes on"):
            run.run(results, tasks, 1)
    finally:
        ended.set()
        killer.join()
    assert len(table(tmp_path / "out" / "points.csv")) == 1


def kill_workers(ended: Event) -> None:
    """Kill every process that works on a point, until the run has ended."""
    server = forkserver._forkserver._forkserver_pid
    while not ended.wait(0.001):
        for pid in Path(f"/proc/{server}/task/{server}/children").read_text().split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--codecs", "gif"), "known are"),
        (("--images", "c.png"), "has no c.png"),
        (("--bpp", "0.1,x"), "numbers"),
        (("--bpp", "-1"), "above 0"),
        (("--dataset", "nowhere"), "nowhere"),
    ],
)
def test_impossible_requests_are_refused_before_anything_is_written(
    pictures: Path, tmp_path: Path, more: tuple[str, str], message: str
) -> None:
    result = invoke(pictures, tmp_path / "out", *more)
    assert result.exit_code != 0
    assert message in result.stderr and "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_refused(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    invoke(pictures, out, "--images", "a.png")
    result = CliRunner().invoke(
        commands.main,
        ["study", "--dataset", str(pictures), "--bpp", "1", "--out", str(out)],
    )
    assert result.exit_code == 1 and "holds a rd" in result.stderr
    (out / "points.csv").write_text("a,b\n1,2\n")
    assert "is no table of points" in invoke(pictures, out).stderr


def test_a_second_run_in_the_same_folder_is_refused(pictures: Path, tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    out = tmp_path / "out"
    with locked(out):
        result = invoke(pictures, out)
    assert result.exit_code == 1 and "another run writes to" in result.stderr
    assert list(out.iterdir()) == []


def test_the_codecs_are_listed_with_what_they_need() -> None:
    result = CliRunner().invoke(commands.main, ["codecs"])
    assert result.exit_code == 0
    for name in codecs.NAMES:
        assert sum(line.startswith(f"{name} ") for line in result.output.splitlines()) >= 1
