"""What the README's tables promise: they are those of the committed results."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from eval import commands, curves, readme
from eval.store import ResultsError

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "docs" / "benchmarks.md"]
TEXT = DOCUMENTS[0].read_text(encoding="utf-8")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_documents_have_the_committed_results(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert readme.filled(text, commands.RESULTS) == text


def test_all_tables_are_in_a_document() -> None:
    texts = "".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
    for mark in ("kodak", "chest_xray", "study"):
        assert texts.count(f"<!-- {mark} -->") == 1


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


def test_a_document_without_a_mark_or_with_one_twice_is_refused() -> None:
    with pytest.raises(ResultsError, match="has no table"):
        readme.filled(TEXT.replace("<!-- kodak -->", ""), commands.RESULTS)
    with pytest.raises(ResultsError, match="2 tables marked 'kodak'"):
        readme.filled(TEXT + TEXT, commands.RESULTS)
