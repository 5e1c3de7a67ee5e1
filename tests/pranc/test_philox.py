"""Pseudo-random numbers are Philox4x32-10 and the same everywhere, for ever."""

import hashlib

import numpy as np
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
    integers = (values.astype(np.float64) * scale).astype("<i8")
    return hashlib.sha256(integers.tobytes()).hexdigest()


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
    assert philox.philox4x32(np.array(counter, np.uint32), tuple(key)).tolist() == output


def test_a_counter_batch_equals_its_counters_one_by_one():
    counters = np.arange(24, dtype=np.uint32).reshape(2, 3, 4) * np.uint32(0x0A0B0C0D)
    batch = philox.philox4x32(counters, (1, 2))
    assert batch.shape == (2, 3, 4) and batch.dtype == np.uint32
    assert np.array_equal(batch[1, 2], philox.philox4x32(counters[1, 2], (1, 2)))


def test_words_are_the_outputs_of_successive_counters():
    words = philox.words(SEED, STREAM, 10)
    third = philox.philox4x32(np.array([2, *STREAM], np.uint32), (0x89ABCDEF, 0x01234567))
    assert words.shape == (10,)
    assert words[8:].tolist() == third[:2].tolist()


@given(st.integers(0, 2**64 - 1), st.integers(0, 200), st.integers(0, 200))
def test_a_shorter_draw_is_a_prefix(seed, a, b):
    a, b = sorted((a, b))
    for draw in (philox.words, philox.signs, philox.uniform):
        assert np.array_equal(draw(seed, STREAM, a), draw(seed, STREAM, b)[:a])


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
    monkeypatch.setattr(philox, "words", lambda *_: np.array([9, 2**32 - 1, 9, 0, 2**32 - 1]))
    assert philox.permutation(SEED, STREAM, 5).tolist() == [3, 0, 2, 1, 4]


def test_uniform_is_exact_and_half_open():
    words = philox.words(SEED, STREAM, 1000)
    u = philox.uniform(SEED, STREAM, 1000)
    assert u.dtype == np.float32
    assert np.array_equal(u.astype(np.float64), (words >> 8) / 2**23 - 1)
    assert -1 <= u.min() < -0.9 and 0.9 < u.max() < 1
    assert abs(u.mean()) < 0.06


@pytest.mark.parametrize("name", DRAWS)
def test_draws_never_change(name):
    assert digest(DRAWS[name](SEED, STREAM, 5000), scale=2**23) == GOLDEN[name]


def test_draws_longer_than_a_chunk_go_on_with_the_next_counter():
    far = philox.words(SEED, STREAM, 300_001)
    last = philox.philox4x32(np.array([75_000, *STREAM], np.uint32), philox.key(SEED))
    assert far[-1] == last[0]


@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param(
            "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
        ),
    ],
)
@given(st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1))
def test_rounds_of_tensors_are_those_of_arrays(device, seed, word):
    parts = [np.arange(5)[:, None], np.array([word]), np.array([3, 2**32 - 1]), np.array([1])]
    arrays = philox.rounds(tuple(part.astype(np.uint64) for part in parts), philox.key(seed))
    tensors = philox.rounds(
        tuple(torch.from_numpy(part).to(device) for part in parts), philox.key(seed)
    )
    for array, tensor in zip(arrays, tensors, strict=True):
        assert np.array_equal(array.astype(np.int64), tensor.cpu().numpy())


def test_refuses_numbers_beyond_their_bits():
    for seed in (-1, 2**64):
        with pytest.raises(ValueError, match="64-bit"):
            philox.words(seed, STREAM, 1)
    with pytest.raises(ValueError, match="32-bit"):
        philox.words(SEED, (0, 2**32, 0), 1)
    with pytest.raises(ValueError, match=r"2\^31"):
        philox.permutation(SEED, STREAM, 2**31 + 1)
