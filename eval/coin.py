"""The baseline COIN (Dupont et al. 2021, arXiv 2103.03123): a SIREN whose weights are the file.

One network a picture, fitted to its pixels by Adam; no seed, no quantization but to half precision,
no entropy coding. It is built of this project's parts, and differs from the authors' code: random
minibatches instead of whole pictures; fewer steps at a higher learning rate that falls to zero,
the last weights kept (there, 50,000 at 2e-4 and the best kept); the longer side of the picture
spanning [-1, 1] instead of the shorter; larger initial biases; a header; half-precision weights
evaluated in float32.

    "COIN"  width  height  channels  sine layers  units  weights, layer by layer, bias last
    4       u16    u16     u8        u8           u16    float16 each; all little-endian
"""

from __future__ import annotations

import math
import struct

import numpy as np
import torch
from torch import Tensor

from inrcodec.container.header import Header
from inrcodec.decoder import CHUNK
from inrcodec.errors import FormatError, ImageError, TargetError
from inrcodec.families.siren.coordinates import grid
from inrcodec.families.siren.fit.problem import Problem
from inrcodec.families.siren.fit.train import psnr_of
from inrcodec.families.siren.network import SirenNetwork
from inrcodec.families.siren.settings import SirenSettings
from inrcodec.families.siren.shape import LIMIT_PARAMETERS, LIMIT_WIDTH, Siren
from inrcodec.image import Raster, to_samples
from inrcodec.optim.clock import Clock, Report, cosine

MAGIC = b"COIN"
_HEADER = struct.Struct("<4s2H2BH")

OMEGA = 30.0
"""ω of all sine layers, as in the paper."""

NETWORKS = ((5, 20), (5, 30), (10, 28), (10, 40), (13, 49))
"""Sine layers and units of the paper's networks for Kodak, at 0.07 to 1.2 bits per pixel."""


def encode(
    raster: Raster,
    bpp: float,
    steps: int = SirenSettings().efforts[2].fit_steps,
    seed: int = 0,
    report: Report | None = None,
) -> bytes:
    """Encode as a file of at most `bpp` bits per pixel, with the widest network that fits.

    Args:
        raster: 8-bit grey or RGB; an ICC profile is dropped.
        bpp: budget in bits per pixel, the whole file counted.
        steps: of Adam, at least 1.
        seed: 0 to 2^32 - 1, of the initial weights and the minibatches.
        report: called with a `fit.schedule.Progress` a few times a second.

    Raises:
        ImageError: the raster has alpha or 16 bits.
        TargetError: the budget is too small for any network.
        ValueError: an argument is outside its range.
    """
    if raster.bits != 8 or raster.has_alpha:
        raise ImageError(f"COIN takes 8-bit grey and RGB, not {raster.mode}")
    if not 0 < bpp < math.inf:
        raise ValueError(f"{bpp:g} bits per pixel; it must be above 0")
    if steps < 1:
        raise ValueError(f"{steps} steps; there must be at least 1")
    network = _network(raster.channels, int(bpp * raster.width * raster.height / 8))
    problem = Problem(raster, Header(network, raster.width, raster.height, seed=seed), "cpu")
    matrices = _fit(problem, steps, Clock(steps, report, _HEADER.size + 2 * network.D))
    shape = (raster.width, raster.height, network.channels, network.depth, network.width)
    weights = torch.cat([matrix.flatten() for matrix in matrices])
    return _HEADER.pack(MAGIC, *shape) + weights.numpy().astype("<f2").tobytes()


