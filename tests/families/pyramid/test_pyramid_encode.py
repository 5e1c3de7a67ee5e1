"""Encoding with a pyramid: budgets, targets, every kind of picture, the same bytes again."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from PIL import Image

import inrcodec
from inrcodec.container.segments import Segment
from inrcodec.families import choose
from inrcodec.families.pyramid import encode as pyramid
from inrcodec.families.pyramid.settings import PyramidSettings
from inrcodec.families.pyramid.shape import Pyramid
from inrcodec.image import Raster, from_pillow
from inrcodec.job import Aim, Attempt, Job, Target
from inrcodec.metrics import psnr
from inrcodec.optim.clock import Progress
from inrcodec.pranc.layout import BASES
from tests.files import pyramid_file


@pytest.fixture(scope="module")
def cat() -> Image.Image:
    """RGB, 96x64: a part of scikit-image's cat, reduced."""
    from skimage.data import chelsea

    return Image.fromarray(chelsea()).crop((110, 50, 350, 210)).resize((96, 64))


def encode(picture: Image.Image, **options: object) -> bytes:
    return inrcodec.encode(picture, **({"family": "pyramid", "effort": 1} | options))


def distance(a: Image.Image, b: Image.Image) -> float:
    peak = 65535 if a.mode == "I;16" else 255
    return psnr(np.atleast_3d(np.asarray(a)), np.atleast_3d(np.asarray(b)), peak)


@pytest.mark.parametrize("budget", [600, 1400, 3000])
def test_budgets_are_kept_and_used_to_99_percent(cat, budget):
    data = encode(cat, max_bytes=budget)
    assert 0.99 * budget <= len(data) <= budget
    file = inrcodec.open(data)
    assert isinstance(file.header.network, Pyramid) and file.complete


def test_a_longer_training_gets_a_deeper_network(cat):
    data = encode(cat, max_bytes=3200, effort=2)
    assert 0.99 * 3200 <= len(data) <= 3200
    network = inrcodec.open(data).header.network
    assert network.filtered and network.second and network.neighbours == 18 and network.taps == 3
    short = encode(cat, max_bytes=3200)
    assert inrcodec.open(short).header.network.blocks[1] == (3, 25)
    assert distance(inrcodec.decode(data), cat) > distance(inrcodec.decode(short), cat)


def test_it_beats_jpeg_and_a_siren_of_the_same_size(cat):
    from inrcodec.baselines import CODECS

    jpeg = CODECS["jpeg"].at_least(from_pillow(cat), 1200)
    data = encode(cat, max_bytes=1200)
    siren = inrcodec.encode(cat, max_bytes=1200, effort=1, family="siren")
    ours = distance(inrcodec.decode(data), cat)
    assert ours > distance(inrcodec.decode(siren), cat) + 1
    assert len(jpeg.data) >= 1200
    assert ours > psnr(CODECS["jpeg"].decode(jpeg.data, from_pillow(cat)).samples,
                       np.asarray(cat), 255)  # fmt: skip


def test_more_bytes_give_a_better_picture(cat):
    found = [distance(inrcodec.decode(encode(cat, max_bytes=b)), cat) for b in (600, 1200, 2400)]
    assert found[0] + 1 < found[1] < found[2] - 1


def test_a_progressive_file_shows_a_good_picture_early(cat):
    plain, file = (
        encode(cat, max_bytes=3000, effort=2, progressive=early) for early in (False, True)
    )
    assert 0.99 * 3000 <= len(file) <= 3000
    opened = inrcodec.open(file)
    assert opened.header.network.sets == (4, 3, 3)
    end = opened.parts[3].offset + opened.parts[3].size
    assert 0.35 * 3000 < end < 0.55 * 3000
    shown = [distance(inrcodec.decode(file[:size]), cat) for size in (end, len(file))]
    plainly = [distance(inrcodec.decode(plain[:size]), cat) for size in (end, len(plain))]
    assert shown[0] > plainly[0] + 2 and plainly[1] - 2.5 < shown[1] > shown[0] + 1


def test_progressive_files_have_budgets_targets_and_small_pictures(cat):
    data = encode(cat, psnr=36, progressive=True)
    assert distance(inrcodec.decode(data), cat) >= 36
    assert 0.35 < _first_set(data) < 0.55
    tiny = encode(cat.resize((17, 9)), max_bytes=500, progressive=True)
    assert len(inrcodec.open(tiny).header.network.sets) == 1
    assert encode(cat, max_bytes=900, progressive=True) == encode(
        cat, max_bytes=900, progressive=True, family="auto"
    )


