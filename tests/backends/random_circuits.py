"""Random circuits of every kind of gate, with measurements in disorder."""

from __future__ import annotations

import numpy as np
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit.library import UnitaryGate, get_standard_gate_name_mapping
from qiskit.quantum_info import random_unitary

__all__ = ["clifford", "dense", "near_clifford", "with_feed_forward"]

_GATES = [
    gate
    for name, gate in get_standard_gate_name_mapping().items()
    if name not in ("measure", "reset", "delay", "barrier", "global_phase", "id")
]
_CLIFFORD = ("h", "s", "sdg", "x", "y", "z", "sx", "sxdg", "cx", "cy", "cz", "swap", "iswap")


def dense(seed: int) -> QuantumCircuit:
    """Return any gates, partly as matrices; some bits unwritten, some written twice."""
    random = np.random.default_rng(seed)
    circuit = _registers(random)
    for _ in range(int(random.integers(4, 16))):
        _any_gate(circuit, random)
    _measure_in_disorder(circuit, random)
    return circuit


def clifford(seed: int) -> QuantumCircuit:
    """Return Clifford gates only."""
    random = np.random.default_rng(seed)
    circuit = _registers(random)
    for _ in range(int(random.integers(6, 24))):
        _clifford_gate(circuit, random)
    _measure_in_disorder(circuit, random)
    return circuit


def near_clifford(seed: int) -> QuantumCircuit:
    """Return Clifford gates and one to six T gates."""
    random = np.random.default_rng(seed)
    circuit = _registers(random)
    for qubit in range(circuit.num_qubits):
        circuit.h(qubit)
    for _ in range(int(random.integers(1, 7))):
        for _ in range(4):
            _clifford_gate(circuit, random)
        circuit.t(int(random.integers(circuit.num_qubits)))
    for _ in range(4):
        _clifford_gate(circuit, random)
    _measure_in_disorder(circuit, random)
    return circuit


def with_feed_forward(seed: int, *, only_clifford: bool = False) -> QuantumCircuit:
    """Return measurements, resets and conditions on the way."""
    random = np.random.default_rng(seed)
    circuit = _registers(random, qubits=int(random.integers(2, 5)))
    gate = _clifford_gate if only_clifford else _any_gate
    n, m = circuit.num_qubits, circuit.num_clbits
    for _ in range(4):
        for _ in range(3):
            gate(circuit, random)
        circuit.measure(int(random.integers(n)), int(random.integers(m)))
        if random.random() < 0.3:
            circuit.reset(int(random.integers(n)))
        register = circuit.cregs[int(random.integers(len(circuit.cregs)))]
        target: object = register
        value = int(random.integers(2**register.size))
        if random.random() < 0.5:
            target, value = circuit.clbits[int(random.integers(m))], int(random.integers(2))
        with circuit.if_test((target, value)) as otherwise:
            gate(circuit, random)
        if random.random() < 0.5:
            with otherwise:
                circuit.x(int(random.integers(n)))
    _measure_in_disorder(circuit, random)
    return circuit


def _registers(random: np.random.Generator, qubits: int | None = None) -> QuantumCircuit:
    n = qubits or int(random.integers(1, 6))
    first = int(random.integers(1, n + 1))
    sizes = (first, n + 1 - first)
    registers = [ClassicalRegister(size, name) for size, name in zip(sizes, "ab", strict=True)]
    return QuantumCircuit(QuantumRegister(n, "q"), *registers)


def _any_gate(circuit: QuantumCircuit, random: np.random.Generator) -> None:
    n = circuit.num_qubits
    if random.random() < 0.1:
        k = int(random.integers(1, min(n, 3) + 1))
        matrix = random_unitary(2**k, seed=int(random.integers(2**31))).data
        circuit.append(UnitaryGate(matrix), _places(random, n, k))
        return
    fitting = [gate for gate in _GATES if gate.num_qubits <= n]
    template = fitting[int(random.integers(len(fitting)))]
    angles = random.uniform(-4, 4, len(template.params))
    circuit.append(type(template)(*angles), _places(random, n, template.num_qubits))


def _clifford_gate(circuit: QuantumCircuit, random: np.random.Generator) -> None:
    n = circuit.num_qubits
    name = _CLIFFORD[int(random.integers(8 if n == 1 else len(_CLIFFORD)))]
    getattr(circuit, name)(*_places(random, n, 1 if _CLIFFORD.index(name) < 8 else 2))


def _places(random: np.random.Generator, n: int, k: int) -> list[int]:
    return [int(qubit) for qubit in random.permutation(n)[:k]]


def _measure_in_disorder(circuit: QuantumCircuit, random: np.random.Generator) -> None:
    n, m = circuit.num_qubits, circuit.num_clbits
    qubits = random.permutation(n)[: int(random.integers(1, n + 1))]
    for qubit in qubits:
        circuit.measure(int(qubit), int(random.integers(m)))
