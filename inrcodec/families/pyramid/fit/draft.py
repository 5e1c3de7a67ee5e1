"""The file of a training: quantized layers, segments of latents, metadata, and its size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from inrcodec.container.header import Header, write_header
from inrcodec.container.segments import Segment, size_of, write_segments
from inrcodec.entropy.layer import Layer
from inrcodec.families.pyramid.fit.goal import Goal
from inrcodec.families.pyramid.fit.problem import Array, PyramidProblem
from inrcodec.families.pyramid.segments import write_latents, write_networks
from inrcodec.families.pyramid.settings import NetworkRoundingSettings

HEADER, SEGMENT, LAYER, PLANE = 38, 8, 6, 1
"""About how many bytes a file needs for its header, and for each segment, layer and plane besides
coded coefficients and latents."""

COARSE_LEVEL = 2
"""Least level of the planes in the first of two segments, whose prefix shows a coarse picture."""

LARGE_BYTES = 1000
"""Least size of a file with two segments of latents, bytes."""


@dataclass(eq=False)
class Draft:
    """A file in the making.

    Attributes:
        problem: the latents and networks.
        goal: what the file is made for.
        settings: `expected_bits` estimates layers that are not quantized yet.
        metadata: ancillary segments of the file.
        layers: the quantized layers; None for those that still train.
    """

    problem: PyramidProblem
    goal: Goal
    settings: NetworkRoundingSettings
    metadata: tuple[Segment, ...] = ()
    layers: list[Layer | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin without a quantized layer."""
        self.layers = self.layers or [None] * len(self.problem.alphas)

    @cached_property
    def metadata_size(self) -> int:
        """Bytes of the metadata."""
        return sum(size_of(segment) for segment in self.metadata)

    @cached_property
    def segments(self) -> list[int]:
        """Number of planes in each segment of latents, coarse planes first."""
        levels = self.problem.architecture.levels
        if self.goal.prefixes:
            ends = [prefix.planes for prefix in self.goal.prefixes if prefix.share is not None]
            return [b - a for a, b in pairwise([0, *ends, len(levels)])]
        coarse = sum(level >= COARSE_LEVEL for level in levels)
        large = self.goal.size is None or self.goal.size >= LARGE_BYTES
        if large and 0 < coarse < len(levels):
            return [coarse, len(levels) - coarse]
        return [len(levels)]

    @property
    def overhead(self) -> int:
        """About how many bytes the file has besides coded coefficients, latents and metadata."""
        segments = SEGMENT * (1 + len(self.segments))
        return HEADER + segments + LAYER * len(self.layers) + PLANE * len(self.problem.planes)

    @property
    def network_bits(self) -> float:
        """Bits of the quantized layers, and about what the others will take."""
        return sum(
            layer.bits if layer else self.settings.expected_bits * len(alpha)
            for layer, alpha in zip(self.layers, self.problem.alphas, strict=True)
        )

    def estimate(self, bits: float) -> int:
        """About how many bytes the file takes with latents of so many bits."""
        return round((bits + self.network_bits) / 8) + self.overhead + self.metadata_size

    def write(self, latents: Array) -> bytes:
        """The file of rounded latents; all layers must be quantized."""
        layers = [layer for layer in self.layers if layer]
        planes = self.problem.integers(latents)
        return _write(self.problem.header, layers, planes, self.segments, self.metadata)


def _write(
    header: Header,
    layers: Sequence[Layer],
    latents: Sequence[NDArray[np.int32]],
    parts: Sequence[int],
    metadata: Sequence[Segment],
) -> bytes:
    segments = [
        write_networks(header, layers),
        *write_latents(header, layers, latents, parts),
        *metadata,
    ]
    return write_header(header) + write_segments(segments)
