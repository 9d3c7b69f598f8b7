"""Marks: free angles pass through a compiler that never looks at them.

Expressions are slow to make, to carry, to add and to take apart again. So a chain of one-qubit
gates with a free angle is *marked* first: one delay, whose duration is the chain's number, stands
for it. No pass moves, joins or looks into a delay. Afterwards the chains are put back
(:mod:`quantainer.circuits.collected`).

That is no loss for targets whose one-qubit gates are SX, X and rotations about Z: there a compiler
would write every gate with a free angle like that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from qiskit import QuantumCircuit
from qiskit.circuit import Delay

from quantainer.circuits.builder import STANDARD_GATES
from quantainer.circuits.chains import Chain, Link
from quantainer.circuits.strung import Strung
from quantainer.core.target import TargetFacts
from quantainer_client.columns import Columns

__all__ = ["Marked", "fits_marks", "marked"]

_LEVELS = (0, 1)
_TURNING = {name for name, gate in STANDARD_GATES.items() if gate.num_params}


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
    marks = _Marks(columns, joins=level > 0)
    return Marked(marks.builder.finish(), marks.chains) if marks.read(columns, free) else None


class _Marks(Strung):
    """Puts a mark for each chain that has a free angle."""

    def __init__(self, columns: Columns, *, joins: bool) -> None:
        super().__init__(columns, joins=joins, splits=False)
        self.chains: list[Chain] = []

    def end(self, wire: int, links: tuple[Link, ...], slots: tuple[int, ...]) -> None:
        """Put a mark, or the gates if all angles are numbers."""
        if slots:
            self.builder.other(_mark(len(self.chains)), (wire,))
            self.chains.append((links, slots))
            return
        for link in links:
            self.append(link.name, (wire,), link.values)


@lru_cache(maxsize=4096)
def _mark(number: int) -> Delay:
    """Return a mark; Qiskit copies what it says, so that marks can be shared."""
    return Delay(number, "dt")
