"""The quantization of the networks' layers, one after the other, while the rest trains on.

A layer gets the quantizer step of the least loss, its own bits counted; its coefficients are
rounded with compensation in the metric of their curvature (`l2.rounding`).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inrcodec.entropy.layer import Layer
from inrcodec.entropy.model import LIMIT_MAGNITUDE, fit_model
from inrcodec.families.pyramid.fit.curvature import curvature_factor
from inrcodec.families.pyramid.fit.problem import PyramidProblem
from inrcodec.families.pyramid.settings import NetworkRoundingSettings, PyramidSettings
from inrcodec.l2.rounding import nearest_plane

UNIT_CODE, OCTAVE = 192, 8
"""Code of the quantizer step 1, and codes of an octave, see `LayerModel.step`."""

LIMIT_FIRST, LIMIT_CODE = 200, 248
"""Coarsest quantizer step that a search begins with, and coarsest one that it tries."""


def rounding_moments(layers: int, settings: NetworkRoundingSettings) -> NDArray[np.float64]:
    """Share of the training after which each layer is rounded: synthesis first, then context.

    >>> rounding_moments(5, NetworkRoundingSettings()).round(2)
    array([0.75, 0.77, 0.79, 0.81, 0.83])
    """
    return np.linspace(settings.first_share, settings.last_share, layers)


def round_layer(
    problem: PyramidProblem,
    index: int,
    lam: float,
    noise: tuple[float, int],
    seed: int,
    settings: PyramidSettings,
) -> Layer:
    """Quantize the coefficients of layer `index`, in the problem too.

    `noise` is the temperature and the noise seed of the loss that quantizer steps are compared by,
    `seed` that of the sample which the curvature comes from.
    """
    context = index >= problem.architecture.synthesis_blocks
    rounding = settings.rounding
    stride = rounding.context_stride if context else rounding.synthesis_stride
    alpha = problem.alphas[index].numpy().astype(np.float64)
    factor = curvature_factor(problem, index, lam, seed, settings.curvature)
    first = _finest_code(alpha, stride, rounding)
    error, bits = problem.loss(lam, *noise)
    best, worse, least = _rounded(alpha, first, factor, rounding.edge), 0, math.inf
    # From fine to coarse, because a layer that is far too coarse shows no slope to follow.
    for code in range(first, LIMIT_CODE + 1, stride):
        layer = _rounded(alpha, code, factor, rounding.edge)
        problem.alphas[index] = _coefficients(layer)
        # The latents stay as they are: a context layer changes their bits only.
        if context:
            bits = problem.bits()
        else:
            error = problem.distortion()
        total = bits + rounding.bit_price * layer.bits
        cost = error + lam * total / problem.pixels
        worse = 0 if cost < least else worse + 1
        if cost < least:
            best, least = layer, cost
        if worse == rounding.patience:
            break
    problem.alphas[index] = _coefficients(best)
    return best


def _finest_code(alpha: NDArray[np.float64], stride: int, settings: NetworkRoundingSettings) -> int:
    """Code of the finest quantizer step that is tried, a multiple of `stride`."""
    spread = max(float(np.sqrt(np.mean(alpha**2))), 1e-6)
    code = UNIT_CODE + OCTAVE * math.log2(spread / settings.finest)
    return min(max(round(code / stride) * stride, 0), LIMIT_FIRST)


def _rounded(
    alpha: NDArray[np.float64], code: int, factor: NDArray[np.float64], edge: int
) -> Layer:
    step: float = 2 ** ((code - UNIT_CODE) / OCTAVE)
    symbols = nearest_plane(alpha, factor, edge / 64 * step, step, LIMIT_MAGNITUDE)
    return Layer(fit_model(symbols, code, edge), symbols)


def _coefficients(layer: Layer) -> Tensor:
    return torch.from_numpy(layer.values).float()
