"""Timings: the phases of an encoding, and alternatives measured in turn so that load hits both."""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from eval.record import Row
from inrcodec import encoder, prc
from inrcodec.decoder import decode, thumbnail
from inrcodec.families.pyramid.fit.device import DeviceProblem
from inrcodec.families.pyramid.fit.optimizer import Optimizer
from inrcodec.families.pyramid.fit.problem import PyramidProblem, samples_of
from inrcodec.families.pyramid.fit.start import start
from inrcodec.families.siren.fit.problem import Problem
from inrcodec.image import Raster, from_pillow
from inrcodec.kernels.threads import one_thread
from inrcodec.optim.clock import Progress
from inrcodec.optim.soap import Soap

STEPS = 20
"""Steps of one timing: two refreshes of SOAP's eigenbases are among them."""

PYRAMID_STEPS = 4
"""The same of a pyramid's."""

LAMBDA, TEMPERATURE = 1e-3, 0.3
"""Of its timed steps: those of the middle of a training, about; any cost the same."""

RATE = 1e-3
"""Learning rate of the timed steps: it costs the same at any, and this one is stable."""


FAMILIES = ("siren", "pyramid")


def synthetic(width: int, height: int) -> Raster:
    """A colour picture of waves, a disc with a sharp edge and faint noise."""
    y, x = np.mgrid[:height, :width] / max(width, height)
    waves = [np.sin(2 * np.pi * (3 + c) * (x + y * (c + 1) / 2)) for c in range(3)]
    disc = np.hypot(x - 0.4, y - 0.3) < 0.2
    noise = np.random.default_rng(0).normal(0, 4, (height, width, 3))
    samples = 110 + 60 * np.stack(waves, axis=-1) + 50 * disc[:, :, None] + noise
    return from_pillow(Image.fromarray(samples.clip(0, 255).astype(np.uint8)))


