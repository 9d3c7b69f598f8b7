"""Emitter: the operations of the program being read, with qubits and bits but without Qiskit.

Blocks are plain lists, so that a trial can be taken back by cutting a list. :mod:`.build` makes
the circuit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from quantainer.circuits.qasm3.logic import Bit

if TYPE_CHECKING:
    from quantainer.circuits.qasm3.memory import Cell

__all__ = ["Block", "Branch", "Emitter", "Gate", "Loop", "Measurement", "Other", "Reset", "Store"]


class Gate(NamedTuple):
    """A standard gate of Qiskit, by name."""

    name: str
    params: tuple[Any, ...]
    qubits: tuple[int, ...]


class Other(NamedTuple):
    """An operation of Qiskit on qubits that is no standard gate: barrier, delay, unitary."""

    operation: Any
    qubits: tuple[int, ...]


class Measurement(NamedTuple):
    """``cell = measure qubit``."""

    qubit: int
    cell: Cell


class Reset(NamedTuple):
    """``reset qubit``."""

    qubit: int


class Store(NamedTuple):
    """``cell = bit``; ``held`` if it is a part of an expression and can be taken back."""

    cell: Cell
    bit: Bit
    held: bool = False


class Branch(NamedTuple):
    """``if (condition) true else false``."""

    condition: Bit
    true: Block
    false: Block


class Loop(NamedTuple):
    """``while (condition) body``."""

    condition: Bit
    body: Block


class Block:
    """Operations in order, and the global phase that they come with."""

    __slots__ = ("operations", "phase")

    def __init__(self) -> None:
        self.operations: list[Any] = []
        self.phase: Any = 0.0


class Emitter:
    """Appends to the current block and counts.

    Args:
        limit: Largest number of operations.
        over: Called when there are more; raises.
    """

    def __init__(self, limit: int, over: Callable[[], None]) -> None:
        self.block = Block()
        self.count = 0
        self._limit = limit
        self._over = over

    def add(self, operation: Any) -> None:
        """Append an operation."""
        self.count += 1
        if self.count > self._limit:
            self._over()
        self.block.operations.append(operation)

    def store(self, cell: Cell, bit: Bit, held: bool = False) -> None:
        """Append a store."""
        cell.register.used = True
        self.add(Store(cell, bit, held))

    @contextmanager
    def into(self, block: Block) -> Iterator[Block]:
        """Append to another block."""
        before, self.block = self.block, block
        try:
            yield block
        finally:
            self.block = before
