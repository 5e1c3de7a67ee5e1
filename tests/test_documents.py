"""What the documents promise: links that lead somewhere, and notebook pages of one form."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "notebook"
PAGES = sorted(page for page in NOTEBOOK.glob("*.md") if page.name != "README.md")
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted(NOTEBOOK.glob("*.md")),
]
SECTIONS = ["Set-up", "Result", "Conclusion"]


def prose(document):
    """The text without code, where brackets mean something else."""
    text = re.sub(r"^( *)```.*?^\1```", "", document.read_text(encoding="utf-8"), flags=re.S | re.M)
    return re.sub(r"`[^`\n]*`", "", text)


def relative_links(document):
    """Targets of links and images, inline or by reference, that have no scheme."""
    text = prose(document)
    found = re.findall(r"\]\(\s*<?([^)\s>]+)", text)
    found += re.findall(r"^ {0,3}\[[^\]]+\]:\s*<?([^\s>]+)", text, flags=re.M)
    return [link for link in found if not re.match(r"[a-z][a-z0-9+.-]*:|//", link, re.I)]


def anchors(document):
    """Fragments of a document's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.S | re.M)
    found = []
    for heading in re.findall(r"^#{1,6}\s+(.*?)\s*#*$", text, flags=re.M):
        plain = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        repeated = found.count(slug)
        found.append(f"{slug}-{repeated}" if repeated else slug)
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_to_files_and_headings_that_exist(document):
    for link in relative_links(document):
        path, _, fragment = link.partition("#")
        target = (document.parent / unquote(path)).resolve() if path else document
        assert target.is_relative_to(ROOT), f"{link} leads out of the repository"
        assert target.exists(), f"{link}: no such file"
        if fragment and target.suffix == ".md":
            assert unquote(fragment) in anchors(target), f"{link}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_a_notebook_page_has_a_date_a_question_and_three_sections(page):
    assert re.fullmatch(r"20\d\d-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])-[a-z0-9-]+", page.stem)
    headings = re.findall(r"^(#+) (.*)$", page.read_text(encoding="utf-8"), flags=re.M)
    assert [level for level, _ in headings].count("#") == 1
    assert headings[0][0] == "#"
    assert [title for level, title in headings if level == "##"] == SECTIONS


def test_the_index_of_the_notebook_lists_each_page():
    assert PAGES
    assert {page.name for page in PAGES} <= set(relative_links(NOTEBOOK / "README.md"))


def test_links_in_code_are_none_and_fragments_are_those_of_headings(tmp_path):
    document = tmp_path / "page.md"
    document.write_text(
        "# Time, rate & λ\n\n[a](other.md#b) `[b](code.md)` <https://c.org>\n"
        "[d](https://d.org)\n\n```\n[e](fence.md)\n# no heading\n```\n## Set-up\n## Set-up\n",
        encoding="utf-8",
    )
    assert relative_links(document) == ["other.md#b"]
    assert anchors(document) == ["time-rate--λ", "set-up", "set-up-1"]
