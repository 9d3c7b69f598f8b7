"""Checks: why a circuit cannot run on a target, found before any compiling starts."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit import ControlFlowOp
from qiskit.circuit.equivalence_library import SessionEquivalenceLibrary
from qiskit.transpiler import PassManager, TranspilerError
from qiskit.transpiler.passes import BasisTranslator, UnitarySynthesis, UnrollCustomDefinitions

from quantainer.circuits.builder import STANDARD_GATES, Builder
from quantainer.circuits.circuit import Circuit
from quantainer.circuits.options import ReadOptions
from quantainer.circuits.target import Device, groups
from quantainer.core.facts import Facts
from quantainer_client.errors import QuantainerError

__all__ = ["interactions", "reasons_against"]


def reasons_against(circuit: Circuit, facts: Facts, device: Device) -> list[QuantainerError]:
    """Return every reason why the circuit cannot be compiled for the device."""
    if circuit.faults:
        return [QuantainerError("invalid_circuit", f"{fault}.") for fault in circuit.faults]
    too_wide = _width(facts, device)
    placed = too_wide or _group(circuit, device)
    found = (placed, _named(circuit, device), _feedback(facts, device), _gates(facts, device))
    return [reason for reason in found if reason is not None]


def _width(facts: Facts, device: Device) -> QuantainerError | None:
    limit, needed = len(device.usable), facts.active_qubits
    if facts.clifford and device.facts.clifford_qubits and device.facts.coupling_map is None:
        limit = max(limit, device.facts.clifford_qubits)
    if needed <= limit:
        return None
    dead = f", dead: {', '.join(map(str, device.dead))}" if device.dead else ""
    return QuantainerError(
        "too_many_qubits",
        f"{device.facts.name} has {limit} usable qubits, the circuit needs {needed} "
        f"({facts.qubits} declared){dead}.",
        limit=limit,
        needed=needed,
        hint="Choose a wider backend, or cut the circuit.",
    )


def _named(circuit: Circuit, device: Device) -> QuantainerError | None:
    """Qubits that the circuit names as the device's must be there."""
    if device.facts.kind == "simulator":
        return None
    named = set((circuit.program.metadata or {}).get("physical_qubits", ()))
    missing = sorted(named - set(device.usable))
    if not missing:
        return None
    listed = ", ".join(f"${qubit}" for qubit in missing)
    return QuantainerError(
        "unsupported_circuit",
        f"{device.facts.name} has no usable qubits {listed}, which the circuit names.",
        limit=len(device.usable),
        hint="Name others, or declare `qubit`s and let them be placed.",
    )


def _group(circuit: Circuit, device: Device) -> QuantainerError | None:
    """Qubits that interact must fit into one connected group of the coupling map."""
    limit = len(device.largest_group)
    if limit >= circuit.program.num_qubits:
        return None
    needed = max(map(len, groups(interactions(circuit.program), circuit.program.num_qubits)))
    if needed <= limit:
        return None
    dead = f" (dead: {', '.join(map(str, device.dead))})" if device.dead else ""
    return QuantainerError(
        "too_many_qubits",
        f"{device.facts.name} has no connected group of {needed} usable qubits: its largest has "
        f"{limit}{dead}.",
        limit=limit,
        needed=needed,
        hint="Choose another backend, or a circuit whose parts do not interact.",
    )


def interactions(program: QuantumCircuit) -> list[tuple[int, ...]]:
    """Return which qubits of a program meet in a gate, those in blocks included."""
    index = {bit: place for place, bit in enumerate(program.qubits)}
    edges: set[tuple[int, ...]] = set()

    def visit(block: QuantumCircuit, place: dict[Any, int]) -> None:
        for instruction in block._data:
            at = tuple(place[bit] for bit in instruction.qubits)
            operation = None if instruction.is_standard_gate() else instruction.operation
            if isinstance(operation, ControlFlowOp):
                for inner in operation.blocks:
                    visit(inner, dict(zip(inner.qubits, at, strict=True)))
            elif len(at) > 1 and instruction.name != "barrier":
                edges.add(at)

    visit(program, index)
    return list(edges)


def _feedback(facts: Facts, device: Device) -> QuantainerError | None:
    name = device.facts.name
    if facts.dynamic and not device.facts.dynamic:
        what = "operations that depend on measured values"
    elif facts.mid_circuit and not device.facts.mid_circuit:
        what = "measurement or reset in the middle of a circuit"
    else:
        return None
    return QuantainerError(
        "unsupported_circuit",
        f"{name} cannot do {what}.",
        hint="Choose a backend that can (`quantainer devices`), or measure at the end only.",
    )


def _gates(facts: Facts, device: Device) -> QuantainerError | None:
    basis = device.facts.basis_gates
    if not basis:
        return None
    missing = [name for name in facts.gates if not _translates(name, tuple(basis))]
    if not missing:
        return None
    return QuantainerError(
        "unsupported_circuit",
        f"{device.facts.name} has no way to do {', '.join(missing)} with its gates "
        f"({', '.join(basis)}).",
        hint="Choose another backend, or replace these gates.",
    )


@lru_cache(maxsize=4096)
def _translates(name: str, basis: tuple[str, ...]) -> bool:
    """Tell whether a gate can be made of the basis, by translating one of it."""
    gate = STANDARD_GATES.get(name)
    if name in basis or gate is None or gate.num_qubits == 0:
        return True
    builder = Builder("", ReadOptions())
    builder.add_qubits(gate.num_qubits)
    angles = [0.1 * (index + 1) for index in range(gate.num_params)]
    builder.gate(gate, tuple(range(gate.num_qubits)), angles)
    names = [*basis, "measure", "reset", "delay", "barrier"]
    passes = PassManager(
        [
            UnitarySynthesis(list(names)),
            UnrollCustomDefinitions(SessionEquivalenceLibrary, list(names)),
            BasisTranslator(SessionEquivalenceLibrary, list(names)),
        ]
    )
    try:
        passes.run(builder.finish())
    except TranspilerError:
        return False
    return True
