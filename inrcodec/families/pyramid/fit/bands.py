"""Work that threads share: each takes its own band of rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from inrcodec.kernels.threads import thread_pool

T = TypeVar("T")


@dataclass(frozen=True)
class Bands:
    """A division of rows into one band a thread.

    >>> Bands(2).of(5, 0), Bands(2).of(5, 1)
    ((0, 2), (2, 5))

    Attributes:
        threads: number of threads.
    """

    threads: int

    def of(self, count: int, index: int) -> tuple[int, int]:
        """First row, and last row + 1, of band `index` of `count` rows."""
        return band(count, index, self.threads)

    def run(self, work: Callable[[int], T]) -> list[T]:
        """Results of `work(index)`, called in every thread with its index; waits for all."""
        if self.threads == 1:
            return [work(0)]
        pool = thread_pool(self.threads)
        others = [pool.submit(work, index) for index in range(1, self.threads)]
        return [work(0), *(other.result() for other in others)]


def band(count: int, index: int, bands: int) -> tuple[int, int]:
    """First row, and last row + 1, of band `index` where `count` rows form so many `bands`."""
    return count * index // bands, count * (index + 1) // bands
