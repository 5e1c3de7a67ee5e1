"""The context network that a training starts with."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from inrcodec.families.pyramid.shape import NEIGHBOURS, OTHER_INPUTS

Matrix = NDArray[np.float64]

EMPTY_SCALE = -2.5
"""log₂ of the Laplace scale where all neighbours are 0."""

PIECES = ((0.0, 1.5), (1.0, -1.1), (4.0, -0.3))
"""log₂ of the scale as a function of the weighted sizes of the neighbours: from each threshold on
its slope changes by so much, which makes a concave function of three pieces."""


def initial_context(units: int, neighbours: int, rng: np.random.Generator) -> list[Matrix]:
    """Matrices of the three layers: the centre is 0, the scale grows with the neighbours' sizes.

    The remaining units are random. The level of the plane and the number of its followers have no
    effect yet.
    """
    first = np.zeros((units, neighbours + OTHER_INPUTS + 1))
    first[:, : neighbours + 4] = rng.uniform(-0.15, 0.15, (units, neighbours + 4))
    second = np.zeros((units, units + 1))
    second[:, :-1] = rng.normal(size=(units, units)) * 0.5 / math.sqrt(units)
    last = np.zeros((2, units + 1))
    # The latents to the left and above, and a value of each of two planes before. The size of one
    # is the sum of two rectified units.
    left, above = NEIGHBOURS.index((0, -1)), NEIGHBOURS.index((-1, 0))
    sizes = ((left, 1.0), (above, 1.0), (neighbours, 0.5), (neighbours + 3, 0.3))[: units // 2]
    for unit, (place, weight) in enumerate(sizes):
        first[2 * unit : 2 * unit + 2] = 0
        first[2 * unit, place], first[2 * unit + 1, place] = weight, -weight
    for unit, (threshold, slope) in enumerate(PIECES):
        second[unit] = 0
        second[unit, : 2 * len(sizes)], second[unit, -1] = 1, -threshold
        last[1, unit] = slope
    last[1, -1] = EMPTY_SCALE
    return [first, second, last]
