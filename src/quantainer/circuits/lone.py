"""Lone: where the qubits go that no gate joins with another.

Qiskit's search for a layout (VF2) takes any of the equally good places for them, and which one
differs from run to run. Here the place with the least error is taken, and of equals the first, so
that the same circuit is always compiled the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import chain
from statistics import fmean
from typing import Any

from qiskit.circuit import Qubit
from qiskit.converters import circuit_to_dag
from qiskit.transpiler import AnalysisPass, Layout, Target

__all__ = ["PlaceLone"]


_REASONS = {"layout": "VF2Layout_stop_reason", "post_layout": "VF2PostLayout_stop_reason"}
_FOUND = "solution found"


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
        self._places = range(target.num_qubits)
        self._known: dict[str, list[float]] = {}

    def run(self, dag: Any) -> None:
        """Move each lone qubit of the layout to the best place that is free, in turn."""
        layout: Layout | None = self.property_set[self._found]
        if layout is None or not self._is_searched():
            return
        wires = range(dag.num_qubits())
        joined = _joined(dag, wires)
        if len(joined) == len(wires):
            return
        bits = dag.qubits
        place_of = layout.get_virtual_bits()
        before = [place_of[bit] for bit in bits]
        places = before.copy()
        free = set(self._places) - {before[index] for index in joined}
        alone = _gates(dag, wires, joined)
        for index in sorted(alone, key=lambda index: (-alone[index].total(), index)):
            cost = self._costs(alone[index])
            places[index] = min(free, key=lambda place: (cost(place), place))
            free.discard(places[index])
        idle = [index for index in wires if index not in joined and index not in alone]
        for index, place in zip(idle, sorted(free), strict=False):
            places[index] = place
        if places == before:
            return
        moved = layout.copy()
        # Setting one place after the other would take longer than all the rest.
        moved._v2p = dict(zip(bits, places, strict=True))
        moved._p2v = dict(zip(places, bits, strict=True))
        self.property_set[self._found] = moved

    def _is_searched(self) -> bool:
        """Tell whether VF2 found the layout; else it is a first guess that is not used."""
        reason = self.property_set[_REASONS[self._found]]
        return getattr(reason, "value", None) == _FOUND

    def _costs(self, gates: Counter[str]) -> Callable[[int], float]:
        errors = [(count, self._errors(name)) for name, count in gates.items()]
        return lambda place: sum(count * of[place] for count, of in errors)

    def _errors(self, name: str) -> list[float]:
        """Return the error of a gate at each place; the average if the target has it not yet."""
        known = self._known.get(name)
        if known is None:
            if name not in self._target:
                return self._average
            known = self._known[name] = [self._error(name, place) for place in self._places]
        return known

    @cached_property
    def _average(self) -> list[float]:
        return [self._mean(place) for place in self._places]

    def _error(self, name: str, place: int) -> float:
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


def _joined(dag: Any, places: Sequence[int]) -> set[int]:
    """Return the places of all that a gate of a circuit, or of a block in it, joins."""
    place_of = dict(zip(dag.qubits, places, strict=True))
    found: set[int] = set()
    active = dag.num_qubits() - sum(isinstance(bit, Qubit) for bit in dag.idle_wires())
    for node in chain(dag.two_qubit_ops(), dag.multi_qubit_ops()):
        if not node.is_control_flow():
            found.update([place_of[bit] for bit in node.qargs])
            if len(found) >= active:  # soon so in a long circuit
                return found
    for node, block in _blocks(dag):
        found |= _joined(block, [place_of[bit] for bit in node.qargs])
    return found


def _gates(dag: Any, places: Sequence[int], joined: set[int]) -> dict[int, Counter[str]]:
    """Return how many of which gates each place has that nothing joins; none for an idle one."""
    place_of = dict(zip(dag.qubits, places, strict=True))
    found: dict[int, Counter[str]] = {}
    idle = set(dag.idle_wires())
    for bit, place in place_of.items():
        if place in joined or bit in idle:
            continue
        names = [
            node.name
            for node in dag.nodes_on_wire(bit, only_ops=True)
            if not (node.is_control_flow() or node.name == "barrier")
        ]
        if names:
            found[place] = Counter(names)
    for node, block in _blocks(dag):
        inner = _gates(block, [place_of[bit] for bit in node.qargs], joined)
        for place, counts in inner.items():
            found.setdefault(place, Counter()).update(counts)
    return found


def _blocks(dag: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each block in a circuit, with the operation that it is part of."""
    for node in dag.control_flow_op_nodes() or ():
        for block in node.op.blocks:
            yield node, circuit_to_dag(block)
