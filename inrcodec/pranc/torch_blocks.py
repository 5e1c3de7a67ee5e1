"""A block's parameters θ = θ₀ + S·Bα as a differentiable function in PyTorch, on any device.

The formulas of θ₀ and S are those of `blocks`, and all is tested against it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from inrcodec.pranc.blocks import BlockSpec
from inrcodec.pranc.layout import coefficient_shape
from inrcodec.pranc.torch_bases import Basis, Device, make_basis


@dataclass(frozen=True, eq=False)
class Block:
    """Parameters that share one basis, as a matrix of rows × cols with its start and scale.

    Attributes:
        rows: rows of the matrix.
        cols: columns of the matrix.
        basis: B, of D = rows·cols parameters and k coefficients.
        coefficient_shape: the matrix that the coefficients form, row by row; see `layout`.
        theta0: θ₀ (rows, cols).
        scale: S (1, cols).
    """

    rows: int
    cols: int
    basis: Basis
    coefficient_shape: tuple[int, int]
    theta0: Tensor = field(repr=False)
    scale: Tensor = field(repr=False)

    @classmethod
    def grow(
        cls,
        spec: BlockSpec,
        index: int,
        seed: int,
        compaction: int,
        device: Device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> Block:
        """Block number `index` of a network; `compaction` is D/k in units of 1/64.

        >>> from inrcodec.pranc.blocks import Initial
        >>> spec = BlockSpec.of("kronecker", 4, [(3, Initial.uniform(0.5))])
        >>> block = Block.grow(spec, index=0, seed=7, compaction=128)
        >>> block.coefficient_shape, block.matrix(block.zeros()).shape
        ((3, 2), torch.Size([4, 3]))

        Raises ValueError as `make_basis` does, and for a seed beyond 64 bits.
        """
        precision = np.float64 if dtype == torch.float64 else np.float32
        rows, cols = spec.rows, spec.cols
        return cls(
            rows,
            cols,
            make_basis(spec.basis, rows, cols, compaction, seed, index, device),
            coefficient_shape(spec.basis, rows, cols, compaction),
            torch.from_numpy(spec.theta0(seed, index, precision)).to(device, dtype),
            torch.from_numpy(spec.scale.astype(precision))[None].to(device, dtype),
        )

    def zeros(self) -> Tensor:
        """The coefficients (k,) at the start, all zero."""
        return self.theta0.new_zeros(self.basis.k)

    def matrix(self, alpha: Tensor) -> Tensor:
        """The parameters θ₀ + S·Bα (rows, cols) of coefficients (k,), differentiable.

        Raises ValueError if alpha does not have k entries.
        """
        return self.theta0 + self.scale * self.basis.expand(alpha).reshape(self.rows, self.cols)

    def project(self, gradient: Tensor) -> Tensor:
        """The gradient (k,) by the coefficients, from that (rows, cols) by the parameters.

        Of several gradients (n, rows, cols) it is (n, k).
        """
        flat = (self.scale * gradient).flatten(-2)
        return self.basis.project(flat.movedim(-1, 0)).movedim(0, -1)
