"""Knowledge: what is known of variables and bits, to come back to, and what conditions tell."""

from __future__ import annotations

from typing import Any

from quantainer.circuits.qasm3.kinds import bits
from quantainer.circuits.qasm3.logic import Bit, Function, constant
from quantainer.circuits.qasm3.memory import Cell
from quantainer.circuits.qasm3.values import Choice, Variable

__all__ = ["Saved", "State", "is_symbol", "learn", "parts", "same", "some_bits", "symbolic"]

Saved = tuple[Any, list[tuple[bool | None, bool | None]]]


class State:
    """What is known of some variables and bits, to come back to."""

    def __init__(self, variables: list[Variable], cells: list[Cell]) -> None:
        self._variables = variables
        self.variables: list[Saved] = [
            (variable.data, [(cell.value, cell.stored) for cell in variable.cells or ()])
            for variable in variables
        ]
        self._cells = [(cell, cell.value, cell.stored) for cell in cells]

    def restore(self) -> None:
        """Go back to what was known then."""
        for variable, (data, cells) in zip(self._variables, self.variables, strict=True):
            variable.data = data
            if variable.cells is not None and not cells:  # made since
                cells = _unstored(variable.kind.width, data)  # noqa: PLW2901
            for cell, (value, stored) in zip(variable.cells or (), cells, strict=True):
                cell.value, cell.stored = value, stored
        for cell, value, stored in self._cells:
            cell.value, cell.stored = value, stored


def _unstored(width: int, data: Any) -> list[tuple[bool | None, bool | None]]:
    return [(bool(bit), None) for bit in constant(int(data), width)]


def learn(condition: Bit, holds: bool) -> None:
    """Note what follows for single bits from a condition that holds, or does not."""
    stack = [(condition, holds)]
    while stack:
        node, true = stack.pop()
        if isinstance(node, Cell):
            node.value = node.stored = true
        elif isinstance(node, Function) and node.op == "not":
            stack.append((node.left, not true))
        elif isinstance(node, Function) and node.op == ("and" if true else "or"):
            assert node.right is not None
            stack += [(node.left, true), (node.right, true)]


def some_bits(variable: Variable, places: list[int]) -> Variable:
    """Return some bits of a register as a variable."""
    assert variable.cells is not None
    cells = [variable.cells[place] for place in places]
    return Variable(variable.name, bits(len(cells)), cells=cells)


def parts(variable: Variable) -> list[Variable]:
    """Return the elements of an array, or the variable itself."""
    return list(variable.data.flat) if variable.kind.name == "array" else [variable]


def symbolic(variable: Variable) -> bool:
    """Tell whether an angle is an expression of inputs, which no bits can hold."""
    return variable.cells is None and is_symbol(variable.data)


def is_symbol(data: Any) -> bool:
    """Tell whether data are no number."""
    return data is not None and not isinstance(data, bool | int | float | complex | tuple)


def same(left: Any, right: Any) -> bool:
    """Tell whether two arms left the same value."""
    if isinstance(left, Choice) or isinstance(right, Choice):
        return False
    return bool(left == right)
