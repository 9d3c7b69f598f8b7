"""Durations: arithmetic and comparison of lengths of time."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from quantainer.circuits.qasm3.arithmetic import refuse
from quantainer.circuits.qasm3.conversion import real
from quantainer.circuits.qasm3.kinds import BOOL, DURATION, FLOAT
from quantainer.circuits.qasm3.machine import Machine
from quantainer.circuits.qasm3.syntax import Node
from quantainer.circuits.qasm3.values import Duration, Value

__all__ = ["COMPARISONS", "duration_arithmetic", "scaled"]

COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le,
    ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def scaled(machine: Machine, node: Node, value: Value, factor: float) -> Value:
    """Return a duration times a number."""
    data: Duration = machine.known(node, value, "a duration is needed")
    scaled = replace(data, seconds=data.seconds * factor, samples=data.samples * factor)
    return Value(DURATION, scaled, value.const)


def duration_arithmetic(machine: Machine, node: Node, op: str, left: Value, right: Value) -> Value:
    """Return ``left op right`` where one of them is a duration."""
    timed = [each.kind.name in ("duration", "stretch") for each in (left, right)]
    if all(timed):
        a, b = (machine.known(node, each, "a duration is needed") for each in (left, right))
        return _durations(machine, node, op, a, b, left, right)
    number = right if timed[0] else left
    if op not in ("*", "/") or number.kind.name not in ("int", "uint", "float"):
        return refuse(machine, node, op, left, right)
    factor = real(Value(number.kind, machine.known(node, number, "a number is needed")))
    if op == "/" and not timed[0]:
        return refuse(machine, node, op, left, right)
    if op == "/" and not factor:
        raise machine.invalid(node, "division by zero")
    return scaled(machine, node, left if timed[0] else right, 1 / factor if op == "/" else factor)


_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


def _durations(
    machine: Machine, node: Node, op: str, a: Duration, b: Duration, left: Value, right: Value
) -> Value:
    unit = min(a.unit, b.unit, key=_UNITS.__getitem__)
    one, other = (each.seconds * (_UNITS[each.unit] / _UNITS[unit]) for each in (a, b))
    if op in ("+", "-"):
        sign = 1 if op == "+" else -1
        stretches = a.stretches or b.stretches
        total = Duration(one + sign * other, unit, a.samples + sign * b.samples, stretches)
        return Value(DURATION, total)
    if (a.samples and other) or (b.samples and one):
        raise machine.unsupported(
            node, "durations in `dt` and in seconds are comparable on a target only"
        )
    x, y = (a.samples, b.samples) if a.samples or b.samples else (one, other)
    if op == "/":
        if not y:
            raise machine.invalid(node, "division by a duration of zero")
        return Value(FLOAT, x / y)
    if op in COMPARISONS:
        return Value(BOOL, int(COMPARISONS[op](x, y)))
    return refuse(machine, node, op, left, right)
