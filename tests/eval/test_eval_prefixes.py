"""What the measuring of prefixes promises: every share that shows something, compared fairly."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

import inrcodec
from eval import commands, prefixes
from inrcodec.metrics import psnr


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a picture and its files at two rates, of either family."""
    folder = tmp_path_factory.mktemp("prefixes")
    (folder / "photos").mkdir()
    y, x = np.mgrid[:64, :96]
    waves = 120 + 60 * np.sin(x / 9 + y / 5) + np.random.default_rng(0).normal(0, 9, x.shape)
    Image.fromarray(waves.clip(0, 255).astype(np.uint8)).save(folder / "photos" / "waves.png")
    names = "inrcodec:effort=1:family=pyramid", "inrcodec:effort=1:family=siren"
    arguments = ["rd", "--dataset", "photos", "--codecs", ",".join(names), "--bpp", "1,2"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        result = CliRunner().invoke(commands.main, [*arguments, "--out", "out", "--jobs", "1"])
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def results(measured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the results, in a copy of the folder that is the current one."""
    shutil.copytree(measured, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "out"


def test_every_share_is_what_its_bytes_decode_to(results: Path) -> None:
    result = CliRunner().invoke(commands.main, ["prefixes", "out"])
    assert result.exit_code == 0, result.output
    with open(results / prefixes.FILE, newline="") as text:
        rows = list(csv.DictReader(text))
    assert tuple(rows[0]) == prefixes.COLUMNS
    original = np.asarray(Image.open("photos/waves.png"))
    files = {path.name: path.read_bytes() for path in results.glob("files/photos/*/*.bin")}
    assert len(files) == 4
    for family in ("pyramid", "siren"):
        name = f"inrcodec:effort=1:family={family}"
        found = [row for row in rows if (row["codec"], row["setting"]) == (name, "2")]
        data = files[f"inrcodec_effort=1_family={family}@2.bin"]
        assert found[-1]["share"] == "1" and int(found[-1]["bytes"]) == len(data)
        for row in found:
            picture = inrcodec.decode(data[: int(row["bytes"])])
            expected = psnr(np.asarray(picture)[..., None], original[..., None], 255)
            assert float(row["psnr"]) == pytest.approx(expected, abs=1e-3)
        with pytest.raises(inrcodec.FormatError):
            inrcodec.decode(data[: round((float(found[0]["share"]) - 0.05) * len(data))])
    assert (results / "plots" / "prefixes.png").stat().st_size > 5000
    assert "| files" in (results / prefixes.TABLE).read_text(encoding="utf-8")
    # Half of the file at 2 bits a pixel is as long as the one at 1.
    (line,) = [x for x in result.output.splitlines() if "pyramid |" in x and "|   2 |" in x]
    half = next(r for r in rows if (r["codec"], r["setting"], r["share"]) == (
        "inrcodec:effort=1:family=pyramid", "2", "0.5"))  # fmt: skip
    with open(results / "points.csv", newline="") as text:
        whole = next(r for r in csv.DictReader(text) if (r["codec"], r["setting"]) == (
            "inrcodec:effort=1:family=pyramid", "1"))  # fmt: skip
    behind = float(half["psnr"]) - float(whole["psnr"])
    assert abs(float(line.split("|")[6]) - behind) < 0.3


def test_progressive_files_are_compared_with_plain_ones(results: Path) -> None:
    name = "inrcodec:effort=1:family=pyramid"
    arguments = ["rd", "--dataset", "photos", "--codecs", f"{name}:progressive=1", "--bpp", "2"]
    result = CliRunner().invoke(commands.main, [*arguments, "--out", "out", "--jobs", "1"])
    assert result.exit_code == 0, result.output
    result = CliRunner().invoke(commands.main, ["prefixes", "out"])
    assert result.exit_code == 0, result.output
    (line,) = [x for x in result.output.splitlines() if "progressive 1 |" in x]
    frame = pd.read_csv(results / "points.csv").query("setting == 2").set_index("codec")
    own, plain = (frame.loc[codec, "psnr"] for codec in (f"{name}:progressive=1", name))
    assert float(line.split("|")[8]) == pytest.approx(own - plain, abs=0.1)
    file = inrcodec.open(next(results.glob("files/photos/*/*progressive*.bin")))
    assert len(file.header.network.sets) == 3


def test_it_goes_on_and_says_what_is_missing(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = prefixes.measure(results)
    done = []
    monkeypatch.setattr(prefixes, "_prefixes", lambda *_: pytest.fail("measured again"))
    assert prefixes.measure(results, report=lambda *n: done.append(n)) == first
    assert done[-1] == (4, 4)
    monkeypatch.undo()
    monkeypatch.chdir(results.parent)
    (results / prefixes.FILE).unlink()
    for path in results.glob("files/photos/*/*.bin"):
        path.unlink()
    result = CliRunner().invoke(commands.main, ["prefixes", "out"])
    assert result.exit_code == 1 and "out has no files: measure there with `rd`" in result.output
    assert CliRunner().invoke(commands.main, ["prefixes", "nowhere"]).exit_code == 1
