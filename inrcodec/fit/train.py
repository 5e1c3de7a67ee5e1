"""The two trained phases: the fit of real coefficients, and L² with the steps that code them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from inrcodec.fit.curvature import Group, sensitivity
from inrcodec.fit.problem import Problem
from inrcodec.fit.schedule import Clock, cosine
from inrcodec.fit.soap import Soap
from inrcodec.l2.budget import excess
from inrcodec.l2.counter import code_bits, histogram
from inrcodec.l2.transform import from_symbols, to_symbols

FIT_RATE = 0.2
"""Peak learning rate of the fit, in initial standard deviations per step."""

L2_RATE = 0.07
"""Peak learning rate of the coefficients under L², in units of the median layer's quantizer step:
what a fine quantizer can resolve, a coarse learning rate would destroy."""

STEP_RATE = 0.02
"""Peak learning rate of log steps and log edges."""

BUDGET_WEIGHT = 25.0
"""What exceeding the budget costs, in units of the loss: well above what the bits can buy."""


CHECK = 50
"""Steps over which the fit's loss is averaged to see whether it diverges."""

DIVERGED = 1.5
"""A loss so many times the least one so far means that the learning rate was too high."""


def fit(problem: Problem, steps: int, clock: Clock) -> list[Tensor]:
    """Train the coefficients (k,) of each layer from zero to least mean squared error.

    The rate that is best for most pictures is too high for some. Where the loss rises far above its
    least, or has not fallen below a constant picture's by the full rate, training goes back to the
    best point and on at half the rate.
    """
    alphas = [alpha.requires_grad_() for alpha in problem.pranc.zeros()]
    soap = Soap(alphas, problem.shapes)
    constant = float((problem.targets - problem.targets.mean(0)).square().mean())
    peak, least, total = FIT_RATE, math.inf, 0.0
    best = [alpha.detach().clone() for alpha in alphas]
    for step in range(steps):
        loss = problem.loss(alphas, problem.sample())
        _zero(alphas)
        loss.backward()
        soap.step(peak * cosine(step, steps))
        total += loss.item()
        if (step + 1) % CHECK == 0:
            mean, total = total / CHECK, 0.0
            # A picture that is nearly constant itself is no sign of anything.
            stuck = step >= CHECK and mean > 0.9 * constant > 0.01 and peak > FIT_RATE / 8
            if stuck or not mean < DIVERGED * least:
                peak /= 2
                # Stuck at a constant, nothing so far is worth keeping.
                start = problem.pranc.zeros() if stuck else best
                alphas = [alpha.clone().requires_grad_() for alpha in start]
                soap = Soap(alphas, problem.shapes)
            elif mean < least:
                least, best = mean, [alpha.detach().clone() for alpha in alphas]
        clock.advance(1, "fit", psnr_of(loss))
    return [alpha.detach() for alpha in alphas]


@dataclass(frozen=True, eq=False)
class Quantizer:
    """Each layer's trained transform: `edge` and `scale` (layers,), in units of α."""

    edge: Tensor
    scale: Tensor


def start_quantizer(
    alphas: Sequence[Tensor], groups: Sequence[Group], bits_target: float
) -> Quantizer:
    """Uniform quantizers that all cost the picture alike per coefficient, at the target rate.

    A layer's step goes as the inverse root of its mean curvature: the rate at which distortion
    rises with the rate is then the same everywhere.
    """
    parts = torch.from_numpy(sensitivity(groups)).split([len(alpha) for alpha in alphas])
    scale = torch.stack([part.mean().rsqrt() for part in parts])
    low, high = -40.0, 40.0
    for _ in range(40):
        middle = (low + high) / 2
        trial = scale * 2**middle
        rate = sum(
            _gaussian_rate(alpha.double(), float(step))
            for alpha, step in zip(alphas, trial, strict=True)
        )
        low, high = (middle, high) if rate > bits_target else (low, middle)
    scale = (scale * 2**high).float()
    return Quantizer(scale / 2, scale)


def _gaussian_rate(alpha: Tensor, step: float) -> float:
    """Bits of Gaussian coefficients at a step: the rate of a channel with that much noise."""
    variance = alpha.square().mean().item()
    # A uniform quantizer's rate, which tends to 0 for coarse steps and to h - log2(step) for fine.
    return len(alpha) * 0.5 * math.log2(1 + 2 * math.pi * math.e * variance / step**2)


