"""The differentiable counter: a true histogram in the limits, near it else, and its bits."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inrcodec.container.header import Header
from inrcodec.entropy.model import fit_model
from inrcodec.fit.curvature import curvature
from inrcodec.fit.problem import Problem
from inrcodec.fit.schedule import Clock
from inrcodec.fit.train import fit, start_quantizer
from inrcodec.image import Raster
from inrcodec.inr.architecture import Siren
from inrcodec.l2.counter import KERNELS, code_bits, entropy_bits, histogram
from inrcodec.l2.transform import to_symbols

law = settings(deadline=None)
SYMBOLS = st.lists(st.floats(-300, 300), min_size=1, max_size=40)
RESOLUTIONS = st.floats(1e-3, 0.5)
each_kernel = pytest.mark.parametrize("kernel", KERNELS)


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def sample(shape, std, n=1500, seed=0):
    rng = np.random.default_rng(seed)
    draw = {"laplace": rng.laplace, "normal": rng.normal}[shape]
    return torch.from_numpy(draw(0, std / {"laplace": math.sqrt(2), "normal": 1}[shape], n))


def entropy_of(symbols):
    """The bits of an ideal code for the rounded symbols, by NumPy."""
    counts = np.unique(symbols.round().numpy(), return_counts=True)[1]
    return -(counts * np.log2(counts / counts.sum())).sum()


def charged(symbols, edge=32):
    """The bits that the file's symbol model charges for the rounded symbols."""
    rounded = symbols.round().to(torch.int32).numpy()
    return fit_model(rounded, step=150, edge=edge).bits(rounded)


@pytest.fixture(scope="module")
def real():
    """Coefficients of a fitted network by layer, in steps of 5 bits a coefficient."""
    y, x = np.mgrid[0:40, 0:40] / 40
    disc = (x - 0.6) ** 2 + (y - 0.4) ** 2 < 0.05
    planes = [0.5 + 0.3 * np.sin(9 * x + 4 * y), 0.2 + 0.6 * disc, 0.8 * x * y + 0.1 * disc]
    raster = Raster((255 * np.stack(planes, -1)).astype(np.uint8), has_alpha=False)
    problem = Problem(raster, Header(Siren(3, 18, 3, 30, 30), 40, 40), "cpu")
    alphas = fit(problem, 250, Clock(1, None))
    groups = curvature(problem, alphas, 1600)
    quantizer = start_quantizer(alphas, groups, 5.0 * problem.pranc.k)
    return [
        to_symbols(alpha, edge, scale).double()
        for alpha, edge, scale in zip(alphas, quantizer.edge, quantizer.scale, strict=True)
    ]


@each_kernel
@law
@given(SYMBOLS, RESOLUTIONS)
def test_every_value_counts_once(kernel, values, resolution):
    counts, first = histogram(tensor(values), kernel, resolution)
    assert counts.sum().item() == pytest.approx(len(values))
    assert (counts >= 0).all()
    assert first <= min(values) and max(values) <= first + len(counts) - 1


@each_kernel
@law
@given(st.lists(st.integers(-300, 300), min_size=1), RESOLUTIONS)
def test_whole_symbols_have_their_true_histogram(kernel, values, resolution):
    counts, first = histogram(tensor([float(v) for v in values]), kernel, resolution)
    assert first == min(values)
    expected = np.bincount(np.array(values) - first, minlength=len(counts))
    assert counts.tolist() == expected.tolist()


@each_kernel
def test_a_fine_resolution_gives_the_histogram_of_the_rounded_values(kernel):
    symbols = sample("normal", 7)
    counts, first = histogram(symbols, kernel, 1e-7)
    rounded = symbols.round().long().numpy()
    assert counts.tolist() == np.bincount(rounded - first, minlength=len(counts)).tolist()


@pytest.mark.parametrize(
    ("kernel", "share"), [("linear", 0.75), ("triangle", 0.875), ("cosine", 0.5 + 0.5**1.5)]
)
def test_a_value_near_a_boundary_counts_by_the_kernels_distribution(kernel, share):
    """Halfway between the boundary 3/2 and the kernel's end on either side."""
    for resolution in (0.5, 0.2):
        counts, first = histogram(tensor([1.5 - resolution / 2]), kernel, resolution)
        assert first == 1 and counts.tolist() == pytest.approx([share, 1 - share])
        counts, first = histogram(tensor([-1.5 - resolution / 2]), kernel, resolution)
        assert first == -2 and counts.tolist() == pytest.approx([share, 1 - share])
        counts, _ = histogram(tensor([1.5 + resolution / 2]), kernel, resolution)
        assert counts.tolist() == pytest.approx([1 - share, share])
        assert histogram(tensor([1.5]), kernel, resolution)[0].tolist() == [0.5, 0.5]
    clear = tensor([1.5 - 0.201, 1.5 + 0.201])
    assert histogram(clear, kernel, 0.2)[0].tolist() == [1, 1]


