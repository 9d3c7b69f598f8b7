"""PennyLane operations in the columnar form."""

from __future__ import annotations

from itertools import product

from pennylane.ops import Conditional

from quantainer_client.columns import Columns
from quantainer_client.errors import QuantainerError
from quantainer_client.pennylane.gates import part_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

__all__ = ["MAX_CONDITION_BITS", "MID_MEASURE", "Encoder", "outcomes_of"]

MAX_CONDITION_BITS = 12
"""Measurements that a condition may depend on: it travels as the list of values that satisfy it."""
MID_MEASURE = "MidMeasureMP"
"""What PennyLane names a mid-circuit measurement, whatever its class is called by version."""


def outcomes_of(value: Any) -> Iterator[Tuple[Tuple[int, ...], Any]]:
    """Go through what a value of mid-circuit measurements is for each of their outcomes."""
    for branch in product((0, 1), repeat=len(value.measurements)):
        yield branch, value.processing_fn(*branch)


class Encoder:
    """Fills the columns of one circuit.

    Args:
        wires: Wire labels, the device's first qubit first.

    Attributes:
        columns: What is encoded so far.
        mid_measured: Classical bit of each mid-circuit measurement.
    """

    def __init__(self, wires: Sequence[Any]) -> None:
        self.columns = Columns(len(wires))
        self.mid_measured: Dict[Any, int] = {}
        self._index = {wire: index for index, wire in enumerate(wires)}

    def apply(self, operations: Iterable[Any]) -> None:
        """Append operations.

        Raises:
            QuantainerError: ``unsupported_circuit`` for a condition on too many measurements.
        """
        for operation in operations:
            if isinstance(operation, Conditional):
                self._append(operation.base, self._condition(operation.meas_val))
            elif operation.name == MID_MEASURE:
                self._mid_measure(operation)
            else:
                self._append(operation, None)

    def measure(self, wires: Sequence[Any], register: str) -> List[int]:
        """Measure wires into a new register and return its bits."""
        bits = self._add_bits(len(wires))
        self.columns.registers.append((register, bits))
        for wire, bit in zip(wires, bits):
            self._measure(wire, bit)
        return bits

    def close(self, register: str) -> None:
        """Name the register of the mid-circuit measurements, if there were any."""
        if self.mid_measured:
            self.columns.registers.append((register, list(self.mid_measured.values())))

    def _append(self, operation: Any, condition: Optional[int]) -> None:
        part = part_of(operation)
        if part is None:
            return
        name, wires, angles = part
        self._emit(name, wires, angles, condition)

    def _mid_measure(self, operation: Any) -> None:
        wire = operation.wires[0]
        bit = self._add_bits(1)[0]
        self.mid_measured[operation] = bit
        self._measure(wire, bit)
        if operation.reset:
            self._emit("reset", [wire], (), None)

    def _emit(
        self, name: str, wires: Sequence[Any], angles: Sequence[float], condition: Optional[int]
    ) -> None:
        columns = self.columns
        kind = columns.kind(name, len(wires), 0, len(angles))
        columns.append(kind, [self._index[wire] for wire in wires], angles)
        if condition is not None:
            columns.when[-1] = condition

    def _measure(self, wire: Any, bit: int) -> None:
        self.columns.append(self.columns.kind("measure", 1, 1), (self._index[wire], bit))

    def _add_bits(self, number: int) -> List[int]:
        first = self.columns.clbits
        self.columns.clbits += number
        return list(range(first, first + number))

    def _condition(self, value: Any) -> int:
        """Make the condition known that a PennyLane measurement value is true."""
        bits = [self.mid_measured[measurement] for measurement in value.measurements]
        if len(bits) > MAX_CONDITION_BITS:
            raise QuantainerError(
                "unsupported_circuit",
                f"A condition depends on {len(bits)} measurements.",
                limit=MAX_CONDITION_BITS,
                needed=len(bits),
            )
        values = [
            sum(digit << place for place, digit in enumerate(branch))
            for branch, outcome in outcomes_of(value)
            if outcome
        ]
        return self.columns.condition(bits, sorted(values))
