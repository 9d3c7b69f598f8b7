"""The builder: what it builds, and what it refuses."""

from __future__ import annotations

import math

import pytest

from quantainer_client import Circuit, Symbol
from quantainer_client.columnar import decode
from quantainer_client.errors import QuantainerError


def operations(circuit: Circuit) -> list[tuple[object, ...]]:
    return [tuple(operation[:4]) for operation in decode(circuit.encode()).operations()]


def test_gates_take_angles_first_as_in_qiskit() -> None:
    circuit = Circuit(3).rx(0.5, 0).cu(0.1, 0.2, 0.3, 0.4, 2, 1).barrier().measure_all()
    assert operations(circuit) == [
        ("rx", [0], [], [0.5]),
        ("cu", [2, 1], [], [0.1, 0.2, 0.3, 0.4]),
        ("barrier", [0, 1, 2], [], []),
        ("measure", [0], [0], []),
        ("measure", [1], [1], []),
        ("measure", [2], [2], []),
    ]


def test_the_encoding_follows_every_change() -> None:
    circuit = Circuit(1, 1)
    seen = {circuit.encode()}
    for change in (
        lambda: circuit.h(0),
        lambda: circuit.rz(Symbol("a"), 0),
        lambda: circuit.measure(0, 0),
        lambda: circuit.reset(0),
        lambda: circuit.barrier(0),
        lambda: circuit.add_register("d", 2),
        lambda: circuit.x(0, condition=([0], 1)),
    ):
        change()
        assert circuit.encode() not in seen
        assert circuit.encode() is circuit.encode()
        seen.add(circuit.encode())


def test_symbols_are_affine() -> None:
    a, b = Symbol("a"), Symbol("b")
    expression = 2 * (a - b / 4 + 1) - (0.5 - a)
    assert expression.terms == {"a": 3.0, "b": -0.5}
    assert expression.constant == 1.5
    columns = decode(Circuit(1).rx(expression, 0).encode())
    assert columns.symbols == [(0, [("a", 3.0), ("b", -0.5)], 1.5)]
    assert columns.parameters == ["a", "b"]


def test_conditions_before_and_after_unconditional_gates() -> None:
    circuit = Circuit(1, 2).h(0)
    circuit.x(0, condition=([0, 1], [1, 3]))
    circuit.h(0)
    circuit.x(0, condition=([0, 1], [1, 3]))
    columns = decode(circuit.encode())
    assert columns.conditions == [([0, 1], [1, 3])]
    assert list(columns.when) == [-1, 0, -1, 0]


@pytest.mark.parametrize(
    ("build", "word"),
    [
        (lambda c: c.h(2), "counted from 0"),
        (lambda c: c.h(-1), "counted from 0"),
        (lambda c: c.h("0"), "counted from 0"),
        (lambda c: c.cx(1, 1), "twice"),
        (lambda c: c.cx(0), "2 qubits"),
        (lambda c: c.rx(0), "1 angles"),
        (lambda c: c.rx(math.nan, 0), "finite"),
        (lambda c: c.gate("nope", [0]), "'nope'"),
        (lambda c: c.gate("rx", [0], [1, 2]), "1 angles"),
        (lambda c: c.gate("unitary", [0], [1.0]), "8 angles"),
        (lambda c: c.measure(0, 5), "classical bit"),
        (lambda c: c.measure([0, 1], [0]), "2 qubits"),
        (lambda c: c.add_register("c", 1), "already"),
        (lambda c: c.x(0, condition=([0], 2)), "never"),
        (lambda c: c.x(0, condition=([], 0)), "never"),
        (lambda c: c.x(0, condition=([7], 0)), "classical bit"),
        (lambda c: Circuit(-1), "fewer"),
    ],
)
def test_what_does_not_exist_is_refused_and_changes_nothing(build: object, word: str) -> None:
    circuit = Circuit(2, 2).h(0)
    before = circuit.encode()
    with pytest.raises(QuantainerError, match=word) as caught:
        build(circuit)  # type: ignore[operator]
    assert caught.value.code == "invalid_circuit"
    circuit._encoded = None
    assert circuit.encode() == before


def test_unknown_attributes_stay_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        _ = Circuit(1).nonsense
    assert "cx" in dir(Circuit(1))
