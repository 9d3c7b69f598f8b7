"""Fit: what a circuit becomes on a target, and whether it can succeed there."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from quantainer.circuits.checks import reasons_against
from quantainer.circuits.circuit import Circuit
from quantainer.circuits.compile import Compiled, compile_for
from quantainer.circuits.measure import measure
from quantainer.circuits.target import Device
from quantainer_client.errors import QuantainerError

if TYPE_CHECKING:
    from quantainer.core.facts import Facts
    from quantainer.core.target import TargetFacts

__all__ = ["Fit", "fit"]


@dataclass(frozen=True, slots=True)
class Fit:
    """A circuit on a target. ``None`` where the target states too little to know.

    Attributes:
        fits: It can be compiled, and is over before the qubits forget; ``None`` where only an
            attempt tells.
        reasons: Every reason why not.
        qubits_used: Physical qubits that something acts on.
        native_depth: Depth in the target's gates, by the rule of ``docs/facts.md``.
        native_two_qubit_depth: The same over gates on two or more qubits.
        swaps: Swaps added for the connections.
        native_gates: Native gate name to count.
        duration_us: Time from the first gate to the end of the last measurement, all as soon as
            possible.
        coherence_share: That time over the shortest T1 or T2 among the used qubits.
        success_probability: Product of the fidelities of all gates and measurements.
    """

    fits: bool | None
    reasons: tuple[str, ...] = ()
    qubits_used: tuple[int, ...] = ()
    native_depth: int | None = None
    native_two_qubit_depth: int | None = None
    swaps: int | None = None
    native_gates: dict[str, int] | None = None
    duration_us: float | None = None
    coherence_share: float | None = None
    success_probability: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON fields."""
        return asdict(self)


def fit(circuit: Circuit, facts: Facts, target: TargetFacts, level: int = 1) -> Fit:
    """Compile a circuit for a target and say what it takes there."""
    against = reasons_against(circuit, facts, Device.of(target))
    if against:
        return Fit(False, tuple(str(reason) for reason in against))
    try:
        compiled = compile_for(circuit, facts, target, level)
    except QuantainerError as error:
        if error.code == "invalid_option":  # says nothing about the circuit
            raise
        return Fit(False, (str(error),))
    return fit_of(compiled, target)


def fit_of(compiled: Compiled, target: TargetFacts) -> Fit:
    """Say what a compiled circuit takes on its target."""
    native = measure(Circuit(compiled.program, "native"))
    schedule = _Schedule(target, compiled.program)
    duration = schedule.run()
    used = schedule.used()
    times = [
        time
        for qubit in used
        if qubit < len(target.qubit_facts)
        for time in (target.qubit_facts[qubit].t1_us, target.qubit_facts[qubit].t2_us)
        if time is not None
    ]
    share = duration / min(times) if duration is not None and times and min(times) > 0 else None
    reasons = []
    if share is not None and share > 1:
        reasons.append(
            f"{target.name}: the circuit takes {duration:.1f} µs, the shortest T1 or T2 of its "
            f"qubits is {min(times):.1f} µs."
        )
    return Fit(
        fits=not reasons,
        reasons=tuple(reasons),
        qubits_used=used,
        native_depth=native.depth,
        native_two_qubit_depth=native.two_qubit_depth,
        swaps=compiled.swaps,
        native_gates=native.gates,
        duration_us=duration,
        coherence_share=share,
        success_probability=schedule.success,
    )


class _Schedule:
    """Goes through a compiled program and adds up time and errors.

    Of an ``if`` the longest and the least reliable branch count; a loop makes both unknown.
    """

    def __init__(self, target: TargetFacts, program: Any) -> None:
        self._target, self._program = target, program
        self._place = {bit: index for index, bit in enumerate(program.qubits)}
        self._free: dict[Any, float] = {}
        self._timed = bool(target.gate_duration_us)
        self.success: float | None = 1.0 if _knows_errors(target) else None

    def used(self) -> tuple[int, ...]:
        """Return the physical qubits that something acts on."""
        return tuple(
            sorted(
                {
                    self._place[bit]
                    for instruction in self._program._data
                    if instruction.name not in ("barrier", "delay")
                    for bit in instruction.qubits
                }
            )
        )

    def run(self) -> float | None:
        """Return the duration in microseconds."""
        self._block(self._program, self._place, self._free)
        return max(self._free.values(), default=0.0) if self._timed else None

    def _block(self, block: Any, place: dict[Any, int], free: dict[Any, float]) -> None:
        for instruction in block._data:
            wires = [*instruction.qubits, *instruction.clbits]
            start = max((free.get(wire, 0.0) for wire in wires), default=0.0)
            length = self._length(instruction, place)
            free.update(dict.fromkeys(wires, start + length))

    def _length(self, instruction: Any, place: dict[Any, int]) -> float:
        name = instruction.name
        if name in ("barrier", "global_phase", "store"):
            return 0.0
        if name == "delay":
            return self._delay(instruction.operation)
        if not instruction.is_standard_gate() and hasattr(instruction.operation, "blocks"):
            return self._control(instruction, place)
        at = [place[bit] for bit in instruction.qubits]
        key = " ".join([name, *map(str, at)])
        self._spend(name, key, at)
        duration = self._target.gate_duration_us.get(key)
        if duration is None:
            self._timed = False
            return 0.0
        return duration

    def _delay(self, operation: Any) -> float:
        scale = {"s": 1e6, "ms": 1e3, "us": 1.0, "µs": 1.0, "ns": 1e-3, "ps": 1e-6}
        if operation.unit not in scale or not isinstance(operation.duration, int | float):
            self._timed = False  # in the device's own time steps
            return 0.0
        return float(operation.duration) * scale[operation.unit]

    def _control(self, instruction: Any, place: dict[Any, int]) -> float:
        operation = instruction.operation
        if operation.name not in ("if_else", "switch_case"):
            self._timed, self.success = False, None
        before, worst, longest = self.success, self.success, 0.0
        for block in operation.blocks:
            self.success = before
            inner = {
                bit: place[outer]
                for bit, outer in zip(block.qubits, instruction.qubits, strict=True)
            }
            free: dict[Any, float] = {}
            self._block(block, inner, free)
            longest = max(longest, max(free.values(), default=0.0))
            if worst is not None:
                worst = None if self.success is None else min(worst, self.success)
        self.success = worst
        return longest

    def _spend(self, name: str, key: str, at: list[int]) -> None:
        if self.success is None:
            return
        error = self._target.gate_error.get(key)
        if error is None and name == "measure" and at[0] < len(self._target.qubit_facts):
            error = self._target.qubit_facts[at[0]].readout_error
        if error is None or not math.isfinite(error):
            self.success = None
        else:
            self.success *= max(0.0, 1.0 - error)


def _knows_errors(target: TargetFacts) -> bool:
    return bool(target.gate_error)
