"""The codecs of the harness behind one interface: encode at a setting, decode, and what they are.

A codec is named by a specification, `name` or `name:option=value:option=value`, as in
`inrcodec:effort=2:basis=kronecker:compaction=2`; `python -m eval codecs` lists all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

import inrcodec
from eval import coin
from eval.record import source_hash
from eval.variations import VARIATIONS
from inrcodec import baselines, prc
from inrcodec.baselines import PillowCodec
from inrcodec.decoder import decode
from inrcodec.encoder import DEFAULT_BASIS, DEFAULT_COMPACTION, DEFAULT_EFFORT, FAMILIES, encode
from inrcodec.families.siren.settings import EFFORTS as SIREN_EFFORTS
from inrcodec.image import Raster, from_pillow
from inrcodec.job import EFFORTS, ORDERS
from inrcodec.optim.clock import Report
from inrcodec.pranc.layout import BASES


class SpecificationError(Exception):
    """No codec is meant by a specification; the message says what could be."""


class Codec(Protocol):
    """One codec at one configuration.

    Attributes:
        name: its specification.
        knob: what is swept: "bpp", a budget that the file keeps, or "quality".
        version: the software whose change would change its files.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def knob(self) -> str: ...  # noqa: D102

    @property
    def version(self) -> str: ...  # noqa: D102

    def missing(self) -> str | None:
        """Say why this machine cannot run it, or None where it can."""

    def settings(self, rates: Sequence[float]) -> list[float]:
        """Settings of a curve in rising order; `rates` in bits per pixel for those that aim."""

    def encode(self, raster: Raster, setting: float, report: Report | None = None) -> bytes:
        """Give the whole file of a picture."""

    def decode(self, data: bytes, like: Raster) -> Raster:
        """Give the picture of a file, of the mode of `like`."""

    def detail(self, data: bytes) -> dict[str, float]:
        """What else a file tells: macs_per_pixel of decoding, parameters D, coefficients k."""


_SWEEPS: dict[str, list[float]] = {
    "jpeg": [2, 4, 6, 8, 11, 15, 20, 28, 40, 60],
    "jpeg-444": [2, 4, 6, 8, 11, 15, 20, 28, 40, 60],
    "webp": [0, 1, 3, 6, 10, 16, 25, 37, 50, 70],
    "jpeg2000": [0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8],
    "avif": [2, 8, 15, 22, 30, 38, 46, 54, 62, 70],
    "jpegxl": [0, 5, 10, 20, 30, 42, 54, 66, 78],
}
"""Qualities of a curve (rates of JPEG 2000), closer where rates are low: on Kodak up to 0.8 bpp."""


@dataclass(frozen=True)
class Classical:
    """A codec that Pillow writes."""

    pillow: PillowCodec

    @property
    def name(self) -> str:  # noqa: D102
        return self.pillow.name

    @property
    def knob(self) -> str:  # noqa: D102
        return "bpp" if self.name == "jpeg2000" else "quality"

    @property
    def version(self) -> str:  # noqa: D102
        return self.pillow.version

    def missing(self) -> str | None:  # noqa: D102
        return self.pillow.missing()

    def settings(self, rates: Sequence[float]) -> list[float]:  # noqa: D102
        return list(_SWEEPS[self.name])

    def encode(self, raster: Raster, setting: float, report: Report | None = None) -> bytes:  # noqa: D102
        # What counts qualities in whole numbers takes no 20.0.
        return self.pillow.encode(raster, int(setting) if setting == int(setting) else setting)

    def decode(self, data: bytes, like: Raster) -> Raster:  # noqa: D102
        return self.pillow.decode(data, like)

    def detail(self, data: bytes) -> dict[str, float]:  # noqa: D102
        return {}

    def at_least(self, raster: Raster, size: int) -> tuple[bytes, float]:
        """Give the smallest file of at least `size` bytes, and its quality."""
        encoded = self.pillow.at_least(raster, size)
        return encoded.data, encoded.quality


