"""Reading and writing `.prc` files: a header, then segments, each with its CRC-32.

    ┌────────┬────────────────────────┬───────────────────┬─────┬──────┐
    │ header │ first coefficient pass │ (refinement pass) │(ICC)│(EXIF)│
    └────────┴────────────────────────┴───────────────────┴─────┴──────┘

    ┌────────┬────────────────────────┬───────────────────┬─────┬──────┐
    │ header │ first pass: networks   │ latents, 1 to 8   │(ICC)│(EXIF)│
    └────────┴────────────────────────┴───────────────────┴─────┴──────┘

    ┌────────┬────────────────────────┬───────────────────┬─────┬──────┐
    │ header │ first pass: stage 1    │ stages, 2 to 8    │(ICC)│(EXIF)│
    └────────┴────────────────────────┴───────────────────┴─────┴──────┘
             ┌────────────────────┬────────┬─────────┬────────┐
    segment: │ type, last of file │ length │ payload │ CRC-32 │
             └────────────────────┴────────┴─────────┴────────┘

A SIREN's file is the first, a pyramid's the second; the third is that of a SIREN that grows in
stages. `docs/format.md` is the specification. A prefix that holds the header and the first pass is
a readable, partial file; latents may end anywhere, and so may the refinement pass where the
coefficients come in bit planes. Of a stage that is cut nothing is read.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inrcodec.container.fields import CutShort, Fields, checksum, varint
from inrcodec.container.head import (
    MAGIC,
    ORDERED_VERSION,
    PLAIN_VERSION,
    Header,
    parse_header,
    read_header,
    write_header,
)
from inrcodec.entropy.layer import Layer
from inrcodec.entropy.model import LIMIT_MAGNITUDE, LayerModel, Symbols
from inrcodec.entropy.passes import (
    LIMIT_WITHHELD,
    decode_first,
    decode_ordered,
    decode_refinement,
    encode_first,
    encode_ordered,
    encode_refinement,
)
from inrcodec.errors import FormatError
from inrcodec.families.pyramid.latents import lay_out
from inrcodec.families.pyramid.shape import CONTEXT_SCALE, Pyramid
from inrcodec.families.siren.shape import LIMIT_STAGES, Siren

__all__ = ["Header", "Layer", "Part", "PrcFile", "bytes_of", "open", "read", "read_header", "write"]

LIMIT_PAYLOAD = 1 << 26
"""Most bytes of a segment's payload."""

_FIRST, _REFINEMENT, _LATENTS, _ICC, _EXIF = 0, 1, 2, 64, 65
LIMIT_PARTS = 8
"""Most segments of latents."""

_STAGES = _LATENTS
_STAGED = range(_STAGES, _STAGES + LIMIT_STAGES - 1)
"""The segments of a SIREN's stages after the first."""

GAUSSIAN_EDGE = 32
"""Of layers of stages, whose slope is 0: neither is stored."""

_BY_MAGNITUDE, _LISTED = 0x80, 0x81
_ORDERS = {_BY_MAGNITUDE: "magnitude", _LISTED: "listed"}
"""In place of the number of withheld bits: all bits come in bit planes, in an order."""

_ANCILLARY = 64
_LAST = 0x80
_NAMES = {
    _FIRST: "first coefficient pass",
    _REFINEMENT: "refinement pass",
    **{_LATENTS + i: f"latents, part {i + 1}" for i in range(LIMIT_PARTS)},
    _ICC: "ICC profile",
    _EXIF: "EXIF metadata",
}


@dataclass(frozen=True)
class Part:
    """A stretch of a file.

    Attributes:
        name: "header", or the segment's name.
        offset: first byte.
        size: bytes.
        coded: how many of these are range-coded coefficients.
    """

    name: str
    offset: int
    size: int
    coded: int = 0


