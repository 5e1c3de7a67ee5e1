"""Measuring many points: image by image, side by side, and on from where a run was stopped."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.context import BaseContext

import torch

from datasets import DataError
from eval import codecs, measure
from eval.measure import Set, Task
from eval.record import Row, machine
from eval.store import Results
from inrcodec.errors import CodecError


class StoppedError(Exception):
    """The run ended early; what was finished is kept."""


@dataclass
class Progress:
    """How far a run is.

    Attributes:
        total: points asked for.
        done: of these, finished or failed, with those of earlier runs.
        last: the row of the last finished point, None before.
        seconds_left: estimate, None before there is one.
    """

    total: int
    done: int = 0
    last: Row | None = None
    seconds_left: float | None = None


@dataclass
class _Pace:
    """Estimates the time left from the mean time that each codec took so far."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, codec: str, seconds: float) -> None:
        self.seconds[codec].append(seconds)

    def left(self, tasks: Iterable[Task], jobs: int) -> float:
        means = {codec: sum(times) / len(times) for codec, times in self.seconds.items()}
        usual = sum(means.values()) / len(means)
        return sum(means.get(task.codec, usual) for task in tasks) / jobs


def default_jobs() -> int:
    """Points measured side by side: one for each core, but one where a GPU does the work.

    On two cores, one thread for each of two pictures encodes 1.3 to 2 times as many as two threads
    for one picture (kodim15 at 0.1 bits per pixel, efforts 1 and 2).
    """
    return 1 if torch.cuda.is_available() else os.cpu_count() or 1


def tasks(
    pictures: Set,
    images: Sequence[str],
    specifications: Sequence[str],
    rates: Sequence[float],
    lpips: bool = False,
) -> list[Task]:
    """All points, image by image."""
    parsed = [codecs.parse(specification) for specification in specifications]
    return [
        Task(pictures, image, codec.name, setting, lpips)
        for image in images
        for codec in parsed
        for setting in codec.settings(rates)
    ]


def run(
    results: Results,
    asked: Sequence[Task],
    jobs: int,
    report: Callable[[Progress], None] | None = None,
) -> None:
    """Measure the points that the results lack; failures are noted, and the rest goes on.

    Each point has a process of its own, with the cores shared out evenly.

    Raises:
        StoppedError: a process was killed, for want of memory perhaps.
        KeyboardInterrupt: as it comes, after the processes were told to stop.
    """
    threads = max(1, (os.cpu_count() or 1) // jobs)
    here = machine()
    versions = {name: codecs.parse(name).version for name in dict.fromkeys(t.codec for t in asked)}
    absent = {name: reason for name in versions if (reason := codecs.parse(name).missing())}
    results.save_failures()
    for name, reason in absent.items():
        results.failed({"codec": name, "error": reason})
    pictures = _pictures(asked, results)
    possible = [
        task for task in asked if task.codec not in absent and (task.set, task.image) in pictures
    ]

    def finished(task: Task) -> bool:
        picture, version = pictures[task.set, task.image], versions[task.codec]
        return results.has(task, {"sha256": picture, "version": version, "machine": here})

    left = [task for task in possible if not finished(task)]
    progress = Progress(len(possible), len(possible) - len(left))
    if report:
        report(progress)
    left.reverse()
    pace = _Pace()
    # One process a point: its peak memory is its own, and a variation changes nothing else.
    pool = ProcessPoolExecutor(jobs, _context(), max_tasks_per_child=1)
    running: dict[Future[tuple[Row, bytes]], tuple[Task, str, float]] = {}
    try:
        while left or running:
            while left and len(running) < jobs:
                task = left.pop()
                started = datetime.now(UTC).isoformat(timespec="seconds")
                future = pool.submit(measure.point, task, threads)
                running[future] = task, started, time.monotonic()
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                task, started, began = running.pop(future)
                pace.add(task.codec, time.monotonic() - began)
                progress.done += 1
                try:
                    row, data = future.result()
                except BrokenProcessPool as error:
                    raise StoppedError(
                        f"a process was killed at {_words(task)}, for want of memory perhaps: "
                        "the same command goes on from here, with fewer --jobs"
                    ) from error
                # A benchmark of other people's codecs must outlive whatever they raise.
                except Exception as error:
                    results.failed(_failure(task, error))
                else:
                    made = {"version": versions[task.codec], "machine": here, "threads": threads,
                            "jobs": jobs, "started": started}  # fmt: skip
                    results.add(row | made, data)
                    progress.last = row
                progress.seconds_left = pace.left(
                    [*left, *(t for t, _, _ in running.values())], jobs
                )
                if report:
                    report(progress)
    finally:
        # Without waiting, the thread that minds a broken pool would trip over what is gone.
        pool.shutdown(cancel_futures=True)


def _context() -> BaseContext:
    """How processes are made: as forks of one that has loaded all that they need, where it can."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["eval.measure"])
    return context


def _pictures(asked: Sequence[Task], results: Results) -> dict[tuple[Set, str], str]:
    """Fingerprints of the pictures that can be read; the others are noted, once each."""
    found = {}
    for task in {(task.set, task.image): task for task in asked}.values():
        try:
            found[task.set, task.image] = measure.short_fingerprint(task.set.load(task.image))
        except (CodecError, DataError) as error:
            results.failed(
                {"dataset": task.set.name, "image": task.image, "error": _message(error)}
            )
    return found


def _failure(task: Task, error: Exception) -> Row:
    return {
        "dataset": task.set.name,
        "image": task.image,
        "codec": task.codec,
        "setting": f"{task.setting:g}",
        "error": _message(error),
    }


def _message(error: Exception) -> str:
    """One line; the project's own errors say all, others need their type."""
    message = " ".join(str(error).split())
    known = isinstance(error, CodecError | DataError)
    return message if known else f"{type(error).__name__}: {message}"


def _words(task: Task) -> str:
    return f"{task.image}, {task.codec} at {task.setting:g}"