@dataclass(frozen=True)
class Own:
    """inrcodec at a configuration; `variation` is one of `eval.variations`."""

    name: str
    effort: int = DEFAULT_EFFORT
    family: str = "auto"
    seed: int = 0
    basis: str = DEFAULT_BASIS
    compaction: float = 0.0
    device: str = "auto"
    variation: str = "none"
    order: str = "none"
    progressive: int = 0

    knob = "bpp"

    def __post_init__(self) -> None:
        """Refuse what the encoder would refuse later, once for each point."""
        if self.effort not in EFFORTS:
            raise SpecificationError(f"{self.name}: effort may be 1 to {max(EFFORTS)}")
        if self.family not in FAMILIES:
            raise SpecificationError(f"{self.name}: family may be {', '.join(FAMILIES)}")
        if self.basis not in BASES:
            raise SpecificationError(f"{self.name}: basis may be {', '.join(BASES)}")
        if self.variation not in VARIATIONS:
            raise SpecificationError(f"{self.name}: variation may be {', '.join(VARIATIONS)}")
        if self.order not in ORDERS:
            raise SpecificationError(f"{self.name}: order may be {', '.join(ORDERS)}")
        if self.order != "none" and self.family == "pyramid":
            raise SpecificationError(f"{self.name}: a pyramid has no order of coefficients")
        if self.progressive not in (0, 1):
            raise SpecificationError(f"{self.name}: progressive may be 0 or 1")
        if self.progressive and self.order != "none":
            raise SpecificationError(f"{self.name}: progressive has an order of its own")

    @property
    def version(self) -> str:  # noqa: D102
        parts = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "constriction"))
        source = source_hash(Path(inrcodec.__file__).parent)
        return f"inrcodec {inrcodec.__version__} (source {source}), {parts}"

    def missing(self) -> str | None:  # noqa: D102
        return None

    def settings(self, rates: Sequence[float]) -> list[float]:  # noqa: D102
        return sorted(rates)

    def encode(self, raster: Raster, setting: float, report: Report | None = None) -> bytes:  # noqa: D102
        with VARIATIONS[self.variation].applied():
            return encode(
                raster,
                bpp=setting,
                effort=self.effort,
                family=self.family,
                seed=self.seed,
                basis=self.basis,
                compaction=self.compaction or DEFAULT_COMPACTION[self.basis],
                device=self.device,
                order=self.order,
                progressive=bool(self.progressive),
                report=report,
            )

    def decode(self, data: bytes, like: Raster) -> Raster:  # noqa: D102
        # Some variations change the network that regrows from the seed.
        with VARIATIONS[self.variation].applied():
            return from_pillow(decode(data, device=self.device))

    def detail(self, data: bytes) -> dict[str, float]:  # noqa: D102
        file = prc.open(data)
        network = file.header.network
        detail = {
            "macs_per_pixel": network.macs_per_pixel,
            "D": network.D,
            "k": sum(file.header.coefficients),
        }
        return detail | ({"network_bytes": file.parts[1].size} if file.latents else {})


@dataclass(frozen=True)
class Coin:
    """COIN (Dupont et al. 2021), fitted for three times the steps of inrcodec at an effort."""

    name: str
    effort: int = DEFAULT_EFFORT
    seed: int = 0

    knob = "bpp"

    def __post_init__(self) -> None:
        """Refuse an effort that there is not."""
        if self.effort not in EFFORTS:
            raise SpecificationError(f"{self.name}: effort may be 1 to {max(EFFORTS)}")

    @property
    def version(self) -> str:  # noqa: D102
        source = source_hash(Path(coin.__file__))
        return f"eval.coin (source {source}), torch {version('torch')}"

    def missing(self) -> str | None:  # noqa: D102
        return None

    def settings(self, rates: Sequence[float]) -> list[float]:  # noqa: D102
        return sorted(rates)

    def encode(self, raster: Raster, setting: float, report: Report | None = None) -> bytes:  # noqa: D102
        # At full size it then takes half as long as inrcodec, at half size about as long.
        steps = 3 * SIREN_EFFORTS[self.effort - 1].fit_steps
        return coin.encode(raster, setting, steps=steps, seed=self.seed, report=report)

    def decode(self, data: bytes, like: Raster) -> Raster:  # noqa: D102
        return coin.decode(data)

    def detail(self, data: bytes) -> dict[str, float]:  # noqa: D102
        return {"macs_per_pixel": coin.macs_per_pixel(data)}


NAMES = ("inrcodec", *baselines.CODECS, "coin")
"""The codecs, ours first."""


def parse(specification: str) -> Codec:
    """Give the codec of a specification.

    Raises:
        SpecificationError: there is none, or an option has an impossible value.

    >>> parse("inrcodec:effort=2:basis=sparse")
    Own(name='inrcodec:effort=2:basis=sparse', effort=2, ..., basis='sparse', ...)
    """
    name, *words = specification.split(":")
    if name in baselines.CODECS and not words:
        return Classical(baselines.CODECS[name])
    kinds: dict[str, type[Own] | type[Coin]] = {"inrcodec": Own, "coin": Coin}
    if name not in kinds:
        known = ", ".join(NAMES)
        reason = "takes no options" if name in NAMES else "is no codec here"
        raise SpecificationError(f"{name} {reason}; known are {known}")
    kind = kinds[name]
    types = {field.name: type(field.default) for field in fields(kind) if field.name != "name"}
    options = {}
    for word in words:
        option, equals, value = word.partition("=")
        if option not in types or not equals:
            raise SpecificationError(
                f"{specification}: {word!r} is no option; known are {', '.join(types)}"
            )
        try:
            options[option] = types[option](value)
        except ValueError as error:
            raise SpecificationError(f"{specification}: {value!r} for {option}") from error
    return kind(specification, **options)
