"""Encoding with a pyramid: networks for the aim, the training, and what to aim at next."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from inrcodec.container.header import Header
from inrcodec.errors import TargetError
from inrcodec.families.pyramid.fit.device import device_problem
from inrcodec.families.pyramid.fit.goal import Goal, prefix_goals
from inrcodec.families.pyramid.fit.problem import PyramidProblem, samples_of
from inrcodec.families.pyramid.fit.train import train
from inrcodec.families.pyramid.settings import DEFAULT, PyramidSettings
from inrcodec.families.pyramid.shape import Pyramid
from inrcodec.families.pyramid.shapes import (
    ShapeRequest,
    plane_levels,
    progressive_shape,
    training_steps,
)
from inrcodec.job import Aim, Attempt, Job
from inrcodec.kernels.compile import ensure
from inrcodec.optim.clock import Clock

COARSEST_PROGRESSIVE = 3
"""Least level of the coarsest plane of a progressive file, whose sets have planes of level 3."""


def encode(job: Job, aim: Aim) -> bytes:
    """The file of a job.

    Without a PSNR to aim at it has at most `aim.size` bytes, and at least 99 % of them unless the
    picture needs no more. With one it is the smallest file found that reaches the PSNR by the
    encoder's estimate, or else the one that came nearest; `aim.size` then decides on the networks.

    Raises:
        TargetError: no file of that size can be made; the message says what is possible.
        MemoryError: the GPU has too little memory for this picture.
    """
    settings = job.settings_of(DEFAULT)
    if job.device == "cpu":
        ensure("encode-pyramid")
    if aim.psnr is None and aim.size - job.metadata_size < settings.min_bytes:
        least = settings.min_bytes + job.metadata_size
        other = ", or leave progressive away" if job.progressive else ""
        size = f"{aim.size} bytes are too few for a pyramid"
        raise TargetError(f"{size}; give at least {least}{other}")
    try:
        data = _train(job, aim, settings)
    except torch.cuda.OutOfMemoryError as error:
        raise MemoryError("too little memory on the GPU for this picture: use the CPU") from error
    if data is None:
        size = f"cannot make a file of {aim.size} bytes for this picture"
        raise TargetError(f"{size}; give another budget")
    return data


def expected_bytes(job: Job, psnr: float) -> int:
    """About how many bytes a file of a PSNR takes, for a picture of medium detail.

    Metadata are counted.
    """
    return job.metadata_size + 400 + int(job.pixels * 0.1 * 2 ** ((psnr - 28) / 4) / 8)


def next_aim(job: Job, attempts: Sequence[Attempt]) -> Aim | None:
    """What to aim at after attempts that all missed the PSNR; None to give up.

    Training does not round samples, and networks may be too small for the size. So the next one
    aims higher by what is missing, divided by the slope of the reached PSNR over the aimed one.
    Each attempt must have aimed higher than the one before.
    """
    settings, psnr = job.settings_of(DEFAULT), job.target.psnr
    if len(attempts) >= settings.psnr_attempts:
        return None
    last, before = attempts[-1], attempts[:-1]
    assert psnr is not None and last.aim.psnr is not None
    missing, slope = psnr - last.psnr, settings.psnr_slope
    if before:
        assert before[-1].aim.psnr is not None
        gained = last.psnr - max(attempt.psnr for attempt in before)
        measured = gained / (last.aim.psnr - before[-1].aim.psnr)
        slope = min(settings.psnr_slope, max(settings.min_psnr_slope, measured))
    more = min(missing / slope + 0.01, psnr + settings.max_beyond - last.aim.psnr)
    if more <= 0:
        return None
    # A size of twice the bytes for each 5 dB that are missing.
    size = max(last.aim.size, round(last.size * 2 ** (missing / 5)))
    return Aim(size, last.aim.psnr + more)


def _train(job: Job, aim: Aim, settings: PyramidSettings) -> bytes | None:
    header = _header(job, aim, settings)
    assert isinstance(header.network, Pyramid)
    prefixes = prefix_goals(header.network, settings.prefixes)
    goal = Goal(aim.size if aim.psnr is None else None, aim.psnr, prefixes)
    effort_steps = settings.steps(job.effort, job.device)
    steps = training_steps(header.network, effort_steps, settings.shapes)
    if prefixes:
        steps *= settings.prefixes.steps_factor
    clock = Clock(steps, job.report, goal.size)
    data = train(_problem(job, header), goal, steps, settings, clock, job.metadata)
    clock.advance(steps, "done")
    return data


def _problem(job: Job, header: Header) -> PyramidProblem:
    samples = samples_of(job.raster)
    if job.device == "cpu":
        return PyramidProblem(samples, header)
    return device_problem(samples, header, job.device)


def _header(job: Job, aim: Aim, settings: PyramidSettings) -> Header:
    """The header of the file, with the networks that suit the aim."""
    raster, shapes = job.raster, settings.shapes
    levels = plane_levels(raster.width, raster.height, shapes)
    size, steps = aim.size - job.metadata_size, settings.steps(job.effort, job.device)
    request = ShapeRequest(raster.channels, levels, size, steps, job.pixels)
    if job.progressive and levels[0] >= COARSEST_PROGRESSIVE:
        network = progressive_shape(request, shapes, settings.network_shape)
    else:
        network = settings.network_shape(request, shapes)
    return Header(
        network=network,
        width=raster.width,
        height=raster.height,
        bits=raster.bits,
        basis=job.basis,
        compaction=job.compaction,
        seed=job.seed,
        whole_first=False,
        whole_last=False,
    )
