"""The family `siren`: a sine network of coordinates alone (Sitzmann et al. 2020)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from inrcodec.container.fields import Fields
from inrcodec.container.header import Header, Shape
from inrcodec.content import ContentReader, Latents, Painter, Values
from inrcodec.families.siren import shape

if TYPE_CHECKING:
    from inrcodec.job import Aim, Attempt, Job


class SirenFamily:
    """The family as the shell sees it; the parts that encode and paint load when they are used."""

    id = shape.Siren.family_id
    name = shape.Siren.family

    def read_shape(self, fields: Fields, channels: int) -> Callable[[], Shape]:
        """Read the fields of a shape; the result makes it, or raises ValueError."""
        return shape.read_shape(fields, channels)

    def reader(self, header: Header, finest: int) -> ContentReader:
        """A reader of the segments that hold coefficients and latents."""
        from inrcodec.families.siren.segments import SirenReader

        return SirenReader(header, finest)

    def painter(self, header: Header, values: Values, latents: Latents, device: str) -> Painter:
        """The picture of a file as a function of columns and rows."""
        from inrcodec.families.siren.paint import painter

        return painter(header, values, latents, device)

    def check(self, job: Job) -> None:
        """Raise ValueError where the family cannot do what a job asks for."""
        if job.progressive and job.order != "none":
            raise ValueError("progressive has an order of its own; leave one of the two away")
        if job.progressive and job.basis != "identity":
            raise ValueError(f"a progressive siren with basis {job.basis}; it has the identity")

    def encode(self, job: Job, aim: Aim) -> bytes:
        """The file of one training; raises TargetError where its size cannot be reached."""
        from inrcodec.families.siren.encode import encode

        return encode(job, aim)

    def expected_bytes(self, job: Job, psnr: float) -> int:
        """About what a file of a PSNR takes, bytes."""
        from inrcodec.families.siren.encode import expected_bytes

        return expected_bytes(job, psnr)

    def next_aim(self, job: Job, attempts: Sequence[Attempt]) -> Aim | None:
        """What to aim at after attempts that all missed a PSNR; None to give up."""
        from inrcodec.families.siren.encode import next_aim

        return next_aim(job, attempts)


SIREN = SirenFamily()