@dataclass(frozen=True, eq=False)
class PrcFile:
    """What a file, or a prefix of one, holds.

    Attributes:
        header: the header.
        layers: the layers in network order; a SIREN's last stages may be missing.
        latents: a pyramid's planes (h, w), int32, in coding order; the last ones may be missing.
        missing: how many latents are: those of missing planes, and the last ones of the last plane,
            which are 0.
        icc: ICC profile of the colours, empty where there is none.
        exif: EXIF metadata, likewise.
        complete: nothing is missing; a partial file lacks segments at its end.
        withheld: how many last bits of the magnitudes the file keeps in its refinement pass.
        order: "magnitude" or "listed" where it keeps all of them there, in bit planes; else empty.
        parts: the header and the whole segments, in file order.
    """

    header: Header
    layers: tuple[Layer, ...]
    latents: tuple[Symbols, ...]
    missing: int
    icc: bytes
    exif: bytes
    complete: bool
    withheld: int
    order: str
    parts: tuple[Part, ...]

    @property
    def bytes_read(self) -> int:
        """Bytes that `parts` hold: all, if the file is complete."""
        return self.parts[-1].offset + self.parts[-1].size

    @property
    def overhead(self) -> int:
        """Bytes that are not range-coded coefficients."""
        return self.bytes_read - sum(part.coded for part in self.parts)


def write(
    header: Header,
    layers: Sequence[Layer],
    withheld: int = 0,
    icc: bytes = b"",
    exif: bytes = b"",
    latents: Sequence[Symbols] = (),
    parts: Sequence[int] = (),
    order: str | Sequence[int] = "",
) -> bytes:
    """The bytes of a file; the same arguments give the same bytes.

    `withheld` is how many last bits of the magnitudes, 0 to 4, come in a refinement pass of their
    own, so that a prefix of the file shows a coarser picture. `latents` are a pyramid's planes,
    and `parts` the number of planes in each segment of latents, by default all in one.
    With an `order` all bits come in the refinement pass, bit plane after bit plane: "magnitude" has
    the largest coefficients first, a sequence names the layer of each plane.

    Raises:
        ValueError: `layers` do not fit the header or their models, the order leaves planes out, or
            a segment exceeds 64 MiB.

    >>> from inrcodec.families.siren.shape import Siren
    >>> header = Header(Siren(1, width=2, depth=1, omega_first=30, omega_hidden=30), 6, 4)
    >>> model = LayerModel(step=152, edge=32, slope=232, curvature=0, largest=4)
    >>> first = Layer(model, np.array([3, 0, -1, 1, 2, -4], dtype=np.int32))
    >>> last = Layer(model, np.array([0, 1, 0], dtype=np.int32))
    >>> data = write(header, [first, last])
    >>> file = read(data)
    >>> len(data), file.overhead, file.complete
    (42, 39, True)
    >>> file.layers[1].values
    array([0.     , 0.03125, 0.     ])
    """
    if not 0 <= withheld <= LIMIT_WITHHELD or (withheld and order):
        raise ValueError(
            f"{withheld} withheld bits; there may be 0 to {LIMIT_WITHHELD}, and none with an order"
        )
    if order and isinstance(order, str) and order != "magnitude":
        raise ValueError(f"an order by {order}; by itself a file has only magnitude")
    if len(layers) != len(header.coefficients):
        raise ValueError(f"{len(layers)} layers for a network of {len(header.coefficients)}")
    for i, (layer, k) in enumerate(zip(layers, header.coefficients, strict=True)):
        if layer.symbols.shape != (k,) or layer.withheld:
            raise ValueError(f"layer {i} must have {k} whole symbols, not {layer.symbols.shape}")
        if max(int(layer.symbols.max()), -int(layer.symbols.min())) > layer.model.largest:
            raise ValueError(f"layer {i} has a symbol beyond ±{layer.model.largest}")
    models = [layer.model for layer in layers]
    symbols = [layer.symbols for layer in layers]
    own = _at_once(header)
    table = b"".join(map(_entry, models))
    if own < len(models):
        if withheld or order:
            raise ValueError("a SIREN in stages has no refinement pass")
        segments = _write_stages(models, symbols, own)
    elif order:
        listed = None if isinstance(order, str) else order
        kind = _BY_MAGNITUDE if listed is None else _LISTED
        coded = encode_ordered(models, symbols, listed)
        segments = [(_FIRST, bytes([kind]) + table), (_REFINEMENT, coded)]
    else:
        coded = encode_first(models, symbols, withheld)
        segments = [(_FIRST, bytes([withheld]) + table + coded)]
    if withheld:
        segments.append((_REFINEMENT, encode_refinement(models, symbols, withheld)))
    if isinstance(header.network, Pyramid):
        if withheld or order:
            raise ValueError("a pyramid's networks have no refinement pass")
        payloads = _write_latents(header.network, header, layers, latents, parts)
        segments += [(_LATENTS + i, payload) for i, payload in enumerate(payloads)]
    segments += [(kind, payload) for kind, payload in ((_ICC, icc), (_EXIF, exif)) if payload]
    data = write_header(header, ORDERED_VERSION if order else PLAIN_VERSION)
    for i, (kind, payload) in enumerate(segments):
        data += _write_segment(kind, payload, last=i == len(segments) - 1)
    return data


