"""What the README's tables promise: they are those of the committed results."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from eval import __main__ as commands
from eval import curves, readme
from eval.store import ResultsError

README = Path(__file__).parents[2] / "README.md"
TEXT = README.read_text(encoding="utf-8")


def test_the_readme_has_the_committed_results() -> None:
    assert readme.filled(TEXT, commands.RESULTS) == TEXT


def test_the_command_restores_a_figure(tmp_path: Path) -> None:
    spoiled = re.sub(r"\+\d\.\d\d \(", "+9.99 (", TEXT, count=1)
    assert spoiled != TEXT
    path = tmp_path / "README.md"
    path.write_text(spoiled, encoding="utf-8")
    result = CliRunner().invoke(commands.main, ["readme", str(path)])
    assert result.exit_code == 0, result.output
    assert path.read_text(encoding="utf-8") == TEXT


def test_a_cell_is_the_mean_over_the_images_that_both_codecs_have() -> None:
    points = curves.read(commands.RESULTS / "kodak" / "points.csv")
    found = curves.differences(points, "inrcodec", "avif", "psnr")
    chosen = found.loc[found["setting"] == 0.3, "difference"].dropna()
    cell = f"{chosen.mean():+.2f} ({(chosen > 0).sum()} of {len(chosen)})"
    (row,) = [line for line in TEXT.splitlines() if line.startswith("| AVIF")][:1]
    assert row.split("|")[4].strip() == cell


@pytest.mark.parametrize("mark", ["<!-- differences -->", "<!-- study -->"])
def test_a_readme_without_a_mark_is_refused(mark: str) -> None:
    with pytest.raises(ResultsError, match="it must have one"):
        readme.filled(TEXT.replace(mark, ""), commands.RESULTS)
