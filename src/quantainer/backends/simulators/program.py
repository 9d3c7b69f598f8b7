"""Program: a circuit made flat, the one form that every engine's adapter translates from.

Qubits are renumbered so that only those are left that matter; gates carry Qiskit's standard names
or a matrix; measurements at the end are taken out and become the :class:`Readout`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from quantainer.backends.simulators.shots import bits_of_states

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from qiskit import QuantumCircuit

    from quantainer.backends.simulators.condition import Condition

__all__ = [
    "Assign",
    "Branch",
    "Gate",
    "Measure",
    "Operation",
    "Program",
    "Readout",
    "Repeat",
    "Reset",
]


class Gate(NamedTuple):
    """A unitary: a standard gate by Qiskit's name, or ``unitary`` with its matrix.

    ``matrix`` is in Qiskit's order: the first qubit is the lowest bit of the index.
    """

    name: str
    qubits: tuple[int, ...]
    params: tuple[Any, ...] = ()
    matrix: NDArray[np.complex128] | None = None


class Measure(NamedTuple):
    """A measurement in the middle of the circuit."""

    qubit: int
    clbit: int


class Reset(NamedTuple):
    """A reset to |0⟩."""

    qubit: int


class Assign(NamedTuple):
    """A value computed from the classical memory and written into some of its bits."""

    bits: tuple[int, ...]
    evaluate: Callable[[int], int]


class Branch(NamedTuple):
    """One of two bodies, by the measured bits."""

    condition: Condition
    then: tuple[Operation, ...]
    otherwise: tuple[Operation, ...] = ()


class Repeat(NamedTuple):
    """A body repeated while a condition of the measured bits holds."""

    condition: Condition
    body: tuple[Operation, ...]


Operation = Gate | Measure | Reset | Assign | Branch | Repeat


@dataclass(frozen=True, slots=True)
class Readout:
    """Which qubit each classical bit shows at the end; the only place where bit order is decided.

    Attributes:
        clbits: Number of classical bits of the circuit.
        qubits: The measured qubits, each once, ascending.
        columns: For each written classical bit ``(clbit, index into qubits)``.
    """

    clbits: int
    qubits: tuple[int, ...]
    columns: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, clbits: int, source: dict[int, int]) -> Readout:
        """Build it from a map of classical bit to qubit."""
        qubits = tuple(sorted(set(source.values())))
        place = {qubit: index for index, qubit in enumerate(qubits)}
        columns = tuple((clbit, place[qubit]) for clbit, qubit in sorted(source.items()))
        return cls(clbits, qubits, columns)

    @property
    def plain(self) -> bool:
        """Classical bit ``i`` is measured qubit ``i``, for all of both."""
        every = range(self.clbits)
        return len(self.qubits) == self.clbits and self.columns == tuple((i, i) for i in every)

    def pack(self, bits: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return packed shots from ``bits[shots, len(qubits)]`` of 0 and 1."""
        if self.plain:
            return np.packbits(bits, axis=1, bitorder="little")
        memory = np.zeros((len(bits), self.clbits), dtype=np.uint8)
        if self.columns:
            clbits, places = np.array(self.columns).T
            memory[:, clbits] = bits[:, places]
        return np.packbits(memory, axis=1, bitorder="little")

    def pack_states(self, states: NDArray[np.uint64]) -> NDArray[np.uint8]:
        """Return packed shots from basis states of all qubits: bit ``q`` of each is qubit ``q``."""
        return self.pack(bits_of_states(states, max(self.qubits, default=0) + 1)[:, self.qubits])


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """A lowered circuit.

    Attributes:
        qubits: Number of qubits left.
        origin: For each of them, its index in the circuit.
        clbits: Number of classical bits of the circuit; run-time variables lie behind them.
        body: Operations; ``None`` if the circuit uses control flow that only Qiskit's own form
        holds.
        readout: The measurement at the end; ``None`` if measurements happen on the way.
        written: Classical bits that some measurement writes.
        parameters: Names of free parameters, in the order of ``Facts.parameters``.
        source: The circuit itself.
    """

    qubits: int
    origin: tuple[int, ...]
    clbits: int
    body: tuple[Operation, ...] | None
    readout: Readout | None
    written: frozenset[int]
    source: QuantumCircuit
    parameters: tuple[str, ...] = ()

    @property
    def terminal(self) -> bool:
        """All measurements are at the end: one final state holds every answer."""
        return self.readout is not None

    @property
    def steps(self) -> tuple[Operation, ...]:
        """The body with the measurements at the end back in it."""
        assert self.body is not None
        if self.readout is None:
            return self.body
        qubits = self.readout.qubits
        final = (Measure(qubits[place], clbit) for clbit, place in self.readout.columns)
        return (*self.body, *final)

    @property
    def gates(self) -> tuple[Gate, ...]:
        """The gates of a terminal program."""
        assert self.readout is not None
        assert self.body is not None
        return self.body  # type: ignore[return-value]
