"""Division of a plane's rows for RDOQ in several threads, whose moves must not meet."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RdoqBands:
    """Bands of rows, one a thread, and the edges between them, which are moved separately.

    A move reads and writes up to `reach` rows around its own. Latents of two bands, or of two
    edges, are at least twice as far apart, so that the result does not depend on the order of
    threads.

    Attributes:
        height: rows of the plane.
        reach: rows that a move reads or writes, above and below.
        count: number of bands.
    """

    height: int
    reach: int
    count: int

    @staticmethod
    def of(height: int, reach: int, threads: int) -> RdoqBands:
        """As many bands as there are threads, or fewer, so that each has 4 · `reach` rows.

        >>> RdoqBands.of(height=50, reach=5, threads=8).count
        2
        """
        return RdoqBands(height, reach, max(1, min(threads, height // (4 * reach))))

    def band(self, index: int, part: int = 0, parts: int = 1) -> tuple[int, int]:
        """First row and last + 1 of a part of band `index`, without the edges.

        Without rows where there is no such band.

        >>> bands = RdoqBands(50, 5, 2)
        >>> bands.band(0), bands.edge(1), bands.band(1), bands.band(2)
        ((0, 20), (20, 30), (30, 50), (0, 0))
        """
        if index >= self.count:
            return 0, 0
        first, last = (self.height * i // self.count for i in (index, index + 1))
        first += self.reach * (index > 0)
        last -= self.reach * (index + 1 < self.count)
        start, stop = (first + max(0, last - first) * n // parts for n in (part, part + 1))
        return start, stop

    def edge(self, index: int) -> tuple[int, int]:
        """First row and last + 1 of the edge between bands `index` - 1 and `index`.

        Without rows where there is none.
        """
        if not 0 < index < self.count:
            return 0, 0
        middle = self.height * index // self.count
        return middle - self.reach, middle + self.reach
