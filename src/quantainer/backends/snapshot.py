"""Snapshot: one calibration of a real device, as its maker published it.

Read from the JSON files inside the ``qiskit-ibm-runtime`` distribution, without importing it
(1.2 s): listing all 68 devices parses files for 0.4 s, using one parses one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from quantainer.core.target import QubitFacts, TargetFacts

__all__ = ["GateFacts", "QubitCalibration", "Snapshot", "read_snapshot", "snapshot_folders"]

_MICROSECONDS = {"s": 1e6, "ms": 1e3, "us": 1.0, "µs": 1.0, "ns": 1e-3}
_FEED_FORWARD = frozenset({"if_else", "switch_case", "while_loop", "dynamic_circuits"})


@dataclass(frozen=True, slots=True)
class QubitCalibration:
    """One physical qubit. Times in microseconds.

    Attributes:
        one_for_zero: Probability of reading 1 after preparing 0.
        zero_for_one: Probability of reading 0 after preparing 1.
    """

    t1_us: float | None = None
    t2_us: float | None = None
    readout_error: float | None = None
    one_for_zero: float | None = None
    zero_for_one: float | None = None
    readout_us: float | None = None
    usable: bool = True


@dataclass(frozen=True, slots=True)
class GateFacts:
    """A gate on certain qubits; ``None`` where the maker states nothing."""

    error: float | None = None
    duration_us: float | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A calibrated device.

    Attributes:
        gates: ``(name, qubits)`` to facts; gates that the maker marks as broken (error 1) are left
            out, and so are qubits on which none works.
    """

    name: str
    device: str
    qubits: tuple[QubitCalibration, ...]
    basis_gates: tuple[str, ...]
    gates: dict[tuple[str, tuple[int, ...]], GateFacts] = field(default_factory=dict)
    mid_circuit: bool = False
    dynamic: bool = False
    calibrated_at: str | None = None
    digest: str = ""

    @property
    def couplings(self) -> tuple[tuple[int, int], ...]:
        """Directed pairs on which some two-qubit gate works, sorted."""
        pairs = {(qubits[0], qubits[1]) for _, qubits in self.gates if len(qubits) == 2}
        return tuple(sorted(pairs))

    def target(self) -> TargetFacts:
        """Return the facts of the emulated device."""
        named = {
            f"{name} {' '.join(map(str, qubits))}": f for (name, qubits), f in self.gates.items()
        }
        return TargetFacts(
            name=self.name,
            kind="emulator",
            qubits=len(self.qubits),
            description=f"Emulates {self.device} with its noise as calibrated.",
            basis_gates=self.basis_gates,
            coupling_map=self.couplings if len(self.qubits) > 1 else (),
            qubit_facts=tuple(
                QubitFacts(q.t1_us, q.t2_us, q.readout_error, q.usable) for q in self.qubits
            ),
            gate_error={key: f.error for key, f in named.items() if f.error is not None},
            gate_duration_us={
                **{key: f.duration_us for key, f in named.items() if f.duration_us is not None},
                **{
                    f"measure {index}": q.readout_us
                    for index, q in enumerate(self.qubits)
                    if q.readout_us is not None
                },
            },
            mid_circuit=self.mid_circuit,
            dynamic=self.dynamic,
            calibrated_at=self.calibrated_at,
            calibration=self.digest,
            status="online",
        )


def snapshot_folders() -> dict[str, Path]:
    """Return emulator name to the folder of its calibration; empty if none are installed."""
    package = find_spec("qiskit_ibm_runtime")
    if package is None or not package.submodule_search_locations:
        return {}
    root = Path(package.submodule_search_locations[0]) / "fake_provider" / "backends"
    if not root.is_dir():
        return {}
    return {
        f"fake_{folder.name}": folder
        for folder in sorted(root.iterdir())
        if (folder / f"conf_{folder.name}.json").is_file()
        and (folder / f"props_{folder.name}.json").is_file()
    }


@lru_cache(maxsize=8)
def read_snapshot(name: str, folder: Path) -> Snapshot:
    """Read a calibration.

    Raises:
        OSError, ValueError, KeyError: If the files are not what they should be.
    """
    files = [(folder / f"{kind}_{folder.name}.json").read_bytes() for kind in ("conf", "props")]
    configuration, properties = (json.loads(data) for data in files)
    gates = _gates(configuration, properties)
    features = {*(configuration.get("supported_instructions") or ())}
    features |= {*(configuration.get("supported_features") or ())}
    return Snapshot(
        name=name,
        device=str(configuration.get("backend_name", name)),
        qubits=_qubits(properties, gates),
        basis_gates=tuple(configuration["basis_gates"]),
        gates=gates,
        mid_circuit="reset" in features or "reset" in configuration["basis_gates"],
        dynamic=not _FEED_FORWARD.isdisjoint(features),
        calibrated_at=properties.get("last_update_date"),
        digest=blake2b(b"".join(files), digest_size=8).hexdigest(),
    )


def _gates(
    configuration: dict[str, Any], properties: dict[str, Any]
) -> dict[tuple[str, tuple[int, ...]], GateFacts]:
    basis = set(configuration["basis_gates"]) - {"reset"}
    stated = {
        (entry["gate"], tuple(entry["qubits"])): _values(entry["parameters"])
        for entry in properties["gates"]
        if entry["gate"] in basis
    }
    # A gate without calibration (fractional ones) is there, with unknown error.
    for entry in configuration.get("gates") or ():
        name = entry["name"]
        if name in basis and not any(known == name for known, _ in stated):
            stated |= {(name, tuple(qubits)): {} for qubits in entry.get("coupling_map") or ()}
    return {
        key: GateFacts(values.get("gate_error"), values.get("gate_length"))
        for key, values in stated.items()
        if (values.get("gate_error") or 0.0) < 1.0
    }


def _qubits(
    properties: dict[str, Any], gates: dict[tuple[str, tuple[int, ...]], GateFacts]
) -> tuple[QubitCalibration, ...]:
    driven = {qubits[0] for name, qubits in gates if len(qubits) == 1 and name not in ("rz", "id")}
    found = []
    for index, entry in enumerate(properties["qubits"]):
        values = _values(entry)
        readout = values.get("readout_error")
        t1 = values.get("T1")
        found.append(
            QubitCalibration(
                t1_us=t1,
                t2_us=values.get("T2"),
                readout_error=readout,
                one_for_zero=values.get("prob_meas1_prep0", readout),
                zero_for_one=values.get("prob_meas0_prep1", readout),
                readout_us=values.get("readout_length"),
                usable=index in driven
                and (readout is None or readout < 1.0)
                and (t1 is None or t1 > 0.0)
                and bool(values.get("operational", 1.0)),
            )
        )
    return tuple(found)


def _values(entries: list[dict[str, Any]]) -> dict[str, float]:
    """Return name to value, times in microseconds."""
    return {
        entry["name"]: float(entry["value"]) * _MICROSECONDS.get(entry.get("unit", ""), 1.0)
        for entry in entries
        if isinstance(entry.get("value"), int | float)
    }
