"""Threads of kernels beside those of PyTorch.

They belong to the process that started them: a forked child has none of them and starts its own.
PyTorch is left alone where it is not loaded, as in decoding.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any


def thread_pool(threads: int) -> ThreadPoolExecutor:
    """This process's pool of so many threads, in which PyTorch starts none of its own."""
    return _thread_pool(threads, _torch() is not None)


def _torch() -> Any:
    return sys.modules.get("torch")


@cache
def _thread_pool(threads: int, beside_torch: bool) -> ThreadPoolExecutor:
    if not beside_torch:
        return ThreadPoolExecutor(threads, "kernels")
    torch = _torch()
    ready = threading.Barrier(threads + 1)

    def prepare() -> None:
        # A thread's first question sets its number to the process's, so ask before setting it.
        torch.get_num_threads()
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


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_thread_pool.cache_clear)


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep PyTorch's own threads from waiting busily beside those of a `SirenStep`.

    It must have been made before. On two cores a step of the fit else takes twice as long.
    """
    torch = _torch()
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
