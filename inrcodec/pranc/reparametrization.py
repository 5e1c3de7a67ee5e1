"""A module's parameters as θ = θ₀ + S·B·α (PRANC, Nooralinejad et al. 2022), block by block.

θ₀ is an initial network drawn from the seed, S its standard deviation, B the frozen basis of each
block, and α the coefficients that are trained and stored. It takes any `torch.nn.Module`: what
becomes of the module is decided by its architecture and the seed, never by its current values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from inrcodec.pranc.blocks import BlockSpec, Initial
from inrcodec.pranc.layout import NO_COMPACTION, coefficients
from inrcodec.pranc.torch_blocks import Block

__all__ = [
    "Block",
    "Initial",
    "Initializer",
    "Member",
    "Reparametrization",
    "default_initial",
]

Initializer = Callable[[nn.Module, str, nn.Parameter], Initial]
"""From a layer, a parameter's name in it and the parameter."""


def default_initial(layer: nn.Module, name: str, parameter: nn.Parameter) -> Initial:
    """The start of any layer's parameter.

    - A layer with a method `initial_spread(name) -> float` decides itself.
    - A layer with a parameter of two or more dimensions: uniform ± 1/√fan_in, PyTorch's default for
      linear and convolutional layers; its vectors take the fan-in of its first such parameter.
    - Others, such as norm layers: `weight` is 1 and the rest 0, moved by 0.1 per unit.

    >>> default_initial(nn.BatchNorm1d(4), "weight", nn.Parameter(torch.zeros(4)))
    Initial(centre=1.0, spread=0.0, scale=0.1)
    """
    own = getattr(layer, "initial_spread", None)
    if callable(own):
        return Initial.uniform(own(name))
    direct = [parameter, *layer.parameters(recurse=False)]
    shape = next((p.shape for p in direct if p.dim() >= 2), None)
    if shape is None:
        return Initial(1.0 if name == "weight" else 0.0, 0.0, 0.1)
    return Initial.uniform(1 / math.sqrt(max(1, shape[1:].numel())))


@dataclass(frozen=True)
class Member:
    """Where the parameters of a block are in the module.

    Attributes:
        layer: name of the submodule that owns them; empty where the block has the whole network.
        names: names of the parameters that are side by side in the block's matrix: a weight,
            flattened to (out, rest), and its bias as last column; or one parameter alone, a vector
            as one column; or all parameters of a network, in one row.
        shapes: their shapes.
    """

    layer: str
    names: tuple[str, ...]
    shapes: tuple[torch.Size, ...]

    @property
    def name(self) -> str:
        """The name of the first parameter, which no other block has."""
        return self.names[0]


