"""Tasks: what a tape asks of the device, and its results from what comes back."""

from __future__ import annotations

import numpy as np

from quantainer_client.pennylane import samples, values
from quantainer_client.pennylane.bases import shares_of
from quantainer_client.pennylane.encode import MID_MEASURE, Encoder
from quantainer_client.pennylane.runs import Run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Sequence, Tuple, Union

    from quantainer_client.result import PubResult, Register

    Place = Tuple[PubResult, int]
    Task = Union["ExactTask", "SampledTask"]

__all__ = ["ExactTask", "SampledTask", "task_of"]

_FINAL, _MID = "final", "mid"


def task_of(tape: Any, device_wires: Any) -> Task:
    """Return what a preprocessed tape asks of the device."""
    wires = [wire for wire in device_wires or tape.wires if wire in tape.wires]
    return SampledTask(tape, wires) if tape.shots else ExactTask(tape, wires)


class SampledTask:
    """A tape with shots: a run for each basis that its measurements need."""

    def __init__(self, tape: Any, wires: Sequence[Any]) -> None:
        self._tape = tape
        bases, self._shares = shares_of(tape.measurements, wires, _is_dynamic(tape))
        # Of a circuit that is measured nowhere no shots come back, though an identity has them.
        some = [] if _is_dynamic(tape) else wires[:1]
        self._wires = [
            [wire for wire in wires if wire in set(basis.wires)] or some for basis in bases
        ]
        self.runs = []
        for basis, measured in zip(bases, self._wires):
            encoder = Encoder(wires)
            encoder.apply([*tape.operations, *basis.rotations()])
            if measured:
                encoder.measure(measured, _FINAL)
            encoder.close(_MID)
            self.runs.append(Run(encoder.columns, tape.shots.total_shots))
        self._mid_measured = list(encoder.mid_measured)

    def read(self, places: Sequence[Place]) -> Any:
        """Return the tape's results: one for each measurement, for each part of its shots."""
        shots = [_Shots(place, self._mid_measured) for place in places]
        parts = tuple(
            _unwrapped([self._value(i, shots, slice(*bounds)) for i in range(len(self._shares))])
            for bounds in self._tape.shots.bins()
        )
        return parts if self._tape.shots.has_partitioned_shots else parts[0]

    def _value(self, index: int, shots: Sequence[_Shots], part: slice) -> Any:
        constant, shares = self._shares[index]
        parts = [shots[share.basis].part(part, self._wires[share.basis]) for share in shares]
        if not all(len(bits) for bits, *_ in parts):
            return np.float64("nan")  # as of PennyLane's own devices: all shots were discarded
        values = [samples.value_of(share.measurement, *of) for share, of in zip(shares, parts)]
        if len(shares) == 1 and shares[0].measurement is self._tape.measurements[index]:
            return values[0]
        total = sum(share.factor * value for share, value in zip(shares, values))
        return np.float64(constant + total)


class _Shots:
    """The bits of one run; shots that postselection discards do not count."""

    def __init__(self, place: Place, mid_measured: Sequence[Any]) -> None:
        entry, row = place
        self._final = _bits(entry.registers.get(_FINAL), entry.shots, row)
        self._mid = _bits(entry.registers.get(_MID), entry.shots, row)
        self._mid_measured = mid_measured
        self._valid = np.ones(entry.shots, dtype=bool)
        for column, measurement in enumerate(mid_measured):
            if measurement.postselect is not None:
                self._valid &= self._mid[:, column] == measurement.postselect

    def part(self, part: slice, wires: Sequence[Any]) -> Tuple[Any, Sequence[Any], Any]:
        """Return ``value_of``'s arguments for some of the shots."""
        valid = self._valid[part]
        mid = self._mid[part][valid]
        mid_bits = {m: mid[:, column] for column, m in enumerate(self._mid_measured)}
        return self._final[part][valid], wires, mid_bits


class ExactTask:
    """A tape without shots: expectation values of Pauli observables.

    Probabilities in the eigenbasis of an observable need a run of their own, with the gates that
    turn that basis into the computational one; everything else shares one run.
    """

    def __init__(self, tape: Any, wires: Sequence[Any]) -> None:
        self._tape = tape
        self._spans: List[Tuple[int, int, int]] = []  # run, first and last observable
        shared: List[Any] = []
        self.runs: List[Run] = []
        own: List[Run] = []
        for measurement in tape.measurements:
            observables = values.observables_of(measurement, wires)
            rotations = values.rotations_of(measurement)
            if rotations:
                own.append(self._run([*tape.operations, *rotations], wires, observables))
                self._spans.append((len(own), 0, len(observables)))
            else:
                self._spans.append((0, len(shared), len(shared) + len(observables)))
                shared += observables
        self.runs = [self._run(tape.operations, wires, shared), *own] if shared else own
        self._first = 0 if shared else 1

    def read(self, places: Sequence[Place]) -> Any:
        """Return the tape's results: one for each measurement."""
        evs = []
        for entry, row in places:
            width = len(entry.evs) // entry.rows
            evs.append(np.array(entry.evs[row * width : (row + 1) * width]))
        return _unwrapped(
            [
                values.value_of(measurement, evs[run - self._first][first:last])
                for measurement, (run, first, last) in zip(self._tape.measurements, self._spans)
            ]
        )

    @staticmethod
    def _run(operations: Sequence[Any], wires: Sequence[Any], observables: List[Any]) -> Run:
        encoder = Encoder(wires)
        encoder.apply(operations)
        return Run(encoder.columns, None, observables)


def _is_dynamic(tape: Any) -> bool:
    return any(operation.name == MID_MEASURE for operation in tape.operations)


def _bits(register: Union[Register, None], shots: int, row: int) -> Any:
    """Return ``int[shots, bits]`` of a register, no columns where there is none."""
    if register is None:
        return np.zeros((shots, 0), dtype=np.int64)
    packed = np.frombuffer(register.row(row), dtype=np.uint8).reshape(shots, register.bytes)
    bits = np.unpackbits(packed, axis=1, count=register.bits, bitorder="little")
    return bits.astype(np.int64)


def _unwrapped(results: List[Any]) -> Any:
    return results[0] if len(results) == 1 else tuple(results)
