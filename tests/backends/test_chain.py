"""Chains: another order of the qubits changes what a run takes, and nothing of what comes out."""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import pytest
from exact import check, distribution, memories, pub_of, run
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.quantum_info import SparsePauliOp, Statevector

from quantainer.backends.backend import Limits, Options
from quantainer.backends.qsim import Qsim
from quantainer.backends.simulators import entanglement
from quantainer.backends.simulators.chain import laid_out, orders, with_neighbours
from quantainer.backends.simulators.lowering import lower
from quantainer.backends.simulators.program import Program

ENGINES = ("aer", "panta", "qevedo")


def shuffled_ring(qubits: int, layers: int = 1, seed: int = 1) -> QuantumCircuit:
    """Return rings of turns and mixers, the ring in an order that says nothing."""
    order = np.random.default_rng(seed).permutation(qubits).tolist()
    circuit = QuantumCircuit(qubits, qubits)
    for qubit in range(qubits):
        circuit.ry(0.3 + 0.2 * qubit, qubit)
    for _ in range(layers):
        for left, right in zip(order, order[1:] + order[:1], strict=True):
            circuit.rzz(0.7, left, right)
        circuit.rx(0.5, range(qubits))
    circuit.measure(range(qubits), range(qubits))
    return circuit


def shuffled_lattice(rows: int, columns: int) -> QuantumCircuit:
    order = np.random.default_rng(2).permutation(rows * columns).reshape(rows, columns)
    circuit = QuantumCircuit(rows * columns, rows * columns)
    circuit.h(range(rows * columns))
    for lines in (order, order.T):
        for left, right in pairwise(lines):
            for one, other in zip(left.tolist(), right.tolist(), strict=True):
                circuit.rzz(0.4, one, other)
    circuit.rx(0.3, range(rows * columns))
    circuit.measure(range(rows * columns), range(rows * columns))
    return circuit


def far_pairs(qubits: int) -> QuantumCircuit:
    """Return pairs (i, i + n/2), each with an odd share of its own."""
    half = qubits // 2
    circuit = QuantumCircuit(qubits, qubits)
    for qubit in range(half):
        circuit.ry(0.4 + 0.3 * qubit, qubit)
        circuit.cx(qubit, qubit + half)
        circuit.ry(0.2, qubit + half)
    circuit.measure(range(qubits), range(qubits))
    return circuit


