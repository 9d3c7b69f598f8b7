"""Binding: many parameter rows into one program, without touching Qiskit once per row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from quantainer.backends.simulators.program import Branch, Gate, Operation, Program, Repeat
from quantainer_client.errors import QuantainerError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["bound"]


def bound(program: Program, rows: NDArray[np.float64]) -> Iterator[Program]:
    """Yield the program with each row's values in place of its free parameters.

    Args:
        rows: ``float64[rows, len(program.parameters)]``, in the order of ``program.parameters``.

    Raises:
        QuantainerError: ``invalid_parameters`` if the shape does not fit or a value is not finite.
    """
    _check(program, rows)
    if program.body is None:
        yield from _bound_source(program, rows)
        return
    slots = _Slots(program.parameters)
    template = slots.template(program.body)
    values = slots.values(rows)
    for row in values:
        numbers = row.tolist()
        yield replace(program, body=tuple(_filled(template, numbers)))


def _check(program: Program, rows: NDArray[np.float64]) -> None:
    width = len(program.parameters)
    if rows.ndim != 2 or rows.shape[1] != width:
        raise QuantainerError(
            "invalid_parameters",
            f"The circuit has {width} parameters; the rows have shape {rows.shape}.",
            limit=width,
            needed=rows.shape[-1] if rows.ndim else 0,
            hint=f"Order of the columns: {', '.join(program.parameters) or '(none)'}.",
        )
    if not np.isfinite(rows).all():
        row, column = np.argwhere(~np.isfinite(rows))[0]
        raise QuantainerError(
            "invalid_parameters",
            f"Row {row} gives {program.parameters[column]} the value {rows[row, column]}.",
            hint="Every parameter needs a finite value.",
        )


def _bound_source(program: Program, rows: NDArray[np.float64]) -> Iterator[Program]:
    names = {parameter.name: parameter for parameter in program.source.parameters}
    order = [names.get(name) for name in program.parameters]
    for row in rows:
        values = {
            parameter: float(value)
            for parameter, value in zip(order, row, strict=True)
            if parameter is not None
        }
        yield replace(program, source=program.source.assign_parameters(values))


class _Slot(int):
    """An index into a row of computed values, in place of a parameter."""


class _Slots:
    """Every distinct parameter expression of a program, evaluated for all rows together."""

    def __init__(self, parameters: tuple[str, ...]) -> None:
        self._parameters = parameters
        self._expressions: list[Any] = []
        self._known: dict[Any, int] = {}

    def template(self, body: tuple[Operation, ...]) -> tuple[Operation, ...]:
        """Return the body with slots for expressions."""
        made: list[Operation] = []
        for operation in body:
            match operation:
                case Gate():
                    made.append(operation._replace(params=tuple(map(self._slot, operation.params))))
                case Branch():
                    made.append(
                        Branch(
                            operation.condition,
                            self.template(operation.then),
                            self.template(operation.otherwise),
                        )
                    )
                case Repeat():
                    made.append(Repeat(operation.condition, self.template(operation.body)))
                case _:
                    made.append(operation)
        return tuple(made)

    def _slot(self, value: Any) -> Any:
        if not hasattr(value, "parameters"):
            return value
        index = self._known.setdefault(value, len(self._expressions))
        if index == len(self._expressions):
            self._expressions.append(value)
        return _Slot(index)

    def values(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return ``float64[rows, slots]``: affine expressions by one matrix product."""
        weights = np.zeros((len(self._parameters), len(self._expressions)))
        constants = np.zeros(len(self._expressions))
        place = {name: index for index, name in enumerate(self._parameters)}
        others: list[int] = []
        for slot, expression in enumerate(self._expressions):
            affine = _affine(expression)
            if affine is None:
                others.append(slot)
                continue
            constants[slot] = affine[1]
            for name, weight in affine[0].items():
                weights[place[name], slot] = weight
        made = rows @ weights + constants
        for slot in others:
            made[:, slot] = [self._evaluated(self._expressions[slot], row) for row in rows]
        return made

    def _evaluated(self, expression: Any, row: NDArray[np.float64]) -> float:
        place = {name: index for index, name in enumerate(self._parameters)}
        values = {item: float(row[place[item.name]]) for item in expression.parameters}
        return float(expression.bind(values))


def _affine(expression: Any) -> tuple[dict[str, float], float] | None:
    """Return ``(coefficients, constant)`` of an expression, ``None`` if it is not affine."""
    coefficients: dict[str, float] = {}
    zero = dict.fromkeys(expression.parameters, 0.0)
    try:
        for parameter in expression.parameters:
            slope = expression.gradient(parameter)
            if getattr(slope, "parameters", None) or isinstance(slope, complex):
                return None
            coefficients[parameter.name] = float(slope)
        constant = float(expression.bind(zero))
    except (RuntimeError, TypeError, ZeroDivisionError, ValueError):  # the sign has no derivative
        return None
    return coefficients, constant


def _filled(template: tuple[Operation, ...], numbers: list[float]) -> Iterator[Operation]:
    for operation in template:
        match operation:
            case Gate():
                if any(isinstance(value, _Slot) for value in operation.params):
                    params = tuple(
                        [numbers[v] if isinstance(v, _Slot) else v for v in operation.params]
                    )
                    yield operation._replace(params=params)
                else:
                    yield operation
            case Branch():
                yield Branch(
                    operation.condition,
                    tuple(_filled(operation.then, numbers)),
                    tuple(_filled(operation.otherwise, numbers)),
                )
            case Repeat():
                yield Repeat(operation.condition, tuple(_filled(operation.body, numbers)))
            case _:
                yield operation
