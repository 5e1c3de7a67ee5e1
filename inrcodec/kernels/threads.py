"""Threads of kernels beside those of PyTorch."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache

import torch


@cache
def thread_pool(threads: int) -> ThreadPoolExecutor:
    """Threads in which PyTorch starts none of its own."""
    ready = threading.Barrier(threads + 1)

    def prepare() -> None:
        torch.set_num_threads(1)
        ready.wait()

    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, "kernels", initializer=prepare)
    for _ in range(threads):
        pool.submit(int)
    ready.wait()
    # The number is each thread's own, but new threads take over what was set last.
    torch.set_num_threads(before)
    return pool


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep PyTorch's own threads from waiting busily beside those of a `SirenStep`.

    It must have been made before. On two cores a step of the fit else takes twice as long.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
