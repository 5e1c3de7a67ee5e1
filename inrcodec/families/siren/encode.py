"""Encoding with a SIREN: choice of the shape, fit, rounding under a budget, file.

pixels ──fit──► α ──round and refit, layer by layer──► symbols ──code──► .prc
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from inrcodec.errors import TargetError
from inrcodec.families.siren.file import header_of
from inrcodec.families.siren.fit.problem import Problem
from inrcodec.families.siren.fit.rounding import FileForm, RateControl
from inrcodec.families.siren.fit.search import reaching
from inrcodec.families.siren.fit.stages import fit_stages
from inrcodec.families.siren.fit.train import fit
from inrcodec.families.siren.settings import SirenEffort, SirenSettings
from inrcodec.families.siren.shape import LIMIT_PARAMETERS, Siren
from inrcodec.families.siren.shapes import choose_shape, stage_shares
from inrcodec.job import Aim, Attempt, Job
from inrcodec.kernels.compile import ensure
from inrcodec.optim.clock import Clock

DEFAULT = SirenSettings()

RAW_OVERHEAD = 400
"""Bytes that an aim may have beyond twice the raw picture."""


def encode(job: Job, aim: Aim) -> bytes:
    """The bytes of a file of a job's picture.

    Without a PSNR it has at most `aim.size` bytes, and the least share of the settings at least.
    With one it is the smallest found that reaches it, or else the one of the highest PSNR; the
    network then has the shape for `aim.size`.

    Raises:
        TargetError: there is no such file; the message says which there are.
    """
    settings = job.settings_of(DEFAULT)
    if job.device == "cpu":
        ensure("encode-siren")
    network = choose_shape(job, aim.size - job.metadata_size, settings)
    effort = _effort(job, network, settings)
    work = _work(network, effort, settings)
    clock = Clock(work, job.report, aim.size)
    control = _fitted(job, aim, network, clock, settings)
    if aim.psnr is None:
        found = control.within(aim.size, settings.rounding.least_share)
    else:
        found = reaching(control, aim.psnr, aim.size)
    clock.advance(work, "done")
    if found is None:
        raise TargetError(
            f"cannot make a file of {aim.size} bytes for this picture: files have "
            f"{min(control.sizes)} to {max(control.sizes)} bytes; give another budget"
        )
    return found.data


def expected_bytes(job: Job, psnr: float) -> int:
    """Bytes of a file of a PSNR in dB, about, for a picture of medium detail; with the metadata."""
    search = job.settings_of(DEFAULT).search
    bits = job.pixels * search.bits_per_pixel * 2 ** ((psnr - 28) / 4)
    return job.metadata_size + min(_most(job), search.fixed_bytes + int(bits / 8))


def next_aim(job: Job, attempts: Sequence[Attempt]) -> Aim | None:
    """What to aim at after attempts that all missed the PSNR; None where more is of no use."""
    search = job.settings_of(DEFAULT).search
    last, most = attempts[-1], _most(job)
    size = last.aim.size - job.metadata_size
    if last.aim.psnr is None or len(attempts) >= search.fits or size >= most:
        return None
    # Twice the bytes add 2 to 3 dB.
    factor = search.excess * 2 ** ((last.aim.psnr - last.psnr) / 2.5)
    size = min(most, int(size * min(search.growth, factor)))
    return replace(last.aim, size=size + job.metadata_size)


def _most(job: Job) -> int:
    """Largest file, bytes: twice the raw picture, because a fit is no way to store more."""
    raw = job.pixels * job.raster.channels * job.raster.bits // 8
    return min(2 * raw + RAW_OVERHEAD, LIMIT_PARAMETERS // 2)


def _fitted(
    job: Job, aim: Aim, network: Siren, clock: Clock, settings: SirenSettings
) -> RateControl:
    """The fit of a network, ready to be rounded."""
    size = aim.size - job.metadata_size
    effort = _effort(job, network, settings)
    header = header_of(job, network)
    steps = effort.fit_steps
    form = FileForm(metadata=job.metadata)
    if network.stages:
        problem, alphas = fit_stages(job.raster, header, job.device, steps, clock, settings)
        form = replace(form, ends=stage_shares(settings.stages, size))
    else:
        problem = Problem(job.raster, header, job.device, settings.fit)
        alphas = fit(problem, steps, clock)
        withheld = 1 if size >= settings.rounding.preview_bytes else 0
        form = replace(form, withheld=withheld, order=job.order)
    return RateControl(problem, alphas, effort, clock, settings, form)


def _effort(job: Job, network: Siren, settings: SirenSettings) -> SirenEffort:
    """The work of the job's effort level; stages have more of rounding."""
    effort = settings.efforts[job.effort - 1]
    if not network.stages:
        return effort
    return replace(
        effort,
        refit_steps=settings.stages.refit_factor * effort.refit_steps,
        curvature_pixels=settings.stages.pixels_factor * effort.curvature_pixels,
    )


def _work(network: Siren, effort: SirenEffort, settings: SirenSettings) -> float:
    """All work of an encoding, in steps of a fit."""
    stages = len(network.stages)
    fits = stages + settings.stages.together_fits if stages else 1
    return fits * effort.fit_steps + network.depth * effort.refit_steps
