"""Spelling: numbers, expressions and names as OpenQASM 3 writes them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from qiskit.circuit import ClassicalRegister, Clbit, Parameter, ParameterExpression
from qiskit.circuit.classical import expr, types

from quantainer.circuits.qasm3.functions import CONSTANTS, FUNCTIONS
from quantainer.circuits.qasm3.lexer import KEYWORDS
from quantainer.circuits.qasm3.library import BUILTIN, STDGATES
from quantainer_client.errors import QuantainerError

__all__ = ["Names", "angle", "expression", "kind"]

_IDENTIFIER = re.compile(r"[^\W\d]\w*")
_NUMBER = re.compile(r"(?<![\w.\[])\d+\.?\d*(?:[eE][+-]?\d+)?")  # but no index
_ELEMENT = re.compile(r"([^\W\d]\w*)\[(\d+)\]")
_FUNCTION = re.compile(r"([^\W\d]\w*)\(")
_SPELLED = {"acos": "arccos", "asin": "arcsin", "atan": "arctan"}


class Names:
    """Gives everything a name that is an identifier, no keyword, and unique."""

    def __init__(self) -> None:
        self._taken = set(KEYWORDS) | set(CONSTANTS) | set(FUNCTIONS) | set(BUILTIN) | set(STDGATES)

    def new(self, wanted: str) -> str:
        """Return a free name as close to the wanted one as possible."""
        name = wanted if _IDENTIFIER.fullmatch(wanted) else re.sub(r"\W", "_", wanted)
        if not _IDENTIFIER.fullmatch(name):
            name = f"_{name}"
        base, count = name, 0
        while name in self._taken:
            count += 1
            name = f"{base}_{count}"
        self._taken.add(name)
        return name


def number(value: float) -> str:
    """Return a float that reads back to the same bits, as a fraction of π where it is one."""
    value = float(value)
    if not math.isfinite(value):
        raise QuantainerError("unsupported_circuit", f"the angle {value} has no spelling")
    if value and abs(value) < 64:
        for divisor in (1, 2, 3, 4, 6, 8, 12, 16, 32, 64):
            times = round(value * divisor / math.pi)
            if times and times * math.pi / divisor == value:
                head = {1: "pi", -1: "-pi"}.get(times, f"{times}*pi")
                return head if divisor == 1 else f"{head}/{divisor}"
    return repr(value)


def angle(value: Any, parameters: dict[Parameter, str]) -> str:
    """Return an angle: a number or an expression of parameters, which have names of their own."""
    if not isinstance(value, ParameterExpression):
        return number(value)
    if not value.parameters:
        return number(float(value.numeric()))
    renamed = {
        each: Parameter(parameters[each])
        for each in value.parameters
        if parameters.get(each, each.name) != each.name
    }
    text = str(value.subs(renamed) if renamed else value)
    if value in parameters:
        return text
    for word in _FUNCTION.findall(text):
        if _SPELLED.get(word, word) not in FUNCTIONS:
            raise QuantainerError(
                "unsupported_circuit", f"OpenQASM 3 has no function {word!r}, used in {text!r}"
            )
    text = _FUNCTION.sub(lambda match: f"{_SPELLED.get(match[1], match[1])}(", text)
    # `1/2` would be a division of integers, and so 0.
    return _NUMBER.sub(lambda match: match[0] + ".0" * match[0].isdigit(), text)


def element(name: str) -> tuple[str, int] | None:
    """Return base and index of a parameter of a vector, ``theta[3]``."""
    match = _ELEMENT.fullmatch(name)
    return (match[1], int(match[2])) if match else None


# Classical expressions


_UNARY = {"BIT_NOT": "~", "LOGIC_NOT": "!", "NEGATE": "-"}
_BINARY = {
    "BIT_AND": "&", "BIT_OR": "|", "BIT_XOR": "^", "LOGIC_AND": "&&", "LOGIC_OR": "||",
    "EQUAL": "==", "NOT_EQUAL": "!=", "LESS": "<", "LESS_EQUAL": "<=", "GREATER": ">",
    "GREATER_EQUAL": ">=", "SHIFT_LEFT": "<<", "SHIFT_RIGHT": ">>", "ADD": "+", "SUB": "-",
    "MUL": "*", "DIV": "/",
}  # fmt: skip


def kind(of: Any) -> str:
    """Return the name of a classical type of Qiskit."""
    if isinstance(of, types.Bool):
        return "bool"
    if isinstance(of, types.Uint):
        return f"uint[{of.width}]"
    if isinstance(of, types.Float):
        return "float[64]"
    return "duration"


def expression(node: Any, name: Callable[[Any], str]) -> str:
    """Return a classical expression; ``name`` names bits, registers and variables."""
    write = _EXPRESSIONS.get(type(node))
    if write is None:
        raise QuantainerError(
            "unsupported_circuit",
            f"the expression {type(node).__name__} has no spelling in OpenQASM 3",
        )
    return write(node, name)


Name = Callable[[Any], str]


def _variable(node: Any, name: Name) -> str:
    text = name(node if node.standalone else node.var)
    register = not node.standalone and isinstance(node.var, ClassicalRegister)
    return f"uint[{node.type.width}]({text})" if register else text


def _cast(node: Any, name: Name) -> str:
    return f"{kind(node.type)}({expression(node.operand, name)})"


def _index(node: Any, name: Name) -> str:
    target = node.target
    plain = isinstance(target, expr.Var) and not target.standalone
    text = name(target.var) if plain else expression(target, name)
    return f"{text}[{expression(node.index, name)}]"


def _unary(node: Any, name: Name) -> str:
    return f"{_UNARY[node.op.name]}({expression(node.operand, name)})"


def _binary(node: Any, name: Name) -> str:
    left, right = (expression(side, name) for side in (node.left, node.right))
    text = f"({left} {_BINARY[node.op.name]} {right})"
    wraps = isinstance(node.type, types.Uint) and node.op.name in ("ADD", "SUB", "MUL", "DIV")
    return f"{kind(node.type)}{text}" if wraps else text


def _value(node: Any, _name: Name) -> str:
    if isinstance(node.type, types.Bool):
        return "true" if node.value else "false"
    if isinstance(node.type, types.Uint):
        return f"uint[{node.type.width}]({node.value})"
    if isinstance(node.type, types.Float):
        return number(node.value)
    return duration(node.value)


def duration(value: Any) -> str:
    """Return a duration of Qiskit."""
    amount = value.value() if callable(getattr(value, "value", None)) else value.value
    return f"{amount}{value.unit()}"


_EXPRESSIONS: dict[type, Callable[[Any, Name], str]] = {
    Clbit: lambda node, name: name(node),
    ClassicalRegister: lambda node, name: name(node),
    expr.Var: _variable,
    expr.Value: _value,
    expr.Cast: _cast,
    expr.Index: _index,
    expr.Unary: _unary,
    expr.Binary: _binary,
}
