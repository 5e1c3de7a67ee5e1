"""Step codes: the rate that a plan costs, equal slopes, limits, and stages that end too late."""

import numpy as np
import pytest
import torch

from inrcodec.entropy.model import LIMIT_MAGNITUDE
from inrcodec.families.siren.fit.codes import (
    LARGEST_CODE,
    STEP_ZERO,
    STEPS_PER_OCTAVE,
    StepCodes,
    equal_slopes,
    equal_steps,
    gaussian_bits,
)
from inrcodec.families.siren.fit.stage_ends import with_earlier_ends


@pytest.mark.parametrize("std", [0.5, 2, 20])
def test_gaussian_bits_are_the_entropy_of_rounded_ones(std):
    alpha = torch.from_numpy(np.random.default_rng(0).normal(0, std, 20000))
    counts = np.unique(alpha.round().numpy(), return_counts=True)[1]
    entropy = -(counts * np.log2(counts / counts.sum())).sum()
    assert gaussian_bits(alpha, 1.0) == pytest.approx(entropy, rel=0.15 if std < 1 else 0.02)


def codes_of(*sensitivities, sizes):
    return StepCodes.of(equal_slopes(np.array(sensitivities, float)), sizes)


def test_the_largest_coefficient_has_a_symbol_at_the_finest_step():
    codes = codes_of([1.0], sizes=[[99]])
    for peak in (1e-3, 1.0, 77.0):
        code = codes.finest(0, torch.linspace(0.1 * peak, -peak, 99))
        step = 2 ** ((code - STEP_ZERO) / STEPS_PER_OCTAVE)
        assert peak / step < LIMIT_MAGNITUDE / 1.02
        assert code == 0 or peak / step > LIMIT_MAGNITUDE / 1.3


def test_planned_codes_cost_the_bits_and_leave_all_layers_the_same_slope():
    codes = codes_of([1.0], [16.0], [4.0], sizes=[[400], [300], [200]])
    alphas = [torch.randn(k, generator=torch.Generator().manual_seed(k)) for k in (400, 300, 200)]
    for first in (0, 1):
        plan = codes.for_bits(alphas, first, bits=5.0 * codes.sizes[first:].sum())
        assert [code - plan[0] for code in plan] == [[0, -16, -8], [0, 8]][first]
        steps = [2 ** ((code - STEP_ZERO) / STEPS_PER_OCTAVE) for code in plan]
        bits = sum(gaussian_bits(*pair) for pair in zip(alphas[first:], steps, strict=True))
        assert bits == pytest.approx(5.0 * codes.sizes[first:].sum(), rel=0.02)


def test_equal_steps_are_the_mean_of_those_with_equal_slopes():
    sensitivities = np.array([[1.0], [16.0], [4.0]])
    assert equal_steps(sensitivities).tolist() == [[equal_slopes(sensitivities).mean()]] * 3


def test_codes_of_matrices_stay_between_0_and_255():
    codes = codes_of([1.0, 2.0**-40], [1.0, 2.0**40], sizes=[[3, 4], [5, 6]])
    assert codes.of_matrices(0, 200).tolist() == [200, LARGEST_CODE]
    assert codes.of_matrices(1, 100).tolist() == [100, 0]
    assert [len(part) for part in codes.split(1, np.arange(11))] == [5, 6]


def test_stages_that_end_in_time_keep_their_codes():
    codes = codes_of([1.0, 1.0, 1.0], sizes=[[300, 200, 100]])
    assert with_earlier_ends(codes, [100, 200, 300, 340], [100.0, 200.0]) is codes
    assert with_earlier_ends(codes, [100], []) is codes


def test_a_late_stage_gives_its_bits_to_later_ones():
    codes = codes_of([1.0, 1.0, 1.0], sizes=[[300, 200, 100]])
    moved = with_earlier_ends(codes, [110, 200, 300], [100.0, 200.0])
    # 80 bits from 300 coefficients to 300 others: 0.27 bits less, 0.27 more.
    assert moved.offsets.tolist() == [[0, -5, -5]]
    both = with_earlier_ends(codes, [110, 210, 300], [100.0, 200.0])
    assert both.offsets.tolist() == [[0, -5, -5 - 8]]
