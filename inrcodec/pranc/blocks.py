"""A network's parameters from a seed and coefficients, θ = θ₀ + S·Bα, block by block.

A block is a matrix of parameters that share one basis B; θ₀ is drawn from the seed, and S is what
one unit of Bα moves a parameter by (PRANC, Nooralinejad et al. 2022). This is the reference in
plain NumPy, which decoders use; imports no torch. `torch_blocks` has the differentiable form.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrcodec.pranc import philox
from inrcodec.pranc.bases import expand
from inrcodec.pranc.philox import Purpose


@dataclass(frozen=True)
class Initial:
    """How a parameter starts: uniform in centre ± spread, and moved by `scale` per unit of Bα."""

    centre: float
    spread: float
    scale: float

    @classmethod
    def uniform(cls, spread: float) -> Initial:
        """Around zero, with the standard deviation of the draw, spread / √3, as the scale."""
        return cls(0.0, spread, spread / math.sqrt(3))


@dataclass(frozen=True, eq=False)
class BlockSpec:
    """What a block is before it is grown: its basis, its shape, and how each column starts.

    Attributes:
        basis: name of the basis, one of `layout.BASES`.
        rows: rows of the matrix of parameters.
        centre: the middle of θ₀ in each column, float64 (cols,).
        spread: how far θ₀ is from it at most in each column, float64 (cols,).
        scale: what one unit of Bα moves a parameter of the column by, float64 (cols,).
    """

    basis: str
    rows: int
    centre: NDArray[np.float64] = field(repr=False)
    spread: NDArray[np.float64] = field(repr=False)
    scale: NDArray[np.float64] = field(repr=False)

    @classmethod
    def of(cls, basis: str, rows: int, parts: Sequence[tuple[int, Initial]]) -> BlockSpec:
        """A block of parts side by side, each a number of columns that start alike.

        >>> weight, bias = Initial.uniform(0.5), Initial(0.0, 0.7, 0.1)
        >>> BlockSpec.of("sparse", 4, [(2, weight), (1, bias)]).spread
        array([0.5, 0.5, 0.7])
        """
        widths = [width for width, _ in parts]
        columns = [(start.centre, start.spread, start.scale) for _, start in parts]
        centre, spread, scale = np.repeat(np.array(columns, np.float64), widths, axis=0).T
        return cls(basis, rows, centre, spread, scale)

    @property
    def cols(self) -> int:
        """Columns of the matrix of parameters."""
        return len(self.scale)

    def theta0(
        self, seed: int, index: int, dtype: type[np.floating[Any]] = np.float32
    ) -> NDArray[Any]:
        """The start θ₀ (rows, cols) of block number `index`: centre + spread · u, u from the seed.

        Raises ValueError for a seed beyond 64 bits.
        """
        u = philox.uniform(seed, (0, index, Purpose.INITIAL), self.rows * self.cols)
        return self.centre.astype(dtype) + self.spread.astype(dtype) * u.reshape(self.rows, -1)


def grow(
    blocks: Sequence[BlockSpec], seed: int, compaction: int, alphas: Sequence[NDArray[Any]]
) -> list[NDArray[np.float32]]:
    """Each block's parameters θ₀ + S·Bα as a matrix (rows, cols), in float32.

    `compaction` is D/k in units of 1/64; `alphas` are the coefficients (k,) of each block.
    What it costs, `layout.work` says beforehand.

    >>> block = BlockSpec.of("hadamard", 2, [(3, Initial(1.0, 0.0, 0.5))])
    >>> grow([block], seed=7, compaction=128, alphas=[np.zeros(3)])
    [array([[1., 1., 1.],
           [1., 1., 1.]], dtype=float32)]

    Raises ValueError if there is not one vector of coefficients for each block, and as
    `bases.expand` does.
    """
    if len(alphas) != len(blocks):
        raise ValueError(f"{len(alphas)} coefficient vectors for {len(blocks)} blocks")
    matrices = []
    for index, (block, alpha) in enumerate(zip(blocks, alphas, strict=True)):
        rows, cols, single = block.rows, block.cols, np.asarray(alpha, np.float32)
        theta = expand(block.basis, rows, cols, compaction, seed, index, single)
        theta = block.scale.astype(np.float32) * theta.reshape(rows, cols)
        theta += block.theta0(seed, index)
        matrices.append(theta)
    return matrices
