"""Facts agree with brute force, and are the same whatever the format."""

from __future__ import annotations

import io
import itertools
import math
import time

import numpy as np
import pytest
from drawn_circuits import flat, flat_circuits
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit, qasm2, qasm3, qpy, transpile
from qiskit.circuit import Parameter
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.quantum_info import Clifford, Operator, Statevector, schmidt_decomposition

from quantainer.circuits import Circuit, ReadOptions, measure, read
from quantainer.circuits.builder import STANDARD_GATES
from quantainer.circuits.clifford import FIXED_COSTS, is_clifford_matrix, rotations
from quantainer.circuits.lower import lower
from quantainer.circuits.measure import unwritten
from quantainer.core.facts import Facts
from quantainer_client.circuit import Circuit as Flat


def facts_of(program: QuantumCircuit) -> Facts:
    return measure(Circuit(lower(program, "test", ReadOptions()), "test"))


# --- Depth and counts -----------------------------------------------------------------------------


@given(drawn=flat_circuits(qubits=4, size=25))
@settings(max_examples=60, deadline=None)
def test_depth_and_counts_agree_with_qiskits(drawn) -> None:
    operations, qubits = drawn
    program = read(flat(operations, qubits).measure_all().encode()).program
    facts = facts_of(program)
    assert facts.depth == program.depth()
    assert facts.two_qubit_depth == program.depth(lambda step: len(step.qubits) > 1)
    assert facts.gates == dict(sorted(program.count_ops().items()))
    assert facts.size == len(program.data)


def test_a_barrier_takes_no_time_but_orders() -> None:
    circuit = Flat(2).h(0).cx(0, 1).barrier().h(0).cx(0, 1)
    assert measure(read(circuit.encode())).depth == 4
    split = Flat(2).h(0).barrier().h(1)
    together = Flat(2).h(0).h(1)
    assert measure(read(split.encode())).depth == 2
    assert measure(read(together.encode())).depth == 1
    assert measure(read(split.encode())).gates == {"h": 2}


def test_a_loop_counts_as_often_as_it_runs() -> None:
    program = QuantumCircuit(1)
    with program.for_loop(range(1000)):
        program.x(0)
    facts = facts_of(program)
    assert (facts.depth, facts.gates, facts.dynamic) == (1000, {"x": 1000}, False)


def test_loops_inside_of_loops_with_the_loop_variable() -> None:
    program = QuantumCircuit(2)
    angle = Parameter("k")
    with program.for_loop((1, 5, 3), angle), program.for_loop(range(2)):
        program.rz(angle, 0)
        program.cx(0, 1)
    facts = facts_of(program)
    assert (facts.depth, facts.gates) == (12, {"cx": 6, "rz": 6})
    found = lower(program, "test", ReadOptions())
    assert [float(step.params[0]) for step in found.data if step.params] == [1, 1, 5, 5, 3, 3]


def test_what_depends_on_data_is_said_to() -> None:
    program = QuantumCircuit(1, 1)
    program.h(0)
    program.measure(0, 0)
    with program.while_loop((program.clbits[0], 1)):
        program.h(0)
        program.measure(0, 0)
    facts = facts_of(program)
    assert (facts.depth, facts.two_qubit_depth, facts.dynamic) == (None, None, True)
    assert facts.gates == {"h": 2, "measure": 2}


def test_a_loop_that_may_be_left_early_depends_on_data() -> None:
    program = QuantumCircuit(1, 1)
    with program.for_loop(range(5)):
        program.h(0)
        program.measure(0, 0)
        with program.if_test((program.clbits[0], 1)):
            program.break_loop()
    assert facts_of(program).depth is None


def test_a_branch_is_as_deep_as_its_deepest_way() -> None:
    program = QuantumCircuit(2, 1)
    program.measure(0, 0)
    with program.if_test((program.clbits[0], 1)) as otherwise:
        program.x(1)
    with otherwise:
        program.h(1)
        program.cx(1, 0)
        program.h(1)
    facts = facts_of(program)
    assert (facts.depth, facts.two_qubit_depth) == (4, 1)
    assert facts.gates == {"cx": 1, "h": 2, "measure": 1, "x": 1}


def test_only_measurements_and_nothing_at_all() -> None:
    assert measure(read(Flat(3, 3).measure([0, 1, 2], [0, 1, 2]).encode())).depth == 1
    empty = measure(read(Flat(0).encode()))
    assert (empty.depth, empty.light_cone, empty.bond_log2, empty.clifford) == (0, 0, 0, True)


def test_gates_with_a_definition_count_as_it() -> None:
    inner = QuantumCircuit(2, name="inner")
    inner.h(0)
    inner.cx(0, 1)
    outer = QuantumCircuit(2, name="outer")
    outer.append(inner.to_gate(), [0, 1])
    outer.append(inner.to_gate(), [1, 0])
    program = QuantumCircuit(2)
    program.append(outer.to_gate(), [0, 1])
    facts = facts_of(program)
    assert (facts.depth, facts.gates) == (4, {"cx": 2, "h": 2})


