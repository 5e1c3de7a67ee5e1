"""The curvature is the Gauss-Newton matrix of the loss, and tells what a change will cost."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd.functional import jacobian

from inrcodec.container.header import Header
from inrcodec.families.siren.fit import curvature as module
from inrcodec.families.siren.fit.curvature import group_bounds, sensitivity
from inrcodec.families.siren.fit.problem import Problem
from inrcodec.families.siren.settings import CurvatureSettings
from inrcodec.families.siren.shape import Siren
from inrcodec.image import Raster
from inrcodec.optim.curvature import factorize
from inrcodec.pranc.layout import BASES

DAMPING = CurvatureSettings().damping

law = settings(deadline=None)


def curvature(problem, alphas, pixels, layers, settings=CurvatureSettings()):  # noqa: B008
    return module.curvature(problem, alphas, pixels, layers, settings)


def tiny(basis="identity", channels=2, depth=3):
    """A network of a few coefficients before a picture of noise, in float32."""
    rng = np.random.default_rng(3)
    samples = rng.integers(0, 256, (7, 9, channels), dtype=np.uint8)
    header = Header(Siren(channels, 5, depth, 10, 10), 9, 7, basis=basis, compaction=100, seed=4)
    problem = Problem(Raster(samples, has_alpha=channels == 2), header, "cpu")
    problem.compute_in(torch.float32)
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
    return DAMPING * problem.loss(alphas, slice(None)).item()


def by_layer(problem, J):
    """The columns of each layer of a Jacobian by all coefficients."""
    return J.split([len(alpha) for alpha in problem.pranc.zeros()], dim=1)


@pytest.mark.parametrize("basis", BASES)
def test_it_is_the_jacobian_squared_over_the_samples_and_damping(basis):
    """Of one channel, where the random signs do not show."""
    problem = tiny(basis, channels=1)
    alphas = drawn(problem)
    blocks = curvature(problem, alphas, 10**6, range(4))
    J = jacobian(outputs(problem), torch.cat(alphas)).double()
    assert len(J) == 7 * 9 and len(blocks) == 4
    for (group,), columns, alpha in zip(blocks, by_layer(problem, J), alphas, strict=True):
        assert (group.start, group.stop) == (0, len(alpha))
        expected = (columns.T @ columns / len(J)).numpy() + floor(problem, alphas) * np.eye(
            len(alpha)
        )
        np.testing.assert_allclose(matrix(group), expected, rtol=1e-3, atol=1e-4 * expected.max())
        assert (np.triu(group.factor, 1) == 0).all()


def test_random_signs_over_the_channels_give_all_of_them_in_the_mean():
    problem = tiny(channels=3)
    alphas = drawn(problem)
    J = by_layer(problem, jacobian(outputs(problem), torch.cat(alphas)).double())[1]
    expected = (J.T @ J / len(J)).numpy()
    blocks = []
    for seed in range(200):
        object.__setattr__(problem.header, "seed", seed)
        blocks.append(matrix(curvature(problem, alphas, 10**6, [1])[0][0]))
    error = np.mean(blocks, 0) - floor(problem, alphas) * np.eye(len(expected)) - expected
    assert np.linalg.norm(error) < 0.05 * np.linalg.norm(expected)
    assert np.linalg.norm(blocks[0] - blocks[1]) > 0.05 * np.linalg.norm(expected)


@pytest.mark.parametrize("basis", BASES)
def test_derivatives_of_weighted_channels_are_autograds(basis):
    problem = tiny(basis, channels=3)
    alphas = drawn(problem)
    pixels = torch.tensor([3, 0, 62, 17])
    weights = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    J = jacobian(outputs(problem, pixels), torch.cat(alphas)).unflatten(0, (4, 3))
    expected = by_layer(problem, (J * weights[:, :, None]).sum(1))
    for layers in ([0, 1, 2, 3], [2], [3, 0]):
        found = problem.derivatives(alphas, pixels, weights, layers)
        for layer, rows in zip(layers, found, strict=True):
            torch.testing.assert_close(rows, expected[layer], rtol=1e-4, atol=1e-5)


def test_chunks_of_pixels_change_only_the_rounding(monkeypatch):
    problem = tiny()
    alphas = drawn(problem)
    ((whole,),) = curvature(problem, alphas, 10**6, [1])
    monkeypatch.setattr(module, "CHUNK", 5 * 30)
    ((parts,),) = curvature(problem, alphas, 10**6, [1])
    np.testing.assert_allclose(parts.factor, whole.factor, rtol=1e-3, atol=1e-6)


def test_groups_are_blocks_of_the_whole_matrix():
    problem = tiny()
    alphas = drawn(problem)
    ((whole,),) = curvature(problem, alphas, 10**6, [2])
    (groups,) = curvature(problem, alphas, 10**6, [2], CurvatureSettings(limit_group=14))
    assert [(g.start, g.stop) for g in groups] == [(0, 10), (10, 20), (20, 30)]
    for group in groups:
        block = slice(group.start, group.stop)
        np.testing.assert_allclose(matrix(group), matrix(whole)[block, block], atol=1e-5)
    assert sensitivity(groups).shape == (30,)


def test_a_sample_of_the_pixels_is_like_all_of_them():
    problem = tiny()
    alphas = drawn(problem)
    ((whole,),), ((half,),) = (curvature(problem, alphas, n, [1]) for n in (63, 40))
    assert np.trace(matrix(half)) == pytest.approx(np.trace(matrix(whole)), rel=0.25)
    assert (matrix(half) != matrix(whole)).any()
    ((again,),) = curvature(problem, alphas, 40, [1])
    np.testing.assert_array_equal(half.factor, again.factor)


def test_it_predicts_what_small_changes_of_a_layer_cost():
    """At a perfect fit, where the Gauss-Newton matrix is the whole second derivative."""
    problem = tiny(channels=1)
    alphas = drawn(problem)
    perfect = outputs(problem)(torch.cat(alphas)).reshape(problem.targets.shape)
    problem.aim_at(perfect)
    for layer, (group,) in enumerate(curvature(problem, alphas, 10**6, range(4))):
        for seed in range(5):
            change = 3e-3 * drawn(problem, seed=10 + seed)[layer]
            moved = list(alphas)
            moved[layer] = alphas[layer] + change
            predicted = np.square(group.factor.T @ change.double().numpy()).sum()
            cost = problem.loss(moved, slice(None)).item()
            assert cost == pytest.approx(predicted, rel=0.05)


def test_sensitivity_is_the_curvature_where_earlier_coefficients_are_optimal():
    problem = tiny(depth=1)
    ((group,),) = curvature(problem, drawn(problem), 10**6, [0])
    H = matrix(group)
    for i in (0, 5, len(H) - 1):
        # The least of eᵀHe over the free earlier entries of e, with e[i] = 1 and 0 after it.
        cross = H[:i, i]
        least = H[i, i] - cross @ np.linalg.solve(H[:i, :i], cross)
        assert sensitivity([group])[i] == pytest.approx(least, rel=1e-6)


@law
@given(st.integers(1, 1000), st.integers(1, 200))
def test_groups_are_equal_and_as_few_as_the_limit_allows(k, limit):
    bounds = group_bounds(k, limit)
    assert bounds[0][0] == 0 and bounds[-1][1] == k
    assert all(a[1] == b[0] for a, b in pairwise(bounds))
    sizes = [stop - start for start, stop in bounds]
    assert max(sizes) <= limit and max(sizes) - min(sizes) <= 1
    assert len(sizes) == -(-k // limit)


def test_a_matrix_that_rounding_made_indefinite_has_a_factor_near_it():
    ones = np.ones((40, 40))
    matrix = ones - 3e-6 * np.eye(40)
    factor = factorize(matrix)
    np.testing.assert_allclose(factor @ factor.T, ones, atol=2e-5)
    definite = ones + np.eye(40)
    np.testing.assert_array_equal(factorize(definite), np.linalg.cholesky(definite))
    with pytest.raises(np.linalg.LinAlgError):
        factorize(-ones)