def read(data: bytes, finest: int = 0) -> PrcFile:
    """Read a file, or a prefix of one that holds the header and the first coefficient pass.

    Of a segment of latents that is cut, what its bytes determine is read. Planes that
    those of the level `finest` and above can do without are left out, and count as missing.

    Raises:
        FormatError: not a `.prc` file, a newer version, damaged, cut short or beyond the limits.
    """
    fields = Fields(data, part="header")
    header = parse_header(fields)
    head = Part("header", 0, fields.position)
    segments = _read_segments(fields, header)
    payloads = {segment.kind: segment.payload for segment in segments}
    complete = segments[-1].last
    if complete and fields.position < len(data):
        raise FormatError(f"{len(data) - fields.position} bytes follow the end of the file")
    parts = [kind for kind in payloads if _LATENTS <= kind < _LATENTS + LIMIT_PARTS]
    staged = isinstance(header.network, Siren) and len(header.network.stages) > 0
    order, withheld, layers, coded = _read_coefficients(segments, header, data[len(MAGIC)])
    whole = staged or isinstance(header.network, Pyramid)
    if (whole and (withheld or order)) or (parts and not whole):
        raise FormatError("there are segments that do not belong to this INR family")
    if staged:
        layers, left = _read_stages(header, layers, segments, coded, finest)
        if complete and left:
            raise FormatError("the last stages are missing")
    latents: tuple[Symbols, ...] = ()
    missing = 0
    if isinstance(header.network, Pyramid):
        if parts != list(range(_LATENTS, _LATENTS + len(parts))):
            raise FormatError("a part of the latents is missing")
        reader = _LatentReader(header.network, header, layers, finest)
        for segment in segments:
            if segment.kind in parts:
                coded[segment.kind] = reader.read(segment.payload, segment.cut)
        latents, missing = reader.latents, reader.missing
        if complete and missing and not reader.enough:
            raise FormatError("the last latents are missing")
    return PrcFile(
        header=header,
        layers=layers,
        latents=latents,
        missing=missing,
        icc=payloads.get(_ICC, b""),
        exif=payloads.get(_EXIF, b""),
        complete=complete,
        withheld=withheld,
        order=order,
        parts=(head, *(Part(s.name, s.offset, s.size, coded.get(s.kind, 0)) for s in segments)),
    )


def _read_coefficients(
    segments: Sequence[_Segment], header: Header, version: int
) -> tuple[str, int, tuple[Layer, ...], dict[int, int]]:
    """The order and withheld bits of a file, its layers, and the coded bytes by segment type."""
    payloads = {segment.kind: segment.payload for segment in segments}
    counts = header.coefficients[: _at_once(header)]
    order, withheld, models, first = _read_first(
        payloads[_FIRST], len(counts), len(counts) < len(header.coefficients)
    )
    refinement = payloads.get(_REFINEMENT)
    if refinement is not None and withheld == 0 and not order:
        raise FormatError("there is a refinement pass, but nothing to refine")
    if refinement is None and (withheld > 0 or order) and segments[-1].last:
        raise FormatError("the refinement pass is missing")
    if order:
        if version < ORDERED_VERSION or first:
            raise FormatError("the first pass is invalid: it has an order and something else")
        cut = refinement is None or any(s.cut for s in segments if s.kind == _REFINEMENT)
        symbols, lacking = decode_ordered(refinement or b"", models, counts, order == "listed", cut)
    else:
        symbols = decode_first(first, models, counts, withheld)
        if refinement is not None:
            symbols = decode_refinement(refinement, models, symbols, withheld)
        lacking = [withheld if refinement is None else 0] * len(models)
    coded = {_FIRST: len(first), _REFINEMENT: len(refinement or b"")}
    return order, withheld, tuple(map(Layer, models, symbols, lacking)), coded


