"""The parameters of a pyramid's networks from its header and coefficients, in NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrcodec.container.header import Header
from inrcodec.families.pyramid.shape import CONTEXT_SCALE
from inrcodec.pranc import blocks
from inrcodec.pranc.blocks import BlockSpec, Initial

START = Initial(0.0, 0.0, CONTEXT_SCALE)
"""All parameters start from 0: the encoder has a start in closed form."""


def grow(header: Header, values: Sequence[NDArray[Any]]) -> list[NDArray[np.float32]]:
    """The matrix (rows, cols) of each block from its coefficients (k,)."""
    specs = [
        BlockSpec.of(basis, rows, [(cols, START)])
        for basis, (rows, cols) in zip(header.bases, header.network.blocks, strict=True)
    ]
    return blocks.grow(specs, header.seed, header.compaction, values)
