"""The training of a pyramid under a budget of bytes or for a wanted PSNR, and its rounding.

Latents and networks are trained together while noise and soft rounding sharpen (C3, Kim et al.
2024). Towards the end the networks' layers are quantized one after the other, the rest adapting,
and λ is led to where the file has the wanted size or the picture the wanted error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inrcodec.entropy.layer import Layer
from inrcodec.entropy.model import LIMIT_MAGNITUDE, LayerModel, fit_model
from inrcodec.families.pyramid.fit.curvature import curvature_factor
from inrcodec.families.pyramid.fit.optimizer import NETWORK_RATE, Optimizer, learning_rate
from inrcodec.families.pyramid.fit.problem import Array, Prefix, PyramidProblem
from inrcodec.families.pyramid.fit.rdoq import DEFAULT as RDOQ
from inrcodec.families.pyramid.fit.rdoq import Rdoq
from inrcodec.families.pyramid.fit.start import start, warm_up, warm_up_steps
from inrcodec.l2.rounding import nearest_plane
from inrcodec.optim.clock import Clock
from inrcodec.prc import write

SHORT, LONG = 250, 800
"""Steps at which the first, and the second, of the pairs here measured best."""

HOT = (0.5, 0.6)
"""Temperature of the soft rounding at the start; at 800 steps 0.5 is 0.1 dB worse (kodim15,
kodim05 and kodim19 at half size), 0.7 is better for one and worse for two."""

COLD = (0.15, 0.12)
"""Temperature at the end."""

HARD_ERROR = 1.025
"""The error of hard rounding as a multiple of that of soft rounding, above which it is too hot: the
soft latents then hold what the file can't. It was 1.15 on fine texture (kodim13), and cost 0.25 dB;
led to 1.0 kodim15 at 0.6 bits per pixel is 0.2 behind."""

HEAT_GAIN, LEAST_HEAT = 1.0, 0.3
"""How fast the temperature follows, at each comparison, and the least share of `HOT` left."""

NOISE = (1.0, 0.65)
"""Width of the noise in a training that is as hot as `HOT`. It grows by the share of the heat that
is missing: textures, which are trained cooler, are 0.2 dB worse with 0.7 throughout, and smooth
pictures 0.35 better (8,000 steps at half size). After 85 steps 0.65 is 0.1 dB worse for all."""

LATENT_RATE = (0.25, 0.4)
"""Adam's peak rate, in steps of the quantizer; at 800 steps 0.25 is 0.1 dB worse."""

LAST_RATE = 0.02
"""Rates at the end, as a share of the peak; with 0.1 the loss is 2 % higher."""

CONTROL = 0.35
"""From this share of the training on λ follows the wanted size or error: the warm-up has told it
nearly. From 0.02 and 0.25 on a training of 130 steps is 0.15 and 0.07 dB behind, a long one level.
"""

SURPLUS = 1.5
"""At the same λ the rate falls while the training lasts, from about 1 + SURPLUS times the last."""

QUANTIZE = (0.75, 0.83)
"""When the first and the last layer's coefficients are rounded: synthesis first, then the context
network."""

START_SURPLUS = 0.65
"""The rate of the start, by plain frequencies, as a multiple of the wanted one: 1.0 is level at
half a bit per pixel, but 3 dB behind at 3 bits (96x64, 220 steps)."""

LIMIT_STARTS = 3

SETTLED = 1.08
"""The rate at the end of the training as a multiple of that after the warm-up, at the same λ."""

GAIN = 0.06
"""Most of λ's change in a step, as a share of the error of the rate."""

EXPECTED_BITS = 6.0
"""Of a network's coefficient, until it is quantized."""

NETWORK_PRICE = 2
"""A network's bit counts this much when its step is chosen: the rest then trains on, and makes up
for a part of what coarse steps cost."""

EMPTIED = 0.04
"""Share of the latents' bits that a plane may have to be emptied at the end: what is left can make
up for no more."""

