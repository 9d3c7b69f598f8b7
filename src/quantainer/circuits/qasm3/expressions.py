"""Expressions: evaluate the syntax tree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from quantainer.circuits.qasm3 import functions, syntax
from quantainer.circuits.qasm3.conversion import cast
from quantainer.circuits.qasm3.kinds import BIT, DURATION, FLOAT, INT, MACHINE, UINT, Kind
from quantainer.circuits.qasm3.kinds import array as array_of
from quantainer.circuits.qasm3.kinds import bits as bits_of
from quantainer.circuits.qasm3.logic import number
from quantainer.circuits.qasm3.machine import Machine, OutOfRangeError
from quantainer.circuits.qasm3.operators import binary, unary
from quantainer.circuits.qasm3.syntax import Expression, TypeSpec
from quantainer.circuits.qasm3.values import Duration, Value, Variable, is_known, row_of

__all__ = ["HANDLERS", "constant_size", "evaluate", "indices_of", "kind_of", "single_index", "view"]

_LONG = 16
"""Operators in a row that take the time of an iteration of a loop."""
_MAX_RANK = 7
_MAX_ELEMENTS = 1 << 20


def evaluate(machine: Machine, node: Expression) -> Value:
    """Return the value of an expression.

    Raises:
        QuantainerError: If it has none.
        Unknown: If it needs to know what depends on a measurement.
    """
    handler = HANDLERS.get(type(node))
    if handler is None:
        raise machine.invalid(node, "this is no value here")
    return handler(machine, node)


def _literal(_machine: Machine, node: syntax.Literal) -> Value:
    if node.kind == "timing":
        timing: Any = node.value
        if timing[1] == "dt":
            return Value(DURATION, Duration(samples=timing[0]), True)
        return Value(DURATION, Duration(*timing), True)
    kind, data = functions.LITERALS[node.kind](node.value)
    if kind == INT and data >= 1 << (MACHINE - 1):
        kind = UINT if data < 1 << MACHINE else Kind("uint", data.bit_length())
    return Value(kind, data, True)


def _name(machine: Machine, node: syntax.Name) -> Value:
    symbol, hidden = machine.scope.find(node.name)
    if isinstance(symbol, Variable) and not hidden:
        return symbol.read()
    if symbol is None and node.name in functions.CONSTANTS:
        return Value(FLOAT, functions.CONSTANTS[node.name], True)
    if symbol is None and node.name.startswith("$"):
        raise machine.invalid(node, f"the qubit {node.name} is no classical value", "Measure it.")
    found = machine.find(node, node.name)
    what = {"Qubits": "a qubit", "GateSymbol": "a gate", "SubroutineSymbol": "a subroutine"}
    hint = "Measure it into a bit." if type(found).__name__ == "Qubits" else None
    word = what.get(type(found).__name__, "an extern")
    raise machine.invalid(node, f"`{node.name}` is {word}, no classical value", hint)


def _unary(machine: Machine, node: syntax.Unary) -> Value:
    return unary(machine, node, node.op, evaluate(machine, node.operand))


def _binary(machine: Machine, node: syntax.Binary) -> Value:
    spine = [node]
    while isinstance(spine[-1].left, syntax.Binary):  # long sums lean to the left: do not recurse
        spine.append(spine[-1].left)
    machine.spend(node.at, len(spine) // _LONG)
    value = evaluate(machine, spine[-1].left)
    for each in reversed(spine):
        if each.op in ("&&", "||") and is_known(value):
            truth = cast(machine, each, value, Kind("bool"))
            if truth.data == (each.op == "||"):  # as in C, the right side is not evaluated
                value = truth
                continue
        value = binary(machine, each, each.op, value, evaluate(machine, each.right))
    return value


def _cast(machine: Machine, node: syntax.Cast) -> Value:
    return cast(machine, node, evaluate(machine, node.operand), kind_of(machine, node.type))


def _call(machine: Machine, node: syntax.Call) -> Value:
    symbol, _ = machine.scope.find(node.name)
    if symbol is None and node.name in functions.FUNCTIONS:
        arguments = [evaluate(machine, argument) for argument in node.arguments]
        return functions.call(machine, node, node.name, arguments)
    return machine.call(node, node.name, node.arguments, None)


def _concatenation(machine: Machine, node: syntax.Concatenation) -> Value:
    values = [evaluate(machine, part) for part in node.parts]
    names = {value.kind.name for value in values}
    if names <= {"bits", "bit"}:
        # `a ++ b` puts b after a, so that the bits of b are the higher ones.
        row = tuple(bit for value in values for bit in row_of(value))
        data = number(row)
        return Value(bits_of(len(row)), row if data is None else data)
    if names == {"array"} and len({value.kind.element for value in values}) == 1:
        if len({value.kind.shape[1:] for value in values}) > 1:
            raise machine.invalid(node, "the arrays differ in shape")
        joined = np.concatenate([value.data for value in values])
        element = values[0].kind.element
        assert element is not None
        return Value(array_of(element, joined.shape), joined)
    kinds = ", ".join(str(value.kind) for value in values)
    raise machine.invalid(node, f"`++` is not defined for {kinds}")


def _index(machine: Machine, node: syntax.Index) -> Value:
    if isinstance(node.base, syntax.Name) and len(node.items) == 1:
        symbol, hidden = machine.scope.find(node.base.name)
        single = not hidden and not isinstance(node.items[0], syntax.Range | syntax.SetLiteral)
        if single and isinstance(symbol, Variable) and symbol.kind.name == "bits":
            return _bit(machine, node.items[0], symbol)
    value = evaluate(machine, node.base)
    kind = value.kind
    if kind.name == "array":
        return _element(machine, node, value)
    if kind.name not in ("bits", "int", "uint", "angle"):
        raise machine.invalid(node, f"a value of type {kind} cannot be indexed")
    places = indices_of(machine, node, kind.width)
    row = row_of(value)
    if isinstance(places, int):
        return _index_bits(value, places)
    chosen = tuple(row[place] for place in places)
    data = number(chosen)
    return Value(bits_of(len(chosen)), chosen if data is None else data, value.const)


def _bit(machine: Machine, node: Expression, variable: Variable) -> Value:
    """Return one bit of a register without reading all."""
    if variable.cells is None:  # a constant
        return _index_bits(variable.read(), single_index(machine, node, variable.kind.width))
    bit = variable.cells[single_index(machine, node, variable.kind.width)].read()
    return Value(BIT, int(bit) if isinstance(bit, bool) else (bit,))


def _index_bits(value: Value, place: int) -> Value:
    bit = row_of(value)[place]
    return Value(BIT, int(bit) if isinstance(bit, bool) else (bit,), value.const)


def _element(machine: Machine, node: syntax.Index, value: Value) -> Value:
    found = view(machine, node, value.data)
    if isinstance(found, Variable):
        return found.read()
    element = value.kind.element
    assert element is not None
    return Value(array_of(element, found.shape), found)


def view(machine: Machine, node: syntax.Index, elements: Any) -> Any:
    """Return the variable or the part of an array that an index names; a reference, no copy."""
    if len(node.items) > elements.ndim:
        raise machine.invalid(
            node, f"{len(node.items)} indices into an array of {elements.ndim} dimension(s)"
        )
    where: list[Any] = []
    for size, item in zip(elements.shape, node.items, strict=False):
        if isinstance(item, syntax.SetLiteral):
            raise machine.invalid(item, "an array cannot be indexed by a set", "Use a range.")
        places = _places(machine, item, size)
        if isinstance(places, range):
            end = places.stop if places.stop >= 0 else None
            where.append(slice(places.start, end, places.step) if places else slice(0, 0))
        else:
            where.append(places)
    return elements[tuple(where)]


# Indices


def indices_of(machine: Machine, node: syntax.Index, size: int) -> int | list[int]:
    """Return the place, or the places, that an index of bits or qubits names.

    Raises:
        QuantainerError: ``invalid_circuit`` if a place is outside.
    """
    if len(node.items) != 1:
        raise machine.invalid(node, "bits and qubits have one dimension")
    item = node.items[0]
    if isinstance(item, syntax.SetLiteral):
        return [single_index(machine, each, size) for each in item.items]
    places = _places(machine, item, size)
    if isinstance(places, int):
        return places
    if not places:
        raise machine.invalid(item, "the slice is empty")
    return list(places)


def single_index(machine: Machine, node: Expression, size: int) -> int:
    """Return a place within ``size``; negative ones count from the end."""
    place = _integer(machine, node)
    if not -size <= place < size:
        raise _out_of_range(machine, node, place, size)
    return place % size


def _out_of_range(machine: Machine, node: Expression, place: int, size: int) -> OutOfRangeError:
    refusal = machine.invalid(node, f"index {place} is out of range: there are {size}")
    return OutOfRangeError(refusal.code, refusal.message)


def _integer(machine: Machine, node: Expression) -> int:
    value = evaluate(machine, node)
    if not (value.kind.integer or value.kind.truth or value.kind.name == "bits"):
        raise machine.invalid(node, f"an index is an integer, this is {value.kind}")
    return int(machine.known(node, value, "an index is needed"))


def _places(machine: Machine, node: Expression, size: int) -> int | range:
    if not isinstance(node, syntax.Range):
        return single_index(machine, node, size)
    step = 1 if node.step is None else _integer(machine, node.step)
    if not step:
        raise machine.invalid(node, "a range with step 0")
    first, last = (0, size - 1) if step > 0 else (size - 1, 0)
    start = first if node.start is None else _integer(machine, node.start)
    stop = last if node.stop is None else _integer(machine, node.stop)
    start, stop = (place + size if place < 0 else place for place in (start, stop))
    places = range(start, stop + (1 if step > 0 else -1), step)
    if size in places and step > 0 and len(places) > 1:
        # One past the end, as in other languages: the specification's own examples do it.
        machine.note(node, f"a range that ends at {size}, of {size} elements, is cut at the last")
        places = range(start, size, step)
    for place in (places[0], places[-1]) if places else ():
        if not 0 <= place < size:
            raise _out_of_range(machine, node, place, size)
    return places


# Types


def kind_of(machine: Machine, spec: TypeSpec) -> Kind:
    """Return the type that is written."""
    if spec.kind == "array":
        return _array_kind(machine, spec)
    if spec.kind == "complex":
        base = Kind("float") if spec.base is None else kind_of(machine, spec.base)
        if base.name != "float":
            raise machine.unsupported(spec, f"complex numbers of {base}", "Use `complex[float]`.")
        return Kind("complex", base.size)
    if spec.kind == "qubit":
        raise machine.invalid(spec, "a qubit is no classical type")
    size = None if spec.size is None else constant_size(machine, spec.size, "the width")
    if size is None:
        return Kind(spec.kind)
    if size == 0:
        raise machine.invalid(spec, f"`{spec.kind}[0]` has no bits")
    if size > machine.options.max_clbits:
        limit = machine.options.max_clbits
        raise machine.source.too_large(spec.at, "classical bits", "max_clbits", limit, size)
    return Kind("bits" if spec.kind == "bit" else spec.kind, size)


def _array_kind(machine: Machine, spec: TypeSpec) -> Kind:
    assert spec.base is not None
    element = kind_of(machine, spec.base)
    if element.name in ("bit", "bits", "stretch", "array"):
        raise machine.invalid(spec.base, f"there are no arrays of {element}", _ELEMENT_HINT)
    if spec.rank is not None:
        return array_of(
            element, (-1,) * constant_size(machine, spec.rank, "the number of dimensions")
        )
    assert spec.dimensions is not None
    shape = tuple(constant_size(machine, each, "a dimension") for each in spec.dimensions)
    if len(shape) > _MAX_RANK:
        raise machine.invalid(spec, f"an array has at most {_MAX_RANK} dimensions")
    if int(np.prod([float(size) for size in shape])) > _MAX_ELEMENTS:
        raise machine.unsupported(spec, f"an array of more than {_MAX_ELEMENTS} elements")
    return array_of(element, shape)


_ELEMENT_HINT = "Elements are bool, int, uint, float, angle, complex or duration."


def constant_size(machine: Machine, node: Expression, what: str) -> int:
    """Return a size: a constant that is not negative.

    Raises:
        QuantainerError: ``invalid_circuit`` if it is no constant integer.
    """
    value = evaluate(machine, node)
    if not value.const:
        raise machine.invalid(node, f"{what} must be a constant", "Declare it `const`.")
    if not value.kind.integer:
        raise machine.invalid(node, f"{what} must be an integer, this is {value.kind}")
    if value.data < 0:
        raise machine.invalid(node, f"{what} cannot be negative")
    return int(value.data)


def _array_literal(machine: Machine, node: syntax.ArrayLiteral) -> Value:
    raise machine.invalid(node, "values in braces initialise an array, and stand nowhere else")


def _misplaced(machine: Machine, node: Any) -> Value:
    raise machine.invalid(node, "ranges and sets stand in indices and `for` only")


HANDLERS: dict[type, Callable[[Machine, Any], Value]] = {
    # Measurements and ``durationof`` are added by the modules that execute statements.
    syntax.Literal: _literal,
    syntax.Name: _name,
    syntax.Unary: _unary,
    syntax.Binary: _binary,
    syntax.Cast: _cast,
    syntax.Call: _call,
    syntax.Concatenation: _concatenation,
    syntax.Index: _index,
    syntax.ArrayLiteral: _array_literal,
    syntax.Range: _misplaced,
    syntax.SetLiteral: _misplaced,
}
