"""Verbatim: free angles that pass through a compiler as they are, whatever they are.

Where a target's gates are SX, X, rotations about Z, and CX in both directions, chains can be
written in the target's gates before compiling. Routing adds CX only, and then no pass has anything
to do with an angle: the same structure becomes the same circuit, with each angle somewhere in it.
So the first circuit of a structure is compiled with its own angles, at the compiler's own speed,
and the template is made when somebody has use for it, from where the angles have gone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit._accelerate.circuit import CircuitInstruction
from qiskit.circuit import Qubit

from quantainer.circuits.builder import STANDARD_GATES, Builder
from quantainer.circuits.chains import TURNS, Link, Pattern, Weights, gathered, pattern_of
from quantainer.circuits.proxy import WIDE
from quantainer.circuits.steps import columns_of
from quantainer.circuits.strung import Strung
from quantainer.circuits.target import ways_of
from quantainer.core.target import TargetFacts
from quantainer_client.columns import GATES, Columns

__all__ = ["Placed", "Written", "fits_verbatim", "placed", "turned", "written"]

_TURNING = {name for name, (_, params) in GATES.items() if params}


def fits_verbatim(target: TargetFacts, level: int) -> bool:
    """Tell whether a compiler has nothing to do with one-qubit gates once they are the target's.

    At level 0 gates are not joined, at levels 2 and 3 rotations move through other gates.
    """
    gates = set(target.basis_gates)
    ways = ways_of(target, "cx")
    return (
        level == 1
        and {"sx", "x", "rz"} <= gates
        and gates & _TURNING == {"rz"}
        and gates & WIDE == {"cx"}
        and all((b, a) in ways for a, b in ways)
    )


@dataclass(frozen=True, slots=True)
class Written:
    """A circuit written in a target's one-qubit gates.

    Attributes:
        builder: Of its program; a rotation is the qubit that is turned.
        constants: Constant of each rotation's angle.
        first: First term of each angle that is free: rotation, source slot, weight.
        more: All further terms.
    """

    builder: Builder
    constants: NDArray[np.float64]
    first: Weights
    more: Weights

    def angles(self, source: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the angle of each rotation for the source's angles."""
        found = self.constants.copy()
        for rotations, slots, weights in (self.first, self.more):
            np.add.at(found, rotations, weights * source[slots])
        return found

    def program(self, angles: NDArray[np.float64]) -> QuantumCircuit:
        """Return the program with an angle for each rotation."""
        operations = self.builder.operations
        turn, make = STANDARD_GATES["rz"], CircuitInstruction.from_standard
        values = iter(angles.tolist())
        self.builder.operations = [
            make(turn, (step,), (next(values),)) if type(step) is Qubit else step
            for step in operations
        ]
        program = self.builder.finish()
        self.builder.operations = operations
        return program

    def tells(self, angles: NDArray[np.float64]) -> bool:
        """Tell whether every free angle differs from all other angles."""
        counts = Counter(values := angles.tolist())
        return all(counts[values[rotation]] == 1 for rotation in self.first[0].tolist())


def written(columns: Columns, free: Sequence[bool]) -> Written | None:
    """Write a circuit in SX, X and rotations about Z; ``None`` if it has feedback or matrices.

    Args:
        columns: The circuit.
        free: Which of its angles are free, for each slot.
    """
    writer = _Writer(columns)
    if not writer.read(columns, free):
        return None
    constants, first, more = gathered(writer.patterns, writer.slots)
    return Written(writer.builder, np.array(constants, dtype=np.float64), first, more)


class _Writer(Strung):
    """Writes chains out."""

    def __init__(self, columns: Columns) -> None:
        super().__init__(columns, joins=True, splits=True)
        self.patterns: list[Pattern] = []
        self.slots: list[tuple[int, ...]] = []
        self._gates: list[tuple[Any, ...]] = [
            (
                qubit,
                *(
                    CircuitInstruction.from_standard(STANDARD_GATES[name], (qubit,), ())
                    for name in TURNS.names[1:]
                ),
            )
            for qubit in self.builder.qubits
        ]

    def end(self, wire: int, links: tuple[Link, ...], slots: tuple[int, ...]) -> None:
        """Write a chain."""
        pattern = pattern_of(links, tidy=True)
        gates = self._gates[wire]
        self.builder.operations += [gates[gate] for gate in pattern.gates]
        self.patterns.append(pattern)
        self.slots.append(slots)


@dataclass(frozen=True, slots=True)
class Placed:
    """Where the rotations of a circuit have gone.

    Attributes:
        columns: The compiled circuit, with the constants of its angles.
        first: First term of each angle that is free.
        more: All further terms.
    """

    columns: Columns
    first: Weights
    more: Weights


def placed(source: Written, angles: NDArray[np.float64], compiled: QuantumCircuit) -> Placed | None:
    """Find each rotation of a circuit in what it was compiled to, by its angle.

    ``None`` if the compiler did more than place them.

    Args:
        source: The circuit.
        angles: Those it was compiled with: see :meth:`Written.tells`.
        compiled: What it was compiled to.
    """
    columns = columns_of(compiled)
    if columns is None or len(columns.params) != len(angles):
        return None
    number = {angle: index for index, angle in enumerate(angles.tolist())}
    found = [number.get(angle) for angle in columns.params]
    if None in found:
        return None
    rotations = np.array(found, dtype=np.intp)
    place = np.full(len(angles), -1)
    place[rotations] = np.arange(len(rotations))
    columns.params = source.constants[rotations]

    def moved(terms: Weights) -> Weights:
        return place[terms[0]], terms[1], terms[2]

    first, more = moved(source.first), moved(source.more)
    return Placed(columns, first, more) if (first[0] >= 0).all() else None


def turned(compiled: QuantumCircuit, angles: NDArray[np.float64]) -> QuantumCircuit:
    """Return a program whose rotations are by their own numbers with an angle for each number."""
    make, turn = CircuitInstruction.from_standard, STANDARD_GATES["rz"]
    values = angles.tolist()
    program = compiled.copy_empty_like()
    program._data.extend(
        [
            make(turn, step.qubits, (values[int(step.params[0])],)) if step.name == "rz" else step
            for step in compiled._data
        ]
    )
    return program
