"""Coefficients trained a window at a time, where all at once take too long (PRANC, 2022).

In a window, θ = θ' + S·B_w·α_w: only the coefficients α_w are trained, with their basis networks
B_w, and θ' holds what all other coefficients make.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from inrcodec.pranc.reparametrization import Reparametrization


def window_bounds(k: int, size: int) -> list[tuple[int, int]]:
    """Bounds of windows of `size` coefficients of k; the last window may be smaller.

    >>> window_bounds(10, 4)
    [(0, 4), (4, 8), (8, 10)]

    Raises ValueError for a size below 1.
    """
    if size < 1:
        raise ValueError(f"a window of {size} coefficients; it has at least 1")
    return [(start, min(start + size, k)) for start in range(0, k, size)]


class AlphaWindow:
    """A window of the coefficients of all blocks, which count one block after another.

    Attributes:
        alphas: the trained coefficients of each block that the window reaches, leaves with
            gradients, for an optimizer.

    >>> from torch import nn
    >>> pranc = Reparametrization(nn.Linear(8, 9), seed=7, basis="dense", compaction=128, whole=())
    >>> window = AlphaWindow(pranc, pranc.zeros(), 10, 30)
    >>> [len(alpha) for alpha in window.alphas]
    [20]
    >>> y = torch.func.functional_call(pranc.module, window.parameters(), torch.ones(1, 8))
    >>> y.square().sum().backward()
    >>> window.alphas[0].grad.shape
    torch.Size([20])
    """

    def __init__(
        self, pranc: Reparametrization, alphas: Sequence[Tensor], start: int, stop: int
    ) -> None:
        """The coefficients from `start` to `stop` - 1 of all; `alphas` are those of each block.

        Raises ValueError unless 0 ≤ start < stop ≤ k, and as `Reparametrization.matrices`.
        """
        if not 0 <= start < stop <= pranc.k:
            raise ValueError(f"no window from {start} to {stop} of {pranc.k} coefficients")
        self._pranc = pranc
        self._all = [alpha.detach().clone() for alpha in alphas]
        self._bounds: dict[int, tuple[int, int]] = {}
        first, rest = 0, []
        for index, (block, alpha) in enumerate(zip(pranc.blocks, self._all, strict=True)):
            bounds = max(0, start - first), min(block.basis.k, stop - first)
            first += block.basis.k
            rest.append(alpha)
            if bounds[0] < bounds[1]:
                self._bounds[index] = bounds
                rest[-1] = alpha.clone()
                rest[-1][slice(*bounds)] = 0
        self.alphas = [
            self._all[index][slice(*bounds)].clone().requires_grad_()
            for index, bounds in self._bounds.items()
        ]
        self._bases = [
            pranc.blocks[index].basis.window(*bounds) for index, bounds in self._bounds.items()
        ]
        with torch.no_grad():
            self._rest = pranc.matrices(rest)

    def parameters(self) -> dict[str, Tensor]:
        """The module's parameters by name, differentiable by `alphas`."""
        matrices = list(self._rest)
        for index, basis, alpha in zip(self._bounds, self._bases, self.alphas, strict=True):
            block = self._pranc.blocks[index]
            change = basis.expand(alpha).reshape(block.rows, block.cols)
            matrices[index] = matrices[index] + block.scale * change
        return self._pranc.named(matrices)

    def merged(self) -> list[Tensor]:
        """The coefficients (k,) of each block, with those of the window as they are now."""
        merged = [alpha.clone() for alpha in self._all]
        for (index, bounds), alpha in zip(self._bounds.items(), self.alphas, strict=True):
            merged[index][slice(*bounds)] = alpha.detach()
        return merged
