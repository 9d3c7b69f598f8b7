"""Lowering and readout: what happens once for all engines."""

from __future__ import annotations

import numpy as np
import pytest
from exact import check, distribution, memories, run
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Clbit, Gate, Parameter, Qubit
from qiskit.circuit.classical import expr
from qiskit.circuit.library import QFTGate, StatePreparation
from qiskit.quantum_info import Operator, Statevector

from quantainer.backends.backend import Limits
from quantainer.backends.binding import bound
from quantainer.backends.qsim import Qsim
from quantainer.backends.simulators.condition import value_of
from quantainer.backends.simulators.gates import matrix_of
from quantainer.backends.simulators.lowering import lower
from quantainer.backends.simulators.program import Readout
from quantainer_client.errors import QuantainerError


def test_only_what_measured_bits_depend_on_is_left() -> None:
    circuit = QuantumCircuit(6, 2)
    circuit.h(range(6))
    circuit.cx(0, 1)
    circuit.cx(4, 5)
    circuit.t(5)
    circuit.measure(1, 0)
    program = lower(circuit)
    assert program.origin == (0, 1)
    assert [gate.name for gate in program.gates] == ["h", "h", "cx"]


def test_resets_that_change_nothing_do_not_make_a_circuit_dynamic() -> None:
    circuit = QuantumCircuit(2, 1)
    circuit.reset([0, 1])
    circuit.h(0)
    circuit.measure(0, 0)
    circuit.reset(0)
    assert lower(circuit).terminal


def test_measuring_twice_without_a_gate_between_is_an_end() -> None:
    circuit = QuantumCircuit(1, 2)
    circuit.h(0)
    circuit.measure(0, 0)
    circuit.measure(0, 1)
    assert lower(circuit).terminal


def test_the_last_measurement_of_a_bit_wins(qsim: Qsim, limits: Limits) -> None:
    circuit = QuantumCircuit(2, 1)
    circuit.x(1)
    circuit.measure(0, 0)
    circuit.measure(1, 0)
    assert set(memories(run(qsim, circuit, limits, shots=5), 1)) == {1}


@pytest.mark.report(50)
def test_unwritten_bits_are_named(qsim: Qsim, limits: Limits) -> None:
    """Report 50."""
    circuit = QuantumCircuit(QuantumRegister(1), ClassicalRegister(3, "c"))
    circuit.x(0)
    circuit.measure(0, 1)
    result = run(qsim, circuit, limits, shots=5)
    assert result.metadata["notes"] == ["no measurement writes bit c[0], c[2]: always 0"]
    assert set(memories(result, 3)) == {0b010}


@pytest.mark.report(50)
@pytest.mark.parametrize("clbits", [0, 2])
def test_sampling_what_is_not_measured_is_refused(clbits: int, qsim: Qsim, limits: Limits) -> None:
    registers = [ClassicalRegister(clbits, "c")] if clbits else []
    circuit = QuantumCircuit(QuantumRegister(2), *registers)
    circuit.h(0)
    circuit.cx(0, 1)
    with pytest.raises(QuantainerError) as refused:
        run(qsim, circuit, limits)
    assert refused.value.code == "no_measurement"
    assert ("bit c[0]" in refused.value.message) == bool(clbits)
    assert refused.value.hint


@pytest.mark.report(50)
def test_loose_bits_and_overlapping_registers(qsim: Qsim, limits: Limits) -> None:
    bits = [Clbit() for _ in range(3)]
    circuit = QuantumCircuit(
        [Qubit(), Qubit()],
        bits,
        ClassicalRegister(bits=bits[:2], name="a"),
        ClassicalRegister(bits=bits[1:2], name="b"),
    )
    circuit.x(1)
    circuit.measure(1, 1)
    circuit.measure(0, 0)
    result = run(qsim, circuit, limits, shots=4)
    assert set(memories(result, 3)) == {0b010}
    assert result.metadata["notes"] == ["no measurement writes bit clbit[2]: always 0"]


def test_gates_of_the_users_own_are_opened(qsim: Qsim, limits: Limits) -> None:
    inner = QuantumCircuit(2, name="h")  # named as a standard gate, and not that gate
    inner.x(0)
    inner.cx(0, 1)
    circuit = QuantumCircuit(4, 4)
    circuit.append(inner.to_gate(), [0, 1])
    circuit.append(inner.to_gate().control(1, ctrl_state=0), [2, 3, 0])
    circuit.append(QFTGate(3), [0, 1, 2])
    circuit.append(QFTGate(3).inverse(), [0, 1, 2])
    circuit.append(StatePreparation([0.6, 0.8]), [2])
    circuit.measure(range(4), range(4))
    expected = Statevector(circuit.remove_final_measurements(inplace=False)).probabilities()
    check(
        memories(run(qsim, circuit, limits), 4),
        {state: weight for state, weight in enumerate(expected) if weight > 1e-9},
    )