@dataclass(frozen=True, eq=False)
class _Group:
    """The parameters of a block, the layers that own them, and the number of the block's rows."""

    layers: dict[str, nn.Module]
    layer_name: str
    parameters: dict[str, nn.Parameter]
    rows: int

    @property
    def first(self) -> nn.Parameter:
        return next(iter(self.parameters.values()))

    def spec(self, basis: str, initial: Initializer) -> BlockSpec:
        """The block before it is grown."""
        parts = []
        for name, parameter in self.parameters.items():
            start = initial(self.layers[name], name.rpartition(".")[2], parameter)
            if not 0 < start.scale < math.inf:
                raise ValueError(f"the initial scale of {name} is {start.scale}, not positive")
            parts.append((parameter.numel() // self.rows, start))
        return BlockSpec.of(basis, self.rows, parts)


def _joined(groups: Sequence[_Group]) -> _Group:
    """All parameters as one row."""
    layers = {name: layer for group in groups for name, layer in group.layers.items()}
    parameters = {name: p for group in groups for name, p in group.parameters.items()}
    return _Group(layers, "", parameters, rows=1)


class Reparametrization:
    """The parameters of a module as a function of a seed and the coefficients α of its blocks.

    Attributes:
        module: the module.
        blocks: the blocks, in the order of `named_modules`.
        members: where the parameters of each block are in the module.
        outside: names of the parameters that are not reparametrized.
        D: number of parameters in the blocks.
        k: number of coefficients.

    >>> net = nn.Sequential(nn.Linear(2, 8), nn.Linear(8, 8), nn.Linear(8, 1))
    >>> pranc = Reparametrization(net, seed=7, basis="hadamard", compaction=128)
    >>> [(member.name, member.shapes[0]) for member in pranc.members][:2]
    [('0.weight', torch.Size([8, 2])), ('1.weight', torch.Size([8, 8]))]
    >>> [(block.rows, block.cols, block.basis.name) for block in pranc.blocks]
    [(8, 3, 'identity'), (8, 9, 'hadamard'), (1, 9, 'identity')]
    >>> pranc.D, pranc.k
    (105, 69)
    >>> alphas = [alpha.requires_grad_() for alpha in pranc.zeros()]
    >>> y = torch.func.functional_call(net, pranc.parameters(alphas), torch.ones(1, 2))
    >>> y.sum().backward()
    >>> alphas[1].grad.shape
    torch.Size([36])
    """

    def __init__(
        self,
        module: nn.Module,
        seed: int,
        basis: str,
        compaction: int = NO_COMPACTION,
        whole: Collection[str] | None = None,
        initial: Initializer = default_initial,
        *,
        whole_network: bool = False,
        norms: bool = True,
    ) -> None:
        """Divides the module into blocks and grows their bases on the parameters' device.

        `seed` has 64 bits; `compaction` is D/k in units of 1/64; `whole` names the layers
        (submodules) whose blocks keep the identity basis, by default those of the first and last
        block with a parameter of two or more dimensions. Tied parameters count once, empty ones
        not at all, and buffers are left alone. Blocks are numbered in the order of `named_modules`.

        With `whole_network` one block has all parameters, and one α mixes them all, which is the
        paper's first form; `whole` must be left out. Without `norms`, layers that have no parameter
        of two or more dimensions, such as batch normalization, stay outside, as in the paper.

        Raises ValueError for an unknown basis or layer, a compaction below 64, a seed beyond 64
        bits, an initial scale that is not positive and finite, or a module without parameters.
        """
        groups = list(_groups(module))
        self.outside: tuple[str, ...] = ()
        if not norms:
            matrices = {group.layer_name for group in groups if group.first.dim() >= 2}
            apart = [group for group in groups if group.layer_name not in matrices]
            self.outside = tuple(name for group in apart for name in group.parameters)
            groups = [group for group in groups if group.layer_name in matrices]
        if not groups:
            raise ValueError(f"{type(module).__name__} has no parameters")
        coefficients(basis, 1, 1, compaction)  # refuses them even if all blocks are whole
        if whole_network:
            if whole is not None:
                raise ValueError("a basis for the whole network leaves no layers to the identity")
            groups = [_joined(groups)]
            whole = ()
        if whole is None:
            layers = [group.layer_name for group in groups if group.first.dim() >= 2]
            whole = {*layers[:1], *layers[-1:]}
        unknown = set(whole) - {group.layer_name for group in groups}
        if unknown:
            raise ValueError(f"no layers with parameters are named {sorted(unknown)}")
        self.module = module
        self.members: tuple[Member, ...] = tuple(
            Member(
                group.layer_name,
                tuple(group.parameters),
                tuple(parameter.shape for parameter in group.parameters.values()),
            )
            for group in groups
        )
        self.blocks: tuple[Block, ...] = tuple(
            Block.grow(
                group.spec("identity" if group.layer_name in whole else basis, initial),
                index,
                seed,
                compaction,
                group.first.device,
                torch.promote_types(group.first.dtype, torch.float32),
            )
            for index, group in enumerate(groups)
        )
        self.D = sum(block.basis.D for block in self.blocks)
        self.k = sum(block.basis.k for block in self.blocks)

    def zeros(self) -> list[Tensor]:
        """The coefficients (k,) of each block at the start, all zero."""
        return [block.zeros() for block in self.blocks]

    def matrices(self, alphas: Sequence[Tensor]) -> list[Tensor]:
        """Each block's parameters θ₀ + S·Bα as a matrix (rows, cols), differentiable.

        Raises ValueError if there is not one vector of coefficients (k,) for each block.
        """
        if len(alphas) != len(self.blocks):
            raise ValueError(f"{len(alphas)} coefficient vectors for {len(self.blocks)} blocks")
        return [block.matrix(alpha) for block, alpha in zip(self.blocks, alphas, strict=True)]

    def parameters(self, alphas: Sequence[Tensor]) -> dict[str, Tensor]:
        """The module's parameters by name, for `torch.func.functional_call`; see `matrices`."""
        return self.named(self.matrices(alphas))

    def named(self, matrices: Sequence[Tensor]) -> dict[str, Tensor]:
        """The parameters by name that are in each block's matrix (rows, cols)."""
        parameters = {}
        for member, theta in zip(self.members, matrices, strict=True):
            widths = [shape.numel() // len(theta) for shape in member.shapes]
            columns = theta.split_with_sizes(widths, dim=1)
            for name, shape, part in zip(member.names, member.shapes, columns, strict=True):
                parameters[name] = part.reshape(shape)
        return parameters

    def load(self, alphas: Sequence[Tensor]) -> None:
        """Writes the parameters into the module; see `matrices`."""
        with torch.no_grad():
            for name, value in self.parameters(alphas).items():
                self.module.get_parameter(name).copy_(value)


def _groups(module: nn.Module) -> Iterator[_Group]:
    seen: set[nn.Parameter] = set()
    for layer_name, layer in module.named_modules():
        prefix = f"{layer_name}." if layer_name else ""
        own = {
            name: parameter
            for name, parameter in layer.named_parameters(recurse=False)
            if parameter.numel() > 0 and parameter not in seen
        }
        seen.update(own.values())
        weight, bias = own.get("weight"), own.get("bias")
        for name, parameter in own.items():
            group = {prefix + name: parameter}
            if weight is not None and bias is not None and _is_affine(weight, bias):
                if parameter is bias:
                    continue
                if parameter is weight:
                    group[prefix + "bias"] = bias
            rows = parameter.shape[0] if parameter.dim() else 1
            yield _Group(dict.fromkeys(group, layer), layer_name, group, rows)


def _is_affine(weight: nn.Parameter, bias: nn.Parameter) -> bool:
    return weight.dim() >= 2 and bias.dim() == 1 and bias.shape[0] == weight.shape[0]