def tree(qubits: int) -> QuantumCircuit:
    order = np.random.default_rng(4).permutation(qubits).tolist()
    circuit = QuantumCircuit(qubits, qubits)
    circuit.ry(1.0, order[0])
    for number in range(1, qubits):
        circuit.cx(order[(number - 1) // 2], order[number])
        circuit.ry(0.1 * number, order[number])
    circuit.measure(range(qubits), range(qubits))
    return circuit


SMALL = {
    "ring": shuffled_ring(9),
    "lattice": shuffled_lattice(2, 5),
    "pairs": far_pairs(10),
    "tree": tree(9),
}


def program_of(circuit: QuantumCircuit) -> Program:
    return lower(circuit, ())


def offered(qsim: Qsim, engine: str) -> Options:
    if engine not in qsim.engines:
        pytest.skip(f"{engine} is not installed")
    return Options(method="mps", engine=engine)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", SMALL)
def test_against_exact(name: str, engine: str, qsim: Qsim, limits: Limits) -> None:
    options = offered(qsim, engine)
    result = run(qsim, SMALL[name], limits, shots=10_000, options=options)
    check(memories(result, SMALL[name].num_clbits), distribution(SMALL[name]))
    assert "reordered" in result.metadata["reason"]


@pytest.mark.parametrize("engine", ["aer", "panta"])
@pytest.mark.parametrize("name", SMALL)
def test_expectation_values_are_of_the_same_qubits(
    name: str, engine: str, qsim: Qsim, limits: Limits
) -> None:
    options = offered(qsim, engine)
    bare = SMALL[name].remove_final_measurements(inplace=False)
    n = bare.num_qubits
    operators = [SparsePauliOp.from_sparse_list([("Z", [q], 1.0)], n) for q in range(n)]
    operators += [SparsePauliOp.from_sparse_list([("XZY", [0, n // 2, n - 1], 1.0)], n)]
    pub = pub_of(
        bare, observables=tuple(operators), pairs=tuple((0, i) for i in range(len(operators)))
    )
    result = qsim.run(pub, qsim.plan(pub, options, limits), options, 1, 2)
    state = Statevector(bare)
    wanted = [state.expectation_value(operator).real for operator in operators]
    assert result.evs is not None
    np.testing.assert_allclose(result.evs, wanted, atol=1e-6)


@pytest.mark.parametrize("engine", ENGINES)
def test_bits_and_registers_stay_where_they_are(engine: str, qsim: Qsim, limits: Limits) -> None:
    """X on some qubits; every qubit measured, out of order, into two registers."""
    options = offered(qsim, engine)
    n = 12
    high, low = ClassicalRegister(5, "high"), ClassicalRegister(n - 5, "low")
    circuit = QuantumCircuit(QuantumRegister(n), high, low)
    ones = {0, 3, 4, 10}
    circuit.x(sorted(ones))
    for left in range(n // 2):
        circuit.cz(left, left + n // 2)
        circuit.rzz(0.3, left, left + n // 2)
    bit_of = [(5 * qubit + 2) % n for qubit in range(n)]
    circuit.measure(range(n), bit_of)
    result = run(qsim, circuit, limits, shots=20, options=options)
    assert "reordered" in result.metadata["reason"]
    assert set(memories(result, n)) == {sum(1 << bit_of[qubit] for qubit in ones)}


@pytest.mark.parametrize("engine", ENGINES)
def test_the_same_seed_gives_the_same_bits(engine: str, qsim: Qsim, limits: Limits) -> None:
    options = offered(qsim, engine)
    first = run(qsim, shuffled_ring(24), limits, shots=200, seed=7, options=options)
    again = run(Qsim(), shuffled_ring(24), limits, shots=200, seed=7, threads=1, options=options)
    other = run(qsim, shuffled_ring(24), limits, shots=200, seed=8, options=options)
    assert memories(first, 24) == memories(again, 24)
    assert memories(first, 24) != memories(other, 24)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("circuit", [shuffled_ring(60, 2), shuffled_lattice(3, 20), tree(63)])
def test_wide_circuits_in_a_bad_order_are_exact_and_fast(
    circuit: QuantumCircuit, engine: str, qsim: Qsim, limits: Limits
) -> None:
    """By the order given their bound is 2³⁰; some engines ran for minutes on it."""
    options = offered(qsim, engine)
    assert entanglement.bond_log2(program_of(circuit)) >= 30
    pub = pub_of(circuit, shots=100)
    plan = qsim.plan(pub, options, limits)
    assert plan.exact
    before = time.process_time()
    result = qsim.run(pub, plan, options, 1, 1)
    assert time.process_time() - before < 5
    assert result.metadata["truncation_error"] < 1e-9


def test_a_good_order_is_left_alone(qsim: Qsim, limits: Limits) -> None:
    circuit = QuantumCircuit(40)
    circuit.ry(0.4, range(40))
    for qubit in range(39):
        circuit.rzz(0.3, qubit, qubit + 1)
    circuit.measure_all()
    program = program_of(circuit)
    assert laid_out(program) is program
    assert with_neighbours(program) is program
    assert "reordered" not in run(qsim, circuit, limits).metadata["reason"]


def test_no_order_is_better_where_all_meet() -> None:
    circuit = QuantumCircuit(24)
    for left in range(24):
        for right in range(left):
            circuit.rzz(0.3, left, right)
    circuit.measure_all()
    program = program_of(circuit)
    assert laid_out(program) is program
    assert with_neighbours(program) is program


GATES = st.lists(
    st.tuples(
        st.sampled_from(["ry", "cx", "rzz", "ccx", "cp"]), st.permutations(range(7)).map(tuple)
    ),
    max_size=14,
)


def drawn(gates: list[tuple[str, tuple[int, ...]]]) -> QuantumCircuit:
    """Return a circuit of gates whose angles differ, each qubit measured into another bit."""
    circuit = QuantumCircuit(7, 7)
    for qubit in range(7):
        circuit.ry(0.4 + 0.1 * qubit, qubit)
    for number, (name, order) in enumerate(gates):
        angle = [0.2 + 0.1 * number] if name in ("ry", "rzz", "cp") else []
        width = {"ry": 1, "ccx": 3}.get(name, 2)
        getattr(circuit, name)(*angle, *order[:width])
    circuit.measure(range(7), [(3 * qubit + 1) % 7 for qubit in range(7)])
    return circuit


@settings(deadline=None, max_examples=60)
@given(GATES)
def test_every_order_holds_every_qubit_once(gates: list[tuple[str, tuple[int, ...]]]) -> None:
    for order in orders(program_of(drawn(gates))):
        assert sorted(order) == list(range(7))


@settings(deadline=None, max_examples=40)
@given(GATES)
def test_the_same_state_in_any_order(gates: list[tuple[str, tuple[int, ...]]]) -> None:
    """Laid out and with neighbours only, each bit has the chance that it had."""
    program = program_of(drawn(gates))
    moved = with_neighbours(laid_out(program))
    assert sorted(moved.origin) == sorted(program.origin)
    np.testing.assert_allclose(chances(moved), chances(program), atol=1e-9)


def chances(program: Program) -> np.ndarray:
    """Return the probability of each classical memory by Qiskit's state vector."""
    circuit = QuantumCircuit(program.qubits)
    for gate in program.gates:
        getattr(circuit, gate.name)(*gate.params, *gate.qubits)
    assert program.readout is not None
    found = np.zeros(1 << program.clbits)
    for state, chance in enumerate(Statevector(circuit).probabilities()):
        bits = [state >> program.readout.qubits[index] & 1 for _, index in program.readout.columns]
        clbits = [clbit for clbit, _ in program.readout.columns]
        found[sum(bit << clbit for bit, clbit in zip(bits, clbits, strict=True))] += chance
    return found
