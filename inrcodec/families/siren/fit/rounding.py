"""From a fit to a file of the wanted size: layers are rounded in turn, and the rest refitted.

A layer is rounded in the metric of its curvature, so that its coefficients answer each other's
errors (`l2.rounding`). Then it stays as it is, and the layers above it are trained on: they learn
to live with what rounding left. So each layer's step is chosen when the bits that all before it
took are known, and the last two make the file end at its budget.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inrcodec.entropy.layer import Layer
from inrcodec.entropy.model import LIMIT_MAGNITUDE, Symbols, fit_model
from inrcodec.entropy.passes import by_magnitude
from inrcodec.families.siren.fit.curvature import Group, curvature, sensitivity
from inrcodec.families.siren.fit.order import by_contribution
from inrcodec.families.siren.fit.problem import Problem
from inrcodec.families.siren.fit.train import psnr_of
from inrcodec.kernels.threads import one_thread
from inrcodec.l2.rounding import nearest_plane
from inrcodec.optim.clock import Clock, cosine
from inrcodec.optim.soap import Soap
from inrcodec.prc import read, write

REFIT_RATE = 0.02
"""Peak learning rate of each refit, in initial standard deviations per step: a tenth of the fit's.
Half of it is 0.09 dB worse on kodim15 and the same on kodim05, a quarter worse on both."""

STEP_ZERO = 192
STEPS_PER_OCTAVE = 8
EDGE = 32
"""The file's codes: step 2^((code - 192)/8), edge in 1/64 steps (docs/format.md). An edge of half a
step is no dead zone: a wider one brought nothing (variation `dead-zone`)."""

LARGEST_CODE = 255

FINER = 8
"""Most codes by which the output layer is finer than planned, where bytes are left for it."""

LIMIT_LATE = 3
"""How often a file is made anew because a stage of its network ends too late."""

CLOSE = 0.1
"""Decibels above a wanted PSNR that are as good as it."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A complete file, and what it gives."""

    data: bytes
    psnr: float


@dataclass(frozen=True, eq=False)
class Rounded:
    """A layer's quantized coefficients, a part for each matrix in them."""

    parts: tuple[Layer, ...]

    @property
    def values(self) -> NDArray[np.float64]:
        """The coefficients (k,)."""
        return np.concatenate([part.values for part in self.parts])

    @property
    def bits(self) -> float:
        """The ideal code length of the symbols, bits."""
        return sum(part.bits for part in self.parts)


@dataclass(frozen=True)
class Rounding:
    """How rounding goes: SOAP steps after each layer, and pixels that show the curvature."""

    refit_steps: int
    curvature_pixels: int


