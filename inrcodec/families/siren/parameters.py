"""The parameters of a SIREN from its header and coefficients, in NumPy.

θ₀ is the initialization of Sitzmann et al. (2020), with ω outside of the weights; `docs/format.md`,
section "Parameters", is the specification.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrcodec.container.header import Header
from inrcodec.families.siren.shape import Siren
from inrcodec.pranc import blocks
from inrcodec.pranc.blocks import BlockSpec, Initial

BIAS_SCALE = 3.0
"""Step of a hidden layer's bias per unit of its coefficient, in units of a weight's step.

A bias moves the argument of a sine more than a weight does, whose input is itself a sine. With the
bias's own initial standard deviation as its step (12 at a width of 36), fine steps for the biases
waste bits on the weights."""


def starts(shape: Siren) -> list[tuple[Initial, Initial]]:
    """How the weights and the biases of each block start."""
    return [
        _start(shape, stage, layer)
        for stage in range(len(shape.widths))
        for layer in range(shape.layers)
    ]


def _start(shape: Siren, stage: int, layer: int) -> tuple[Initial, Initial]:
    if layer == 0:
        # ω of a stage is at most the number of units so far; the start has what it lacks.
        slower = min(1.0, shape.widths[stage] / shape.omega_first) if shape.stages else 1.0
        return Initial.uniform(slower / 2), Initial.uniform(slower / math.sqrt(2))
    fan_in = shape.widths[stage]
    weight = Initial.uniform(math.sqrt(6 / fan_in) / shape.omega_hidden)
    return weight, Initial(0.0, 1 / math.sqrt(fan_in), BIAS_SCALE * weight.scale)


def grow(header: Header, values: Sequence[NDArray[Any]]) -> list[NDArray[np.float32]]:
    """The matrix (rows, cols) of each block from its coefficients (k,)."""
    shape = header.network
    assert isinstance(shape, Siren)
    specs = [
        BlockSpec.of(basis, rows, [(cols - 1, weight), (1, bias)])
        for basis, (rows, cols), (weight, bias) in zip(
            header.bases, shape.blocks, starts(shape), strict=True
        )
    ]
    return blocks.grow(specs, header.seed, header.compaction, values)
