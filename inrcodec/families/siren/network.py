"""The SIREN: sine layers `sin(ω(Wx + b))`, then one linear layer (Sitzmann et al. 2020).

The parameters come as one matrix a layer, the weight with the bias as its last column, because
that is how `pranc` makes them. A network that grows in stages has such a matrix for what each of
them adds to a layer; `joined` puts them together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from inrcodec.container.header import Header
from inrcodec.families.siren.parameters import starts
from inrcodec.families.siren.shape import Siren
from inrcodec.pranc.affine import Affine
from inrcodec.pranc.reparametrization import Initial, Reparametrization


class SirenNetwork(nn.Module):
    """The network of a `Siren` architecture: coordinates (N, 2) to channels (N, C).

    >>> network = SirenNetwork(Siren(3, width=8, depth=2, omega_first=30, omega_hidden=30))
    >>> network(torch.zeros(5, 2)).shape
    torch.Size([5, 3])
    """

    def __init__(self, architecture: Siren) -> None:
        """Shapes only: the values are those that `pranc` loads."""
        super().__init__()
        self.architecture = architecture
        self.layers = nn.ModuleList(Affine(cols - 1, rows) for rows, cols in architecture.blocks)

    @property
    def whole_layers(self) -> tuple[str, str]:
        """The names of the first and the last layer, small and sensitive."""
        return "layers.0", f"layers.{len(self.layers) - 1}"

    def initial(self, layer: nn.Module, name: str, parameter: nn.Parameter) -> Initial:
        """How a parameter starts and what one unit of α moves it by (docs/format.md)."""
        index = next(i for i, own in enumerate(self.layers) if own is layer)
        weight, bias = starts(self.architecture)[index]
        return weight if name == "weight" else bias

    def forward(self, coordinates: Tensor) -> Tensor:
        """Channels (N, C) at coordinates (N, 2) with the module's own parameters."""
        affine = [
            torch.cat([layer.get_parameter("weight"), layer.get_parameter("bias")[:, None]], 1)
            for layer in self.layers
        ]
        return self.evaluate(self.joined(affine), coordinates)

    def joined(self, matrices: Sequence[Tensor]) -> list[Tensor]:
        """The matrix (rows, cols) of each layer, from those that all stages add to them.

        There may be those of the first stages alone; the last layer is that of the last of them.
        """
        layers = self.architecture.layers
        *sines, _ = (matrices[layer::layers] for layer in range(layers))
        # What the last stage adds has the most columns.
        joined = [torch.cat([widened(m, parts[-1].shape[1]) for m in parts]) for parts in sines]
        return [*joined, matrices[-1]]

    def evaluate(
        self,
        matrices: Sequence[Tensor],
        coordinates: Tensor,
        precision: torch.dtype = torch.float32,
    ) -> Tensor:
        """Channels (N, C) at coordinates (N, 2) with the given (rows, cols) of each layer.

        `precision` is that of the layers after the first, which needs float32 for its coordinates.
        """
        h = coordinates
        for index, matrix in enumerate(matrices[:-1]):
            theta = matrix * self._omega(index)
            if index > 0:
                theta, h = theta.to(precision), h.to(precision)
            h = torch.sin(linear(h, theta[:, :-1], theta[:, -1]))
        last = matrices[-1].to(h.dtype)
        return linear(h, last[:, :-1], last[:, -1]).float()

    def backpropagate(
        self, matrices: Sequence[Tensor], coordinates: Tensor, weights: Tensor
    ) -> list[tuple[Tensor, Tensor]]:
        """Each layer's inputs (N, cols) and the gradients (N, rows) that reach its output.

        The gradients are those of each pixel's sum of channels with `weights` (N, C). Its
        derivative by a layer's matrix is the outer product of the two.
        """
        ones = coordinates.new_ones(len(coordinates), 1)
        inputs, slopes = [torch.cat([coordinates, ones], 1)], []
        for index, matrix in enumerate(matrices[:-1]):
            omega = self._omega(index)
            z = omega * (inputs[-1] @ matrix.T)
            slopes.append(omega * torch.cos(z))
            inputs.append(torch.cat([torch.sin(z), ones], 1))
        gradients = [weights]
        for index in range(len(matrices) - 1, 0, -1):
            gradients.append(gradients[-1] @ matrices[index][:, :-1] * slopes[index - 1])
        return list(zip(inputs, reversed(gradients), strict=True))

    def _omega(self, index: int) -> float:
        first = index == 0
        return self.architecture.omega_first if first else self.architecture.omega_hidden


def widened(matrix: Tensor, cols: int) -> Tensor:
    """A matrix with the columns of later units, which are 0, before its last one, the bias."""
    more = cols - matrix.shape[1]
    if not more:
        return matrix
    return torch.cat([pad(matrix[:, :-1], (0, more)), matrix[:, -1:]], 1)


def grow(header: Header, device: torch.device | str) -> tuple[SirenNetwork, Reparametrization]:
    """The networks of a header and θ = θ₀ + S·B·α for them, both from the header's seed."""
    assert isinstance(header.network, Siren)
    with torch.device(device):
        network = SirenNetwork(header.network)
    flags = (header.whole_first, header.whole_last)
    whole = [name for name, flag in zip(network.whole_layers, flags, strict=True) if flag]
    return network, Reparametrization(
        network,
        seed=header.seed,
        basis=header.basis,
        compaction=header.compaction,
        whole=whole,
        initial=network.initial,
    )


@torch.no_grad()
def evaluate_on(
    device: str,
    shape: Siren,
    matrices: Sequence[NDArray[np.float32]],
    coordinates: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Channels (N, C) at coordinates (N, 2), computed on a device of PyTorch."""
    tensors = [torch.from_numpy(matrix).to(device) for matrix in matrices]
    network = SirenNetwork(shape)
    output = network.evaluate(tensors, torch.from_numpy(coordinates).to(device))
    values: NDArray[np.float32] = output.cpu().numpy()
    return values