@dataclass(eq=False)
class RateControl:
    """Makes files of one fit, of any size.

    `order` is one of `fit.order.ORDERS`. `ends` are the shares of a file at which a network's
    stages should end, or a little before. `sizes` are those of all files made so far, bytes,
    fitting or not; `best_psnr` is the highest.
    """

    problem: Problem
    alphas: Sequence[Tensor]
    rounding: Rounding
    clock: Clock
    icc: bytes = b""
    withheld: int = 0
    order: str = "none"
    ends: Sequence[float] = ()
    sizes: list[int] = field(default_factory=list)
    best_psnr: float = -math.inf

    def __post_init__(self) -> None:
        """Learn how much the picture feels each layer.

        The problem computes in float32 then: in bfloat16 a refit would make the best of weights
        that are rounded to 8 bits, which a file's are not.
        """
        self.problem.compute_in(torch.float32)
        layers = range(len(self.alphas))
        self._groups = curvature(self.problem, self.alphas, self.rounding.curvature_pixels, layers)
        # With steps like these, distortion rises with the rate in all matrices alike.
        balances = [
            np.array([_balance(part) for part in self._split(layer, sensitivity(groups))])
            for layer, groups in enumerate(self._groups)
        ]
        self._balance = [float(balance[0]) for balance in balances]
        self._offsets = [np.round(balance - balance[0]).astype(int) for balance in balances]
        empty = [self._quantized(i, _zeros(alpha), 0) for i, alpha in enumerate(self.alphas)]
        self._overhead = len(self._file(empty))

    def within(self, budget: int, least: float) -> Candidate | None:
        """A file of at most `budget` bytes that uses at least the share `least` of them.

        None if there is none.
        """
        found = self._attempt(budget, least)
        for _ in range(LIMIT_LATE):
            if found is None or not self._coarsen_late(found.data):
                break
            found = self._attempt(budget, least) or found
        return found

    def _coarsen_late(self, data: bytes) -> bool:
        """Give stages that end too late in a file coarser steps; whether there are any."""
        if not self.ends:
            return False
        parts = read(data).parts[1:]
        counts = np.sum([self.problem.sizes(layer) for layer in range(len(self.alphas))], 0)
        late = False
        for stage, (share, part) in enumerate(zip(self.ends[:-1], parts, strict=False), 1):
            excess = part.offset + part.size - share * (len(data) - len(self.icc))
            if excess > 0:
                # What they lose the later ones gain.
                early, later = counts[:stage].sum(), counts[stage:].sum()
                bits = 8 * excess * (early + later) / (early * later)
                coarser = math.ceil(STEPS_PER_OCTAVE * bits)
                for offsets in self._offsets:
                    offsets[stage:] -= coarser
                late = True
        return late

    def _attempt(self, budget: int, least: float) -> Candidate | None:
        alphas = [alpha.clone() for alpha in self.alphas]
        layers: list[Rounded] = []
        bits = 8.0 * (budget - self._overhead)
        for index in range(len(alphas) - 2):
            code = self._plan(alphas, index, bits)[0]
            layers.append(self._round(alphas, index, code, self._metric(alphas, index)))
            bits -= layers[-1].bits
            self._refit(alphas, layers)
        return self._end(alphas, layers, budget, least, self._plan(alphas, len(layers), bits))

    def _end(
        self,
        alphas: list[Tensor],
        layers: list[Rounded],
        budget: int,
        least: float,
        plan: Sequence[int],
    ) -> Candidate | None:
        """The last two layers, which take the bytes that are left."""
        index = len(layers)
        metric, plain = self._metric(alphas, index), self._groups[index + 1]

        def trial(code: int) -> int:
            layer = self._round(alphas, index, code, metric)
            shift = code - plan[0]
            output = self._round(alphas, index + 1, plan[1] + shift, plain)
            return len(self._file([*layers, layer, output])) - budget

        code = _least_code(trial, plan[0], self._finest(alphas, index), len(alphas[index]))
        for coarser in range(4):
            if code is None or code + coarser > LARGEST_CODE:
                return None
            moved, all_ = list(alphas), list(layers)
            all_.append(self._round(moved, index, code + coarser, metric))
            self._refit(moved, all_)
            found = self._output(moved, all_, budget, plan[1] + code + coarser - plan[0])
            if found is not None:
                return found if len(found.data) >= least * budget else None
        return None

    def _output(
        self, alphas: list[Tensor], layers: list[Rounded], budget: int, planned: int
    ) -> Candidate | None:
        """The file of the finest output layer that fits, but not far finer than planned."""
        index = len(layers)
        metric = self._metric(alphas, index)

        def file(code: int) -> bytes:
            return self._file([*layers, self._round(alphas, index, code, metric)])

        finest = max(self._finest(alphas, index), planned - FINER)
        code = _least_code(
            lambda code: len(file(code)) - budget, planned, finest, len(alphas[index])
        )
        if code is None:
            return None
        layers = [*layers, self._round(alphas, index, code, metric)]
        whole = [part for layer in layers for part in layer.parts]
        listed = by_contribution(self.problem, whole) if self.order == "contribution" else ()
        data = self._file(layers, listed)
        if len(data) > budget:
            # Orders differ by a byte or two.
            return self._output(alphas, layers[:-1], budget - 4, planned)
        values = [
            torch.from_numpy(layer.values).to(self.problem.device, torch.float32)
            for layer in layers
        ]
        psnr = self.problem.psnr(values)
        self.best_psnr = max(self.best_psnr, psnr)
        return Candidate(data, psnr)

    def reaching(self, psnr: float, budget: int) -> Candidate | None:
        """The smallest file found whose picture has at least `psnr` dB, or None.

        The search starts at `budget` bytes.
        """
        k = sum(len(alpha) for alpha in self.alphas)
        low, high = float(self._overhead), math.inf
        best: Candidate | None = None
        for _ in range(6):
            found = self.within(budget, 0.0)
            if found is None:
                low = max(low, budget)
            elif found.psnr >= psnr:
                high = len(found.data)
                best = found
                if found.psnr < psnr + CLOSE:
                    break
            else:
                low = max(low, len(found.data))
                if len(found.data) < 0.9 * budget or found.psnr > self._ceiling - CLOSE:
                    # Finer steps have nothing left to give.
                    break
            # Six decibels a bit, where rounding is what limits the picture.
            missing = 0.0 if found is None else psnr + CLOSE / 2 - found.psnr
            budget = round(budget + missing / 6 * k / 8)
            if not low < budget < high:
                budget = round((low + high) / 2 if math.isfinite(high) else 1.25 * low)
            if high - low < 0.01 * high:
                break
        return best

    @cached_property
    def _ceiling(self) -> float:
        """PSNR of the unrounded fit, dB."""
        return self.problem.psnr(self.alphas)

    def _metric(self, alphas: Sequence[Tensor], index: int) -> list[Group]:
        if index == 0:
            return self._groups[0]
        return curvature(self.problem, alphas, self.rounding.curvature_pixels, [index])[0]

    def _plan(self, alphas: Sequence[Tensor], first: int, bits: float) -> list[int]:
        """Step codes of the layers from `first` on that together cost about `bits`."""
        low, high = -1024.0, 1024.0
        for _ in range(40):
            middle = (low + high) / 2
            shift = middle - STEP_ZERO
            rate = sum(
                gaussian_bits(part, 2 ** ((balance + offset + shift) / STEPS_PER_OCTAVE))
                for index, balance in list(enumerate(self._balance))[first:]
                for part, offset in self._parts(alphas, index)
            )
            low, high = (middle, high) if rate > bits else (low, middle)
        return [
            max(self._finest(alphas, index), _limited(round(balance + high)))
            for index, balance in list(enumerate(self._balance))[first:]
        ]

    def _split(self, index: int, vector: NDArray[Any]) -> list[NDArray[Any]]:
        """A layer's vector (k,) by the matrices in it."""
        return np.split(vector, np.cumsum(self.problem.sizes(index))[:-1])

    def _parts(self, alphas: Sequence[Tensor], index: int) -> Iterator[tuple[Tensor, int]]:
        """Coefficients of a layer's matrices, and how much their codes are above the layer's."""
        parts = alphas[index].split(self.problem.sizes(index))
        return zip(parts, self._offsets[index].tolist(), strict=True)

    def _round(
        self, alphas: Sequence[Tensor], index: int, code: int, groups: Sequence[Group]
    ) -> Rounded:
        codes = np.repeat(self._codes(index, code), self.problem.sizes(index))
        steps = 2.0 ** ((codes - STEP_ZERO) / STEPS_PER_OCTAVE)
        # In units of the steps they all have the same one.
        values = alphas[index].double().cpu().numpy() / steps
        symbols = [
            nearest_plane(
                values[group.start : group.stop],
                group.factor * steps[group.start : group.stop, None],
                EDGE / 64,
                1.0,
                LIMIT_MAGNITUDE,
            )
            for group in groups
        ]
        return self._quantized(index, np.concatenate(symbols), code)

    def _codes(self, index: int, code: int) -> NDArray[np.int64]:
        """The step codes of a layer's matrices, where its own is `code`."""
        codes: NDArray[np.int64] = np.clip(code + self._offsets[index], 0, LARGEST_CODE)
        return codes

    def _quantized(self, index: int, symbols: Symbols, code: int) -> Rounded:
        parts = zip(self._split(index, symbols), self._codes(index, code).tolist(), strict=True)
        gaussian = self.problem.staged
        return Rounded(tuple(Layer(fit_model(q, step, EDGE, gaussian), q) for q, step in parts))

    @one_thread()
    def _refit(self, alphas: list[Tensor], layers: Sequence[Rounded]) -> None:
        """Set the last of `layers` to its rounded values, and train those that follow it."""
        problem, first = self.problem, len(layers)
        rounded = torch.from_numpy(layers[-1].values)
        alphas[first - 1] = rounded.to(problem.device, torch.float32)
        free = [alpha.clone() for alpha in alphas[first:]]
        pieces = problem.pieces(free, first)
        soap = Soap(pieces, problem.shapes[-len(pieces) :], problem.rates[-len(pieces) :])
        alphas[first:] = free
        steps = self.rounding.refit_steps
        for step in range(steps):
            loss, gradients = problem.gradient(alphas, problem.sample(), first)
            soap.step(REFIT_RATE * cosine(step, steps), problem.pieces(gradients, first))
            self.clock.advance(1, "quantize", psnr_of(loss))

    def _file(self, layers: Sequence[Rounded], listed: Sequence[int] = ()) -> bytes:
        """The file; without the list that an order by contribution has, one of about that size."""
        order: str | Sequence[int] = "" if self.order == "none" else self.order
        blocks = self.problem.in_file([layer.parts for layer in layers])
        if self.order == "contribution":
            order = listed or by_magnitude([block.model for block in blocks])
        withheld = 0 if order else self.withheld
        data = write(self.problem.header, blocks, withheld, self.icc, order=order)
        self.sizes.append(len(data))
        return data

    def _finest(self, alphas: Sequence[Tensor], index: int) -> int:
        """A layer's least step code: its largest coefficients must still have symbols."""
        # An eighth more leaves room for what rounding shifts from one coefficient to another.
        steps = [
            (1.125 * max(float(part.abs().max()), 1e-9) / LIMIT_MAGNITUDE, offset)
            for part, offset in self._parts(alphas, index)
        ]
        return max(
            _limited(round(STEPS_PER_OCTAVE * math.log2(step)) + STEP_ZERO + 1 - offset)
            for step, offset in steps
        )


