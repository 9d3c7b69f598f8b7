"""Measuring a stabilizer state: the affine subspace of outcomes against Stim's own sampling."""

import numpy as np
import pytest
import stim
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.quantum_info import Statevector
from qiskit.quantum_info import random_clifford as qiskit_clifford

from quantainer.backends.simulators.affine import Affine
from quantainer.backends.simulators.lowering import lower
from quantainer.backends.simulators.stim import Stim

SHOTS = 20_000
ONE_IN_A_MILLION = 4.9  # standard deviations


def prepared(circuit):
    return Stim().prepare(lower(circuit), "stabilizer", "double")


def random_clifford(qubits, seed):
    return qiskit_clifford(qubits, seed=seed).to_circuit()


def as_integers(samples, clbits):
    bits = np.unpackbits(samples, axis=1, count=clbits, bitorder="little")
    return bits @ (1 << np.arange(clbits))


def packed(rows):
    return np.array(rows, dtype=np.uint8)


@given(
    seed=st.integers(0, 2**32 - 1),
    qubits=st.integers(1, 7),
    data=st.data(),
)
@settings(max_examples=60, deadline=None)
def test_each_outcome_that_is_possible_is_as_likely_as_the_others(seed, qubits, data):
    order = data.draw(st.permutations(range(qubits)))
    measured = order[: data.draw(st.integers(1, qubits))]
    circuit = QuantumCircuit(qubits, len(measured) + 1)  # one bit is never written
    circuit.compose(random_clifford(qubits, seed), inplace=True)
    for clbit, qubit in enumerate(measured):
        circuit.measure(qubit, clbit)
    exact = Statevector(circuit.remove_final_measurements(inplace=False)).probabilities(measured)
    samples = prepared(circuit).sample(SHOTS, seed, 1).packed
    counts = np.bincount(as_integers(samples, len(measured) + 1), minlength=2 * len(exact))
    assert not counts[len(exact) :].any()
    assert not counts[: len(exact)][exact < 1e-9].any()
    spread = np.sqrt(SHOTS * exact * (1 - exact))
    assert (np.abs(counts[: len(exact)] - SHOTS * exact) <= ONE_IN_A_MILLION * spread + 1e-6).all()


@pytest.mark.parametrize("qubits", [1, 8, 9, 64, 65, 200])
def test_the_outcomes_of_stim_are_of_the_same_subspace(qubits):
    gates = random_clifford(qubits, 5) if qubits < 100 else ladder(qubits)
    circuit = gates.measure_all(inplace=False)
    lines = [f"{NAMES[step.operation.name]} {targets(circuit, step)}" for step in gates.data]
    theirs = stim.Circuit("\n".join([*lines, "M " + " ".join(map(str, range(qubits)))]))
    drawn = theirs.compile_sampler(seed=3).sample(500, bit_packed=True)
    ours = prepared(circuit).sample(500, 3, 1).packed
    assert span(ours) == span(np.concatenate([ours, drawn]))
    assert span(drawn) == span(np.concatenate([ours, drawn]))


NAMES = {
    **{"h": "H", "s": "S", "sdg": "S_DAG", "x": "X", "y": "Y", "z": "Z"},
    **{"cx": "CX", "cz": "CZ", "swap": "SWAP"},
}


def targets(circuit, step):
    return " ".join(str(circuit.find_bit(qubit).index) for qubit in step.qubits)


def ladder(qubits):
    circuit = QuantumCircuit(qubits)
    for qubit in range(0, qubits, 3):
        circuit.h(qubit)
    for qubit in range(qubits - 1):
        circuit.cx(qubit, qubit + 1)
    return circuit


def span(samples):
    """Return how many dimensions the differences of samples have."""
    basis = {}
    for row in samples ^ samples[0]:
        rest = int.from_bytes(row.tobytes(), "little")
        while rest and rest.bit_length() in basis:
            rest ^= basis[rest.bit_length()]
        if rest:
            basis[rest.bit_length()] = rest
    return len(basis)


def test_one_outcome_needs_no_coin():
    one = Affine(packed([0b101]), np.zeros((0, 1), dtype=np.uint8))
    assert (one.sample(5000, 1) == 0b101).all()
    assert one.sample(5000, 1).shape == (5000, 1)


def test_dependent_vectors_count_once():
    once = Affine.spanned(packed([0, 0]), packed([[1, 0], [2, 1], [3, 1], [1, 0]]))
    seen = {tuple(row) for row in once.sample(1000, 9)}
    assert seen == {(0, 0), (1, 0), (2, 1), (3, 1)}


def test_blocks_are_independent_and_a_seed_repeats():
    coin = Affine(packed([0]), packed([[1]]))
    shots = coin.sample(3 * 4096 + 1, 7)
    assert (shots == coin.sample(3 * 4096 + 1, 7)).all()
    assert (shots != coin.sample(3 * 4096 + 1, 8)).any()
    assert (shots[:4096] != shots[4096:8192]).any()
    assert abs(int(shots.sum()) - len(shots) / 2) < ONE_IN_A_MILLION * np.sqrt(len(shots)) / 2


def test_resets_and_measurements_in_between_are_left_to_frames():
    circuit = QuantumCircuit(2, 1)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.reset(0)
    circuit.measure(1, 0)
    ones = prepared(circuit).sample(SHOTS, 1, 1).packed.sum()
    assert abs(ones - SHOTS / 2) < ONE_IN_A_MILLION * np.sqrt(SHOTS) / 2
