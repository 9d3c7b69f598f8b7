"""Marks: free angles pass through a compiler that never looks at them.

Expressions are slow to make, to carry, to add and to take apart again. So a chain of one-qubit
gates with a free angle is *marked* first: one delay, whose duration is the chain's number, stands
for it. No pass moves, joins or looks into a delay. Afterwards the chains are put back
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
from quantainer.circuits.chains import Chain, Link
from quantainer.circuits.options import ReadOptions
from quantainer.circuits.runs import NOTHING, SX, Affine, Run, X, joined
from quantainer.core.target import TargetFacts
from quantainer_client.columns import GATES, Columns
from quantainer_client.qiskit.encode import encode_columns

__all__ = ["Marked", "fits_marks", "marked"]

_LEVELS = (0, 1)
_TURN = 2 * math.pi
_HELD = {*GATES, "measure", "reset", "barrier"}
_TURNING = {name for name, gate in STANDARD_GATES.items() if gate.num_params}

_Given = tuple[float | None, ...]
"""Angles of a gate; ``None``: it is free."""
_Step = tuple[str, tuple[int, ...], tuple[Affine, ...]]


@dataclass(frozen=True, slots=True)
class Marked:
    """A program with marks, and the chain that each stands for."""

    program: QuantumCircuit
    chains: list[Chain]


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
    if columns.conditions or any(name not in _HELD for name, *_ in columns.gates):
        return None
    builder = Builder("", ReadOptions())
    builder.add_qubits(columns.qubits)
    builder.add_clbits(columns.clbits)
    for register, bits in columns.registers:
        builder.group(register, bits)
    builder.global_phase = columns.global_phase
    marks = _Marks(builder, joins=level > 0)
    operands, params = columns.operands.tolist(), columns.params.tolist()
    kinds = [(name, name in GATES, _simple(name), *arity) for name, *arity in columns.gates]
    at = slot = 0
    for kind in columns.kinds.tolist():
        name, is_gate, link, qubits, clbits, count = kinds[kind]
        end = at + qubits
        if link is not None and not count:
            marks.turn(operands[at], link, ())
        elif link is not None and free[slot]:
            marks.turn(operands[at], link, (slot,))
        elif not count and is_gate:
            marks.fixed(name, tuple(operands[at:end]), ())
        elif is_gate:
            slots = range(slot, slot + count)
            given = tuple([None if free[place] else params[place] for place in slots])
            left = tuple([place for place in slots if free[place]])
            marks.gate(name, tuple(operands[at:end]), given, left)
        else:
            marks.other(name, tuple(operands[at:end]), operands[end : end + clbits])
        at, slot = end + clbits, slot + count
    marks.close(range(columns.qubits))
    return Marked(builder.finish(), marks.chains)


class _Marks:
    """Appends gates to a program, and a mark for each chain that has a free angle.

    Args:
        builder: Makes the program.
        joins: Whether a mark may stand for more than one gate.
    """

    def __init__(self, builder: Builder, *, joins: bool) -> None:
        self.chains: list[Chain] = []
        self._builder, self._joins = builder, joins
        self._links: list[list[Link]] = [[] for _ in builder.qubits]
        self._slots: list[list[int]] = [[] for _ in builder.qubits]
        self._shared: dict[tuple[str, tuple[int, ...]], Any] = {}

    def turn(self, wire: int, link: Link, slots: tuple[int, ...]) -> None:
        """Append a one-qubit gate whose free angles lie in those slots."""
        self._links[wire].append(link)
        self._slots[wire] += slots
        if not self._joins:
            self.close((wire,))

    def fixed(self, name: str, wires: tuple[int, ...], values: tuple[float, ...]) -> None:
        """Append a gate on several qubits whose angles are numbers."""
        self.close(wires)
        self._append(name, wires, values)

    def gate(
        self, name: str, wires: tuple[int, ...], given: _Given, slots: tuple[int, ...]
    ) -> None:
        """Append any gate: if it has free angles and several qubits, by its definition."""
        if len(wires) == 1:
            self.turn(wires[0], _link(name, given), slots)
            return
        if not slots:
            self.fixed(name, wires, tuple([value for value in given if value is not None]))
            return
        for step, link, places in _split(name, given):
            at = tuple([wires[place] for place in places])
            if link is None:
                self.fixed(step, at, ())
            else:
                self.turn(at[0], link, slots if link.free else ())

    def other(self, name: str, wires: tuple[int, ...], clbits: list[int]) -> None:
        """Append a measurement, a reset or a barrier."""
        self.close(wires)
        if name == "measure":
            self._builder.measure(wires[0], clbits[0])
        elif name == "reset":
            self._builder.reset(wires[0])
        else:
            self._builder.barrier(wires)

    def close(self, wires: Sequence[int]) -> None:
        """End the chains on these qubits."""
        for wire in wires:
            links = self._links[wire]
            if not links:
                continue
            self._links[wire] = []
            slots = self._slots[wire]
            if slots:
                self._builder.other(_mark(len(self.chains)), (wire,))
                self.chains.append((tuple(links), tuple(slots)))
                self._slots[wire] = []
                continue
            for link in links:
                self._append(link.name, (wire,), link.values)

    def _append(self, name: str, wires: tuple[int, ...], values: Sequence[float]) -> None:
        if values:
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


def _simple(name: str) -> Link | None:
    """Return the link of a one-qubit gate that has no angle, or whose only one is free."""
    qubits, params = GATES.get(name, (0, 0))
    return _link(name, (None,) * params) if qubits == 1 and params < 2 else None


@lru_cache(maxsize=4096)
def _link(name: str, given: _Given) -> Link:
    """Return a one-qubit gate as a link."""
    angles, free = _numbered(given)
    run = [_composed(turn, angles) for turn in _turns(name)]
    return Link(name, () if free else tuple([angle[0] for angle in angles]), run, free)


@lru_cache(maxsize=4096)
def _split(name: str, given: _Given) -> tuple[tuple[str, Link | None, tuple[int, ...]], ...]:
    """Return a gate's definition: steps on one qubit as links, and the qubits of each step."""
    angles, free = _numbered(given)
    steps: list[tuple[str, Link | None, tuple[int, ...]]] = []
    for step, places, inner in _steps(name):
        if len(places) > 1:
            steps.append((step, None, places))
            continue
        composed = tuple([_composed(angle, angles) for angle in inner])
        is_free = any(terms for _, terms in composed)
        run = [_composed(turn, composed) for turn in _turns(step)]
        values = () if is_free else tuple([constant for constant, _ in composed])
        steps.append((step, Link(step, values, run, free if is_free else 0), places))
    return tuple(steps)


def _numbered(given: _Given) -> tuple[tuple[Affine, ...], int]:
    """Return a gate's angles with the free ones numbered from 0, and how many those are."""
    angles: list[Affine] = []
    free = 0
    for value in given:
        if value is None:
            angles.append((0.0, ((free, 1.0),)))
            free += 1
        else:
            angles.append((value, ()))
    return tuple(angles), free


def _composed(outer: Affine, inner: tuple[Affine, ...]) -> Affine:
    """Return an angle in terms of a gate's angles, in the terms that those are in."""
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
