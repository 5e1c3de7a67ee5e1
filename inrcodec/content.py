"""What the segments of a file hold, whatever its family: the integers that are rendered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from inrcodec.container.segments import Segment
from inrcodec.entropy.layer import Layer
from inrcodec.entropy.model import Symbols

Painter = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float32]]
"""From columns (w,) and rows (h,), in pixels of the picture, to the network's output (h, w, C),
-1 to 1 where it is exact."""


Values = Sequence[NDArray[np.float64]]
"""Dequantized coefficients (k,) of the blocks, in file order."""

Latents = Sequence[Symbols]
"""Planes (h, w), int32, in coding order."""


@dataclass(frozen=True, eq=False)
class Content:
    """The quantized coefficients and latents of a file, or of a prefix of one.

    Attributes:
        layers: the layers in file order; a SIREN's last stages may be missing.
        latents: a pyramid's planes (h, w), int32, in coding order; the last ones may be missing.
        withheld: how many last bits of the magnitudes the file keeps in a refinement segment.
        order: "magnitude" or "listed" where it keeps all of them in bit planes; else empty.
        lacking: what is missing, in words; empty where nothing is.
    """

    layers: tuple[Layer, ...]
    latents: tuple[Symbols, ...] = ()
    withheld: int = 0
    order: str = ""
    lacking: str = ""

    @property
    def values(self) -> Values:
        """The coefficients (k,) of the layers."""
        return [layer.values for layer in self.layers]


class ContentReader(Protocol):
    """Reads a family's segments in file order."""

    cuttable: tuple[int, ...]
    """Types of segments that may be read when cut."""

    def read(self, segment: Segment) -> int:
        """Read a segment; return how many of its bytes are range-coded.

        A cut segment may come again with more of its bytes, and at last whole.

        Raises:
            FormatError: it is damaged, or does not belong there.
        """
        ...

    def content(self, complete: bool) -> Content:
        """What has been read; `complete` says that no segment follows.

        Raises:
            CutShort: the coefficients are not there yet.
            FormatError: the file is complete, but something is missing.
        """
        ...
