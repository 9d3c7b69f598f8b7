"""Device noise: a calibration as a Qiskit target to compile for, and as Aer's noise model."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from qiskit.circuit import Delay, IfElseOp, Measure, Parameter, Reset, SwitchCaseOp, WhileLoopOp
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.providers import QubitProperties
from qiskit.transpiler import InstructionProperties, Target

from quantainer.backends.snapshot import GateFacts, Snapshot

if TYPE_CHECKING:
    from qiskit_aer.noise import NoiseModel

__all__ = ["device_target", "noise_model"]


class _Readout(InstructionProperties):  # type: ignore[misc]
    """Readout with its two errors apart; Aer looks for these names."""

    prob_meas1_prep0: float
    prob_meas0_prep1: float


def device_target(snapshot: Snapshot, qubits: Sequence[int] | None = None) -> Target:
    """Return the target of a device, or of some of its qubits renumbered from 0.

    Dead qubits keep their number and have no instructions.
    """
    chosen = range(len(snapshot.qubits)) if qubits is None else qubits
    place = {qubit: index for index, qubit in enumerate(chosen) if snapshot.qubits[qubit].usable}
    target = Target(
        num_qubits=len(chosen),
        qubit_properties=[_properties(snapshot, qubit) for qubit in chosen],
    )
    standard = get_standard_gate_name_mapping()
    for name, instances in _by_name(snapshot, place).items():
        if name in standard:
            target.add_instruction(standard[name], instances)
    singles = [(index,) for index in place.values()]
    target.add_instruction(
        Measure(), {(index,): _readout(snapshot, qubit) for qubit, index in place.items()}
    )
    target.add_instruction(Delay(Parameter("t")), dict.fromkeys(singles))
    if snapshot.mid_circuit:
        target.add_instruction(Reset(), dict.fromkeys(singles))
    if snapshot.dynamic:
        for name, kind in (
            ("if_else", IfElseOp),
            ("switch_case", SwitchCaseOp),
            ("while_loop", WhileLoopOp),
        ):
            target.add_instruction(kind, name=name)
    return target


def noise_model(snapshot: Snapshot, qubits: Sequence[int]) -> NoiseModel:
    """Return the noise of some qubits, renumbered from 0.

    Gate errors as depolarising noise on top of thermal relaxation over the gate's duration, readout
    errors for 0 and 1 apart, relaxation during delays: Aer's model of a device.
    """
    from qiskit_aer.noise import NoiseModel

    target = device_target(snapshot, qubits)
    names = [name for name in target.operation_names if name not in ("if_else", "while_loop")]
    device = SimpleNamespace(version=2, target=target, operation_names=names, dt=None)
    return NoiseModel.from_backend(device)


def _by_name(
    snapshot: Snapshot, place: dict[int, int]
) -> dict[str, dict[tuple[int, ...], InstructionProperties | None]]:
    found: dict[str, dict[tuple[int, ...], Any]] = {}
    for (name, qubits), facts in snapshot.gates.items():
        if all(qubit in place for qubit in qubits):
            moved = tuple(place[qubit] for qubit in qubits)
            found.setdefault(name, {})[moved] = _gate(facts)
    return found


def _gate(facts: GateFacts) -> InstructionProperties | None:
    if facts.error is None and facts.duration_us is None:
        return None
    duration = None if facts.duration_us is None else facts.duration_us * 1e-6
    return InstructionProperties(duration=duration, error=facts.error)


def _readout(snapshot: Snapshot, qubit: int) -> InstructionProperties | None:
    facts = snapshot.qubits[qubit]
    if facts.readout_error is None:
        return None
    duration = None if facts.readout_us is None else facts.readout_us * 1e-6
    made = _Readout(duration=duration, error=facts.readout_error)
    made.prob_meas1_prep0 = (
        facts.readout_error if facts.one_for_zero is None else facts.one_for_zero
    )
    made.prob_meas0_prep1 = (
        facts.readout_error if facts.zero_for_one is None else facts.zero_for_one
    )
    return made


def _properties(snapshot: Snapshot, qubit: int) -> QubitProperties:
    facts = snapshot.qubits[qubit]
    return QubitProperties(
        t1=None if facts.t1_us is None else facts.t1_us * 1e-6,
        t2=None if facts.t2_us is None else facts.t2_us * 1e-6,
    )
