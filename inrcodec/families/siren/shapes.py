"""Choice of a SIREN's shape: the widest network whose coefficients fit a number of bytes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from inrcodec.errors import TargetError
from inrcodec.families.siren.file import header_of, header_size
from inrcodec.families.siren.settings import ShapeSettings, SirenSettings, StageSettings
from inrcodec.families.siren.shape import LIMIT_PARAMETERS, LIMIT_WIDTH, Siren
from inrcodec.job import Job

LEAST_PAYLOAD = 16
"""Bytes of the coefficients of the smallest network, about."""


def choose_shape(job: Job, size: int, settings: SirenSettings) -> Siren:
    """The network for a file of about `size` bytes, without the metadata.

    A progressive job gets stages where the file is large enough for two of them and small enough
    for its picture to have room for more detail.

    Raises:
        TargetError: the file is too small for any network.
    """
    shape = settings.shape
    samples = job.pixels * job.raster.channels
    for depth in range(shape.depth, 0, -1):
        network = _widest(job, size, depth, shape)
        if network is None or (network.width < shape.least_width * depth and depth > 1):
            continue
        few = _coefficients(job, network) < samples / 2
        if not job.progressive or not few:
            return network
        staged = in_stages(network, header_size(header_of(job, network)), size, settings)
        least_first = settings.stages.least_first_width * depth
        if not staged.stages or staged.stages[0] >= least_first:
            return staged
    least = _overhead(job, _plain(job, 1, 1, shape), shape) + LEAST_PAYLOAD
    raise TargetError(f"{max(0, size)} bytes are too few for this picture; give at least {least}")


def in_stages(network: Siren, header: int, size: int, settings: SirenSettings) -> Siren:
    """The network with stages that end at their shares of `size` bytes, or a little before.

    Unchanged where the size is too small for the stages. `header` is the size of the header, bytes.
    """
    stages = settings.stages
    shares = stage_shares(stages, size)
    if not shares:
        return network
    all_bits = stages.bits if network.channels > 2 else stages.grey_bits
    fixed = stages.layer_overhead * network.layers + settings.shape.segment_overhead
    end = float(header + len(shares))
    units: list[int] = []
    for share, bits in zip(shares, all_bits, strict=False):
        wanted = (share - (stages.margin if share < 1 else 0)) * size
        room = (wanted - end - fixed) * 8 / bits
        added = 0
        while _parameters(network, sum(units), added + 1) < room:
            added += 1
        if not added:
            return network
        end += fixed + _parameters(network, sum(units), added) * bits / 8
        units.append(added)
    width = sum(units)
    omega = settings.shape.first_omega(width)
    return replace(network, width=width, stages=tuple(units), omega_first=omega)


def stage_shares(settings: StageSettings, size: int) -> tuple[float, ...]:
    """Shares of a file of `size` bytes at which stages end; empty where it has none.

    >>> stage_shares(StageSettings(), 1000), stage_shares(StageSettings(), 700)
    ((0.5, 1.0), ())
    """
    return next((shares for least, shares in settings.shares if size >= least), ())


def _widest(job: Job, size: int, depth: int, settings: ShapeSettings) -> Siren | None:
    """The widest network of some depth whose file has about `size` bytes, or None."""
    samples = job.pixels * job.raster.channels

    def fits(width: int) -> bool:
        network = _plain(job, width, depth, settings)
        k = _coefficients(job, network)
        bits = settings.bits_per_coefficient if k < samples / 2 else settings.finest_bits
        return _overhead(job, network, settings) + k * bits / 8 <= size

    limit = min(LIMIT_WIDTH, math.isqrt((LIMIT_PARAMETERS - 1) // depth))
    width = _largest(limit, fits)
    return _plain(job, width, depth, settings) if width else None


def _largest(limit: int, fits: Callable[[int], bool]) -> int:
    """The largest integer from 1 to `limit` that fits, or 0; if one does, all smaller ones do."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _plain(job: Job, width: int, depth: int, settings: ShapeSettings) -> Siren:
    first, hidden = settings.first_omega(width), settings.omega_hidden
    return Siren(job.raster.channels, width, depth, first, hidden)


def _coefficients(job: Job, network: Siren) -> int:
    return sum(header_of(job, network).coefficients)


def _overhead(job: Job, network: Siren, settings: ShapeSettings) -> int:
    """Bytes of a file besides its coded coefficients and metadata, about."""
    segments = 2 * settings.segment_overhead
    layers = settings.layer_overhead * network.layers
    return header_size(header_of(job, network)) + segments + layers


def _parameters(network: Siren, width: int, added: int) -> int:
    """Parameters of a stage that adds units to sine layers of some width."""
    inputs = width + added + 1
    return added * (3 + (network.depth - 1) * inputs) + network.channels * inputs
