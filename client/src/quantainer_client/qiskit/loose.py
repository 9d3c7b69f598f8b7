"""Loose bits: classical bits that lie in no register, which Qiskit's samplers leave out."""

from __future__ import annotations

from itertools import count

from qiskit.circuit import ClassicalRegister

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qiskit import QuantumCircuit

__all__ = ["loose_name", "with_loose_register"]

_NAME = "loose_bits"


def loose_name(circuit: QuantumCircuit) -> str:
    """Return the name in results for the bits that lie in no register."""
    taken = {register.name for register in circuit.cregs}
    names = (f"{_NAME}_{number}" if number else _NAME for number in count())
    return next(name for name in names if name not in taken)


def with_loose_register(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return a circuit whose loose bits have a register; itself if it has none."""
    taken = {bit for register in circuit.cregs for bit in register}
    loose = [bit for bit in circuit.clbits if bit not in taken]
    if not loose:
        return circuit
    named = circuit.copy()
    named.add_register(ClassicalRegister(name=loose_name(circuit), bits=loose))
    return named
