"""The columnar form: what is written is read back, and nothing malformed gets through."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantainer_client.circuit import Circuit, Symbol
from quantainer_client.columnar import decode
from quantainer_client.columns import GATES, Columns
from quantainer_client.errors import QuantainerError

CODES = ("accepted", "invalid_circuit", "too_many_qubits", "too_large")
FIELDS = [
    "qubits",
    "clbits",
    "registers",
    "gates",
    "ops",
    "operands",
    "params",
    "global_phase",
    "symbols",
    "conditions",
    "name",
]

angles = st.floats(-10, 10, allow_nan=False)


def code_of(action: Callable[[], object]) -> str:
    """Return the code with which an action is refused; any other exception fails the test."""
    try:
        action()
    except QuantainerError as error:
        return error.code
    return "accepted"


@st.composite
def circuits(draw: st.DrawFn) -> Circuit:
    qubits = draw(st.integers(4, 7))
    circuit = Circuit(qubits, draw(st.integers(1, 5)))
    if draw(st.booleans()):
        circuit.add_register("more", draw(st.integers(0, 3)))
    for _ in range(draw(st.integers(0, 12))):
        wires = draw(st.permutations(range(qubits)))
        bit = draw(st.integers(0, circuit.clbits - 1))
        condition = draw(st.none() | st.tuples(st.just([bit]), st.integers(0, 1)))
        kind = draw(st.sampled_from(["gate", "gate", "gate", "measure", "reset", "barrier"]))
        if kind == "gate":
            name = draw(st.sampled_from(sorted(GATES)))
            width, params = GATES[name]
            values = [
                draw(angles | angles.map(lambda a: a * Symbol("t") + 1)) for _ in range(params)
            ]
            circuit.gate(name, wires[:width], values, condition)
        elif kind == "measure":
            circuit.measure(wires[0], bit)
        elif kind == "reset":
            circuit.reset(wires[0], condition)
        else:
            circuit.barrier(*wires[: draw(st.integers(1, qubits))])
    return circuit


@given(circuits())
def test_what_is_written_is_read_back(circuit: Circuit) -> None:
    columns = decode(circuit.encode())
    assert columns.encode() == circuit.encode()
    assert columns.qubits == circuit.qubits
    assert len(list(columns.operations())) == len(circuit)


@settings(max_examples=300)
@given(circuits(), st.data())
def test_damaged_bytes_raise_nothing_but_quantainer_errors(
    circuit: Circuit, data: st.DataObject
) -> None:
    damaged = bytearray(circuit.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(damaged) - 1))
        if data.draw(st.booleans()):
            damaged[place] = data.draw(st.integers(0, 255))
        else:
            del damaged[place : place + data.draw(st.integers(1, 9))]
        if not damaged:
            break
    assert code_of(lambda: list(decode(bytes(damaged)).operations())) in CODES


header_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10) | st.floats() | st.sampled_from(["", "h", "1"]),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=300)
@given(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(FIELDS, header_values),
    ),
    st.binary(max_size=64),
)
def test_odd_headers_raise_nothing_but_quantainer_errors(
    header: dict[str, Any], arrays: bytes
) -> None:
    text = json.dumps({"qubits": 2, "clbits": 1, "ops": 0, "operands": 0, "params": 0} | header)
    data = struct.pack("<4sB3xI", b"QCOL", 1, len(text)) + text.encode()
    whole = data + bytes(-len(data) % 8) + arrays
    assert code_of(lambda: list(decode(whole).operations())) in CODES


def written(**changes: Any) -> bytes:
    """Return a Bell circuit of which some header fields were changed."""
    data = Circuit(2, 2).h(0).cx(0, 1).measure([0, 1], [0, 1]).encode()
    length = struct.unpack_from("<I", data, 8)[0]
    header = json.loads(data[12 : 12 + length]) | changes
    text = json.dumps(header).encode()
    arrays = data[12 + length + -(12 + length) % 8 :]
    start = struct.pack("<4sB3xI", b"QCOL", 1, len(text)) + text
    return start + bytes(-len(start) % 8) + arrays


@pytest.mark.parametrize(
    ("changes", "code", "word"),
    [
        ({"qubits": 1}, "invalid_circuit", "qubit"),
        ({"clbits": 1}, "invalid_circuit", "range"),
        ({"qubits": 10**9}, "too_many_qubits", "qubits"),
        ({"ops": 10**9}, "too_large", "ops"),
        ({"ops": 3}, "invalid_circuit", "operands"),
        ({"qubits": True}, "invalid_circuit", "integer"),
        ({"qubits": 2.0}, "invalid_circuit", "integer"),
        ({"gates": [["hh", 1, 0, 0]]}, "invalid_circuit", "'hh'"),
        ({"gates": [["h", 2, 0, 0]]}, "invalid_circuit", "wrong number"),
        ({"gates": [["h", 1, 0, 0]]}, "invalid_circuit", "kind"),
        ({"gates": [["unitary", 1, 0, 7]]}, "invalid_circuit", "wrong number"),
        ({"registers": [["c", [0, 2]]]}, "invalid_circuit", "range"),
        ({"registers": [["c", [0, 0]]]}, "invalid_circuit", "twice"),
        ({"registers": [["c", [0]], ["c", [1]]]}, "invalid_circuit", "same name"),
        ({"global_phase": "1"}, "invalid_circuit", "number"),
        ({"symbols": [[0, [["a", 1.0]], 0.0]]}, "invalid_circuit", "slot"),
        ({"conditions": [[[0], ["1"]]]}, "invalid_circuit", "cut off"),
        ({"conditions": [[[], ["0"]]]}, "invalid_circuit", "no bits"),
        ({"conditions": [[[0], ["2"]]]}, "invalid_circuit", "fit"),
        ({"conditions": [[[0], ["-1"]]]}, "invalid_circuit", "digits"),
        ({"conditions": [[[0], ["1" * 5000]]]}, "invalid_circuit", "read|fit"),
    ],
)
def test_refusals_name_the_fault(changes: dict[str, Any], code: str, word: str) -> None:
    with pytest.raises(QuantainerError, match=word) as caught:
        decode(written(**changes))
    assert caught.value.code == code


@pytest.mark.parametrize("angle", [math.nan, math.inf, -math.inf])
def test_angles_that_are_no_numbers_are_refused(angle: float) -> None:
    columns = Columns(1)
    columns.append(columns.kind("rx", 1, 0, 1), [0], [angle])
    with pytest.raises(QuantainerError, match="finite") as caught:
        decode(columns.encode())
    assert caught.value.code == "invalid_circuit"
    columns = Columns(1)
    columns.global_phase = angle
    with pytest.raises(QuantainerError, match="finite"):
        columns.encode()


@pytest.mark.parametrize("cut", [0, 3, 11, 12, 40, -8, -1])
def test_cut_bytes_are_refused(cut: int) -> None:
    data = Circuit(2).h(0).cx(0, 1).measure_all().encode()
    for damaged in (data[:cut], data + b"12345678"):
        with pytest.raises(QuantainerError) as caught:
            decode(damaged)
        assert caught.value.code == "invalid_circuit"


def test_conditions_hold_for_registers_of_any_width() -> None:
    circuit = Circuit(1, 301)
    circuit.x(0, condition=(range(301), 2**300))
    columns = decode(circuit.encode())
    assert columns.conditions == [(list(range(301)), [2**300])]
    assert [operation[4] for operation in columns.operations()] == [0]


def test_equal_circuits_have_equal_bytes_whatever_they_are_called() -> None:
    one, other = Circuit(2, name="one").h(0), Circuit(2, name="other").h(0)
    assert one.encode() == other.encode()
