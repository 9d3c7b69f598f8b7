"""Cirq's qubits: what identifies them and how Cirq orders them."""

from __future__ import annotations

import re
from typing import Any

from quantainer.circuits.cirq_json.values import UnknownTypeError

__all__ = ["Qubit", "qubit"]

Qubit = tuple[tuple[Any, ...], Any]
"""A key that is equal for equal qubits, and what to sort by."""

_FIELDS = {
    "LineQubit": ("x",),
    "LineQid": ("x",),
    "GridQubit": ("row", "col"),
    "GridQid": ("row", "col"),
}


def qubit(value: Any) -> Qubit:
    """Return what identifies and what orders a qubit.

    Raises:
        UnknownTypeError: For other than line, grid and named qubits, and for qudits.
    """
    if not isinstance(value, dict):
        raise TypeError(f"{value!r} is no qubit")
    kind = str(value.get("cirq_type"))
    if value.get("dimension", 2) != 2:
        raise UnknownTypeError(kind, f"{kind} is a qudit: only qubits are supported")
    if kind in ("NamedQubit", "NamedQid"):
        name = str(value["name"])
        parts = re.split(r"(\d+)", name)
        natural = tuple(part.zfill(20) if part.isdigit() else part for part in parts)
        return (kind, name), (kind, natural)
    if kind not in _FIELDS:
        raise UnknownTypeError(kind)
    place = tuple(value[field] for field in _FIELDS[kind])
    return (kind, *place), (kind, place)
