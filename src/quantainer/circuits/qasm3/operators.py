"""Operators: unary and binary, on known values and on rows of Boolean functions."""

from __future__ import annotations

import cmath
import math
import operator
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from qiskit.circuit import ParameterExpression

from quantainer.circuits.qasm3 import logic
from quantainer.circuits.qasm3.conversion import cast, real, wrapped
from quantainer.circuits.qasm3.kinds import (
    BOOL,
    COMPLEX,
    DURATION,
    FLOAT,
    INT,
    MACHINE,
    UINT,
    Kind,
)
from quantainer.circuits.qasm3.machine import Machine
from quantainer.circuits.qasm3.syntax import Node
from quantainer.circuits.qasm3.values import Duration, Value, is_known, row_of

__all__ = ["binary", "unary"]

_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le,
    ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
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
    if value.kind.truth:
        value = cast(machine, node, value, INT)
    kind = value.kind
    if kind.name in ("duration", "stretch"):
        return _scaled(machine, node, value, -1.0)
    if kind.integer or kind.name == "angle":
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
        return Value(kind, wrapped(kind, ~_whole(machine, node, value)), value.const)
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
        result = _timing(machine, node, op, left, right)
    elif op in _COMPARISONS:
        result = _compare(machine, node, op, left, right)
    elif op in ("<<", ">>"):
        result = _shift(machine, node, op, left, right)
    elif op in _BITWISE:
        result = _bitwise(machine, node, op, left, right)
    else:
        result = _arithmetic(machine, node, op, left, right)
    return result._replace(const=const)


def _refuse(machine: Machine, node: Node, op: str, left: Value, right: Value) -> Value:
    raise machine.invalid(node, f"`{op}` is not defined for {left.kind} and {right.kind}")


def _whole(machine: Machine, node: Node, value: Value) -> int:
    data = machine.known(node, value, "an integer is needed")
    if not isinstance(data, int):
        raise machine.invalid(node, "an input without a value cannot be taken apart into bits")
    return data


def _logical(machine: Machine, node: Node, op: str, left: Value, right: Value) -> Value:
    one, other = (cast(machine, node, each, BOOL) for each in (left, right))
    join = logic.both if op == "&&" else logic.either
    bit = join(row_of(one)[0], row_of(other)[0])
    return Value(BOOL, int(bit) if isinstance(bit, bool) else (bit,))


# Numbers


def _common(machine: Machine, node: Node, op: str, left: Value, right: Value) -> Kind:
    """Return the type that both are converted to: the usual arithmetic conversions of C99."""
    kinds = (left.kind, right.kind)
    if not all(kind.number for kind in kinds):
        _refuse(machine, node, op, left, right)
    names = {kind.name for kind in kinds}
    if "complex" in names:
        return COMPLEX
    if "float" in names:
        return FLOAT
    width = max(MACHINE, *(kind.width for kind in kinds))
    unsigned = any(kind.name in ("uint", "bits") and kind.width >= width for kind in kinds)
    size = None if width == MACHINE else width
    return Kind("uint" if unsigned else "int", size)


def _converted(machine: Machine, node: Node, value: Value, kind: Kind) -> Value:
    if value.kind.name == "bits":
        value = Value(Kind("uint", value.kind.width), value.data, value.const)
    return cast(machine, node, value, kind)


def _compare(machine: Machine, node: Node, op: str, left: Value, right: Value) -> Value:
    if "angle" in (left.kind.name, right.kind.name):
        left, right = _angles(machine, node, op, left, right)
        kind = left.kind
    elif left.kind.name == right.kind.name == "bits":
        if left.kind != right.kind:
            raise machine.invalid(node, f"{left.kind} and {right.kind} differ in width")
        kind = Kind("uint", left.kind.width)
    else:
        kind = _common(machine, node, op, left, right)
        _warn_range(machine, node, left, right)
        if kind.name == "complex" and op not in ("==", "!="):
            _refuse(machine, node, op, left, right)
        left, right = (_converted(machine, node, each, kind) for each in (left, right))
    if kind.binary and not (is_known(left) and is_known(right)):
        return Value(BOOL, _compared(machine, op, row_of(left), row_of(right), kind.name == "int"))
    one, other = (_comparable(machine, node, each) for each in (left, right))
    return Value(BOOL, int(_COMPARISONS[op](one, other)))


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
        one, other = (_whole(machine, node, each) for each in (left, right))
        return Value(kind, wrapped(kind, _BITWISE[op](one, other)))
    join = _ROW_BITWISE[op]
    row = tuple(join(a, b) for a, b in zip(row_of(left), row_of(right), strict=True))
    number = logic.number(row)
    return Value(kind, row if number is None else wrapped(kind, number))


def _pattern_kind(machine: Machine, node: Node, op: str, left: Value, right: Value) -> Kind:
    """Return the type of a bitwise operation; a plain integer constant takes the other's type."""
    one, other = left.kind, right.kind
    if not (one.binary and other.binary):
        _refuse(machine, node, op, left, right)
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
        data = _whole(machine, node, value)
        if not kind.integer and data >= 1 << kind.width:
            raise machine.invalid(node, f"{data} does not fit {kind}")
        return Value(kind, wrapped(kind, data), value.const)
    if value.kind.integer and kind.integer:
        return cast(machine, node, value, kind)
    return Value(kind, value.data)