@each_kernel
def test_every_value_has_a_gradient_at_the_widest_resolution(kernel):
    symbols = (sample("normal", 5, n=200) + 0.01).requires_grad_()
    counts, first = histogram(symbols, kernel, 0.5)
    weights = tensor([float(q * q) for q in range(first, first + len(counts))])
    (counts * weights).sum().backward()
    assert (symbols.grad != 0).all()


@each_kernel
@pytest.mark.parametrize("resolution", [0.5, 0.25])
def test_gradients_of_bits_are_those_of_finite_differences(kernel, resolution):
    symbols = sample("laplace", 2.5, n=40, seed=4)
    # Off the kinks: whole symbols, and the kernel's two ends.
    kinks = torch.stack([symbols.frac().abs() - at for at in (0, 0.25, 0.5, 0.75, 1)])
    symbols = symbols[(kinks.abs() > 0.01).all(0)].requires_grad_()
    assert len(symbols) > 30
    assert torch.autograd.gradcheck(
        lambda s: entropy_bits(histogram(s, kernel, resolution)[0]), (symbols,)
    )
    assert torch.autograd.gradcheck(
        lambda s, width: code_bits(*histogram(s, kernel, resolution), width),
        (symbols, tensor(1.3).requires_grad_()),
    )


def test_empty_bins_and_layers_of_zeros_have_finite_bits_and_gradients():
    for values in ([0.2, 7.4], [0.0] * 9, [1e-3, -1e-3, 0.4]):
        for bits in (
            lambda s: entropy_bits(histogram(s)[0]),
            lambda s: code_bits(*histogram(s), zero_width=tensor(1.0)),
        ):
            symbols = tensor(values).requires_grad_()
            cost = bits(symbols)
            cost.backward()
            assert cost.isfinite() and symbols.grad.isfinite().all()


def test_no_symbols_are_no_counts():
    counts, first = histogram(tensor([]))
    assert counts.sum().item() == 0 and first == 0


@pytest.mark.parametrize("std", [1, 2, 5, 15, 40])
@pytest.mark.parametrize("shape", ["laplace", "normal"])
@each_kernel
def test_the_entropy_is_within_2_percent_of_the_rounded_symbols(kernel, shape, std):
    for seed in range(3):
        symbols = sample(shape, std, seed=seed)
        bits = entropy_bits(histogram(symbols, kernel)[0]).item()
        assert bits == pytest.approx(entropy_of(symbols), rel=0.02)


@each_kernel
def test_the_entropy_of_fitted_layers_is_within_2_percent_of_the_rounded_symbols(kernel, real):
    # The first and last layer have fewer coefficients than bins: no histogram says much there.
    for symbols in real[1:-1]:
        bits = entropy_bits(histogram(symbols, kernel)[0]).item()
        assert bits == pytest.approx(entropy_of(symbols), rel=0.02)


@pytest.mark.parametrize(("std", "edge"), [(1, 32), (2, 32), (5, 32), (40, 32), (5, 16), (5, 64)])
def test_code_bits_are_within_1_percent_of_what_the_file_charges(std, edge):
    ratio = tensor(edge / 64)
    for seed in range(3):
        symbols = to_symbols(sample("normal", std, seed=seed), ratio, tensor(1.0))
        bits = code_bits(*histogram(symbols), zero_width=2 * ratio).item()
        assert bits == pytest.approx(charged(symbols, edge), rel=0.01)


@pytest.mark.parametrize("std", [2, 5, 40])
@pytest.mark.parametrize("edge", [16, 32, 64])
def test_code_bits_of_whole_symbols_know_the_dead_zone(std, edge):
    ratio = tensor(edge / 64)
    symbols = to_symbols(sample("normal", std), ratio, tensor(1.0)).round()
    bits = code_bits(*histogram(symbols), zero_width=2 * ratio).item()
    assert bits == pytest.approx(charged(symbols, edge), rel=0.01)


def test_code_bits_of_fitted_layers_are_what_the_file_charges(real):
    """Within 1 %, or 2 bytes in a layer of a few tens of coefficients."""
    for symbols in real:
        bits = code_bits(*histogram(symbols), zero_width=tensor(1.0)).item()
        assert bits == pytest.approx(charged(symbols), rel=0.01, abs=16)


def test_code_bits_of_other_shapes_err_on_the_safe_side():
    """A Gaussian code is never cheaper than the file's, which knows Laplace too."""
    for std in (2, 5, 15, 40):
        symbols = sample("laplace", std)
        bits = code_bits(*histogram(symbols), zero_width=tensor(1.0)).item()
        assert charged(symbols) < bits < 1.04 * charged(symbols)


def test_refuses_unknown_kernels_and_resolutions():
    with pytest.raises(ValueError, match="unknown kernel 'box'; known are linear, triangle"):
        histogram(tensor([1.0]), "box")
    for resolution in (0.0, -0.1, 0.51, math.nan):
        with pytest.raises(ValueError, match=f"a resolution of {resolution}"):
            histogram(tensor([1.0]), "linear", resolution)
