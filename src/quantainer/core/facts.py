"""Facts: what was measured of a circuit, independent of any target."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Facts"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What was measured of one circuit.

    Attributes:
        format: The format it was read from (``qasm2``, ``qasm3``, ``qpy``, ``columnar``, …).
        qubits: Qubits declared.
        active_qubits: Qubits that some gate, measurement or reset touches.
        clbits: Classical bits declared.
        registers: Classical registers as ``(name, bits)``, first declared first.
        measured_clbits: Classical bits that some measurement writes.
        parameters: Names of unbound parameters, sorted.
        depth: Longest path by the rule of ``docs/facts.md``; ``None`` if it depends on data.
        two_qubit_depth: The same path counted over gates on two or more qubits.
        gates: Gate name to count, loops and subroutines unrolled.
        t_count: Number of T, Tdg gates and other rotations outside the Clifford group.
        clifford: Every gate is in the Clifford group (measurement and reset allowed).
        mid_circuit: A qubit is used again after it was measured, or is reset after use.
        dynamic: Later operations depend on measured values.
        light_cone: Largest number of qubits that one measured bit depends on.
        bond_log2: Upper bound for log2 of the Schmidt rank over any cut of the qubit line.
    """

    format: str
    qubits: int
    active_qubits: int
    clbits: int
    registers: tuple[tuple[str, int], ...] = ()
    measured_clbits: int = 0
    parameters: tuple[str, ...] = ()
    depth: int | None = 0
    two_qubit_depth: int | None = 0
    gates: dict[str, int] = field(default_factory=dict)
    t_count: int = 0
    clifford: bool = False
    mid_circuit: bool = False
    dynamic: bool = False
    light_cone: int = 0
    bond_log2: int = 0

    @property
    def size(self) -> int:
        """Number of operations, measurements and resets included."""
        return sum(self.gates.values())

    def to_dict(self) -> dict[str, Any]:
        """Return the facts as JSON fields."""
        return asdict(self)
