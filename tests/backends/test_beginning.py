"""Beginnings: closed under what their gates depend on, in order, as large as fits."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit

from quantainer.backends.beginning import Beginnings
from quantainer.backends.simulators.lowering import lower
from quantainer.backends.simulators.program import Program

PAIRS = st.lists(st.lists(st.integers(0, 8), min_size=1, max_size=2, unique=True), max_size=40)


def program_of(pairs: list[list[int]]) -> Program:
    """Return a program whose gates are told apart by their angles."""
    circuit = QuantumCircuit(9)
    for number, qubits in enumerate(pairs):
        if len(qubits) == 1:
            circuit.rx(number + 0.5, *qubits)
        else:
            circuit.rzz(number + 0.5, *qubits)
    circuit.measure_all()
    return lower(circuit, ())


def numbers_of(program: Program) -> list[int]:
    return [int(gate.params[0]) for gate in program.gates]


@settings(deadline=None)
@given(PAIRS, st.integers(0, 40))
def test_a_beginning_could_be_run_first(pairs: list[list[int]], most: int) -> None:
    program = program_of(pairs)
    beginning = Beginnings(program).largest(lambda one: len(one.gates) <= most)
    if beginning is None:
        return
    numbers = numbers_of(beginning)
    assert len(numbers) <= most
    assert numbers == sorted(numbers)
    left_out: set[int] = set()
    for number, gate in enumerate(program.gates):
        if int(gate.params[0]) in numbers:
            assert left_out.isdisjoint(gate.qubits), number
        else:
            left_out.update(gate.qubits)
    for gate, number in zip(beginning.gates, numbers, strict=True):
        names = [beginning.origin[qubit] for qubit in gate.qubits]
        assert names == pairs[number]
    assert list(beginning.origin) == sorted(beginning.origin)


def test_the_deepest_gate_in_the_middle_comes_first() -> None:
    """A brickwork of nine qubits: the past of a gate in layer 3 is a triangle of 6 gates."""
    pairs = [[q, q + 1] for layer in range(3) for q in range(layer % 2, 8, 2)]
    beginning = Beginnings(program_of(pairs)).largest(lambda one: len(one.gates) <= 6)
    assert beginning is not None
    assert [pairs[number] for number in numbers_of(beginning)] in (
        [[2, 3], [4, 5], [6, 7], [3, 4], [5, 6], [4, 5]],
        [[0, 1], [2, 3], [4, 5], [1, 2], [3, 4], [2, 3]],
    )


def test_all_of_it_fits() -> None:
    pairs = [[q, q + 1] for layer in range(4) for q in range(layer % 2, 8, 2)]
    beginning = Beginnings(program_of(pairs)).largest(lambda one: True)
    assert beginning is not None
    assert len(beginning.gates) == 4 * 4


def test_nothing_entangles() -> None:
    assert Beginnings(program_of([[0], [1], [0]])).largest(lambda one: True) is None
