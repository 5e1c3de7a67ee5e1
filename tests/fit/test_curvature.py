"""The curvature is the Gauss-Newton matrix of the loss, and tells what a change will cost."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd.functional import jacobian

from inrcodec.container.header import Header
from inrcodec.fit import curvature as module
from inrcodec.fit.curvature import DAMPING, LIMIT_GROUP, _groups, curvature, sensitivity
from inrcodec.fit.problem import Problem
from inrcodec.image import Raster
from inrcodec.inr.architecture import Siren
from inrcodec.pranc.layout import BASES

law = settings(deadline=None)


def tiny(basis="identity", channels=2, depth=3):
    """A network of a few coefficients before a picture of noise, in float32."""
    rng = np.random.default_rng(3)
    samples = rng.integers(0, 256, (7, 9, channels), dtype=np.uint8)
    header = Header(Siren(channels, 5, depth, 10, 10), 9, 7, basis=basis, compaction=100, seed=4)
    problem = Problem(Raster(samples, has_alpha=channels == 2), header, "cpu")
    problem.precision = torch.float32
    return problem


def drawn(problem, std=1.0, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return [std * torch.randn(len(alpha), generator=generator) for alpha in problem.pranc.zeros()]


def outputs(problem, pixels=slice(None)):
    """The network's outputs as a function of all coefficients in one vector."""
    sizes = [len(alpha) for alpha in problem.pranc.zeros()]

    def function(alpha):
        matrices = problem.pranc.matrices(alpha.split(sizes))
        return problem.network.evaluate(matrices, problem.coordinates[pixels]).flatten()

    return function


def matrix(group):
    return group.factor @ group.factor.T


def floor(problem, alphas):
    return DAMPING * problem.loss(alphas, slice(None)).item() * np.eye(problem.pranc.k)


@pytest.mark.parametrize("basis", BASES)
def test_it_is_the_jacobian_squared_over_the_samples_and_damping(basis):
    problem = tiny(basis)
    alphas = drawn(problem)
    (group,) = curvature(problem, alphas, 10**6)
    J = jacobian(outputs(problem), torch.cat(alphas)).double().numpy()
    assert (group.start, group.stop) == (0, problem.pranc.k) and len(J) == 7 * 9 * 2
    expected = J.T @ J / len(J) + floor(problem, alphas)
    np.testing.assert_allclose(matrix(group), expected, rtol=1e-4, atol=1e-5 * expected.max())
    assert (np.triu(group.factor, 1) == 0).all()


@pytest.mark.parametrize("basis", BASES)
def test_the_jacobian_of_the_coefficients_is_autograds(basis):
    problem = tiny(basis, channels=3)
    alphas = drawn(problem)
    pixels = torch.tensor([3, 0, 62, 17])
    J = torch.cat(problem.jacobian(alphas, pixels), 1)
    expected = jacobian(outputs(problem, pixels), torch.cat(alphas))
    # Autograd's rows run pixel by pixel, these channel by channel.
    expected = expected.unflatten(0, (4, 3)).transpose(0, 1).flatten(0, 1)
    torch.testing.assert_close(J, expected, rtol=1e-4, atol=1e-5)


def test_chunks_of_pixels_do_not_show(monkeypatch):
    problem = tiny()
    alphas = drawn(problem)
    (whole,) = curvature(problem, alphas, 10**6)
    monkeypatch.setattr(module, "CHUNK", 5 * problem.pranc.k * 2)
    (parts,) = curvature(problem, alphas, 10**6)
    np.testing.assert_allclose(parts.factor, whole.factor, rtol=1e-3, atol=1e-6)


def test_groups_are_blocks_of_the_whole_matrix(monkeypatch):
    problem = tiny()
    alphas = drawn(problem)
    (whole,) = curvature(problem, alphas, 10**6)
    monkeypatch.setattr(module, "LIMIT_GROUP", 31)
    groups = curvature(problem, alphas, 10**6)
    sizes = [len(alpha) for alpha in alphas]
    assert sizes == [15, 30, 30, 12]
    assert [(g.start, g.stop) for g in groups] == [(0, 15), (15, 45), (45, 75), (75, 87)]
    for group in groups:
        block = slice(group.start, group.stop)
        np.testing.assert_allclose(matrix(group), matrix(whole)[block, block], atol=1e-5)
    assert sensitivity(groups).shape == (87,)


