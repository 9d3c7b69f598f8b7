"""Cirq's JSON values: numbers, complex numbers, matrices, and sympy expressions of free
parameters."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Parameter, ParameterExpression

__all__ = ["UnknownTypeError", "Values", "array", "complex_number", "is_free"]

_CONSTANTS = {"sympy.pi": math.pi, "sympy.E": math.e, "sympy.EulerGamma": float(np.euler_gamma)}
_NUMBERS: dict[str, Callable[[dict[str, Any]], float]] = {
    "sympy.Integer": lambda value: value["i"],
    "sympy.Float": lambda value: value["approx"],
    "sympy.Rational": lambda value: value["p"] / value["q"],
}
_FOLDS: dict[str, Callable[[Any, Any], Any]] = {
    "sympy.Add": operator.add,
    "sympy.Mul": operator.mul,
    "sympy.Pow": operator.pow,
}
_CONDITIONS: dict[str, Callable[[list[Any]], Any]] = {
    "sympy.Equality": lambda args: args[0] == args[1],
    "sympy.Unequality": lambda args: args[0] != args[1],
    "sympy.StrictGreaterThan": lambda args: args[0] > args[1],
    "sympy.GreaterThan": lambda args: args[0] >= args[1],
    "sympy.StrictLessThan": lambda args: args[0] < args[1],
    "sympy.LessThan": lambda args: args[0] <= args[1],
    "sympy.And": all,
    "sympy.Or": any,
    "sympy.Not": lambda args: not args[0],
    "sympy.Xor": lambda args: sum(map(bool, args)) % 2 == 1,
    "sympy.Add": sum,
    "sympy.Mul": math.prod,
}


class UnknownTypeError(Exception):
    """A ``cirq_type`` that is not known, or not where it stands."""

    def __init__(self, cirq_type: str, reason: str | None = None) -> None:
        super().__init__(cirq_type)
        self.cirq_type = cirq_type
        self.reason = reason


class Values:
    """Turns JSON values into numbers or expressions; one parameter for each name."""

    def __init__(self) -> None:
        self.parameters: dict[str, Parameter] = {}
        self.given: dict[str, Any] = {}

    def number(self, value: Any) -> Any:
        """Return a float, or an expression of free parameters.

        Raises:
            UnknownTypeError: For what is no number.
            ValueError: For numbers that are not finite.
        """
        if isinstance(value, bool) or value is None or isinstance(value, str | list):
            raise ValueError(f"{value!r} is no number")
        if isinstance(value, int | float):
            if not math.isfinite(value):
                raise ValueError(f"an angle is {value}")
            return float(value)
        return self._expression(value)

    def _expression(self, value: dict[str, Any]) -> Any:
        kind = str(value.get("cirq_type"))
        if kind in _CONSTANTS:
            return _CONSTANTS[kind]
        if kind == "sympy.Symbol":
            return self._symbol(str(value["name"]))
        if kind in _NUMBERS:
            return float(_NUMBERS[kind](value))
        fold = _FOLDS.get(kind)
        if fold is None:
            raise UnknownTypeError(kind, f"{kind} is no expression that an angle can have")
        return reduce(fold, [self.number(term) for term in value["args"]])

    def _symbol(self, name: str) -> Any:
        if name in self.given:
            return self.given[name]
        return self.parameters.setdefault(name, Parameter(name))

    def holds(self, value: Any, keys: dict[str, int]) -> Any:
        """Evaluate a sympy condition over measured integers."""
        if not isinstance(value, dict):
            return value
        kind = str(value.get("cirq_type"))
        if kind == "sympy.Symbol":
            return keys[str(value["name"])]
        if kind == "sympy.Integer":
            return int(value["i"])
        rule = _CONDITIONS.get(kind)
        if rule is None:
            raise UnknownTypeError(kind, f"{kind} is no condition on measured bits")
        return rule([self.holds(term, keys) for term in value.get("args", ())])


def is_free(value: Any) -> bool:
    """Tell whether a number still depends on a parameter."""
    return isinstance(value, ParameterExpression)


def complex_number(value: Any) -> complex:
    """Return a number that may be written as Cirq's complex."""
    if isinstance(value, dict):
        return complex(value["real"], value["imag"])
    return complex(value)


def array(rows: Any) -> NDArray[np.complex128]:
    """Return a matrix of such numbers."""
    return np.array([[complex_number(entry) for entry in row] for row in rows], dtype=complex)
