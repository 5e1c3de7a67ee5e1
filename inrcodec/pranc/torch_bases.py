"""The pseudo-random bases as differentiable maps of PyTorch, `Bα` and `Bᵀg`, on any device.

They are the bases of `bases`, from the same draws, and tested against it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding

from inrcodec.pranc import philox
from inrcodec.pranc.bases import kronecker_factor, walsh_entries
from inrcodec.pranc.layout import coefficient_shape
from inrcodec.pranc.philox import Purpose

CHUNK = 1 << 20
"""Entries of the dense basis that exist at one time, unless one basis network has more."""

Device = torch.device | str
LinearMap = Callable[[Tensor], Tensor]
Maps = tuple[LinearMap, LinearMap]
"""The map by B and the one by its transpose."""


@dataclass(frozen=True, eq=False)
class Basis:
    """One block's basis B: k basis networks of D parameters each."""

    name: str
    D: int
    k: int
    _multiply: LinearMap = field(repr=False)
    _transpose: LinearMap = field(repr=False)
    _window: Callable[[int, int], Maps] | None = field(default=None, repr=False)

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

    def window(self, start: int, stop: int) -> Basis:
        """The basis networks `start` to `stop` - 1 alone, of the same scale.

        The dense basis draws no others. The maps of other bases take as long as with all.

        >>> basis = make_basis("dense", 3, 5, compaction=128, seed=7, index=0)
        >>> alpha = torch.arange(8.0)
        >>> parts = [basis.window(*at).expand(alpha[slice(*at)]) for at in ((0, 3), (3, 8))]
        >>> torch.allclose(sum(parts), basis.expand(alpha))
        True

        Raises ValueError unless 0 ≤ start < stop ≤ k.
        """
        if not 0 <= start < stop <= self.k:
            raise ValueError(f"no window from {start} to {stop} of {self.k} coefficients")
        maps = self._window(start, stop) if self._window else self._cut(start, stop)
        return Basis(self.name, self.D, stop - start, *maps)

    def _cut(self, start: int, stop: int) -> Maps:
        def multiply(alpha: Tensor) -> Tensor:
            padded = alpha.new_zeros(self.k, *alpha.shape[1:])
            padded[start:stop] = alpha
            return self._multiply(padded)

        return multiply, lambda g: self._transpose(g)[start:stop]


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
    M = coefficient_shape(name, rows, cols, compaction)
    given = (rows, cols), M, seed, index, device
    window = partial(_WINDOWS[name], *given) if name in _WINDOWS else None
    return Basis(name, rows * cols, math.prod(M), *_MAPS[name](*given), window)


def _identity(
    shape: tuple[int, int], ranks: tuple[int, int], seed: int, index: int, device: Device
) -> Maps:
    return torch.clone, torch.clone


def _dense(
    shape: tuple[int, int], ranks: tuple[int, int], seed: int, index: int, device: Device
) -> Maps:
    """B[:, j] = signs of stream (j, index, SIGNS) / √k, drawn anew where α or g are."""
    return _dense_window(shape, ranks, seed, index, device, 0, math.prod(ranks))


