"""Lean: what Qiskit's passes do, without what they spend on nothing.

A small circuit is compiled for a device of 133 qubits in 2 ms. A third of that goes into naming
each qubit that it does not use, and into asking anew what the device has.
"""

from __future__ import annotations

from itertools import count
from typing import Any

from qiskit import QuantumRegister
from qiskit._accelerate.check_map import check_map
from qiskit.passmanager import ConditionalController, FlowControllerLinear
from qiskit.transpiler import AnalysisPass, PassManager, Target, TransformationPass
from qiskit.transpiler.passes import (
    BasisTranslator,
    CheckMap,
    EnlargeWithAncilla,
    FilterOpNodes,
    FullAncillaAllocation,
    HighLevelSynthesis,
    UnitarySynthesis,
)

__all__ = ["PROTECTION", "lean", "translating_where_needed", "unrolling_where_needed"]

PROTECTION = "qiskit.transpiler.internal.routing.protection.barrier"
"""Label of the barrier that keeps measurements last while routing."""

_UNROLLING = (UnitarySynthesis, HighLevelSynthesis, BasisTranslator)


def lean(stage: PassManager, target: Target) -> PassManager:
    """Return a stage of layout or routing with less work in it."""
    return PassManager(_lean(stage.to_flow_controller().tasks, target))


def _lean(tasks: Any, target: Target) -> list[Any]:
    found: list[Any] = []
    for task in tasks:
        if isinstance(task, ConditionalController):
            inner = _lean(task.tasks, target)
            found.append(ConditionalController(inner, condition=task.condition))
        elif isinstance(task, FlowControllerLinear):
            found += _lean(task.tasks, target)
        elif isinstance(task, FullAncillaAllocation):
            found.append(_Widen(target))
        elif isinstance(task, CheckMap):
            found.append(_Check(target, task.property_set_field))
        elif isinstance(task, FilterOpNodes):
            found.append(_Unprotect())
        elif not isinstance(task, EnlargeWithAncilla):  # done already by what widens
            found.append(task)
    return found


def unrolling_where_needed(init: PassManager) -> PassManager:
    """Return the first stage, which asks the device for its gates only if any is to be unrolled."""
    tasks = init.to_flow_controller().tasks
    first = tasks[: len(_UNROLLING)]
    if tuple(map(type, first)) != _UNROLLING:
        return init
    return PassManager([_Unroll(first), *tasks[len(first) :]])


def translating_where_needed(translation: PassManager, target: Target) -> PassManager:
    """Return the stage of translation, which is left out where the device has all gates already."""
    tasks = translation.to_flow_controller().tasks
    if tuple(map(type, tasks)) != _UNROLLING:
        return translation
    return PassManager(_Translate(tasks, target))


class _Translate(TransformationPass):  # type: ignore[misc]
    """Translates gates if the device may lack one of them where it is."""

    def __init__(self, passes: tuple[Any, ...], target: Target) -> None:
        super().__init__()
        self._passes = passes
        ways = {at for at in target.qargs or () if at is not None}
        pairs = {at for at in ways if len(at) == 2}
        both = pairs | {(b, a) for a, b in pairs}
        ones = {at for at in ways if len(at) == 1}
        self._everywhere = {"barrier"} | {
            name for name in target.operation_names if target[name].keys() in (ones, both)
        }

    def run(self, dag: Any) -> Any:
        if dag.count_ops(recurse=False).keys() <= self._everywhere:
            return dag
        for each in self._passes:
            each.property_set = self.property_set
            dag = each.run(dag)
        return dag


class _Unroll(TransformationPass):  # type: ignore[misc]
    """Unrolls what acts on more than two qubits, if there may be such operations."""

    def __init__(self, passes: tuple[Any, ...]) -> None:
        super().__init__()
        self._passes = passes

    def run(self, dag: Any) -> Any:
        if dag.multi_qubit_ops() or dag.control_flow_op_nodes():
            for each in self._passes:
                each.property_set = self.property_set
                dag = each.run(dag)
        return dag


class _Check(AnalysisPass):  # type: ignore[misc]
    """Tells whether all pairs of a circuit are connected, of a device that has pairs."""

    def __init__(self, target: Target, told: str) -> None:
        super().__init__()
        self._target, self._told = target, told
        self._has_pairs = any(len(at) == 2 for at in target.qargs or () if at is not None)

    def run(self, dag: Any) -> None:
        connected = not self._has_pairs or check_map(dag, self._target) is None
        self.property_set[self._told] = connected


class _Widen(TransformationPass):  # type: ignore[misc]
    """Adds the qubits of the device that a circuit does not use to it and to its layout."""

    def __init__(self, target: Target) -> None:
        super().__init__()
        self._qubits = range(target.num_qubits)

    def run(self, dag: Any) -> Any:
        layout = self.property_set["layout"]
        taken = layout.get_physical_bits()
        free = [place for place in self._qubits if place not in taken]
        if not free:
            return dag
        name = "ancilla"
        while name in dag.qregs:
            name += "_"
        others = QuantumRegister(len(free), name)
        numbers = self.property_set["original_qubit_indices"]
        numbers.update(zip(others, count(dag.num_qubits()), strict=False))
        taken.update(zip(free, others, strict=True))
        layout.get_virtual_bits().update(zip(others, free, strict=True))
        layout.add_register(others)
        dag.add_qreg(others)
        return dag


class _Unprotect(TransformationPass):  # type: ignore[misc]
    """Removes the barrier that kept measurements last while routing.

    It is found by its name, instead of by asking every operation for its label.
    """

    def run(self, dag: Any) -> Any:
        for node in dag.named_nodes("barrier"):
            if node.label == PROTECTION:
                dag.remove_op_node(node)
        return dag
