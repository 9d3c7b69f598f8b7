"""Operators: unary and binary, on known values and on rows of Boolean functions."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from qiskit.circuit import ParameterExpression

from quantainer.circuits.qasm3 import logic
from quantainer.circuits.qasm3.arithmetic import (
    arithmetic,
    as_angles,
    common_kind,
    converted,
    refuse,
    whole,
)
from quantainer.circuits.qasm3.conversion import cast, wrapped
from quantainer.circuits.qasm3.durations import COMPARISONS, duration_arithmetic, scaled
from quantainer.circuits.qasm3.kinds import BOOL, FLOAT, INT, Kind
from quantainer.circuits.qasm3.machine import Machine
from quantainer.circuits.qasm3.syntax import Node
from quantainer.circuits.qasm3.values import Value, is_known, row_of

__all__ = ["binary", "unary"]

_BITWISE: dict[str, Callable[[Any, Any], Any]] = {
    "&": operator.and_, "|": operator.or_, "^": operator.xor,
}  # fmt: skip
_ROW_BITWISE = {"&": logic.both, "|": logic.either, "^": logic.flip}


def unary(machine: Machine, node: Node, op: str, value: Value) -> Value:
    """Return ``op value``."""
    if op == "!":
        truth = cast(machine, node, value, BOOL)
        if is_known(truth):
            return Value(BOOL, 1 - truth.data, value.const)
        return Value(BOOL, (logic.invert(truth.data[0]),))
    return (_complement if op == "~" else _negative)(machine, node, value)


def _negative(machine: Machine, node: Node, value: Value) -> Value:
    kind = value.kind
    if kind.truth or kind.integer:  # widened first, as in C: -1 is no element of uint[4]
        return arithmetic(machine, node, "-", Value(INT, 0), value)._replace(const=value.const)
    if kind.name in ("duration", "stretch"):
        return scaled(machine, node, value, -1.0)
    if kind.name == "angle":
        if not is_known(value):
            return Value(kind, logic.negate(value.data, machine.memory.hold))
        negative = -value.data
        whole = isinstance(negative, int)
        return Value(kind, wrapped(kind, negative) if whole else negative, value.const)
    if kind.name not in ("float", "complex"):
        raise machine.invalid(node, f"`-` is not defined for {kind}")
    return Value(kind, -machine.known(node, value, "a number is needed"), value.const)


def _complement(machine: Machine, node: Node, value: Value) -> Value:
    kind = value.kind
    if not kind.binary:
        raise machine.invalid(node, f"`~` is not defined for {kind}")
    if is_known(value):
        return Value(kind, wrapped(kind, ~whole(machine, node, value)), value.const)
    return Value(kind, tuple(map(logic.invert, value.data)))


def binary(machine: Machine, node: Node, op: str, left: Value, right: Value) -> Value:
    """Return ``left op right``.

    Raises:
        QuantainerError: ``invalid_circuit`` if the operator is not defined for these types.
    """
    const = left.const and right.const
    names = {left.kind.name, right.kind.name}
    if "array" in names or "void" in names:
        raise machine.invalid(node, f"`{op}` is not defined for {left.kind} and {right.kind}")
    if op in ("&&", "||"):
        result = _logical(machine, node, op, left, right)
    elif names & {"duration", "stretch"}:
        result = duration_arithmetic(machine, node, op, left, right)
    elif op in COMPARISONS:
        result = _compare(machine, node, op, left, right)
    elif op in ("<<", ">>"):
        result = _shift(machine, node, op, left, right)
    elif op in _BITWISE:
        result = _bitwise(machine, node, op, left, right)
    else:
        result = arithmetic(machine, node, op, left, right)
    return result._replace(const=const)


def _logical(machine: Machine, node: Node, op: str, left: Value, right: Value) -> Value:
    one, other = (cast(machine, node, each, BOOL) for each in (left, right))
    join = logic.both if op == "&&" else logic.either
    bit = join(row_of(one)[0], row_of(other)[0])
    return Value(BOOL, int(bit) if isinstance(bit, bool) else (bit,))


def _compare(machine: Machine, node: Node, op: str, left: Value, right: Value) -> Value:
    if "angle" in (left.kind.name, right.kind.name):
        left, right = as_angles(machine, node, op, left, right)
        kind = left.kind
    elif left.kind.name == right.kind.name == "bits":
        if left.kind != right.kind:
            raise machine.invalid(node, f"{left.kind} and {right.kind} differ in width")
        kind = Kind("uint", left.kind.width)
    else:
        kind = common_kind(machine, node, op, left, right)
        _warn_range(machine, node, left, right)
        if kind.name == "complex" and op not in ("==", "!="):
            refuse(machine, node, op, left, right)
        left, right = (converted(machine, node, each, kind) for each in (left, right))
    if kind.binary and not (is_known(left) and is_known(right)):
        return Value(BOOL, _compared(machine, op, row_of(left), row_of(right), kind.name == "int"))
    one, other = (_comparable(machine, node, each) for each in (left, right))
    return Value(BOOL, int(COMPARISONS[op](one, other)))


def _comparable(machine: Machine, node: Node, value: Value) -> Any:
    data = machine.known(node, value, "a number is needed")
    if isinstance(data, ParameterExpression):
        cast(machine, node, Value(FLOAT, data), BOOL)  # refuses and names the input
    return data


def _compared(
    machine: Machine, op: str, left: logic.Row, right: logic.Row, signed: bool
) -> tuple[logic.Bit, ...] | int:
    width = max(logic.span(row, signed) for row in (left, right))
    left, right = (logic.resize(row, width, signed) for row in (left, right))
    if op in ("==", "!="):
        bit = logic.equal(left, right)
    elif op in ("<", ">="):
        bit = logic.less(left, right, signed, machine.memory.hold)
    else:
        bit = logic.less(right, left, signed, machine.memory.hold)
    if op in ("!=", ">=", "<="):
        bit = logic.invert(bit)
    return int(bit) if isinstance(bit, bool) else (bit,)


def _warn_range(machine: Machine, node: Node, left: Value, right: Value) -> None:
    """Say so where a signed integer is compared with a constant that it never has."""
    for value, other in ((left, right), (right, left)):
        kind = value.kind
        if kind.name == "int" and kind.size and other.const and isinstance(other.data, int):
            low, high = -(1 << kind.size - 1), (1 << kind.size - 1) - 1
            if not low <= other.data <= high:
                text = f"{kind} has the range {low} to {high} and never is {other.data}"
                machine.note(node, f"{text}; u{kind} would be unsigned")


def _bitwise(machine: Machine, node: Node, op: str, left: Value, right: Value) -> Value:
    kind = _pattern_kind(machine, node, op, left, right)
    left, right = (_as_pattern(machine, node, each, kind) for each in (left, right))
    if is_known(left) and is_known(right):
        one, other = (whole(machine, node, each) for each in (left, right))
        return Value(kind, wrapped(kind, _BITWISE[op](one, other)))
    join = _ROW_BITWISE[op]
    row = tuple(join(a, b) for a, b in zip(row_of(left), row_of(right), strict=True))
    number = logic.number(row)
    return Value(kind, row if number is None else wrapped(kind, number))


def _pattern_kind(machine: Machine, node: Node, op: str, left: Value, right: Value) -> Kind:
    """Return the type of a bitwise operation; a plain integer constant takes the other's type."""
    one, other = left.kind, right.kind
    if not (one.binary and other.binary):
        refuse(machine, node, op, left, right)
    if one == other:
        return one
    for value, pattern in ((left, other), (right, one)):
        if (
            value.kind.integer
            and value.kind.size is None
            and value.const
            and not (pattern.truth and value.data not in (0, 1))
        ):
            return pattern
    if one.truth and other.truth:
        return BOOL
    if one.integer and other.integer:
        wide = max(one.width, other.width)
        unsigned = "uint" in (one.name, other.name)
        size = None if one.size is None or other.size is None else wide
        return Kind("uint" if unsigned else "int", size)
    if one.width != other.width:
        raise machine.invalid(node, f"`{op}` needs equal widths, these are {one} and {other}")
    return one if other.name == "bits" else other


