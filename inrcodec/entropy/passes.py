"""The coefficients of a file as passes: coarse symbols and refinement, or ordered bit planes.

The first pass holds the symbols without their last bits, the refinement pass these bits. Ordered
bit planes are refinements by one bit each, in any order of the layers, so that a prefix holds the
largest coefficients or those with the largest effect, and no permutation is stored. Several passes
cost as many bits as one. `docs/format.md`, section "Passes", is the specification.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

import numpy as np

from inrcodec.entropy.coder import PassDecoder, PassEncoder, Run, decode_pass, encode_pass
from inrcodec.entropy.model import PRECISION, Frequencies, LayerModel, Symbols, coarsen

LIMIT_WITHHELD = 4
"""Largest number of last bits of a magnitude that the refinement pass holds."""

LARGEST_BLOCK = 1 << 16
"""Coefficients of a refinement that are coded in one call; bounds the memory of their tables."""

SMALLEST_BLOCK = 1 << 5
"""Coefficients that an open decoder tries first; it doubles them while its bytes suffice."""

Models = Sequence[LayerModel]


def encode_first(models: Models, symbols: Sequence[Symbols], withheld: int) -> bytes:
    """The first pass: each layer's symbols (k,) without the `withheld` last bits of magnitudes.

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
        (model.coarse_frequencies(withheld), coarsen(q, withheld) + (model.largest >> withheld))
        for model, q in zip(models, symbols, strict=True)
    )


def decode_first(
    data: bytes, models: Models, counts: Sequence[int], withheld: int
) -> list[Symbols]:
    """The coarse symbols that `encode_first` coded, for layers of `counts` coefficients.

    Raises:
        FormatError: the bytes are not those of a pass.
    """
    tables = [model.coarse_frequencies(withheld) for model in models]
    indices = decode_pass(data, list(zip(tables, counts, strict=True)))
    return [q - (model.largest >> withheld) for model, q in zip(models, indices, strict=True)]


def encode_refinement(models: Models, symbols: Sequence[Symbols], withheld: int) -> bytes:
    """The refinement pass: the `withheld` last bits, and signs where the first pass has 0."""
    return encode_pass(
        run
        for model, q in zip(models, symbols, strict=True)
        for run in _Refinement(model.frequencies, coarsen(q, withheld), withheld).runs(q)
    )


def decode_refinement(
    data: bytes, models: Models, coarse: Sequence[Symbols], withheld: int
) -> list[Symbols]:
    """The symbols, from the refinement pass and the coarse symbols of `decode_first`.

    Raises:
        FormatError: the bytes are not those of a pass.
    """
    decoder = PassDecoder(data)
    decoder.close()
    symbols = []
    for model, c in zip(models, coarse, strict=True):
        refinement = _RefinementDecoder(_Refinement(model.frequencies, c, withheld))
        refinement.decode(decoder, LARGEST_BLOCK)
        symbols.append(refinement.symbols())
    decoder.verify()
    return symbols


def bit_planes(models: Models) -> list[int]:
    """The number of bit planes of each layer's magnitudes."""
    return [model.largest.bit_length() for model in models]


