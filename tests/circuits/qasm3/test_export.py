"""What is exported reads back to the same circuit; what Qiskit exports can be read."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from execution import basis_run, sample
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit, qasm3
from qiskit._accelerate.circuit import CircuitInstruction
from qiskit.circuit import (
    ClassicalRegister,
    Clbit,
    Parameter,
    ParameterVector,
    QuantumRegister,
    Qubit,
)
from qiskit.circuit.classical import expr, types
from qiskit.circuit.library import QFTGate, RZZGate, U3Gate, UnitaryGate, XGate
from qiskit.circuit.random import random_circuit
from qiskit.quantum_info import Operator, random_unitary

from quantainer.circuits.angle import reduced
from quantainer.circuits.builder import STANDARD_GATES
from quantainer.circuits.qasm3 import export, read
from quantainer_client.errors import QuantainerError


def again(program: QuantumCircuit) -> QuantumCircuit:
    return read(export(program).encode(), "t").program


def bound(program: QuantumCircuit, values: dict[str, float]) -> Any:
    return Operator(program.assign_parameters({p: values[p.name] for p in program.parameters}))


GATES = sorted(set(STANDARD_GATES) - {"global_phase"})


@pytest.mark.parametrize("name", GATES)
def test_every_standard_gate(name: str) -> None:
    gate = STANDARD_GATES[name]
    source = random.Random(name)
    numbers = [source.uniform(-7, 7) for _ in range(gate.num_params)]
    program = QuantumCircuit(gate.num_qubits)
    program._append(CircuitInstruction.from_standard(gate, program.qubits, numbers))
    assert again(program) == program
    symbols = [Parameter(f"t{place}") for place in range(gate.num_params)]
    program = QuantumCircuit(gate.num_qubits)
    program._append(CircuitInstruction.from_standard(gate, program.qubits, symbols))
    values = {symbol.name: number for symbol, number in zip(symbols, numbers, strict=True)}
    assert bound(again(program), values) == bound(program, values)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**30))
def test_random_circuits(seed: int) -> None:
    program = random_circuit(4, 6, max_operands=4, measure=True, reset=True, seed=seed)
    assert again(program) == program
    dumped = read(qasm3.dumps(program).encode(), "t").program
    assert dict(dumped.count_ops()) == dict(program.count_ops())


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**30))
def test_random_circuits_with_branches_read_from_the_toolkits_own_export(seed: int) -> None:
    program = random_circuit(3, 5, max_operands=2, measure=True, conditional=True, seed=seed)
    expected = sample(program, 300)
    for text in (qasm3.dumps(program), export(program)):
        found = sample(read(text.encode(), "t").program, 300)
        keys = set(found) | set(expected)
        assert max(abs(found.get(key, 0) - expected.get(key, 0)) for key in keys) < 110


@settings(max_examples=200, deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e9, max_value=1e9))
def test_angles_keep_every_bit(value: float) -> None:
    program = QuantumCircuit(1)
    program.rx(value, 0)
    assert again(program).data[0].params == list(reduced([value]))


@pytest.mark.parametrize("divisor", [1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 32, 64])
@pytest.mark.parametrize("times", [-3, -1, 1, 2, 7])
def test_fractions_of_pi_keep_every_bit(times: int, divisor: int) -> None:
    program = QuantumCircuit(1)
    program.rx(times * np.pi / divisor, 0)
    text = export(program)
    assert read(text.encode(), "t").program.data[0].params == program.data[0].params
    assert "pi" in text or divisor in (5, 7)


def test_parameter_expressions() -> None:
    theta, phi = Parameter("θ"), Parameter("for")
    vector = ParameterVector("v", 12)
    program = QuantumCircuit(1)
    program.rx(theta / 2 + 1, 0)
    program.ry((phi.sin() + 3) ** 2 / 7 - vector[10], 0)
    program.rz(vector[1] * 2 + vector[10].arctan(), 0)
    program.u(theta, 0.5, phi, 0)
    program.p(theta.exp() / 3 - (vector[1] + 2).log(), 0)
    read_back = again(program)
    values = {each.name: 0.3 + 0.1 * place for place, each in enumerate(program.parameters)}
    values["for_1"] = values["for"]
    assert bound(read_back, values) == bound(program, values)
    assert {each.name for each in read_back.parameters} == {"θ", "for_1", "v[1]", "v[10]"}
    program.rx(abs(theta), 0)
    with pytest.raises(QuantainerError, match="no function 'abs'"):
        export(program)


def test_control_flow_of_the_toolkit() -> None:
    program = QuantumCircuit(QuantumRegister(4, "q"), ClassicalRegister(3, "c"))
    program.x(0)
    with program.for_loop(range(5)):
        program.x(1)
    with program.for_loop([1, 3, 4]) as index:
        program.rz(index * 0.3, 0)
        program.x(2)
    with program.for_loop(range(6, 0, -2)):
        program.cx(0, 3)
    program.measure([0, 1, 2], program.clbits)
    with program.if_test((program.cregs[0], 7)) as otherwise:
        program.x(3)
    with otherwise:
        program.reset(3)
    with program.switch(program.cregs[0]) as case:
        with case(0, 7):
            program.x(0)
        with case(case.DEFAULT):
            program.x(1)
    with program.while_loop((program.clbits[0], 1)):
        program.measure(0, 0)
    with program.box():
        program.cx(0, 1)
    program.delay(100, 0, "ns")
    program.delay(16, 0, "dt")
    program.store(program.clbits[1], expr.bit_xor(program.clbits[1], program.clbits[2]))
    condition = expr.logic_not(expr.less(program.cregs[0], 3))
    with program.if_test(condition):
        program.x(0)
    program.measure(3, 2)
    # Qiskit 2.6 ends a falling range one too low: it writes range(6, 0, -2) as [6:-2:-1].
    dumped = qasm3.dumps(program).replace("[6:-2:-1]", "[6:-2:1]")
    for text in (dumped, export(program)):
        read_back = read(text.replace("rz(", "// rz(").encode(), "t").program
        assert basis_run(read_back) == {"c": 0b000}
        assert "for " in text


def test_variables_of_the_toolkit() -> None:
    program = QuantumCircuit(QuantumRegister(1, "q"), ClassicalRegister(3, "c"))
    program.x(0)
    count = program.add_var("count", expr.lift(5, types.Uint(3)))
    program.measure(0, 0)
    with program.if_test(expr.lift(program.clbits[0])):
        program.store(count, expr.add(count, expr.lift(4, types.Uint(3))))
    program.store(program.clbits[1], expr.equal(count, 1))
    program.store(program.clbits[2], expr.index(count, 0))
    values = basis_run(again(program))
    assert values["c"] == 7


def test_gates_that_are_not_standard() -> None:
    program = QuantumCircuit(4)
    program.append(XGate().control(3, ctrl_state=2), [3, 1, 0, 2])
    program.append(RZZGate(0.2).control(1), [0, 1, 2])
    program.append(QFTGate(3), [0, 2, 3])
    program.append(UnitaryGate(random_unitary(4, seed=3)), [1, 3])
    program.append(UnitaryGate(random_unitary(2, seed=4)), [0])
    program.global_phase = 0.4
    inner = QuantumCircuit(2, name="my gate", global_phase=0.1)
    inner.h(0)
    inner.u(0.1, 0.2, 0.3, 1)
    inner.append(U3Gate(0.1, 0.2, 0.3), [0])
    program.append(inner.to_gate(), [2, 0])
    program.append(inner.to_gate(), [1, 3])
    program.append(inner.to_gate().control(1), [0, 1, 3])
    text = export(program)
    assert text.count("gate my_gate ") == 1
    assert Operator(read(text.encode(), "t").program) == Operator(program)


def test_names_that_the_language_does_not_allow() -> None:
    program = QuantumCircuit(
        QuantumRegister(2, "if"), QuantumRegister(1, "x"), ClassicalRegister(2, "my bits"),
        ClassicalRegister(1, "pi"),
    )  # fmt: skip
    program.x(1)
    program.measure([0, 1], [0, 1])
    assert basis_run(again(program)) == {"my_bits": 2, "pi_1": 0}


def test_loose_bits_and_shared_registers() -> None:
    bits = [Clbit(), Clbit(), Clbit()]
    first = ClassicalRegister(bits=bits[:2], name="a")
    second = ClassicalRegister(bits=[bits[1]], name="b")
    program = QuantumCircuit([Qubit(), Qubit()], bits, first, second)
    program.x(0)
    program.measure(0, 1)
    program.measure(1, 2)
    with program.if_test((second, 1)):
        program.x(1)
    program.measure(1, 0)
    values = basis_run(again(program))
    assert values == {"a": 3, "_bit2": 0}


@pytest.mark.parametrize("build", ["stretch", "instruction", "initialize"])
def test_what_has_no_words_is_refused(build: str) -> None:
    program = QuantumCircuit(2, 1)
    if build == "stretch":
        program.delay(program.add_stretch("s"), 0)
    elif build == "instruction":
        inner = QuantumCircuit(1, 1, name="both")
        inner.measure(0, 0)
        program.append(inner.to_instruction(), [0], [0])
    else:
        program.initialize([0, 1], 0)
    with pytest.raises(QuantainerError) as caught:
        export(program)
    assert caught.value.code == "unsupported_circuit"