def _shift(machine: Machine, node: Node, op: str, left: Value, right: Value) -> Value:
    kind = left.kind
    if not kind.binary or kind.truth or not (right.kind.integer or right.kind.name == "bits"):
        _refuse(machine, node, op, left, right)
    if is_known(right):
        distance = int(right.data)
        if distance < 0:
            raise machine.invalid(node, f"a shift by {distance}", "Shift the other way.")
        distance = min(distance, kind.width)
        if is_known(left):
            data = _whole(machine, node, left)
            moved = data << distance if op == "<<" else data >> distance
            return Value(kind, wrapped(kind, moved))
        by = logic.constant(distance, distance.bit_length())
    else:
        by = row_of(right)
    row = row_of(left)
    fill = row[-1] if kind.name == "int" else False
    return Value(kind, logic.shift(row, by, op == "<<", False if op == "<<" else fill, False,
                                   machine.memory.hold))  # fmt: skip


def _arithmetic(machine: Machine, node: Node, op: str, left: Value, right: Value) -> Value:
    if "angle" in (left.kind.name, right.kind.name):
        return _angle_arithmetic(machine, node, op, left, right)
    kind = _common(machine, node, op, left, right)
    if kind.name in ("float", "complex"):
        return _floating(machine, node, op, left, right, kind)
    left, right = (_converted(machine, node, each, kind) for each in (left, right))
    if is_known(left) and is_known(right):
        return Value(kind, _integer(machine, node, op, left.data, right.data, kind))
    return _integer_rows(machine, node, op, left, right, kind)


def _integer(machine: Machine, node: Node, op: str, a: int, b: int, kind: Kind) -> int:
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
            _refuse(machine, node, op, left, right)
        values.append(real(Value(each.kind, machine.known(node, each, "a number is needed"))))
    a, b = values
    if op == "%":
        if kind.name == "complex" or any(isinstance(each, ParameterExpression) for each in values):
            _refuse(machine, node, op, left, right)
        return Value(kind, _checked(machine, node, lambda: math.fmod(a, b)))
    actions = {
        "+": lambda: a + b, "-": lambda: a - b, "*": lambda: a * b, "/": lambda: a / b,
        "**": lambda: _power(a, b, kind),
    }  # fmt: skip
    return Value(kind, _checked(machine, node, actions[op]))


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


def _angles(
    machine: Machine, node: Node, op: str, left: Value, right: Value
) -> tuple[Value, Value]:
    """Return both as angles of one width."""
    kinds = [each.kind for each in (left, right) if each.kind.name == "angle"]
    kind = max(kinds, key=lambda each: each.width)
    for each in (left, right):
        if each.kind.name not in ("angle", "float"):
            _refuse(machine, node, op, left, right)
    return cast(machine, node, left, kind), cast(machine, node, right, kind)


def _angle_arithmetic(machine: Machine, node: Node, op: str, left: Value, right: Value) -> Value:
    symbolic = any(isinstance(each.data, ParameterExpression) for each in (left, right))
    one, other = left.kind.name, right.kind.name
    scaling = op == "*" or (op == "/" and one == "angle")
    if symbolic or op == "**" or (scaling and "float" in (one, other)):
        return _floating(machine, node, op, left, right, FLOAT)
    if op in ("+", "-") or (op == "/" and one == other == "angle"):
        left, right = _angles(machine, node, op, left, right)
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
        return _refuse(machine, node, op, left, right)
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


# Durations


def _scaled(machine: Machine, node: Node, value: Value, factor: float) -> Value:
    data: Duration = machine.known(node, value, "a duration is needed")
    scaled = replace(data, seconds=data.seconds * factor, samples=data.samples * factor)
    return Value(DURATION, scaled, value.const)


def _timing(machine: Machine, node: Node, op: str, left: Value, right: Value) -> Value:
    timed = [each.kind.name in ("duration", "stretch") for each in (left, right)]
    if all(timed):
        a, b = (machine.known(node, each, "a duration is needed") for each in (left, right))
        return _durations(machine, node, op, a, b, left, right)
    number = right if timed[0] else left
    if op not in ("*", "/") or number.kind.name not in ("int", "uint", "float"):
        return _refuse(machine, node, op, left, right)
    factor = real(Value(number.kind, machine.known(node, number, "a number is needed")))
    if op == "/" and not timed[0]:
        return _refuse(machine, node, op, left, right)
    if op == "/" and not factor:
        raise machine.invalid(node, "division by zero")
    return _scaled(machine, node, left if timed[0] else right, 1 / factor if op == "/" else factor)


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
    if op in _COMPARISONS:
        return Value(BOOL, int(_COMPARISONS[op](x, y)))
    return _refuse(machine, node, op, left, right)
