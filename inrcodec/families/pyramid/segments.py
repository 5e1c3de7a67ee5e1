"""The segments of a pyramid's file: the networks' coefficients, then the latents.

`docs/format.md`, sections "Coefficients" and "Latents", is the specification.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from inrcodec.container.fields import CutShort, Fields, varint
from inrcodec.container.header import Header
from inrcodec.container.segments import COEFFICIENTS, LATENTS, Segment
from inrcodec.content import Content
from inrcodec.entropy.layer import Layer, check_layers
from inrcodec.entropy.model import LIMIT_MAGNITUDE, Symbols
from inrcodec.entropy.passes import decode_first, encode_first
from inrcodec.entropy.table import read_table, write_table
from inrcodec.errors import FormatError
from inrcodec.families.pyramid.latents import Plane, lay_out
from inrcodec.families.pyramid.shape import CONTEXT_SCALE, Pyramid

if TYPE_CHECKING:
    from inrcodec.families.pyramid.context_coder import PlanesDecoder

LIMIT_PARTS = 8
"""Most segments of latents."""


def write_networks(header: Header, layers: Sequence[Layer]) -> Segment:
    """The segment of the networks' coefficients.

    Raises:
        ValueError: `layers` do not fit the header or their models.
    """
    check_layers(layers, header.coefficients)
    models = [layer.model for layer in layers]
    coded = encode_first(models, [layer.symbols for layer in layers], 0)
    return Segment(COEFFICIENTS, write_table(models) + coded)


def write_latents(
    header: Header,
    layers: Sequence[Layer],
    latents: Sequence[Symbols],
    parts: Sequence[int] = (),
) -> list[Segment]:
    """The segments of latents, int32 (h, w) for each plane in coding order.

    `parts` are the number of planes in each segment, by default all in one.

    Raises:
        ValueError: the latents do not fit the header, are too large, or have too many parts.
    """
    pyramid = header.network
    assert isinstance(pyramid, Pyramid)
    from inrcodec.families.pyramid.context_coder import encode_planes

    planes = lay_out(pyramid, header.width, header.height)
    if [plane.shape for plane in planes] != [q.shape for q in latents]:
        raise ValueError("the latents do not have the shapes of the planes")
    largest = [int(np.abs(q).max()) for q in latents]
    if max(largest) > LIMIT_MAGNITUDE:
        raise ValueError(f"a latent beyond ±{LIMIT_MAGNITUDE}")
    values = np.zeros(planes[-1].stop, np.float32)
    for plane, q in zip(planes, latents, strict=True):
        plane.inner(values)[:] = q
    parts = parts or [len(planes)]
    if sum(parts) != len(planes) or min(parts) < 1 or len(parts) > LIMIT_PARTS:
        raise ValueError(f"parts of {parts} planes, where there are {len(planes)}")
    network = context_network(layers[pyramid.synthesis_blocks :])
    segments, done = [], 0
    for count in parts:
        chosen, most = range(done, done + count), largest[done : done + count]
        coded = encode_planes(planes, chosen, values, network, most)
        table = bytes([count]) + b"".join(map(varint, most))
        segments.append(Segment(LATENTS, table + coded))
        done += count
    return segments


def context_network(layers: Sequence[Layer]) -> tuple[NDArray[np.float64], ...]:
    """The context network of a pyramid's last three layers, as `context_coder` takes it.

    Raises:
        FormatError: a layer's step is no power of two, or its weights are too large.
    """
    from inrcodec.families.pyramid.context_coder import fixed_point

    matrices = []
    for layer in layers:
        if layer.model.step % 8 or layer.model.edge != 32:
            raise FormatError("a step of the context network is not a power of two")
        matrices.append(layer.values * CONTEXT_SCALE)
    rows = len(layers[-1].symbols) // 2
    context = rows - 1
    shapes = ((context, -1), (context, rows), (2, rows))
    return fixed_point([m.reshape(shape) for m, shape in zip(matrices, shapes, strict=True)])


class PyramidReader:
    """Reads the segments of a pyramid, one after the other.

    Attributes:
        cuttable: latents may be read when cut.
    """

    cuttable: tuple[int, ...] = (LATENTS,)

    def __init__(self, header: Header, finest: int) -> None:
        """Planes that those of the level `finest` and above can do without are left out."""
        assert isinstance(header.network, Pyramid)
        self._shape, self._header = header.network, header
        self._wanted = wanted_planes(header.network, finest)
        self._layers: tuple[Layer, ...] = ()
        self._network: tuple[NDArray[np.float64], ...] = ()
        self._planes: list[Plane] = []
        self._values = np.zeros(0, np.float32)
        self._parts = 0
        self._started = 0
        self._done = 0
        self._decoded = 0
        self._part: _Part | None = None

    def read(self, segment: Segment) -> int:
        """Read a segment; return how many of its bytes are range-coded."""
        if segment.kind == COEFFICIENTS:
            return self._read_networks(segment)
        if segment.kind != LATENTS:
            raise FormatError(f"a pyramid has no {segment.name}")
        return self._read_latents(segment)

    def _read_networks(self, segment: Segment) -> int:
        counts = self._header.coefficients
        fields = Fields(segment.payload, part=segment.name)
        models = read_table(fields, len(counts))
        coded = segment.payload[fields.position :]
        self._layers = tuple(map(Layer, models, decode_first(coded, models, counts, 0)))
        self._network = context_network(self._layers[self._shape.synthesis_blocks :])
        self._planes = lay_out(self._shape, self._header.width, self._header.height)
        return len(coded)

    @property
    def _enough(self) -> bool:
        """Whether no more planes are wanted, though there may be some."""
        # A segment that is being read may have begun the last one without ending it.
        return self._part is None and self._done == self._wanted < len(self._planes)

    def _read_latents(self, segment: Segment) -> int:
        if self._enough:
            return 0
        if self._part is None:
            self._part = self._open_part(segment)
            if self._part is None:
                return 0
        part = self._part
        coded = segment.payload[part.start :]
        part.decoder.decode(coded, segment.cut)
        self._done = part.first + part.decoder.done + (part.decoder.partial > 0)
        decoded = part.before + part.decoder.count + part.decoder.partial
        self._decoded = decoded
        if not segment.cut:
            if part.whole:
                part.decoder.end(bytes(coded))
            self._started = part.first + part.planes
            self._part = None
        return len(coded)

    def _open_part(self, segment: Segment) -> _Part | None:
        """Read the fields before the coded latents; None where a cut segment lacks them."""
        from inrcodec.families.pyramid.context_coder import PlanesDecoder

        fields, left = Fields(segment.payload, part=segment.name), len(self._planes) - self._started
        try:
            count = fields.u8()
            if not 1 <= count <= left:
                raise FormatError(f"{count} planes in a segment; there are {left} left")
            largest = [fields.varint() for _ in range(count)]
        except CutShort:
            if segment.cut:
                return None
            raise
        if max(largest) > LIMIT_MAGNITUDE:
            raise FormatError(f"latents of up to {max(largest)}; at most {LIMIT_MAGNITUDE}")
        self._parts += 1
        if self._parts > LIMIT_PARTS:
            raise FormatError(f"{self._parts} segments of latents; at most {LIMIT_PARTS}")
        if not len(self._values):
            self._values = np.zeros(self._planes[-1].stop, np.float32)
        chosen = range(self._started, min(self._started + count, self._wanted))
        most = largest[: len(chosen)]
        decoder = PlanesDecoder(self._planes, chosen, self._values, self._network, most)
        whole = len(chosen) == count
        return _Part(decoder, self._started, count, fields.position, whole, self._decoded)

    def content(self, complete: bool) -> Content:
        """What has been read; `complete` says that no segment follows."""
        if not self._layers:
            raise CutShort("the file is cut short in the coefficients")
        count = sum(plane.shape[0] * plane.shape[1] for plane in self._planes)
        missing = count - self._decoded
        if complete and missing and not self._enough:
            raise FormatError("the last latents are missing")
        planes = self._planes[: self._done]
        return Content(
            layers=self._layers,
            latents=tuple(plane.inner(self._values).astype(np.int32) for plane in planes),
            lacking=f"the last {missing} of {count} latents are missing" if missing else "",
        )


class _Part:
    """A segment of latents that is being read."""

    def __init__(
        self,
        decoder: PlanesDecoder,
        first: int,
        planes: int,
        start: int,
        whole: bool,
        before: int,
    ) -> None:
        """`first` of all planes is its first one of `planes`, and `before` latents come before it.

        Its coded bytes begin at `start` of the payload; `whole` says that all planes are wanted.
        """
        self.decoder, self.first, self.planes = decoder, first, planes
        self.start, self.whole, self.before = start, whole, before


def wanted_planes(pyramid: Pyramid, finest: int) -> int:
    """How many planes are read if none of a level below `finest` is wanted.

    Where a set of planes goes further than that, no later set is read.

    >>> sets = Pyramid(channels=3, width=16, context=8, levels=(2, 1, 1, 2, 1, 0))
    >>> [wanted_planes(sets, finest) for finest in (3, 2, 1, 0)]
    [1, 1, 5, 6]
    """
    ends = itertools.accumulate(pyramid.sets)
    last = next((n for n in ends if pyramid.levels[n - 1] < finest), len(pyramid.levels))
    return max((k for k in range(1, last + 1) if pyramid.levels[k - 1] >= finest), default=1)
