"""Cirq circuits in the columnar form."""

from __future__ import annotations

from itertools import count, product

import cirq
import sympy

from quantainer_client.cirq.gates import parts_of, unitary_part
from quantainer_client.columns import Columns
from quantainer_client.errors import QuantainerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Sequence, Tuple

__all__ = ["Encoded", "NotAffineError", "encode"]

_MAX_CONDITION_BITS = 12
"""Bits that a condition may depend on: it travels as the list of values that satisfy it."""

_DIGITS = 20
"""Of the constants in an expression: more than a float has."""


class NotAffineError(Exception):
    """A gate's angle is no affine function of the circuit's parameters."""


class Measured:
    """Every measurement under one key.

    Attributes:
        key: As the circuit names it.
        instances: Classical bits of each measurement in turn, first measured qubit first.
        inverted: Which of the bits to flip, likewise.
    """

    def __init__(self, key: cirq.MeasurementKey) -> None:
        self.key = key
        self.instances: List[List[int]] = []
        self.inverted: List[Tuple[bool, ...]] = []
        self.qubits: Tuple[cirq.Qid, ...] = ()


class Encoded:
    """A circuit's columns with what is needed to read its results.

    Attributes:
        columns: The circuit; one register for each measurement key.
        measured: By measurement key.
    """

    def __init__(self, columns: Columns, measured: Dict[str, Measured]) -> None:
        self.columns = columns
        self.measured = measured


def encode(circuit: cirq.AbstractCircuit, order: cirq.QubitOrderOrList) -> Encoded:
    """Encode a circuit; its qubits are numbered in the given order.

    Gates beyond the columnar form are taken apart by Cirq, or sent as matrices.

    Raises:
        NotAffineError: If a parameter cannot travel; bind it first.
        QuantainerError: ``unsupported_circuit`` for qudits, noise channels and loops;
            ``no_measurement``.
    """
    qubits = cirq.QubitOrder.as_qubit_order(order).order_for(circuit.all_qubits())
    for qubit in qubits:
        if qubit.dimension != 2:
            raise _unsupported(f"{qubit} has {qubit.dimension} levels; only qubits can travel.")
    walk = _Walk(qubits)
    for operation in _unrolled(circuit).all_operations():
        walk.append(operation, ())
    if not walk.measured:
        raise QuantainerError(
            "no_measurement",
            "The Cirq circuit measures nothing.",
            hint="End it with cirq.measure(...).",
        )
    walk.columns.registers = [
        (key or _name_of_none(walk.measured), [bit for bits in measured.instances for bit in bits])
        for key, measured in walk.measured.items()
    ]
    return Encoded(walk.columns, walk.measured)


def _name_of_none(taken: Dict[str, Measured]) -> str:
    """Return a name for the empty key, which no register can have: one that no key has."""
    return next(name for name in ("_" * size for size in count(1)) if name not in taken)


def _unrolled(circuit: cirq.AbstractCircuit) -> cirq.AbstractCircuit:
    """Return a circuit with its subcircuits written out."""
    try:
        return cirq.unroll_circuit_op(circuit, deep=True, tags_to_check=None)
    except ValueError:
        if cirq.is_parameterized(circuit):
            raise NotAffineError("the number of repetitions") from None
        raise _unsupported("A Cirq loop with repeat_until cannot travel.") from None


