"""Pseudo-random bases B (D×k) of one block of parameters, as the linear maps `Bα` and `Bᵀg`.

B itself is never stored. Every basis is grown from (seed, block index) by the integer rules of
`philox`, and scaled so that coefficients of unit variance give parameters of unit variance: every
row of B has unit norm, for hadamard in the mean over the rows.

- identity: B = I, the control.
- dense: independent signs, as in PRANC (Nooralinejad et al. 2022).
- hadamard: signs, Walsh-Hadamard transform, permutation, twice (after Ailon & Chazelle 2006).
- kronecker: U M Vᵀ with signed Walsh-Hadamard columns as U and V.
- sparse: every parameter shares one coefficient, with a sign (after Chen et al. 2015, HashedNets).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor

from inrcodec.pranc import philox
from inrcodec.pranc.layout import coefficients, kronecker_ranks
from inrcodec.pranc.philox import Device, Purpose

CHUNK = 1 << 20
"""Entries of the dense basis that exist at one time, unless one basis network has more."""

LinearMap = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Basis:
    """One block's basis B: k basis networks of D parameters each."""

    name: str
    D: int
    k: int
    _multiply: LinearMap = field(repr=False)
    _transpose: LinearMap = field(repr=False)

    def expand(self, alpha: Tensor) -> Tensor:
        """Bα: coefficients (k,) or (k, n) to parameters (D,) or (D, n), in alpha's own precision.

        Differentiable. Raises ValueError if alpha does not have k rows.
        """
        _check_length(alpha, self.k, "coefficients")
        return _apply(alpha, self._multiply, self._transpose)

    def project(self, g: Tensor) -> Tensor:
        """Bᵀg: parameters (D,) or (D, n) to coefficients (k,) or (k, n); the adjoint of `expand`.

        Differentiable. Raises ValueError if g does not have D rows.
        """
        _check_length(g, self.D, "parameters")
        return _apply(g, self._transpose, self._multiply)


def make_basis(
    name: str,
    rows: int,
    cols: int,
    compaction: int,
    seed: int,
    index: int,
    device: Device = "cpu",
) -> Basis:
    """The basis `name` of block number `index`, whose D parameters form a rows × cols matrix.

    `compaction` is D/k in units of 1/64.

    >>> basis = make_basis("dense", 3, 5, compaction=128, seed=7, index=0)
    >>> basis
    Basis(name='dense', D=15, k=8)
    >>> basis.expand(torch.ones(8)).shape
    torch.Size([15])

    Raises ValueError as `layout.coefficients` does, and for a seed beyond 64 bits (identity has no
    use for one).
    """
    D, k = rows * cols, coefficients(name, rows, cols, compaction)
    if name == "identity":
        return Basis(name, D, k, torch.clone, torch.clone)
    if name == "dense":
        return Basis(name, D, k, *_dense(D, k, seed, index))
    if name == "hadamard":
        return Basis(name, D, k, *_hadamard(D, k, seed, index, device))
    if name == "kronecker":
        ranks = kronecker_ranks(rows, cols, compaction)
        return Basis(name, D, k, *_kronecker((rows, cols), ranks, seed, index, device))
    return Basis(name, D, k, *_sparse(D, k, seed, index, device))


