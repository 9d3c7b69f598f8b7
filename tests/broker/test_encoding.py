"""Results as JSON, whatever they hold."""

import enum
import json
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantainer.broker.encoding import encode
from quantainer.core.job import JobState


class Colour(enum.Enum):
    RED = 1


@dataclass
class Point:
    x: complex


@pytest.mark.report(54)
@pytest.mark.parametrize(
    ("value", "decoded"),
    [
        (np.int32(7), 7),
        (np.uint64(2**64 - 1), 2**64 - 1),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (1 + 2j, [1.0, 2.0]),
        (np.complex64(1j), [0.0, 1.0]),
        (np.eye(2), [[1.0, 0.0], [0.0, 1.0]]),
        (np.array([1j]), [[0.0, 1.0]]),
        (JobState.DONE, "DONE"),
        (Colour.RED, 1),
        ({Colour.RED: 1, np.int64(3): 2, (0, 1): 3}, {"1": 1, "3": 2, "[0,1]": 3}),
        (float("nan"), None),
        ([np.inf, {"x": -np.inf}], [None, {"x": None}]),
        ({2, 1}, [1, 2]),
        (b"\x00\xff", "00ff"),
        (datetime(2026, 1, 2), "2026-01-02T00:00:00"),
        (Point(1j), {"x": [0.0, 1.0]}),
        ("\ud800", "\ud800"),
        (10**400, 10**400),
    ],
)
def test_what_results_hold(value, decoded):
    assert json.loads(encode({"value": value})) == {"value": decoded}


@pytest.mark.report(54)
def test_counts_with_numpy_keys_and_values():
    counts = {np.int32(3): np.int32(500), "01": np.int64(500)}
    assert json.loads(encode(counts)) == {"3": 500, "01": 500}


def test_what_has_no_form_is_described():
    assert "object object" in json.loads(encode([object()]))[0]


def test_a_value_that_holds_itself_ends():
    loop = [1]
    loop += [loop, loop]
    assert json.loads(encode(loop))[0] == 1


numpy_numbers = st.one_of(
    st.integers(-(2**31), 2**31 - 1).map(np.int32),
    st.floats(width=32).map(np.float32),
    st.complex_numbers().map(np.complex128),
    st.booleans().map(np.bool_),
)
values = st.recursive(
    st.none() | st.text() | st.floats() | st.integers() | st.binary() | numpy_numbers,
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text() | st.integers() | numpy_numbers, inner)
        | st.tuples(inner)
    ),
)


@given(values)
def test_anything_becomes_valid_json(value):
    text = encode(value)
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    text.encode("utf-8")
