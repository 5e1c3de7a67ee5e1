"""The families of functions that a picture can be fitted with, in the one table of their ids.

A family is all of a kind of network: its shape in the header, its segments, its painter and its
encoder. The shell talks to families through the protocol `Family` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from inrcodec.container.fields import Fields
from inrcodec.container.header import Header, ReadShape, Shape
from inrcodec.content import ContentReader, Latents, Painter, Values
from inrcodec.families.pyramid import PYRAMID
from inrcodec.families.siren import SIREN

if TYPE_CHECKING:
    from inrcodec.job import Aim, Attempt, Job


class Family(Protocol):
    """What the shell asks of a family."""

    id: int
    """Id in the file format, 0 to 15."""

    name: str
    """Name of the family, as `info` prints it."""

    def read_shape(self, fields: Fields, channels: int) -> Callable[[], Shape]:
        """Read the fields of a shape; the result makes it, or raises ValueError."""
        ...

    def reader(self, header: Header, finest: int) -> ContentReader:
        """A reader of the segments that hold coefficients and latents."""
        ...

    def painter(self, header: Header, values: Values, latents: Latents, device: str) -> Painter:
        """The picture as a function of columns and rows.

        The values are the coefficients (k,) of the blocks, the latents planes (h, w); the last of
        either may be missing.
        """
        ...

    def check(self, job: Job) -> None:
        """Raise ValueError where the family cannot do what a job asks for."""
        ...

    def encode(self, job: Job, aim: Aim) -> bytes:
        """The file of one training; raises TargetError where its size cannot be reached."""
        ...

    def expected_bytes(self, job: Job, psnr: float) -> int:
        """About what a file of a PSNR takes, bytes."""
        ...

    def next_aim(self, job: Job, attempts: Sequence[Attempt]) -> Aim | None:
        """What to aim at after attempts that all missed a PSNR; None to give up."""
        ...


FAMILIES: dict[str, Family] = {family.name: family for family in (SIREN, PYRAMID)}
"""All families by their names."""

_BY_ID = {family.id: family for family in FAMILIES.values()}

SHAPES: dict[int, ReadShape] = {id_: family.read_shape for id_, family in _BY_ID.items()}
"""The reader of each family's shape, by its id."""

LEAST_PYRAMID = 600
"""Budget, bytes, below which `choose` takes the SIREN. Of 500 bytes the pyramid is level with it on
kodim05, of 600 it is 0.3 dB behind, of 700 0.4 ahead; on an X-ray, and on pictures of half that
size, it is 0.2 to 1.1 dB ahead with 500 and 600."""

LEAST_PIXELS, LEAST_SIDE = 2048, 16
"""Pixels, and pixels along the shorter side, below which `choose` takes the SIREN."""


def family_of(header: Header) -> Family:
    """The family of a header's network."""
    return _BY_ID[header.network.family_id]


def named(name: str) -> Family:
    """The family of a name; raises ValueError for an unknown one."""
    if name not in FAMILIES:
        raise ValueError(f"unknown family {name!r}; known are auto, {', '.join(FAMILIES)}")
    return FAMILIES[name]


def choose(job: Job) -> Family:
    """The family for a job that names none: the pyramid, or the SIREN for small files.

    An order of the coefficients is the SIREN's, and progressive files are pyramids.
    """
    if job.order != "none":
        return SIREN
    if job.progressive:
        return PYRAMID
    side = min(job.raster.width, job.raster.height)
    if job.target.psnr is not None:
        size = PYRAMID.expected_bytes(job, job.target.psnr)
    else:
        assert job.budget is not None
        size = job.budget
    size -= job.metadata_size
    small = job.pixels < LEAST_PIXELS or side < LEAST_SIDE or size < LEAST_PYRAMID
    return SIREN if small else PYRAMID
