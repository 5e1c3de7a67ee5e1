"""Published curves: complete, sourced, and never passed off as means over other images."""

import pytest

from datasets import dataset
from eval import anchors

ALL = dataset("kodak").images


def test_every_curve_has_a_source_and_rises():
    published = anchors.kodak(ALL)
    assert len(published) == 20
    for anchor in published:
        assert "repository" in anchor.source
        for curve in (anchor.psnr, anchor.ms_ssim):
            assert list(curve) == sorted(curve)
            assert [quality for _, quality in curve] == sorted(quality for _, quality in curve)
        assert all(0 < quality < 1 for _, quality in anchor.ms_ssim)


def test_names_of_the_groups_exist():
    names = {anchor.codec for anchor in anchors.kodak(ALL)}
    assert names >= {*anchors.FITTED, *anchors.SELECTED}


def test_all_images_compare_with_all_curves():
    assert all(anchor.same and anchor.images == 24 for anchor in anchors.kodak(ALL))


def test_the_mean_of_the_images_is_the_published_mean():
    ours = {anchor.codec: anchor for anchor in anchors.kodak(ALL)}["Cool-chic 5.0 (HOP)"]
    published = [(0.08386, 27.435), (0.21856, 30.859), (0.4819, 34.521), (0.75942, 37.247),
                 (1.35713, 41.167)]  # fmt: skip
    for point, expected in zip(ours.psnr, published, strict=True):
        assert point == pytest.approx(expected, abs=1e-3)


def test_a_subset_compares_only_with_what_is_published_image_by_image():
    found = {anchor.codec: anchor for anchor in anchors.kodak(["kodim15", "kodim01"])}
    same = {name for name, anchor in found.items() if anchor.same}
    assert same == {"Cool-chic 5.0 (HOP)"}
    assert found["C3"].images == 24
    assert found["Cool-chic 5.0 (HOP)"].images == 2
    assert found["Cool-chic 5.0 (HOP)"].psnr[0] == pytest.approx(
        ((0.05763 + 0.09329) / 2, (29.228 + 24.664) / 2)
    )


def test_unknown_images_compare_with_nothing():
    assert not any(anchor.same for anchor in anchors.kodak(["kodim15", "other"]))
