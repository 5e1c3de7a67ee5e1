"""From a file's header to the network that it describes, and its parameters' reparametrization."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from inrcodec.container.header import Header
from inrcodec.inr.architecture import Pyramid, Siren
from inrcodec.inr.pyramid import PyramidNetwork
from inrcodec.inr.siren import SirenNetwork
from inrcodec.pranc.reparametrization import Reparametrization


def grow(header: Header, device: torch.device | str) -> tuple[SirenNetwork, Reparametrization]:
    """The SIREN of a header and θ = θ₀ + S·B·α for it, both from the header's seed."""
    assert isinstance(header.network, Siren)
    with torch.device(device):
        network = SirenNetwork(header.network)
    return network, _reparametrize(header, network, network.whole_layers)


def grow_pyramid(
    header: Header, device: torch.device | str
) -> tuple[PyramidNetwork, Reparametrization]:
    """The networks of a pyramid's header and θ = S·B·α for them, both from the header's seed."""
    assert isinstance(header.network, Pyramid)
    with torch.device(device):
        network = PyramidNetwork(header.network)
    return network, _reparametrize(header, network, network.whole_layers, network.unmixed_layers)


def _reparametrize(
    header: Header,
    network: SirenNetwork | PyramidNetwork,
    ends: tuple[str, str],
    always_whole: Sequence[str] = (),
) -> Reparametrization:
    flags = (header.whole_first, header.whole_last)
    whole = [name for name, flag in zip(ends, flags, strict=True) if flag]
    return Reparametrization(
        network,
        seed=header.seed,
        basis=header.basis,
        compaction=header.compaction,
        whole=[*whole, *always_whole],
        initial=network.initial,
    )