# --- Width ----------------------------------------------------------------------------------------


def test_declared_and_active_qubits() -> None:
    circuit = Flat(50, 1).h(45).barrier().t(45).measure(45, 0)
    facts = measure(read(circuit.encode()))
    assert (facts.qubits, facts.active_qubits, facts.light_cone) == (50, 1, 1)


def test_mid_circuit_measurement_and_reset() -> None:
    def found(circuit: Flat) -> bool:
        return measure(read(circuit.encode())).mid_circuit

    assert not found(Flat(2, 2).h(0).measure(0, 0).h(1).measure(1, 1))
    assert found(Flat(2, 2).measure(0, 0).cx(0, 1))
    assert found(Flat(1, 2).measure(0, 0).measure(0, 1))
    assert found(Flat(1, 1).h(0).reset(0))
    assert not found(Flat(1, 1).reset(0).h(0).measure(0, 0))


def test_bits_that_nothing_writes_are_named() -> None:
    text = 'OPENQASM 2.0; include "qelib1.inc"; qreg q[2]; creg c[2]; creg d[1]; h q[0];'
    circuit = read(f"{text} measure q[0] -> c[1];".encode())
    assert unwritten(circuit) == ["c[0]", "d[0]"]
    assert measure(circuit).measured_clbits == 1


@given(drawn=flat_circuits(qubits=5, size=12))
@settings(max_examples=60, deadline=None)
def test_the_light_cone_holds_all_that_a_measured_bit_depends_on(drawn) -> None:
    operations, qubits = drawn
    facts = measure(read(flat(operations, qubits).measure_all().encode()))
    # Brute force: walk back from each qubit.
    cones = []
    for qubit in range(qubits):
        cone = {qubit}
        for _, at, _ in reversed(operations):
            if len(at) > 1 and cone.intersection(at):
                cone.update(at)
        cones.append(len(cone))
    assert facts.light_cone == max(cones)


@given(drawn=flat_circuits(qubits=5, size=14))
@settings(max_examples=60, deadline=None)
def test_no_cut_has_more_entanglement_than_the_bound(drawn) -> None:
    operations, qubits = drawn
    circuit = read(flat(operations, qubits).encode())
    facts = measure(circuit)
    state = Statevector(circuit.program)
    for cut in range(1, qubits):
        terms = [s for s, _, _ in schmidt_decomposition(state, list(range(cut))) if s > 1e-9]
        assert math.log2(len(terms)) <= facts.bond_log2 + 1e-9


def test_the_bound_is_tight_where_it_matters() -> None:
    chain = Flat(30).h(0)
    for qubit in range(29):
        chain.cx(qubit, qubit + 1)
    assert measure(read(chain.encode())).bond_log2 == 1
    assert measure(read(Flat(6).swap(0, 5).encode())).bond_log2 == 1


# --- Clifford -------------------------------------------------------------------------------------


def _angles(count: int) -> list[tuple[float, ...]]:
    step = math.pi / 4 if count < 4 else math.pi / 2
    grid = [k * step for k in range(-5, 6)] if count < 3 else [k * step for k in range(-2, 3)]
    return list(itertools.product(grid, repeat=count))


@pytest.mark.parametrize("name", [name for name, g in STANDARD_GATES.items() if g.num_qubits <= 3])
def test_a_gate_is_clifford_exactly_if_its_matrix_is(name: str) -> None:
    gate = STANDARD_GATES[name]
    for angles in _angles(gate.num_params):
        if name == "global_phase":
            continue
        matrix = np.array(gate._to_matrix(list(angles)))
        assert (rotations(name, angles) == 0) == is_clifford_matrix(matrix), angles


