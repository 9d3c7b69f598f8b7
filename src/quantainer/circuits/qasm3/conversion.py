"""Conversion: casts, explicit and implicit.

The rules are those of the specification's "Casting specifics"; where it leaves a choice, this is
it: integers wrap to their width, a float beyond an integer's range wraps after its fraction is
cut, angles are rounded to the nearest representable value with ties to even, a ``float[16]`` or
``float[32]`` is rounded where it is stored.
"""

from __future__ import annotations

import math
import struct
from fractions import Fraction
from typing import Any

from qiskit.circuit import ParameterExpression

from quantainer.circuits.qasm3.kinds import Kind
from quantainer.circuits.qasm3.logic import Row, any_of
from quantainer.circuits.qasm3.machine import Machine
from quantainer.circuits.qasm3.syntax import Node
from quantainer.circuits.qasm3.values import Duration, Value, is_known

__all__ = ["assign", "cast", "real", "same_shape", "wrapped"]

_TAU = 2 * math.pi


def wrapped(kind: Kind, number: int) -> int:
    """Return an integer within the range of a bit pattern type."""
    width = kind.width
    number &= (1 << width) - 1
    if kind.name == "int" and number >> (width - 1):
        number -= 1 << width
    return number


def real(value: Value) -> Any:
    """Return a known number or angle as a float; an expression stays one."""
    data = value.data
    if not isinstance(data, int):
        return data
    if value.kind.name == "angle":
        return data / (1 << value.kind.width) * _TAU
    try:
        return float(data)
    except OverflowError:  # beyond all floats, as IEEE 754 rounds it
        return -math.inf if data < 0 else math.inf


def cast(machine: Machine, node: Node, value: Value, kind: Kind) -> Value:
    """Return ``kind(value)``.

    Raises:
        QuantainerError: ``invalid_circuit`` if the specification has no such cast.
    """
    source = value.kind
    if source == kind:
        return value
    convert = _CASTS.get((source.name, kind.name))
    if convert is None:
        raise machine.invalid(
            node, f"{source} cannot be cast to {kind}", _CAST_HINTS.get(kind.name)
        )
    return Value(kind, convert(machine, node, value, kind), value.const)


def assign(machine: Machine, node: Node, value: Value, kind: Kind) -> Value:
    """Return a value converted implicitly, as in an assignment or a call.

    Raises:
        QuantainerError: ``invalid_circuit`` if it needs an explicit cast or fits not at all.
    """
    source = value.kind
    if source == kind:
        return value
    if kind.name == "array" or source.name == "array":
        same_shape(machine, node, source, kind)
        return value
    if kind.name == "angle" and value.const and source.integer and value.data == 0:
        return Value(kind, 0, True)
    if (source.name, kind.name) not in _IMPLICIT:
        _refuse_implicit(machine, node, source, kind)
    if kind.name in ("bits", "bit") and source.integer:
        return _fitted(machine, node, value, kind)
    return cast(machine, node, value, kind)


def _refuse_implicit(machine: Machine, node: Node, source: Kind, kind: Kind) -> None:
    reason = f"a value of type {source} does not fit {kind}"
    if (source.name, kind.name) in _CASTS:
        raise machine.invalid(node, reason, f"Cast it: `{kind}(…)`.".replace("bits", "bit"))
    raise machine.invalid(node, reason)


def _fitted(machine: Machine, node: Node, value: Value, kind: Kind) -> Value:
    """Take an integer as a register's value: one of its width, or a known one that fits."""
    if kind.truth:
        return cast(machine, node, value, kind)
    if value.kind.size == kind.width:
        data = value.data
        return Value(kind, wrapped(kind, data) if is_known(value) else data, value.const)
    if not is_known(value):
        _refuse_implicit(machine, node, value.kind, kind)
    if not 0 <= value.data < 1 << kind.width:
        raise machine.invalid(node, f"{value.data} does not fit {kind}")
    return Value(kind, value.data, value.const)


