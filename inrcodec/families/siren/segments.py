"""The segments of a SIREN's file: coefficients, and their refinement, bit planes or later stages.

`docs/format.md`, sections "Coefficients", "Passes" and "Stages", is the specification.
"""

from __future__ import annotations

from collections.abc import Sequence

from inrcodec.container.fields import CutShort, Fields
from inrcodec.container.header import Header
from inrcodec.container.segments import BIT_PLANES, COEFFICIENTS, REFINEMENT, STAGE, Segment
from inrcodec.content import Content
from inrcodec.entropy.layer import Layer, check_layers
from inrcodec.entropy.model import LayerModel, Symbols
from inrcodec.entropy.passes import (
    LIMIT_WITHHELD,
    OrderedDecoder,
    bit_planes,
    decode_first,
    decode_refinement,
    encode_first,
    encode_ordered,
    encode_refinement,
)
from inrcodec.entropy.table import read_table, write_table
from inrcodec.errors import FormatError
from inrcodec.families.siren.shape import Siren

_BY_MAGNITUDE, _LISTED = 0x80, 0x81
_ORDERS = {_BY_MAGNITUDE: "magnitude", _LISTED: "listed"}
"""In place of the number of withheld bits: all bits come in bit planes, in an order."""


def write_layers(
    header: Header,
    layers: Sequence[Layer],
    withheld: int = 0,
    order: str | Sequence[int] = "",
) -> list[Segment]:
    """The segments of a SIREN's layers.

    `withheld` is how many last bits of the magnitudes, 0 to 4, come in a refinement segment, so
    that a prefix of the file shows a coarser picture. With an `order` all bits come in bit planes:
    "magnitude" has the largest coefficients first, a sequence names the layer of each plane.

    Raises:
        ValueError: `layers` do not fit the header or their models, or the order leaves planes out.
    """
    check_layers(layers, header.coefficients)
    shape = header.network
    assert isinstance(shape, Siren)
    if not 0 <= withheld <= LIMIT_WITHHELD or (withheld and order):
        raise ValueError(
            f"{withheld} withheld bits; there may be 0 to {LIMIT_WITHHELD}, and none with an order"
        )
    if isinstance(order, str) and order not in ("", "magnitude"):
        raise ValueError(f"an order by {order}; by itself a file has only magnitude")
    models = [layer.model for layer in layers]
    symbols = [layer.symbols for layer in layers]
    if shape.stages:
        if withheld or order:
            raise ValueError("a SIREN in stages has no refinement")
        return _write_stages(models, symbols, shape.layers)
    table = write_table(models)
    if order:
        listed = None if isinstance(order, str) else order
        kind = _BY_MAGNITUDE if listed is None else _LISTED
        coded = encode_ordered(models, symbols, listed)
        return [Segment(COEFFICIENTS, bytes([kind]) + table), Segment(BIT_PLANES, coded)]
    first = bytes([withheld]) + table + encode_first(models, symbols, withheld)
    segments = [Segment(COEFFICIENTS, first)]
    if withheld:
        segments.append(Segment(REFINEMENT, encode_refinement(models, symbols, withheld)))
    return segments


def _write_stages(
    models: Sequence[LayerModel], symbols: Sequence[Symbols], own: int
) -> list[Segment]:
    """A segment for each stage of `own` layers."""
    segments = []
    for start in range(0, len(models), own):
        chosen = models[start : start + own]
        table = write_table(chosen, gaussian=True)
        payload = table + encode_first(chosen, symbols[start : start + own], 0)
        segments.append(
            Segment(STAGE, payload) if start else Segment(COEFFICIENTS, b"\0" + payload)
        )
    return segments


