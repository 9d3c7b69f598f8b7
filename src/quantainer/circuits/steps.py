"""Steps: the operations of a program in arrays, read at half a microsecond each."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit._accelerate.circuit import CircuitInstruction
from qiskit.circuit import Qubit

from quantainer.circuits.builder import STANDARD_GATES
from quantainer.circuits.chains import TURNS, Alphabet
from quantainer.circuits.proxy import Spelling
from quantainer_client.columns import GATES, Columns

__all__ = ["BEYOND", "JOINS", "Steps", "columns_for", "columns_of", "steps_of"]

JOINS, BEYOND = -1, -2
_PLAIN = {name for name, (_, params) in GATES.items() if not params} | {"reset", "barrier"}


@dataclass(frozen=True, slots=True)
class Steps:
    """A program's operations.

    Attributes:
        operations: They themselves; a chain for what is not one of the program's own.
        kinds: Kind of each in the columns, ``JOINS`` or ``BEYOND``.
        wires: Qubits of each.
        operands: The same, with the bits that they are measured into.
    """

    operations: list[Any]
    kinds: NDArray[np.intp]
    wires: list[tuple[int, ...]]
    operands: list[tuple[int, ...]]


def columns_for(program: QuantumCircuit, alphabet: Alphabet = TURNS) -> Columns:
    """Return columns for a program's operations; their first kinds are those of the alphabet."""
    columns = Columns(program.num_qubits, program.num_clbits)
    columns.global_phase = float(program.global_phase)
    clbit_at = {bit: index for index, bit in enumerate(program.clbits)}
    columns.registers = [
        (register.name, [clbit_at[bit] for bit in register]) for register in program.cregs
    ]
    for name, params in zip(alphabet.names, alphabet.params, strict=True):
        columns.kind(name, 1, 0, params)
    return columns


def steps_of(
    program: QuantumCircuit,
    columns: Columns,
    joining: Collection[str],
    spelled: Callable[[tuple[int, ...]], Spelling] | None = None,
) -> Steps:
    """Return a program's operations.

    Args:
        program: The program.
        columns: From :func:`columns_for`; they are told of its kinds.
        joining: Names of the operations whose kind is ``JOINS``.
        spelled: What CX on two qubits is to be taken for.
    """
    numbers = _Numbers(columns, program.qubits, joining, spelled)
    operations = list(program._data)
    found = [numbers[step.name, step.qubits] for step in operations]
    if numbers.spellings:
        found, operations = _spelled(numbers.spellings, found, operations)
    wires = [numbers.wires[number] for number in found]
    kinds = np.array(numbers.kinds, dtype=np.intp)[found]
    operands = wires.copy()
    clbit_at = {bit: index for index, bit in enumerate(program.clbits)}
    for place in np.flatnonzero(kinds == numbers.measures).tolist():
        operands[place] += (clbit_at[operations[place].clbits[0]],)
    return Steps(operations, kinds, wires, operands)


def _spelled(
    spellings: dict[int, tuple[list[int], list[Any]]], numbers: list[int], operations: list[Any]
) -> tuple[list[int], list[Any]]:
    """Return numbers and operations with those in place of CX that it stands for."""
    spelled: tuple[list[int], list[Any]] = [], []
    for number, step in zip(numbers, operations, strict=True):
        found = spellings.get(number)
        if found is None:
            spelled[0].append(number)
            spelled[1].append(step)
        else:
            spelled[0].extend(found[0])
            spelled[1].extend(found[1])
    return spelled


def columns_of(program: QuantumCircuit) -> Columns | None:
    """Return the columns of a program whose only angles are those of RZ; ``None`` for others."""
    columns = columns_for(program)
    steps = steps_of(program, columns, ())
    if (steps.kinds == BEYOND).any():
        return None
    rotations = np.flatnonzero(steps.kinds == TURNS.names.index("rz")).tolist()
    columns.kinds = array("H", steps.kinds.astype(np.uint16).tobytes())
    columns.operands = array("I", chain.from_iterable(steps.operands))
    columns.params = array("d", [steps.operations[place].params[0] for place in rotations])
    return columns


class _Numbers(dict[tuple[str, tuple[Qubit, ...]], int]):
    """Numbers operations; those that are equal but for angles and classical bits share one.

    Attributes:
        wires: Qubits of each number.
        kinds: Kind of each number in the columns, ``JOINS`` or ``BEYOND``.
        measures: Kind of measurements.
        spellings: Numbers and operations that those of CX stand for.
    """

    def __init__(
        self,
        columns: Columns,
        qubits: list[Qubit],
        joining: Collection[str],
        spelled: Callable[[tuple[int, ...]], Spelling] | None,
    ) -> None:
        super().__init__()
        self.spellings: dict[int, tuple[list[int], list[Any]]] = {}
        self._qubits, self._spelled = qubits, spelled
        self.wires: list[tuple[int, ...]] = []
        self.kinds: list[int] = []
        self.measures = columns.kind("measure", 1, 1)
        self._columns, self._joining = columns, joining
        self._place = {bit: index for index, bit in enumerate(qubits)}

    def __missing__(self, key: tuple[str, tuple[Qubit, ...]]) -> int:
        name, qubits = key
        if name in self._joining:
            kind = JOINS
        elif name == "measure":
            kind = self.measures
        elif name in TURNS.names:
            kind = TURNS.names.index(name)
        else:
            kind = self._columns.kind(name, len(qubits)) if name in _PLAIN else BEYOND
        wires = tuple([self._place[bit] for bit in qubits])
        self[key] = number = self._number(kind, wires)
        if name == "cx" and self._spelled is not None:
            self.spellings[number] = self._spell(self._spelled(wires), wires)
        return number

    def _number(self, kind: int, wires: tuple[int, ...]) -> int:
        self.kinds.append(kind)
        self.wires.append(wires)
        return len(self.kinds) - 1

    def _spell(self, spelling: Spelling, pair: tuple[int, ...]) -> tuple[list[int], list[Any]]:
        numbers, operations = [], []
        for name, places, chain_ in spelling:
            wires = tuple([pair[place] for place in places])
            if chain_ is not None:
                numbers.append(self._number(JOINS, wires))
                operations.append(chain_)
                continue
            at = [self._qubits[wire] for wire in wires]
            numbers.append(self._number(self._columns.kind(name, len(wires)), wires))
            operations.append(CircuitInstruction.from_standard(STANDARD_GATES[name], at, ()))
        return numbers, operations
