"""Marks: free angles pass through a compiler that never looks at them.

Expressions are slow to make, to carry, to add and to take apart again. So a run of one-qubit gates
with a free angle is *marked* first: one delay, whose duration is the number of the run, stands for
it. No pass moves, joins or looks into a delay. Afterwards the runs are put back, joined with what
came to lie beside them, and each angle is an affine function of the source's.

That is no loss for targets whose one-qubit gates are SX, X and rotations about Z: there a compiler
would write every gate with a free angle like that.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit._accelerate.circuit import CircuitInstruction
from qiskit.circuit import Delay, Parameter, Qubit
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.transpiler import generate_preset_pass_manager

from quantainer.circuits.builder import STANDARD_GATES, Builder
from quantainer.circuits.options import ReadOptions
from quantainer.circuits.runs import Affine, Run, added, joined, tidied, written
from quantainer.core.target import TargetFacts
from quantainer_client.columns import GATES, Columns
from quantainer_client.qiskit.encode import encode_columns

__all__ = ["Collected", "Marked", "Terms", "collected", "fits_marks", "marked"]

_LEVELS = (0, 1)
_TURN = 2 * math.pi
_TURNING = {name for name, gate in STANDARD_GATES.items() if gate.num_params}
_NOTHING: Affine = (0.0, ())
_SX: Run = [_NOTHING] * 2
_X: Run = [_NOTHING] * 3
_JOINS = -1
_PLAIN = {name for name, (_, params) in GATES.items() if not params} | {"reset", "barrier"}

_Gate = tuple[str, tuple[Affine, ...]]
_Step = tuple[str, tuple[int, ...], tuple[Affine, ...]]
Terms = list[tuple[int, tuple[tuple[int, float], ...]]]


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


@dataclass(frozen=True, slots=True)
class Marked:
    """A program with marks, and the run that each stands for."""

    program: QuantumCircuit
    runs: list[Run]


def fits_marks(target: TargetFacts, level: int) -> bool:
    """Tell whether marks lose nothing.

    Higher levels move rotations through other gates; and where other gates have angles of their
    own, one of those may be the shorter way.
    """
    gates = set(target.basis_gates)
    return level in _LEVELS and {"sx", "x", "rz"} <= gates and gates & _TURNING == {"rz"}


def marked(columns: Columns, free: Sequence[bool], level: int) -> Marked | None:
    """Return a circuit with its free angles marked; ``None`` if it has feedback or matrices.

    Args:
        columns: The circuit.
        free: Which of its angles are free, for each slot.
        level: At level 0 no gate is joined with another.
    """
    if columns.conditions:
        return None
    builder = Builder("", ReadOptions())
    builder.add_qubits(columns.qubits)
    builder.add_clbits(columns.clbits)
    for register, bits in columns.registers:
        builder.group(register, bits)
    builder.global_phase = columns.global_phase
    marks = _Marks(builder, joins=level > 0)
    operands, params = columns.operands.tolist(), columns.params.tolist()
    kinds = [(name, name in GATES, *arity) for name, *arity in columns.gates]
    at = slot = 0
    for kind in columns.kinds.tolist():
        name, is_gate, qubits, clbits, count = kinds[kind]
        wires = tuple(operands[at : at + qubits])
        at += qubits + clbits
        if is_gate:
            angles: tuple[Affine, ...] = ()
            if count:
                angles = tuple(
                    [
                        (0.0, ((place, 1.0),)) if free[place] else (params[place], ())
                        for place in range(slot, slot + count)
                    ]
                )
                slot += count
            marks.gate(name, wires, angles)
            continue
        marks.close(wires)
        if name == "measure":
            builder.measure(wires[0], operands[at - 1])
        elif name == "reset":
            builder.reset(wires[0])
        elif name == "barrier":
            builder.barrier(wires)
        else:
            return None
    marks.close(sorted(marks.open))
    return Marked(builder.finish(), marks.runs)


class _Marks:
    """Appends gates to a program, and a mark for each run that has a free angle.

    Args:
        builder: Makes the program.
        joins: Whether a mark may stand for more than one gate.
    """

    def __init__(self, builder: Builder, *, joins: bool) -> None:
        self.runs: list[Run] = []
        self.open: dict[int, list[_Gate]] = {}
        self._builder, self._joins = builder, joins
        self._shared: dict[tuple[str, tuple[int, ...]], Any] = {}

    def gate(self, name: str, wires: tuple[int, ...], angles: tuple[Affine, ...]) -> None:
        """Append a gate."""
        if len(wires) == 1:
            self.open.setdefault(wires[0], []).append((name, angles))
            if not self._joins:
                self.close(wires)
        elif _is_free(angles):
            for step, places, inner in _steps(name):
                composed = tuple([_composed(angle, angles) for angle in inner])
                self.gate(step, tuple([wires[place] for place in places]), composed)
        else:
            self.close(wires)
            self._append(name, wires, angles)

    def close(self, wires: Sequence[int]) -> None:
        """End the runs on these qubits."""
        for wire in wires:
            gates = self.open.pop(wire, None)
            if gates is None:
                continue
            if any(_is_free(angles) for _, angles in gates):
                self._builder.other(_mark(len(self.runs)), (wire,))
                self.runs.append(_run_of(gates))
                continue
            for name, angles in gates:
                self._append(name, (wire,), angles)

    def _append(self, name: str, wires: tuple[int, ...], angles: tuple[Affine, ...]) -> None:
        if angles:
            values = [angle[0] for angle in angles]
            self._builder.gate(STANDARD_GATES[name], wires, values)
            return
        known = self._shared.get((name, wires))
        if known is None:
            self._builder.gate(STANDARD_GATES[name], wires)
            self._shared[name, wires] = self._builder.operations[-1]
        else:
            self._builder.operations.append(known)


@lru_cache(maxsize=4096)
def _mark(number: int) -> Delay:
    """Return a mark; Qiskit copies what it says, so that marks can be shared."""
    return Delay(number, "dt")


def _is_free(angles: tuple[Affine, ...]) -> bool:
    for _, terms in angles:  # noqa: SIM110  # a generator would take longer than the rest
        if terms:
            return True
    return False


def _run_of(gates: list[_Gate]) -> Run:
    run = [_NOTHING]
    for name, angles in gates:
        turns = [_composed(turn, angles) if turn[1] else turn for turn in _turns(name)]
        turns[0] = added(run.pop(), turns[0])
        run += turns
    return run


def _composed(outer: Affine, inner: tuple[Affine, ...]) -> Affine:
    """Return an angle in terms of a gate's angles, in terms of the source's."""
    constant, found = outer
    if len(found) == 1:
        place, weight = found[0]
        base, rest = inner[place]
        if weight == 1.0:
            return constant + base, rest
        return constant + weight * base, tuple([(slot, weight * c) for slot, c in rest])
    terms: dict[int, float] = {}
    for place, weight in found:
        base, rest = inner[place]
        constant += weight * base
        for slot, coefficient in rest:
            terms[slot] = terms.get(slot, 0.0) + weight * coefficient
    return constant, tuple(terms.items())


@lru_cache(maxsize=len(GATES))
def _turns(name: str) -> Run:
    """Return a one-qubit gate as one run in its own angles."""
    run = [_NOTHING]
    for step, _, angles in _steps(name):
        run = joined(run, [angles[0]] if angles else _SX if step == "sx" else _X)
    return run


@lru_cache(maxsize=len(GATES))
def _steps(name: str) -> tuple[_Step, ...]:
    """Return Qiskit's own definition of a gate in SX, X, CX and rotations about Z."""
    qubits, params = GATES[name]
    program = QuantumCircuit(qubits)
    kind = type(get_standard_gate_name_mapping()[name])
    program.append(kind(*(Parameter(f"{index}") for index in range(params))), range(qubits))
    passes = generate_preset_pass_manager(0, basis_gates=["rz", "sx", "x", "cx"])
    program = passes.run(program)
    program.global_phase = 0.0
    columns = encode_columns(program)
    if columns is None:
        raise AssertionError(f"{name} has no definition in rotations about Z")
    symbols = {
        slot: (constant, tuple((int(symbol), weight) for symbol, weight in terms))
        for slot, terms, constant in columns.symbols
    }
    steps: list[_Step] = []
    slot = 0
    for step, wires, _, values, _ in columns.operations():
        angles: tuple[Affine, ...] = ()
        if values:
            constant, terms = symbols.get(slot, (values[0], ()))
            angles = ((math.remainder(constant, _TURN), terms),)
            slot += 1
        if angles != (_NOTHING,):
            steps.append((step, tuple(wires), angles))
    return tuple(steps)


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
    return _SX if name == "sx" else _X


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
