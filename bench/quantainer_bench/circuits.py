"""The circuits that every benchmark shares, each measured at its end."""

from __future__ import annotations

import numpy as np
from qiskit import QuantumCircuit

__all__ = ["dynamic", "ghz", "near_clifford", "random_dense", "weakly_entangled"]


def ghz(qubits: int) -> QuantumCircuit:
    """Return a GHZ state: one Hadamard and a chain of CX."""
    circuit = QuantumCircuit(qubits, qubits)
    circuit.h(0)
    for qubit in range(qubits - 1):
        circuit.cx(qubit, qubit + 1)
    return _measured(circuit)


def random_dense(qubits: int, layers: int = 20, seed: int = 7) -> QuantumCircuit:
    """Return ``layers`` layers of a random U3 on every qubit and a brick of CZ."""
    rng = np.random.default_rng(seed)
    circuit = QuantumCircuit(qubits, qubits)
    for layer in range(layers):
        for qubit in range(qubits):
            circuit.u(*rng.uniform(0, 2 * np.pi, 3), qubit)
        for qubit in range(layer % 2, qubits - 1, 2):
            circuit.cz(qubit, qubit + 1)
    return _measured(circuit)


def weakly_entangled(qubits: int = 30, layers: int = 10, seed: int = 7) -> QuantumCircuit:
    """Return H on all, then layers of a brick of RZZ(0.1 … 0.3) and RX on every qubit."""
    rng = np.random.default_rng(seed)
    circuit = QuantumCircuit(qubits, qubits)
    circuit.h(range(qubits))
    for layer in range(layers):
        for qubit in range(layer % 2, qubits - 1, 2):
            circuit.rzz(rng.uniform(0.1, 0.3), qubit, qubit + 1)
        for qubit in range(qubits):
            circuit.rx(rng.uniform(0, np.pi), qubit)
    return _measured(circuit)


def near_clifford(
    qubits: int = 40, t_gates: int = 10, layers: int = 20, seed: int = 7
) -> QuantumCircuit:
    """Return a random Clifford brick with ``t_gates`` T gates strewn in."""
    rng = np.random.default_rng(seed)
    circuit = QuantumCircuit(qubits, qubits)
    t_places = set(rng.choice(layers * qubits, size=t_gates, replace=False).tolist())
    for layer in range(layers):
        for qubit in range(qubits):
            getattr(circuit, ("h", "s", "sx", "id")[rng.integers(4)])(qubit)
            if layer * qubits + qubit in t_places:
                circuit.t(qubit)
        for qubit in range(layer % 2, qubits - 1, 2):
            circuit.cz(qubit, qubit + 1)
    return _measured(circuit)


def dynamic(qubits: int = 20, measurements: int = 10, seed: int = 7) -> QuantumCircuit:
    """Return random layers with mid-circuit measurements that each feed an X forward."""
    rng = np.random.default_rng(seed)
    circuit = QuantumCircuit(qubits, qubits)
    for step in range(measurements):
        for qubit in range(qubits):
            circuit.u(*rng.uniform(0, 2 * np.pi, 3), qubit)
        for qubit in range(step % 2, qubits - 1, 2):
            circuit.cz(qubit, qubit + 1)
        circuit.measure(step, step)
        with circuit.if_test((circuit.clbits[step], 1)):
            circuit.x((step + 1) % qubits)
    return _measured(circuit)


def _measured(circuit: QuantumCircuit) -> QuantumCircuit:
    circuit.measure(range(circuit.num_qubits), range(circuit.num_qubits))
    return circuit