class _Walk:
    """Goes through a circuit and fills its columns."""

    def __init__(self, qubits: Sequence[cirq.Qid]) -> None:
        self.columns = Columns(len(qubits))
        self.measured: Dict[str, Measured] = {}
        self._index = {qubit: index for index, qubit in enumerate(qubits)}

    def append(self, operation: cirq.Operation, conditions: Tuple[cirq.Condition, ...]) -> None:
        operation = operation.untagged
        if operation.classical_controls:
            conditions += tuple(operation.classical_controls)
            operation = operation.without_classical_controls().untagged
        gate = operation.gate
        if isinstance(gate, cirq.MeasurementGate):
            self._measure(gate, operation.qubits)
        elif isinstance(gate, cirq.ResetChannel):
            self._emit("reset", operation.qubits, (), conditions)
        elif gate is None or (parts := parts_of(gate)) is None:
            self._take_apart(operation, conditions)
        else:
            self._emit_parts(parts, operation.qubits, conditions)

    def _take_apart(
        self, operation: cirq.Operation, conditions: Tuple[cirq.Condition, ...]
    ) -> None:
        if isinstance(operation.gate, cirq.MatrixGate):
            parts = unitary_part(operation)
            if parts is not None:
                self._emit_parts(parts, operation.qubits, conditions)
                return
        smaller = cirq.decompose_once(operation, None)
        if smaller is not None:
            for part in smaller:
                self.append(part, conditions)
            return
        parts = unitary_part(operation)
        if parts is None:
            if cirq.is_parameterized(operation):
                raise NotAffineError(str(operation))
            raise _unsupported(
                f"{operation} cannot travel: it is no unitary, measurement or reset, "
                "nor made of such.",
                hint="Noise belongs to the backend: choose a calibrated emulator.",
            )
        self._emit_parts(parts, operation.qubits, conditions)

    def _emit_parts(
        self, parts: List[Any], qubits: Sequence[cirq.Qid], conditions: Tuple[cirq.Condition, ...]
    ) -> None:
        for name, where, angles in parts:
            self._emit(name, [qubits[index] for index in where], angles, conditions)

    def _emit(
        self,
        name: str,
        qubits: Sequence[cirq.Qid],
        angles: Sequence[Any],
        conditions: Tuple[cirq.Condition, ...],
    ) -> None:
        columns = self.columns
        numbers = []
        for slot, angle in enumerate(angles, len(columns.params)):
            if isinstance(angle, sympy.Basic):
                columns.symbols.append((slot, *_affine(angle)))
                numbers.append(0.0)
            else:
                numbers.append(float(angle))
        when = self._condition(conditions) if conditions else None
        kind = columns.kind(name, len(qubits), 0, len(numbers))
        columns.append(kind, [self._index[qubit] for qubit in qubits], numbers)
        if when is not None:
            columns.when[-1] = when

    def _measure(self, gate: cirq.MeasurementGate, qubits: Sequence[cirq.Qid]) -> None:
        if gate.confusion_map:
            raise _unsupported("A Cirq measurement with a confusion map cannot travel.")
        columns = self.columns
        name = str(gate.mkey)
        measured = self.measured.setdefault(name, Measured(gate.mkey))
        bits = list(range(columns.clbits, columns.clbits + len(qubits)))
        if measured.instances and len(measured.instances[0]) != len(bits):
            raise _unsupported(f"Key {name!r} measures different numbers of qubits.")
        columns.clbits += len(bits)
        measured.instances.append(bits)
        measured.inverted.append(gate.full_invert_mask())
        measured.qubits = tuple(qubits)
        kind = columns.kind("measure", 1, 1)
        for qubit, bit in zip(qubits, bits):
            columns.append(kind, (self._index[qubit], bit))

    def _condition(self, conditions: Tuple[cirq.Condition, ...]) -> int:
        """Make a conjunction of conditions known, by trying every value of what it depends on.

        Cirq itself says of each value whether it satisfies the conditions, so that its rules (any
        bit set, sympy expressions, masks, inverted measurements) need not be told again here.
        """
        involved: List[Tuple[Measured, int]] = []
        for condition in conditions:
            for key in condition.keys:
                measured = self.measured.get(str(key))
                if measured is None:
                    raise QuantainerError(
                        "invalid_circuit",
                        f"An operation depends on key {str(key)!r}, which is not yet measured.",
                    )
                instance = getattr(condition, "index", -1) % len(measured.instances)
                if (measured, instance) not in involved:
                    involved.append((measured, instance))
        bits = [bit for measured, instance in involved for bit in measured.instances[instance]]
        if len(bits) > _MAX_CONDITION_BITS:
            raise QuantainerError(
                "unsupported_circuit",
                f"A condition depends on {len(bits)} measured bits.",
                limit=_MAX_CONDITION_BITS,
                needed=len(bits),
            )
        values = [
            sum(digit << place for place, digit in enumerate(digits))
            for digits in product((0, 1), repeat=len(bits))
            if _satisfied(conditions, involved, digits)
        ]
        return self.columns.condition(bits, sorted(values))


def _satisfied(
    conditions: Tuple[cirq.Condition, ...],
    involved: List[Tuple[Measured, int]],
    digits: Tuple[int, ...],
) -> bool:
    known: Dict[Tuple[str, int], Tuple[int, ...]] = {}
    start = 0
    for measured, instance in involved:
        inverted = measured.inverted[instance]
        own = digits[start : start + len(inverted)]
        known[str(measured.key), instance] = tuple(d ^ flip for d, flip in zip(own, inverted))
        start += len(inverted)
    store = cirq.ClassicalDataDictionaryStore()
    for measured in {id(m): m for m, _ in involved}.values():
        for instance, bits in enumerate(measured.instances):
            value = known.get((str(measured.key), instance), (0,) * len(bits))
            store.record_measurement(measured.key, value, measured.qubits)
    return all(condition.resolve(store) for condition in conditions)


def _affine(expression: sympy.Basic) -> Tuple[List[Tuple[str, float]], float]:
    """Return an expression as ``(terms, constant)``.

    Raises:
        NotAffineError: If it is not affine with real coefficients.
    """
    terms: List[Tuple[str, float]] = []
    constant = 0.0
    # In digits, since cirq.rx(t) has the angle t / sympy.pi * math.pi.
    digits = sympy.expand(sympy.N(expression, _DIGITS))
    for term, coefficient in digits.as_coefficients_dict().items():
        number = _real(coefficient)
        if isinstance(term, sympy.Symbol) and number is not None:
            terms.append((term.name, number))
        elif term.is_number and number is not None and (value := _real(term)) is not None:
            constant += number * value
        else:
            raise NotAffineError(str(expression))
    return sorted(terms), constant


def _real(value: Any) -> Optional[float]:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _unsupported(message: str, hint: Optional[str] = None) -> QuantainerError:
    return QuantainerError("unsupported_circuit", message, hint=hint)
