"""Target: a backend's facts for Qiskit's transpiler."""

from __future__ import annotations

from qiskit.circuit import (
    Delay,
    ForLoopOp,
    IfElseOp,
    Measure,
    Parameter,
    Reset,
    SwitchCaseOp,
    WhileLoopOp,
)
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.transpiler import InstructionProperties, QubitProperties, Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Tuple

    Places = Dict[Optional[Tuple[int, ...]], Optional[InstructionProperties]]

__all__ = ["target_of"]

_CONTROL_FLOW = {
    "if_else": IfElseOp,
    "for_loop": ForLoopOp,
    "while_loop": WhileLoopOp,
    "switch_case": SwitchCaseOp,
}


def target_of(facts: Dict[str, Any]) -> Target:
    """Return the target of a backend from its facts.

    A simulator without a basis of its own gets every standard gate, everywhere; its width is that
    of Clifford circuits, the widest it runs. How wide others may be, the broker says at submit.
    """
    width = facts.get("clifford_qubits") or facts["qubits"]
    target = Target(
        description=facts.get("description") or None,
        num_qubits=width,
        qubit_properties=_qubit_properties(facts),
    )
    standard = get_standard_gate_name_mapping()
    names = list(facts.get("basis_gates") or standard)
    for name in dict.fromkeys([*names, "measure", "reset", "delay"]):
        if name == "reset" and not facts.get("mid_circuit", True):
            continue
        operation = _operation(name, standard)
        if operation is not None:
            target.add_instruction(operation, _places(name, operation.num_qubits, facts), name=name)
    if facts.get("dynamic", True):
        for name, operation in _CONTROL_FLOW.items():
            target.add_instruction(operation, name=name)
    return target


def _operation(name: str, standard: Dict[str, Any]) -> Any:
    if name == "measure":
        return Measure()
    if name == "reset":
        return Reset()
    if name == "delay":
        return Delay(Parameter("t"))
    return standard.get(name)


def _places(name: str, qubits: int, facts: Dict[str, Any]) -> Optional[Places]:
    """Return where a gate may act, with what is known of it there; None: everywhere."""
    coupling = facts.get("coupling_map")
    if coupling is None:
        return None
    usable = _usable(facts)
    if qubits == 1:
        return {(qubit,): _properties(name, (qubit,), facts) for qubit in usable}
    if qubits != 2:
        return None
    edges = [(int(a), int(b)) for a, b in coupling if a in usable and b in usable]
    stated = [edge for edge in edges if _key(name, edge) in facts.get("gate_error", {})]
    return {edge: _properties(name, edge, facts) for edge in stated or edges}


def _usable(facts: Dict[str, Any]) -> List[int]:
    qubits = facts.get("qubit_facts") or ()
    if not qubits:
        return list(range(facts["qubits"]))
    return [index for index, qubit in enumerate(qubits) if qubit.get("usable", True)]


def _properties(
    name: str, place: Tuple[int, ...], facts: Dict[str, Any]
) -> Optional[InstructionProperties]:
    key = _key(name, place)
    error = facts.get("gate_error", {}).get(key)
    duration = facts.get("gate_duration_us", {}).get(key)
    if name == "measure" and error is None and facts.get("qubit_facts"):
        error = facts["qubit_facts"][place[0]].get("readout_error")
    if error is None and duration is None:
        return None
    seconds = None if duration is None else duration * 1e-6
    return InstructionProperties(duration=seconds, error=error)


def _key(name: str, place: Tuple[int, ...]) -> str:
    return " ".join([name, *map(str, place)])


def _qubit_properties(facts: Dict[str, Any]) -> Optional[List[QubitProperties]]:
    qubits = facts.get("qubit_facts")
    if not qubits:
        return None
    return [
        QubitProperties(t1=_seconds(qubit.get("t1_us")), t2=_seconds(qubit.get("t2_us")))
        for qubit in qubits
    ]


def _seconds(microseconds: Optional[float]) -> Optional[float]:
    return None if microseconds is None else microseconds * 1e-6