def _as_pattern(machine: Machine, node: Node, value: Value, kind: Kind) -> Value:
    if value.kind == kind:
        return value
    if is_known(value):
        data = whole(machine, node, value)
        if not kind.integer and data >= 1 << kind.width:
            raise machine.invalid(node, f"{data} does not fit {kind}")
        return Value(kind, wrapped(kind, data), value.const)
    if value.kind.integer and kind.integer:
        return cast(machine, node, value, kind)
    return Value(kind, value.data)


def _shift(machine: Machine, node: Node, op: str, left: Value, right: Value) -> Value:
    kind = left.kind
    if not kind.binary or kind.truth or not (right.kind.integer or right.kind.name == "bits"):
        refuse(machine, node, op, left, right)
    if is_known(right):
        distance = int(right.data)
        if distance < 0:
            raise machine.invalid(node, f"a shift by {distance}", "Shift the other way.")
        distance = min(distance, kind.width)
        if is_known(left):
            data = whole(machine, node, left)
            moved = data << distance if op == "<<" else data >> distance
            return Value(kind, wrapped(kind, moved))
        by = logic.constant(distance, distance.bit_length())
    else:
        by = row_of(right)
    row = row_of(left)
    fill = row[-1] if kind.name == "int" else False
    return Value(kind, logic.shift(row, by, op == "<<", False if op == "<<" else fill, False,
                                   machine.memory.hold))  # fmt: skip