def test_a_sample_of_the_pixels_is_like_all_of_them():
    problem = tiny()
    alphas = drawn(problem)
    (all_,), (half,) = curvature(problem, alphas, 63), curvature(problem, alphas, 40)
    assert np.trace(matrix(half)) == pytest.approx(np.trace(matrix(all_)), rel=0.25)
    assert (matrix(half) != matrix(all_)).any()
    (again,) = curvature(problem, alphas, 40)
    np.testing.assert_array_equal(half.factor, again.factor)


def test_it_predicts_what_small_changes_cost():
    """At a perfect fit, where the Gauss-Newton matrix is the whole second derivative."""
    problem = tiny()
    alphas = drawn(problem)
    problem.targets = outputs(problem)(torch.cat(alphas)).reshape(problem.targets.shape)
    (group,) = curvature(problem, alphas, 10**6)
    sizes = [len(alpha) for alpha in alphas]
    for seed in range(5):
        change = 3e-3 * torch.cat(drawn(problem, seed=10 + seed))
        moved = (torch.cat(alphas) + change).split(sizes)
        predicted = np.square(group.factor.T @ change.double().numpy()).sum()
        assert problem.loss(moved, slice(None)).item() == pytest.approx(predicted, rel=0.05)


def test_it_predicts_with_the_gradient_what_small_changes_cost_anywhere():
    problem = tiny()
    alphas = [alpha.requires_grad_() for alpha in drawn(problem, std=0.3)]
    loss = problem.loss(alphas, slice(None))
    loss.backward()
    (group,) = curvature(problem, alphas, 10**6)
    gradient = torch.cat([alpha.grad for alpha in alphas]).double().numpy()
    # Against the gradient, as far as the quadratic model goes down.
    change = np.linalg.solve(matrix(group), -0.02 * gradient)
    predicted = gradient @ change + change @ matrix(group) @ change
    moved = torch.cat(alphas).detach() + torch.from_numpy(change).float()
    moved = moved.split([len(alpha) for alpha in alphas])
    assert problem.loss(moved, slice(None)).item() - loss.item() == pytest.approx(
        predicted, rel=0.1
    )


def test_sensitivity_is_the_curvature_once_earlier_coefficients_have_adapted():
    problem = tiny(depth=1)
    (group,) = curvature(problem, drawn(problem), 10**6)
    H = matrix(group)
    for i in (0, 5, len(H) - 1):
        # The least of eᵀHe over the free earlier entries of e, with e[i] = 1 and 0 after it.
        cross = H[:i, i]
        least = H[i, i] - cross @ np.linalg.solve(H[:i, :i], cross)
        assert sensitivity([group])[i] == pytest.approx(least, rel=1e-6)


@law
@given(st.lists(st.integers(1, 3 * LIMIT_GROUP), min_size=1, max_size=12))
def test_groups_partition_the_coefficients_and_cut_only_layers_too_long_for_one(sizes):
    groups = _groups(sizes)
    ends = np.cumsum([0, *sizes]).tolist()
    assert groups[0][0] == 0 and groups[-1][1] == ends[-1]
    assert all(a[1] == b[0] for a, b in pairwise(groups))
    assert all(0 < stop - start <= LIMIT_GROUP for start, stop in groups)
    cuts = {stop for _, stop in groups}
    for start, stop in pairwise(ends):
        inside = [cut for cut in cuts if start < cut < stop]
        parts = -(-(stop - start) // LIMIT_GROUP)
        assert len(inside) == parts - 1
        widths = np.diff([start, *sorted(inside), stop])
        assert widths.max() - widths.min() <= 1


def test_layers_share_a_group_while_they_fit():
    assert _groups([LIMIT_GROUP - 10, 10, 1]) == [(0, LIMIT_GROUP), (LIMIT_GROUP, LIMIT_GROUP + 1)]
    assert len(_groups([100] * (LIMIT_GROUP // 100))) == 1