def decode(data: bytes) -> Raster:
    """Decode a file of `encode`.

    Raises:
        FormatError: not such a file, damaged or cut short.
    """
    header, matrices = read(data)
    network, picture = SirenNetwork(header.network), (header.width, header.height)
    rows = max(1, CHUNK // (header.width * header.network.width))
    with torch.no_grad():
        parts = [
            network.evaluate(
                matrices, torch.from_numpy(grid(picture, rows=(y, min(y + rows, header.height))))
            )
            for y in range(0, header.height, rows)
        ]
    unit = (torch.cat(parts).reshape(header.height, header.width, -1) + 1) / 2
    return Raster(to_samples(unit.numpy(), bits=8), has_alpha=False)


def macs_per_pixel(data: bytes) -> int:
    """Multiply-accumulates of a file's network for each pixel, all channels; see `decode`."""
    return sum(rows * (cols - 1) for rows, cols in read(data)[0].network.blocks)


def read(data: bytes) -> tuple[Header, list[Tensor]]:
    """A file's picture size and network, and the float32 matrix (rows, cols) of each layer."""
    if not data.startswith(MAGIC) or len(data) < _HEADER.size:
        raise FormatError("not a COIN file")
    _, width, height, channels, depth, units = _HEADER.unpack_from(data)
    try:
        header = Header(Siren(channels, units, depth, OMEGA, OMEGA), width, height)
    except ValueError as error:
        raise FormatError(f"the COIN file is damaged: {error}") from error
    size = _HEADER.size + 2 * header.network.D
    if channels not in (1, 3) or len(data) != size:
        raise FormatError(f"the COIN file is damaged or cut short: {len(data)} of {size} bytes")
    weights = torch.from_numpy(np.frombuffer(data[_HEADER.size :], "<f2").astype(np.float32))
    blocks = header.network.blocks
    parts = weights.split_with_sizes([rows * cols for rows, cols in blocks])
    return header, [part.reshape(shape) for part, shape in zip(parts, blocks, strict=True)]


def _network(channels: int, budget: int) -> Siren:
    """The widest network of a budget in bytes, as deep as the paper's that is nearest in size."""
    D = min((budget - _HEADER.size) // 2, LIMIT_PARAMETERS)
    published = [Siren(3, width, depth, OMEGA, OMEGA) for depth, width in NETWORKS]
    depth = min(published, key=lambda network: abs(math.log(network.D / max(1, D)))).depth
    # The largest root of D = a·width² + b·width + channels.
    a, b = depth - 1, depth + 2 + channels
    width = (math.isqrt(max(0, b * b + 4 * a * (D - channels))) - b) // (2 * a)
    if width < 1:
        least = _HEADER.size + 2 * (a + b + channels)
        raise TargetError(f"{budget} bytes are too few for COIN; give at least {least}")
    return Siren(channels, min(width, LIMIT_WIDTH), depth, OMEGA, OMEGA)


def learning_rate(network: Siren, steps: int) -> float:
    """Peak rate of Adam: lower where a network is deeper or wider, or has longer to diverge.

    Measured on kodim15 at 384x256. Of 2, 4, 8, 12 and 16e-3, 5x19 is best at 8e-3 after 800 steps
    (25.8 dB; 24.8 at 2e-3) and fails at 16e-3; 8e-3 is best after 1600, but after 4800 it is 0.9 dB
    behind 4e-3. After 800, 10x25 is 1.7 dB better at 2e-3 than at 4e-3, and 13x44 trains at 1.2e-3,
    not at twice that.
    """
    narrow = min(1.0, 40 / network.width)
    return 0.2 / network.depth**2 * narrow * min(1.0, math.sqrt(1600 / steps))


def _fit(problem: Problem, steps: int, clock: Clock) -> list[Tensor]:
    """Train the weights themselves, (rows, cols) a layer, to least mean squared error."""
    matrices = [m.requires_grad_() for m in problem.pranc.matrices(problem.pranc.zeros())]
    peak = learning_rate(problem.header.network, steps)
    adam = torch.optim.Adam(matrices)
    for step in range(steps):
        pixels = problem.sample()
        output = problem.network.evaluate(matrices, problem.coordinates[pixels], problem.precision)
        loss = (output - problem.targets[pixels]).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.param_groups[0]["lr"] = peak * cosine(step, steps)
        adam.step()
        clock.advance(1, "fit", psnr_of(loss.item()))
    return [matrix.detach() for matrix in matrices]