def same_shape(machine: Machine, node: Node, source: Kind, kind: Kind) -> None:
    """Refuse arrays of different element types or shapes."""
    if source.name != kind.name:
        raise machine.invalid(node, f"a value of type {source} does not fit {kind}")
    fits = len(source.shape) == len(kind.shape) and all(
        wanted in (-1, found) for found, wanted in zip(source.shape, kind.shape, strict=True)
    )
    if source.element != kind.element or not fits:
        raise machine.invalid(node, f"an array of type {source} does not fit {kind}")


# One conversion per pair of types


def _to_truth(_: Machine, node: Node, value: Value, _kind: Kind) -> Any:
    if not is_known(value):
        return (any_of(value.data),)
    if isinstance(value.data, ParameterExpression):
        return _need_number(_, node, value)
    return int(bool(value.data))


def _float_to_truth(machine: Machine, node: Node, value: Value, _kind: Kind) -> Any:
    return int(bool(_number(machine, node, value)))


def _bits_to_bits(machine: Machine, node: Node, value: Value, kind: Kind) -> Any:
    _same_width(machine, node, value, kind)
    return value.data


def _same_width(machine: Machine, node: Node, value: Value, kind: Kind) -> None:
    if value.kind.width != kind.width:
        raise machine.invalid(
            node,
            f"{value.kind} and {kind} differ in width",
            "Take a slice, or cast through a type of the same width.",
        )


def _pattern(machine: Machine, node: Node, value: Value, kind: Kind) -> Any:
    """Reinterpret the bits of a value of the same width."""
    _same_width(machine, node, value, kind)
    if isinstance(value.data, int):
        return wrapped(kind, value.data)
    if isinstance(value.data, ParameterExpression):
        return _need_number(machine, node, value)
    return value.data


def _int_to_bits(machine: Machine, node: Node, value: Value, kind: Kind) -> Any:
    if value.const and isinstance(value.data, int) and value.kind.size is None:
        if value.data >= 1 << kind.width:
            raise machine.invalid(node, f"{value.data} does not fit {kind}")
        return wrapped(kind, value.data)
    if value.kind.size is None and is_known(value):
        return wrapped(kind, value.data)
    return _pattern(machine, node, value, kind)


def _bits_to_int(machine: Machine, node: Node, value: Value, kind: Kind) -> Any:
    if kind.size is None:  # a machine integer takes any register
        return _resized(value, kind, signed=False)
    return _pattern(machine, node, value, kind)


def _resize(_: Machine, _node: Node, value: Value, kind: Kind) -> Any:
    return _resized(value, kind, signed=value.kind.name == "int")


def _resized(value: Value, kind: Kind, signed: bool) -> Any:
    if isinstance(value.data, int):
        return wrapped(kind, value.data)
    row: Row = value.data
    fill = row[-1] if signed else False
    return tuple([*row, *[fill] * (kind.width - len(row))][: kind.width])


def _truth_to_bits(_: Machine, _node: Node, value: Value, kind: Kind) -> Any:
    if isinstance(value.data, int):
        return wrapped(kind, value.data)  # int[1] has the values 0 and -1
    return (*value.data, *[False] * (kind.width - 1))


def _same(_: Machine, _node: Node, value: Value, _kind: Kind) -> Any:
    return value.data


def _number(machine: Machine, node: Node, value: Value) -> Any:
    data = machine.known(node, value, f"a {value.kind} is needed")
    if isinstance(data, ParameterExpression):
        return _need_number(machine, node, value)
    return data


def _need_number(machine: Machine, node: Node, value: Value) -> Any:
    names = ", ".join(sorted(f"`{each.name}`" for each in value.data.parameters))
    raise machine.invalid(
        node,
        f"the input {names} needs a value here: it decides more than an angle",
        "Give it when the program is submitted.",
    )


def _float_to_int(machine: Machine, node: Node, value: Value, kind: Kind) -> Any:
    number = _number(machine, node, value)
    if not math.isfinite(number):
        raise machine.invalid(node, f"{number} cannot be cast to {kind}")
    return wrapped(kind, math.trunc(number))