def test_a_gate_without_meaning_is_named(qsim: Qsim, limits: Limits) -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.append(Gate("wobble", 1, []), [0])
    circuit.measure(0, 0)
    with pytest.raises(QuantainerError, match="wobble") as refused:
        lower(circuit)
    assert refused.value.code == "unsupported_circuit"


@given(
    st.integers(1, 70).flatmap(
        lambda clbits: st.tuples(
            st.just(clbits),
            st.dictionaries(st.integers(0, clbits - 1), st.integers(0, 20), max_size=clbits),
            st.lists(st.integers(0, 2**21 - 1), min_size=1, max_size=5),
        )
    )
)
def test_readout_puts_each_bit_in_its_place(
    drawn: tuple[int, dict[int, int], list[int]],
) -> None:
    clbits, source, states = drawn
    packed = Readout.of(clbits, source).pack_states(np.array(states, dtype=np.uint64))
    assert packed.shape == (len(states), (clbits + 7) // 8)
    for row, state in zip(packed, states, strict=True):
        memory = int.from_bytes(row.tobytes(), "little")
        assert memory == sum((state >> qubit & 1) << clbit for clbit, qubit in source.items())


@given(st.floats(-5, 5), st.floats(-5, 5))
@settings(max_examples=30)
def test_bound_parameters_are_those_that_qiskit_binds(a: float, b: float) -> None:
    x, y = Parameter("x"), Parameter("y")
    circuit = QuantumCircuit(3, 3)
    circuit.rx(x, 0)
    circuit.u(2 * x - y / 3 + 1, y * x, (x + y).sin(), 1)
    circuit.rx(x.sign(), 0)
    circuit.cp(-y, 1, 2)
    circuit.ry(x, 2)
    circuit.measure(range(3), range(3))
    (program,) = bound(lower(circuit, ("x", "y")), np.array([[a, b]]))
    made = QuantumCircuit(3)
    for gate in program.gates:
        made.unitary(matrix_of(gate), [program.origin[q] for q in gate.qubits])
    expected = circuit.assign_parameters({x: a, y: b}).remove_final_measurements(inplace=False)
    assert Operator(made).equiv(Operator(expected), atol=1e-7)


@pytest.mark.parametrize("rows", [np.zeros((2, 3)), np.array([[0.1, np.nan]]), np.zeros(2)])
def test_parameters_that_do_not_fit_are_refused(rows: np.ndarray) -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.rx(Parameter("x"), 0)
    circuit.rz(Parameter("y"), 0)
    circuit.measure(0, 0)
    with pytest.raises(QuantainerError) as refused:
        list(bound(lower(circuit, ("x", "y")), rows))
    assert refused.value.code == "invalid_parameters"


@given(st.integers(0, 2**12 - 1), st.integers(0, 15), st.integers(0, 15))
def test_expressions_are_evaluated_as_unsigned_integers(memory: int, k: int, m: int) -> None:
    a, b = ClassicalRegister(4, "a"), ClassicalRegister(4, "b")
    circuit = QuantumCircuit(a, b, ClassicalRegister(4, "c"))
    bits = {bit: index for index, bit in enumerate(circuit.clbits)}
    x, y = memory & 15, memory >> 4 & 15
    cases = [
        (expr.bit_xor(a, b), x ^ y),
        (expr.bit_not(a), 15 ^ x),
        (expr.add(a, b), (x + y) & 15),
        (expr.sub(a, k), (x - k) & 15),
        (expr.mul(a, b), (x * y) & 15),
        (expr.less_equal(a, b), int(x <= y)),
        (expr.not_equal(a, m), int(x != m)),
        (expr.shift_left(a, 1), x << 1 & 15),
        (expr.index(a, 2), x >> 2 & 1),
        (expr.logic_or(expr.greater(a, b), b[0]), int(x > y or y & 1)),
        (expr.cast(a, expr.lift(True).type), int(x != 0)),
    ]
    for node, expected in cases:
        evaluate, _ = value_of(node, bits)
        assert evaluate(memory) == expected, node


def test_a_condition_on_bits_that_nothing_wrote_is_decided_at_once() -> None:
    circuit = QuantumCircuit(QuantumRegister(1), ClassicalRegister(80, "c"))
    with circuit.if_test((circuit.cregs[0], 0)):
        circuit.x(0)
    with circuit.if_test((circuit.cregs[0], 2**79)):
        circuit.h(0)
    circuit.measure(0, 0)
    program = lower(circuit)
    assert program.terminal
    assert [gate.name for gate in program.gates] == ["x"]


def test_exactness_of_the_reference(qsim: Qsim, limits: Limits) -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.ry(0.3, 0)
    circuit.measure(0, 1)
    with circuit.if_test((circuit.clbits[1], 1)):
        circuit.x(1)
    circuit.measure(1, 0)
    assert distribution(circuit) == pytest.approx(
        {0: np.cos(0.15) ** 2, 3: np.sin(0.15) ** 2}, abs=1e-12
    )