def by_magnitude(models: Models) -> list[int]:
    """The order of bit planes with the largest coefficients first: a layer for each plane.

    A plane's magnitude is its bit times its layer's step. Of equal ones the first layer's is first.

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
    """One pass of the bit planes of each layer's symbols (k,), each layer's highest plane first.

    `order` is the layer of each plane, and is coded too; None is the order `by_magnitude`.

    Raises:
        ValueError: the order leaves out bit planes.

    >>> model = LayerModel(step=152, edge=32, slope=240, curvature=0, largest=9)
    >>> q = np.array([0, 1, -9, 4], dtype=np.int32)
    >>> data = encode_ordered([model], [q], None)
    >>> decode_ordered(data, [model], [4], listed=False)
    ([array([ 0,  1, -9,  4], dtype=int32)], [0])
    >>> decode_ordered(data[:3], [model], [4], listed=False, cut=True)
    ([array([ 0,  0, -1,  0], dtype=int32)], [3])
    """
    left = bit_planes(models)
    encoder = PassEncoder()
    for layer in by_magnitude(models) if order is None else order:
        if order is not None:
            layers, table = _next_layer(left)
            encoder.encode(table, np.array([layers.index(layer)], np.int32))
        left[layer] -= 1
        q, frequencies = symbols[layer], models[layer].coarse_frequencies(left[layer])
        refinement = _Refinement(frequencies, coarsen(q, left[layer] + 1), 1)
        for tables, indices in refinement.runs(coarsen(q, left[layer])):
            encoder.encode(tables, indices)
    if any(left):
        raise ValueError(f"an order that leaves out {sum(left)} bit planes")
    return encoder.shortest()


def decode_ordered(
    data: bytes, models: Models, counts: Sequence[int], listed: bool, cut: bool = False
) -> tuple[list[Symbols], list[int]]:
    """The symbols that `encode_ordered` coded, and how many last bits each layer's symbols lack.

    The arguments are those of `OrderedDecoder`. With `cut` the data may end anywhere, and the
    symbols are those of the planes that it determines.

    Raises:
        FormatError: the bytes are not those of a pass.
    """
    decoder = OrderedDecoder(models, counts, listed)
    if cut:
        decoder.feed(data)
    else:
        decoder.finish(data)
    return decoder.symbols, decoder.withheld


class OrderedDecoder:
    """Decoder of ordered bit planes whose bytes arrive in pieces.

    It keeps what it has decoded and resumes there, so the cost of all pieces together is linear in
    their bytes and symbols. A plane counts once the bytes determine its last coefficient, whatever
    bytes follow. So the state depends on the bytes so far, and not on how they were divided.

    >>> model = LayerModel(step=152, edge=32, slope=240, curvature=0, largest=9)
    >>> data = encode_ordered([model], [np.array([0, 1, -9, 4], dtype=np.int32)], None)
    >>> decoder = OrderedDecoder([model], [4], listed=False)
    >>> decoder.feed(data[:3]), decoder.symbols, decoder.withheld
    (True, [array([ 0,  0, -1,  0], dtype=int32)], [3])
    >>> decoder.finish(data[3:])
    >>> decoder.symbols, decoder.withheld
    ([array([ 0,  1, -9,  4], dtype=int32)], [0])
    """

    def __init__(self, models: Models, counts: Sequence[int], listed: bool) -> None:
        """Layers of `counts` coefficients; `listed`: the pass holds the order of the planes."""
        self._models = models
        self._order = None if listed else iter(by_magnitude(models))
        self._decoder = PassDecoder()
        self._withheld = bit_planes(models)
        self._symbols: list[Symbols] = [np.zeros(count, np.int32) for count in counts]
        self._plane: tuple[int, _RefinementDecoder] | None = None

    @property
    def symbols(self) -> list[Symbols]:
        """Each layer's symbols (k,) so far, without the last bits that are `withheld`."""
        return list(self._symbols)

    @property
    def withheld(self) -> list[int]:
        """The number of last bits that each layer's symbols lack."""
        return list(self._withheld)

    def feed(self, data: bytes) -> bool:
        """Take the next bytes; return whether they complete a plane."""
        before = sum(self._withheld)
        self._decoder.feed(data)
        self._advance(SMALLEST_BLOCK)
        return sum(self._withheld) < before

    def finish(self, data: bytes = b"") -> None:
        """Take the last bytes, and decode all planes.

        Raises:
            FormatError: the bytes are not those of a pass.
        """
        self._decoder.feed(data)
        self._decoder.close()
        self._advance(LARGEST_BLOCK)
        self._decoder.verify()

    def _advance(self, block: int) -> None:
        """Decode the planes that the bytes determine."""
        while any(self._withheld):
            self._plane = self._plane or self._next_plane()
            if self._plane is None:
                return
            layer, refinement = self._plane
            block = refinement.decode(self._decoder, block)
            if not refinement.complete:
                return
            self._symbols[layer] = refinement.symbols()
            self._withheld[layer] -= 1
            self._plane = None

    def _next_plane(self) -> tuple[int, _RefinementDecoder] | None:
        """The layer and refinement of the next plane; None where the bytes leave the layer open."""
        if self._order is None:
            layers, table = _next_layer(self._withheld)
            index = self._decoder.decode(table, 1)
            if not len(index):
                return None
            layer = layers[int(index[0])]
        else:
            layer = next(self._order)
        frequencies = self._models[layer].coarse_frequencies(self._withheld[layer] - 1)
        return layer, _RefinementDecoder(_Refinement(frequencies, self._symbols[layer], 1))