def _at_once(header: Header) -> int:
    """How many blocks the first pass has: with stages those of the first."""
    network = header.network
    return network.layers if isinstance(network, Siren) else len(network.blocks)


def _write_stages(
    models: Sequence[LayerModel], symbols: Sequence[Symbols], own: int
) -> list[tuple[int, bytes]]:
    """The segments of stages of `own` layers each."""
    payloads = []
    for start in range(0, len(models), own):
        chosen = models[start : start + own]
        if any((model.edge, model.slope) != (GAUSSIAN_EDGE, 0) for model in chosen):
            raise ValueError("a layer of a stage has a dead zone or a slope")
        table = b"".join(
            bytes([model.step, model.curvature]) + varint(model.largest) for model in chosen
        )
        payloads.append(table + encode_first(chosen, symbols[start : start + own], 0))
    later = [(_STAGES + i, payload) for i, payload in enumerate(payloads[1:])]
    return [(_FIRST, bytes([0]) + payloads[0]), *later]


def _read_stages(
    header: Header,
    first: Sequence[Layer],
    segments: Sequence[_Segment],
    coded: dict[int, int],
    finest: int,
) -> tuple[tuple[Layer, ...], int]:
    """The layers of all stages that there are, and how many more there should be.

    Each level that is not wanted, of those below `finest`, makes a stage superfluous, but the
    first.
    """
    assert isinstance(header.network, Siren)
    layers = list(first)
    count, later = len(header.network.stages), [s for s in segments if s.kind in _STAGED]
    if [s.kind for s in later] != list(range(_STAGES, _STAGES + len(later))):
        raise FormatError("a stage is missing")
    if len(later) >= count:
        raise FormatError(f"{len(later) + 1} stages; there should be {count}")
    for segment in later:
        if len(layers) >= len(first) * max(1, count - finest):
            break
        counts = header.coefficients[len(layers) : len(layers) + len(first)]
        fields = Fields(segment.payload, part=segment.name)
        models = _read_table(fields, len(counts), staged=True)
        data = segment.payload[fields.position :]
        layers += map(Layer, models, decode_first(data, models, counts, 0))
        coded[segment.kind] = len(data)
    return tuple(layers), count - 1 - len(later)


