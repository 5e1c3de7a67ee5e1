"""Rate control of a SIREN: from a fit to a file of at most a number of bytes.

Layers are rounded in their order, each in the metric of its curvature (`quantizer`). After each,
later layers are trained on to make up for the rounding errors (`refit`). So the step of a layer is
chosen when the bits of all earlier ones are known, and those of the last two make the file end at
its budget.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from inrcodec.container.segments import Segment, size_of
from inrcodec.entropy.passes import by_magnitude
from inrcodec.families.siren.file import segment_ends, write_file
from inrcodec.families.siren.fit.codes import LARGEST_CODE, STEPS_PER_OCTAVE, StepCodes
from inrcodec.families.siren.fit.curvature import Group, curvature, sensitivity
from inrcodec.families.siren.fit.order import by_contribution
from inrcodec.families.siren.fit.problem import Problem, in_file_order
from inrcodec.families.siren.fit.quantizer import Quantizer, RoundedLayer
from inrcodec.families.siren.fit.refit import refit
from inrcodec.families.siren.fit.stage_ends import with_earlier_ends
from inrcodec.families.siren.settings import SirenEffort, SirenSettings
from inrcodec.optim.clock import Clock


@dataclass(frozen=True, eq=False)
class Candidate:
    """A complete file.

    Attributes:
        data: its bytes.
        psnr: PSNR of the picture that it decodes to, dB, as the encoder computes it.
    """

    data: bytes
    psnr: float


@dataclass(frozen=True)
class FileForm:
    """What a file has besides its coefficients, and in which form it has them.

    Attributes:
        metadata: ancillary segments.
        withheld: last bits of the magnitudes that a segment of their own has.
        order: of bit planes, one of `job.ORDERS`.
        ends: shares of the file at which its stages should end at the latest; empty without stages.
    """

    metadata: tuple[Segment, ...] = ()
    withheld: int = 0
    order: str = "none"
    ends: tuple[float, ...] = ()

    @property
    def metadata_size(self) -> int:
        """Bytes that the metadata take in the file."""
        return sum(size_of(segment) for segment in self.metadata)


class RateControl:
    """Files of one fit, of any size.

    Attributes:
        alphas: the coefficients (k,) of each layer that the fit has found.
        overhead: bytes of a file whose coefficients are all zero.
        sizes: bytes of all files made so far, also of those above the budget.
    """

    def __init__(
        self,
        problem: Problem,
        alphas: Sequence[Tensor],
        effort: SirenEffort,
        clock: Clock,
        settings: SirenSettings | None = None,
        form: FileForm | None = None,
    ) -> None:
        """Compute the curvature of all layers of a fit, and balance their steps.

        From now on the problem computes in float32: in bfloat16, refits would adapt to weights
        rounded to 8 bits, which those of a file are not
        (notebook/2026-11-28-siren-float32-refits.md).
        """
        problem.compute_in(torch.float32)
        self.problem, self.alphas = problem, alphas
        self._effort, self._clock = effort, clock
        self.settings, self._form = settings or SirenSettings(), form or FileForm()
        self._groups = self._curvature(alphas, range(len(alphas)))
        sizes = problem.sizes
        means = [
            [part.mean() for part in np.split(sensitivity(groups), np.cumsum(k)[:-1])]
            for groups, k in zip(self._groups, sizes, strict=True)
        ]
        rounding = self.settings.rounding
        codes = StepCodes.of(rounding.step_codes(np.array(means)), sizes)
        self._quantizer = Quantizer(codes, rounding.edge, problem.staged)
        self.sizes: list[int] = []
        empty = [np.zeros(len(alpha), np.int32) for alpha in alphas]
        self.overhead = len(
            self._file([self._quantizer.modelled(i, q, 0) for i, q in enumerate(empty)])
        )

    @property
    def coefficients(self) -> int:
        """The number of coefficients of all layers."""
        return sum(len(alpha) for alpha in self.alphas)

    @cached_property
    def ceiling(self) -> float:
        """PSNR of the picture without rounding, dB."""
        return self.problem.psnr(self.alphas)

    def within(self, budget: int, least: float) -> Candidate | None:
        """A file of at most `budget` bytes that uses at least the share `least` of them, or None.

        Where stages end too late, files with coarser early stages are tried; the last file that
        exists is returned.
        """
        found = self._within(budget, least)
        for _ in range(self.settings.stages.limit_late):
            if found is None or not self._form.ends:
                break
            size = len(found.data) - self._form.metadata_size
            wanted = [share * size for share in self._form.ends[:-1]]
            ends = segment_ends(found.data)
            codes = with_earlier_ends(self._quantizer.codes, ends, wanted)
            if codes is self._quantizer.codes:
                break
            self._quantizer = replace(self._quantizer, codes=codes)
            found = self._within(budget, least) or found
        return found

    def _within(self, budget: int, least: float) -> Candidate | None:
        """A file with the step codes as they are."""
        alphas, layers = list(self.alphas), list[RoundedLayer]()
        bits = 8.0 * (budget - self.overhead)
        for index in range(len(alphas) - 2):
            code = self._quantizer.codes.for_bits(alphas, index, bits)[0]
            groups = self._metric(alphas, index)
            layers.append(self._quantizer.rounded(index, alphas[index], code, groups))
            bits -= layers[-1].bits
            alphas = self._refit(alphas, layers)
        found = self._last_two(alphas, layers, budget, bits)
        return found if found and len(found.data) >= least * budget else None

    def _last_two(
        self, alphas: Sequence[Tensor], layers: Sequence[RoundedLayer], budget: int, bits: float
    ) -> Candidate | None:
        """The file of the finest last two layers that fit, for which about `bits` are left."""
        index, rounded = len(layers), self._quantizer.rounded
        plan, planned_output = self._quantizer.codes.for_bits(alphas, index, bits)
        metric, plain = self._metric(alphas, index), self._groups[index + 1]

        def excess(code: int) -> int:
            layer = rounded(index, alphas[index], code, metric)
            output = rounded(index + 1, alphas[index + 1], planned_output + code - plan, plain)
            return len(self._file([*layers, layer, output])) - budget

        finest = self._quantizer.codes.finest(index, alphas[index])
        code = least_code(excess, plan, finest, len(alphas[index]))
        if code is None:
            return None
        for at in range(code, min(code + self.settings.rounding.coarser, LARGEST_CODE + 1)):
            last = [*layers, rounded(index, alphas[index], at, metric)]
            moved = self._refit(alphas, last)
            found = self._output(moved, last, budget, planned_output + at - plan)
            if found is not None:
                return found
        return None

    def _output(
        self,
        alphas: Sequence[Tensor],
        layers: Sequence[RoundedLayer],
        budget: int,
        planned: int,
    ) -> Candidate | None:
        """The file of the finest output layer that fits, but not far finer than planned."""
        index = len(layers)
        metric = self._metric(alphas, index)

        def with_output(code: int) -> list[RoundedLayer]:
            return [*layers, self._quantizer.rounded(index, alphas[index], code, metric)]

        finest = self._quantizer.codes.finest(index, alphas[index])
        finest = max(finest, planned - self.settings.rounding.finer)
        code = least_code(
            lambda code: len(self._file(with_output(code))) - budget,
            planned,
            finest,
            len(alphas[index]),
        )
        if code is None:
            return None
        complete = with_output(code)
        data = self._file(complete, self._listed_order(complete))
        if len(data) > budget:
            # Files of different orders differ by a byte or two.
            return self._output(alphas, layers, budget - 4, planned)
        device = self.problem.device
        values = [torch.from_numpy(layer.values).to(device, torch.float32) for layer in complete]
        return Candidate(data, self.problem.psnr(values))

    def _metric(self, alphas: Sequence[Tensor], index: int) -> list[Group]:
        """The curvature of a layer, at the coefficients that earlier layers' rounding has left."""
        return self._groups[0] if index == 0 else self._curvature(alphas, [index])[0]

    def _curvature(self, alphas: Sequence[Tensor], layers: Sequence[int]) -> list[list[Group]]:
        pixels = self._effort.curvature_pixels
        return curvature(self.problem, alphas, pixels, layers, self.settings.curvature)

    def _refit(self, alphas: Sequence[Tensor], layers: Sequence[RoundedLayer]) -> list[Tensor]:
        """The coefficients after the refit that follows the last of the rounded `layers`."""
        steps, peak = self._effort.refit_steps, self.settings.rounding.refit_rate
        last = len(layers) - 1
        return refit(self.problem, alphas, last, layers[-1].values, steps, peak, self._clock)

    def _listed_order(self, layers: Sequence[RoundedLayer]) -> Sequence[int]:
        """The order of bit planes that has to be listed in the file; empty where none has."""
        if self._form.order != "contribution":
            return ()
        blocks = in_file_order([layer.parts for layer in layers])
        return by_contribution(self.problem, blocks, self.settings.rounding.contribution_pixels)

    def _file(self, layers: Sequence[RoundedLayer], listed: Sequence[int] = ()) -> bytes:
        """The file; where a listed order is missing, one of about the same size."""
        order: str | Sequence[int] = "" if self._form.order == "none" else self._form.order
        blocks = in_file_order([layer.parts for layer in layers])
        if self._form.order == "contribution":
            order = listed or by_magnitude([block.model for block in blocks])
        withheld = 0 if order else self._form.withheld
        data = write_file(self.problem.header, blocks, self._form.metadata, withheld, order)
        self.sizes.append(len(data))
        return data


def least_code(excess: Callable[[int], int], start: int, finest: int, k: int) -> int | None:
    """The finest step code whose `excess` in bytes is at most 0, or None; k coefficients have it.

    The search begins at the code `start` and tries none below `finest`.
    """
    low, high, code = finest - 1, LARGEST_CODE + 1, max(finest, start)
    while high - low > 1:
        bytes_over = excess(code)
        low, high = (code, high) if bytes_over > 0 else (low, code)
        # A coefficient costs one bit less where its step is twice as large.
        move = math.ceil(8 * bytes_over / k * STEPS_PER_OCTAVE)
        code = min(high - 1, max(low + 1, code + move))
    return high if high <= LARGEST_CODE else None
