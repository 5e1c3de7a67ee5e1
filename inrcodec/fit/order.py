"""In which order a SIREN's coefficients come in its file: the largest first, or those that count.

PRANC (Nooralinejad et al. 2022) sorts coefficients to send a picture progressively. Here a layer's
bit planes are sorted, so that no permutation has to be stored.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from inrcodec.container.prc import Layer
from inrcodec.entropy.model import coarsen
from inrcodec.entropy.passes import bit_planes
from inrcodec.fit.problem import Problem

ORDERS = ("none", "magnitude", "contribution")

PIXELS = 4096
"""That show what a bit plane contributes."""


@torch.no_grad()
def by_contribution(problem: Problem, layers: Sequence[Layer]) -> list[int]:
    """The layer of each bit plane, first those whose bits the picture needs most.

    The contribution of a layer's last bits is measured: it is what the mean squared error grows by
    without them, for each bit that they cost. From the whole file the bits that contribute least
    are taken away, again and again, and so they come last.
    """
    generator = torch.Generator().manual_seed(problem.header.seed)
    count = len(problem.targets)
    pixels = torch.randperm(count, generator=generator)[:PIXELS].to(problem.device)
    planes = bit_planes([layer.model for layer in layers])
    withheld = [0] * len(layers)
    values = [layer.values for layer in layers]

    def without(index: int) -> tuple[float, float, np.ndarray]:
        """Cost per bit, error and values of a layer without one bit more."""
        layer, fewer = layers[index], withheld[index] + 1
        model = layer.model
        shown = model.dequantize(coarsen(layer.symbols, fewer), fewer)
        trial = [shown if i == index else value for i, value in enumerate(values)]
        error = float(problem.loss([_alpha(v, problem) for v in trial], pixels))
        bits = model.bits(coarsen(layer.symbols, fewer - 1), fewer - 1)
        bits -= model.bits(coarsen(layer.symbols, fewer), fewer)
        return (error - now) / max(bits, 1.0), error, shown

    now = float(problem.loss([_alpha(v, problem) for v in values], pixels))
    removed = []
    while withheld != planes:
        left = [i for i, count in enumerate(planes) if withheld[i] < count]
        trials = {i: without(i) for i in left}
        least = min(left, key=lambda i: trials[i][0])
        _, now, values[least] = trials[least]
        withheld[least] += 1
        removed.append(least)
    return removed[::-1]


def _alpha(values: np.ndarray, problem: Problem) -> torch.Tensor:
    return torch.from_numpy(values).to(problem.device, torch.float32)
