"""Arithmetic: ``+ - * / % **`` on integers, floats, complex numbers and angles."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable
from typing import Any

from qiskit.circuit import ParameterExpression

from quantainer.circuits.qasm3 import logic
from quantainer.circuits.qasm3.conversion import cast, real, wrapped
from quantainer.circuits.qasm3.kinds import COMPLEX, FLOAT, INT, MACHINE, UINT, Kind
from quantainer.circuits.qasm3.machine import Machine
from quantainer.circuits.qasm3.syntax import Node
from quantainer.circuits.qasm3.values import Value, is_known, row_of

__all__ = ["arithmetic", "as_angles", "common_kind", "converted", "refuse", "whole"]


_WIDE = 1024
"""Bits of an integer from which on arithmetic takes the time of iterations of a loop."""


def refuse(machine: Machine, node: Node, op: str, left: Value, right: Value) -> Value:
    """Refuse operands; returns nothing."""
    raise machine.invalid(node, f"`{op}` is not defined for {left.kind} and {right.kind}")


def whole(machine: Machine, node: Node, value: Value) -> int:
    """Return a known bit pattern as an integer."""
    data = machine.known(node, value, "an integer is needed")
    if not isinstance(data, int):
        raise machine.invalid(node, "an input without a value cannot be taken apart into bits")
    return data


def common_kind(machine: Machine, node: Node, op: str, left: Value, right: Value) -> Kind:
    """Return the type that both are converted to: the usual arithmetic conversions of C99."""
    kinds = (left.kind, right.kind)
    if not all(kind.number for kind in kinds):
        refuse(machine, node, op, left, right)
    names = {kind.name for kind in kinds}
    if "complex" in names:
        return COMPLEX
    if "float" in names:
        return FLOAT
    width = max(MACHINE, *(kind.width for kind in kinds))
    unsigned = any(kind.name in ("uint", "bits") and kind.width >= width for kind in kinds)
    if width == MACHINE:
        return UINT if unsigned else INT
    return Kind("uint" if unsigned else "int", width)


def converted(machine: Machine, node: Node, value: Value, kind: Kind) -> Value:
    """Return an operand in the common type; a register counts as unsigned."""
    if value.kind.name == "bits":
        value = Value(Kind("uint", value.kind.width), value.data, value.const)
    return cast(machine, node, value, kind)


def arithmetic(machine: Machine, node: Node, op: str, left: Value, right: Value) -> Value:
    """Return ``left op right``."""
    if left.kind is INT and right.kind is INT and is_known(left) and is_known(right):
        return Value(INT, _integer(machine, node, op, left.data, right.data, INT))  # most are
    if "angle" in (left.kind.name, right.kind.name):
        return _angle_arithmetic(machine, node, op, left, right)
    kind = common_kind(machine, node, op, left, right)
    if kind.name in ("float", "complex"):
        return _floating(machine, node, op, left, right, kind)
    left, right = (converted(machine, node, each, kind) for each in (left, right))
    if is_known(left) and is_known(right):
        return Value(kind, _integer(machine, node, op, left.data, right.data, kind))
    return _integer_rows(machine, node, op, left, right, kind)


def _integer(machine: Machine, node: Node, op: str, a: int, b: int, kind: Kind) -> int:
    if kind.width >= _WIDE:
        products = b.bit_length() if op == "**" else 1
        machine.spend(node.at, products * (kind.width // _WIDE))
    if op in ("/", "%"):
        if not b:
            raise machine.invalid(node, "division by zero")
        quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)  # towards zero, as in C
        if op == "/" and quotient * b != a:
            text = f"{a} / {b} divides integers and gives {quotient}"
            machine.note(node, f"{text}; {a}.0 / {b} is the fraction")
        return wrapped(kind, quotient if op == "/" else a - quotient * b)
    if op == "**":
        if b < 0:
            reason = f"an integer to the power {b} is not an integer"
            raise machine.invalid(node, reason, "Make the base a float, e.g. `2.0 ** -1`.")
        return wrapped(kind, pow(a, b, 1 << kind.width))
    return wrapped(kind, {"+": a + b, "-": a - b, "*": a * b}[op])


def _integer_rows(
    machine: Machine, node: Node, op: str, left: Value, right: Value, kind: Kind
) -> Value:
    """Compute at run time, in no more bits than the operands have."""
    signed = kind.name == "int"
    a, b = row_of(left), row_of(right)
    spans = [logic.span(row, signed) for row in (a, b)]
    wide = {"*": sum(spans), "**": kind.width}.get(op, max(spans) + 1)
    width = min(kind.width, wide)
    a, b = (logic.resize(row, width, signed) for row in (a, b))
    row = logic.resize(_rows(machine, node, op, a, b, signed), kind.width, signed or op == "-")
    number = logic.number(row)
    return Value(kind, row if number is None else wrapped(kind, number))


def _rows(
    machine: Machine, node: Node, op: str, a: logic.Row, b: logic.Row, signed: bool
) -> logic.Row:
    hold = machine.memory.hold
    if op == "+":
        return logic.add(a, b, hold)
    if op == "-":
        return logic.add(a, tuple(map(logic.invert, b)), hold, True)
    if op == "*":
        return logic.multiply(a, b, hold)
    if op == "**":
        return _powers(machine, a, b)
    return _divided(machine, node, op, a, b, signed)


def _powers(machine: Machine, a: logic.Row, b: logic.Row) -> logic.Row:
    """Return a to the power b, by repeated squaring."""
    hold = machine.memory.hold
    result = logic.constant(1, len(a))
    for place in range(min(len(b), logic.span(b, signed=False))):
        if b[place] is not False:
            result = logic.mux(b[place], logic.multiply(result, a, hold), result, hold)
            result = tuple(map(hold, result))
        a = logic.multiply(a, a, hold)
    return result


def _divided(
    machine: Machine, node: Node, op: str, a: logic.Row, b: logic.Row, signed: bool
) -> logic.Row:
    hold = machine.memory.hold
    if logic.number(b) == 0:
        raise machine.invalid(node, "division by zero")
    signs = (hold(a[-1]), hold(b[-1])) if signed else (False, False)
    sizes = [
        tuple(map(hold, logic.mux(sign, logic.negate(row, hold), row, hold)))
        for sign, row in zip(signs, (a, b), strict=True)
    ]
    quotient, rest = logic.divide(sizes[0], sizes[1], hold)
    negative = logic.flip(*signs) if op == "/" else signs[0]
    row = quotient if op == "/" else rest
    return logic.mux(negative, logic.negate(row, hold), row, hold)


def _floating(
    machine: Machine, node: Node, op: str, left: Value, right: Value, kind: Kind
) -> Value:
    values = []
    for each in (left, right):
        if each.kind.name == "bits":
            refuse(machine, node, op, left, right)
        values.append(real(Value(each.kind, machine.known(node, each, "a number is needed"))))
    a, b = values
    if op == "%":
        if kind.name == "complex" or any(isinstance(each, ParameterExpression) for each in values):
            refuse(machine, node, op, left, right)
        return Value(kind, _checked(machine, node, lambda: _remainder(a, b)))
    actions = {
        "+": lambda: a + b, "-": lambda: a - b, "*": lambda: a * b, "/": lambda: a / b,
        "**": lambda: _power(a, b, kind),
    }  # fmt: skip
    return Value(kind, _checked(machine, node, actions[op]))


def _remainder(a: float, b: float) -> float:
    if not b:
        raise ZeroDivisionError
    return math.fmod(a, b)


def _power(a: Any, b: Any, kind: Kind) -> Any:
    result = a**b
    if isinstance(result, complex) and kind.name != "complex":
        raise ValueError("the power of a negative float is complex")
    return cmath.exp(b * cmath.log(a)) if kind.name == "complex" and a else result


def _checked(machine: Machine, node: Node, compute: Callable[[], Any]) -> Any:
    try:
        result = compute()
    except ZeroDivisionError:
        raise machine.invalid(node, "division by zero") from None
    except (OverflowError, ValueError, TypeError) as error:
        raise machine.invalid(node, f"the value cannot be computed: {error}") from None
    return result


# Angles


def as_angles(
    machine: Machine, node: Node, op: str, left: Value, right: Value
) -> tuple[Value, Value]:
    """Return both as angles of one width."""
    kinds = [each.kind for each in (left, right) if each.kind.name == "angle"]
    kind = max(kinds, key=lambda each: each.width)
    for each in (left, right):
        if each.kind.name not in ("angle", "float"):
            refuse(machine, node, op, left, right)
    return cast(machine, node, left, kind), cast(machine, node, right, kind)


def _angle_arithmetic(machine: Machine, node: Node, op: str, left: Value, right: Value) -> Value:
    symbolic = any(isinstance(each.data, ParameterExpression) for each in (left, right))
    one, other = left.kind.name, right.kind.name
    scaling = op == "*" or (op == "/" and one == "angle")
    if symbolic or op == "**" or (scaling and "float" in (one, other)):
        return _floating(machine, node, op, left, right, FLOAT)
    if op in ("+", "-") or (op == "/" and one == other == "angle"):
        left, right = as_angles(machine, node, op, left, right)
        kind = left.kind
        result = UINT if kind.size is None else Kind("uint", kind.size)
        result = kind if op != "/" else result
    elif scaling and "angle" in (one, other) and {one, other} & {"int", "uint", "bool", "bit"}:
        kind = left.kind if one == "angle" else right.kind
        integer = Kind("int", kind.width + 1)
        left, right = (
            each if each.kind.name == "angle" else _factor(machine, node, each, kind, integer)
            for each in (left, right)
        )
        result = kind
    else:
        return refuse(machine, node, op, left, right)
    pattern = Kind("uint", kind.width)
    rows = [Value(pattern, each.data) for each in (left, right)]
    if is_known(left) and is_known(right):
        number = _integer(machine, node, op, left.data, right.data, pattern)
        return Value(result, number)
    return _integer_rows(machine, node, op, rows[0], rows[1], pattern)._replace(kind=result)


def _factor(machine: Machine, node: Node, value: Value, kind: Kind, integer: Kind) -> Value:
    if is_known(value) and value.data < 0 and kind.name == "angle":
        return Value(Kind("uint", kind.width), value.data % (1 << kind.width))
    return cast(machine, node, value, Kind("uint", integer.width - 1))
