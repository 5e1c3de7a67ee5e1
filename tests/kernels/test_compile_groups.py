"""Compilation ahead of a task: in other processes, all that it needs and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import record_signatures

from inrcodec.kernels import warm

SIREN = """
import sys
from inrcodec.kernels import cache, compile
if "broken" in sys.argv: sys.executable = "/nonexistent/python"
compile.ensure("encode-siren")
import numpy as np
from inrcodec.families.siren.kernels import elementwise
a = np.ones((2, 3), np.float32)
elementwise.through_sine(a, a)
print(len(cache.compiled_here))
"""

PYRAMID = """
import hashlib, inrcodec, sys
sys.path.append("tests/kernels")
from record_signatures import photograph
from inrcodec.kernels import cache, compile
if "alone" in sys.argv: compile.ensure = lambda *names: None
if "decode" in sys.argv: inrcodec.decode("tests/golden/rgb_pyramid_taps.prc")
data = inrcodec.encode(photograph(48, "RGB"), max_bytes=600, effort=1, family="pyramid")
print(hashlib.sha256(data).hexdigest())
"""


def command(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", code, *arguments]


def environment(folder: Path) -> dict[str, str]:
    paths = os.pathsep.join(filter(None, sys.path))
    return {**os.environ, "PYTHONPATH": paths, "INRCODEC_CACHE": str(folder)}


def run(folder: Path, code: str, *arguments: str) -> tuple[str, str]:
    """Standard output and error of a process."""
    result = subprocess.run(
        command(code, *arguments),
        capture_output=True,
        text=True,
        env=environment(folder),
        timeout=900,
        check=True,
    )
    return result.stdout.strip(), result.stderr


@pytest.mark.parametrize("task", record_signatures.TASKS)
def test_the_kernels_of_a_task_are_known_ahead(task: str) -> None:
    # Else run `python tests/kernels/record_signatures.py`.
    known = {json.dumps(kernel) for kernel in warm.groups()[task]}
    assert known == {json.dumps(kernel) for kernel in record_signatures.used(task)}


def test_the_process_that_asks_compiles_nothing_itself(tmp_path: Path) -> None:
    # Nor does it write to a standard error that is no terminal.
    assert run(tmp_path, SIREN) == ("0", "")
    files = list(tmp_path.glob("kernels-*/*.kernel"))
    assert len(files) == len(warm.groups()["encode-siren"])


def test_two_processes_share_the_work(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            command(SIREN), stdout=subprocess.PIPE, text=True, env=environment(tmp_path)
        )
        for _ in range(2)
    ]
    assert [process.communicate(timeout=300)[0].strip() for process in processes] == ["0", "0"]


def test_where_no_process_can_be_started_one_line_is_logged(tmp_path: Path) -> None:
    output, errors = run(tmp_path, SIREN, "broken")
    assert output == "1"
    assert len(errors.splitlines()) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_a_terminal_shows_progress(tmp_path: Path) -> None:
    import pty

    terminal, end = pty.openpty()
    process = subprocess.Popen(command(SIREN), stderr=end, env=environment(tmp_path))
    os.close(end)
    shown = b""
    try:
        while part := os.read(terminal, 4096):
            shown += part
    except OSError:  # Linux says so at the end
        pass
    assert process.wait(timeout=300) == 0
    assert shown.startswith("\rcompiling kernels (once) … 0 of 5\r".encode())
    assert shown.endswith(b" s\r\n")


@pytest.mark.slow
def test_all_processes_write_the_same_bytes(tmp_path: Path) -> None:
    # One that compiles for itself, one that loads, one that compiles ahead, one that decodes first.
    ways = [("a", "alone"), ("a", ""), ("b", ""), ("b", "decode")]
    files = {run(tmp_path / folder, PYRAMID, way)[0] for folder, way in ways}
    assert len(files) == 1
