"""Ending: the measurements of a circuit that nothing follows.

Qiskit's own ``remove_final_measurements`` also takes those away whose bit a condition reads later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.circuit import Clbit, Qubit

__all__ = ["without_ending"]


def without_ending(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return a copy without the measurements and barriers at the end; all bits stay.

    A measurement is at the end if neither its qubit is used again nor its bit read.
    """
    used: set[Qubit] = set()
    read: set[Clbit] = set()
    kept = []
    for instruction in reversed(circuit.data):
        qubits = instruction.qubits
        if instruction.name == "barrier" and used.isdisjoint(qubits):
            continue
        if instruction.name == "measure":
            if used.isdisjoint(qubits) and read.isdisjoint(instruction.clbits):
                continue
            read.difference_update(instruction.clbits)
        else:
            read.update(instruction.clbits)
        if instruction.name != "barrier":
            used.update(qubits)
        kept.append(instruction)
    bare = circuit.copy_empty_like()
    for instruction in reversed(kept):
        bare._append(instruction)
    return bare
