"""What the ablation promises: equal files, differences to the reference on the same images."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image

from eval import codecs, commands, study
from eval.codecs import Own
from eval.store import COLUMNS, ResultsError
from eval.variations import PARTS
from inrcodec.pranc.layout import BASES


@pytest.mark.parametrize("family", sorted(PARTS))
def test_the_study_covers_every_basis_ratio_and_part_once(family: str) -> None:
    specifications = study.specifications(2, family)
    assert len(set(specifications)) == len(specifications)
    parsed = [codecs.parse(specification) for specification in specifications]
    own = [codec for codec in parsed if isinstance(codec, Own)]
    assert own == parsed and {(codec.effort, codec.family) for codec in own} == {(2, family)}
    assert own[0].basis == "identity" and own[0].variation == "none"
    plain = [(codec.basis, codec.compaction) for codec in own[1:] if codec.variation == "none"]
    assert plain == [
        (basis, ratio) for basis in BASES if basis != "identity" for ratio in study.RATIOS
    ]
    assert [codec.variation for codec in own if codec.variation != "none"] == list(PARTS[family])


def point(codec: str, image: str, psnr: float, **other: Any) -> dict[str, str]:
    row = dict.fromkeys(COLUMNS, "1") | {
        "dataset": "kodak/2", "image": image, "codec": codec, "setting": "0.27",
        "psnr": str(psnr), "detail": json.dumps({"D": 20, "k": 10}), **other,
    }  # fmt: skip
    return {name: str(row[name]) for name in COLUMNS}


REFERENCE, SPARSE, PLAIN = (
    "inrcodec:effort=1:family=siren:basis=identity",
    "inrcodec:effort=1:family=siren:basis=sparse:compaction=2",
    "inrcodec:effort=1:family=siren:basis=identity:variation=dead-zone",
)
POINTS = [
    point(PLAIN, "c", 26),
    point(SPARSE, "a", 29), point(SPARSE, "b", 20.5), point(SPARSE, "d", 50),
    point(REFERENCE, "a", 30), point(REFERENCE, "b", 20), point(REFERENCE, "c", 25),
]  # fmt: skip


def test_differences_are_taken_on_the_same_images() -> None:
    reference, sparse, plain = study.summary(POINTS)
    assert (reference["difference"], reference["images"]) == (0, 3)
    assert reference["ratio"] == 1 and not reference["part"]
    assert (sparse["images"], sparse["psnr"], sparse["difference"]) == (2, 24.75, -0.25)
    # Two differences of -1 and 0.5: a deviation of 1.5/√2, an error of 1.5/2.
    assert sparse["error"] == pytest.approx(0.75)
    assert (sparse["basis"], sparse["ratio"], sparse["D"], sparse["k"]) == ("sparse", 2, 20, 10)
    assert (plain["part"], plain["difference"]) == ("dead-zone", 1)
    assert math.isnan(plain["error"])


def test_without_a_reference_there_is_nothing_to_compare() -> None:
    with pytest.raises(ResultsError, match="basis identity"):
        study.summary(POINTS[:4])


def test_the_report_shows_bases_and_parts(tmp_path: Path) -> None:
    with open(tmp_path / "points.csv", "w", newline="") as text:
        writer = csv.DictWriter(text, COLUMNS)
        writer.writeheader()
        writer.writerows(POINTS)
    (tmp_path / "run.json").write_text('{"kind": "study", "commands": ["python -m eval study"]}')
    result = CliRunner().invoke(commands.main, ["report", str(tmp_path)])
    assert result.exit_code == 0, result.output
    page = (tmp_path / "report.md").read_text()
    (line,) = [line for line in page.splitlines() if line.startswith("| sparse")]
    assert "-0.25" in line and "2.00" in line
    assert "| a dead zone" in page and "+1.00" in page
    assert "<table>" in (tmp_path / "report.html").read_text()
    with Image.open(tmp_path / "plots" / "kodak-2.png") as plot:
        assert min(plot.size) > 300


def test_a_folder_without_results_has_no_report(tmp_path: Path) -> None:
    result = CliRunner().invoke(commands.main, ["report", str(tmp_path)])
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert "holds no results" in line
