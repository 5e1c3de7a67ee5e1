"""`python -m eval` says what to install where the packages of the benchmarks are missing."""

import subprocess
import sys

import pytest

BLOCKED = "import sys; sys.modules['pandas'] = None; sys.argv[1:] = {}; import runpy; "
RUN = "runpy.run_module('eval', run_name='__main__')"


@pytest.mark.parametrize(("words", "status"), [(["-h"], 0), (["rd", "-h"], 0), (["rd"], 1)])
def test_one_line_says_what_to_install(words: list[str], status: int) -> None:
    result = subprocess.run(
        [sys.executable, "-c", BLOCKED.format(words) + RUN], capture_output=True, text=True
    )
    assert result.returncode == status, result.stderr
    assert "pip install -e '.[eval]'" in result.stdout + result.stderr
    assert "Traceback" not in result.stderr
