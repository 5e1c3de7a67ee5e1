"""In which order a SIREN's coefficients come in its file: the largest first, or those that count.

PRANC (Nooralinejad et al. 2022) sorts coefficients to send a picture progressively. Here a layer's
bit planes are sorted, so that no permutation has to be stored.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from inrcodec.entropy.layer import Layer
from inrcodec.entropy.model import coarsen
from inrcodec.entropy.passes import bit_planes
from inrcodec.families.siren.fit.problem import Problem

Values = NDArray[np.float64]

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
    drawn = np.random.default_rng(problem.header.seed).permutation(len(problem.targets))[:PIXELS]
    pixels = torch.from_numpy(drawn).to(problem.device)
    planes = bit_planes([layer.model for layer in layers])
    withheld = [0] * len(layers)
    values = [layer.values for layer in layers]

    def error_of(shown: Sequence[Values]) -> float:
        alphas = [torch.from_numpy(v).to(problem.device, torch.float32) for v in shown]
        return float(problem.loss(alphas, pixels))

    def without(index: int) -> tuple[float, float, Values]:
        """Cost per bit, error and values of a layer without one bit more."""
        layer, fewer = layers[index], withheld[index] + 1
        model = layer.model
        shown = model.dequantize(coarsen(layer.symbols, fewer), fewer)
        error = error_of([*values[:index], shown, *values[index + 1 :]])
        bits = model.bits(coarsen(layer.symbols, fewer - 1), fewer - 1)
        bits -= model.bits(coarsen(layer.symbols, fewer), fewer)
        return (error - now) / max(bits, 1.0), error, shown

    now = error_of(values)
    removed = []
    while withheld != planes:
        left = [i for i, count in enumerate(planes) if withheld[i] < count]
        trials = {i: without(i) for i in left}
        least = min(left, key=lambda i: trials[i][0])
        _, now, values[least] = trials[least]
        withheld[least] += 1
        removed.append(least)
    return removed[::-1]
