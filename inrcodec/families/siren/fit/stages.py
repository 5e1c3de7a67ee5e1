"""The fit of a SIREN that grows in stages, so that prefixes of its file show the picture.

Each stage adds units without changing the picture at first; then all coefficients are trained, with
a small weight in the loss for the pictures of earlier stages. Finally all stages are trained
together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from inrcodec.container.header import Header
from inrcodec.families.siren.file import siren_of
from inrcodec.families.siren.fit.parametrization import StagedParametrization
from inrcodec.families.siren.fit.problem import Problem
from inrcodec.families.siren.fit.train import fit
from inrcodec.families.siren.settings import SirenSettings, StageSettings
from inrcodec.image import Raster
from inrcodec.optim.clock import Clock


def fit_stages(
    raster: Raster,
    header: Header,
    device: str,
    steps: int,
    clock: Clock,
    settings: SirenSettings | None = None,
) -> tuple[Problem, list[Tensor]]:
    """Train a SIREN in stages; its problem, with the pictures of all stages, and coefficients.

    Each stage has `steps` steps, then all have `together_fits` times as many. Gradients are in
    float32, which takes little longer for networks so narrow and is more exact
    (notebook/2026-11-28-siren-float32-refits.md).
    """
    settings = settings or SirenSettings()
    stages = settings.stages
    siren = siren_of(header)
    count = len(siren.stages)

    def problem_of(stage: int, weights: Sequence[float] = ()) -> Problem:
        """The problem of the first stages."""
        part = replace(header, network=siren.first(stage))
        problem = Problem(raster, part, device, settings.fit, weights)
        problem.compute_in(torch.float32)
        return problem

    alphas = fit(problem_of(1), steps, clock)
    for stage in range(2, count + 1):
        problem = problem_of(stage, [stages.earlier_weight] * (stage - 1) + [1.0])
        assert isinstance(problem.parametrization, StagedParametrization)
        alphas = fit(problem, steps, clock, problem.parametrization.grown(alphas))
    problem = problem_of(count, final_weights(stages, count))
    together = stages.together_fits * steps
    return problem, fit(problem, together, clock, alphas, stages.together_rate)


def final_weights(settings: StageSettings, stages: int) -> list[float]:
    """Weights in the loss of the pictures of all stages when they are trained together.

    >>> final_weights(StageSettings(), 5)
    [0.01, 0.01, 0.05, 0.25, 1.0]
    >>> final_weights(StageSettings(), 2)
    [0.25, 1.0]
    """
    weights = settings.final_weights
    missing = max(0, stages - 1 - len(weights))
    return [*weights[:1] * missing, *weights, 1.0][-stages:]
