"""Rate control: never above the budget, close below it, and PSNR targets hold for the decoder."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from inrcodec import container, decoder
from inrcodec.container.header import Header
from inrcodec.fit.curvature import curvature
from inrcodec.fit.problem import Problem
from inrcodec.fit.rate import Candidate, RateControl
from inrcodec.fit.schedule import Clock
from inrcodec.fit.train import Quantizer, fit, start_quantizer
from inrcodec.image import from_pillow
from inrcodec.inr.architecture import Siren
from inrcodec.metrics import psnr


@pytest.fixture(scope="module")
def prepared(photograph):
    """A fit of 339 coefficients, its curvature, and quantizers with dead zones that differ."""
    raster = from_pillow(photograph)
    problem = Problem(raster, Header(Siren(3, 11, 3, 30, 30), 48, 32), "cpu")
    alphas = fit(problem, 250, Clock(1, None))
    groups = curvature(problem, alphas, 1536)
    quantizer = start_quantizer(alphas, groups, 5 * problem.pranc.k)
    edge = quantizer.edge * torch.tensor([1.0, 1.1, 1.2, 0.9])
    return raster, problem, alphas, groups, Quantizer(edge, quantizer.scale)


@pytest.fixture
def control(prepared):
    return RateControl(*prepared[1:])


def decoded_psnr(data, raster):
    file = container.open(data)
    samples = decoder.render(file.header, [layer.values for layer in file.layers])
    return psnr(samples, raster.samples, raster.peak)


def test_a_candidate_is_a_file_and_its_psnr_is_the_decoders(control, prepared):
    for octaves in (-1.0, 0.0, 1.3):
        candidate = control.candidate(octaves)
        assert candidate.psnr == pytest.approx(decoded_psnr(candidate.data, prepared[0]), abs=1e-3)
        assert container.open(candidate.data).header == control.problem.header


def test_stored_steps_and_edges_are_the_trained_ones_scaled(control):
    file = container.open(control.candidate(1.5).data)
    scale = control.quantizer.scale.numpy() * 2**1.5
    steps = np.array([layer.model.step_size for layer in file.layers])
    # Half a code is a factor of 2^(1/16).
    assert np.abs(np.log2(steps / scale)).max() <= 1 / 16 + 1e-6
    ratio = (control.quantizer.edge / control.quantizer.scale).numpy()
    np.testing.assert_allclose(
        [layer.model.edge / 64 for layer in file.layers], ratio, atol=1 / 127
    )


def test_stored_values_are_near_the_trained_ones(control):
    """Within some steps: compensation moves coefficients beyond the nearest symbol."""
    file = container.open(control.candidate(-3.0).data)
    for layer, alpha in zip(file.layers, control.alphas, strict=True):
        error = layer.values - alpha.double().numpy()
        assert np.sqrt(np.mean(error**2)) < 0.05 * alpha.std().item()


def test_sizes_and_quality_fall_as_octaves_rise(control):
    candidates = [control.candidate(octaves) for octaves in np.arange(-4, 4.1, 0.5)]
    sizes = [len(candidate.data) for candidate in candidates]
    assert all(a > b for a, b in pairwise(sizes))
    # From 3 octaves finer, already near the float fit, to 1 coarser, where the picture goes.
    psnrs = [candidate.psnr for candidate in candidates[2:11:2]]
    assert all(a > b for a, b in pairwise(psnrs))
    # An octave is one bit for each of the 339 coefficients, while steps are fine.
    assert sizes[0] - sizes[2] == pytest.approx(339 / 8, rel=0.1)


def test_the_same_codes_are_made_once(control):
    first = control.candidate(0.0)
    assert control.candidate(1e-9) is first and len(control.tried) == 1
    control.candidate(0.5)
    assert len(control.tried) == 2


def test_budgets_are_kept_and_used_to_97_percent(control):
    for budget in range(130, 420, 17):
        found = control.within(budget, 0.97)
        assert 0.97 * budget <= len(found.data) <= budget


def test_of_the_files_that_fit_the_best_is_taken(prepared):
    """A finer quantizer is not always the better one."""
    files = [(85, 33.0), (92, 30.0), (104, 34.0), (97, 29.0), (99.5, 28.0), (99, 40.0)]
    script = iter(files)

    class Scripted(RateControl):
        def candidate(self, octaves):
            size, psnr = next(script)
            return Candidate(octaves, bytes(int(10 * size)), psnr)

    found = Scripted(*prepared[1:]).within(1000, 0.9)
    assert (len(found.data), found.psnr) == (920, 30.0)
    assert next(script) == files[-1]


def test_the_best_of_all_files_is_known(control):
    psnrs = [control.candidate(octaves).psnr for octaves in (0.5, -1, 0)]
    assert control.best.psnr == max(psnrs)


def test_the_profile_counts_towards_the_budget(prepared):
    icc = bytes(range(60))
    found = RateControl(*prepared[1:], icc=icc).within(300, 0.97)
    assert 291 <= len(found.data) <= 300
    assert container.open(found.data).icc == icc


@pytest.mark.parametrize("budget", [0, 20, 50, 100000])
def test_budgets_out_of_reach_give_nothing(control, budget):
    assert control.within(budget, 0.97) is None
    assert control.tried


def test_a_wanted_psnr_holds_for_the_decoded_pixels(control, prepared):
    for target in (18.0, 20.0, 22.0):
        found = control.reaching(target)
        assert decoded_psnr(found.data, prepared[0]) >= target
        # The next coarser files miss it: no bytes are wasted.
        sizes = [len(c.data) for c in control.tried.values() if c.psnr >= target]
        assert len(found.data) == min(sizes)
        assert control.candidate(found.octaves + 0.4).psnr < target


def test_a_psnr_out_of_reach_gives_nothing(control):
    assert control.reaching(90.0) is None
    assert control.best.psnr > 20
