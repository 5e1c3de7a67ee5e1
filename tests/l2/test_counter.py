"""The differentiable counter: the histogram in the limits, near it otherwise, and its bits."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inrcodec.l2 import counter
from inrcodec.l2.counter import KERNELS, SAMPLE, entropy_bits, histogram, symbol_bits

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


def test_refuses_unknown_kernels_and_resolutions():
    with pytest.raises(ValueError, match="unknown kernel 'box'; known are cosine, triangle"):
        histogram(tensor([1.0]), "box")
    for resolution in (0.0, -0.1, 0.51, math.nan):
        with pytest.raises(ValueError, match=f"a resolution of {resolution}"):
            histogram(tensor([1.0]), "linear", resolution)


@each_kernel
@pytest.mark.parametrize("resolution", [0.5, 0.25])
def test_gradients_of_bits_are_those_of_finite_differences(kernel, resolution):
    symbols = sample("laplace", 2.5, n=40, seed=4)
    # Off the kinks: integers, and the kernel's two ends.
    kinks = torch.stack([symbols.frac().abs() - at for at in (0, 0.25, 0.5, 0.75, 1)])
    symbols = symbols[(kinks.abs() > 0.01).all(0)].requires_grad_()
    assert len(symbols) > 30
    assert torch.autograd.gradcheck(lambda s: symbol_bits(s, kernel, resolution), (symbols,))


def test_empty_bins_and_groups_of_zeros_have_finite_bits_and_gradients():
    for values in ([0.2, 7.4], [0.0] * 9, [1e-3, -1e-3, 0.4]):
        symbols = tensor(values).requires_grad_()
        cost = symbol_bits(symbols)
        cost.backward()
        assert cost.isfinite() and symbols.grad.isfinite().all()


def test_large_groups_have_the_bits_of_all_their_symbols():
    symbols = sample("laplace", 3, n=SAMPLE + 1)
    assert symbol_bits(symbols) == entropy_bits(histogram(symbols)[0])


@each_kernel
def test_the_gradient_of_a_sample_is_right_in_the_mean(kernel, monkeypatch):
    symbols = sample("laplace", 1.5, n=600).requires_grad_()
    (exact,) = torch.autograd.grad(symbol_bits(symbols, kernel), symbols)
    monkeypatch.setattr(counter, "SAMPLE", 150)
    generator = torch.Generator().manual_seed(3)
    found = []
    for _ in range(800):
        bits = symbol_bits(symbols, kernel, generator=generator)
        found.append(torch.autograd.grad(bits, symbols)[0])
    mean, error = torch.stack(found).mean(0), torch.stack(found).std(0) / math.sqrt(800)
    assert ((mean - exact).abs() <= 5 * error + 1e-12).all()
    # All together, the deviations are those of chance: their mean square is 1.
    felt = exact != 0
    assert ((mean - exact)[felt] / error[felt]).square().mean() == pytest.approx(1, abs=0.3)
