"""Subroutines: calls of ``def`` are executed where they stand; ``extern`` is recognised."""

from __future__ import annotations

from typing import Any

import numpy as np

from quantainer.circuits.qasm3 import syntax
from quantainer.circuits.qasm3.conversion import assign, same_shape
from quantainer.circuits.qasm3.expressions import constant_size, evaluate, kind_of
from quantainer.circuits.qasm3.functions import FUNCTIONS
from quantainer.circuits.qasm3.kinds import VOID, Kind
from quantainer.circuits.qasm3.machine import NEXT, Frame, Machine
from quantainer.circuits.qasm3.quantum import operand
from quantainer.circuits.qasm3.scope import Extern, Qubits, Scope, SubroutineSymbol
from quantainer.circuits.qasm3.source import nearest
from quantainer.circuits.qasm3.syntax import Expression, Node
from quantainer.circuits.qasm3.values import Value, Variable
from quantainer.circuits.qasm3.variables import fresh

__all__ = ["call", "declare_extern", "define"]

_CALL = 10
"""Iterations of a loop that take the time of a call."""


def define(machine: Machine, node: syntax.Subroutine) -> None:
    """Execute ``def``."""
    if machine.scope is not machine.globals:
        raise machine.invalid(node, "subroutines are defined in the global scope")
    names = [parameter.name for parameter in node.parameters]
    if len(set(names)) != len(names):
        raise machine.invalid(node, f"subroutine `{node.name}` has two parameters of one name")
    machine.declare(node, node.name, SubroutineSymbol(node.name, node, machine.source))


def declare_extern(machine: Machine, node: syntax.Extern) -> None:
    """Execute ``extern``: it is kept; only a call of it is refused."""
    line = machine.source.line(node.at)
    machine.declare(node, node.name, Extern(node.name, "extern", line))
    machine.note(node, f"extern `{node.name}` is declared; there is nothing here to call")


def call(machine: Machine, node: Node, name: str, arguments: list[Expression],
         target: Variable | None = None) -> Value:  # fmt: skip
    """Execute a call and return its value.

    Args:
        machine: The program.
        node: The call.
        name: What is called.
        arguments: As written.
        target: A variable that gets the value anyway and has the type of the result.

    Raises:
        QuantainerError: ``invalid_circuit`` for wrong arguments, ``unsupported_circuit`` for
            externs.
    """
    symbol, _ = machine.scope.find(name)
    if isinstance(symbol, Extern) and symbol.word == "extern":
        raise machine.unsupported(
            node,
            f"extern `{name}` (line {symbol.line}) cannot be called: "
            "its code is not part of the program",
            "Write it as a `def`.",
        )
    if not isinstance(symbol, SubroutineSymbol):
        if symbol is None:
            hint = nearest(name, [*machine.scope.visible(), *FUNCTIONS])
            raise machine.invalid(node, f"`{name}` is not declared", hint)
        raise machine.invalid(node, f"`{name}` cannot be called")
    if machine.frame.gate:
        raise machine.invalid(node, "no calls of subroutines inside of a gate")
    definition = symbol.definition
    if len(arguments) != len(definition.parameters):
        wanted = len(definition.parameters)
        raise machine.invalid(
            node, f"`{name}` takes {wanted} argument(s), here are {len(arguments)}"
        )
    if machine.frames >= machine.options.max_nesting // 4:
        limit = machine.options.max_nesting // 4
        raise machine.source.too_large(node.at, "nested calls", "max_nesting", limit)
    machine.spend(node.at, _CALL)
    return _run(machine, node, symbol, arguments, target)


