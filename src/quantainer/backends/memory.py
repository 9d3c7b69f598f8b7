"""Memory: what a simulation needs at its peak, by the model of ``docs/memory.md``.

One formula serves the advertised width, the plan and the refusal (Qiskit/qiskit-aer#1114).
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

from quantainer.backends.simulators.simulator import Method, Precision

__all__ = ["Footprint", "peak_bytes", "widest"]

_AMPLITUDE: dict[Precision, int] = {"single": 8, "double": 16}
_CAP = 2**62


@dataclass(frozen=True, slots=True)
class Footprint:
    """What the peak depends on.

    Attributes:
        qubits: Qubits left after lowering.
        operations: Operations of the program.
        shots: Shots kept at a time, all rows together.
        clbits: Classical bits of the circuit.
        bond_log2: Upper bound for log2 of the Schmidt rank over a cut.
        t_count: Gates outside the Clifford group.
        branches: Measurements on the way whose outcomes part the shots.
    """

    qubits: int
    operations: int = 0
    shots: int = 0
    clbits: int = 0
    bond_log2: int = 0
    t_count: int = 0
    branches: int = 0


# Copies of the state that an engine holds at its peak, while sampling: measured, docs/memory.md.
_STATE_COPIES: dict[tuple[str, Precision], float] = {
    ("lightning", "single"): 3.05,
    ("lightning", "double"): 2.05,
    ("numpy", "double"): 3.05,
}
_COPIES = 1.05
_MPS_COPIES = {"qevedo": 1.5, "aer": 2.8}
_OPERATION_BYTES = 1200
_FIXED = 2 << 20


def peak_bytes(
    method: Method, engine: str, precision: Precision, footprint: Footprint, bond_limit: int = 256
) -> int:
    """Return the peak in bytes; never more than 2⁶²."""
    state = _state_bytes(method, precision, footprint, bond_limit)
    if method in ("statevector", "density_matrix", "trajectories"):
        copies = _STATE_COPIES.get((engine, precision), _COPIES)
        if method == "trajectories" and engine in ("lightning", "numpy"):
            copies += footprint.branches  # each waiting branch holds its state
        state = int(state * copies)
    if method == "mps":
        state = int(state * _MPS_COPIES.get(engine, _COPIES))
    bits = 2 * footprint.clbits + 2 * footprint.qubits + 96
    other = _FIXED + footprint.shots * bits + _OPERATION_BYTES * footprint.operations
    return min(_CAP, state + other)


def _state_bytes(
    method: Method, precision: Precision, footprint: Footprint, bond_limit: int
) -> int:
    n = footprint.qubits
    amplitude = _AMPLITUDE[precision]
    match method:
        case "statevector" | "trajectories":
            return amplitude << min(n, 58)
        case "density_matrix":
            return amplitude << min(2 * n, 58)
        case "mps":
            bond = min(bond_limit, 1 << min(footprint.bond_log2, n // 2, 30))
            # Tensors of 2·χ² each, in double; the two-site block with its decomposition.
            return 16 * (2 * bond * bond * n + 24 * bond * bond)
        case "stabilizer":
            return 5 * n * n + 64 * n
        case "near_clifford":
            return 4 * n * n + (16 << min(footprint.t_count, 58))


def widest(
    method: Method, engine: str, precision: Precision, memory_bytes: int, shots: int = 100_000
) -> int:
    """Return the largest width whose peak fits; 0 if not even one qubit does."""

    def fits(width: int) -> bool:
        footprint = Footprint(qubits=width, shots=shots, clbits=width, operations=1000)
        return peak_bytes(method, engine, precision, footprint) <= memory_bytes

    upper = 1
    while fits(upper):
        upper *= 2
    return bisect_left(range(upper), True, key=lambda width: not fits(width + 1))
