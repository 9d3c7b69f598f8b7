"""Strung: a columnar circuit on its way to a program, its one-qubit gates gathered in chains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.transpiler import generate_preset_pass_manager

from quantainer.circuits.angle import all_reduced
from quantainer.circuits.builder import STANDARD_GATES, Builder
from quantainer.circuits.chains import Link
from quantainer.circuits.options import ReadOptions
from quantainer.circuits.runs import NOTHING, SX, Affine, Run, X, joined
from quantainer_client.columns import GATES, Columns
from quantainer_client.qiskit.encode import encode_columns

__all__ = ["Strung"]

_TURN = 2 * math.pi
_HELD = {*GATES, "measure", "reset", "barrier"}

_Given = tuple[float | None, ...]
"""Angles of a gate; ``None``: it is free."""
_Step = tuple[str, tuple[int, ...], tuple[Affine, ...]]


class Strung:
    """A circuit's program without its chains: what becomes of them is decided by :meth:`end`.

    Args:
        columns: The circuit.
        joins: Whether a chain may have more than one gate.
        splits: Whether gates on several qubits become CX and gates on one.
    """

    def __init__(self, columns: Columns, *, joins: bool, splits: bool) -> None:
        self.builder = builder = Builder("", ReadOptions())
        builder.add_qubits(columns.qubits)
        builder.add_clbits(columns.clbits)
        for register, bits in columns.registers:
            builder.group(register, bits)
        builder.global_phase = columns.global_phase
        self._joins, self._splits = joins, splits
        self._links: list[list[Link]] = [[] for _ in builder.qubits]
        self._slots: list[list[int]] = [[] for _ in builder.qubits]
        self._shared: dict[tuple[str, tuple[int, ...]], Any] = {}

    def end(self, wire: int, links: tuple[Link, ...], slots: tuple[int, ...]) -> None:
        """Put a chain into the program; ``slots`` are those of its free angles."""
        raise NotImplementedError

    def read(self, columns: Columns, free: Sequence[bool]) -> bool:
        """Append the circuit's operations.

        Tell whether it has neither feedback nor matrices; if it has, nothing is appended.

        Args:
            columns: The circuit.
            free: Which of its angles are free, for each slot.
        """
        if columns.conditions or any(name not in _HELD for name, *_ in columns.gates):
            return False
        operands = columns.operands.tolist()
        params = all_reduced(np.asarray(columns.params)).tolist()
        kinds = [(name, name in GATES, _simple(name), *arity) for name, *arity in columns.gates]
        at = slot = 0
        for kind in columns.kinds.tolist():
            name, is_gate, link, qubits, clbits, count = kinds[kind]
            end = at + qubits
            if link is not None and (not count or free[slot]):
                self._turn(operands[at], link, (slot,) if count else ())
            elif name == "cx":
                self._close(wires := tuple(operands[at:end]))
                self.append(name, wires, ())
            elif is_gate:
                slots = range(slot, slot + count)
                given = tuple([None if free[place] else params[place] for place in slots])
                left = tuple([place for place in slots if free[place]])
                self._gate(name, tuple(operands[at:end]), given, left)
            else:
                self._other(name, tuple(operands[at:end]), operands[end : end + clbits])
            at, slot = end + clbits, slot + count
        self._close(range(columns.qubits))
        return True

    def _turn(self, wire: int, link: Link, slots: tuple[int, ...]) -> None:
        """Append a one-qubit gate whose free angles lie in those slots."""
        self._links[wire].append(link)
        self._slots[wire] += slots
        if not self._joins:
            self._close((wire,))

    def _fixed(self, name: str, wires: tuple[int, ...], values: tuple[float, ...]) -> None:
        """Append a gate on several qubits whose angles are numbers."""
        if self._splits and name != "cx":
            self._defined(name, wires, values, ())
            return
        self._close(wires)
        self.append(name, wires, values)

    def _gate(
        self, name: str, wires: tuple[int, ...], given: _Given, slots: tuple[int, ...]
    ) -> None:
        """Append any gate: if it has free angles and several qubits, by its definition."""
        if len(wires) == 1:
            self._turn(wires[0], _link(name, given), slots)
        elif slots:
            self._defined(name, wires, given, slots)
        else:
            self._fixed(name, wires, tuple([value for value in given if value is not None]))

    def _defined(
        self, name: str, wires: tuple[int, ...], given: _Given, slots: tuple[int, ...]
    ) -> None:
        """Append what a gate on several qubits is defined as."""
        for step, link, places in _split(name, given):
            at = tuple([wires[place] for place in places])
            if link is None:
                self._fixed(step, at, ())
            else:
                self._turn(at[0], link, slots if link.free else ())

    def _other(self, name: str, wires: tuple[int, ...], clbits: list[int]) -> None:
        """Append a measurement, a reset or a barrier."""
        self._close(wires)
        if name == "measure":
            self.builder.measure(wires[0], clbits[0])
        elif name == "reset":
            self.builder.reset(wires[0])
        else:
            self.builder.barrier(wires)

    def _close(self, wires: Sequence[int]) -> None:
        """End the chains on these qubits."""
        for wire in wires:
            links = self._links[wire]
            if links:
                slots = self._slots[wire]
                self.end(wire, tuple(links), tuple(slots))
                links.clear()
                slots.clear()

    def append(self, name: str, wires: tuple[int, ...], values: Sequence[float]) -> None:
        """Append a gate as it is."""
        if values:
            self.builder.gate(STANDARD_GATES[name], wires, values)
            return
        known = self._shared.get((name, wires))
        if known is None:
            self.builder.gate(STANDARD_GATES[name], wires)
            self._shared[name, wires] = self.builder.operations[-1]
        else:
            self.builder.operations.append(known)


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