def context_network(layers: Sequence[Layer]) -> tuple[NDArray[np.float64], ...]:
    """The context network of a pyramid's layers, as `entropy.context` takes it.

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


def _write_latents(
    pyramid: Pyramid,
    header: Header,
    layers: Sequence[Layer],
    latents: Sequence[Symbols],
    parts: Sequence[int],
) -> list[bytes]:
    """The payloads of the segments of latents."""
    from inrcodec.families.pyramid.context_coder import encode_planes

    planes = lay_out(pyramid, header.width, header.height)
    values = np.zeros(planes[-1].stop, np.float32)
    if [plane.shape for plane in planes] != [q.shape for q in latents]:
        raise ValueError("the latents do not have the shapes of the planes")
    largest = [int(np.abs(q).max()) for q in latents]
    if max(largest) > LIMIT_MAGNITUDE:
        raise ValueError(f"a latent beyond ±{LIMIT_MAGNITUDE}")
    for plane, q in zip(planes, latents, strict=True):
        plane.inner(values)[:] = q
    parts = parts or [len(planes)]
    if sum(parts) != len(planes) or min(parts) < 1 or len(parts) > LIMIT_PARTS:
        raise ValueError(f"parts of {parts} planes, where there are {len(planes)}")
    network = context_network(layers[pyramid.synthesis_blocks :])
    payloads, done = [], 0
    for count in parts:
        chosen = range(done, done + count)
        most = largest[done : done + count]
        coded = encode_planes(planes, chosen, values, network, most, pyramid.adaptive)
        payloads.append(bytes([count]) + b"".join(map(varint, most)) + coded)
        done += count
    return payloads


class _LatentReader:
    """Reads the segments of latents, one after the other.

    Attributes:
        latents: the planes so far.
        missing: latents that are not in them.
        enough: no more planes are wanted, though there are some.
    """

    def __init__(
        self, pyramid: Pyramid, header: Header, layers: Sequence[Layer], finest: int
    ) -> None:
        self._planes = lay_out(pyramid, header.width, header.height)
        self._network = context_network(layers[pyramid.synthesis_blocks :])
        self._adaptive = pyramid.adaptive
        self._values = np.zeros(self._planes[-1].stop, np.float32)
        self._done = 0
        self._wanted = _wanted(pyramid, finest)
        self.missing = sum(plane.shape[0] * plane.shape[1] for plane in self._planes)

    @property
    def latents(self) -> tuple[Symbols, ...]:
        planes = self._planes[: self._done]
        return tuple(plane.inner(self._values).astype(np.int32) for plane in planes)

    @property
    def enough(self) -> bool:
        return self._done == self._wanted < len(self._planes)

    def read(self, payload: bytes, cut: bool) -> int:
        """Read a segment's payload, or the start of one, and return how much of it is coded."""
        if self.enough:
            return 0
        from inrcodec.families.pyramid.context_coder import decode_planes

        planes, done = self._planes, self._done
        fields = Fields(payload, part="latents")
        try:
            count = fields.u8()
            if not 1 <= count <= len(planes) - done:
                raise FormatError(
                    f"{count} planes in a segment; there are {len(planes) - done} left"
                )
            largest = [fields.varint() for _ in range(count)]
        except CutShort:
            if cut:
                return 0
            raise
        if max(largest) > LIMIT_MAGNITUDE:
            raise FormatError(f"latents of up to {max(largest)}; at most {LIMIT_MAGNITUDE}")
        coded, chosen = payload[fields.position :], range(done, min(done + count, self._wanted))
        first = len(chosen) < count
        decoded = decode_planes(
            coded,
            planes,
            chosen,
            self._values,
            self._network,
            largest[: len(chosen)],
            self._adaptive,
            cut,
            first,
        )
        self.missing -= decoded
        for plane in planes[done : chosen.stop]:
            if decoded > 0:
                self._done += 1
            decoded -= plane.shape[0] * plane.shape[1]
        return len(coded)


def _wanted(pyramid: Pyramid, finest: int) -> int:
    """How many planes, if none of a level below `finest` is wanted.

    Where a set goes further than that, none of the sets after it.

    >>> sets = Pyramid(channels=3, width=16, context=8, levels=(2, 1, 1, 2, 1, 0))
    >>> [_wanted(sets, finest) for finest in (3, 2, 1, 0)]
    [1, 1, 5, 6]
    """
    ends = itertools.accumulate(pyramid.sets)
    last = next((n for n in ends if pyramid.levels[n - 1] < finest), len(pyramid.levels))
    return max((k for k in range(1, last + 1) if pyramid.levels[k - 1] >= finest), default=1)


@dataclass(frozen=True)
class _Segment:
    name: str
    kind: int
    last: bool
    payload: bytes
    offset: int
    size: int
    cut: bool = False


def _write_segment(kind: int, payload: bytes, last: bool) -> bytes:
    if len(payload) > LIMIT_PAYLOAD:
        raise ValueError(f"{len(payload)} bytes of {_NAMES[kind]}; at most {LIMIT_PAYLOAD}")
    body = bytes([kind | (_LAST if last else 0)]) + varint(len(payload)) + payload
    return body + checksum(body)


def _read_segments(fields: Fields, header: Header) -> list[_Segment]:
    """All whole segments, at least the first pass, and one that is cut where that can be read."""
    fields.part = _NAMES[_FIRST]
    names, pyramid = _NAMES, isinstance(header.network, Pyramid)
    if not pyramid:
        names = _NAMES | {kind: f"stage {kind - _STAGES + 2}" for kind in _STAGED}
    segments = [_read_segment(fields, names)]
    if segments[0].kind != _FIRST:
        raise FormatError(f"the {segments[0].name} comes before the coefficients")
    while not segments[-1].last:
        offset = fields.position
        try:
            segment = _read_segment(fields, names)
        except CutShort:
            cut = _read_cut(fields, offset, _readable(segments[0].payload, pyramid))
            if cut is None:
                break
            segment = cut
        if segment.kind <= segments[-1].kind:
            raise FormatError(f"the {segment.name} is out of order")
        segments.append(segment)
        if segment.cut:
            break
    return segments


