"""The kernels' cache: what is kept, and what happens to files that can't be used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numba import typeof, types

from inrcodec.kernels import cache

TOY = """
from toy.constants import FACTOR
from inrcodec.kernels.compile import compiled

@compiled
def scaled(x):
    return FACTOR * x

@compiled
def total(x):
    sum = 0.0
    for value in x:
        sum += scaled(value)
    return sum
"""
RUN = """
import numpy as np, toy.kernels
from inrcodec.kernels import cache
print(toy.kernels.total(np.arange(5.0)), len(cache.compiled_here))
"""


class Pair(NamedTuple):
    """Arguments that belong together."""

    count: int
    size: float


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a package of two kernels, one of which calls the other."""
    package = tmp_path / "toy"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "constants.py").write_text("FACTOR = 2.0\n")
    (package / "kernels.py").write_text(TOY)
    return tmp_path


def start(place: Path, code: str = RUN, **environment: str) -> subprocess.Popen[str]:
    paths = os.pathsep.join([str(place), *filter(None, sys.path)])
    environment = {"INRCODEC_CACHE": str(place / "cache"), **environment, "PYTHONPATH": paths}
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def run(place: Path, code: str = RUN, **environment: str) -> tuple[str, str]:
    """Standard output and error of a process."""
    process = start(place, code, **environment)
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return output.strip(), errors


def kept(place: Path) -> list[Path]:
    return sorted((place / "cache").glob("kernels-*/*.kernel"))


def test_a_kernel_is_compiled_by_the_first_process_only(place: Path) -> None:
    assert run(place) == ("20.0 1", "")
    assert run(place) == ("20.0 0", "")
    assert len(kept(place)) == 1


@pytest.mark.parametrize("damage", ["empty", "cut", "changed"])
def test_a_damaged_file_is_replaced(place: Path, damage: str) -> None:
    run(place)
    (path,) = kept(place)
    data = path.read_bytes()
    middle = len(data) // 2
    path.write_bytes(
        {"empty": b"", "cut": data[:middle], "changed": data[:middle] + b"?" + data[middle + 1 :]}[
            damage
        ]
    )
    assert run(place) == ("20.0 1", "")
    assert run(place) == ("20.0 0", "")


def test_a_change_in_a_module_that_a_kernel_imports_compiles_it_again(place: Path) -> None:
    run(place)
    (place / "toy" / "constants.py").write_text("FACTOR = 3.0\n")
    assert run(place) == ("30.0 1", "")
    assert len(kept(place)) == 2


def test_without_a_folder_to_write_to_one_line_is_logged(place: Path) -> None:
    (place / "cache").touch()
    twice = RUN + "print(toy.kernels.scaled(1.0))"
    output, errors = run(place, twice)
    assert output == "20.0 1\n2.0"
    assert len(errors.splitlines()) == 1
    assert "INRCODEC_CACHE" in errors


def test_a_full_disk_leaves_no_part_of_a_file(place: Path) -> None:
    full = "import os, errno\ndef replace(*_): raise OSError(errno.ENOSPC, 'full')\n"
    output, errors = run(place, full + "os.replace = replace\n" + RUN)
    assert output == "20.0 1"
    assert len(errors.splitlines()) == 1
    assert not kept(place)
    assert not list((place / "cache").glob("kernels-*/*.tmp"))


def test_processes_that_compile_at_the_same_time_agree(place: Path) -> None:
    processes = [start(place) for _ in range(3)]
    results = [process.communicate(timeout=300) for process in processes]
    assert all(output.startswith("20.0 ") and not errors for output, errors in results)
    assert run(place) == ("20.0 0", "")


def test_files_that_nobody_uses_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "folder", lambda: tmp_path / "kernels-0")
    old, new = tmp_path / "kernels-1" / "a.kernel", tmp_path / "kernels-2" / "b.kernel"
    for path in (old, new):
        cache.write(path, b"code")
    os.utime(old, (0, 0))
    cache.remove_unused()
    assert not old.parent.exists()
    assert cache.read(new) == b"code"


@pytest.mark.parametrize(
    "value",
    [
        1,
        1.5,
        True,
        np.uint64(3),
        np.float32(1),
        np.zeros((2, 3, 4), np.uint16)[:, 1:],
        np.frombuffer(b"ab", np.uint8),
        (np.zeros(3), 1, (2.0, 3.0)),
    ],
)
def test_the_type_of_an_argument_survives_json(value: object) -> None:
    kind = typeof(value)
    assert cache.typed(cache.described(kind)) == kind


def test_the_type_of_a_named_tuple_survives_json() -> None:
    kind = types.BaseTuple.from_types([types.int64, types.float64], Pair)
    assert cache.described(kind)[0] == "named"
    assert cache.typed(cache.described(kind)) == kind
