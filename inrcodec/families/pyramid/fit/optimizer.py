"""A step of a pyramid's training: SOAP for its networks, Adam for its latents."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from inrcodec.families.pyramid.fit.problem import PyramidProblem
from inrcodec.families.siren.fit.problem import matrix_shape
from inrcodec.kernels.threads import one_thread
from inrcodec.optim.soap import Soap

NETWORK_RATE = 0.2
"""SOAP's peak rate; 0.02 needs 60 % more loss, 0.1 and 0.3 two to three per cent."""

FILTER_RATE = 0.02
"""Factor of the rate of a filter, whose parameters start at 0."""

TAPS_RATE = 0.05
"""Likewise, of the filters of planes."""

RISE = 40
"""Steps until the full rates."""

NOISE = 0x9E3779B9
"""Between the seeds of two steps' noise."""


class Optimizer:
    """The state of both optimizers for one problem.

    Attributes:
        vectors: the networks' coefficients, which are trained in place.
        seed: of the last step's noise.
    """

    def __init__(self, problem: PyramidProblem) -> None:
        """Begin where `problem` is."""
        self._problem = problem
        self.vectors = list(problem.alphas)
        self.seed = 0
        compaction = problem.header.compaction
        shapes = [matrix_shape(block, compaction) for block in problem.pranc.blocks]
        self._soap = Soap(self.vectors, shapes, _network_rates(problem))

    def step(
        self,
        weight: float,
        temperature: float,
        network_rate: float,
        latent_rate: float,
        fixed: Sequence[bool] | None = None,
    ) -> tuple[float, float]:
        """Make a step with λ = `weight`; return mean squared error and bits before it.

        `fixed` layers stay as they are.
        """
        problem = self._problem
        self.seed += NOISE
        error, bits = problem.loss(weight, temperature, self.seed, differentiate=True)
        fixed = fixed or [False] * len(self.vectors)
        for vector, gradient, still in zip(self.vectors, problem.gradients, fixed, strict=True):
            vector.grad = torch.zeros_like(gradient) if still else gradient
        if not all(fixed):
            with one_thread():
                self._soap.step(network_rate)
        problem.descend(latent_rate)
        return error, bits


def learning_rate(step: int, steps: int, last: float) -> float:
    """At a step, as a share of the peak: a short rise, then a half cosine down to `last`.

    >>> [learning_rate(step, 1000, 0.1) for step in (0, 500)]
    [0.025, 0.55]
    """
    cooling = 0.5 * (1 + math.cos(math.pi * (step / steps)))
    return (last + (1 - last) * cooling) * min(1.0, (step + 1) / RISE)


def _network_rates(problem: PyramidProblem) -> Sequence[float]:
    """Factors of the learning rate of each network layer: about what its parameters start with."""
    matrices = problem.pranc.matrices(problem.alphas)
    scale = float(problem.pranc.blocks[0].scale.mean())
    first = float(matrices[0][:, :-1].abs().mean())
    mixed = problem.architecture.mixed_blocks
    hidden = [float(matrix.abs().mean()) for matrix in matrices[1 : mixed - 1]]
    linear = float(matrices[mixed - 1].abs().mean()) + 0.05
    own = [FILTER_RATE] if problem.architecture.filtered else []
    own += [TAPS_RATE] if problem.architecture.taps else []
    return [rate / scale for rate in (first, *hidden, linear, *own, 0.15, 0.15, 0.15)]