class _Refinement:
    """Coding order and tables of the `bits` last bits of a layer's symbols.

    The order is that of the coarse symbols c (k,), which lack these bits. There are 2^bits symbols
    with a c, but 2^(bits + 1) - 1 with c = 0, and fewer with the largest |c| where the magnitudes
    end. So there are five runs of tables of equal length: least c, c < 0, c = 0, c > 0, largest c.
    """

    def __init__(self, frequencies: Frequencies, coarse: Symbols, bits: int) -> None:
        """`frequencies` (2M + 1,) are those of the symbols with the bits."""
        # 16 bits hold every symbol, and NumPy sorts them in linear time.
        self._order = np.argsort(coarse.astype(np.int16), kind="stable")
        c = self._coarse = coarse[self._order]
        largest, size = len(frequencies) // 2, 1 << bits
        far = np.minimum((np.abs(c) << bits) + size - 1, largest)
        self._first = np.where(c > 0, c << bits, -far)
        regular = max((largest + 1 >> bits) - 1, 0)
        self._bounds = [*np.searchsorted(c, [-regular, 0, 1, regular + 1]).tolist(), len(c)]
        magnitudes = frequencies[largest:]
        self._regular = magnitudes[size : size * (regular + 1)].reshape(regular, size)
        self._last = magnitudes[size * (regular + 1) :]
        middle = min(size - 1, largest)
        self._middle = frequencies[largest - middle : largest + middle + 1]

    def __len__(self) -> int:
        """The number of coefficients."""
        return len(self._coarse)

    def block(self, start: int, size: int) -> tuple[Frequencies, int]:
        """Tables from coefficient `start` in coding order on, and the coefficient where they end.

        They are one table (n,) or one row (stop - start, n) each, for at most `size` coefficients.
        """
        run = bisect_right(self._bounds, start)
        stop = min(start + size, self._bounds[run])
        if run == 2:
            return _normalized(self._middle, len(self._middle) // 2), stop
        parts = self._last
        if run in (1, 3):
            parts = self._regular[np.abs(self._coarse[start:stop]) - 1]
        tables = _normalized(parts, 0)
        return tables[..., ::-1] if run < 2 else tables, stop

    def runs(self, symbols: Symbols) -> Iterator[Run]:
        """Tables and indices in coding order of the symbols (k,)."""
        indices = symbols[self._order] - self._first
        start = 0
        while start < len(self):
            tables, stop = self.block(start, LARGEST_BLOCK)
            yield tables, indices[start:stop]
            start = stop

    def symbols(self, indices: Symbols) -> Symbols:
        """The symbols (k,) of indices in coding order."""
        symbols = np.empty_like(self._coarse)
        symbols[self._order] = indices + self._first
        return symbols


class _RefinementDecoder:
    """Decoder of a refinement that keeps the indices decoded so far."""

    def __init__(self, refinement: _Refinement) -> None:
        """No index is decoded."""
        self._refinement = refinement
        self._indices = np.zeros(len(refinement), np.int32)
        self._done = 0

    def decode(self, decoder: PassDecoder, block: int) -> int:
        """Decode all indices, or those that the bytes determine.

        It asks for `block` at a time and doubles that while the bytes suffice, so that the work
        beyond what they determine is in proportion. Returns the block for what follows.
        """
        while not self.complete:
            tables, stop = self._refinement.block(self._done, block)
            count = stop - self._done
            found = decoder.decode(tables, count)
            self._indices[self._done : self._done + len(found)] = found
            self._done += len(found)
            if len(found) < count:
                break
            if count == block:
                block = min(2 * block, LARGEST_BLOCK)
        return block

    @property
    def complete(self) -> bool:
        """Whether all indices are decoded."""
        return self._done == len(self._indices)

    def symbols(self) -> Symbols:
        """The symbols (k,) of a complete refinement."""
        return self._refinement.symbols(self._indices)


def _normalized(parts: Frequencies, likeliest: int) -> Frequencies:
    """Tables (…, n) that sum to 2^24, in proportion to parts of tables; the likeliest has the rest.

    `likeliest` is the index of the smallest magnitude.
    """
    n = parts.shape[-1]
    tables: Frequencies = 1 + parts * ((1 << PRECISION) - n) // parts.sum(-1, keepdims=True)
    tables[..., likeliest] += (1 << PRECISION) - tables.sum(-1)
    return tables


def _next_layer(left: Sequence[int]) -> tuple[list[int], Frequencies]:
    """The layers that have bit planes left, and frequencies in proportion to how many."""
    layers = [layer for layer, count in enumerate(left) if count]
    return layers, _normalized(np.array([left[layer] for layer in layers], np.int64), 0)
