"""Lone: where the qubits go that no gate joins with another.

Qiskit's search for a layout (VF2) takes any of the equally good places for them, and which one
differs from run to run. Here the place with the least error is taken, and of equals the first, so
that the same circuit is always compiled the same.
"""

from __future__ import annotations

from collections import Counter
from statistics import fmean
from typing import Any

from qiskit.converters import circuit_to_dag
from qiskit.transpiler import AnalysisPass, Layout, Target

__all__ = ["PlaceLone"]


class PlaceLone(AnalysisPass):  # type: ignore[misc]
    """Places the lone qubits of a layout anew.

    Args:
        target: The target.
        found: Name of the layout among the properties: ``layout`` or ``post_layout``. Nothing is
            done if there is none.
    """

    def __init__(self, target: Target, found: str) -> None:
        super().__init__()
        self._target, self._found = target, found
        self._average: list[float] | None = None

    def run(self, dag: Any) -> None:
        """Move each lone qubit of the layout to the best place that is free, in turn."""
        layout: Layout | None = self.property_set[self._found]
        if layout is None:
            return
        joined: set[int] = set()
        alone: dict[int, Counter[str]] = {index: Counter() for index in range(dag.num_qubits())}
        _look(dag, list(alone), joined, alone)
        lone = sorted(alone.keys() - joined, key=lambda index: (-alone[index].total(), index))
        if not lone:
            return
        places = [layout[bit] for bit in dag.qubits]
        free = set(range(self._target.num_qubits)) - {places[index] for index in joined}
        for index in lone:
            places[index] = min(free, key=lambda place: (self._cost(alone[index], place), place))
            free.discard(places[index])
        moved = Layout(dict(zip(dag.qubits, places, strict=True)))
        for register in dag.qregs.values():
            moved.add_register(register)
        self.property_set[self._found] = moved

    def _cost(self, gates: Counter[str], place: int) -> float:
        return sum(count * self._error(name, place) for name, count in gates.items())

    def _error(self, name: str, place: int) -> float:
        """Return the error of a gate; the average of the qubit's if the gate is not yet its own."""
        if name not in self._target:
            if self._average is None:
                self._average = [self._mean(place) for place in range(self._target.num_qubits)]
            return self._average[place]
        facts = self._target[name]
        if None in facts:  # on any qubit, without errors
            return 0.0
        if (place,) not in facts:
            return float("inf")
        return getattr(facts[place,], "error", None) or 0.0

    def _mean(self, place: int) -> float:
        names = [
            name
            for name in self._target.operation_names_for_qargs((place,))
            if (place,) in self._target[name]
        ]
        return fmean(self._error(name, place) for name in names) if names else float("inf")


def _look(dag: Any, places: list[int], joined: set[int], alone: dict[int, Counter[str]]) -> None:
    """Find the joined qubits of a circuit, and of the blocks in it, and each qubit's own gates."""
    index_of = dict(zip(dag.qubits, places, strict=True))
    for node in dag.op_nodes(include_directives=False):
        at = [index_of[bit] for bit in node.qargs]
        if node.is_control_flow():
            for block in node.op.blocks:
                _look(circuit_to_dag(block), at, joined, alone)
        elif len(at) == 1:
            alone[at[0]][node.name] += 1
        else:
            joined.update(at)