@given(seed=st.integers(0, 10_000), qubits=st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_matrices_of_cliffords_are_recognised(seed: int, qubits: int) -> None:
    from qiskit.quantum_info import random_clifford, random_unitary

    clifford: Clifford = random_clifford(qubits, seed=seed)
    phase = np.exp(1j * seed)
    assert is_clifford_matrix(np.asarray(clifford.to_operator().data) * phase)
    assert not is_clifford_matrix(np.asarray(random_unitary(2**qubits, seed=seed).data))


@pytest.mark.parametrize(
    "name", sorted(set(FIXED_COSTS) - {"measure", "reset", "barrier", "delay"})
)
def test_fixed_counts_are_those_of_qiskits_decomposition(name: str) -> None:
    gate = get_standard_gate_name_mapping().get(name)
    if name == "mcx":
        from qiskit.circuit.library import C3XGate

        gate = C3XGate()
    program = QuantumCircuit(gate.num_qubits)
    program.append(gate, range(gate.num_qubits)) if name != "global_phase" else None
    basis = ["h", "cx", "p", "s", "t", "tdg", "sdg", "u", "rz", "ry", "sx", "x", "z"]
    parts = transpile(program, basis_gates=basis, optimization_level=0)
    assert FIXED_COSTS[name] == sum(rotations(step.name, step.params) for step in parts.data)


def test_angles_count_within_a_stated_tolerance() -> None:
    assert rotations("rz", (math.pi / 2 + 1e-13,)) == 0
    assert rotations("rz", (math.pi / 2 + 1e-9,)) == 1
    assert rotations("rz", (100_000 * math.pi / 2,)) == 0
    assert rotations("rz", (Parameter("a"),)) == 1


# --- The same through every format ----------------------------------------------------------------


def _formats(program: QuantumCircuit) -> dict[str, bytes]:
    file = io.BytesIO()
    qpy.dump(program, file)
    from quantainer_client.qiskit.encode import encode

    return {
        "qasm2": qasm2.dumps(program).encode(),
        "qasm3": qasm3.dumps(program).encode(),
        "qpy": file.getvalue(),
        "columnar": encode(program)[0],
    }


@given(drawn=flat_circuits(qubits=4, size=15))
@settings(max_examples=25, deadline=None)
def test_facts_and_meaning_are_the_same_in_every_format(drawn) -> None:
    operations, qubits = drawn
    bare = read(flat(operations, qubits).encode()).program
    expected = Operator(bare)
    program = bare.copy()
    program.measure_all()
    found: dict[str, tuple] = {}
    for name, data in _formats(program).items():
        circuit = read(data)
        facts = measure(circuit)
        assert facts.format == name
        found[name] = (facts.qubits, facts.active_qubits, facts.clbits, facts.depth,
                       facts.two_qubit_depth, facts.clifford, facts.light_cone)  # fmt: skip
        unitary = Operator(circuit.program.remove_final_measurements(inplace=False))
        assert unitary.equiv(expected), name
    assert len(set(found.values())) == 1, found


def _asymmetric() -> QuantumCircuit:
    program = QuantumCircuit(2, 2)
    program.x(0)
    program.h(1)
    program.h(1)
    program.measure([0, 1], [0, 1])
    return program


OTHERS = {
    "stim": b"X 0\nH 1\nH 1\nM 0 1\n",
    "qir": b"""define void @f() #0 {
e:
  call void @__quantum__qis__x__body(ptr null)
  call void @__quantum__qis__h__body(ptr inttoptr (i64 1 to ptr))
  call void @__quantum__qis__h__body(ptr inttoptr (i64 1 to ptr))
  call void @__quantum__qis__mz__body(ptr null, ptr null)
  call void @__quantum__qis__mz__body(ptr inttoptr (i64 1 to ptr), ptr inttoptr (i64 1 to ptr))
  ret void
}
attributes #0 = { "entry_point" "required_num_qubits"="2" }
""",
    "cirq": b"""{"cirq_type": "Circuit", "moments": [
 {"cirq_type": "Moment", "operations": [
  {"cirq_type": "GateOperation", "gate": {"cirq_type": "XPowGate", "exponent": 1.0},
   "qubits": [{"cirq_type": "LineQubit", "x": 0}]},
  {"cirq_type": "GateOperation", "gate": {"cirq_type": "HPowGate", "exponent": 1.0},
   "qubits": [{"cirq_type": "LineQubit", "x": 1}]}]},
 {"cirq_type": "Moment", "operations": [
  {"cirq_type": "GateOperation", "gate": {"cirq_type": "HPowGate", "exponent": 1.0},
   "qubits": [{"cirq_type": "LineQubit", "x": 1}]}]},
 {"cirq_type": "Moment", "operations": [
  {"cirq_type": "GateOperation",
   "gate": {"cirq_type": "MeasurementGate", "num_qubits": 2, "key": "c", "invert_mask": []},
   "qubits": [{"cirq_type": "LineQubit", "x": 0}, {"cirq_type": "LineQubit", "x": 1}]}]}]}""",
}


@pytest.mark.report(43)
@pytest.mark.parametrize("name", ["qasm2", "qasm3", "qpy", "columnar", "stim", "qir", "cirq"])
def test_bit_order_is_qiskits_in_every_format(name: str) -> None:
    from qiskit_aer import AerSimulator

    data = OTHERS.get(name) or _formats(_asymmetric())[name]
    circuit = read(data)
    facts = measure(circuit)
    assert facts.format == name
    assert (facts.qubits, facts.clbits, facts.depth, facts.gates) == (
        2, 2, 3, {"h": 2, "measure": 2, "x": 1},
    )  # fmt: skip
    counts = AerSimulator().run(circuit.program, shots=30).result().get_counts()
    assert dict(counts) == {"01": 30}


# --- Time -----------------------------------------------------------------------------------------


def test_measuring_is_linear() -> None:
    def seconds(size: int) -> float:
        program = QuantumCircuit(20)
        for step in range(size):
            program.h(step % 20)
            program.cx(step % 20, (step + 1) % 20)
        circuit = Circuit(program, "test")
        best = math.inf
        for _ in range(3):
            start = time.process_time()
            measure(circuit)
            best = min(best, time.process_time() - start)
        return best

    assert seconds(40_000) < 20 * seconds(5_000)