def gaussian_bits(alpha: Tensor, step: float) -> float:
    """Bits of Gaussian coefficients (k,) at a step: the rate of a channel with that much noise.

    It tends to 0 for coarse steps and to h - log2(step) for fine ones.

    >>> round(gaussian_bits(torch.tensor([1.0, -1.0]), 0.125), 2)
    10.1
    """
    variance = alpha.double().square().mean().item()
    return len(alpha) * 0.5 * math.log2(1 + 2 * math.pi * math.e * variance / step**2)


def _least_code(excess: Callable[[int], int], start: int, finest: int, k: int) -> int | None:
    """The finest step code whose `excess` bytes are at most 0, or None; k coefficients have it."""
    low, high, code = finest - 1, LARGEST_CODE + 1, max(finest, start)
    while high - low > 1:
        bytes_over = excess(code)
        low, high = (code, high) if bytes_over > 0 else (low, code)
        # A coefficient costs one bit less where its step is twice as large.
        move = math.ceil(8 * bytes_over / k * STEPS_PER_OCTAVE)
        code = min(high - 1, max(low + 1, code + move))
    return high if high <= LARGEST_CODE else None


def _balance(sensitivities: NDArray[np.float64]) -> float:
    """The step code of coefficients so sensitive, but for what the codes of all have in common."""
    return float(-STEPS_PER_OCTAVE / 2 * np.log2(sensitivities.mean()) + STEP_ZERO)


def _limited(code: int) -> int:
    return min(LARGEST_CODE, max(0, code))


def _zeros(alpha: Tensor) -> Symbols:
    return np.zeros(len(alpha), np.int32)
