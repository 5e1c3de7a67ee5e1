"""What the results files of eval promise."""

import json
from pathlib import Path

import pytest

from eval import record
from eval.record import Record, RecordError, Row, command, source_hash
from eval.tables import markdown, write_csv
from inrcodec.errors import TargetError


class Measure:
    """Counts how often it is called."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> Row:
        self.calls += 1
        return {"bytes": 10, "psnr": float("inf")}


def points(path: Path, *targets: float, fresh: bool = False) -> int:
    """Ask for points in a run of their own; how many of them are measured."""
    measure = Measure()
    file = Record(path, ["quality"], fresh)
    for target in targets:
        assert file.point({"target_bpp": target}, measure)
    return measure.calls


def test_finished_points_are_not_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    assert points(path, 0.1, 0.2) == 2
    assert points(path, 0.2, 0.1, 0.3) == 1
    assert points(path, 0.1, fresh=True) == 1
    assert points(path, 0.2) == 1, "fresh drops what was there"


@pytest.mark.parametrize("what", ["source", "machine", "versions"])
def test_points_of_another_source_or_machine_are_measured_again(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    points(path, 0.1, 0.2)
    describe = record.describe
    monkeypatch.setattr(record, "describe", lambda a: describe(a) | {what: "another"})
    assert points(path, 0.1) == 1
    content = json.loads(path.read_text())
    assert [point["settings"] for point in content["points"]] == [{"target_bpp": 0.1}]
    assert [run[what] for run in content["runs"]] == ["another"]


def test_each_point_is_on_disk_before_the_next_is_measured(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "a.json"

    def interrupted() -> Row:
        raise KeyboardInterrupt

    file = Record(path, ["quality"], fresh=False)
    file.point({"target_bpp": 0.1}, Measure())
    with pytest.raises(KeyboardInterrupt):
        file.point({"target_bpp": 0.2}, interrupted)
    assert points(path, 0.1, 0.2) == 1
    assert [file.name for file in path.parent.iterdir()] == ["a.json"]


def test_a_point_names_the_run_that_measured_it(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for arguments, target in ((["quality"], 0.1), (["quality", "--effort", "3"], 0.2)):
        Record(path, arguments, fresh=False).point({"target_bpp": target}, Measure())
    content = json.loads(path.read_text())
    commands = [content["runs"][point["run"]]["command"] for point in content["points"]]
    assert commands == ["python -m eval quality", "python -m eval quality --effort 3"]
    assert set(content["runs"][0]) == {
        "command", "started", "commit", "modified", "source", "machine", "versions",
    }  # fmt: skip


def test_a_point_out_of_reach_is_a_failure_and_not_a_point(tmp_path: Path) -> None:
    def unreachable() -> Row:
        raise TargetError("3 bytes are too few")

    file = Record(tmp_path / "a.json", ["rd"], fresh=False)
    assert file.point({"picture": "a.png", "target_bpp": 0.01}, unreachable) is None
    assert file.failures == ["a.png at 0.01 bpp: 3 bytes are too few"]
    assert file.rows == []


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"points": [{}], "runs": []}'])
def test_another_file_is_not_overwritten(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(RecordError, match="not a results file"):
        Record(path, ["quality"], fresh=False)
    assert path.read_text() == text


def test_results_are_strict_json(tmp_path: Path) -> None:
    points(tmp_path / "a.json", 0.1)
    assert json.loads((tmp_path / "a.json").read_text())["points"][0]["measured"]["psnr"] is None


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


def test_csv_has_the_columns_of_all_rows(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [{"codec": "a, b", "bytes": 1}, {"codec": "c", "k": None}])
    assert (tmp_path / "a.csv").read_text() == 'codec,bytes,k\n"a, b",1,\nc,,\n'


def test_markdown_shows_what_is_missing_and_what_holds() -> None:
    table = markdown([("a", "a", ".1f"), ("b", "b", "")], [{"b": True}, {"a": 1, "b": False}])
    assert table.splitlines()[2:] == ["|   – | yes |", "| 1.0 | no  |"]