class L2:
    """Quantization-aware training in the metric of the curvature.

    Rounding will compensate each coefficient's error in the others (`l2.rounding`). Its errors are
    then e with R e = diag(R) n, R the factor of the curvature and n the independent quantization
    noise of each coefficient: this is the noise that training must withstand, and it is far
    milder than n itself.
    """

    def __init__(
        self,
        problem: Problem,
        alphas: Sequence[Tensor],
        groups: Sequence[Group],
        quantizer: Quantizer,
    ) -> None:
        """Start at a fit, its curvature and a quantizer."""
        self.problem = problem
        self.sizes = [len(alpha) for alpha in alphas]
        self.alphas = [alpha.clone().requires_grad_() for alpha in alphas]
        device = problem.device
        # Half the zero bin in steps is learned apart from the step: the edge follows the step.
        self.log_scale = quantizer.scale.log().to(device).requires_grad_()
        self.log_ratio = (quantizer.edge / quantizer.scale).log().to(device).requires_grad_()
        self.bounds = [(group.start, group.stop) for group in groups]
        self.factors = [
            torch.from_numpy((group.factor / group.factor.diagonal()).T.copy())
            .to(device, torch.float32)
            for group in groups
        ]  # fmt: skip
        self._noise = torch.Generator().manual_seed(problem.header.seed + 1)

    def quantizer(self) -> Quantizer:
        """The transform as trained so far."""
        scale = self.log_scale.detach().exp()
        return Quantizer(self.log_ratio.detach().exp() * scale, scale)

    def noisy(self) -> tuple[list[Tensor], Tensor]:
        """Coefficients with the noise of rounding, and the bits that coding them takes."""
        index = torch.repeat_interleave(
            torch.arange(len(self.sizes), device=self.log_scale.device),
            torch.tensor(self.sizes, device=self.log_scale.device),
        )
        ratio = self.log_ratio.exp()
        scale = self.log_scale.exp()[index]
        edge = ratio[index] * scale
        alpha = torch.cat(self.alphas)
        uniform = torch.rand(len(alpha), generator=self._noise).to(alpha.device) - 0.5
        noise = from_symbols(to_symbols(alpha, edge, scale) + uniform, edge, scale) - alpha
        error = torch.cat(
            [
                torch.linalg.solve_triangular(factor, noise[start:stop, None], upper=True)[:, 0]
                for factor, (start, stop) in zip(self.factors, self.bounds, strict=True)
            ]
        )
        rounded = alpha + error
        symbols = to_symbols(rounded, edge, scale).split(self.sizes)
        bits = [
            code_bits(*histogram(layer), zero_width=2 * ratio[i]) for i, layer in enumerate(symbols)
        ]
        return list(rounded.split(self.sizes)), torch.stack(bits).sum()

    def train(self, steps: int, bits_target: float, overhead: int, clock: Clock) -> float:
        """Train coefficients, steps and edges to least error within the budget.

        Returns the estimated bits at the end. `overhead` is the file's other bytes, for reports.
        """
        soap = Soap(self.alphas, self.problem.shapes)
        peak = min(FIT_RATE, L2_RATE * self.quantizer().scale.median().item())
        adam = torch.optim.Adam([self.log_scale, self.log_ratio], lr=STEP_RATE)
        unit = None
        with torch.no_grad():
            rate = self.noisy()[1]
        for step in range(steps):
            alphas, rate = self.noisy()
            loss = self.problem.loss(alphas, self.problem.sample())
            if unit is None:
                unit = loss.detach()
            total = loss / unit + BUDGET_WEIGHT * excess(rate, bits_target)
            _zero(self.alphas)
            adam.zero_grad()
            total.backward()
            decay = cosine(step, steps)
            soap.step(peak * decay)
            adam.param_groups[0]["lr"] = STEP_RATE * decay
            adam.step()
            with torch.no_grad():
                # The stored edge has 8 bits for 0 to 4 steps; below 1/4 it would be no dead zone.
                self.log_ratio.clamp_(math.log(0.25), math.log(3.9))
            clock.advance(2, "quantize", psnr_of(loss), overhead + round(rate.item() / 8))
        return rate.item()


def psnr_of(loss: Tensor) -> float:
    """PSNR in dB of a mean squared error over samples in [-1, 1]."""
    return 10 * math.log10(4 / max(loss.item(), 1e-20))


def _zero(alphas: Sequence[Tensor]) -> None:
    for alpha in alphas:
        alpha.grad = None
