"""What the commands of `python -m eval` promise."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from eval import __main__ as commands
from eval import points
from eval.points import Bar
from inrcodec.encoder import encode

BPP = 2.0
Count = list[float]


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "tiny.png"
    noise = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    Image.fromarray(noise).resize((48, 32), Image.Resampling.BICUBIC).save(path)
    return path


@pytest.fixture(scope="module")
def file(picture: Path) -> bytes:
    return encode(Image.open(picture), bpp=BPP, effort=1, device="cpu")


@pytest.fixture
def encodings(file: bytes, monkeypatch: pytest.MonkeyPatch) -> Count:
    """Every encoding gives the same file at once; the targets of all encodings so far."""
    targets: Count = []

    def canned(*_: object, bpp: float, **__: object) -> bytes:
        targets.append(bpp)
        return file

    monkeypatch.setattr(points, "encode", canned)
    return targets


@pytest.fixture
def bar(picture: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the bar on the tiny picture, with a gain over JPEG in dB."""

    def set_bar(gain: float) -> None:
        monkeypatch.setattr(points, "FIRST_BAR", (Bar(str(picture), BPP, gain),))

    set_bar(-50)
    return set_bar


def run(*arguments: object) -> Result:
    return CliRunner().invoke(commands.main, [str(argument) for argument in arguments])


def rows(out: Path) -> list[dict[str, Any]]:
    content = json.loads(out.read_text())
    return [point["settings"] | point["measured"] for point in content["points"]]


def assert_csv_agrees(out: Path) -> None:
    with open(out.with_suffix(".csv"), newline="") as text:
        table = list(csv.DictReader(text))
    expected = [
        {key: "" if value is None else str(value) for key, value in row.items()}
        for row in rows(out)
    ]
    assert [{k: row[k] for k in want} for row, want in zip(table, expected, strict=True)] == (
        expected
    )


def test_quality_measures_all_codecs_at_equal_or_more_bytes(bar: object, tmp_path: Path) -> None:
    out = tmp_path / "quality.json"
    result = run("quality", "--effort", 1, "--out", out)
    assert result.exit_code == 0, result.output
    own, *others = rows(out)
    assert own["codec"] == "inrcodec" and own["bpp"] <= BPP and own["effort"] == 1
    assert [row["codec"] for row in others] == list(points.OTHERS)
    assert all(row["bytes"] >= own["bytes"] for row in others)
    assert_csv_agrees(out)
    (summary,) = json.loads(out.read_text())["summary"]
    assert summary["gain"] == pytest.approx(own["psnr"] - others[0]["psnr"])
    assert summary["passed"] is True
    for shown in ("settings: effort 1, seed 0", "versions: python", "| jpeg", "MS-SSIM", "bar, dB"):
        assert shown in result.output


def test_results_hold_no_path_of_the_machine(
    bar: object, encodings: Count, tmp_path: Path, picture: Path
) -> None:
    out = tmp_path / "quality.json"
    assert run("quality", "--data", tmp_path, "--out", out).exit_code == 0
    text = out.read_text() + out.with_suffix(".csv").read_text()
    for path in (tmp_path, picture.parent, Path.home(), Path.cwd()):
        assert f"{path}/" not in text
    (run_,) = json.loads(out.read_text())["runs"]
    assert run_["command"] == "python -m eval quality --out quality.json"


def test_quality_fails_below_the_bar(
    bar: Callable[[float], None], encodings: Count, tmp_path: Path
) -> None:
    bar(50)
    result = run("quality", "--out", tmp_path / "quality.json")
    assert result.exit_code == 1
    assert "no" in result.output.splitlines()[-1]


