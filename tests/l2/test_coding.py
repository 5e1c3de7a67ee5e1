"""Groups as bytes: they come back, in the fewer bytes of two tables, and damage is refused."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inrcodec.container.fields import Fields
from inrcodec.errors import FormatError
from inrcodec.l2.coding import Group, coded_bytes, read_group, write_group
from inrcodec.l2.transform import TRANSFORMS

law = settings(deadline=None, max_examples=40)


def group(name, symbols):
    parameters = np.array([0.3, 0.5, 1.5], np.float32)[: len(TRANSFORMS[name].parameters)]
    return Group(TRANSFORMS[name], parameters, np.array(symbols, np.int32))


def there_and_back(written):
    data = write_group(written)
    fields = Fields(data + b"rest", part="test")
    found = read_group(fields, len(written.symbols))
    assert fields.position == len(data) == coded_bytes([written])
    return found


@law
@given(
    st.sampled_from(sorted(TRANSFORMS)),
    st.lists(st.integers(-300, 300) | st.integers(-16383, 16383), min_size=1, max_size=60),
)
def test_groups_come_back(name, symbols):
    written = group(name, symbols)
    found = there_and_back(written)
    assert found.transform.name == name
    assert np.array_equal(found.parameters, written.parameters)
    assert np.array_equal(found.symbols, written.symbols)
    assert np.array_equal(found.weights, written.weights)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_weights_are_those_of_the_transform(name):
    written = group(name, np.arange(-9, 30))
    expected = TRANSFORMS[name].from_symbols(
        torch.from_numpy(written.symbols).double(), torch.from_numpy(written.parameters).double()
    )
    assert np.array_equal(written.weights, expected.float().numpy())


def test_a_weight_does_not_depend_on_what_else_is_in_the_group():
    many, one = group("logarithmic", np.arange(-50, 51)), group("logarithmic", [7])
    assert many.weights[57] == one.weights[0]


def test_a_bell_has_a_model_and_other_shapes_have_counts():
    rng = np.random.default_rng(0)
    bell = np.round(rng.normal(0, 20, 2000)).astype(np.int32)
    combs = rng.choice([-9, -8, 0, 15], 2000, p=[0.3, 0.1, 0.2, 0.4]).astype(np.int32)
    assert write_group(group("uniform", bell))[0] < 128 <= write_group(group("uniform", combs))[0]
    entropy = -sum(p * np.log2(p) for p in (0.3, 0.1, 0.2, 0.4))
    # The table of 25 counts, parameters and sizes are 45 bytes.
    assert coded_bytes([group("uniform", combs)]) < 2000 * entropy / 8 * 1.02 + 45


def test_a_pruned_group_is_a_few_bytes():
    assert coded_bytes([group("uniform", [0] * 5000)]) <= 13


@pytest.mark.parametrize("name", TRANSFORMS)
def test_damage_is_refused_and_never_a_crash(name):
    rng = np.random.default_rng(1)
    for symbols in (rng.normal(0, 3, 50).round(), rng.choice([-30, 0, 31], 50)):
        data = write_group(group(name, symbols))
        for _ in range(300):
            damaged = bytearray(data)
            damaged[rng.integers(len(data))] = rng.integers(256)
            end = len(data) if rng.random() < 0.7 else rng.integers(len(data))
            try:
                found = read_group(Fields(bytes(damaged[:end]), part="test"), 50)
            except FormatError:
                continue
            assert len(found.symbols) == 50


def test_tables_that_do_not_fit_are_refused():
    kind, parameters = bytes([128]), np.ones(2, "<f4").tobytes()
    for data, message in (
        (b"\7", "unknown transform 7; update"),
        (b"\0" + np.array([1, -1], "<f4").tobytes(), "not positive and finite"),
        (b"\0" + np.array([1, np.nan], "<f4").tobytes(), "not positive and finite"),
        (kind + parameters + b"\0\1\3\1", "a table counts 4 symbols of 3"),
        (kind + parameters + b"\0\xff\xff\xff\x0f", "is too large"),
        (b"\0" + parameters + b"\0\0\xff\xff\xff\x0f", "a magnitude of 33554431"),
    ):
        with pytest.raises(FormatError, match=message):
            read_group(Fields(data, part="test"), 3)
