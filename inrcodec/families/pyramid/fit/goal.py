"""What a training aims at: a size or a PSNR, and pictures of prefixes."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from inrcodec.families.pyramid.settings import PrefixSettings
from inrcodec.families.pyramid.shape import Pyramid


@dataclass(frozen=True)
class PrefixGoal:
    """A prefix of a file whose picture counts too.

    Attributes:
        planes: number of planes in the prefix.
        share: largest share of the file's bytes that the prefix may take, or None for any size.
        importance: weight of a relative change of its error, 1 for one of the whole picture's.
    """

    planes: int
    share: float | None
    importance: float


@dataclass(frozen=True)
class Goal:
    """What a file is made for; one of `size` and `psnr` is not None.

    Attributes:
        size: most bytes of the file, metadata included.
        psnr: least PSNR, dB.
        prefixes: prefixes whose pictures count, ascending by their planes.
    """

    size: int | None = None
    psnr: float | None = None
    prefixes: tuple[PrefixGoal, ...] = ()

    @property
    def error(self) -> float:
        """Mean squared error of samples in [-1, 1] at the PSNR."""
        assert self.psnr is not None
        return float(4 * 10 ** (-self.psnr / 10))


def prefix_goals(network: Pyramid, settings: PrefixSettings) -> tuple[PrefixGoal, ...]:
    """The prefixes that count in a file of several sets of planes; none in one of a single set.

    >>> sets = (6, 5, 4, 3, 2, 2, 3, 2, 1, 2, 1, 0)
    >>> goals = prefix_goals(Pyramid(3, 12, 8, sets), PrefixSettings())
    >>> [(goal.planes, goal.share) for goal in goals]
    [(6, 0.24), (7, None), (9, 0.485), (10, None), (11, None)]
    """
    if len(network.sets) == 1:
        return ()
    *ends, last = itertools.accumulate(network.sets)
    between = (*(end + 1 for end in ends), last - 1)
    goals = {planes: PrefixGoal(planes, None, settings.between) for planes in between}
    targets = zip(ends, settings.targets, strict=False)
    goals |= {end: PrefixGoal(end, *target) for end, target in targets}
    return tuple(goals[planes] for planes in sorted(goals))