EDGE = 32
"""No dead zone."""

LEAST_SHARE = 0.99
"""A byte budget is used to at least this share."""

AIM = 0.998
"""The share of a byte budget that λ is led to."""

EXCESS, EXCESS_RATES = (1.1, 1.03), (0.15, 0.3)
"""What latents may cost before they descend, as a multiple of what they shall, at so many bits per
pixel: single latents in large gaps can better be spared afterwards (docs/science.md)."""

_LOG_RATES = [math.log(rate) for rate in EXCESS_RATES]

DESCENT_WEIGHT = 1.5
"""λ of a first descent, as a multiple of the training's."""

GUIDED_STEPS, MOST_GUIDED = 800, 6
"""Steps of the training for each guided pass after the first one, and how many of these there are
at most: two bring nearly all (docs/science.md)."""

GUIDED_CHANGE = 2.0
"""Most that λ of a guided pass is another than that at the end of the one before."""

LOSS = 1.02
"""By how much such descents multiply the error."""

FINISH_RATE = 0.01
"""Of the peak rate, while λ is corrected once more after the training. Latents near integers have
hardly a gradient, and Adam makes a full step of it: faster ones lose more than λ brings."""

CLOSE = 0.02
"""How far below the wanted error, as a logarithm, no more is tried: 0.09 dB."""

DESCENT_SAVING = (2.0, RDOQ.saving)
"""Of `Rdoq`; without filters of planes 2 bits in place of 8 take half the time, for 0.012 dB
(four pictures)."""

AGAIN = 1.1
"""λ of a pass that makes the file larger again, at most, as a multiple of the training's."""

DESCENT_CHANGE = (1.5, 4.0)
"""λ of a pass that makes the file smaller, or larger, is so many times that of the one before."""

DESCENT_SLOPE = 12.0
"""The logarithm of that for the logarithm of how far the file is from the budget."""

LEAST_WEIGHT, MOST_WEIGHT = 0.7, 6.0
"""Of a descent, as a multiple of the training's λ; with less of it the latents are as they were
trained, with more it takes what they can't spare, and training them with a larger λ is better."""

LEAST_STEPS = 12
"""Of a correction of λ after the training."""

FIRST_RATIO, RATIO_GAIN = 4.0, 0.1
"""Error of a prefix as a multiple of the next one's, at the start, and how fast the weights of
prefixes follow their errors, each step."""

EARLY_CONTROL, EARLY_GAIN, EARLY_SURPLUS = 0.02, 120, 0.75
"""With early pictures: from this share of the training on λ and the prices of prefixes lead all to
their sizes, by a gain of so much over all steps, and what stands for `SURPLUS`. Latents with too
many bits for half of the training keep them, at a hundred times the price: with 0.1, 30 and 1.5
kodim15 is 0.3 to 0.5 dB worse as a whole, chest X-ray 00870a9c 0.1, kodim05 level (half size)."""

LEAST_LATENTS = 0.2
"""Share of a prefix that must be left for its latents; one with less is not led to its size."""

PRICES = (1e-3, 300.0)
"""Limits of the price of a prefix's bits, as a multiple of what its importance makes them worth."""

LIMIT_ROUNDS = 30
"""Attempts to come from near a budget to within it."""

SLOW = 0.8
"""What is left of the way to a PSNR after a correction of λ that hardly helps; three are enough."""


@dataclass(frozen=True)
class Early:
    """A prefix of a file that shall show a good picture of its own.

    Attributes:
        planes: the first ones, which it ends with.
        share: of the file's bytes, that it may have; None for what it comes to.
        importance: of a part of its error, where 1 is that of the same part of the whole's.
    """

    planes: int
    share: float | None
    importance: float


