"""A drawn program, before it is written in any format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Drawn", "Step", "Test"]


@dataclass(frozen=True)
class Test:
    """A condition: a whole register, or one bit of it, has a value."""

    __test__ = False

    register: int
    bit: int | None
    value: int


Step = tuple[Any, ...]
"""("gate", name, qubits, angles, Test or None), ("measure", qubit, bit), ("reset", qubit),
("barrier", qubits), ("if", Test, steps, steps)."""


@dataclass(frozen=True)
class Drawn:
    """A program: how many qubits, how wide its registers are, and its steps.

    In order: every bit is measured once, in the order of the bits, and every qubit is acted on.
    """

    qubits: int
    sizes: list[int]
    steps: list[Step]
    in_order: bool

    def bits(self, test: Test) -> list[int]:
        """Return the bits of a condition, the lowest first."""
        first = sum(self.sizes[: test.register])
        own = range(first, first + self.sizes[test.register])
        return list(own) if test.bit is None else [own[test.bit]]
