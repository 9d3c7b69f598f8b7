"""Mixed: devices whose pairs of qubits have different two-qubit gates (CX here, ECR there).

Qiskit's passes choose one gate first and find pairs that lack it. So such a device is compiled for
as if every pair had CX in both directions, and each CX becomes the gate of its pair at the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit import ControlFlowOp, Qubit
from qiskit.converters import circuit_to_dag, dag_to_circuit
from qiskit.transpiler import TransformationPass, generate_preset_pass_manager

from quantainer.circuits.proxy import with_cx
from quantainer.core.target import TargetFacts
from quantainer_client.columns import GATES

__all__ = ["SpellOut", "gates_of_pairs", "uniform"]

Pair = tuple[int, ...]
_WRITTEN = ("cx", "cz", "ecr")
_WIDE = {name for name, (qubits, _) in GATES.items() if qubits > 1}


def gates_of_pairs(facts: TargetFacts) -> dict[Pair, str] | None:
    """Return the gate of each pair of a device; ``None`` if all pairs have every one it has."""
    wide = sorted(set(facts.basis_gates) & _WIDE)
    pairs = facts.coupling_map or ()
    having = {
        (*map(int, qubits),): name
        for name, *qubits in map(str.split, facts.gate_error)
        if name in wide
    }
    one_each = len([key for key in facts.gate_error if key.split()[0] in wide]) == len(having)
    if len(wide) < 2 or not one_each or not set(wide) <= set(_WRITTEN) or set(having) != set(pairs):
        return None
    return having


def uniform(facts: TargetFacts) -> TargetFacts:
    """Return a device as it would be if every pair had CX, in both directions."""
    for gate in set(facts.basis_gates) & set(_WRITTEN):
        facts = with_cx(facts, gate)
    return replace(facts, basis_gates=tuple(dict.fromkeys(facts.basis_gates)))


class SpellOut(TransformationPass):  # type: ignore[misc]
    """Writes each CX in the gate of its pair.

    Args:
        gates: The gate of each pair that has one.
        singles: The device's one-qubit gates.
    """

    def __init__(self, gates: Mapping[Pair, str], singles: tuple[str, ...]) -> None:
        super().__init__()
        self._gates, self._singles = gates, singles

    def run(self, dag: Any) -> Any:
        """Write each CX of a circuit, and of the blocks in it, in the gate of its pair."""
        return self._spelled(dag, {bit: index for index, bit in enumerate(dag.qubits)})

    def _spelled(self, dag: Any, places: Mapping[Qubit, int]) -> Any:
        for node in dag.op_nodes():
            at = [places[bit] for bit in node.qargs]
            if isinstance(node.op, ControlFlowOp):
                blocks = [self._block(block, at) for block in node.op.blocks]
                dag.substitute_node(node, node.op.replace_blocks(blocks), inplace=True)
            elif node.name == "cx":
                here, back = (at[0], at[1]), (at[1], at[0])
                gate, forward = (
                    (self._gates[here], True) if here in self._gates else (self._gates[back], False)
                )
                if (gate, forward) != ("cx", True):
                    dag.substitute_node_with_dag(node, _written(gate, forward, self._singles))
        return dag

    def _block(self, block: QuantumCircuit, at: list[int]) -> QuantumCircuit:
        places = dict(zip(block.qubits, at, strict=True))
        return dag_to_circuit(self._spelled(circuit_to_dag(block), places))


@lru_cache(maxsize=64)
def _written(gate: str, forward: bool, singles: tuple[str, ...]) -> Any:
    """Return CX in another gate, or in one that has the other direction."""
    program = QuantumCircuit(2)
    program.cx(0, 1)
    passes = generate_preset_pass_manager(
        1,
        basis_gates=[*singles, gate],
        coupling_map=[[0, 1]] if forward else [[1, 0]],
        initial_layout=[0, 1],
    )
    return circuit_to_dag(passes.run(program))