@dataclass(frozen=True)
class Goal:
    """What a file is made for: at most `size` bytes in all, or at least `psnr` dB; and what its
    prefixes show, ascending."""

    size: int | None = None
    psnr: float | None = None
    early: tuple[Early, ...] = ()

    @property
    def error(self) -> float:
        """The mean squared error that belongs to the PSNR, of samples in [-1, 1]."""
        assert self.psnr is not None
        return float(4 * 10 ** (-self.psnr / 10))


class PyramidFit:
    """The training of one picture's pyramid."""

    def __init__(
        self, problem: PyramidProblem, goal: Goal, steps: int, clock: Clock, icc: bytes
    ) -> None:
        """`steps` are those of the training; `icc` becomes part of the file."""
        self.problem, self.goal, self.clock, self.icc = problem, goal, clock, icc
        self._steps = steps
        length = min(1.0, max(0.0, math.log(steps / SHORT) / math.log(LONG / SHORT)))
        self._hot, self._cold, self._noise, self._latent_rate = (
            short + (long - short) * length for short, long in (HOT, COLD, NOISE, LATENT_RATE)
        )
        self._saving = DESCENT_SAVING[0] + (DESCENT_SAVING[1] - DESCENT_SAVING[0]) * length
        self._passes = min(MOST_GUIDED, 1 + steps // GUIDED_STEPS)
        self._models: list[tuple[LayerModel, NDArray[np.int32]] | None] = [None] * len(
            problem.alphas
        )
        self._count = 0
        self._hard, self._heat = (1.0, 1.0), 1.0
        self._hard_planes = np.ones(len(problem.planes))
        self._ratios = [FIRST_RATIO ** (len(goal.early) - k) for k in range(len(goal.early))]
        self._prices = [1.0] * len(goal.early)
        self._weight = _first_weight(problem, goal)
        sized = bool(goal.early) and goal.size is not None
        self._control_from = EARLY_CONTROL if sized else CONTROL
        self._surplus = EARLY_SURPLUS if goal.early else SURPLUS
        self._begin()
        problem.prefixes = [Prefix(early.planes) for early in goal.early]
        self._weigh()
        self._optimizer = Optimizer(problem)

    def _begin(self) -> None:
        """The start in closed form, with a λ whose steps give it a rate in want of training, and
        the warm-up from there, after which λ is better known."""
        problem, clock = self.problem, self.clock
        for _ in range(LIMIT_STARTS):
            start(problem, self._weight, problem.header.seed)
            if self.goal.size is None:
                break
            surplus = _entropy(problem) / (START_SURPLUS * self._latent_budget())
            if 0.87 < surplus < 1.15:
                break
            self._weight *= min(8.0, max(0.125, surplus**1.6))
        warmed = warm_up(
            problem,
            self._weight,
            warm_up_steps(self._steps),
            lambda pixels, psnr: clock.advance(pixels / problem.pixels, "fitting", psnr),
        )
        if warmed and self.goal.size is not None:
            bits = problem.loss(self._weight, 0)[1]
            self._weight *= min(2.0, max(0.25, (SETTLED * bits / self._latent_budget()) ** 2))

    def run(self) -> bytes | None:
        """Train, round, and make the file: None if no size was small enough, and one that misses
        the wanted PSNR if none reached it."""
        quantized, moments = 0, np.linspace(*QUANTIZE, len(self._models))
        for step in range(self._steps):
            share = step / self._steps
            rate = learning_rate(step, self._steps, LAST_RATE)
            hot = max(self._cold, self._hot * self._heat)
            temperature = hot + (self._cold - hot) * share
            if quantized < len(moments) and share >= moments[quantized]:
                self._quantize(quantized, temperature)
                quantized += 1
            ahead = self._ahead(share)
            self._step(temperature, rate, ahead if share > self._control_from else None)
        while quantized < len(moments):
            self._quantize(quantized, self._cold)
            quantized += 1
        return self._finish()

    def _step(
        self, temperature: float, rate: float, ahead: float | None, phase: str = "fitting"
    ) -> None:
        error, bits = self._optimizer.step(
            self._weight,
            temperature,
            NETWORK_RATE * rate,
            self._latent_rate * rate,
            [model is not None for model in self._models],
        )
        if phase == "fitting":
            if self.goal.early:
                self._balance(error)
            self._compare(error, bits)
        if ahead is not None:
            self._control(error, bits, ahead)
        size = round((bits + self._network_bits()) / 8) + self._overhead()
        self.clock.advance(1, phase, self.problem.psnr(error), size)

    def _compare(self, error: float, bits: float) -> None:
        """See now and then what hard rounding is worth more, or less, than soft rounding, and cool
        the training where its error is too much larger, with more noise."""
        if self._count % max(8, self._steps // 60) == 0:
            soft_bits = self.problem.plane_bits()
            hard_error, hard_bits = self.problem.loss(self._weight, 0)
            self._hard = (hard_error / error, hard_bits / bits)
            self._hard_planes = self.problem.plane_bits() / np.maximum(soft_bits, 1)
            change = math.exp(-HEAT_GAIN * (self._hard[0] - HARD_ERROR))
            self._heat = min(1.0, max(LEAST_HEAT, self._heat * change))
            self.problem.noise = min(1.0, self._noise + 1 - self._heat)
        self._count += 1

    def _balance(self, error: float) -> None:
        """Give prefixes the weight of their errors that makes parts of them, not themselves, count,
        and their planes' bits the price that leads them to their shares of the file."""
        share = self._count / self._steps
        planes = self.problem.plane_bits() * self._hard_planes
        other = 8 * (self._overhead() - len(self.icc)) + self._network_bits()
        if self.goal.size is not None:
            size, ahead = 8.0 * (self.goal.size - len(self.icc)), self._ahead(share)
        else:
            size, ahead = float(planes.sum()) / self._excess() + other, 1.0
        for k, (early, prefix) in enumerate(
            zip(self.goal.early, self.problem.prefixes, strict=True)
        ):
            self._ratios[k] += RATIO_GAIN * (prefix.error / error - self._ratios[k])
            if early.share is None or share < EARLY_CONTROL:
                continue
            wanted = AIM * early.share * size - other
            if wanted < LEAST_LATENTS * early.share * size:
                continue
            off = math.log(max(float(planes[: early.planes].sum()), 1.0) / (ahead * wanted))
            change = min(GAIN, EARLY_GAIN / self._steps) * min(1.0, max(-1.0, off))
            self._prices[k] = min(PRICES[1], max(PRICES[0], self._prices[k] * math.exp(change)))
        self._weigh()

    def _weigh(self) -> None:
        self.problem.price[:] = 1
        for early, prefix, ratio, price in zip(
            self.goal.early, self.problem.prefixes, self._ratios, self._prices, strict=True
        ):
            prefix.weight = early.importance / ratio
            if early.share is not None:
                self.problem.price[: early.planes] += early.importance * price

    def _control(self, error: float, bits: float, ahead: float) -> None:
        """Lead λ: twice too many bits double it in a thirtieth of the training."""
        if self.goal.size is not None:
            off = math.log(max(bits * self._hard[1], 1.0) / (ahead * self._latent_budget()))
        else:
            off = math.log(self.goal.error / max(LOSS * error * self._hard[0], 1e-9))
        gain = min(GAIN, 30 / self._steps)
        self._weight *= math.exp(gain * min(1.0, max(-1.0, off)))

    def _latent_budget(self) -> float:
        """Bits that are left for the latents."""
        assert self.goal.size is not None
        free = 8 * (AIM * self.goal.size - self._overhead()) - self._network_bits()
        return self._excess() * max(free, 0.1 * 8 * self.goal.size)

    def _excess(self) -> float:
        """What the latents are trained for, as a multiple of what the descent leaves of them, in
        the last set of planes alone."""
        planes, last = self.problem.plane_bits(), self.problem.architecture.sets[-1]
        bits = float(planes.sum()) if self.goal.size is None else 8.0 * self.goal.size
        excess = float(np.interp(math.log(max(bits, 1) / self.problem.pixels), _LOG_RATES, EXCESS))
        if last == len(planes) or not planes.any():
            return excess
        return 1 + (excess - 1) * float(planes[-last:].sum() / planes.sum())

    def _ahead(self, share: float) -> float:
        """How far the size may be above the wanted one after a share of the training."""
        return 1 + self._surplus * max(0.0, 0.9 - share) ** 2

    def _network_bits(self) -> float:
        """Of the quantized layers, and about what the others will have."""
        return sum(
            model[0].bits(model[1]) if model else EXPECTED_BITS * len(vector)
            for model, vector in zip(self._models, self.problem.alphas, strict=True)
        )

    def _overhead(self) -> int:
        """Bytes of a file besides coded coefficients and latents, about."""
        segments = 8 * (1 + len(self._parts()))
        return 38 + segments + 6 * len(self._models) + len(self.problem.planes) + len(self.icc)

    def _parts(self) -> list[int]:
        """Planes of each segment: the coarse ones come first, so that a prefix shows a picture."""
        levels = self.problem.architecture.levels
        if self.goal.early:
            ends = [early.planes for early in self.goal.early if early.share is not None]
            return [b - a for a, b in pairwise([0, *ends, len(levels)])]
        coarse = sum(level >= 2 for level in levels)
        large = self.goal.size is None or self.goal.size >= 1000
        return (
            [coarse, len(levels) - coarse] if large and 0 < coarse < len(levels) else [len(levels)]
        )

    def _quantize(self, index: int, temperature: float) -> None:
        """Round a layer's coefficients with the step of the least loss, its own bits counted."""
        context = index >= self.problem.architecture.synthesis_blocks
        stride = 8 if context else 4
        alpha = self._optimizer.vectors[index].numpy().astype(np.float64)
        spread = max(float(np.sqrt(np.mean(alpha**2))), 1e-6)
        finest = round((192 + 8 * math.log2(spread / 200)) / stride) * stride
        factor = curvature_factor(self.problem, index, self._weight, self._count)
        first = min(max(finest, 0), 200)
        error, bits = self.problem.loss(self._weight, temperature, self._optimizer.seed)
        best, worse, least = _round(alpha, first, factor), 0, math.inf
        # From fine to coarse: a layer that is far too coarse has no slope to follow.
        for code in range(first, 249, stride):
            model = _round(alpha, code, factor)
            self.problem.alphas[index] = _values(model)
            if context:
                bits = self.problem.bits()
            else:
                error = self.problem.distortion()
            total = bits + NETWORK_PRICE * model[0].bits(model[1])
            cost = error + self._weight * total / self.problem.pixels
            worse = 0 if cost < least else worse + 1
            if cost < least:
                best, least = model, cost
            if worse == 2:
                break
        self._models[index] = best
        self.problem.alphas[index] = _values(best)

    def _finish(self) -> bytes | None:
        """Come to within the goal by short trainings of the latents alone."""
        self._empty()
        if self.goal.size is None:
            return self._reach_psnr()
        return self._meet_size(self.goal.size) or self._cut()

    def _empty(self) -> None:
        """Empty the finest planes as far as that pays: an empty plane is not coded, where the zeros
        beside a few other latents cost a little each, 2 % of kodim05 at 0.08 bits per pixel.

        Not if the file is too small already, since less is left then to make it larger.
        """
        problem, least = self.problem, self._cost()
        bits = problem.plane_bits()
        if self.goal.size is not None and bits.sum() < 0.95 * self._latent_budget():
            return
        for k in reversed(range(1, len(problem.planes))):
            plane = problem.planes[k]
            latents, before = plane.inner(problem.y), plane.inner(problem.y).copy()
            if not np.rint(before).any():
                continue
            if bits[k] > EMPTIED * bits.sum():
                return
            latents[:] = 0
            cost = self._cost()
            if cost > least:
                latents[:] = before
                return
            least = cost

    def _cost(self) -> float:
        """Error and rate of the rounded latents, of the planes that are coded."""
        problem = self.problem
        error, _ = problem.loss(self._weight, 0)
        coded = [bool(plane.inner(problem.q).any()) for plane in problem.planes]
        return error + self._weight * float(problem.plane_bits() @ coded) / problem.pixels

    def _reach_psnr(self) -> bytes:
        """The smallest file found of at least the PSNR, or else the one nearest to it."""
        best, nearest, least, slow = None, b"", math.inf, 0
        for _ in range(LIMIT_ROUNDS):
            descent = self._descend(self._weight * DESCENT_WEIGHT)
            for _ in range(self._passes):
                descent.use_gradient(self._weight)
                descent.run_pass(self._weight)
            off = math.log(descent.error / self.goal.error)
            # Networks that were rounded for a larger error don't get there by finer latents.
            slow = slow + 1 if off > SLOW * least else 0
            if off <= 0:
                data = self._written(descent)
                best = data if best is None else min(best, data, key=len)
                if off > -CLOSE:
                    break
            elif off < least:
                nearest, least = self._written(descent), off
            if best is None and slow == 3:
                break
            self._correct(-off - CLOSE / 2)
        return best or nearest

    def _meet_size(self, size: int) -> bytes | None:
        """The best file found within the budget, of those that use it.

        Guided passes are led to its size one after the other; where there are none, or they end
        elsewhere, see `_come_near`.
        """
        weight = self._weight * DESCENT_WEIGHT
        descent = self._descend(weight)
        data, best, least = self._written(descent), None, math.inf
        for _ in range(self._passes):
            change = math.exp(DESCENT_SLOPE * math.log(len(data) / (AIM * size)))
            weight *= min(GUIDED_CHANGE, max(1 / GUIDED_CHANGE, change))
            weight = min(MOST_WEIGHT * self._weight, weight)
            descent.use_gradient(weight)
            weight = descent.run_to(weight, descent.bits + 8 * (AIM * size - len(data)))
            data = self._written(descent)
            if LEAST_SHARE * size <= len(data) <= size and descent.error < least:
                best, least = data, descent.error
        return best or self._come_near(size, descent, weight / self._weight)

    def _come_near(self, size: int, descent: Rdoq, weight: float) -> bytes | None:
        """The largest file found within the budget, from where a descent at `weight` · λ is.

        After a pass that leaves too little, or too much, another is led to the wanted size. Where
        that needs too little of λ, or too much, the latents train on for a moment, with one that
        changes the more, and far faster, the oftener it has to. Where no λ has a file near
        enough, it is mixed from one that is too large and one that is too small.
        """
        best: bytes | None = None
        over = under = np.zeros(0, np.float32)
        corrections = 0
        for _ in range(LIMIT_ROUNDS):
            data = self._written(descent)
            if len(data) > size:
                over = descent.q.copy()
            elif best is None or len(data) > len(best):
                best, under = data, descent.q.copy()
            if best and len(best) >= LEAST_SHARE * size:
                return best
            off = math.log(len(data) / (AIM * size))
            led = weight < MOST_WEIGHT if off > 0 else weight > LEAST_WEIGHT
            if led:
                least, most = DESCENT_CHANGE
                change = min(most, max(least, math.exp(DESCENT_SLOPE * abs(off))))
                weight = weight * change if off > 0 else min(weight / change, AGAIN)
                weight = max(LEAST_WEIGHT, weight)
                wanted = descent.bits + 8 * (AIM * size - len(data))
                weight = descent.run_to(self._weight * weight, wanted) / self._weight
            else:
                corrections += 1
                self._correct(corrections * off, min(corrections**2, 100) * FINISH_RATE)
                weight = DESCENT_WEIGHT
                descent = self._descend(self._weight * weight)
        if best is None:
            self.problem.y[:] = descent.q
        elif over.size:
            return self._mix(over, best, under)
        return best

    def _written(self, descent: Rdoq) -> bytes:
        return self._write(self.problem.integers(descent.q))

    def _descend(self, weight: float) -> Rdoq:
        descent = Rdoq(self.problem, replace(RDOQ, saving=self._saving))
        descent.run_pass(weight)
        return descent

    def _correct(self, off: float, rate: float = FINISH_RATE) -> None:
        """Train the latents for a moment with another λ, at a share of the peak rate; `off` is the
        logarithm of the excess."""
        self._weight *= math.exp(5 * min(0.2, max(-0.2, off)))
        for _ in range(max(LEAST_STEPS, self._steps // 50)):
            self._step(self._cold, rate, None, "rounding")

    def _mix(self, over: Array, data: bytes, under: Array) -> bytes:
        """The largest file found within the budget with `over` in the upper part and `under` below.

        Where no row is the border that it should be, it is a place in one.
        """
        assert self.goal.size is not None
        problem, low, high = self.problem, 0, self.problem.pixels
        while high - low > 1 and len(data) < AIM * self.goal.size:
            middle = (low + high) // 2
            problem.y[:] = under
            for plane in problem.planes:
                latents, given = plane.inner(problem.y), plane.inner(over)
                rows, rest = divmod(middle * latents.size // problem.pixels, plane.shape[1])
                latents[:rows] = given[:rows]
                latents[rows : rows + 1, :rest] = given[rows : rows + 1, :rest]
            mixed = self._write(problem.integers(problem.y))
            if len(mixed) > self.goal.size:
                high = middle
            else:
                low, data = middle, max(data, mixed, key=len)
        return data

    def _cut(self) -> bytes | None:
        """A file within the budget after rows of planes are emptied, the finest first."""
        assert self.goal.size is not None
        for plane in reversed(self.problem.planes[1:]):
            over = self.problem.y.copy()
            plane.view(self.problem.y)[:] = 0
            data = self._write(self.problem.integers(self.problem.y))
            if len(data) <= self.goal.size:
                return self._mix(over, data, self.problem.y.copy())
        return None

    def _write(self, latents: Sequence[NDArray[np.int32]]) -> bytes:
        layers = [Layer(*model) for model in self._models if model]
        return write(
            self.problem.header, layers, icc=self.icc, latents=latents, parts=self._parts()
        )


def _entropy(problem: PyramidProblem) -> float:
    """Bits of the rounded latents, each plane by its own frequencies."""
    bits = 0.0
    for plane in problem.integers(problem.y):
        counts = np.unique(plane, return_counts=True)[1]
        bits -= float((counts * np.log2(counts / plane.size)).sum())
    return bits


def _first_weight(problem: PyramidProblem, goal: Goal) -> float:
    """A λ to begin with, which the control then corrects."""
    if goal.psnr is not None:
        return 2.5 * goal.error
    assert goal.size is not None
    # The error falls by 6 dB a bit; the constant is that of a picture of middling detail.
    rate = 8 * goal.size / problem.pixels
    return float(0.02 * 2 ** (-4 * min(rate, 3.0)))


def _round(
    alpha: NDArray[np.float64], step: int, factor: NDArray[np.float64]
) -> tuple[LayerModel, NDArray[np.int32]]:
    size = 2 ** ((step - 192) / 8)
    symbols = nearest_plane(alpha, factor, EDGE / 64 * size, size, LIMIT_MAGNITUDE)
    return fit_model(symbols, step, EDGE), symbols


def _values(quantized: tuple[LayerModel, NDArray[np.int32]]) -> Tensor:
    model, symbols = quantized
    return torch.from_numpy(model.dequantize(symbols)).float()
