"""Functions: the built-in functions and constants of the language."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable
from typing import Any

from qiskit.circuit import ParameterExpression

from quantainer.circuits.qasm3 import logic
from quantainer.circuits.qasm3.conversion import assign, real, wrapped
from quantainer.circuits.qasm3.kinds import BOOL, COMPLEX, FLOAT, INT, UINT, Kind, bits
from quantainer.circuits.qasm3.machine import Machine
from quantainer.circuits.qasm3.operators import binary
from quantainer.circuits.qasm3.syntax import Node
from quantainer.circuits.qasm3.values import Value, is_known, row_of

__all__ = ["CONSTANTS", "FUNCTIONS", "call"]

CONSTANTS = {
    "pi": math.pi, "π": math.pi, "tau": 2 * math.pi, "τ": 2 * math.pi, "euler": math.e, "ℇ": math.e,
}  # fmt: skip

_ANGLE = frozenset(("sin", "cos", "tan"))
_COMPLEX: dict[str, Callable[[complex], complex]] = {"exp": cmath.exp, "sqrt": cmath.sqrt}
_REAL: dict[str, Callable[[float], float]] = {
    "arccos": math.acos,
    "arcsin": math.asin,
    "arctan": math.atan,
    "ceiling": lambda x: float(math.ceil(x)),
    "cos": math.cos,
    "exp": math.exp,
    "floor": lambda x: float(math.floor(x)),
    "log": math.log,
    "sin": math.sin,
    "sqrt": math.sqrt,
    "tan": math.tan,
}
_ARITY = {**dict.fromkeys(_REAL, 1), "mod": 2, "popcount": 1, "rotl": 2, "rotr": 2,
          "real": 1, "imag": 1, "sizeof": 2}  # fmt: skip
_SYMBOLIC = {"arccos": "arccos", "arcsin": "arcsin", "arctan": "arctan", "cos": "cos",
             "exp": "exp", "log": "log", "sin": "sin", "tan": "tan"}  # fmt: skip
FUNCTIONS = frozenset(_ARITY)


def call(machine: Machine, node: Node, name: str, arguments: list[Value]) -> Value:
    """Return the value of a built-in function.

    Raises:
        QuantainerError: ``invalid_circuit`` if it is not defined for these arguments.
    """
    wanted = _ARITY[name]
    if len(arguments) != wanted and not (name == "sizeof" and len(arguments) == 1):
        raise machine.invalid(
            node, f"`{name}` takes {wanted} argument(s), here are {len(arguments)}"
        )
    const = all(argument.const for argument in arguments)
    if name in _REAL:
        result = _real(machine, node, name, arguments[0])
    else:
        result = _OTHERS[name](machine, node, name, arguments)
    return result._replace(const=const or name == "sizeof")


def _refuse(machine: Machine, node: Node, name: str, arguments: list[Value]) -> Value:
    kinds = ", ".join(str(argument.kind) for argument in arguments)
    raise machine.invalid(node, f"`{name}` is not defined for {kinds}")


def _real(machine: Machine, node: Node, name: str, value: Value) -> Value:
    kind = value.kind
    if kind.name == "complex" and name in _COMPLEX:
        data = machine.known(node, value, "a number is needed")
        return Value(COMPLEX, _computed(machine, node, name, _COMPLEX[name], data))
    if not (kind.name in ("float", "int", "uint", "bool", "bit") or
            (kind.name == "angle" and name in _ANGLE)):  # fmt: skip
        return _refuse(machine, node, name, [value])
    number = real(Value(kind, machine.known(node, value, "a number is needed")))
    if isinstance(number, ParameterExpression):
        return Value(FLOAT, _symbolic(machine, node, name, number))
    return Value(FLOAT, _computed(machine, node, name, _REAL[name], number))


def _computed(
    machine: Machine, node: Node, name: str, function: Callable[[Any], Any], number: Any
) -> Any:
    try:
        return function(number)
    except (ValueError, OverflowError):
        raise machine.invalid(node, f"`{name}` is not defined at {number}") from None


def _symbolic(machine: Machine, node: Node, name: str, number: ParameterExpression) -> Any:
    if name == "sqrt":
        return number**0.5
    if name not in _SYMBOLIC:
        raise machine.unsupported(node, f"`{name}` of an input needs its value")
    return getattr(number, _SYMBOLIC[name])()


def _mod(machine: Machine, node: Node, _name: str, arguments: list[Value]) -> Value:
    return binary(machine, node, "%", *arguments)


def _pattern(machine: Machine, node: Node, name: str, arguments: list[Value]) -> Value:
    value = arguments[0]
    if value.kind.name not in ("bits", "int", "uint", "angle"):
        return _refuse(machine, node, name, arguments)
    return value


def _popcount(machine: Machine, node: Node, name: str, arguments: list[Value]) -> Value:
    value = _pattern(machine, node, name, arguments)
    row = row_of(value)
    if is_known(value):
        return Value(UINT, sum(map(bool, row)))
    return Value(UINT, logic.popcount(row, UINT.width, machine.memory.hold))


def _rotate(machine: Machine, node: Node, name: str, arguments: list[Value]) -> Value:
    value, distance = _pattern(machine, node, name, arguments), arguments[1]
    if not distance.kind.integer:
        return _refuse(machine, node, name, arguments)
    steps = machine.known(node, distance, "the distance of a rotation is needed")
    width, row = value.kind.width, row_of(value)
    steps = steps % width if name == "rotr" else -steps % width
    row = row[steps:] + row[:steps]
    number = logic.number(row)
    return Value(value.kind, row if number is None else wrapped(value.kind, number))


def _part(machine: Machine, node: Node, name: str, arguments: list[Value]) -> Value:
    value = arguments[0]
    if value.kind.name != "complex":
        value = assign(machine, node, value, COMPLEX)
    number = machine.known(node, value, "a complex number is needed")
    kind = Kind("float", value.kind.size)
    return Value(kind, number.real if name == "real" else number.imag)


def _sizeof(machine: Machine, node: Node, name: str, arguments: list[Value]) -> Value:
    shape = arguments[0].kind.shape
    if arguments[0].kind.name != "array":
        return _refuse(machine, node, name, arguments)
    dimension = 0
    if len(arguments) == 2:
        dimension = machine.known(node, arguments[1], "the dimension is needed")
    if not isinstance(dimension, int) or not 0 <= dimension < len(shape):
        raise machine.invalid(
            node, f"the array has {len(shape)} dimension(s), there is no {dimension}"
        )
    return Value(UINT, shape[dimension], True)


_OTHERS: dict[str, Callable[[Machine, Node, str, list[Value]], Value]] = {
    "mod": _mod,
    "popcount": _popcount,
    "rotl": _rotate,
    "rotr": _rotate,
    "real": _part,
    "imag": _part,
    "sizeof": _sizeof,
}

LITERALS: dict[str, Callable[[Any], tuple[Kind, Any]]] = {
    "int": lambda data: (INT, data),
    "float": lambda data: (FLOAT, data),
    "imaginary": lambda data: (COMPLEX, data),
    "bool": lambda data: (BOOL, int(data)),
    "bits": lambda data: (bits(data[1]), data[0]),
}
