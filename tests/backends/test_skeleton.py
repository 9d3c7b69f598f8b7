"""Skeletons: what they prove is true of the state itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.quantum_info import Statevector

from quantainer.backends.simulators.lowering import lower
from quantainer.backends.simulators.program import Program
from quantainer.backends.simulators.skeleton import least_lost_log2

QUBITS = 8
SINGLE = {"h", "s", "sx", "t", "rz", "u"}
ANGLES = {"rz": 1, "u": 3, "rzz": 1, "cp": 1}
NAMES = ["h", "s", "sx", "t", "rz", "u", "cx", "cz", "swap", "ecr", "rzz", "cp"]
GATES = st.lists(
    st.tuples(
        # Clifford gates are drawn more often: of many others nothing can be proven
        st.sampled_from(["h", "sx", "cx", "cz"] * 6 + NAMES),
        st.permutations(range(QUBITS)).map(tuple),
        st.floats(0, 6),
    ),
    min_size=10,
    max_size=50,
)


def program_of(circuit: QuantumCircuit) -> Program:
    made = circuit.copy()
    made.measure_all()
    return lower(made, ())


def kept(state: NDArray[np.complex128], bond: int) -> float:
    """Return the most weight that a state of a rank has over the worst cut (Eckart, Young)."""
    width = len(state).bit_length() - 1
    cuts = [np.linalg.svd(state.reshape(-1, 1 << c), compute_uv=False) for c in range(1, width)]
    return min((float((values[:bond] ** 2).sum()) for values in cuts), default=1.0)


@settings(deadline=None, max_examples=40)
@given(GATES, st.sampled_from([1, 2]))
def test_no_state_of_the_rank_is_nearer(
    gates: list[tuple[str, tuple[int, ...], float]], bond: int
) -> None:
    """What is proven of some beginning in its best order is true of one in the order given."""
    circuit = QuantumCircuit(QUBITS)
    for name, order, angle in gates:
        width = 1 if name in SINGLE else 2
        getattr(circuit, name)(*[angle] * ANGLES.get(name, 0), *order[:width])
    program = program_of(circuit)
    proven = least_lost_log2(program, bond)
    state, least = Statevector.from_label("0" * program.qubits), 1.0
    for gate in program.gates:
        step = QuantumCircuit(program.qubits)
        getattr(step, gate.name)(*gate.params, *gate.qubits)
        state = state.evolve(step)
        least = min(least, kept(state.data, bond))
    assert least <= 2.0**-proven + 1e-9


def layers(qubits: int, number: int, t_gates: int) -> QuantumCircuit:
    """Return layers of Clifford gates on random pairs, and T gates in the middle of them."""
    random = np.random.default_rng(9)
    circuit = QuantumCircuit(qubits)
    for layer in range(number):
        for qubit in range(qubits):
            getattr(circuit, ("h", "s", "sx")[random.integers(3)])(qubit)
        if layer == number // 2:
            for qubit in range(t_gates):
                circuit.t(qubit)
        for left, right in random.permutation(qubits).reshape(-1, 2).tolist():
            circuit.cx(left, right)
    return circuit


@pytest.mark.parametrize("t_gates", [0, 30, 60])
def test_far_clifford_layers_are_beyond_any_bond(t_gates: int) -> None:
    assert least_lost_log2(program_of(layers(200, 6, t_gates)), 256) > 20


def test_each_t_gate_may_give_back_less_than_a_doubling() -> None:
    none, some = (least_lost_log2(program_of(layers(60, 8, t)), 4) for t in (0, 10))
    assert some >= none - 10 * 0.772 - 4
    assert none > some > 0


def test_nothing_is_proven_of_what_fits() -> None:
    chain = QuantumCircuit(200)
    chain.h(0)
    for qubit in range(199):
        chain.cx(qubit, qubit + 1)
        chain.t(qubit)
    assert least_lost_log2(program_of(chain), 256) == 0
    assert least_lost_log2(program_of(layers(16, 8, 0)), 256) == 0
