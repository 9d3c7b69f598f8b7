"""Pruning: parting gates from measurements, and leaving out what no measured bit depends on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from quantainer.backends.simulators.program import (
    Assign,
    Branch,
    Gate,
    Measure,
    Operation,
    Repeat,
    Reset,
)

__all__ = ["light_cone", "moved", "parted", "touched"]


def parted(
    operations: tuple[Operation, ...],
) -> tuple[tuple[Gate, ...], dict[int, int]] | None:
    """Part gates from final measurements; ``None`` if a measured or reset qubit is used again."""
    gates: list[Gate] = []
    source: dict[int, int] = {}
    closed: set[int] = set()
    ended: set[int] = set()
    for operation in operations:
        if isinstance(operation, Gate):
            if not closed.isdisjoint(operation.qubits):
                return None
            gates.append(operation)
        elif isinstance(operation, Measure):
            if operation.qubit in ended:
                return None
            closed.add(operation.qubit)
            source[operation.clbit] = operation.qubit
        elif isinstance(operation, Reset):  # harmless if nothing follows on this qubit
            closed.add(operation.qubit)
            ended.add(operation.qubit)
        else:
            return None
    return tuple(gates), source


def light_cone(
    gates: tuple[Gate, ...], measured: set[int]
) -> tuple[tuple[Gate, ...], tuple[int, ...]]:
    """Return the gates that the measured qubits depend on, and the qubits of those gates."""
    cone = set(measured)
    kept: list[Gate] = []
    used: set[int] = set()
    for gate in reversed(gates):
        if cone.isdisjoint(gate.qubits):
            continue
        cone.update(gate.qubits)
        used.update(gate.qubits)
        kept.append(gate)
    kept.reverse()
    return tuple(kept), tuple(sorted(used))


def touched(operations: Iterable[Operation]) -> set[int]:
    """Return the qubits of operations, nested ones included."""
    found: set[int] = set()
    for operation in operations:
        match operation:
            case Gate():
                found.update(operation.qubits)
            case Measure() | Reset():
                found.add(operation.qubit)
            case Branch():
                found |= touched(operation.then) | touched(operation.otherwise)
            case Repeat():
                found |= touched(operation.body)
    return found


def moved(operations: Iterable[Operation], place: dict[int, int]) -> Iterator[Any]:
    """Renumber qubits."""
    for operation in operations:
        match operation:
            case Gate():
                qubits = tuple([place[qubit] for qubit in operation.qubits])
                yield operation._replace(qubits=qubits)
            case Assign():
                yield operation
            case Measure():
                yield Measure(place[operation.qubit], operation.clbit)
            case Reset():
                yield Reset(place[operation.qubit])
            case Branch():
                yield Branch(
                    operation.condition,
                    tuple(moved(operation.then, place)),
                    tuple(moved(operation.otherwise, place)),
                )
            case Repeat():
                yield Repeat(operation.condition, tuple(moved(operation.body, place)))
