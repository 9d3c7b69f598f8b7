"""Collected: a compiled program whose marks have become runs of gates again.

Runs are joined with the gates that came to lie beside them, and shortened; each of their angles is
an affine function of the source's.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit._accelerate.circuit import CircuitInstruction
from qiskit.circuit import Qubit

from quantainer.circuits.builder import STANDARD_GATES
from quantainer.circuits.runs import SX, Run, X, joined, tidied, written
from quantainer_client.columns import GATES, Columns

__all__ = ["Collected", "Terms", "collected"]

_JOINS = -1
_PLAIN = {name for name, (_, params) in GATES.items() if not params} | {"reset", "barrier"}

Terms = list[tuple[int, tuple[tuple[int, float], ...]]]
"""``(compiled slot, ((source slot, weight), …))`` of each angle that is free."""


@dataclass(frozen=True, slots=True)
class Collected:
    """A compiled circuit without its angles.

    Attributes:
        columns: All of it but the free terms.
        terms: Slot and terms of each angle that is free.
        program: Its wires.
        operations: Of the program; wherever an angle belongs the qubit that is turned.
    """

    columns: Columns
    terms: Terms
    program: QuantumCircuit
    operations: list[Any]

    def filled(self, angles: NDArray[np.float64]) -> QuantumCircuit:
        """Return the program with its angles: what its columns would become, in less time."""
        values = iter(angles.tolist())
        turn, kept = STANDARD_GATES["rz"], self.operations
        operations = [
            CircuitInstruction.from_standard(turn, (step,), (next(values),))
            if type(step) is Qubit
            else step
            for step in kept
        ]
        program = QuantumCircuit(global_phase=self.program.global_phase)
        program.add_bits(self.program.qubits)
        program.add_bits(self.program.clbits)
        for register in self.program.cregs:
            program.add_register(register)
        program._data.extend(operations)
        return program


def collected(program: QuantumCircuit, runs: list[Run], level: int) -> Collected | None:
    """Return a compiled program with the runs put back.

    ``None`` if it has operations beyond those of the columnar form.

    Args:
        program: What was compiled.
        runs: What each mark stands for.
        level: At level 0 no gate is taken away.
    """
    columns = Columns(program.num_qubits, program.num_clbits)
    columns.global_phase = float(program.global_phase)
    qubit_at = {bit: index for index, bit in enumerate(program.qubits)}
    clbit_at = {bit: index for index, bit in enumerate(program.clbits)}
    columns.registers = [
        (register.name, [clbit_at[bit] for bit in register]) for register in program.cregs
    ]
    writer = _Writer(columns, program.qubits, tidy=level > 0)
    waiting = writer.waiting
    known: dict[Any, tuple[tuple[int, ...], int]] = {}
    kinds, operands, operations = writer.kinds, writer.operands, writer.operations
    for instruction in program._data:
        name, qubits = instruction.name, instruction.qubits
        found = known.get((name, qubits))
        if found is None:
            wires = tuple([qubit_at[bit] for bit in qubits])
            kind = _JOINS
            if not writer.joins(name):
                if name not in _PLAIN and name != "measure":
                    return None
                kind = writer.kind(name, len(wires), len(instruction.clbits))
            known[name, qubits] = wires, kind
        else:
            wires, kind = found
        if kind == _JOINS:
            writer.wait(wires[0], _run(instruction, name, runs))
            continue
        for wire in wires:
            if wire in waiting:
                writer.release(wire)
        kinds.append(kind)
        operands += wires
        operations.append(instruction)
        if name == "measure":
            operands.append(clbit_at[instruction.clbits[0]])
    for wire in sorted(waiting):
        writer.release(wire)
    writer.finish()
    return Collected(columns, writer.terms, program, writer.operations)


def _run(instruction: Any, name: str, runs: list[Run]) -> Run:
    if name == "delay":
        return runs[int(instruction.params[0])]
    if name == "rz":
        return [(instruction.params[0], ())]
    return SX if name == "sx" else X


class _Writer:
    """Writes columns; runs wait for what follows them on their qubit."""

    def __init__(self, columns: Columns, qubits: list[Qubit], *, tidy: bool) -> None:
        self.tidy = tidy
        self.waiting: dict[int, Run] = {}
        self.terms: Terms = []
        self.operations: list[Any] = []
        self._qubits = qubits
        self._shared: dict[tuple[str, int], Any] = {}
        self._columns = columns
        self._known: dict[tuple[str, int], int] = {}
        self.kinds: list[int] = []
        self.operands: list[int] = []
        self._params: list[float] = []

    def joins(self, name: str) -> bool:
        """Tell whether a gate joins a run: at level 0, rotations about Z alone."""
        return name in ("delay", "rz") or (self.tidy and name in ("sx", "x"))

    def wait(self, wire: int, run: Run) -> None:
        before = self.waiting.get(wire)
        self.waiting[wire] = run if before is None else joined(before, run)

    def release(self, wire: int) -> None:
        run = self.waiting.pop(wire)
        for gate in written(tidied(run) if self.tidy else run, tidy=self.tidy):
            if isinstance(gate, str):
                self.kinds.append(self.kind(gate, 1))
                self.operations.append(self._shared_gate(gate, wire))
            else:
                self.kinds.append(self.kind("rz", 1, params=1))
                self.operations.append(self._qubits[wire])
                if gate[1]:
                    self.terms.append((len(self._params), gate[1]))
                self._params.append(gate[0])
            self.operands.append(wire)

    def _shared_gate(self, name: str, wire: int) -> Any:
        found = self._shared.get((name, wire))
        if found is None:
            at = (self._qubits[wire],)
            found = CircuitInstruction.from_standard(STANDARD_GATES[name], at, ())
            self._shared[name, wire] = found
        return found

    def kind(self, name: str, qubits: int, clbits: int = 0, params: int = 0) -> int:
        kind = self._known.get((name, qubits))
        if kind is None:
            kind = self._columns.kind(name, qubits, clbits, params)
            self._known[name, qubits] = kind
        return kind

    def finish(self) -> None:
        self._columns.kinds = array("H", self.kinds)
        self._columns.operands = array("I", self.operands)
        self._columns.params = array("d", self._params)
