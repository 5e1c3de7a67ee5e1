"""The initial network and what one unit of α moves, as docs/format.md has it under Parameters."""

import math

import numpy as np
import pytest
import torch

from inrcodec.container.header import Header
from inrcodec.families.siren.network import grow
from inrcodec.families.siren.shape import Siren
from inrcodec.pranc import philox
from inrcodec.pranc.layout import BASES
from inrcodec.pranc.philox import Purpose


def blocks(units, depth, channels=3, omega_hidden=22.5, seed=9, **options):
    siren = Siren(channels, units, depth, omega_first=40, omega_hidden=omega_hidden)
    return grow(Header(siren, 64, 48, seed=seed, **options), "cpu")[1].blocks


def table(units, omega_hidden, first):
    """Spread and scale of weights, spread and scale of biases."""
    if first:
        return 1 / 2, 1 / math.sqrt(12), 1 / math.sqrt(2), 1 / math.sqrt(6)
    spread = math.sqrt(6 / units) / omega_hidden
    scale = math.sqrt(2 / units) / omega_hidden
    return spread, scale, 1 / math.sqrt(units), 3 * scale


@pytest.mark.parametrize(("units", "depth"), [(1, 1), (24, 1), (7, 4), (32, 2)])
def test_spreads_and_scales_are_those_of_the_table(units, depth):
    network = blocks(units, depth)
    assert len(network) == depth + 1
    for index, block in enumerate(network):
        spread, scale, bias_spread, bias_scale = table(units, 22.5, first=index == 0)
        np.testing.assert_allclose(block.scale[0, :-1], scale, rtol=1e-6)
        np.testing.assert_allclose(block.scale[0, -1], bias_scale, rtol=1e-6)
        u = philox.uniform(9, (0, index, Purpose.INITIAL), block.rows * block.cols)
        u = torch.from_numpy(u.reshape(block.rows, block.cols))
        assert torch.equal(
            block.theta0[:, :-1], torch.tensor(spread, dtype=torch.float32) * u[:, :-1]
        )
        assert torch.equal(
            block.theta0[:, -1], torch.tensor(bias_spread, dtype=torch.float32) * u[:, -1]
        )


def test_weights_start_as_siren_wants_them_and_move_by_their_standard_deviation():
    """Unit variance before each hidden sine (Sitzmann et al. 2020, section 3.2)."""
    for block in blocks(200, 3)[1:]:
        weights = block.theta0[:, :-1]
        assert weights.abs().max() <= math.sqrt(6 / 200) / 22.5
        assert weights.std().item() == pytest.approx(block.scale[0, 0].item(), rel=0.05)
        # Inputs of variance 1/2, the sines'.
        assert (22.5 * weights).square().sum(1).mean().item() / 2 == pytest.approx(1, rel=0.05)


def test_the_initial_network_depends_on_seed_and_block_and_not_on_the_basis():
    one, same, other = (
        blocks(6, 3),
        blocks(6, 3, basis="dense", compaction=90),
        blocks(6, 3, seed=8),
    )
    assert all(torch.equal(a.theta0, b.theta0) for a, b in zip(one, same, strict=True))
    assert not any(torch.equal(a.theta0, b.theta0) for a, b in zip(one, other, strict=True))
    assert not torch.equal(one[1].theta0, one[2].theta0)


@pytest.mark.parametrize("basis", BASES)
def test_bases_and_numbers_of_coefficients_are_the_headers(basis):
    for whole_first, whole_last in ((True, True), (False, True), (True, False), (False, False)):
        siren = Siren(3, 6, 3, 30, 30)
        header = Header(
            siren, 8, 8, basis=basis, compaction=128, whole_first=whole_first, whole_last=whole_last
        )
        _, pranc = grow(header, "cpu")
        assert tuple(block.basis.name for block in pranc.blocks) == header.bases
        assert tuple(block.basis.k for block in pranc.blocks) == header.coefficients
        assert tuple((block.rows, block.cols) for block in pranc.blocks) == siren.blocks
