"""A file's coefficients in one pass, or in two: first without their last bits, then these bits.

Two passes cost as many bits as one. `docs/format.md`, section "Passes", is the specification.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from inrcodec.entropy.coder import decode_pass, encode_pass
from inrcodec.entropy.model import PRECISION, Frequencies, LayerModel, Symbols, coarsen

LIMIT_WITHHELD = 4
"""Most bits of a magnitude that may be left to the refinement pass."""

Models = Sequence[LayerModel]


def encode_first(models: Models, symbols: Sequence[Symbols], withheld: int) -> bytes:
    """Code each layer's symbols (k,) without the `withheld` last bits of their magnitudes.

    >>> model = LayerModel(step=152, edge=32, slope=240, curvature=0, largest=9)
    >>> q = np.array([0, 1, -9, 4], dtype=np.int32)
    >>> first, refinement = encode_first([model], [q], 2), encode_refinement([model], [q], 2)
    >>> coarse = decode_first(first, [model], [4], 2)
    >>> coarse
    [array([ 0,  0, -2,  1], dtype=int32)]
    >>> decode_refinement(refinement, [model], coarse, 2)
    [array([ 0,  1, -9,  4], dtype=int32)]
    """
    return encode_pass(
        [
            (model.coarse_frequencies(withheld), coarsen(q, withheld) + (model.largest >> withheld))
            for model, q in zip(models, symbols, strict=True)
        ]
    )


def decode_first(
    data: bytes, models: Models, counts: Sequence[int], withheld: int
) -> list[Symbols]:
    """Decode what `encode_first` gave for layers of `counts` coefficients.

    Raises:
        FormatError: the bytes are not those of a pass.
    """
    tables = [model.coarse_frequencies(withheld) for model in models]
    indices = decode_pass(data, list(zip(tables, counts, strict=True)))
    return [q - (model.largest >> withheld) for model, q in zip(models, indices, strict=True)]


def encode_refinement(models: Models, symbols: Sequence[Symbols], withheld: int) -> bytes:
    """Code the last bits, and the signs where the first pass gave 0."""
    return encode_pass(
        [
            (table, q[places] - first)
            for model, q in zip(models, symbols, strict=True)
            for table, first, places in _groups(model, coarsen(q, withheld), withheld)
        ]
    )


def decode_refinement(
    data: bytes, models: Models, coarse: Sequence[Symbols], withheld: int
) -> list[Symbols]:
    """Decode the whole symbols from the refinement pass and what `decode_first` gave.

    Raises:
        FormatError: the bytes are not those of a pass.
    """
    refined = [np.empty_like(c) for c in coarse]
    groups = [
        (table, first, places, q)
        for model, c, q in zip(models, coarse, refined, strict=True)
        for table, first, places in _groups(model, c, withheld)
    ]
    runs = decode_pass(data, [(table, len(places)) for table, _, places, _ in groups])
    for (_, first, places, q), indices in zip(groups, runs, strict=True):
        q[places] = indices + first
    return refined


def _groups(
    model: LayerModel, coarse: Symbols, withheld: int
) -> Iterator[tuple[Frequencies, int, NDArray[np.intp]]]:
    """The table, smallest symbol and places of the coefficients that share a coarse symbol."""
    order = np.argsort(coarse, kind="stable")
    values, starts = np.unique(coarse[order], return_index=True)
    for c, places in zip(values.tolist(), np.split(order, starts[1:]), strict=True):
        near = abs(c) << withheld
        far = min(near + (1 << withheld) - 1, model.largest)
        first, last = (near, far) if c > 0 else (-far, -near) if c < 0 else (-far, far)
        table = model.frequencies[model.largest + first : model.largest + last + 1]
        table = 1 + table * ((1 << PRECISION) - len(table)) // table.sum()
        # The remainder goes to the smallest magnitude, which is the likeliest.
        table[(near if c > 0 else -near) - first] += (1 << PRECISION) - table.sum()
        yield table, first, places
