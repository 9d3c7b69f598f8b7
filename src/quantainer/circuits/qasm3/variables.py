"""Variables: declarations, aliases and assignments of classical values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from quantainer.circuits.qasm3 import syntax
from quantainer.circuits.qasm3.conversion import assign, cast, same_shape
from quantainer.circuits.qasm3.expressions import evaluate, indices_of, kind_of, view
from quantainer.circuits.qasm3.functions import CONSTANTS
from quantainer.circuits.qasm3.kinds import BIT, Kind, bits
from quantainer.circuits.qasm3.logic import Row
from quantainer.circuits.qasm3.machine import Machine
from quantainer.circuits.qasm3.memory import Arena, Cell
from quantainer.circuits.qasm3.operators import binary
from quantainer.circuits.qasm3.syntax import Expression, Node
from quantainer.circuits.qasm3.values import Duration, Value, Variable, row_of

__all__ = [
    "alias_bits", "assign_to", "declare", "fresh", "initialise", "target_bits", "writable", "write",
]  # fmt: skip


_ELEMENTS = 4
"""Elements of an array that take the time of an iteration to make or to copy."""


def fresh(
    machine: Machine, name: str, kind: Kind, shared: bool, arena: Arena | None = None
) -> Variable:
    """Return a variable that holds 0; registers of bits get their cells.

    Its bits are freed with ``arena``, the innermost one if not given.
    """
    arena = machine.memory.current if arena is None else arena
    variable = Variable(name, kind, shared=shared, arena=arena)
    if kind.name == "array":
        machine.spend(machine.at, math.prod(kind.shape) // _ELEMENTS)
        variable.data = new_array(name, kind)
    elif kind.name in ("bit", "bits"):
        if shared:
            total = kind.width + sum(len(each.cells or ()) for each in machine.bits)
            if total > machine.options.max_clbits:
                limit = machine.options.max_clbits
                raise machine.source.too_large(
                    machine.at, "classical bits", "max_clbits", limit, total
                )
            variable.cells = machine.memory.declare(name, kind.width, used=True).cells
            machine.bits.append(variable)
        else:
            variable.cells = machine.memory.take(kind.width, arena)
    else:
        variable.data = zero(kind)
    return variable


def zero(kind: Kind) -> Any:
    """Return what a variable holds that was never assigned."""
    if kind.name in ("duration", "stretch"):
        return Duration(stretches=kind.name == "stretch")
    return {"float": 0.0, "complex": 0j}.get(kind.name, 0)


def new_array(name: str, kind: Kind) -> Any:
    """Return the elements of a new array."""
    assert kind.element is not None
    elements = np.empty(kind.shape, dtype=object)
    for place in np.ndindex(*kind.shape):
        label = f"{name}_{'_'.join(map(str, place))}"
        elements[place] = Variable(label, kind.element, zero(kind.element), shared=True)
    return elements


def is_global(machine: Machine) -> bool:
    """Tell whether the current scope is the program's own."""
    return machine.scope is machine.globals


def declare(machine: Machine, node: syntax.ClassicalDeclaration) -> Variable:
    """Execute a declaration without its value."""
    if machine.frame.gate:
        raise machine.invalid(node, "no classical variables inside of a gate")
    kind = kind_of(machine, node.type)
    _check_name(machine, node, node.name)
    if kind.name == "array" and not is_global(machine):
        raise machine.invalid(node, "arrays are declared in the global scope")
    frame = machine.frame
    if (
        frame.forward == node.name
        and frame.result is not None
        and frame.result.kind == kind
        and frame.scope is machine.scope
    ):
        variable = frame.result
        variable.write(zero(kind), machine.memory)
    else:
        variable = fresh(machine, node.name, kind, is_global(machine), machine.scope.arena)
    machine.declare(node, node.name, variable)
    return variable


def _check_name(machine: Machine, node: Node, name: str) -> None:
    if name in CONSTANTS and is_global(machine):
        raise machine.invalid(node, f"`{name}` is a constant of the language")