def _to_float(machine: Machine, node: Node, value: Value, kind: Kind) -> Any:
    data = machine.known(node, value, "a float is needed")
    number = real(Value(value.kind, data))
    if isinstance(number, ParameterExpression):
        return number
    return _rounded(float(number), kind.size)


def _rounded(number: float, size: int | None) -> float:
    if size in (16, 32) and math.isfinite(number):
        form = "e" if size == 16 else "f"
        try:
            return float(struct.unpack(form, struct.pack(form, number))[0])
        except OverflowError:
            return math.copysign(math.inf, number)
    return number


def _to_complex(machine: Machine, node: Node, value: Value, kind: Kind) -> Any:
    number = complex(real(Value(value.kind, _number(machine, node, value))))
    return complex(_rounded(number.real, kind.size), _rounded(number.imag, kind.size))


def _to_angle(machine: Machine, node: Node, value: Value, kind: Kind) -> Any:
    data = machine.known(node, value, "an angle is needed")
    if isinstance(data, ParameterExpression):
        return data
    number = float(data)
    if not math.isfinite(number):
        raise machine.invalid(node, f"{number} is not an angle")
    turns = number / _TAU  # the nearest float is the value that the specification rounds
    steps = round(Fraction(turns) * (1 << kind.width))  # ties to even
    return steps % (1 << kind.width)


def _angle_to_angle(_: Machine, _node: Node, value: Value, kind: Kind) -> Any:
    before, after = value.kind.width, kind.width
    data = value.data
    if isinstance(data, ParameterExpression):
        return data
    if isinstance(data, int):
        if after >= before:
            return data << (after - before)
        return round(Fraction(data, 1 << (before - after))) % (1 << after)
    if after >= before:
        return (*[False] * (after - before), *data)
    return data[before - after :]  # cut at run time, which the specification permits


def _duration(_: Machine, _node: Node, value: Value, _kind: Kind) -> Duration:
    data: Duration = value.data
    return data


_CASTS = {
    **{(name, to): _to_truth for name in ("bool", "bit", "bits", "int", "uint", "angle")
       for to in ("bool", "bit")},
    **{("float", to): _float_to_truth for to in ("bool", "bit")},
    ("bits", "bits"): _bits_to_bits,
    ("int", "bits"): _int_to_bits,
    ("uint", "bits"): _int_to_bits,
    ("angle", "bits"): _pattern,
    ("bits", "int"): _bits_to_int,
    ("bits", "uint"): _bits_to_int,
    ("bits", "angle"): _pattern,
    **{(truth, to): _truth_to_bits for truth in ("bool", "bit") for to in ("bits", "int", "uint")},
    **{(one, other): _resize for one in ("int", "uint") for other in ("int", "uint")},
    **{("float", to): _float_to_int for to in ("int", "uint")},
    **{(name, "float"): _to_float for name in ("bool", "bit", "int", "uint", "float", "angle")},
    **{(name, "complex"): _to_complex for name in ("bool", "bit", "int", "uint", "float",
    "complex")},
    ("float", "angle"): _to_angle,
    ("angle", "angle"): _angle_to_angle,
    ("duration", "duration"): _duration,
    ("duration", "stretch"): _duration,
    ("stretch", "duration"): _duration,
}  # fmt: skip

_CAST_HINTS = {
    "angle": "Integers are no angles: multiply by a float, e.g. `2 * pi / 8`.",
    "float": "Cast a register to `uint` first.",
}

_IMPLICIT = frozenset(
    pair
    for pair in _CASTS
    if pair[0] != "complex"
    and not (pair[0] == "float" and pair[1] in ("int", "uint", "bool", "bit"))
    and pair not in {("angle", "float"), ("bits", "int"), ("bits", "uint"), ("bits", "bool"),
                     ("bits", "bit"), ("bits", "angle"), ("angle", "bits"), ("angle", "bool"),
                     ("angle", "bit"), ("bool", "bits"), ("bit", "bits")}
) | {("complex", "complex"), ("angle", "float"), ("bits", "uint"), ("bits", "int")}  # fmt: skip
"""What converts without a cast: what loses nothing, integers among each other, and the two
shortcuts that programs take everywhere, ``uint`` from a register and a float from an angle."""
