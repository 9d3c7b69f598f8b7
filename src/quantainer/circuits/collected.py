"""Collected: a compiled program whose marks have become chains of gates again.

Chains are joined with the gates that came to lie beside them, and shortened; each of their angles
is an affine function of the source's.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit._accelerate.circuit import CircuitInstruction
from qiskit.circuit import Qubit

from quantainer.circuits.builder import STANDARD_GATES
from quantainer.circuits.chains import (
    WRITTEN,
    Chain,
    Link,
    Pattern,
    Weights,
    gathered,
    pattern_of,
)
from quantainer.circuits.runs import SX, X
from quantainer_client.columns import GATES, Columns

__all__ = ["Collected", "collected"]

_JOINS, _BEYOND = -1, -2
_JOINING = {True: {"delay", "rz", "sx", "x"}, False: {"delay", "rz"}}
"""What joins a chain, if gates may be taken away, and if not."""
_PLAIN = {name for name, (_, params) in GATES.items() if not params} | {"reset", "barrier"}
_FIXED: dict[str, Chain] = {
    "sx": ((Link("sx", (), SX, 0),), ()),
    "x": ((Link("x", (), X, 0),), ()),
}


@dataclass(frozen=True, slots=True)
class Collected:
    """A compiled circuit without its angles.

    Attributes:
        columns: All of it but the free terms.
        first: First term of each angle that is free.
        more: All further terms.
        program: Its wires.
        operations: Of the program; wherever an angle belongs the qubit that is turned.
    """

    columns: Columns
    first: Weights
    more: Weights
    program: QuantumCircuit
    operations: list[Any]

    def filled(self, angles: NDArray[np.float64]) -> QuantumCircuit:
        """Return the program with its angles: what its columns would become, in less time."""
        turn, operations = STANDARD_GATES["rz"], self.operations.copy()
        kinds = np.frombuffer(self.columns.kinds, dtype=np.uint16)
        rotations = np.flatnonzero(kinds == WRITTEN.index("rz"))
        for place, angle in zip(rotations.tolist(), angles.tolist(), strict=True):
            at = (operations[place],)
            operations[place] = CircuitInstruction.from_standard(turn, at, (angle,))
        program = QuantumCircuit(global_phase=self.program.global_phase)
        program.add_bits(self.program.qubits)
        program.add_bits(self.program.clbits)
        for register in self.program.cregs:
            program.add_register(register)
        program._data.extend(operations)
        return program


def collected(program: QuantumCircuit, chains: list[Chain], level: int) -> Collected | None:
    """Return a compiled program with the chains put back.

    ``None`` if it has operations beyond those of the columnar form.

    Args:
        program: What was compiled.
        chains: What each mark stands for.
        level: At level 0 no gate is taken away.
    """
    tidy = level > 0
    columns = Columns(program.num_qubits, program.num_clbits)
    columns.global_phase = float(program.global_phase)
    clbit_at = {bit: index for index, bit in enumerate(program.clbits)}
    columns.registers = [
        (register.name, [clbit_at[bit] for bit in register]) for register in program.cregs
    ]
    steps = _steps(program, columns, tidy=tidy)
    if (steps.kinds == _BEYOND).any():
        return None
    found = _joined(steps, chains)
    patterns = [pattern_of(links, tidy=tidy) for links, _ in found.chains]
    operations = _write(columns, program.qubits, steps, found, patterns)
    constants, first, more = gathered(patterns, [slots for _, slots in found.chains])
    columns.params = array("d", constants)
    return Collected(columns, first, more, program, operations)


@dataclass(frozen=True, slots=True)
class _Steps:
    """A program's operations.

    Attributes:
        operations: They themselves.
        kinds: Kind of each in the columns, ``_JOINS`` or ``_BEYOND``.
        wires: Qubits of each.
        operands: The same, with the bits that they are measured into.
    """

    operations: list[Any]
    kinds: NDArray[np.intp]
    wires: list[tuple[int, ...]]
    operands: list[tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class _Joined:
    """Chains of a compiled program, in the order of their first operations.

    Attributes:
        chains: They themselves.
        steps: Number of the first operation of each.
        wires: Qubit of each.
    """

    chains: list[Chain]
    steps: NDArray[np.intp]
    wires: NDArray[np.intp]


class _Numbers(dict[tuple[str, tuple[Qubit, ...]], int]):
    """Numbers operations; those that are equal but for angles and classical bits share one.

    Attributes:
        wires: Qubits of each number.
        kinds: Kind of each number in the columns, ``_JOINS`` or ``_BEYOND``.
        measures: Kind of measurements.
    """

    def __init__(self, columns: Columns, qubits: list[Qubit], *, tidy: bool) -> None:
        super().__init__()
        self.wires: list[tuple[int, ...]] = []
        self.kinds: list[int] = []
        self.measures = columns.kind("measure", 1, 1)
        self._columns, self._joining = columns, _JOINING[tidy]
        self._place = {bit: index for index, bit in enumerate(qubits)}

    def __missing__(self, key: tuple[str, tuple[Qubit, ...]]) -> int:
        name, qubits = key
        if name in self._joining:
            kind = _JOINS
        elif name == "measure":
            kind = self.measures
        else:
            kind = self._columns.kind(name, len(qubits)) if name in _PLAIN else _BEYOND
        self[key] = number = len(self.kinds)
        self.kinds.append(kind)
        self.wires.append(tuple([self._place[bit] for bit in qubits]))
        return number


def _steps(program: QuantumCircuit, columns: Columns, *, tidy: bool) -> _Steps:
    for name in WRITTEN:  # so that their kinds are those of patterns
        columns.kind(name, 1, 0, STANDARD_GATES[name].num_params)
    numbers = _Numbers(columns, program.qubits, tidy=tidy)
    operations = list(program._data)
    found = [numbers[step.name, step.qubits] for step in operations]
    wires = [numbers.wires[number] for number in found]
    kinds = np.array(numbers.kinds, dtype=np.intp)[found]
    operands = wires.copy()
    clbit_at = {bit: index for index, bit in enumerate(program.clbits)}
    for place in np.flatnonzero(kinds == numbers.measures).tolist():
        operands[place] += (clbit_at[operations[place].clbits[0]],)
    return _Steps(operations, kinds, wires, operands)


def _joined(steps: _Steps, chains: list[Chain]) -> _Joined:
    """Join what follows one another on a qubit."""
    wires = np.array(list(chain.from_iterable(steps.wires)), dtype=np.intp)
    places = np.repeat(np.arange(len(steps.wires)), [len(some) for some in steps.wires])
    order = np.argsort(wires, kind="stable")
    wires, places = wires[order], places[order]
    joins = steps.kinds[places] == _JOINS
    follows = np.zeros_like(joins)
    follows[1:] = joins[1:] & joins[:-1] & (wires[1:] == wires[:-1])
    heads = np.flatnonzero(joins & ~follows)
    rank = np.argsort(places[heads], kind="stable")
    found: list[Chain] = []
    for place, follows_on in zip(places[joins].tolist(), follows[joins].tolist(), strict=True):
        links, slots = _chain(steps.operations[place], chains)
        if follows_on:
            before = found[-1]
            found[-1] = (*before[0], *links), (*before[1], *slots)
        else:
            found.append((links, slots))
    heads = heads[rank]
    return _Joined([found[number] for number in rank.tolist()], places[heads], wires[heads])


def _chain(instruction: Any, chains: list[Chain]) -> Chain:
    name = instruction.name
    if name == "delay":
        return chains[int(instruction.params[0])]
    return _FIXED.get(name) or _turned(instruction.params[0])


@lru_cache(maxsize=4096)
def _turned(angle: float) -> Chain:
    return (Link("rz", (angle,), [(angle, ())], 0),), ()


def _write(
    columns: Columns,
    qubits: list[Qubit],
    steps: _Steps,
    found: _Joined,
    patterns: list[Pattern],
) -> list[Any]:
    """Write the columns but for angles; return the operations."""
    used, rows = np.unique(found.wires, return_inverse=True)
    operations, operands = steps.operations.copy(), steps.operands.copy()
    for wire in used.tolist():
        at = (qubits[wire],)
        fixed = [CircuitInstruction.from_standard(STANDARD_GATES[n], at, ()) for n in WRITTEN[1:]]
        operations += [qubits[wire], *fixed]
        operands += [(wire,)] * len(WRITTEN)

    kept = steps.kinds != _JOINS
    counts = kept.astype(np.intp)
    counts[found.steps] = lengths = np.array([len(p.gates) for p in patterns], dtype=np.intp)
    starts = np.cumsum(counts) - counts
    gates = np.array(list(chain.from_iterable([p.gates for p in patterns])), dtype=np.intp)
    inner = np.arange(len(gates)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    places = np.repeat(starts[found.steps], lengths) + inner

    kinds = np.empty(counts.sum(), dtype=np.uint16)
    kinds[starts[kept]], kinds[places] = steps.kinds[kept], gates
    chosen = np.empty(len(kinds), dtype=np.intp)
    chosen[starts[kept]] = np.flatnonzero(kept)
    chosen[places] = len(kept) + np.repeat(len(WRITTEN) * rows, lengths) + gates
    order = chosen.tolist()
    columns.kinds = array("H", kinds.tobytes())
    columns.operands = array("I", chain.from_iterable([operands[place] for place in order]))
    return [operations[place] for place in order]
