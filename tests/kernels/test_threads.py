"""Kernels' threads, and decoding in the forked child of a process that has used them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from inrcodec.kernels.threads import one_thread, thread_pool

FORKED = """
import os, signal, sys, inrcodec
from PIL import Image
before, *files = sys.argv[1:]
if before != "nothing":
    inrcodec.encode(Image.linear_gradient("L").resize((48, 48)), max_bytes=500, effort=1,
                    family=before, device="cpu")
parent = [inrcodec.decode(file, device="cpu").tobytes() for file in files]
if os.fork() == 0:
    signal.alarm(30)
    os._exit(parent != [inrcodec.decode(file, device="cpu").tobytes() for file in files])
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


def in_process(code: str, *arguments: str, timeout: float = 300) -> None:
    """Run Python code in another process; on a time-out all that it started is killed."""
    paths = os.pathsep.join(filter(None, sys.path))
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "2"},
        start_new_session=True,
    )
    try:
        assert process.wait(timeout) == 0
    finally:
        if process.poll() is None:
            os.killpg(process.pid, 9)
            process.wait()


def test_a_pool_is_made_once() -> None:
    assert thread_pool(2) is thread_pool(2)
    assert list(thread_pool(2).map(abs, [-1, -2, -3])) == [1, 2, 3]


def test_threads_of_a_pool_use_one_thread_of_torch() -> None:
    import torch

    before = torch.get_num_threads()
    assert thread_pool(2).submit(torch.get_num_threads).result() == 1
    assert torch.get_num_threads() == before
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_a_pool_needs_no_torch() -> None:
    in_process(
        "import sys; from inrcodec.kernels.threads import one_thread, thread_pool\n"
        "with one_thread(): assert thread_pool(2).submit(int).result() == 0\n"
        "assert 'torch' not in sys.modules"
    )


@needs_fork
def test_a_forked_child_has_a_pool_of_its_own() -> None:
    in_process(
        "import os, sys; from inrcodec.kernels.threads import thread_pool\n"
        "thread_pool(2).submit(int).result()\n"
        "if os.fork() == 0: os._exit(thread_pool(2).submit(int, 7).result(20) != 7)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))",
        timeout=60,
    )


@needs_fork
@pytest.mark.parametrize("encoded", ["nothing", "pyramid", "siren"])
def test_a_forked_child_decodes(encoded: str) -> None:
    golden = Path(__file__).parents[1] / "golden"
    files = [str(golden / name) for name in ("rgb_pyramid_taps.prc", "rgb_identity.prc")]
    in_process(FORKED, encoded, *files)
