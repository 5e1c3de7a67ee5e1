"""Pseudo-random numbers are Philox4x32-10 and the same everywhere, for ever."""

import hashlib

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from inrcodec.pranc import philox

SEED = 0x0123456789ABCDEF
STREAM = (3, 5, 1)
DRAWS = {"signs": philox.signs, "permutation": philox.permutation, "uniform": philox.uniform}
GOLDEN = {
    "signs": "49cd67b12e013c4bf7f0ae228cddb770fc28422c6ab52b6398d6741249bd3e3c",
    "permutation": "bbbd5f4e0f0fc956fc816acab4f7352c02211f3c9d0aad66265e4f55bc117e12",
    "uniform": "85a004dcd59cd69cc68a0f1ea568edbfa681fc809c5985b6b1f828069bd8092b",
}


def digest(values, scale=1):
    """SHA-256 of the values as little-endian int64."""
    integers = (values.double() * scale).to(torch.int64)
    return hashlib.sha256(integers.cpu().numpy().astype("<i8").tobytes()).hexdigest()


@pytest.mark.parametrize(
    ("counter", "key", "output"),
    [
        ("00000000 00000000 00000000 00000000", "00000000 00000000",
         "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
         "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
         "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)  # fmt: skip
def test_equals_the_random123_vectors(counter, key, output):
    """kat_vectors of https://github.com/DEShawResearch/random123, philox4x32 10."""
    counter, key, output = ([int(word, 16) for word in x.split()] for x in (counter, key, output))
    assert philox.philox4x32(torch.tensor(counter), tuple(key)).tolist() == output


def test_a_counter_batch_equals_its_counters_one_by_one():
    counters = torch.arange(24).reshape(2, 3, 4) * 0x0A0B0C0D
    batch = philox.philox4x32(counters, (1, 2))
    assert batch.shape == (2, 3, 4)
    assert torch.equal(batch[1, 2], philox.philox4x32(counters[1, 2], (1, 2)))


def test_words_are_the_outputs_of_successive_counters():
    words = philox.words(SEED, STREAM, 10)
    third = philox.philox4x32(torch.tensor([2, *STREAM]), (0x89ABCDEF, 0x01234567))
    assert words.shape == (10,)
    assert words[8:].tolist() == third[:2].tolist()


@given(st.integers(0, 2**64 - 1), st.integers(0, 200), st.integers(0, 200))
def test_a_shorter_draw_is_a_prefix(seed, a, b):
    a, b = sorted((a, b))
    for draw in (philox.words, philox.signs, philox.uniform):
        assert torch.equal(draw(seed, STREAM, a), draw(seed, STREAM, b)[:a])


def test_signs_take_bits_from_the_lowest():
    words = philox.words(SEED, STREAM, 2).tolist()
    expected = [-1 if words[i // 32] >> i % 32 & 1 else 1 for i in range(40)]
    assert philox.signs(SEED, STREAM, 40).tolist() == expected


@given(st.integers(0, 2**64 - 1), st.integers(0, 300))
def test_a_permutation_sorts_the_words(seed, count):
    words = philox.words(seed, STREAM, count).tolist()
    expected = sorted(range(count), key=words.__getitem__)
    assert philox.permutation(seed, STREAM, count).tolist() == expected


def test_equal_words_keep_the_order_of_their_indices(monkeypatch):
    monkeypatch.setattr(philox, "words", lambda *_: torch.tensor([9, 2**32 - 1, 9, 0, 2**32 - 1]))
    assert philox.permutation(SEED, STREAM, 5).tolist() == [3, 0, 2, 1, 4]


def test_uniform_is_exact_and_half_open():
    words = philox.words(SEED, STREAM, 1000)
    u = philox.uniform(SEED, STREAM, 1000)
    assert u.dtype == torch.float32
    assert torch.equal(u.double(), (words >> 8).double() / 2**23 - 1)
    assert -1 <= u.min() < -0.9 and 0.9 < u.max() < 1
    assert abs(u.mean()) < 0.06


@pytest.mark.parametrize("name", DRAWS)
def test_draws_never_change(name):
    assert digest(DRAWS[name](SEED, STREAM, 5000), scale=2**23) == GOLDEN[name]


def test_torch_seed_and_threads_have_no_influence():
    threads = torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.manual_seed(count)
            torch.set_num_threads(count)
            for name, draw in DRAWS.items():
                assert digest(draw(SEED, STREAM, 5000), scale=2**23) == GOLDEN[name]
    finally:
        torch.set_num_threads(threads)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("name", DRAWS)
def test_a_gpu_draws_the_same_bits(name):
    assert digest(DRAWS[name](SEED, STREAM, 5000, "cuda"), scale=2**23) == GOLDEN[name]


def test_refuses_numbers_beyond_their_bits():
    for seed in (-1, 2**64):
        with pytest.raises(ValueError, match="64-bit"):
            philox.words(seed, STREAM, 1)
    with pytest.raises(ValueError, match="32-bit"):
        philox.words(SEED, (0, 2**32, 0), 1)
    with pytest.raises(ValueError, match=r"2\^31"):
        philox.permutation(SEED, STREAM, 2**31 + 1)
