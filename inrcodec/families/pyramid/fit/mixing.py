"""Files between one that is too large and one that is too small: latents of both."""

from __future__ import annotations

from inrcodec.families.pyramid.fit.draft import Draft
from inrcodec.families.pyramid.fit.problem import Array


def mix(draft: Draft, over: Array, under: Array, data: bytes, aim: float) -> bytes:
    """The largest file found within the size, with latents `over` above a place and `under` below.

    `data` is the file of `under`; `over` is too large. The search ends at `aim` times the size.
    """
    size = draft.goal.size
    assert size is not None
    low, high = 0, draft.problem.pixels
    while high - low > 1 and len(data) < aim * size:
        middle = (low + high) // 2
        _lay(draft, over, under, middle)
        mixed = draft.write(draft.problem.y)
        if len(mixed) > size:
            high = middle
        else:
            low, data = middle, max(data, mixed, key=len)
    return data


def _lay(draft: Draft, over: Array, under: Array, place: int) -> None:
    """Give the problem latents of `over` up to a pixel, counted row by row, then those of `under`.

    In each plane the border is at the same share of its latents, within a row where need be.
    """
    problem = draft.problem
    problem.y[:] = under
    for plane in problem.planes:
        latents, given = plane.inner(problem.y), plane.inner(over)
        rows, rest = divmod(place * latents.size // problem.pixels, plane.shape[1])
        latents[:rows] = given[:rows]
        latents[rows : rows + 1, :rest] = given[rows : rows + 1, :rest]


def cut(draft: Draft, aim: float) -> bytes | None:
    """The largest file found within the size after planes lose rows, the finest plane first.

    None if the coarsest plane alone is too large.
    """
    problem, size = draft.problem, draft.goal.size
    assert size is not None
    for plane in reversed(problem.planes[1:]):
        over = problem.y.copy()
        plane.view(problem.y)[:] = 0
        data = draft.write(problem.y)
        if len(data) <= size:
            return mix(draft, over, problem.y.copy(), data, aim)
    return None