class Timings:
    """The figures of one picture. Each gives its times, and the ratio of two alternatives."""

    def __init__(
        self, raster: Raster, bpp: float, efforts: Sequence[int], seed: int, runs: int
    ) -> None:
        """`runs` is how often everything is timed."""
        self._runs = runs
        self._encode = functools.partial(encoder.encode, raster, bpp=bpp, seed=seed, device="cpu")
        self._raster = raster
        self._efforts = efforts
        self._made: dict[tuple[str, int], bytes] = {}
        self.figures: dict[str, Callable[[], Row]] = {
            **{
                f"{family}, effort {effort}": functools.partial(self.encoding, family, effort)
                for family in FAMILIES
                for effort in efforts
            },
            "decode": self.decoding,
            "thumbnail": self.thumbnail,
            "fit step": self.fit_step,
            "optimiser step": self.optimiser_step,
            "pyramid step": self.pyramid_step,
            **({"pyramid step, GPU": self.gpu_step} if torch.cuda.is_available() else {}),
        }

    @functools.cached_property
    def _files(self) -> dict[str, bytes]:
        """Of the greatest effort, whose networks are the largest."""
        effort = max(self._efforts)
        return {family: self._file(family, effort) for family in FAMILIES}

    def _file(self, family: str, effort: int) -> bytes:
        if (family, effort) not in self._made:
            self._made[family, effort] = self._encode(effort=effort, family=family)
        return self._made[family, effort]

    def encoding(self, family: str, effort: int) -> Row:
        """Seconds of an encoding and of its phases."""
        runs = []
        for _ in range(self._runs):
            phases = _Phases()
            self._made[family, effort] = self._encode(
                effort=effort, family=family, report=phases.report
            )
            runs.append(phases.seconds())
        return {
            "unit": "s",
            "times": {name: _spread([run[name] for run in runs], 1) for name in runs[0]},
        }

    def decoding(self) -> Row:
        """Milliseconds of decoding files of both families."""
        return self._compare(
            {
                family: functools.partial(decode, data, device="cpu")
                for family, data in self._files.items()
            }
        )

    def thumbnail(self) -> Row:
        """Milliseconds of a thumbnail of a pyramid's file, and of decoding all of it."""
        data = self._files["pyramid"]
        return self._compare(
            {
                "thumbnail": functools.partial(thumbnail, data, device="cpu"),
                "whole": functools.partial(decode, data, device="cpu"),
            }
        )

    def fit_step(self) -> Row:
        """Milliseconds of a SIREN's loss and gradient: by autograd and by the kernel."""
        return self._compare({"autograd": self._by_autograd(), "kernel": self._by_kernel()}, STEPS)

    def _by_autograd(self) -> Callable[[], None]:
        problem, alphas = self._problem()

        def steps() -> None:
            for _ in range(STEPS):
                torch.autograd.grad(problem.loss(alphas, problem.sample()), alphas)

        return steps

    def _by_kernel(self) -> Callable[[], None]:
        problem, alphas = self._problem()

        @one_thread()
        def steps() -> None:
            for _ in range(STEPS):
                problem.gradient(alphas, problem.sample())

        return steps

    def optimiser_step(self) -> Row:
        """Milliseconds of a step of SOAP and of torch's Adam at given gradients."""
        problem, alphas = self._problem()
        problem.loss(alphas, problem.sample()).backward()
        soap, adam = Soap(alphas, problem.shapes), torch.optim.Adam(alphas)
        return self._compare(
            {
                "Soap": lambda: [soap.step(RATE) for _ in range(STEPS)],
                "Adam": lambda: [adam.step() for _ in range(STEPS)],
            },
            STEPS,
        )

    def pyramid_step(self) -> Row:
        """Milliseconds of a step of a pyramid's training: in plain PyTorch and by the kernels."""
        return self._pyramid_step("PyTorch", "cpu")

    def gpu_step(self) -> Row:
        """The same, on a GPU and by the CPU's kernels."""
        return self._pyramid_step("GPU", "cuda")

    def _pyramid_step(self, name: str, device: str) -> Row:
        header = prc.open(self._files["pyramid"]).header
        samples = samples_of(self._raster)
        kinds = {name: functools.partial(DeviceProblem, device=device), "kernels": PyramidProblem}
        return self._compare(
            {name: _pyramid_steps(kind(samples, header)) for name, kind in kinds.items()},
            PYRAMID_STEPS,
        )

    def _problem(self) -> tuple[Problem, list[torch.Tensor]]:
        problem = Problem(self._raster, prc.open(self._files["siren"]).header, "cpu")
        return problem, [alpha.requires_grad_() for alpha in problem.pranc.zeros()]

    def _compare(self, alternatives: dict[str, Callable[[], Any]], steps: int = 1) -> Row:
        """Time two alternatives in turn; each call does `steps` steps."""
        for alternative in alternatives.values():
            alternative()
        times: dict[str, list[float]] = {name: [] for name in alternatives}
        for _ in range(self._runs):
            for name, alternative in alternatives.items():
                began = time.perf_counter()
                alternative()
                times[name].append((time.perf_counter() - began) / steps)
        first, second = times.values()
        ratio = statistics.median(a / b for a, b in zip(first, second, strict=True))
        return {
            "unit": "ms",
            "times": {name: _spread(values, 1000) for name, values in times.items()},
            "ratio": round(ratio, 3),
        }


def _pyramid_steps(problem: PyramidProblem) -> Callable[[], None]:
    start(problem, LAMBDA, seed=0)
    optimizer = Optimizer(problem)

    def steps() -> None:
        for _ in range(PYRAMID_STEPS):
            optimizer.step(LAMBDA, TEMPERATURE, RATE, RATE)

    return steps


def _spread(seconds: Sequence[float], factor: float) -> Row:
    spread = {"median": statistics.median(seconds), "least": min(seconds), "most": max(seconds)}
    return {name: round(factor * value, 4) for name, value in spread.items()}


class _Phases:
    """Seconds that an encoder spends in each phase, by its reports."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._starts = [("start", self._began)]

    def report(self, progress: Progress) -> None:
        """Note when a phase begins."""
        # What follows the last phase is the end of it.
        if progress.phase not in (self._starts[-1][0], "done"):
            self._starts.append((progress.phase, time.perf_counter()))

    def seconds(self) -> dict[str, float]:
        """Seconds of each phase until now, and of all."""
        end = time.perf_counter()
        ends = [*(begun for _, begun in self._starts[1:]), end]
        seconds: dict[str, float] = {}
        for (phase, begun), stop in zip(self._starts, ends, strict=True):
            seconds[phase] = seconds.get(phase, 0.0) + stop - begun
        return seconds | {"total": end - self._began}
