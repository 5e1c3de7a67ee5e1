"""What `inrcodec.encode` promises of its targets, its pictures and its errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

import inrcodec
from inrcodec.image import from_pillow
from inrcodec.job import quality_bpp
from inrcodec.metrics import psnr
from inrcodec.optim.clock import Progress
from inrcodec.pranc.layout import BASES


def psnr_of(picture: Image.Image, data: bytes) -> float:
    wanted, got = from_pillow(picture), from_pillow(inrcodec.decode(data))
    return psnr(got.samples, wanted.samples, wanted.peak)


def distance(a: Image.Image, b: Image.Image) -> float:
    first, second = from_pillow(a), from_pillow(b)
    return psnr(first.samples, second.samples, first.peak)


@pytest.mark.parametrize("budget", [80, 300, 777, 1500])
def test_a_byte_budget_is_kept_and_used(photograph, budget):
    data = inrcodec.encode(photograph, max_bytes=budget, effort=1, device="cpu")
    assert 0.97 * budget <= len(data) <= budget


def test_bits_per_pixel_count_the_whole_file(photograph):
    data = inrcodec.encode(photograph, bpp=3.0, effort=1, device="cpu")
    assert 0.97 * 3.0 <= 8 * len(data) / (48 * 32) <= 3.0


def test_more_bytes_give_a_better_picture(photograph):
    sizes = [200, 600, 1200]
    decoded = [
        inrcodec.decode(inrcodec.encode(photograph, max_bytes=size, effort=1)) for size in sizes
    ]
    quality = [distance(picture, photograph) for picture in decoded]
    assert quality[0] + 1 < quality[1] < quality[2] - 1


def test_a_psnr_is_met_on_the_decoded_pixels(photograph):
    data = inrcodec.encode(photograph, psnr=25.0, effort=1, device="cpu")
    assert 25.0 <= distance(inrcodec.decode(data), photograph) < 25.7


def test_a_profile_takes_nothing_from_a_picture_that_must_reach_a_psnr(photograph):
    picture = photograph.copy()
    picture.info["icc_profile"] = bytes(4000)
    with_profile = inrcodec.encode(picture, psnr=24.0, effort=1)
    without = inrcodec.encode(picture, psnr=24.0, effort=1, strip=True)
    assert len(with_profile) - len(without) - 4000 < 0.1 * len(without)


def test_a_psnr_out_of_reach_says_how_far_it_got():
    noise = np.random.default_rng(0).integers(0, 256, (16, 16), np.uint8)
    with pytest.raises(inrcodec.TargetError, match=r"reached \d+\.\d\d dB of 60 dB; ask for less"):
        inrcodec.encode(Image.fromarray(noise), psnr=60.0, effort=1)


def test_a_budget_too_small_names_the_least(photograph):
    with pytest.raises(inrcodec.TargetError, match="too few for this picture; give at least") as e:
        inrcodec.encode(photograph, max_bytes=30, effort=1)
    least = int(str(e.value).rsplit(" ", 1)[1])
    assert len(inrcodec.encode(photograph, max_bytes=least, effort=1)) <= least


def test_quality_is_a_budget(photograph):
    data = inrcodec.encode(photograph, quality=40, effort=1)
    budget = 500 + int(quality_bpp(40) * 48 * 32 / 8)
    assert 0.97 * budget <= len(data) <= budget


def test_the_same_seed_gives_the_same_file(photograph):
    one, two, other = (
        inrcodec.encode(photograph, max_bytes=300, effort=1, seed=seed, device="cpu")
        for seed in (5, 5, 6)
    )
    assert one == two != other


@pytest.mark.parametrize("basis", BASES)
def test_every_basis_shows_the_picture(photograph, basis):
    data = inrcodec.encode(photograph, max_bytes=900, effort=1, basis=basis, compaction=1.5)
    header = inrcodec.open(data).header
    assert header.basis == basis
    hidden = header.coefficients[1] / (header.network.width * (header.network.width + 1))
    assert hidden == pytest.approx(1 if basis == "identity" else 1 / 1.5, rel=0.06)
    assert distance(inrcodec.decode(data), photograph) > 19


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK"])
def test_pictures_of_every_mode_come_back_in_what_they_became(photograph, mode):
    picture = photograph.convert(mode)
    data = inrcodec.encode(picture, max_bytes=400, effort=1)
    decoded = inrcodec.decode(data)
    assert decoded.mode == {"1": "L", "P": "RGB", "CMYK": "RGB"}.get(mode, mode)
    assert decoded.size == picture.size


def test_alpha_is_coded_as_a_channel(rgba):
    decoded = inrcodec.decode(inrcodec.encode(rgba, max_bytes=700, effort=1))
    assert distance(decoded.getchannel("A"), rgba.getchannel("A")) > 22


def test_sixteen_bits_stay_sixteen(grey16):
    decoded = inrcodec.decode(inrcodec.encode(grey16, max_bytes=900, effort=2))
    assert decoded.mode == "I;16"
    assert distance(decoded, grey16) > 50
    # 8 bits would leave multiples of 257.
    assert len(np.unique(np.asarray(decoded) % 257)) > 50


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (90, 1), (7, 3)])
def test_tiny_pictures_work(size):
    data = inrcodec.encode(Image.new("RGB", size, (200, 30, 90)), max_bytes=150, effort=1)
    decoded = inrcodec.decode(data)
    assert decoded.size == size
    np.testing.assert_allclose(np.asarray(decoded).mean((0, 1)), (200, 30, 90), atol=12)


def test_the_icc_profile_is_kept_unless_stripped(photograph):
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = photograph.copy()
    picture.info["icc_profile"] = profile
    budget = len(profile) + 400
    kept = inrcodec.encode(picture, max_bytes=budget, effort=1)
    assert 0.97 * budget <= len(kept) <= budget
    assert inrcodec.decode(kept).info["icc_profile"] == profile
    stripped = inrcodec.encode(picture, max_bytes=400, effort=1, strip=True)
    assert "icc_profile" not in inrcodec.decode(stripped).info


def test_an_order_costs_nothing_and_by_contribution_a_prefix_shows_more(photograph):
    options = {"max_bytes": 1500, "effort": 1}
    plain = inrcodec.encode(photograph, family="siren", **options)
    files = {order: inrcodec.encode(photograph, order=order, **options)
             for order in ("magnitude", "contribution")}  # fmt: skip
    for data in files.values():
        assert inrcodec.open(data).header.family == "siren"
        assert 1455 <= len(data) <= 1500
        # One training differs from the other by 0.4 dB on some machines.
        assert psnr_of(photograph, data) > psnr_of(photograph, plain) - 0.5
    # Nine tenths of the bytes: the largest coefficients alone are no picture yet.
    by = {order: psnr_of(photograph, data[:1350]) for order, data in files.items()}
    assert by["contribution"] > by["magnitude"] + 1


@pytest.mark.parametrize(("budget", "stages"), [(600, 0), (1200, 2), (2200, 4)])
def test_a_progressive_siren_ends_its_stages_where_it_should(photograph, budget, stages):
    large = photograph.resize((96, 64), Image.Resampling.BICUBIC)
    data = inrcodec.encode(large, max_bytes=budget, effort=1, family="siren", progressive=True)
    file = inrcodec.open(data)
    assert len(file.header.network.stages) == stages
    assert 0.97 * budget <= len(data) <= budget
    ends = [(part.offset + part.size) / len(data) for part in file.parts[1:]]
    for share, end in zip(np.arange(1, stages + 1) / max(1, stages), ends, strict=False):
        # How many bits a stage takes is known when it is too late for other widths.
        assert share - 0.12 < end < share + 0.05
    shown = [psnr_of(large, data[: math.ceil(end * len(data))]) for end in ends]
    assert shown == sorted(shown)


def test_progress_runs_from_fit_to_the_end(photograph):
    seen: list[Progress] = []
    inrcodec.encode(photograph, max_bytes=900, effort=2, report=seen.append)
    shares = [progress.share for progress in seen]
    assert shares == sorted(shares) and shares[0] >= 0 and shares[-1] <= 1
    assert {progress.phase for progress in seen} >= {"fit", "quantize"}
    assert any(progress.psnr and progress.psnr > 15 for progress in seen)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bpp": 1.0, "psnr": 30.0}, "give one of"),
        ({"bpp": 0.0}, "must be above 0"),
        ({"psnr": 120.0}, "below 100"),
        ({"quality": 0}, "1 to 100"),
        ({"effort": 10}, "1 to 9"),
        ({"basis": "fourier"}, "unknown basis"),
        ({"device": "tpu"}, "unknown device"),
        ({"seed": 1 << 32}, "seed"),
        ({"basis": "dense", "compaction": 0.5}, "compaction"),
        ({"order": "random"}, "unknown order"),
        ({"order": "magnitude", "family": "pyramid"}, "for the family siren"),
        ({"progressive": True, "family": "siren", "basis": "sparse"}, "it has the identity"),
        ({"progressive": True, "order": "magnitude"}, "an order of its own"),
    ],
)
def test_arguments_outside_their_range_are_refused(photograph, arguments, message):
    with pytest.raises(ValueError, match=message):
        inrcodec.encode(photograph, **arguments)
