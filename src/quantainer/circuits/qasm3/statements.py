"""Statements: what each kind of statement does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from quantainer.circuits.qasm3 import gates, subroutines, syntax, timing
from quantainer.circuits.qasm3.control import (
    block,
    execute_for,
    execute_if,
    execute_switch,
    execute_while,
)
from quantainer.circuits.qasm3.conversion import assign
from quantainer.circuits.qasm3.expressions import evaluate, kind_of
from quantainer.circuits.qasm3.include import include
from quantainer.circuits.qasm3.interface import io, pragma
from quantainer.circuits.qasm3.machine import Machine, Outcomes
from quantainer.circuits.qasm3.quantum import (
    barrier,
    call_gate,
    declare_qubits,
    measure,
    measure_variable,
    operand,
    reset,
)
from quantainer.circuits.qasm3.scope import Extern, Qubits, SubroutineSymbol
from quantainer.circuits.qasm3.syntax import Expression
from quantainer.circuits.qasm3.values import Variable
from quantainer.circuits.qasm3.variables import (
    alias_bits,
    assign_to,
    declare,
    initialise,
    writable,
    write,
)

__all__ = ["STATEMENTS"]


def _declaration(machine: Machine, node: syntax.ClassicalDeclaration) -> None:
    value = node.value
    if node.const:
        _constant(machine, node)
        return
    variable = machine.early.pop(id(node), None)
    plain = isinstance(value, Expression) and not isinstance(
        value, syntax.ArrayLiteral | syntax.Measure | syntax.Call
    )
    if plain and variable is None:  # the value comes first: it may use an outer variable's name
        assert value is not None
        ready = evaluate(machine, value)
        variable = declare(machine, node)
        initialise(machine, variable, value, ready)
        return
    variable = variable or declare(machine, node)
    if isinstance(value, syntax.Measure):
        measure_variable(machine, value, variable)
    elif isinstance(value, syntax.Call):
        _assign_call(machine, node, variable, value)
    elif value is not None:
        initialise(machine, variable, value)


def _constant(machine: Machine, node: syntax.ClassicalDeclaration) -> None:
    assert node.value is not None
    if isinstance(node.value, syntax.Measure):
        raise machine.invalid(node.value, "a constant cannot be measured")
    kind = kind_of(machine, node.type)
    value = evaluate(machine, node.value)
    if not value.const:
        raise machine.invalid(
            node.value, f"the value of the constant `{node.name}` is not constant"
        )
    data = assign(machine, node.value, value, kind).data
    machine.declare(node, node.name, Variable(node.name, kind, data, const=True))


def _assign_call(
    machine: Machine, _node: syntax.Node, variable: Variable, value: syntax.Call
) -> None:
    """Assign the value of a call; the subroutine may write into a register directly."""
    symbol, _ = machine.scope.find(value.name)
    if not isinstance(symbol, SubroutineSymbol) or variable.kind.name not in ("bit", "bits"):
        initialise(machine, variable, value)
        return
    result = machine.call(value, value.name, value.arguments, variable)
    if result.kind != variable.kind:
        write(machine, value, variable, result)


def _assign(machine: Machine, node: syntax.Assign) -> None:
    value = node.value
    if node.op == "=" and isinstance(value, syntax.Measure):
        measure(machine, value, node.target)
        return
    if node.op == "=" and isinstance(value, syntax.Call) and isinstance(node.target, syntax.Name):
        target = writable(machine, node.target)
        if target.kind.name in ("bit", "bits"):
            _assign_call(machine, node, target, value)
            return
    assign_to(machine, node, evaluate(machine, value))


def _alias(machine: Machine, node: syntax.Alias) -> None:
    if not _is_quantum(machine, node.value):
        alias_bits(machine, node)
        return
    found = machine.scope.names.get(node.name)
    registers = {name for name, _ in machine.qubits}
    if isinstance(found, Qubits) and node.name not in registers:
        del machine.scope.names[node.name]  # given anew, as the specification's examples do
    machine.declare(node, node.name, operand(machine, node.value))


def _is_quantum(machine: Machine, node: Expression) -> bool:
    while isinstance(node, syntax.Index | syntax.Concatenation):
        node = node.base if isinstance(node, syntax.Index) else node.parts[0]
    if not isinstance(node, syntax.Name):
        return False
    return isinstance(machine.scope.find(node.name)[0], Qubits) or node.name.startswith("$")


def _gate_call(machine: Machine, node: syntax.GateCall) -> None:
    symbol, _ = machine.scope.find(node.name)
    extern = isinstance(symbol, Extern) and symbol.word == "extern"
    if not (extern or isinstance(symbol, SubroutineSymbol)):
        call_gate(machine, node)
        return
    if node.modifiers:
        raise machine.invalid(node, "a subroutine has no modifiers", "Only gates have.")
    subroutines.call(machine, node, node.name, [*node.arguments, *node.operands])


def _measure(machine: Machine, node: syntax.MeasureStatement) -> None:
    measure(machine, node.measure, node.target)


def _expression(machine: Machine, node: syntax.ExpressionStatement) -> None:
    evaluate(machine, node.value)


def _return(machine: Machine, node: syntax.Return) -> Outcomes:
    frame = machine.frame
    if frame.returned is None:
        raise machine.invalid(node, "`return` outside of a subroutine")
    if frame.result is None:
        if node.value is not None:
            raise machine.invalid(
                node, "the subroutine has no value to return", "Declare it: `-> type`."
            )
    elif node.value is None:
        raise machine.invalid(node, f"the subroutine returns a value of type {frame.returns}")
    elif isinstance(node.value, syntax.Measure):
        measure_variable(machine, node.value, frame.result)
    else:
        write(machine, node.value, frame.result, evaluate(machine, node.value))
    frame.returned.write(1, machine.memory)
    return frozenset(("return",))


def _jump(machine: Machine, node: syntax.Break | syntax.Continue) -> Outcomes:
    word = "break" if isinstance(node, syntax.Break) else "continue"
    if not machine.frame.loops:
        raise machine.invalid(node, f"`{word}` outside of a loop")
    machine.flag_of(word).write(1, machine.memory)
    return frozenset((word,))


def _end(machine: Machine, node: syntax.End) -> Outcomes:
    if machine.frame.gate:
        raise machine.invalid(node, "`end` inside of a gate")
    machine.end_flag().write(1, machine.memory)
    return frozenset(("end",))


def _calibration(machine: Machine, node: syntax.Calibration) -> None:
    line = machine.source.line(node.at)
    machine.calibrations.append((line, f"{node.word} {node.text}"))
    what = node.word
    if node.word == "defcal":
        name = node.text.replace("(", " ").replace("$", " ").split()[0]
        what = f"{node.word} {name}"
        if machine.globals.find(name)[0] is None:
            machine.globals.names[name] = Extern(name, "defcal", line)
    machine.note(node, f"`{what}` is kept, not acted on: there is no pulse hardware")


def _block(machine: Machine, node: syntax.Block) -> Outcomes:
    return block(machine, node.body)


def _nop(machine: Machine, node: syntax.Nop) -> None:
    for each in node.operands:
        operand(machine, each)


STATEMENTS: dict[type, Callable[[Any, Any], Outcomes | None]] = {
    syntax.Include: include,
    syntax.Pragma: pragma,
    syntax.Calibration: _calibration,
    syntax.QubitDeclaration: declare_qubits,
    syntax.ClassicalDeclaration: _declaration,
    syntax.IoDeclaration: io,
    syntax.Alias: _alias,
    syntax.GateDefinition: gates.define,
    syntax.Subroutine: subroutines.define,
    syntax.Extern: subroutines.declare_extern,
    syntax.GateCall: _gate_call,
    syntax.MeasureStatement: _measure,
    syntax.Reset: reset,
    syntax.Barrier: barrier,
    syntax.Nop: _nop,
    syntax.Delay: timing.delay,
    syntax.Box: timing.box,
    syntax.Assign: _assign,
    syntax.ExpressionStatement: _expression,
    syntax.Return: _return,
    syntax.Break: _jump,
    syntax.Continue: _jump,
    syntax.End: _end,
    syntax.Block: _block,
    syntax.If: execute_if,
    syntax.For: execute_for,
    syntax.While: execute_while,
    syntax.Switch: execute_switch,
}
