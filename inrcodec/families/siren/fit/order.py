"""Order of the bit planes of a SIREN's coefficients: largest effect on the picture first.

PRANC (Nooralinejad et al. 2022) sorts coefficients to transmit a picture progressively. Here the
bit planes of layers are sorted, so that no permutation of coefficients has to be stored.
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


@torch.no_grad()
def by_contribution(problem: Problem, layers: Sequence[Layer], pixels: int) -> list[int]:
    """The layer of each bit plane, those with the largest contribution first.

    The contribution of a layer's least significant plane is the increase of the mean squared error
    without it, per bit of its code length, measured on a random sample of `pixels` pixels. From the
    whole file, the plane of the least contribution is removed repeatedly; planes come in the
    reverse order of their removal.
    """
    drawn = np.random.default_rng(problem.header.seed).permutation(len(problem.targets))[:pixels]
    sample = torch.from_numpy(drawn).to(problem.device)
    planes = bit_planes([layer.model for layer in layers])
    withheld = [0] * len(layers)
    values = [layer.values for layer in layers]

    def error_of(shown: Sequence[Values]) -> float:
        alphas = [torch.from_numpy(v).to(problem.device, torch.float32) for v in shown]
        return float(problem.loss(alphas, sample))

    def without(index: int) -> tuple[float, float, Values]:
        """Contribution of a layer's last plane; error and values of the layer without it."""
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