def initialise(
    machine: Machine, variable: Variable, node: Expression, value: Value | None = None
) -> None:
    """Give a declared variable its first value, which may have been computed before."""
    if isinstance(node, syntax.ArrayLiteral):
        if variable.kind.name != "array":
            raise machine.invalid(node, f"values in braces do not fit {variable.kind}")
        _fill(machine, node, variable.data)
        return
    if value is None:
        value = evaluate(machine, node)
    if variable.kind.name != "array":
        write(machine, node, variable, value)
        return
    same_shape(machine, node, value.kind, variable.kind)
    _copy(machine, variable.data, value.data)


def _fill(machine: Machine, node: Expression, elements: Any) -> None:
    if isinstance(elements, Variable):
        if isinstance(node, syntax.ArrayLiteral):
            raise machine.invalid(
                node, "the braces are nested deeper than the array has dimensions"
            )
        write(machine, node, elements, evaluate(machine, node))
        return
    if not isinstance(node, syntax.ArrayLiteral):
        value = evaluate(machine, node)
        if value.kind.name != "array" or value.kind.shape != elements.shape:
            raise machine.invalid(node, f"expected {len(elements)} values in braces")
        _copy(machine, elements, value.data)
        return
    if len(node.items) != len(elements):
        raise machine.invalid(node, f"expected {len(elements)} values, here are {len(node.items)}")
    for item, element in zip(node.items, elements, strict=True):
        _fill(machine, item, element)


