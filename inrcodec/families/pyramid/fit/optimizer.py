"""A step of a pyramid's training: SOAP for its networks, Adam for its latents."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from inrcodec.families.pyramid.fit.options import OPTIMIZER, OptimizerSettings
from inrcodec.families.pyramid.fit.problem import PyramidProblem
from inrcodec.kernels.threads import one_thread

SEED_STEP = 0x9E3779B9
"""Difference between the noise seeds of two steps: 2^32 over the golden ratio."""


class Optimizer:
    """The state of both optimizers for one problem.

    Attributes:
        vectors: the networks' coefficients (k,), which are trained in place.
        seed: seed of the last step's noise.
    """

    def __init__(self, problem: PyramidProblem, settings: OptimizerSettings = OPTIMIZER) -> None:
        """Begin with the latents and coefficients of `problem`."""
        self._problem, self._betas = problem, settings.latent_betas
        self.vectors = list(problem.alphas)
        self.seed = 0
        shapes = [block.coefficient_shape for block in problem.pranc.blocks]
        rates = _network_rates(problem, settings)
        self._networks = settings.make_optimizer(self.vectors, shapes, rates)

    def step(
        self,
        weight: float,
        temperature: float,
        network_rate: float,
        latent_rate: float,
        fixed: Sequence[bool] | None = None,
    ) -> tuple[float, float]:
        """Make a step with λ = `weight`; returns mean squared error and bits before it.

        Blocks that are `fixed` keep their coefficients.
        """
        problem = self._problem
        self.seed += SEED_STEP
        error, bits = problem.loss(weight, temperature, self.seed, differentiate=True)
        fixed = fixed or [False] * len(self.vectors)
        for vector, gradient, still in zip(self.vectors, problem.gradients, fixed, strict=True):
            vector.grad = torch.zeros_like(gradient) if still else gradient
        if not all(fixed):
            with one_thread():
                self._networks.step(network_rate)
        problem.descend(latent_rate, self._betas)
        return error, bits


def learning_rate(step: int, steps: int, last: float, rise: int = OPTIMIZER.rise) -> float:
    """Rate at a step, as a share of the peak.

    It rises for `rise` steps, and falls as a half cosine down to `last`.

    >>> [learning_rate(step, 1000, 0.1) for step in (0, 500)]
    [0.025, 0.55]
    """
    cooling = 0.5 * (1 + math.cos(math.pi * (step / steps)))
    return (last + (1 - last) * cooling) * min(1.0, (step + 1) / rise)


def _network_rates(problem: PyramidProblem, settings: OptimizerSettings) -> list[float]:
    """Factor of the learning rate of each block: about the mean size that its parameters have at
    the start, in units of its coefficients."""
    matrices = problem.pranc.matrices(problem.alphas)
    scale = float(problem.pranc.blocks[0].scale.mean())
    first = float(matrices[0][:, :-1].abs().mean())
    mixed = problem.architecture.mixed_blocks
    hidden = [float(matrix.abs().mean()) for matrix in matrices[1 : mixed - 1]]
    linear = float(matrices[mixed - 1].abs().mean()) + settings.linear_offset
    own = [settings.filter_rate] if problem.architecture.filtered else []
    own += [settings.taps_rate] if problem.architecture.taps else []
    sizes = [first, *hidden, linear, *own, *[settings.context_rate] * 3]
    return [size / scale for size in sizes]
