"""Compilation of a task's kernels ahead, in a process for each core.

`signatures.json` lists the kernels of each task with the types of their arguments, the slowest to
compile first; `python -m tests.kernels.record_signatures` writes it. What the list lacks is
compiled when it is first called.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO, Any

from inrcodec.kernels import cache as kernel_cache

try:
    import fcntl
except ImportError:  # Windows: processes may compile the same at the same time
    fcntl = None  # type: ignore[assignment]

LIMIT_WORKERS = 4
"""Processes that compile at the same time: with more the slowest kernel decides."""

Task = tuple[str, kernel_cache.Types]
"""A kernel, "module:name", and the types of its arguments."""

_WORKER = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from inrcodec.kernels.warm import serve; serve()"
)

_ready: set[str] = set()


@cache
def groups() -> dict[str, list[Task]]:
    """The kernels of each task."""
    text = Path(__file__).with_name("signatures.json").read_text("utf8")
    return {
        group: [(kernel, arguments) for kernel, arguments in tasks]
        for group, tasks in json.loads(text).items()
    }


def ensure(*names: str) -> None:
    """Compile the kernels of some tasks that are not on disk yet, and say so on a terminal.

    Names are those of `groups`: decode-pyramid, encode-pyramid, encode-siren. Never fails: where
    processes cannot be started or files not written, a kernel is compiled when it is called.
    """
    if _ready.issuperset(names):
        return
    _ready.update(names)
    if not _missing(names):
        return
    try:
        with _lock():
            missing = _missing(names)
            if missing:
                _compile(missing)
                kernel_cache.remove_unused()
    except (OSError, subprocess.SubprocessError, _WorkerError) as error:
        kernel_cache.warn_once(f"kernels cannot be compiled ahead: {error}")


def _missing(names: tuple[str, ...]) -> list[Task]:
    tasks = {json.dumps(task): task for name in names for task in groups().get(name, ())}
    return [task for task in tasks.values() if not _kept(*task)]


def _kept(kernel: str, arguments: kernel_cache.Types) -> bool:
    return kernel_cache.read(kernel_cache.path_of(kernel, arguments)) is not None


@contextlib.contextmanager
def _lock() -> Iterator[None]:
    """Have other processes wait that would compile the same."""
    folder = kernel_cache.folder()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / "lock").open("w") as file:
        if fcntl is not None:
            # Not where the file system has no locks.
            with contextlib.suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
        yield


class _WorkerError(Exception):
    """A worker ended early or could not keep what it compiled."""


def _compile(tasks: list[Task]) -> None:
    """Compile in other processes, each kernel in the next one that is free."""
    if not sys.executable or getattr(sys, "frozen", False):
        raise _WorkerError("no Python interpreter to start")
    count = max(1, min(_cores(), LIMIT_WORKERS, len(tasks)))
    waiting: SimpleQueue[Task] = SimpleQueue()
    for task in tasks:
        waiting.put(task)
    progress = _Progress(len(tasks))
    workers = [_start() for _ in range(count)]
    try:
        with ThreadPoolExecutor(count, "compile") as threads:
            list(threads.map(lambda worker: _feed(worker, waiting, progress), workers))
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
        progress.end()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _start() -> subprocess.Popen[str]:
    # Compiled code should not depend on the order of Python's sets.
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    paths = [os.path.abspath(path) for path in sys.path]
    return subprocess.Popen(
        [sys.executable, "-c", _WORKER, json.dumps(paths)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )


def _feed(worker: subprocess.Popen[str], waiting: SimpleQueue[Task], progress: _Progress) -> None:
    assert worker.stdin is not None and worker.stdout is not None
    while True:
        try:
            task = waiting.get_nowait()
        except Empty:
            return
        try:
            print(json.dumps(task), file=worker.stdin, flush=True)
            answer = worker.stdout.readline().strip()
            if answer != "ok":
                raise _WorkerError(answer or "the process ended early")
        except BaseException:
            # The others need not go on.
            with contextlib.suppress(Empty):
                while True:
                    waiting.get_nowait()
            raise
        progress.advance()


class _Progress:
    """A line on the terminal, if standard error is one."""

    def __init__(self, total: int) -> None:
        self._total, self._done, self._began = total, 0, time.monotonic()
        self._stream: IO[str] | None = sys.stderr
        if self._stream is None or not self._stream.isatty():
            self._stream = None
        self._show()

    def advance(self) -> None:
        """Count one more kernel."""
        self._done += 1
        self._show()

    def end(self) -> None:
        """Leave the line as it is."""
        seconds = time.monotonic() - self._began
        self._show(f", {seconds:.0f} s\n")

    def _show(self, more: str = "") -> None:
        if self._stream is not None:
            text = f"\rcompiling kernels (once) … {self._done} of {self._total}{more}"
            print(text, end="", file=self._stream, flush=True)


def serve() -> None:
    """Compile kernels from standard input, a task a line, and answer each with a line."""
    answers = sys.stdout
    # What a kernel's module may print is no answer.
    sys.stdout = sys.stderr
    for line in sys.stdin:
        print(_compile_one(*json.loads(line)), file=answers, flush=True)


def _compile_one(kernel: str, arguments: Any) -> str:
    try:
        kernel_cache.found(kernel).compile(tuple(map(kernel_cache.typed, arguments)))
        kept = _kept(kernel, arguments)
    except Exception as error:
        return f"{kernel}: {error}".replace("\n", " ")
    return "ok" if kept else f"{kernel_cache.folder()} cannot be written"


if __name__ == "__main__":
    ensure(*groups())