class SirenReader:
    """Reads the segments of a SIREN, one after the other.

    Attributes:
        cuttable: bit planes may be read when cut.
    """

    cuttable: tuple[int, ...] = (BIT_PLANES,)

    def __init__(self, header: Header, finest: int) -> None:
        """`finest` is how many of the last stages are not wanted; the first one always is."""
        assert isinstance(header.network, Siren)
        self._shape = header.network
        self._counts = header.coefficients
        self._stages = len(self._shape.widths)
        self._wanted = max(1, self._stages - finest)
        self._seen = 0
        self._withheld, self._order, self._refined = 0, "", False
        self._layers: list[Layer] = []
        self._planes: OrderedDecoder | None = None
        self._fed = 0

    def read(self, segment: Segment) -> int:
        """Read a segment; return how many of its bytes are range-coded."""
        readers = {
            COEFFICIENTS: self._read_first,
            REFINEMENT: self._read_refinement,
            BIT_PLANES: self._read_planes,
            STAGE: self._read_stage,
        }
        if segment.kind not in readers:
            raise FormatError(f"a SIREN has no {segment.name}")
        return readers[segment.kind](segment)

    def _read_first(self, segment: Segment) -> int:
        fields = Fields(segment.payload, part=segment.name)
        withheld = fields.u8()
        self._order = _ORDERS.get(withheld, "")
        self._withheld = 0 if self._order else withheld
        if self._withheld > LIMIT_WITHHELD:
            raise FormatError(f"{withheld} withheld bits; there may be 0 to {LIMIT_WITHHELD}")
        staged = self._stages > 1
        if staged and withheld:
            raise FormatError("a SIREN in stages has no refinement")
        counts = self._counts[: self._shape.layers]
        models = read_table(fields, len(counts), gaussian=staged)
        coded = segment.payload[fields.position :]
        if self._order:
            if coded:
                raise FormatError("the coefficients have an order and something else")
            listed = self._order == "listed"
            self._planes = OrderedDecoder(models, counts, listed)
            symbols, lacking = self._planes.symbols, self._planes.withheld
        else:
            symbols = decode_first(coded, models, counts, self._withheld)
            lacking = [self._withheld] * len(models)
        self._layers = list(map(Layer, models, symbols, lacking))
        self._seen = 1
        return len(coded)

    def _read_refinement(self, segment: Segment) -> int:
        if not self._withheld:
            raise FormatError("there is a refinement, but nothing to refine")
        models = [layer.model for layer in self._layers]
        coarse = [layer.symbols for layer in self._layers]
        symbols = decode_refinement(segment.payload, models, coarse, self._withheld)
        self._layers = list(map(Layer, models, symbols))
        self._refined = True
        return len(segment.payload)

    def _read_planes(self, segment: Segment) -> int:
        if self._planes is None:
            raise FormatError("there are bit planes, but the coefficients are not in an order")
        new = bytes(segment.payload[self._fed :])
        self._fed = len(segment.payload)
        if segment.cut:
            self._planes.feed(new)
        else:
            self._planes.finish(new)
        models = [layer.model for layer in self._layers]
        self._layers = list(map(Layer, models, self._planes.symbols, self._planes.withheld))
        self._refined = not segment.cut
        return len(segment.payload)

    def _read_stage(self, segment: Segment) -> int:
        if self._seen >= self._stages:
            raise FormatError(f"{self._seen + 1} stages; there should be {self._stages}")
        self._seen += 1
        if self._seen > self._wanted:
            return 0
        own = self._shape.layers
        counts = self._counts[len(self._layers) : len(self._layers) + own]
        fields = Fields(segment.payload, part=segment.name)
        models = read_table(fields, own, gaussian=True)
        coded = segment.payload[fields.position :]
        self._layers += map(Layer, models, decode_first(coded, models, counts, 0))
        return len(coded)

    def content(self, complete: bool) -> Content:
        """What has been read; `complete` says that no segment follows."""
        if not self._layers:
            raise CutShort("the file is cut short in the coefficients")
        if complete and (self._withheld or self._order) and not self._refined:
            raise FormatError("the refinement is missing")
        if complete and self._seen < self._stages:
            raise FormatError("the last stages are missing")
        return Content(
            layers=tuple(self._layers),
            withheld=self._withheld,
            order=self._order,
            lacking=self._lacking(),
        )

    def _lacking(self) -> str:
        withheld = [layer.withheld for layer in self._layers]
        if self._order and any(withheld):
            planes = sum(bit_planes([layer.model for layer in self._layers]))
            return f"{sum(withheld)} of {planes} bit planes of the coefficients are missing"
        if any(withheld):
            bits, are = ("bit", "is") if max(withheld) == 1 else (f"{max(withheld)} bits", "are")
            return f"the last {bits} of the coefficients {are} missing"
        missing = self._stages - len(self._layers) // self._shape.layers
        return f"{missing} of {self._stages} stages are missing" if missing else ""
