"""Idle qubits: left out before anything is compiled or allocated (Qiskit/qiskit-aer#204)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

__all__ = ["SILENT", "without_idle"]

SILENT = frozenset({"barrier", "delay", "id", "global_phase"})
"""Operations that do nothing to an ideal qubit."""


def without_idle(
    circuit: QuantumCircuit, keep: frozenset[str] = frozenset()
) -> tuple[QuantumCircuit, tuple[int, ...]]:
    """Return the circuit on the qubits that something happens to, and their former indices.

    Args:
        keep: Of the operations that do nothing to an ideal qubit (``delay``, ``id``, ``barrier``),
            those that stay on the qubits that are left.
    """
    from qiskit import QuantumCircuit

    dropped = SILENT - keep
    active = {
        qubit
        for instruction in circuit.data
        if instruction.name not in SILENT
        for qubit in instruction.qubits
    }
    kept = tuple(index for index, qubit in enumerate(circuit.qubits) if qubit in active)
    made = QuantumCircuit([circuit.qubits[index] for index in kept], circuit.clbits, *circuit.cregs)
    for variable in circuit.iter_declared_vars():
        made.add_uninitialized_var(variable)
    for instruction in circuit.data:
        if instruction.name not in dropped and active.issuperset(instruction.qubits):
            made._append(instruction)  # it was checked when it was appended first
    return made, kept
