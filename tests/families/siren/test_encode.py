"""A SIREN's encoder: sizes, PSNR, aims after failed attempts, metadata, and what it refuses."""

import math
from dataclasses import replace

import numpy as np
import pytest

from inrcodec import decoder, prc
from inrcodec.container.segments import metadata, metadata_segment
from inrcodec.errors import TargetError
from inrcodec.families.siren import SIREN
from inrcodec.families.siren.encode import encode, expected_bytes, next_aim
from inrcodec.families.siren.settings import SearchSettings, SirenEffort, SirenSettings
from inrcodec.image import Raster, from_pillow
from inrcodec.job import Aim, Attempt, Job
from inrcodec.metrics import psnr

FAST = SirenSettings(efforts=(SirenEffort(60, 2, 512),))
PROFILE = metadata_segment(64, bytes(range(199)))


@pytest.fixture(scope="module")
def job(photograph):
    return Job(from_pillow(photograph), effort=1, settings=(FAST,))


def decoded_psnr(job, data):
    return psnr(decoder.rendered(prc.open(data)), job.raster.samples, job.raster.peak)


@pytest.mark.parametrize("size", [120, 400, 1200])
def test_a_size_is_kept_and_used(job, size):
    assert 0.97 * size <= len(encode(job, Aim(size))) <= size


def test_metadata_count_but_change_no_coefficient(job):
    plain = prc.open(encode(job, Aim(300)))
    tagged = replace(job, metadata=(PROFILE,))
    assert tagged.metadata_size == 207
    data = encode(tagged, Aim(300 + 207))
    assert len(data) <= 507 and prc.open(data).icc == metadata(PROFILE)
    for one, other in zip(plain.layers, prc.open(data).layers, strict=True):
        assert np.array_equal(one.symbols, other.symbols)


def test_a_psnr_within_reach_is_reached_with_few_bytes(job):
    wanted = decoded_psnr(job, encode(job, Aim(500))) - 1.5
    data = encode(job, Aim(500, wanted))
    assert wanted - 0.01 < decoded_psnr(job, data)
    assert len(data) < 490


def test_a_psnr_out_of_reach_gives_the_nearest_file(job):
    data = encode(job, Aim(300, 90.0))
    assert decoded_psnr(job, data) > decoded_psnr(job, encode(job, Aim(300))) - 0.3


def test_expected_bytes_rise_with_the_psnr_and_hold_the_metadata(job):
    large = replace(job, raster=Raster(np.zeros((512, 768, 3), np.uint8), has_alpha=False))
    sizes = [expected_bytes(large, db) for db in (20, 28, 32, 36)]
    assert sizes == sorted(sizes) and sizes[3] - 300 == pytest.approx(2 * (sizes[2] - 300), abs=2)
    assert expected_bytes(replace(large, metadata=(PROFILE,)), 30) == 207 + expected_bytes(
        large, 30
    )
    assert expected_bytes(job, 99) <= 2 * 48 * 32 * 3 + 400


def test_a_missed_psnr_asks_for_more_bytes_the_more_is_missing(job):
    tagged = replace(job, metadata=(PROFILE,))

    def after(reached):
        return next_aim(tagged, [Attempt(Aim(707, 30.0), 650, reached)])

    near, far, hopeless = after(29.9), after(27.0), after(-50.0)
    assert near.psnr == far.psnr == 30.0
    assert 500 * 1.25 < near.size - 207 < 500 * 1.35
    assert far.size - 207 == math.floor(500 * 1.25 * 2 ** (3 / 2.5))
    assert hopeless.size - 207 == 4 * 500


def test_the_search_ends_after_six_fits_or_twice_the_raw_picture(job):
    failed = Attempt(Aim(500, 30.0), 480, 29.0)
    assert next_aim(job, [failed] * 5) is not None
    assert next_aim(job, [failed] * 6) is None
    assert next_aim(job, [Attempt(Aim(2 * 48 * 32 * 3 + 400, 30.0), 480, 29.0)]) is None
    fewer = replace(job, settings=(SirenSettings(search=SearchSettings(fits=2)),))
    assert next_aim(fewer, [failed] * 2) is None


def test_a_size_that_no_file_has_names_those_that_there_are(job):
    greedy = replace(FAST, rounding=replace(FAST.rounding, least_share=1.2))
    with pytest.raises(TargetError, match=r"cannot make a file of 300 bytes .* \d+ to \d+ bytes"):
        encode(replace(job, settings=(greedy,)), Aim(300))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"progressive": True, "basis": "sparse"}, "it has the identity"),
        ({"progressive": True, "order": "magnitude"}, "an order of its own"),
    ],
)
def test_what_a_siren_cannot_be_is_refused(job, options, message):
    with pytest.raises(ValueError, match=message):
        SIREN.check(replace(job, **options))
