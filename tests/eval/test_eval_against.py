"""What `python -m eval against` promises: one file by two versions side by side, as ratios."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from eval import against, commands


def row(before: float, after: float, bytes_after: int = 99) -> dict[str, float]:
    return {
        "bytes before": 98, "bytes after": bytes_after, "budget": 100, "dB": after - before,
        "encode before": 2.0, "encode after": 1.0, "encode ratio": 0.5,
        "decode before": 1.0, "decode after": 3.0, "decode ratio": 3.0,
    }  # fmt: skip


def test_the_summary_has_means_ratios_and_budgets() -> None:
    found = against.summary([row(30, 30.2), row(31, 31.0, bytes_after=101)])
    assert found["files"] == 2 and found["dB"] == pytest.approx(0.1)
    assert (found["encode ratio"], found["decode ratio"]) == (0.5, 3.0)
    assert (found["over budget"], found["least share"]) == (1, 0.99)


@pytest.mark.skipif(
    subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True).returncode != 0,
    reason="no git history here",
)
def test_a_commit_is_measured_against_this_checkout(tmp_path: Path) -> None:
    y, x = np.mgrid[:24, :32]
    samples = np.stack([8 * x, 8 * y, 4 * (x + y)], axis=-1).astype(np.uint8)
    (tmp_path / "set").mkdir()
    Image.fromarray(samples).save(tmp_path / "set" / "ramp.png")
    out = tmp_path / "out.json"
    words = ["against", "HEAD", "--dataset", f"{tmp_path / 'set'}:ramp.png", "--bpp", "4",
             "--effort", "1", "--out", str(out)]  # fmt: skip
    result = CliRunner().invoke(commands.main, words)
    assert result.exit_code == 0, result.output
    (measured,) = json.loads(out.read_text())["rows"]
    assert 0 < measured["bytes after"] <= measured["budget"] == 384
    assert measured["encode ratio"] > 0 and measured["psnr after"] > 20


def test_an_unknown_commit_is_refused(tmp_path: Path) -> None:
    words = ["against", "no-such-commit", "--dataset", f"{tmp_path}:x", "--out", "x.json"]
    assert CliRunner().invoke(commands.main, words).exit_code == 1