def _first_set(data: bytes) -> float:
    """The share of a progressive file, without its profile, that its first set ends with."""
    file = inrcodec.open(data)
    return (file.parts[3].offset + file.parts[3].size) / (len(data) - len(file.icc))


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "I;16"])
def test_progressive_files_are_of_any_mode(cat, mode):
    picture = cat.convert("L").point(lambda v: 257 * v, "I").convert("I;16")
    picture = picture if mode == "I;16" else cat.convert(mode)
    data = encode(picture, max_bytes=2000, progressive=True)
    assert 0.99 * 2000 <= len(data) <= 2000 and 0.35 < _first_set(data) < 0.55
    back = inrcodec.decode(data)
    assert back.mode == mode and distance(back, picture) > 28


def test_an_icc_profile_takes_nothing_from_a_progressive_files_prefixes(cat):
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = cat.copy()
    # Five kilobytes that do not compress.
    picture.info["icc_profile"] = np.random.default_rng(0).bytes(5 * len(profile))
    data = encode(picture, max_bytes=6400, progressive=True)
    assert 0.3 < _first_set(data) < 0.55


def test_a_wanted_psnr_is_reached_and_hardly_passed(cat):
    data = encode(cat, psnr=28.0)
    assert 28.0 <= distance(inrcodec.decode(data), cat) < 28.6


def test_a_short_training_reaches_a_high_psnr_by_more_than_one_attempt(cat):
    # Its networks are rounded for the size that pictures of this PSNR have in the mean.
    data = encode(cat, psnr=38.0)
    assert 38.0 <= distance(inrcodec.decode(data), cat) < 39.5


@pytest.mark.parametrize("budget", [700, 1500, 2500])
def test_what_no_lam_makes_large_enough_is_mixed(cat, budget):
    settings = PyramidSettings()
    finish = dataclasses.replace(settings.finish, least_share=1.1)
    job = job_of(cat, Target(max_bytes=budget), dataclasses.replace(settings, finish=finish))
    assert 0.995 * budget <= len(pyramid.encode(job, Aim(budget))) <= budget


def test_settings_choose_networks_and_steps(cat):
    def small(request, _):
        return Pyramid(request.channels, 12, 4, request.levels)

    settings = dataclasses.replace(PyramidSettings(), network_shape=small, cpu_steps=(20,) * 9)
    data = pyramid.encode(job_of(cat, Target(max_bytes=1500), settings), Aim(1500))
    network = inrcodec.open(data).header.network
    assert (network.width, network.context, network.second) == (12, 4, 0)


def test_the_size_expected_for_a_psnr_grows_with_it_and_counts_metadata(cat):
    plain = job_of(cat, Target(psnr=30))
    tagged = dataclasses.replace(plain, metadata=(Segment(64, bytes(500)),))
    low, high = (pyramid.expected_bytes(plain, psnr) for psnr in (28, 36))
    assert 400 < low < high - 100
    assert pyramid.expected_bytes(tagged, 28) == low + tagged.metadata_size


def test_attempts_aim_higher_by_what_is_missing_until_that_is_hopeless(cat):
    job = job_of(cat, Target(psnr=30))
    first = Attempt(Aim(900, 30), size=950, psnr=29)
    second = pyramid.next_aim(job, [first])
    assert second is not None and 31 < second.psnr < 31.5 and second.size > 950
    # Half of what it aimed higher came of it: twice as much is needed.
    half = Attempt(second, 1000, 29 + (second.psnr - 30) / 2)
    third = pyramid.next_aim(job, [first, half])
    assert third is not None
    assert third.psnr == pytest.approx(second.psnr + 2 * (30 - half.psnr) + 0.01)
    assert pyramid.next_aim(job, [first] * 6) is None
    assert pyramid.next_aim(job, [first, Attempt(Aim(900, 45), 950, 29.5)]) is None


def job_of(picture: Image.Image, target: Target, *settings: PyramidSettings) -> Job:
    return Job(from_pillow(picture), target, effort=1, settings=settings)


def test_what_cannot_be_reached_is_said(cat):
    with pytest.raises(inrcodec.TargetError, match="too few for a pyramid; give at least 400"):
        encode(cat, max_bytes=399)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    with pytest.raises(inrcodec.TargetError, match="leave progressive away"):
        encode(cat, max_bytes=399, progressive=True)
    with pytest.raises(inrcodec.TargetError, match=r"reached \d+\.\d\d dB of 70 dB"):
        encode(Image.fromarray(noise), psnr=70.0)
    with pytest.raises(ValueError, match="unknown family"):
        inrcodec.encode(cat, family="tree")


