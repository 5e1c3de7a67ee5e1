"""The table of layers of a segment: quantizer and symbol model of each, in a few bytes.

`docs/format.md`, section "Coefficients", is the specification.
"""

from __future__ import annotations

from collections.abc import Sequence

from inrcodec.container.fields import Fields, varint
from inrcodec.entropy.model import LayerModel
from inrcodec.errors import FormatError

GAUSSIAN_EDGE = 32
"""Edge of a layer with a Gaussian model, whose slope is 0: neither is stored."""


def write_table(models: Sequence[LayerModel], gaussian: bool = False) -> bytes:
    """The table of some layers; `gaussian` leaves out edges and slopes.

    Raises:
        ValueError: a layer of a Gaussian table has a dead zone or a slope.
    """
    if not gaussian:
        return b"".join(
            bytes([m.step, m.edge, m.slope, m.curvature]) + varint(m.largest) for m in models
        )
    if any((model.edge, model.slope) != (GAUSSIAN_EDGE, 0) for model in models):
        raise ValueError("a layer of a stage has a dead zone or a slope")
    return b"".join(bytes([m.step, m.curvature]) + varint(m.largest) for m in models)


def read_table(fields: Fields, layers: int, gaussian: bool = False) -> list[LayerModel]:
    """Read what `write_table` wrote for a number of layers.

    Raises:
        FormatError: the table is cut short, or a magnitude is too large.
    """
    models = []
    for _ in range(layers):
        if gaussian:
            (step, curvature), edge, slope = fields.take(2), GAUSSIAN_EDGE, 0
        else:
            step, edge, slope, curvature = fields.take(4)
        try:
            models.append(LayerModel(step, edge, slope, curvature, largest=fields.varint()))
        except ValueError as error:
            raise FormatError(f"the table of layers is invalid: {error}") from error
    return models
