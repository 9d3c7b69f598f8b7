"""Entanglement: an upper bound for what a matrix product state of a program must hold."""

from __future__ import annotations

import math
import sys

from quantainer.backends.simulators.program import Gate, Program

__all__ = ["BOND", "bond_log2", "loss_of", "rank_log2"]

BOND = 256
"""The largest Schmidt rank that engines keep: what is beyond it is lost."""

_RANK_TWO = frozenset(
    {"cx", "cy", "cz", "ch", "cp", "cu1", "crx", "cry", "crz", "cu", "cu3", "cs", "csdg", "csx"}
    | {"rxx", "ryy", "rzz", "rzx", "ecr"}
)
"""Two-qubit gates whose operator Schmidt rank is 2; others have 4 at most."""


def bond_log2(program: Program) -> int:
    """Return an upper bound for log2 of the Schmidt rank over any cut of the line of qubits.

    A gate over a cut multiplies the rank by its own operator Schmidt rank at most; and no rank is
    above the dimension of the smaller side.
    """
    n = program.qubits
    steps = [0] * (n + 1)
    for gate in program.gates:
        if len(gate.qubits) > 1:
            steps[min(gate.qubits)] += rank_log2(gate)
            steps[max(gate.qubits)] -= rank_log2(gate)
    bound = rank = 0
    for cut in range(n - 1):
        rank += steps[cut]
        bound = max(bound, min(rank, cut + 1, n - 1 - cut))
    return bound


def rank_log2(gate: Gate) -> int:
    """Return an upper bound for log2 of the rank that a gate on several qubits can add to a cut."""
    if len(gate.qubits) > 2:
        return 2 * (len(gate.qubits) // 2)
    return 1 if gate.matrix is None and gate.name in _RANK_TWO else 2


def loss_of(fidelity: float) -> float:
    """Return ``-ln(fidelity)``; a fidelity of 0 is the least that a float holds."""
    return max(0.0, -math.log(max(fidelity, sys.float_info.min)))
