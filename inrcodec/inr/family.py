"""From a file's header to the network that it describes, and its parameters' reparametrization."""

from __future__ import annotations

import torch

from inrcodec.container.header import Header
from inrcodec.inr.siren import SirenNetwork
from inrcodec.pranc.reparametrization import Reparametrization


def grow(header: Header, device: torch.device | str) -> tuple[SirenNetwork, Reparametrization]:
    """The network of a header and θ = θ₀ + S·B·α for it, both from the header's seed."""
    with torch.device("meta"):
        shapes = SirenNetwork(header.network)
    network = shapes.to_empty(device=device)
    flags = (header.whole_first, header.whole_last)
    whole = [name for name, flag in zip(network.whole_layers, flags, strict=True) if flag]
    pranc = Reparametrization(
        network,
        seed=header.seed,
        basis=header.basis,
        compaction=header.compaction,
        whole=whole,
        initial=network.initial,
    )
    return network, pranc
