"""The refit: training of the layers that are not yet rounded, after one that has been."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inrcodec.families.siren.fit.problem import Problem
from inrcodec.families.siren.fit.train import psnr_of
from inrcodec.kernels.threads import one_thread
from inrcodec.optim.clock import Clock, cosine
from inrcodec.optim.soap import Soap


@one_thread()
def refit(
    problem: Problem,
    alphas: Sequence[Tensor],
    layer: int,
    rounded: NDArray[np.float64],
    steps: int,
    peak: float,
    clock: Clock,
) -> list[Tensor]:
    """Coefficients with those of `layer` rounded, and later layers trained to make up for it.

    `rounded` (k,) are the rounded values, `peak` is the peak learning rate. Earlier layers stay as
    they are, and so do the tensors in `alphas`.
    """
    first = layer + 1
    free = [alpha.clone() for alpha in alphas[first:]]
    fixed = torch.from_numpy(rounded).to(problem.device, torch.float32)
    result = [*alphas[:layer], fixed, *free]
    pieces = problem.pieces(free, first)
    soap = Soap(pieces, problem.shapes[-len(pieces) :], problem.rates[-len(pieces) :])
    for step in range(steps):
        loss, gradients = problem.gradient(result, problem.sample(), first)
        soap.step(peak * cosine(step, steps), problem.pieces(gradients, first))
        clock.advance(1, "quantize", psnr_of(loss))
    return result
