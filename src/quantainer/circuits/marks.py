"""Marks: free angles pass through a compiler that never looks at them.

Expressions are slow to make, to carry, to add and to take apart again. So a run of one-qubit gates
with a free angle is *marked* first: one delay, whose duration is the number of the run, stands for
it. No pass moves, joins or looks into a delay. Afterwards the runs are put back
(:mod:`quantainer.circuits.collected`).

That is no loss for targets whose one-qubit gates are SX, X and rotations about Z: there a compiler
would write every gate with a free angle like that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit import Delay, Parameter
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.transpiler import generate_preset_pass_manager

from quantainer.circuits.builder import STANDARD_GATES, Builder
from quantainer.circuits.options import ReadOptions
from quantainer.circuits.runs import NOTHING, SX, Affine, Run, X, added, joined
from quantainer.core.target import TargetFacts
from quantainer_client.columns import GATES, Columns
from quantainer_client.qiskit.encode import encode_columns

__all__ = ["Marked", "fits_marks", "marked"]

_LEVELS = (0, 1)
_TURN = 2 * math.pi
_TURNING = {name for name, gate in STANDARD_GATES.items() if gate.num_params}

_Gate = tuple[str, tuple[Affine, ...]]
_Step = tuple[str, tuple[int, ...], tuple[Affine, ...]]


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
    run = [NOTHING]
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
    run = [NOTHING]
    for step, _, angles in _steps(name):
        run = joined(run, [angles[0]] if angles else SX if step == "sx" else X)
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
        if angles != (NOTHING,):
            steps.append((step, tuple(wires), angles))
    return tuple(steps)