def test_the_same_seed_gives_the_same_file(cat):
    one, two, other = (encode(cat, max_bytes=700, seed=seed, device="cpu") for seed in (5, 5, 6))
    assert one == two != other


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA"])
def test_pictures_of_every_mode_come_back(cat, mode):
    picture = cat.convert(mode)
    if "A" in mode:
        picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    decoded = inrcodec.decode(encode(picture, max_bytes=1500))
    assert decoded.mode == mode and distance(decoded, picture) > 26
    if "A" in mode:
        assert distance(decoded.getchannel("A"), picture.getchannel("A")) > 26


def test_sixteen_bits_stay_sixteen():
    y, x = np.mgrid[0:48, 0:80]
    bump = 20000 * np.exp(-((x - 24) ** 2 + (y - 24) ** 2) / 160)
    picture = Image.fromarray((bump + 450 * x + 37 * y).astype(np.uint16))
    decoded = inrcodec.decode(encode(picture, max_bytes=900))
    assert decoded.mode == "I;16" and distance(decoded, picture) > 40
    # 8 bits would leave multiples of 257.
    assert len(np.unique(np.asarray(decoded) % 257)) > 50


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (90, 3), (17, 5)])
def test_tiny_pictures_work(size):
    data = encode(Image.new("RGB", size, (200, 30, 90)), max_bytes=700)
    decoded = inrcodec.decode(data)
    assert decoded.size == size and len(data) <= 700
    np.testing.assert_allclose(np.asarray(decoded).mean((0, 1)), (200, 30, 90), atol=3)


@pytest.mark.parametrize("basis", BASES)
def test_every_basis_shows_the_picture(cat, basis):
    data = encode(cat, max_bytes=900, basis=basis, compaction=1.5)
    header = inrcodec.open(data).header
    assert header.bases == (basis, basis, "identity", "identity", "identity")
    assert distance(inrcodec.decode(data), cat) > 21


def test_the_icc_profile_is_kept_and_counted(cat):
    from PIL import ImageCms

    picture = cat.copy()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture.info["icc_profile"] = profile
    budget = len(profile) + 900
    data = encode(picture, max_bytes=budget)
    assert 0.985 * budget <= len(data) <= budget
    assert inrcodec.decode(data).info["icc_profile"] == profile


def test_progress_runs_to_the_end(cat):
    seen: list[Progress] = []
    encode(cat, max_bytes=1200, report=seen.append)
    assert seen[-1].share <= 1 and [p.share for p in seen] == sorted(p.share for p in seen)
    assert all(p.psnr and p.size for p in seen)


@pytest.mark.parametrize(
    "network",
    [{}, {"second": 8, "filtered": True}, {"taps": 3, "levels": (4, 3, 2, 2, 1, 2, 1, 0)}],
)
def test_parts_of_the_picture_are_those_of_the_whole(cat, network):
    # Filters see beyond the borders of a part.
    made = pyramid_file(size=(96, 64), network=network)
    data = made if network else encode(cat, max_bytes=900)
    whole = np.asarray(inrcodec.decode(data)).astype(int)
    part = np.asarray(inrcodec.decode(data, region=(20, 10, 40, 30))).astype(int)
    assert np.abs(part - whole[10:40, 20:60]).max() <= 1
    # As wide as a plane of latents is, which does not make its columns the picture's.
    for width in (whole.shape[1] // 2, whole.shape[1] // 4):
        part = np.asarray(inrcodec.decode(data, region=(5, 3, width, 20))).astype(int)
        assert np.abs(part - whole[3:23, 5 : 5 + width]).max() <= 1
    twice = inrcodec.decode(data, region=(20, 10, 40, 30), scale=2)
    assert twice.size == (80, 60)
    if not network:
        reduced = twice.resize((40, 30), Image.Resampling.BOX)
        assert distance(reduced, Image.fromarray(whole[10:40, 20:60].astype(np.uint8))) > 30


def test_the_family_follows_the_budget_and_the_size():
    large, small = (
        Raster(np.zeros((side, side, 3), np.uint8), has_alpha=False) for side in (200, 30)
    )

    def family(raster: Raster, size: int) -> str:
        return choose(Job(raster, Target(max_bytes=size))).name

    assert [family(large, b) for b in (550, 700, 5000)] == ["siren", "pyramid", "pyramid"]
    assert family(small, 5000) == "siren"