def _readable(first: bytes, pyramid: bool) -> Collection[int]:
    """The types of segments that may be cut, with the payload of the first pass."""
    if pyramid:
        return range(_LATENTS, _LATENTS + LIMIT_PARTS)
    return (_REFINEMENT,) if first and first[0] in _ORDERS else ()


def _read_cut(fields: Fields, offset: int, readable: Collection[int]) -> _Segment | None:
    """What there is of the segment at `offset`, whose end is missing; None if it says nothing."""
    fields.position = offset
    try:
        kind = fields.u8() & ~_LAST
        length = fields.varint()
    except CutShort:
        return None
    rest = len(fields.data) - fields.position
    payload = fields.take(min(length, rest))
    if kind not in readable or not payload:
        return None
    name = f"{_NAMES[kind]}, cut"
    return _Segment(name, kind, False, payload, offset, fields.position - offset, cut=True)


def _read_segment(fields: Fields, names: dict[int, str]) -> _Segment:
    offset = fields.position
    flags = fields.u8()
    kind = flags & ~_LAST
    fields.part = names.get(kind, f"ancillary segment {kind}")
    if kind not in names and kind < _ANCILLARY:
        raise FormatError(f"unknown segment type {kind}; update inrcodec")
    length = fields.varint()
    if length > LIMIT_PAYLOAD:
        raise FormatError(f"the {fields.part} claims {length} bytes; at most {LIMIT_PAYLOAD}")
    payload = fields.take(length)
    fields.end_checksum(offset)
    size = fields.position - offset
    return _Segment(fields.part, kind, bool(flags & _LAST), payload, offset, size)


def _entry(model: LayerModel) -> bytes:
    codes = (model.step, model.edge, model.slope, model.curvature)
    return bytes(codes) + varint(model.largest)


def _read_first(
    payload: bytes, layers: int, staged: bool
) -> tuple[str, int, list[LayerModel], bytes]:
    """The order, withheld bits, table of layers and range-coded bytes of the first pass."""
    fields = Fields(payload, part=_NAMES[_FIRST])
    withheld = fields.u8()
    order = _ORDERS.get(withheld, "")
    if order:
        withheld = 0
    if withheld > LIMIT_WITHHELD:
        raise FormatError(f"{withheld} withheld bits; there may be 0 to {LIMIT_WITHHELD}")
    models = _read_table(fields, layers, staged)
    return order, withheld, models, payload[fields.position :]


def _read_table(fields: Fields, layers: int, staged: bool) -> list[LayerModel]:
    models = []
    for _ in range(layers):
        if staged:
            (step, curvature), edge, slope = fields.take(2), GAUSSIAN_EDGE, 0
        else:
            step, edge, slope, curvature = fields.take(4)
        try:
            models.append(LayerModel(step, edge, slope, curvature, largest=fields.varint()))
        except ValueError as error:
            raise FormatError(f"the table of layers is invalid: {error}") from error
    return models


def open(source: bytes | str | os.PathLike[str], finest: int = 0) -> PrcFile:
    """Read a file's header, parts and quantized coefficients, without rendering it.

    `source` is a path, or a file's bytes. A file cut short is read as far as it goes; then the
    result's `complete` is False. Latent planes that those of the level `finest` and above
    can do without are left out.

    >>> import inrcodec
    >>> inrcodec.open(b"not a picture")
    Traceback (most recent call last):
    ...
    inrcodec.errors.FormatError: not a .prc file

    Raises:
        FormatError: not a readable `.prc` file; the message says what is wrong.
    """
    return read(bytes_of(source), finest)


def bytes_of(source: bytes | str | os.PathLike[str]) -> bytes:
    """A file's bytes, from its path or as they are; raises FormatError if it cannot be read."""
    if isinstance(source, bytes):
        return source
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise FormatError(f"cannot read {os.fspath(source)}: {error.strerror or error}") from error
