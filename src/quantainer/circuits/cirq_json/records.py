"""Cirq's measurement records: keys, their registers, and the conditions on them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from qiskit.circuit.classical import expr

from quantainer.circuits.builder import STANDARD_GATES, Block, Builder
from quantainer.circuits.cirq_json.qubits import Qubit
from quantainer.circuits.cirq_json.values import UnknownTypeError, Values

__all__ = ["Records", "Scope"]

_MAX_CONDITION_BITS = 12


@dataclass(frozen=True, slots=True)
class Scope:
    """What a circuit inside of a circuit sees differently.

    Attributes:
        qubits: Inner qubit to outer one.
        path: Where its keys live, outermost first.
        keys: Inner key to outer one.
        depth: How deep it is nested.
    """

    qubits: dict[Any, Qubit] = field(default_factory=dict)
    path: tuple[str, ...] = ()
    keys: dict[str, str] = field(default_factory=dict)
    depth: int = 0

    def key(self, key: Any, path: tuple[str, ...] | None = None) -> str:
        """Return the full name of a key."""
        own: tuple[str, ...] = ()
        if isinstance(key, dict):
            own, key = tuple(key.get("path") or ()), key["name"]
        inner = ":".join((*own, str(key)))
        place = self.path if path is None else path
        return ":".join((*place, self.keys.get(inner, inner)))

    def deeper(self, **changes: Any) -> Scope:
        """Return the scope one level further in."""
        return replace(self, depth=self.depth + 1, **changes)


class Records:
    """Makes a register for each measurement, and Qiskit's condition for each of Cirq's."""

    def __init__(self, builder: Builder, values: Values) -> None:
        self._builder, self._values = builder, values
        self._keys: dict[str, list[list[int]]] = {}

    @property
    def repeated(self) -> list[str]:
        """Keys that were measured more than once."""
        return sorted(key for key, found in self._keys.items() if len(found) > 1)

    def measure(self, block: Block, gate: dict[str, Any], at: list[int], scope: Scope) -> None:
        """Append a measurement of the qubits ``at``."""
        if any(size != 2 for size in gate.get("qid_shape") or ()):
            raise UnknownTypeError("MeasurementGate", "a measurement of qudits")
        if gate.get("confusion_map"):
            raise UnknownTypeError("MeasurementGate", "a measurement with readout noise")
        bits = self._register(scope.key(gate["key"]), len(at))
        mask = [bool(invert) for invert in gate.get("invert_mask") or ()]
        inverted = mask[: len(at)] + [False] * (len(at) - len(mask))
        for qubit, bit, invert in zip(at, bits, inverted, strict=True):
            if invert:
                block.gate(STANDARD_GATES["x"], (qubit,))
            block.measure(qubit, bit)
            if invert:
                block.gate(STANDARD_GATES["x"], (qubit,))

    def _register(self, key: str, size: int) -> list[int]:
        earlier = self._keys.setdefault(key, [])
        taken = {register.name for register in self._builder.cregs}
        names = (f"{key}_{number}" if number else key for number in itertools.count(len(earlier)))
        first = len(self._builder.clbits)
        self._builder.add_clbits(size, next(name for name in names if name not in taken))
        earlier.append(list(range(first, first + size)))
        return earlier[-1]

    def condition(self, condition: dict[str, Any], scope: Scope) -> Any:
        """Return Qiskit's condition, or a bool if it does not depend on anything."""
        kind = str(condition.get("cirq_type"))
        if kind == "SympyCondition":
            return self._sympy(condition["expr"], scope)
        if kind not in ("KeyCondition", "BitMaskKeyCondition"):
            raise UnknownTypeError(kind)
        bits = self._measured(condition["key"], condition.get("index", -1), scope)
        if kind == "KeyCondition":
            return self._any(bits)
        return self._table(bits, lambda value: _masked(value, condition))

    def _measured(self, key: Any, index: int, scope: Scope) -> list[int]:
        """Return the bits of a key, looked for in the nearest enclosing scope first."""
        for length in range(len(scope.path), -1, -1):
            found = self._keys.get(scope.key(key, scope.path[:length]))
            if found:
                return found[index]
        name = scope.key(key)
        raise ValueError(f"a condition on the key {name!r}, which is not measured before")

    def _any(self, bits: list[int]) -> Any:
        """Return "at least one bit is 1", Cirq's truth of a key."""
        if len(bits) == 1:
            return self._builder.equals(bits, [1])
        terms = [expr.lift(self._builder.clbits[bit]) for bit in bits]
        while len(terms) > 1:
            pairs = zip(terms[::2], terms[1::2], strict=False)
            terms = [expr.logic_or(*pair) for pair in pairs] + terms[len(terms) // 2 * 2 :]
        return terms[0]

    def _sympy(self, expression: Any, scope: Scope) -> Any:
        names = sorted(_symbols(expression))
        groups = [self._measured(name, -1, scope) for name in names]

        def holds(value: int) -> bool:
            integers, rest = {}, value
            for name, group in zip(reversed(names), reversed(groups), strict=True):
                integers[name] = rest & ((1 << len(group)) - 1)
                rest >>= len(group)
            return bool(self._values.holds(expression, integers))

        return self._table([bit for group in groups for bit in group], holds)

    def _table(self, bits: list[int], holds: Callable[[int], bool]) -> Any:
        """Return the condition that the integer of the bits is one that ``holds``.

        Cirq's first bit is the highest.
        """
        width = len(bits)
        if width > _MAX_CONDITION_BITS:
            reason = f"a condition on {width} bits; the limit is {_MAX_CONDITION_BITS}"
            raise UnknownTypeError("SympyCondition", reason)
        values = [value for value in range(1 << width) if holds(value)]
        return self._builder.equals(bits[::-1], values)


def _masked(value: int, condition: dict[str, Any]) -> bool:
    mask, target = condition.get("bitmask"), int(condition.get("target_value", 0))
    found = value if mask is None else value & int(mask)
    return found == target if condition.get("equal_target") else found != target


def _symbols(expression: Any) -> set[str]:
    if not isinstance(expression, dict):
        return set()
    if expression.get("cirq_type") == "sympy.Symbol":
        return {str(expression["name"])}
    return set().union(*map(_symbols, expression.get("args", ())))
