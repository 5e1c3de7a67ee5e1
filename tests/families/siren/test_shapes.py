"""The shape of a SIREN follows from the bytes of its file."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from inrcodec.errors import TargetError
from inrcodec.families.siren.settings import ShapeSettings, SirenSettings
from inrcodec.families.siren.shapes import choose_shape, in_stages, stage_shares
from inrcodec.image import Raster
from inrcodec.job import Job

SETTINGS = SirenSettings()


def job_of(width=96, height=64, channels=3, **options):
    samples = np.zeros((height, width, channels), np.uint8)
    return Job(Raster(samples, has_alpha=False), **options)


def test_more_bytes_give_more_parameters():
    shapes = [choose_shape(job_of(), size, SETTINGS) for size in range(80, 9000, 120)]
    assert all(a.D <= b.D for a, b in pairwise(shapes))
    assert shapes[0].depth == 1 and shapes[-1].depth == 8
    assert all(shape.width >= 3 * shape.depth for shape in shapes)


@pytest.mark.parametrize("basis", ["identity", "hadamard", "kronecker"])
def test_coefficients_take_about_five_bits_of_the_bytes(basis):
    job = job_of(768, 512, basis=basis, compaction=80)
    for size in (1000, 8000):
        network = choose_shape(job, size, SETTINGS)
        blocks = network.blocks
        whole = sum(rows * cols for rows, cols in (blocks[0], blocks[-1]))
        k = whole + (network.D - whole) / (1 if basis == "identity" else 1.25)
        assert 0.85 * size < k * 5 / 8 < 1.02 * size


def test_more_coefficients_than_half_the_samples_are_coded_more_finely():
    small = choose_shape(job_of(16, 16), 2000, SETTINGS)
    large = choose_shape(job_of(256, 256), 2000, SETTINGS)
    assert 1.3 * small.D < large.D


def test_too_few_bytes_name_the_least():
    with pytest.raises(TargetError, match=r"25 bytes are too few .* give at least") as error:
        choose_shape(job_of(), 25, SETTINGS)
    least = int(str(error.value).rsplit(" ", 1)[1])
    assert 25 < least < 80 and choose_shape(job_of(), least, SETTINGS).depth == 1


def test_settings_change_the_shape():
    shape = ShapeSettings(depth=5, omega_hidden=30.0, first_omega=lambda width: 25.0)
    network = choose_shape(job_of(), 1500, SirenSettings(shape=shape))
    assert (network.depth, network.omega_hidden, network.omega_first) == (5, 30, 25)
    fewer = replace(shape, bits_per_coefficient=7.0)
    assert choose_shape(job_of(), 1500, SirenSettings(shape=fewer)).width < network.width


@pytest.mark.parametrize(("size", "stages"), [(700, 0), (1000, 2), (3000, 4)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_progressive_network_has_stages_of_the_same_bytes(size, stages, channels):
    job = job_of(384, 256, channels, progressive=True)
    network = choose_shape(job, size, SETTINGS)
    assert len(network.stages) == stages == len(stage_shares(SETTINGS.stages, size))
    if stages:
        assert network.stages[0] >= 1.2 * network.depth
        plain = choose_shape(replace(job, progressive=False), size, SETTINGS)
        assert 0.6 * plain.D < network.D < 1.1 * plain.D


def test_bytes_too_few_for_a_unit_in_each_stage_give_none():
    plain = choose_shape(job_of(384, 256), 3000, SETTINGS)
    assert in_stages(plain, 2990, 3000, SETTINGS) == plain
