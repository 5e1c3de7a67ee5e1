"""A file's coefficients in one pass, or in two: first without their last bits, then these bits.

Or in many: bit plane after bit plane of the layers' magnitudes, in any order of the layers. So a
prefix holds the largest coefficients, or those that count most, and no permutation is stored.
Several passes cost as many bits as one. `docs/format.md`, section "Passes", is the specification.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from inrcodec.entropy.coder import PassDecoder, decode_pass, encode_pass
from inrcodec.entropy.model import PRECISION, Frequencies, LayerModel, Symbols, coarsen
from inrcodec.errors import FormatError

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
            for table, first, places in _groups(model.frequencies, coarsen(q, withheld), withheld)
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
        for table, first, places in _groups(model.frequencies, c, withheld)
    ]
    runs = decode_pass(data, [(table, len(places)) for table, _, places, _ in groups])
    for (_, first, places, q), indices in zip(groups, runs, strict=True):
        q[places] = indices + first
    return refined


def bit_planes(models: Models) -> list[int]:
    """How many bit planes the magnitudes of each layer have."""
    return [model.largest.bit_length() for model in models]


def by_magnitude(models: Models) -> list[int]:
    """The order of bit planes that has the largest coefficients first: a layer for each plane.

    A plane's magnitude is its bit times its layer's step; of equal ones the first layer's is first.

    >>> fine, coarse = (LayerModel(step, 32, 240, 0, largest=3) for step in (192, 196))
    >>> by_magnitude([fine, coarse])
    [1, 0, 1, 0]
    """
    planes = [
        (-(model.step + 8 * bit), layer)
        for layer, (model, count) in enumerate(zip(models, bit_planes(models), strict=True))
        for bit in range(count)
    ]
    return [layer for _, layer in sorted(planes)]


def encode_ordered(
    models: Models, symbols: Sequence[Symbols], order: Sequence[int] | None
) -> bytes:
    """Code the bit planes of each layer's symbols (k,), each layer's highest first.

    `order` is the layer of each plane, and is coded too; None is the order `by_magnitude`.

    >>> model = LayerModel(step=152, edge=32, slope=240, curvature=0, largest=9)
    >>> q = np.array([0, 1, -9, 4], dtype=np.int32)
    >>> data = encode_ordered([model], [q], None)
    >>> decode_ordered(data, [model], [4], listed=False)
    ([array([ 0,  1, -9,  4], dtype=int32)], [0])
    >>> decode_ordered(data[:3], [model], [4], listed=False, cut=True)
    ([array([ 0,  0, -1,  0], dtype=int32)], [3])
    """
    left = bit_planes(models)
    runs: list[tuple[Frequencies, Symbols]] = []
    for layer in by_magnitude(models) if order is None else order:
        if order is not None:
            places, table = _next_layer(left)
            runs.append((table, np.array([places.index(layer)], np.int32)))
        left[layer] -= 1
        withheld, q = left[layer], symbols[layer]
        finer, coarse = coarsen(q, withheld), coarsen(q, withheld + 1)
        frequencies = models[layer].coarse_frequencies(withheld)
        runs += [
            (table, finer[places] - first) for table, first, places in _groups(frequencies, coarse)
        ]
    if any(left):
        raise ValueError(f"an order that leaves out {sum(left)} bit planes")
    return encode_pass(runs)


def decode_ordered(
    data: bytes, models: Models, counts: Sequence[int], listed: bool, cut: bool = False
) -> tuple[list[Symbols], list[int]]:
    """Decode what `encode_ordered` gave for layers of `counts` coefficients.

    With `listed` the order is in the data. With `cut` the data may end anywhere: planes that it
    does not determine to the last coefficient are left out. Returns the symbols, and how many of
    the last bits each layer's lack.

    Raises:
        FormatError: the bytes are not those of an order.
    """
    withheld = bit_planes(models)
    symbols: list[Symbols] = [np.zeros(count, np.int32) for count in counts]
    # What is missing lies between all zeros and all ones; what both give is certain.
    rests = (b"\0" * 16, b"\xff" * 16) if cut else (b"",)
    decoders = [PassDecoder(data + rest) for rest in rests]
    order = None if listed else iter(by_magnitude(models))
    try:
        while any(withheld):
            if order is None:
                places, table = _next_layer(withheld)
                layer = places[int(_agreed(decoders, table, 1)[0])]
            else:
                layer = next(order)
            finer = np.empty_like(symbols[layer])
            frequencies = models[layer].coarse_frequencies(withheld[layer] - 1)
            for table, first, chosen in _groups(frequencies, symbols[layer]):
                finer[chosen] = _agreed(decoders, table, len(chosen)) + first
            symbols[layer] = finer
            withheld[layer] -= 1
    except _Undetermined:
        return symbols, withheld
    if not cut:
        decoders[0].end()
    return symbols, withheld


class _Undetermined(Exception):  # noqa: N818
    """The bytes that there are leave a symbol open."""


def _agreed(decoders: Sequence[PassDecoder], table: Frequencies, count: int) -> Symbols:
    """What all decoders give next."""
    try:
        found = [decoder.decode(table, count) for decoder in decoders]
    except FormatError as error:
        if len(decoders) == 1:
            raise
        raise _Undetermined from error
    if any((other != found[0]).any() for other in found[1:]):
        raise _Undetermined
    return found[0]


def _next_layer(left: Sequence[int]) -> tuple[list[int], Frequencies]:
    """The layers that have bit planes left, and frequencies in proportion to how many."""
    layers = [layer for layer, count in enumerate(left) if count]
    counts = np.array([left[layer] for layer in layers], np.int64)
    table = 1 + counts * ((1 << PRECISION) - len(counts)) // counts.sum()
    table[0] += (1 << PRECISION) - table.sum()
    return layers, table


def _groups(
    frequencies: Frequencies, coarse: Symbols, withheld: int = 1
) -> Iterator[tuple[Frequencies, int, NDArray[np.intp]]]:
    """The table, smallest symbol and places of the coefficients that share a coarse symbol."""
    largest = len(frequencies) // 2
    order = np.argsort(coarse, kind="stable")
    values, starts = np.unique(coarse[order], return_index=True)
    for c, places in zip(values.tolist(), np.split(order, starts[1:]), strict=True):
        near = abs(c) << withheld
        far = min(near + (1 << withheld) - 1, largest)
        first, last = (near, far) if c > 0 else (-far, -near) if c < 0 else (-far, far)
        table = frequencies[largest + first : largest + last + 1]
        table = 1 + table * ((1 << PRECISION) - len(table)) // table.sum()
        # The remainder goes to the smallest magnitude, which is the likeliest.
        table[(near if c > 0 else -near) - first] += (1 << PRECISION) - table.sum()
        yield table, first, places
