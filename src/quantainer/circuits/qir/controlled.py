"""Controlled: QIR's gates under an array of control qubits (``__ctl``, ``__ctladj``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qiskit.circuit import Gate
from qiskit.circuit.library import get_standard_gate_name_mapping

from quantainer.circuits.qir.gates import gate_of
from quantainer.circuits.qir.values import Cell, UnknownValueError

__all__ = ["SIZE", "control_call", "controlled_gate"]

SIZE = -1
"""Where an array holds its size: before its first element."""

_MAX_CONTROLS = 64
_VARIANTS = {"ctl": "body", "ctladj": "adj"}

Call = tuple[str, list[Any], list[Any], list[Any]]


def control_call(callee: str, arguments: list[Any], load: Callable[[Cell], Any]) -> Call | None:
    """Return ``(gate, angles, controls, targets)`` of a call; ``None`` if it is none of these.

    The array comes first or after the angles; what follows it are the targets, or, of gates with
    angles, one tuple of angles and targets.
    """
    name, _, variant = callee.rpartition("__")
    if variant not in _VARIANTS:
        return None
    gate = gate_of(f"{name}__{_VARIANTS[variant]}")
    if gate is None:
        return None
    standard, angles, qubits = gate
    place = next((i for i, value in enumerate(arguments) if _is_array(value, load)), None)
    if place is None:
        raise UnknownValueError("the controls are not an array of known size")
    array = arguments[place]
    given = [*arguments[:place], *arguments[place + 1 :]]
    if len(given) == 1 and angles and isinstance(given[0], Cell):
        given = [load(Cell(given[0].region, given[0].index + i)) for i in range(angles + qubits)]
    if len(given) != angles + qubits:
        raise TypeError
    size = load(Cell(array.region, SIZE))
    if size > _MAX_CONTROLS:
        raise UnknownValueError(f"{size} controls are over the limit of {_MAX_CONTROLS}")
    controls = [load(Cell(array.region, index)) for index in range(size)]
    return standard, given[:angles], controls, given[angles:]


def controlled_gate(standard: str, angles: list[float], controls: int) -> Gate:
    """Return a standard gate under controls that must all be 1."""
    gate = get_standard_gate_name_mapping()[standard].base_class(*angles)
    return gate.control(controls, annotated=False) if controls else gate


def _is_array(value: Any, load: Callable[[Cell], Any]) -> bool:
    if not isinstance(value, Cell) or value.index != 0:
        return False
    return isinstance(load(Cell(value.region, SIZE)), int)