def _dense_window(
    shape: tuple[int, int],
    ranks: tuple[int, int],
    seed: int,
    index: int,
    device: Device,
    first: int,
    last: int,
) -> Maps:
    """The columns `first` to `last` - 1 of the dense basis."""
    D = math.prod(shape)
    blocks = -(-D // 128)
    networks = max(1, CHUNK // (128 * blocks))
    key, scale = philox.key(seed), 1 / math.sqrt(math.prod(ranks))

    def chunk(start: int, like: Tensor) -> Tensor:
        """Basis networks start, start + 1, … as rows of ±1."""
        item = torch.arange(start, min(start + networks, last), device=like.device)[:, None]
        counter = torch.arange(blocks, device=like.device)
        block, purpose = (torch.full_like(counter[:1], part) for part in (index, Purpose.SIGNS))
        words = torch.stack(philox.rounds((counter, item, block, purpose), key), -1).flatten(-2)
        return _word_signs(words, like.dtype)[:, :D]

    def multiply(alpha: Tensor) -> Tensor:
        theta = alpha.new_zeros(D, *alpha.shape[1:])
        for start in range(first, last, networks):
            theta += chunk(start, alpha).T @ alpha[start - first : start - first + networks]
        return theta * scale

    def transpose(g: Tensor) -> Tensor:
        return torch.cat([chunk(start, g) @ g for start in range(first, last, networks)]) * scale

    return multiply, transpose


def _hadamard(
    shape: tuple[int, int], ranks: tuple[int, int], seed: int, index: int, device: Device
) -> Maps:
    """B = P₂ H S₂ P₁ H S₁ E / √(n k), with E padding k to n = 2^ceil(log2 D) and P₂ keeping D."""
    D, k = math.prod(shape), math.prod(ranks)
    n = 1 << (D - 1).bit_length()
    sign1, sign2 = (_signs(seed, (i, index, Purpose.SIGNS), n, device) for i in (0, 1))
    order1, order2 = (_permutation(seed, (i, index, Purpose.ORDER), n, device) for i in (0, 1))
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
) -> Maps:
    """Bα = U M Vᵀ / √k, with M the coefficients and Bα the parameters, both row by row."""
    U, V = (
        torch.from_numpy(kronecker_factor(shape[i], ranks[i], i, seed, index)).to(device)
        for i in (0, 1)
    )
    scale = 1 / math.sqrt(math.prod(ranks))

    @cache
    def factors(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        return U.to(dtype) * scale, V.to(dtype)

    def multiply(alpha: Tensor) -> Tensor:
        u, v = factors(alpha.dtype)
        return _matrix_by_matrix(alpha, ranks, lambda M: u @ M @ v.T)

    def transpose(g: Tensor) -> Tensor:
        u, v = factors(g.dtype)
        return _matrix_by_matrix(g, shape, lambda G: u.T @ G @ v)

    return multiply, transpose


def _matrix_by_matrix(x: Tensor, shape: tuple[int, int], multiply: LinearMap) -> Tensor:
    """A map of matrices for the columns of x (m,) or (m, n), each a matrix row by row."""
    if x.dim() == 1:
        return multiply(x.reshape(shape)).flatten()
    return multiply(x.T.reshape(-1, *shape)).flatten(1).T


def _sparse(
    shape: tuple[int, int], ranks: tuple[int, int], seed: int, index: int, device: Device
) -> Maps:
    """(Bα)ᵢ = sᵢ α[p(i) mod k], with p a permutation of D: all coefficients share equally."""
    D, k = math.prod(shape), math.prod(ranks)
    signs = _signs(seed, (0, index, Purpose.SIGNS), D, device)
    place = _permutation(seed, (0, index, Purpose.ORDER), D, device)
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


_MAPS: dict[str, Callable[[tuple[int, int], tuple[int, int], int, int, Device], Maps]] = {
    "identity": _identity,
    "dense": _dense,
    "hadamard": _hadamard,
    "kronecker": _kronecker,
    "sparse": _sparse,
}
"""From (rows, cols), the shape of the coefficients, seed, block index and device to the maps."""

_WINDOWS: dict[str, Callable[..., Maps]] = {"dense": _dense_window}
"""The bases of which some basis networks can be drawn alone: from the arguments of `_MAPS`, the
first network and the last + 1 to the maps."""


def _signs(seed: int, stream: philox.Stream, count: int, device: Device) -> Tensor:
    return torch.from_numpy(philox.signs(seed, stream, count)).to(device)


def _permutation(seed: int, stream: philox.Stream, count: int, device: Device) -> Tensor:
    return torch.from_numpy(philox.permutation(seed, stream, count)).to(device)


def _word_signs(words: Tensor, dtype: torch.dtype) -> Tensor:
    """The 32 signs of each word, (…, W) to (…, 32 W), as `philox.word_signs`."""
    # A table of the signs of each byte is many times faster than shifting by 32 bit positions.
    shifts = torch.arange(0, 32, 8, device=words.device)
    bits = torch.arange(256, device=words.device)[:, None] >> torch.arange(8, device=words.device)
    table = (1 - 2 * (bits & 1)).to(dtype)
    return embedding((words[..., None] >> shifts) & 255, table).flatten(-3)


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


@cache
def _walsh_matrix(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    index = np.arange(size)
    return torch.from_numpy(walsh_entries(index, index)).to(device, dtype)


def _along(signs: Tensor, x: Tensor) -> Tensor:
    """Signs (m,) in a shape that multiplies the rows of x (m,) or (m, n)."""
    return signs if x.dim() == 1 else signs[:, None]


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