def _dense(D: int, k: int, seed: int, index: int) -> tuple[LinearMap, LinearMap]:
    """B[:, j] = signs of stream (j, index, SIGNS) / √k."""
    blocks = -(-D // 128)
    networks = max(1, CHUNK // (128 * blocks))
    key, scale = philox.key(seed), 1 / math.sqrt(k)

    def chunk(start: int, like: Tensor) -> Tensor:
        """Basis networks start, start + 1, … as rows of ±1."""
        item = torch.arange(start, min(start + networks, k), device=like.device)[:, None]
        counter = item.new_empty(len(item), blocks, 4)
        counter[..., 0] = torch.arange(blocks, device=like.device)
        counter[..., 1] = item
        counter[..., 2] = index
        counter[..., 3] = Purpose.SIGNS
        words = philox.philox4x32(counter, key).flatten(-2)
        return philox.word_signs(words, like.dtype)[:, :D]

    def multiply(alpha: Tensor) -> Tensor:
        theta = alpha.new_zeros(D, *alpha.shape[1:])
        for start in range(0, k, networks):
            theta += chunk(start, alpha).T @ alpha[start : start + networks]
        return theta * scale

    def transpose(g: Tensor) -> Tensor:
        return torch.cat([chunk(start, g) @ g for start in range(0, k, networks)]) * scale

    return multiply, transpose


def _hadamard(D: int, k: int, seed: int, index: int, device: Device) -> tuple[LinearMap, LinearMap]:
    """B = P₂ H S₂ P₁ H S₁ E / √(n k), with E padding k to n = 2^ceil(log2 D) and P₂ keeping D."""
    n = 1 << (D - 1).bit_length()
    sign1, sign2 = (philox.signs(seed, (i, index, Purpose.SIGNS), n, device) for i in (0, 1))
    order1, order2 = (
        philox.permutation(seed, (i, index, Purpose.ORDER), n, device) for i in (0, 1)
    )
    back1 = order1.argsort()
    sign1, order2 = sign1[:k], order2[:D]
    scale = 1 / math.sqrt(n * k)

    def multiply(alpha: Tensor) -> Tensor:
        x = alpha.new_zeros(n, *alpha.shape[1:])
        x[:k] = _along(sign1, alpha) * alpha
        x = _walsh_hadamard(x)[order1]
        return _walsh_hadamard(_along(sign2, x) * x)[order2] * scale

    def transpose(g: Tensor) -> Tensor:
        x = g.new_zeros(n, *g.shape[1:])
        x[order2] = g
        x = _walsh_hadamard(x)
        x = _walsh_hadamard((_along(sign2, x) * x)[back1])[:k]
        return _along(sign1, x) * x * scale

    return multiply, transpose


def _kronecker(
    shape: tuple[int, int], ranks: tuple[int, int], seed: int, index: int, device: Device
) -> tuple[LinearMap, LinearMap]:
    """Bα = U M Vᵀ / √k, with M the coefficients and Bα the parameters, both row by row."""
    U, V = (_factor(shape[i], ranks[i], i, seed, index, device) for i in (0, 1))
    scale = 1 / math.sqrt(math.prod(ranks))

    @cache
    def factors(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        return U.to(dtype) * scale, V.to(dtype)

    def multiply(alpha: Tensor) -> Tensor:
        u, v = factors(alpha.dtype)
        return torch.einsum("ia,jb,ab...->ij...", u, v, alpha.unflatten(0, ranks)).flatten(0, 1)

    def transpose(g: Tensor) -> Tensor:
        u, v = factors(g.dtype)
        return torch.einsum("ia,jb,ij...->ab...", u, v, g.unflatten(0, shape)).flatten(0, 1)

    return multiply, transpose


def _factor(size: int, rank: int, side: int, seed: int, index: int, device: Device) -> Tensor:
    """U (side 0) or V (side 1) as int8 ±1 (size, rank), its columns nearly orthogonal.

    Rows and columns are drawn from the leading size × size block of a Walsh-Hadamard matrix: its
    condition number is at most √n (n the next power of two, seen in all sizes to 259), where a
    block of random rows and columns is often singular.
    """
    signs = philox.signs(seed, (side, index, Purpose.SIGNS), size, device)
    rows = philox.permutation(seed, (2 * side, index, Purpose.ORDER), size, device)
    columns = philox.permutation(seed, (2 * side + 1, index, Purpose.ORDER), size, device)
    return signs[:, None] * _walsh_entries(rows, columns[:rank])


def _sparse(D: int, k: int, seed: int, index: int, device: Device) -> tuple[LinearMap, LinearMap]:
    """(Bα)ᵢ = sᵢ α[p(i) mod k], with p a permutation of D: all coefficients share equally."""
    signs = philox.signs(seed, (0, index, Purpose.SIGNS), D, device)
    place = philox.permutation(seed, (0, index, Purpose.ORDER), D, device)
    share = place % k
    shares = -(-D // k)

    def multiply(alpha: Tensor) -> Tensor:
        return _along(signs, alpha) * alpha[share]

    def transpose(g: Tensor) -> Tensor:
        # A sum over a table, where index_add would add in no fixed order on a GPU.
        table = g.new_zeros(shares * k, *g.shape[1:])
        table[place] = _along(signs, g) * g
        return table.reshape(shares, k, *g.shape[1:]).sum(0)

    return multiply, transpose


def _walsh_entries(i: Tensor, j: Tensor) -> Tensor:
    """Entries (-1)^popcount(i & j) of Sylvester's Hadamard matrix as int8, rows i, columns j."""
    parity = i[:, None] & j[None, :]
    for shift in (16, 8, 4, 2, 1):
        parity = parity ^ (parity >> shift)
    return (1 - 2 * (parity & 1)).to(torch.int8)


def _walsh_hadamard(x: Tensor) -> Tensor:
    """H x for x (2^m,) or (2^m, n), unnormalised: the index bits are transformed six at a time."""
    shape, left = x.shape, len(x)
    while left > 1:
        size = min(left, 64)
        x = _walsh_matrix(size, x.dtype, x.device) @ x.reshape(size, -1)
        # The transposition rotates the top index bits to the bottom; once round, all are in place.
        x = x.reshape(size, shape[0] // size, -1).transpose(0, 1)
        left //= size
    return x.reshape(shape)


def _along(signs: Tensor, x: Tensor) -> Tensor:
    """Signs (m,) in a shape that multiplies the rows of x (m,) or (m, n)."""
    return signs if x.dim() == 1 else signs[:, None]


@cache
def _walsh_matrix(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    index = torch.arange(size, device=device)
    return _walsh_entries(index, index).to(dtype)


class _Product(torch.autograd.Function):
    """A linear map whose derivative is its transpose, which has the map as its own derivative."""

    @staticmethod
    def forward(x: Tensor, multiply: LinearMap, transpose: LinearMap) -> Tensor:
        return _multiplied(x, multiply)

    @staticmethod
    def setup_context(
        ctx: Any, inputs: tuple[Tensor, LinearMap, LinearMap], output: Tensor
    ) -> None:
        ctx.multiply, ctx.transpose = inputs[1:]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return _apply(grad, ctx.transpose, ctx.multiply), None, None


def _multiplied(x: Tensor, multiply: LinearMap) -> Tensor:
    # Inside autocast the caller's layers may be bfloat16; parameters must not be.
    with torch.autocast(x.device.type, enabled=False):
        return multiply(x)


def _apply(x: Tensor, multiply: LinearMap, transpose: LinearMap) -> Tensor:
    if not (x.requires_grad and torch.is_grad_enabled()):
        # An autograd function takes ten times as long to call as a small map.
        return _multiplied(x, multiply)
    product = _Product.apply(x, multiply, transpose)  # type: ignore[no-untyped-call]
    return cast(Tensor, product)


def _check_length(x: Tensor, length: int, what: str) -> None:
    if x.dim() not in (1, 2) or x.shape[0] != length:
        raise ValueError(f"expected {length} {what}, shape ({length},), not {tuple(x.shape)}")
