"""What a run is told by, and how tables look."""

from pathlib import Path

from eval.record import command, describe, source_hash
from eval.tables import markdown, write_csv


def test_a_run_is_described_by_command_machine_and_versions() -> None:
    described = describe(["rd", "--bpp", "1"])
    assert described["command"] == "python -m eval rd --bpp 1"
    assert "cores" in described["machine"]
    assert {"python", "torch", "inrcodec"} <= set(described["versions"])


def test_the_command_line_keeps_no_path_of_the_machine() -> None:
    given = ["rd", "--data=/home/me", "../../home/me/a.png", "/b c.png", "pictures/d.png", "--data"]
    assert command([*given, "/home/me"]) == "python -m eval rd a.png 'b c.png' pictures/d.png"


def test_the_source_hash_sees_names_and_text_of_python_files(tmp_path: Path) -> None:
    def after(name: str, text: str) -> str:
        (tmp_path / name).write_text(text)
        return source_hash(tmp_path)

    hashes = [after("a.py", "1"), after("a.py", "2"), after("b.py", "2")]
    assert len(set(hashes)) == 3
    assert after("c.txt", "3") == hashes[-1]
    assert len({source_hash(tmp_path / "a.py"), source_hash(tmp_path), hashes[0]}) == 3


def test_csv_has_the_columns_of_all_rows(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [{"codec": "a, b", "bytes": 1}, {"codec": "c", "k": None}])
    assert (tmp_path / "a.csv").read_text() == 'codec,bytes,k\n"a, b",1,\nc,,\n'


def test_markdown_shows_what_is_missing_and_what_holds() -> None:
    table = markdown([("a", "a", ".1f"), ("b", "b", "")], [{"b": True}, {"a": 1, "b": False}])
    assert table.splitlines()[2:] == ["|   – | yes |", "| 1.0 | no  |"]
