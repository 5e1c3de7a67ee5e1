"""Rate control: never above the budget, close below it, and refits win back what rounding lost."""

import numpy as np
import pytest
import torch

from inrcodec import decoder, prc
from inrcodec.container.header import Header
from inrcodec.container.segments import metadata_segment
from inrcodec.families.siren.fit.problem import Problem
from inrcodec.families.siren.fit.rounding import FileForm, RateControl, least_code
from inrcodec.families.siren.fit.search import reaching
from inrcodec.families.siren.fit.stages import fit_stages
from inrcodec.families.siren.fit.train import fit
from inrcodec.families.siren.settings import CurvatureSettings, SirenEffort, SirenSettings
from inrcodec.families.siren.shape import Siren
from inrcodec.image import from_pillow
from inrcodec.metrics import psnr
from inrcodec.optim.clock import Clock


@pytest.fixture(scope="module")
def prepared(photograph):
    """A fit of 339 coefficients."""
    problem = Problem(from_pillow(photograph), Header(Siren(3, 11, 3, 30, 30), 48, 32), "cpu")
    return problem, fit(problem, 250, Clock(1, None))


@pytest.fixture
def control(prepared):
    return made(prepared)


def made(prepared, steps=20, settings=None, **form):
    effort = SirenEffort(fit_steps=250, refit_steps=steps, curvature_pixels=1536)
    return RateControl(*prepared, effort, Clock(1, None), settings, FileForm(**form))


def decoded_psnr(data, photograph):
    file = prc.open(data)
    samples = decoder.render(file.header, [layer.values for layer in file.layers])
    return psnr(samples, np.asarray(photograph), 255)


def test_a_candidate_is_a_file_and_its_psnr_is_the_decoders(control, photograph):
    candidate = control.within(260, 0.97)
    assert candidate.psnr == pytest.approx(decoded_psnr(candidate.data, photograph), abs=1e-3)
    assert prc.open(candidate.data).header == control.problem.header


def test_budgets_are_kept_and_used_to_97_percent(prepared):
    control = made(prepared, steps=3)
    for budget in range(130, 420, 29):
        found = control.within(budget, 0.97)
        assert 0.97 * budget <= len(found.data) <= budget


def test_more_bytes_give_a_better_picture(control):
    found = [control.within(budget, 0.97).psnr for budget in (150, 220, 320)]
    assert found[0] + 0.5 < found[1] < found[2] - 0.3


def test_the_same_fit_gives_the_same_file(prepared):
    # The pixels of the refits go on from where the generator stands.
    states = []
    for _ in range(2):
        prepared[0].rng = np.random.default_rng(0)
        states.append(made(prepared).within(260, 0.97).data)
    assert states[0] == states[1]


def test_the_fit_is_left_as_it_is(prepared):
    before = [alpha.clone() for alpha in prepared[1]]
    made(prepared).within(260, 0.97)
    assert all(map(torch.equal, before, prepared[1]))


def test_refitting_wins_back_what_rounding_lost(prepared):
    budgets = range(180, 320, 20)
    without, with_ = (
        np.mean([made(prepared, steps).within(budget, 0.97).psnr for budget in budgets])
        for steps in (0, 60)
    )
    assert with_ > without + 0.1


def test_rounding_in_the_curvatures_metric_pays(prepared):
    compensated = made(prepared, steps=0).within(220, 0.97).psnr
    plain = CurvatureSettings(factorize=lambda matrix: np.diag(np.sqrt(matrix.diagonal())))
    control = made(prepared, steps=0, settings=SirenSettings(curvature=plain))
    assert compensated > control.within(220, 0.97).psnr + 0.5


def test_steps_of_the_first_layer_are_far_finer_than_the_others(control):
    file = prc.open(control.within(260, 0.97).data)
    steps = [layer.model.step_size for layer in file.layers]
    assert 5 * steps[0] < min(steps[1:])


def test_metadata_count_towards_the_budget(prepared):
    icc = bytes(range(60))
    found = made(prepared, metadata=(metadata_segment(64, icc),)).within(300, 0.97)
    assert 291 <= len(found.data) <= 300
    assert prc.open(found.data).icc == icc


@pytest.mark.parametrize("budget", [0, 20, 100000])
def test_budgets_out_of_reach_give_nothing(control, budget):
    assert control.within(budget, 0.97) is None
    assert control.sizes


def test_a_wanted_psnr_holds_for_the_decoded_pixels(control, photograph):
    for target in (18.0, 20.0, 21.5):
        found = reaching(control, target, 220)
        assert target <= decoded_psnr(found.data, photograph) + 1e-3
        # No bytes are wasted.
        assert found.psnr < target + 1


def test_a_psnr_out_of_reach_gives_the_best_file(control):
    found = reaching(control, 90.0, 220)
    assert control.ceiling - 0.5 < found.psnr < control.ceiling + 0.1


def test_rounding_and_refits_are_in_float32(prepared, photograph):
    problem = Problem(from_pillow(photograph), prepared[0].header, "cpu")
    problem.compute_in(torch.bfloat16)
    made((problem, prepared[1]))
    assert problem.precision == torch.float32


@pytest.mark.parametrize("earlier", [0.01, 0.04])
def test_stages_that_end_too_late_are_coarser(photograph, earlier):
    siren = Siren(3, 12, 3, 30, 20, stages=(7, 5))
    header = Header(siren, 48, 32)
    prepared = fit_stages(from_pillow(photograph), header, "cpu", 80, Clock(1, None))

    def first_end(**options):
        data = made(prepared, **options).within(420, 0.97).data
        part = prc.open(data).parts[1]
        return (part.offset + part.size) / len(data)

    natural = first_end()
    wanted = natural - earlier
    assert wanted - 0.03 < first_end(ends=(wanted, 1.0)) <= wanted
    assert first_end(ends=(natural + 0.01, 1.0)) == pytest.approx(natural, abs=0.005)


@pytest.mark.parametrize("start", [0, 90, 255])
@pytest.mark.parametrize("finest", [0, 37])
def test_the_finest_code_that_fits_is_found_from_any_start(start, finest):
    for fitting in (0, 36, 37, 38, 100, 255, 256):
        tried = []

        def excess(code, fitting=fitting, tried=tried):
            tried.append(code)
            return (fitting - code + 7) // 8 if code < fitting else 0

        expected = max(finest, fitting) if fitting < 256 else None
        assert least_code(excess, start, finest, k=8) == expected
        assert min(tried) >= finest and len(tried) == len(set(tried))
