"""Pipeline: the passes that compile for one target at one level.

They are Qiskit's, in the order of its preset pass managers. What differs saves time and takes
nothing away:

- At level 1, runs of one-qubit gates become the target's before a layout is sought: placing,
  routing and translating then see fewer gates. It is done again once the errors of qubits count.
- The clean-up at the end stops when nothing was cancelled, instead of one round later, and does not
  begin anew with what is merged already.
- Passes that ask the device again and again for what it has do so once
  (:mod:`quantainer.circuits.lean`).
- Layouts are not compared by errors if the target states none.
- Qubits that no gate joins with another go to the same place in every run (:class:`PlaceLone`).
- In a long circuit the first layout is soon forgotten: there the search starts from more layouts,
  refines each less, and costs a quarter to a half less for as many swaps (``docs/compile.md``).

Level 0 changes no gate that need not be changed: people fold gates to amplify noise.
"""

from __future__ import annotations

from dataclasses import asdict
from enum import Enum
from typing import Any

from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.transpiler import (
    AnalysisPass,
    ConditionalController,
    PassManager,
    Target,
    TransformationPass,
    generate_preset_pass_manager,
)
from qiskit.transpiler.passes import (
    BarrierBeforeFinalMeasurements,
    ContractIdleWiresInControlFlow,
    InverseCancellation,
    Optimize1qGatesDecomposition,
    SabreLayout,
    VF2Layout,
    VF2PostLayout,
)

from quantainer.circuits.lean import (
    PROTECTION,
    lean,
    translating_where_needed,
    unrolling_where_needed,
)
from quantainer.circuits.lone import PlaceLone
from quantainer.circuits.mixed import SpellOut, gates_of_pairs, uniform
from quantainer.core.target import TargetFacts
from quantainer_client.qiskit.target import target_of

__all__ = ["Angles", "pipeline"]

_MERGED = "one_qubit_gates_merged"
_LONG = 20
"""Two-qubit gates a qubit from which a circuit is long."""
_LONG_SEARCH = {1: (6, 4, 1), 2: (28, 10, 1), 3: (32, 12, 1)}
"""By level: layouts to start from, tries at routing each, rounds of refining each."""
_NARROW, _NARROW_SEARCH = 5, (6, 2, 1)
"""Qubits of a long circuit that has few ways to be routed, and the search for it at level 1."""
_WIDE_GATES = frozenset(
    name for name, gate in get_standard_gate_name_mapping().items() if gate.num_qubits > 1
)


class Angles(Enum):
    """What the angles of a circuit are to its compiler."""

    USED = "used"
    """Numbers or expressions, of which the compiler makes the best."""
    MARKED = "marked"
    """Out of sight: delays are marks (:mod:`quantainer.circuits.marks`), not times."""
    VERBATIM = "verbatim"
    """To be left as they are (:mod:`quantainer.circuits.verbatim`)."""


def pipeline(
    facts: TargetFacts,
    level: int,
    seed: int,
    places: tuple[int, ...] | None = None,
    angles: Angles = Angles.USED,
) -> Any:
    """Return the pass manager of a target at a level. Making it takes long: keep it.

    Args:
        facts: The target without its dead qubits.
        level: 0 to 3.
        seed: For layout and routing.
        places: Where each qubit is to begin, if that is not to be chosen.
        angles: What the angles are.
    """
    gates = gates_of_pairs(facts)
    if gates is not None:
        passes = pipeline(uniform(facts), level, seed, places, angles)
        passes.scheduling = _spelling_out(facts, gates, level)
        return passes
    target = target_of(asdict(facts))
    passes = generate_preset_pass_manager(
        optimization_level=level,
        target=target,
        seed_transpiler=seed,
        initial_layout=None if places is None else list(places),
    )
    if passes.routing is not None:
        passes.routing = _shortened(passes.routing, target, knows_errors=_knows_errors(facts))
    if angles is Angles.MARKED:
        passes.scheduling = None  # it would only give delays another unit, in Python
    if level and passes.layout is not None:
        passes.layout = _with_search(passes.layout, target, level, seed)
    if facts.coupling_map is not None:
        passes.init = unrolling_where_needed(passes.init)
        passes.translation = translating_where_needed(passes.translation, target)
        passes.layout, passes.routing = (
            None if stage is None else lean(stage, target)
            for stage in (passes.layout, passes.routing)
        )
    if angles is Angles.VERBATIM:
        passes.init = PassManager(InverseCancellation())  # all gates are the target's already
        passes.optimization = PassManager(_Cancel())
        passes.pre_init = passes.scheduling = None  # which only look for delays
        return passes
    singles = _singles(target, facts)
    if level == 1 and any(target.operation_from_name(name).params for name in singles):
        passes.pre_init = PassManager(_Merge(singles))
        clean_up = _CleanUp(target, singles, by_error=_knows_errors(facts))
        passes.optimization = PassManager(clean_up)
    return passes


