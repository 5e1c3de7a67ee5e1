"""What the timings promise: every effort by phases, and alternatives as ratios in one run."""

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from eval import commands


def test_speed_times_efforts_phases_and_alternatives(tmp_path: Path) -> None:
    out = tmp_path / "speed.json"
    words = ["speed", "--width", "48", "--height", "40", "--bpp", "2", "--efforts", "1",
             "--runs", "1", "--out", str(out)]  # fmt: skip
    result = CliRunner().invoke(commands.main, words)
    assert result.exit_code == 0, result.output
    content = json.loads(out.read_text())
    figures = content["figures"]
    encodings = ["siren, effort 1", "pyramid, effort 1"]
    compared = ["decode", "thumbnail", "fit step", "optimiser step", "pyramid step"]
    if torch.cuda.is_available():
        compared.append("pyramid step, GPU")
    assert list(figures) == [*encodings, *compared]
    for encoding in encodings:
        phases = {name: t["median"] for name, t in figures[encoding]["times"].items()}
        total = phases.pop("total")
        assert sum(phases.values()) == pytest.approx(total, abs=1e-3)
        assert all(seconds > 0 for seconds in phases.values())
    for figure in compared:
        first, second = (time["median"] for time in figures[figure]["times"].values())
        assert figures[figure]["ratio"] == pytest.approx(first / second, rel=0.01)
    for shown in ("machine:", "versions: python", "threads:", "autograd / kernel"):
        assert shown in result.output
    assert content["picture"] == {"width": 48, "height": 40, "bpp": 2.0, "seed": 0, "runs": 1}
    assert str(tmp_path) not in out.read_text()


@pytest.mark.parametrize("efforts", ["0", "1,x", "10", ""])
def test_efforts_that_do_not_exist_are_refused(efforts: str) -> None:
    assert CliRunner().invoke(commands.main, ["speed", "--efforts", efforts]).exit_code == 2
