"""Values: what expressions evaluate to, and the variables that hold them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from quantainer.circuits.qasm3.kinds import Kind
from quantainer.circuits.qasm3.logic import Bit, Row, constant
from quantainer.circuits.qasm3.memory import Arena, Cell, Memory

__all__ = ["Choice", "Duration", "Value", "Variable", "is_known", "packed", "row_of"]


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time: seconds, samples of the backend (``dt``) and stretches are never mixed up.

    Attributes:
        seconds: In units of ``unit``.
        unit: ``s``, ``ms``, ``us`` or ``ns``: the one it was written in.
        samples: In ``dt``.
        stretches: Whether stretches are part of it; they are resolved to their least value, 0.
    """

    seconds: float = 0.0
    unit: str = "s"
    samples: float = 0.0
    stretches: bool = False


class Choice(NamedTuple):
    """One of two values that are no bit patterns, by a bit that is known at run time only."""

    bit: Cell
    true: Any
    false: Any


class Value(NamedTuple):
    """A value with its type.

    Attributes:
        kind: The type.
        data: Integers for bit patterns (``int`` signed, ``angle`` in units of 2π/2^width),
            ``float``, ``complex``, :class:`Duration`, an array of :class:`Variable`; Qiskit's
            expression where an ``input`` has no value yet. A row of Boolean functions or a
            :class:`Choice` where it depends on measurements.
        const: Whether the language calls it constant.
    """

    kind: Kind
    data: Any
    const: bool = False


def is_known(value: Value) -> bool:
    """Tell whether the value does not depend on a measurement."""
    return not isinstance(value.data, tuple)


def row_of(value: Value) -> Row:
    """Return a bit pattern as a row."""
    data = value.data
    return data if isinstance(data, tuple) else constant(int(data), value.kind.width)


@dataclass(slots=True, eq=False)
class Variable:
    """A classical variable.

    Attributes:
        name: Its name.
        kind: Its type.
        data: Its value, where it is known or a :class:`Choice`; ``None`` where ``cells`` hold it.
        cells: Its bits; registers have them always, other bit patterns once they depend on
            measurements.
        const: Whether it may not be assigned.
        readonly: Why it may not be assigned, for messages.
        shared: Whether it is a global variable, whose bits become a register of its name.
        arena: Of one that is not: what its bits are freed with.
    """

    name: str
    kind: Kind
    data: Any = None
    cells: list[Cell] | None = None
    const: bool = False
    readonly: str = ""
    shared: bool = False
    arena: Arena | None = None

    def read(self) -> Value:
        """Return the value."""
        data = self.data
        while isinstance(data, Choice) and data.bit.value is not None:
            data = data.true if data.bit.value else data.false
        if data is not None:
            return Value(self.kind, data, self.const)
        assert self.cells is not None
        return Value(self.kind, packed(self.kind, [cell.read() for cell in self.cells]))

    def write(self, data: Any, memory: Memory) -> None:
        """Assign data of this variable's own type."""
        if not self.kind.binary:
            self.data = data
            return
        if isinstance(data, tuple):
            memory.write_row(self.bits(memory), data)
            self.data = None
            return
        if self.cells is not None:
            row = constant(int(data), self.kind.width) if isinstance(data, int) else None
            assert row is not None, "a symbolic angle cannot be kept in bits"
            for cell, bit in zip(self.cells, row, strict=True):
                cell.value = bool(bit)
        if self.kind.name not in ("bit", "bits"):
            self.data = data

    def bits(self, memory: Memory) -> list[Cell]:
        """Return the cells, made if there were none."""
        if self.cells is None:
            width = self.kind.width
            if self.shared:
                self.cells = memory.declare(self.name, width, used=False).cells
            else:
                self.cells = memory.take(width, self.arena)
            for cell, bit in zip(self.cells, constant(int(self.data or 0), width), strict=True):
                cell.value = bool(bit)
        return self.cells


def packed(kind: Kind, row: Sequence[Bit]) -> Any:
    """Return bits as data of a type: a number if all are known."""
    value = 0
    for place, bit in enumerate(row):
        if not isinstance(bit, bool):
            return tuple(row)
        if bit:
            value |= 1 << place
    if kind.name == "int" and row and row[-1]:
        value -= 1 << len(row)
    return value


Elements = np.ndarray[Any, Any]