def _spelling_out(facts: TargetFacts, gates: dict[tuple[int, ...], str], level: int) -> PassManager:
    target = target_of(asdict(facts))
    made = PassManager(SpellOut(gates, tuple(_singles(target, facts))))
    if level:
        made.append(Optimize1qGatesDecomposition(target=target))
    return made


def _singles(target: Target, facts: TargetFacts) -> list[str]:
    """Return the one-qubit gates of a target."""
    names = [name for name in facts.basis_gates if name in target]
    return [name for name in names if target.operation_from_name(name).num_qubits == 1]


def _knows_errors(facts: TargetFacts) -> bool:
    return bool(facts.gate_error) or any(
        qubit.readout_error is not None for qubit in facts.qubit_facts
    )


def _shortened(routing: PassManager, target: Target, *, knows_errors: bool) -> PassManager:
    made = PassManager()
    for task in routing.to_flow_controller().tasks:
        if not _has(task, VF2PostLayout):
            made.append(task)
        elif knows_errors:
            made.append(_followed(task, PlaceLone(target, "post_layout")))
    return made


def _has(task: Any, kind: type) -> bool:
    return any(isinstance(step, kind) for step in getattr(task, "tasks", (task,)))


def _followed(task: ConditionalController, last: AnalysisPass) -> ConditionalController:
    return ConditionalController([*task.tasks, last], condition=task.condition)


def _with_search(layout: PassManager, target: Target, level: int, seed: int) -> PassManager:
    made = PassManager()
    for task in layout.to_flow_controller().tasks:
        found = [step for step in getattr(task, "tasks", ()) if isinstance(step, SabreLayout)]
        if found:
            search = _Search(target, found[0], level, seed)
            protected = [BarrierBeforeFinalMeasurements(PROTECTION), search]
            made.append(ConditionalController(protected, condition=task.condition))
        elif _has(task, VF2Layout):
            made.append(_followed(task, PlaceLone(target, "layout")))
        else:
            made.append(task)
    return made


class _Search(SabreLayout):  # type: ignore[misc]
    """Sabre's search for a layout, with effort where it helps."""

    layout_trials: int
    swap_trials: int
    max_iterations: int

    def __init__(self, target: Target, usual: SabreLayout, level: int, seed: int) -> None:
        super().__init__(target, seed=seed)
        self._level = level
        self._usual = (usual.layout_trials, usual.swap_trials, usual.max_iterations)
        self._long = _LONG_SEARCH[level]

    def run(self, dag: Any) -> Any:
        counts = dag.count_ops(recurse=False)
        gates = sum(counts[name] for name in counts.keys() & _WIDE_GATES)
        if gates < _LONG * dag.num_qubits():
            effort = self._usual
        elif self._level == 1 and dag.num_qubits() <= _NARROW:
            effort = _NARROW_SEARCH
        else:
            effort = self._long
        self.layout_trials, self.swap_trials, self.max_iterations = effort
        return super().run(dag)


class _Merge(TransformationPass):  # type: ignore[misc]
    """Merges runs of one-qubit gates, before there is a layout."""

    def __init__(self, singles: list[str]) -> None:
        super().__init__()
        self._merge = Optimize1qGatesDecomposition(basis=singles)
        self._cancel = InverseCancellation()
        self._singles = singles

    def run(self, dag: Any) -> Any:
        dag = self._merge.run(dag)
        before = _size(dag)
        dag = self._cancel.run(dag)
        if _size(dag) == before:
            self.property_set[_MERGED] = _count(dag, self._singles)
        return dag


class _Cancel(TransformationPass):  # type: ignore[misc]
    """Cancels inverses until there are none."""

    def __init__(self) -> None:
        super().__init__()
        self._cancel = InverseCancellation()

    def run(self, dag: Any) -> Any:
        before = None
        while before != (before := _size(dag)):
            dag = self._cancel.run(dag)
        return dag


class _CleanUp(TransformationPass):  # type: ignore[misc]
    """Merges one-qubit gates and cancels inverses until there are none.

    Args:
        target: The target.
        singles: Its one-qubit gates.
        by_error: Which gates are best depends on the qubit, so they are merged in any case.
    """

    def __init__(self, target: Target, singles: list[str], *, by_error: bool) -> None:
        super().__init__()
        self._singles, self._by_error = singles, by_error
        self._merge = Optimize1qGatesDecomposition(target=target)
        self._cancel = InverseCancellation()
        self._contract = ContractIdleWiresInControlFlow()

    def run(self, dag: Any) -> Any:
        if self._by_error or self.property_set[_MERGED] != _count(dag, self._singles):
            dag = self._merge.run(dag)
        while True:
            before = _size(dag)
            dag = self._cancel.run(dag)
            if _size(dag) == before:
                return self._contract.run(dag)
            dag = self._merge.run(dag)


def _count(dag: Any, names: list[str]) -> int:
    counts = dag.count_ops(recurse=True)
    return sum(counts.get(name, 0) for name in names)


def _size(dag: Any) -> int:
    return sum(dag.count_ops(recurse=True).values())