def _run(
    machine: Machine,
    node: Node,
    symbol: SubroutineSymbol,
    arguments: list[Expression],
    target: Variable | None,
) -> Value:
    definition = symbol.definition
    scope = Scope(machine.globals, opaque=True)
    frame = Frame(scope=scope)
    if definition.returns is not None:
        frame.returns = kind_of(machine, definition.returns)
        frame.result = _result(machine, frame.returns, target)
    frame.returned = machine.flag("return")
    frame.forward = _forwarded(definition)
    for parameter, argument in zip(definition.parameters, arguments, strict=True):
        scope.names[parameter.name] = _bound(machine, symbol, parameter, argument)
    _check_distinct(machine, node, scope)
    before, machine.frame = machine.frame, frame
    machine.frames += 1
    try:
        with machine.inside(symbol.source), machine.scoped(scope):
            outcomes = machine.execute(definition.body)
    finally:
        machine.frame = before
        machine.frames -= 1
    if frame.result is not None and outcomes & NEXT:
        raise machine.invalid(
            node,
            f"`{symbol.name}` can end without `return`, but has a value of type {frame.returns}",
        )
    if "end" in outcomes:
        machine.calls = (machine.calls | {"end"}) if outcomes - {"end"} else frozenset({"end"})
    if frame.result is None:
        return Value(VOID, None)
    return frame.result.read()._replace(const=False)


def _result(machine: Machine, kind: Kind, target: Variable | None) -> Variable:
    if target is not None and target.kind == kind:
        return target
    return fresh(machine, "return", kind, shared=False)


def _forwarded(definition: syntax.Subroutine) -> str | None:
    """Return the local register that every ``return`` hands over, if there is one."""
    names = set()
    stack: list[Any] = list(definition.body)
    while stack:
        each = stack.pop()
        if isinstance(each, syntax.Return):
            names.add(each.value.name if isinstance(each.value, syntax.Name) else None)
        stack += [*getattr(each, "body", ()), *(getattr(each, "true", None) or ())]
        stack += getattr(each, "false", None) or ()
        stack += getattr(each, "default", None) or ()
        stack += [inner for case in getattr(each, "cases", ()) for inner in case[1]]
    return names.pop() if len(names) == 1 else None


def _bound(
    machine: Machine, symbol: SubroutineSymbol, parameter: syntax.Parameter, argument: Expression
) -> Variable | Qubits:
    spec = parameter.type
    if spec.kind == "qubit":
        return _qubits(machine, symbol, parameter, argument)
    with machine.inside(symbol.source):
        kind = kind_of(machine, spec)
    value = evaluate(machine, argument)
    if kind.name == "array":
        return _array(machine, parameter, argument, value, kind)
    value = assign(machine, argument, value, kind)
    variable = fresh(machine, parameter.name, kind, shared=False)
    variable.write(value.data, machine.memory)
    return variable


def _qubits(
    machine: Machine, symbol: SubroutineSymbol, parameter: syntax.Parameter, argument: Expression
) -> Qubits:
    found = operand(machine, argument)
    spec = parameter.type
    if spec.size is None:
        if len(found.wires) != 1:
            raise machine.invalid(
                argument, f"`{parameter.name}` is one qubit, here are {len(found.wires)}"
            )
        return Qubits(found.wires, True)
    with machine.inside(symbol.source):
        size = constant_size(machine, spec.size, "the size")
    if size != len(found.wires):
        raise machine.invalid(
            argument, f"`{parameter.name}` has {size} qubit(s), here are {len(found.wires)}"
        )
    return Qubits(found.wires, False)


def _array(
    machine: Machine, parameter: syntax.Parameter, argument: Expression, value: Value, kind: Kind
) -> Variable:
    if isinstance(argument, syntax.Concatenation):
        raise machine.invalid(
            argument,
            "arrays cannot be concatenated in the arguments of a call",
            "Assign the concatenation to an array first.",
        )
    same_shape(machine, argument, value.kind, kind)
    readonly = "" if parameter.type.access == "mutable" else "it is `readonly`"
    if not readonly and value.const:
        raise machine.invalid(argument, "a constant cannot be passed as `mutable`")
    assert isinstance(value.data, np.ndarray)
    return Variable(parameter.name, value.kind, value.data, readonly=readonly)


def _check_distinct(machine: Machine, node: Node, scope: Scope) -> None:
    wires = [
        wire for each in scope.names.values() if isinstance(each, Qubits) for wire in each.wires
    ]
    if len(set(wires)) != len(wires):
        raise machine.invalid(node, "a qubit is passed twice in one call")
