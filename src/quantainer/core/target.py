"""Target: the facts of a backend."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["BackendKind", "BackendStatus", "QubitFacts", "TargetFacts"]

BackendKind = Literal["simulator", "emulator", "qpu"]
BackendStatus = Literal["online", "degraded", "maintenance", "offline", "unknown"]


@dataclass(frozen=True, slots=True)
class QubitFacts:
    """One physical qubit. Times in microseconds, ``None`` where the vendor states none."""

    t1_us: float | None = None
    t2_us: float | None = None
    readout_error: float | None = None
    usable: bool = True


@dataclass(frozen=True, slots=True)
class TargetFacts:
    """What a backend offers.

    Attributes:
        name: Backend name as users write it.
        kind: Simulator, emulator of a real device, or QPU.
        qubits: Largest width that really runs: for a simulator the dense width this node can hold.
        clifford_qubits: Largest width of a Clifford circuit; equals ``qubits`` for devices.
        basis_gates: Native gate names; empty means any.
        coupling_map: Directed edges; ``None`` means all-to-all.
        qubit_facts: One entry a physical qubit; empty for ideal simulators.
        gate_error: ``"cx 0 1"``-style key to error probability.
        gate_duration_us: The same keys to duration in microseconds.
        mid_circuit: Mid-circuit measurement and reset are possible.
        dynamic: Classical feed-forward is possible.
        calibrated_at: ISO 8601 time of the calibration; ``None`` for ideal simulators.
        calibration: Digest of the calibration; part of every compile cache key.
        status: What the backend says of itself; ``unknown`` when it says nothing.
    """

    name: str
    kind: BackendKind
    qubits: int
    description: str = ""
    clifford_qubits: int | None = None
    basis_gates: tuple[str, ...] = ()
    coupling_map: tuple[tuple[int, int], ...] | None = None
    qubit_facts: tuple[QubitFacts, ...] = ()
    gate_error: dict[str, float] = field(default_factory=dict)
    gate_duration_us: dict[str, float] = field(default_factory=dict)
    mid_circuit: bool = True
    dynamic: bool = True
    calibrated_at: str | None = None
    calibration: str = ""
    status: BackendStatus = "unknown"

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> TargetFacts:
        """Rebuild facts that travelled as JSON."""
        coupling = fields["coupling_map"]
        return cls(
            **{
                **fields,
                "basis_gates": tuple(fields["basis_gates"]),
                "coupling_map": coupling and tuple((edge[0], edge[1]) for edge in coupling),
                "qubit_facts": tuple(QubitFacts(**facts) for facts in fields["qubit_facts"]),
            }
        )

    @property
    def usable_qubits(self) -> tuple[int, ...]:
        """Indices of the physical qubits that work."""
        if not self.qubit_facts:
            return tuple(range(self.qubits))
        return tuple(index for index, facts in enumerate(self.qubit_facts) if facts.usable)

    def summary(self) -> dict[str, Any]:
        """Return the short form for listings: no per-qubit tables."""
        return {
            "name": self.name,
            "kind": self.kind,
            "qubits": self.qubits,
            "clifford_qubits": self.clifford_qubits or self.qubits,
            "usable_qubits": len(self.usable_qubits),
            "description": self.description,
            "basis_gates": list(self.basis_gates),
            "mid_circuit": self.mid_circuit,
            "dynamic": self.dynamic,
            "calibrated_at": self.calibrated_at,
            "status": self.status,
        }
