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
from qiskit.transpiler import TransformationPass

from quantainer.circuits.proxy import WIDE, cx_in, with_cx
from quantainer.core.target import TargetFacts

__all__ = ["SpellOut", "gates_of_pairs", "uniform"]

Pair = tuple[int, ...]
_WRITTEN = ("cx", "cz", "ecr")


def gates_of_pairs(facts: TargetFacts) -> dict[Pair, str] | None:
    """Return the gate of each pair of a device; ``None`` if all pairs have every one it has."""
    wide = set(facts.basis_gates) & WIDE
    if len(wide) < 2 or not wide <= set(_WRITTEN):
        return None
    keys = [key.split() for key in facts.gate_error]
    having = [((*map(int, qubits),), name) for name, *qubits in keys if name in wide]
    found = dict(having)
    one_each = len(found) == len(having)
    return found if one_each and found.keys() == set(facts.coupling_map or ()) else None


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
    return circuit_to_dag(cx_in(gate, forward, singles))
