"""Settings of a SIREN: efforts rise, and replaced parts reach the training."""

from dataclasses import FrozenInstanceError, fields, is_dataclass, replace
from itertools import pairwise

import numpy as np
import pytest

from inrcodec import prc
from inrcodec.families.siren.encode import encode
from inrcodec.families.siren.fit.codes import equal_steps
from inrcodec.families.siren.fit.sampling import independent
from inrcodec.families.siren.settings import SirenEffort, SirenSettings
from inrcodec.image import from_pillow
from inrcodec.job import EFFORTS, Aim, Job

FAST = SirenSettings(efforts=(SirenEffort(40, 3, 512),))


def groups(settings):
    return [getattr(settings, f.name) for f in fields(settings)
            if is_dataclass(getattr(settings, f.name))]  # fmt: skip


def test_every_effort_is_more_work_than_the_one_before():
    efforts = SirenSettings().efforts
    assert len(efforts) == len(EFFORTS)
    for low, high in pairwise(efforts):
        assert low.fit_steps < high.fit_steps and low.refit_steps < high.refit_steps
        assert low.curvature_pixels <= high.curvature_pixels


def test_settings_are_frozen_in_all_groups():
    for group in (SirenSettings(), *groups(SirenSettings())):
        with pytest.raises(FrozenInstanceError):
            setattr(group, fields(group)[0].name, None)


def encoded(photograph, settings, size=500):
    job = Job(from_pillow(photograph), effort=1, settings=(settings,))
    return prc.open(encode(job, Aim(size)))


@pytest.fixture(scope="module")
def plain(photograph):
    return encoded(photograph, FAST)


def diagonal(matrix):
    return np.diag(np.sqrt(matrix.diagonal()))


@pytest.mark.parametrize(
    ("group", "change"),
    [
        ("fit", {"sampler": independent, "batch": 500}),
        ("fit", {"rate": 0.1}),
        ("fit", {"first_rate": 0.5, "narrow": 2, "wide": 4}),
        ("curvature", {"factorize": diagonal}),
        ("curvature", {"damping": 0.01}),
        ("rounding", {"refit_rate": 0.1}),
    ],
)
def test_a_replaced_setting_gives_another_file(photograph, plain, group, change):
    settings = replace(FAST, **{group: replace(getattr(FAST, group), **change)})
    other = encoded(photograph, settings)
    assert other.header == plain.header
    assert any(not np.array_equal(a.symbols, b.symbols)
               for a, b in zip(plain.layers, other.layers, strict=True))  # fmt: skip


def test_a_wider_dead_zone_is_in_the_file(photograph):
    rounding = replace(FAST.rounding, edge=45)
    file = encoded(photograph, replace(FAST, rounding=rounding))
    assert {layer.model.edge for layer in file.layers} == {45}


def test_equal_steps_are_in_the_file(photograph):
    settings = replace(FAST, rounding=replace(FAST.rounding, step_codes=equal_steps))
    # The last two layers have what is left of the bytes.
    *steps, _, _ = [layer.model.step for layer in encoded(photograph, settings, 900).layers]
    assert max(steps) - min(steps) < 12


def test_the_last_bits_have_a_segment_from_some_bytes_on(photograph, plain):
    early = replace(FAST, rounding=replace(FAST.rounding, preview_bytes=400))
    assert "refinement" not in [part.name for part in plain.parts]
    assert "refinement" in [part.name for part in encoded(photograph, early).parts]
