"""Values at fixed places, with an adjoint that adds in a fixed order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad


class Gathering:
    """An index (K, N) into values, and where in it each of the first values is found.

    Attributes:
        index: the index, flattened.
        shape: (K, N).
        tables: for each group of the first values a table (most, size): the places in the index
            that have a value, or the end of the index where there are fewer of them.
    """

    def __init__(self, index: Tensor, sizes: Sequence[int]) -> None:
        """`sizes` are those of the groups; values beyond all groups have no gradient."""
        self.shape, self.index = index.shape, index.flatten()
        values, order = torch.sort(self.index, stable=True)
        counts = torch.bincount(values)[: sum(sizes)]
        starts = counts.cumsum(0) - counts
        count = int(counts.sum())
        values, order = values[:count].long(), order[:count].int()
        rank = torch.arange(count, device=index.device) - starts[values]
        self.tables = []
        first, at = 0, 0
        for size in sizes:
            own = counts[first : first + size]
            stop = at + int(own.sum())
            table = torch.full((int(own.max()), size), index.numel(), device=index.device)
            table = table.int()
            table[rank[at:stop], values[at:stop] - first] = order[at:stop]
            self.tables.append(table)
            first, at = first + size, stop

    def __call__(self, values: Tensor) -> Tensor:
        """The values (B, M) at the index (B, K, N), differentiable in the grouped ones."""
        found: Tensor = _Gather.apply(values, self)  # type: ignore[no-untyped-call]
        return found


class _Gather(torch.autograd.Function):
    """`Gathering`, whose adjoint gathers, too: PyTorch's sums by index have no fixed order."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, places: Gathering) -> Tensor:
        ctx.places, ctx.count = places, values.shape[1]
        return values.index_select(1, places.index).view(-1, *places.shape)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        flat = pad(gradients[0].flatten(1), (0, 1))
        parts = [
            flat.index_select(1, table.flatten()).view(-1, *table.shape).sum(1)
            for table in ctx.places.tables
        ]
        found = torch.cat(parts, dim=1)
        return pad(found, (0, ctx.count - found.shape[1])), None
