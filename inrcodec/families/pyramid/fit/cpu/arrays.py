"""The networks as the fused kernels take them, and what each thread adds to their gradients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inrcodec.families.pyramid.fit.geometry import plane_filter_block
from inrcodec.families.pyramid.kernels.blocks import Layers, padded
from inrcodec.families.pyramid.kernels.synthesis import sine_layers
from inrcodec.families.pyramid.shape import Pyramid

Array = NDArray[np.float32]


class NetworkArrays(NamedTuple):
    """Weights and biases of both networks, with zeros up to the kernels' shapes.

    Attributes:
        sines: weight and bias of two sine layers, of which the second may have no rows, and of the
            linear layer.
        output_filter: weight and bias; empty where there is no filter.
        plane_taps: (planes, taps), without zeros around; (0, 0) where planes have no filters.
        context: weight and bias of the three layers of the context network.
    """

    sines: Layers
    output_filter: tuple[Array, ...]
    plane_taps: Array
    context: Layers


def network_arrays(architecture: Pyramid, matrices: Sequence[Array]) -> NetworkArrays:
    """The arrays of the matrix (rows, cols) of each block."""
    mixed, filters = architecture.mixed_blocks, plane_filter_block(architecture)
    return NetworkArrays(
        sines=sine_layers(padded(matrices[:mixed])),
        output_filter=padded(matrices[mixed : mixed + architecture.filtered]),
        plane_taps=np.zeros((0, 0), np.float32) if filters is None else matrices[filters],
        context=Layers(*padded(matrices[-3:])),
    )


@dataclass(frozen=True, eq=False)
class ThreadGradients:
    """What one thread adds to the gradients; the gradient is the sum over the threads.

    Attributes:
        latents: by the rounded latents, in the array of all.
        rows: by the planes interpolated along their rows, see `Interpolation`.
        networks: by the networks' arrays.
    """

    latents: Array
    rows: Array
    networks: NetworkArrays

    def clear(self) -> None:
        """Set all to 0."""
        networks = self.networks
        layers = (*networks.sines, *networks.output_filter, *networks.context)
        for array in (self.latents, self.rows, networks.plane_taps, *layers):
            array[...] = 0


def matrix_gradients(architecture: Pyramid, parts: Sequence[NetworkArrays]) -> list[Tensor]:
    """The gradient by the matrix (rows, cols) of each block, summed over all `parts`."""
    filters = plane_filter_block(architecture)
    layers = zip(*(_layers(part) for part in parts), strict=True)
    gradients = []
    for k, (rows, cols) in enumerate(architecture.blocks):
        if k == filters:
            inner = np.sum([part.plane_taps for part in parts], axis=0)
        else:
            weight, bias = (sum(arrays) for arrays in zip(*next(layers), strict=True))
            inner = np.column_stack([weight[:rows, : cols - 1], bias[:rows]])
        gradients.append(torch.from_numpy(np.ascontiguousarray(inner)))
    return gradients


def _layers(arrays: NetworkArrays) -> Iterator[tuple[Array, Array]]:
    """Weight and bias of each layer that there is, in the order of the blocks."""
    flat = (*arrays.sines, *arrays.output_filter, *arrays.context)
    for weight, bias in zip(flat[::2], flat[1::2], strict=True):
        if len(weight):
            yield weight, bias
