"""The differentiable counter of L² (Shi et al. 2023): a histogram with a gradient, and its bits.

The step at the boundary of two bins is replaced by the distribution function of a kernel, whose
half width is `resolution` bins. A value near a boundary counts in part on either side.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

KERNELS: dict[str, Callable[[Tensor], Tensor]] = {
    "cosine": lambda t: (1 + torch.sin(t * (math.pi / 2))) / 2,
    "triangle": lambda t: 0.5 + t - 0.5 * t * t.abs(),
    "linear": lambda t: (1 + t) / 2,
}
"""The kernels' distribution functions on [-1, 1]: cosine, triangular and uniform density."""

DEFAULT_KERNEL = "cosine"

DEFAULT_RESOLUTION = 0.25
"""Half width of the kernel, bins; at 0.25 the entropy of 1,500 values with a deviation of one bin
or more is within 2 % of the hard histogram's, at 0.5 within 3 to 6 %
(tests/l2/test_counter.py)."""

SAMPLE = 1 << 14
"""Values of a group that get a gradient at a time; groups of more are sampled."""


def histogram(
    symbols: Tensor, kernel: str = DEFAULT_KERNEL, resolution: float = DEFAULT_RESOLUTION
) -> tuple[Tensor, int]:
    """Counts (bins,) of real-valued symbols in bins around integers, and the first bin's integer.

    The counts are differentiable and sum to the number of symbols. `resolution` is the half width
    of the kernel in bins, above 0 to 1/2.

    Raises:
        ValueError: an unknown kernel, or a resolution outside its range.

    >>> histogram(torch.tensor([0.0, 0.25, 1.0]), "linear", resolution=0.5)
    (tensor([1.7500, 1.2500, 0.0000]), 0)
    """
    check(kernel, resolution)
    symbols = symbols.flatten()
    if not len(symbols):
        return symbols.new_zeros(1), 0
    lower, below = _shares(symbols, kernel, resolution)
    first = int(lower.min())
    index = (lower - first).long()
    counts = symbols.new_zeros(int(index.max()) + 2)
    return counts.index_add(0, index, below).index_add(0, index + 1, 1 - below), first


def check(kernel: str, resolution: float) -> None:
    """Raise ValueError for an unknown kernel or a resolution outside (0, 1/2]."""
    if kernel not in KERNELS:
        raise ValueError(f"unknown kernel {kernel!r}; known are {', '.join(KERNELS)}")
    if not 0 < resolution <= 0.5:
        raise ValueError(f"a resolution of {resolution}; it may be above 0 up to 0.5")


def _shares(symbols: Tensor, kernel: str, resolution: float) -> tuple[Tensor, Tensor]:
    """The integers below the symbols (n,), and the shares (n,) that count there.

    The rest counts at the integer above: one boundary is in reach of each value, the one between
    its two nearest integers.
    """
    lower = symbols.detach().floor()
    reach = ((lower + 0.5 - symbols) / resolution).clamp(-1, 1)
    return lower, KERNELS[kernel](reach)


def entropy_bits(counts: Tensor) -> Tensor:
    """Bits of all symbols in an ideal code for these counts, differentiable.

    >>> entropy_bits(torch.tensor([2.0, 2.0, 0.0]))
    tensor(4.)
    """
    # An empty bin costs nothing; its gradient would be 0/0.
    used = counts[counts > 0]
    return -(used * (used / counts.sum()).log2()).sum()


def symbol_bits(
    symbols: Tensor,
    kernel: str = DEFAULT_KERNEL,
    resolution: float = DEFAULT_RESOLUTION,
    generator: torch.Generator | None = None,
) -> Tensor:
    """The `entropy_bits` of the symbols' `histogram`, with a gradient for at most `SAMPLE` of them.

    The value counts all symbols. Beyond `SAMPLE` symbols the gradient is that of a random sample,
    drawn anew by `generator` and weighted so that its mean is the gradient of the value: by the
    counts, the entropy of all symbols falls by log₂ p, where p is a bin's share of all counts.
    """
    symbols = symbols.flatten()
    if len(symbols) <= SAMPLE:
        return entropy_bits(histogram(symbols, kernel, resolution)[0])
    with torch.no_grad():
        counts, first = histogram(symbols, kernel, resolution)
        bits = entropy_bits(counts)
        costs = -(counts.clamp(min=1e-9) / counts.sum()).log2()
    # With replacement: an order of all symbols would take longer than the sample itself.
    chosen = torch.randint(len(symbols), (SAMPLE,), generator=generator).to(symbols.device)
    lower, below = _shares(symbols[chosen], kernel, resolution)
    index = (lower - first).long()
    sample = (below * costs[index] + (1 - below) * costs[index + 1]).sum()
    sample = sample * (len(symbols) / SAMPLE)
    return bits + (sample - sample.detach())
