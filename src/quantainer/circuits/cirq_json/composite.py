"""Composite: Cirq's gates that are made of others, by Cirq's own definitions."""

from __future__ import annotations

import cmath
import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from quantainer.circuits.builder import Block
from quantainer.circuits.cirq_json.values import UnknownTypeError, complex_number

if TYPE_CHECKING:
    from quantainer.circuits.cirq_json.gates import GateReader

__all__ = ["fourier", "pauli_phasor", "pauli_string", "phase_gradient"]

_TO_Z = {"X": ("h", "h"), "Y": ("sx", "sxdg"), "Z": (None, None)}
"""Gates before and after, between which a Pauli is Z."""


def fourier(reader: GateReader, block: Block, gate: dict[str, Any], at: Sequence[int]) -> None:
    """Append the quantum Fourier transform; the first qubit is the highest bit."""
    size = len(at)
    block.room(size * (size + 1) // 2)
    for index, qubit in enumerate(at):
        for distance in range(1, index + 1):
            angle = math.pi / 2**distance if distance < 1000 else 0.0
            reader.standard(block, "cp", (qubit, at[index - distance]), angle)
        reader.standard(block, "h", (qubit,))
    if not gate.get("without_reverse", False):
        for index in range(size // 2):
            reader.standard(block, "swap", (at[index], at[size - 1 - index]))


def phase_gradient(
    reader: GateReader, block: Block, gate: dict[str, Any], at: Sequence[int]
) -> None:
    """Append Z to the power of the exponent on the first qubit, half of it on the next, …"""
    exponent = reader.number(gate, "exponent", 1.0)
    for qubit in at:
        reader.standard(block, "p", (qubit,), exponent * math.pi)
        exponent = exponent / 2


def pauli_string(reader: GateReader, block: Block, gate: dict[str, Any], at: Sequence[int]) -> Any:
    """Append a product of Paulis; return the phase of its coefficient."""
    coefficient = complex_number(gate["coefficient"])
    if abs(abs(coefficient) - 1) > 1e-9:
        raise UnknownTypeError("PauliString", "a PauliString that is not unitary")
    for letter, qubit in zip(gate["letters"], at, strict=True):
        if letter != "I":
            reader.standard(block, letter.lower(), (qubit,))
    return cmath.phase(coefficient)


def pauli_phasor(reader: GateReader, block: Block, gate: dict[str, Any], at: Sequence[int]) -> Any:
    """Append phases on the two eigenspaces of a product of Paulis; return their mean."""
    sign = complex_number(gate["coefficient"])
    if abs(sign - 1) > 1e-9 and abs(sign + 1) > 1e-9:
        raise UnknownTypeError("PauliString", "a phasor of a PauliString that is not ±1")
    negative = reader.number(gate, "exponent_neg", 1.0) * math.pi
    positive = reader.number(gate, "exponent_pos", 0.0) * math.pi
    if sign.real < 0:
        negative, positive = positive, negative
    letters = [(c, qubit) for c, qubit in zip(gate["letters"], at, strict=True) if c != "I"]
    if not letters:
        return positive
    qubits = [qubit for _, qubit in letters]
    ladder = list(itertools.pairwise(qubits))
    _into_basis(reader, block, letters, 0)
    for control, target in ladder:
        reader.standard(block, "cx", (control, target))
    reader.standard(block, "rz", (qubits[-1],), negative - positive)
    for control, target in reversed(ladder):
        reader.standard(block, "cx", (control, target))
    _into_basis(reader, block, letters, 1)
    return (negative + positive) / 2


def _into_basis(
    reader: GateReader, block: Block, letters: Sequence[tuple[str, int]], way: int
) -> None:
    for letter, qubit in letters:
        name = _TO_Z[letter][way]
        if name is not None:
            reader.standard(block, name, (qubit,))
