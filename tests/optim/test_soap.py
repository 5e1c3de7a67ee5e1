"""SOAP: Adam where nothing is rotated, blind to rotations where both sides are, and faster."""

import pytest
import torch

from inrcodec.optim.soap import LIMIT_SIDE, Soap


def drawn(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def rotation(size, seed):
    return torch.linalg.qr(drawn(size, size, seed=seed))[0]


def spectrum(rows, cols, condition, seed):
    """A matrix with singular values from 1 down to 1/condition."""
    values = torch.logspace(0, -torch.tensor(float(condition)).log10(), min(rows, cols))
    u, v = rotation(rows, seed), rotation(cols, seed + 1)
    return u[:, : len(values)] * values.double() @ v[:, : len(values)].T


def regression(rows=20, cols=12, condition=30):
    """The loss ‖A X B - Y‖² of a vector that holds the matrix X, both sides ill-conditioned."""
    A, B = spectrum(rows, rows, condition, 1), spectrum(cols, cols, condition, 3)
    Y = A @ drawn(rows, cols, seed=5) @ B
    return lambda x: (A @ x.view(rows, cols) @ B - Y).square().sum()


def decay(step, steps):
    return 1 - step / steps


def test_it_reaches_a_lower_loss_than_adam_at_its_best_rate():
    loss, steps = regression(), 300
    best = torch.inf
    for rate in (0.02, 0.05, 0.1, 0.2):
        x = torch.zeros(240, dtype=torch.float64, requires_grad=True)
        adam = torch.optim.Adam([x])
        for step in range(steps):
            adam.zero_grad()
            loss(x).backward()
            adam.param_groups[0]["lr"] = rate * decay(step, steps)
            adam.step()
        best = min(best, loss(x).item())
    x = torch.zeros(240, dtype=torch.float64, requires_grad=True)
    soap = Soap([x], [(20, 12)])
    for step in range(steps):
        x.grad = None
        loss(x).backward()
        soap.step(0.1 * decay(step, steps))
    assert loss(x).item() < 0.5 * best


@pytest.mark.parametrize(
    "shape", [(LIMIT_SIDE + 1, LIMIT_SIDE + 1), (LIMIT_SIDE + 44, 1), (1, 400), (1, 1)]
)
def test_without_a_side_to_rotate_it_is_adam(shape):
    x = drawn(shape[0] * shape[1]).requires_grad_()
    y = x.detach().clone().requires_grad_()
    soap = Soap([x], [shape])
    adam = torch.optim.Adam([y], betas=(0.95, 0.95), eps=1e-8)
    for step in range(25):
        x.grad = drawn(len(x), seed=step) + x.detach()
        y.grad = drawn(len(y), seed=step) + y.detach()
        rate = 0.1 / (1 + step)
        soap.step(rate)
        adam.param_groups[0]["lr"] = rate
        adam.step()
    torch.testing.assert_close(x, y, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("shape", [(7, 7), (LIMIT_SIDE + 1, 3), (3, LIMIT_SIDE + 1)])
def test_a_rotated_problem_takes_the_rotated_path(shape):
    """Adam's own path depends on the axes; in the eigenbasis of the gradients there are none."""
    u, v = (rotation(n, 1) if n <= LIMIT_SIDE else torch.eye(n).double() for n in shape)
    x = drawn(*shape, seed=3).flatten().requires_grad_()
    y = (u @ x.detach().view(shape) @ v.T).flatten().requires_grad_()
    straight, rotated = Soap([x], [shape]), Soap([y], [shape])
    for step in range(22):
        gradient = drawn(*shape, seed=10 + step)
        x.grad, y.grad = gradient.flatten(), (u @ gradient @ v.T).flatten()
        straight.step(0.1)
        rotated.step(0.1)
    torch.testing.assert_close(y.detach().view(shape), u @ x.detach().view(shape) @ v.T)


def test_the_bases_follow_the_gradients():
    """Once they have, small entries in the eigenbasis move as far as large ones."""
    rows, cols = 6, 5
    u, v = rotation(rows, 1), rotation(cols, 2)
    size = torch.logspace(0, -1.5, rows)[:, None] * torch.logspace(0, -1.5, cols)
    x = torch.zeros(rows * cols, dtype=torch.float64, requires_grad=True)
    soap, moves = Soap([x], [(rows, cols)]), []
    for step in range(600):
        before = x.detach().clone()
        # At first the gradients have another basis: the axes.
        gradient = size * drawn(rows, cols, seed=step)
        x.grad = (gradient.flip(0, 1) if step < 20 else u @ gradient @ v.T).flatten()
        soap.step(1.0)
        moves.append(u.T @ (x.detach() - before).view(rows, cols) @ v)
    rms = torch.stack(moves[300:]).square().mean(0).sqrt()
    assert rms.min() > 0.3 * rms.max()


def test_vectors_do_not_touch_one_another():
    shapes = [(4, 3), (300, 1), (2, 5)]
    together = [drawn(r * c, seed=r).requires_grad_() for r, c in shapes]
    alone = [vector.detach().clone().requires_grad_() for vector in together]
    soap = Soap(together, shapes)
    for step in range(12):
        for vector in together:
            vector.grad = drawn(len(vector), seed=step)
        soap.step(0.1)
    for vector, other, shape in zip(together, alone, shapes, strict=True):
        single = Soap([other], [shape])
        for step in range(12):
            other.grad = drawn(len(other), seed=step)
            single.step(0.1)
        assert torch.equal(vector, other)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rank", [1, 3, 24])
def test_no_step_is_much_longer_than_its_rate(dtype, rank):
    """Also where gradients span few directions, and others at each step, as in a fit's end."""
    rows, cols, rate = 24, 25, 0.1
    x = torch.zeros(rows * cols, dtype=dtype, requires_grad=True)
    soap = Soap([x], [(rows, cols)])
    for step in range(40):
        before = x.detach().clone()
        left, right = drawn(rows, rank, seed=2 * step), drawn(rank, cols, seed=2 * step + 1)
        x.grad = (left @ right).flatten().to(dtype)
        soap.step(rate)
        # In directions that the first gradient lacks, its rounding errors alone decide.
        if step > 0:
            assert (x.detach() - before).square().mean().sqrt() < 2 * rate


def test_it_finds_the_minimum_of_a_square():
    x = torch.ones(6, requires_grad=True)
    soap = Soap([x], [(2, 3)])
    for step in range(200):
        x.grad = 2 * x.detach()
        soap.step(0.05 * decay(step, 200))
    assert x.detach().abs().max() < 0.02


def test_a_rate_of_its_own_shortens_a_vectors_steps():
    def moved(rates):
        vectors = [torch.ones(12), torch.ones(12)]
        soap = Soap(vectors, [(3, 4), (3, 4)], rates)
        for step in range(5):
            for vector in vectors:
                vector.grad = torch.linspace(-1, 1, 12) + step
            soap.step(0.01)
        return [vector - 1 for vector in vectors]

    plain, slow = moved(None), moved([1.0, 0.25])
    torch.testing.assert_close(slow[0], plain[0])
    torch.testing.assert_close(slow[1], 0.25 * plain[1], rtol=1e-3, atol=1e-6)