def _copy(machine: Machine, target: Any, source: Any) -> None:
    machine.spend(machine.at, source.size // _ELEMENTS)
    values = [element.read() for element in source.flat]  # first all: they may overlap
    values = [_kept(machine, value) for value in values] if target is not source else values
    for element, value in zip(target.flat, values, strict=True):
        element.write(value.data, machine.memory)


def _kept(machine: Machine, value: Value) -> Value:
    """Return a value that later assignments do not change."""
    if not isinstance(value.data, tuple) or not value.kind.binary:
        return value
    cells = machine.memory.take(value.kind.width)
    machine.memory.write_row(cells, value.data)
    return Value(value.kind, tuple(cell.read() for cell in cells))


def write(machine: Machine, node: Node, variable: Variable, value: Value) -> None:
    """Assign a value to a whole variable that is no array."""
    converted = assign(machine, node, value, variable.kind)
    variable.write(converted.data, machine.memory)


# Aliases


def alias_bits(machine: Machine, node: syntax.Alias) -> None:
    """Execute ``let`` for classical bits."""
    parts = node.value.parts if isinstance(node.value, syntax.Concatenation) else [node.value]
    cells: list[Cell] = []
    single = len(parts) == 1
    for part in parts:
        found = None
        if isinstance(part, syntax.Name | syntax.Index):
            found = target_bits(machine, part)
        if found is None:
            raise machine.invalid(part, "an alias names qubits or bits")
        cells += found[0]
        single = single and found[1]
    if len(set(cells)) != len(cells):
        raise machine.invalid(node, "an alias cannot name a bit twice")
    variable = Variable(node.name, BIT if single else bits(len(cells)))
    variable.cells = cells
    machine.declare(node, node.name, variable)


# Assignments


def assign_to(machine: Machine, node: syntax.Assign, value: Value) -> None:
    """Execute an assignment of a value that is computed."""
    target = node.target
    variable = writable(machine, target)
    if node.op != "=":
        old = evaluate(machine, target)
        value = binary(machine, node, node.op[:-1], old, value)
        value = _narrowed(machine, node, value, old.kind)
    if isinstance(target, syntax.Name):
        if variable.kind.name == "array":
            same_shape(machine, node, value.kind, variable.kind)
            _copy(machine, variable.data, value.data)
        else:
            write(machine, node, variable, value)
        return
    _assign_part(machine, target, value)


def _narrowed(machine: Machine, node: Node, value: Value, kind: Kind) -> Value:
    """Take the result of a compound assignment back to the variable's type."""
    integers = value.kind.integer and kind.name == "bits"
    if integers and value.kind.width > kind.width:
        return cast(machine, node, value, Kind("uint", kind.width))._replace(kind=kind)
    return value


def writable(machine: Machine, target: Expression) -> Variable:
    """Return the variable that an assignment changes, or refuse."""
    base = target
    while isinstance(base, syntax.Index):
        base = base.base
    if not isinstance(base, syntax.Name):
        raise machine.invalid(target, "this cannot be assigned to")
    symbol = machine.find(base, base.name)
    if not isinstance(symbol, Variable):
        raise machine.invalid(base, f"`{base.name}` is no classical variable")
    if symbol.const:
        raise machine.invalid(base, f"the constant `{base.name}` cannot be assigned to")
    if symbol.readonly:
        raise machine.invalid(base, f"`{base.name}` cannot be assigned to: {symbol.readonly}")
    return symbol


def _assign_part(machine: Machine, target: Expression, value: Value) -> None:
    assert isinstance(target, syntax.Index)
    found = _reference(machine, target)
    if isinstance(found, Variable):
        write(machine, target, found, value)
    elif isinstance(found, np.ndarray):
        if value.kind.name != "array" or value.kind.shape != found.shape:
            raise machine.invalid(
                target, f"a value of type {value.kind} does not fit the slice's shape"
            )
        if found.size and value.kind.element != found.flat[0].kind:
            raise machine.invalid(
                target, f"a value of type {value.kind} does not fit the elements' type"
            )
        _copy(machine, found, value.data)
    else:
        variable, places, single = found
        kind = BIT if single else bits(len(places))
        row = row_of(assign(machine, target, value, kind))
        _write_bits(machine, variable, places, row)


def _write_bits(machine: Machine, variable: Variable, places: list[int], row: Row) -> None:
    whole = list(row_of(variable.read()))
    for place, bit in zip(places, row, strict=True):
        whole[place] = bit
    if variable.cells is not None and variable.kind.name in ("bit", "bits"):
        machine.memory.write_row([variable.cells[place] for place in places], row)
        return
    from_bits = Variable("", variable.kind, cells=[_Fixed(bit) for bit in whole])  # type: ignore[misc]
    variable.write(from_bits.read().data, machine.memory)


class _Fixed:
    """A bit of a value that is put together."""

    def __init__(self, bit: Any) -> None:
        self._bit = bit

    def read(self) -> Any:
        """Return the bit."""
        return self._bit


def _reference(machine: Machine, target: syntax.Index) -> Any:
    """Return what an index refers to: a variable, a part of an array, or bits of a variable."""
    base: Any
    if isinstance(target.base, syntax.Index):
        base = _reference(machine, target.base)
    else:
        variable = writable(machine, target.base)
        base = variable.data if variable.kind.name == "array" else variable
    if isinstance(base, np.ndarray):
        return view(machine, target, base)
    if not isinstance(base, Variable):
        raise machine.invalid(target, "a slice of bits cannot be indexed again in an assignment")
    if base.kind.name not in ("bits", "int", "uint", "angle"):
        raise machine.invalid(target, f"a variable of type {base.kind} cannot be indexed")
    places = indices_of(machine, target, base.kind.width)
    if isinstance(places, int):
        return base, [places], True
    if len(set(places)) != len(places):
        raise machine.invalid(target, "a bit is assigned twice")
    return base, places, False


def target_bits(machine: Machine, target: Expression) -> tuple[list[Cell], bool] | None:
    """Return the cells of a measurement's target; ``None`` if it is no row of bits."""
    writable(machine, target)
    if isinstance(target, syntax.Name):
        symbol = machine.find(target, target.name)
        assert isinstance(symbol, Variable)
        if symbol.kind.name in ("bit", "bits"):
            assert symbol.cells is not None
            return symbol.cells, symbol.kind == BIT
        return None
    assert isinstance(target, syntax.Index)
    found = _reference(machine, target)
    if isinstance(found, tuple) and found[0].kind.name == "bits":
        variable, places, single = found
        return [variable.cells[place] for place in places], single
    return None