def test_quality_fails_above_the_time(
    bar: object, encodings: Count, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(points, "BAR_SECONDS", 0.0)
    assert run("quality", "--out", tmp_path / "quality.json").exit_code == 1


def test_quality_resumes(bar: object, encodings: Count, tmp_path: Path) -> None:
    out = tmp_path / "quality.json"
    counts = []
    for options in ((), (), ("--seed", 1), ("--fresh",), ()):
        assert run("quality", "--out", out, *options).exit_code == 0
        counts.append(len(encodings))
    assert counts == [1, 1, 2, 3, 3]


def test_a_changed_picture_of_the_same_name_is_measured_again(
    bar: object, encodings: Count, tmp_path: Path
) -> None:
    out = tmp_path / "rd.json"
    path = tmp_path / "tiny.png"
    for colour in ("red", "blue"):
        Image.new("RGB", (48, 32), colour).save(path)
        assert run("rd", path, "--bpp", 1, "--out", out).exit_code == 0
    assert len(encodings) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("rd", "00870a9c", "--bpp", "0.1", "--data", "nowhere"), "is absent"),
        (("rd", "nowhere.png", "--bpp", "0.1"), "nowhere.png: No such file"),
        (("quality", "--data", "nowhere"), "is absent"),
        (("bases", "--data", "nowhere"), "is absent"),
    ],
)
def test_missing_data_is_one_line(
    arguments: tuple[str, ...],
    message: str,
    encodings: Count,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(points, "FIRST_BAR", (Bar("00870a9c", 0.1, 0.3),))
    result = run(*arguments, "--out", tmp_path / "out.json")
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ") and message in line
    assert not encodings and not (tmp_path / "out.json").exists()


def test_bases_compares_with_identity_at_equal_bytes(
    bar: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "BASES", ("identity", "sparse"))
    out = tmp_path / "bases.json"
    result = run("bases", "--effort", 1, "--compaction", 2, "--out", out)
    assert result.exit_code == 0, result.output
    identity, sparse = rows(out)
    assert (identity["compaction"], sparse["compaction"]) == (1.0, 2.0)
    assert identity["D"] == identity["k"] and sparse["D"] > sparse["k"]
    summary = json.loads(out.read_text())["summary"]
    assert summary[1]["difference"] == pytest.approx(sparse["psnr"] - identity["psnr"])
    assert_csv_agrees(out)
    for basis in ("identity", "sparse"):
        assert sum(f"| {basis} " in line for line in result.output.splitlines()) == 1


def test_bases_runs_every_basis(bar: object, encodings: Count, tmp_path: Path) -> None:
    assert run("bases", "--out", tmp_path / "bases.json").exit_code == 0
    assert len(rows(tmp_path / "bases.json")) == len(commands.BASES) == len(encodings)


def test_rd_draws_its_curves(encodings: Count, picture: Path, tmp_path: Path) -> None:
    out = tmp_path / "rd.json"
    assert run("rd", picture, "--bpp", "2,4", "--bpp", "8", "--out", out).exit_code == 0
    assert encodings == [2, 4, 8]
    assert len(rows(out)) == 3 * (1 + len(points.OTHERS))
    assert_csv_agrees(out)
    with Image.open(out.with_suffix(".png")) as plot:
        assert plot.format == "PNG" and min(plot.size) > 400


def test_rd_keeps_going_past_a_rate_out_of_reach(picture: Path, tmp_path: Path) -> None:
    out = tmp_path / "rd.json"
    result = run("rd", picture, "--bpp", "0.1,2", "--effort", 1, "--out", out)
    assert result.exit_code == 1
    assert "tiny.png inrcodec identity at 0.1 bpp: " in result.stderr
    own = [row for row in rows(out) if row["codec"] == "inrcodec"]
    assert [row["target_bpp"] for row in own] == [2]


@pytest.mark.parametrize("rates", ["x", "0.1,0", "-1", "0.1,", "nan"])
def test_rd_refuses_rates_that_cannot_be(rates: str) -> None:
    assert run("rd", "kodim15", f"--bpp={rates}").exit_code == 2


def test_a_picture_of_a_set_can_be_reduced(picture: Path) -> None:
    small = points.load(f"{picture}@24x16")
    assert (small.name, small.raster.width, small.raster.height) == ("tiny.png@24x16", 24, 16)
    assert small.sha256 != points.load(str(picture)).sha256


def test_speed_times_phases_and_alternatives(tmp_path: Path) -> None:
    out = tmp_path / "speed.json"
    arguments = ("speed", "--width", 32, "--height", 24, "--bpp", 4, "--effort", 1, "--runs", 1)
    result = run(*arguments, "--out", out)
    assert result.exit_code == 0, result.output
    figures = {row["figure"]: row for row in rows(out)}
    assert list(figures) == ["encode", "decode", "fit step", "optimiser step"]
    phases = {name: time["median"] for name, time in figures["encode"]["times"].items()}
    total = phases.pop("total")
    assert sum(phases.values()) == pytest.approx(total, abs=1e-3)
    assert phases["fit"] > 0.1 * total and all(seconds > 0 for seconds in phases.values())
    for figure in ("decode", "fit step", "optimiser step"):
        first, second = (time["median"] for time in figures[figure]["times"].values())
        assert figures[figure]["ratio"] == pytest.approx(first / second, rel=0.01)
    assert "float32 / bfloat16" in result.output
    before = out.read_text()
    assert run(*arguments, "--out", out).exit_code == 0
    assert out.read_text() == before


def test_variations_change_one_default_and_put_it_back(bar: object, tmp_path: Path) -> None:
    from eval.variations import VARIATIONS
    from inrcodec import encoder

    out = tmp_path / "variations.json"
    depth = encoder.DEPTH
    names = ("defaults", "no L2 training", "bias scale 1")
    only = [word for name in names for word in ("--only", name)]
    result = run("variations", "--effort", 1, "--out", out, *only)
    assert result.exit_code == 0, result.output
    measured = {row["variation"]: row["psnr"] for row in rows(out)}
    assert set(measured) == set(names) and len(set(measured.values())) == 3
    assert depth == encoder.DEPTH
    assert run("variations", "--only", "fewer bugs", "--out", out).exit_code != 0
    for variation in VARIATIONS[1:]:
        assert hasattr(variation.module, variation.attribute)
        assert getattr(variation.module, variation.attribute) != variation.value
