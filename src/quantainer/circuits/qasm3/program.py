"""Program: executes statements one after another, and splits those that know too little."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from quantainer.circuits.circuit import SCRATCH
from quantainer.circuits.options import ReadOptions
from quantainer.circuits.qasm3 import subroutines, syntax
from quantainer.circuits.qasm3.interface import check_inputs
from quantainer.circuits.qasm3.library import BUILTIN
from quantainer.circuits.qasm3.machine import NEXT, Machine, Outcomes, OutOfRangeError, Unknown
from quantainer.circuits.qasm3.parser import parse
from quantainer.circuits.qasm3.scope import GateSymbol
from quantainer.circuits.qasm3.source import Source
from quantainer.circuits.qasm3.statements import STATEMENTS
from quantainer.circuits.qasm3.syntax import Expression, Statement
from quantainer.circuits.qasm3.values import Value, Variable
from quantainer.circuits.qasm3.variables import declare

__all__ = ["run"]

_SPLITS = 16  # bits of one statement that are told apart by branches
_SPLIT = 100
"""Iterations of a loop that take the time of a branch for one value of a bit."""
_LONG = 8
"""Statements that take the time of an iteration of a loop."""


def run(source: Source, options: ReadOptions) -> Machine:
    """Execute a program and return the machine with what is left of it for a run.

    Raises:
        QuantainerError: If it is not valid, not supported or over a limit.
    """
    with _deep_recursion(options.max_nesting):
        machine = _Program(source, options)
        machine.globals.names.update(
            {name: GateSymbol(name, library=gate) for name, gate in BUILTIN.items()}
        )
        machine.body = parse(source, options.max_nesting).body
        machine.execute(machine.body)
        check_inputs(machine)
        _finish(machine)
        return machine


@contextmanager
def _deep_recursion(nesting: int) -> Iterator[None]:
    """Let Python recurse as deeply as the nesting limit permits; its frames are on the heap."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, 1000 + 64 * nesting))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def _finish(machine: Machine) -> None:
    """Store what the program's results are known to be, and hide the registers that are none."""
    results = set(machine.outputs) or {each.name for each in machine.bits if each.name != SCRATCH}
    for name, variable in machine.globals.names.items():
        if name in results and isinstance(variable, Variable):
            _finish_result(machine, variable)
    machine.memory.hide()


def _finish_result(machine: Machine, variable: Variable) -> None:
    for part in variable.data.flat if variable.kind.name == "array" else (variable,):
        if part.kind.binary:
            machine.settle(part)
            register = part.bits(machine.memory)[0].register
            register.used = register.output = True


class _Program(Machine):
    """The machine together with the statements that it executes."""

    def execute(self, statements: list[Statement]) -> Outcomes:
        """Execute statements in order; return how they may go on."""
        if self.frame.loops or self.frames:
            self.spend(self.at, len(statements) // _LONG)
        for place, statement in enumerate(statements):
            outcomes = self._statement(statement)
            if not outcomes & NEXT:
                return outcomes
            if outcomes != NEXT:
                return (outcomes - NEXT) | self._guarded(statements, place + 1, outcomes)
        return NEXT

    def _guarded(self, statements: list[Statement], start: int, outcomes: Outcomes) -> Outcomes:
        """Execute what follows statements that a run may have left."""
        if start == len(statements):
            return NEXT
        rest = self.rest(statements, start)
        going = self.going_on(outcomes)
        if isinstance(going, bool):
            return self.execute(rest) if going else NEXT - NEXT
        for each in rest:  # what follows the branch sees these names, too
            if not isinstance(each, syntax.ClassicalDeclaration) or each.const:
                continue
            if id(each) not in self.early:
                self.early[id(each)] = declare(self, each)
        assigned = self.assigned(self.effects(rest))
        return self.branch(going, assigned, lambda: self.execute(rest), lambda: NEXT - NEXT)

    def _statement(self, node: Statement) -> Outcomes:
        self.at = node.at
        target = self.emitter.block
        mark, count = len(target.operations), self.emitter.count
        self.calls = NEXT
        try:
            with self.memory.arena():
                outcomes = STATEMENTS[type(node)](self, node) or NEXT
        except Unknown as unknown:
            if not self.pure_since(target, mark):
                raise self.source.unsupported(
                    unknown.at,
                    f"{unknown.what}, but it depends on a measurement of this very statement",
                    "Assign the outcome to a variable first.",
                ) from None
            del target.operations[mark:]
            self.emitter.count = count
            return self._split(node, unknown)
        calls, self.calls = self.calls, NEXT
        if calls == NEXT:
            return outcomes
        return calls if "next" not in calls else outcomes | calls

    def _split(self, node: Statement, unknown: Unknown) -> Outcomes:
        """Execute a statement once for each value of a bit that it has to know."""
        if self.splits >= _SPLITS:
            raise self.source.unsupported(
                unknown.at,
                f"{unknown.what}, but it depends on more than {_SPLITS} measured bits",
            )
        if isinstance(node, syntax.Alias):
            raise self.source.unsupported(
                unknown.at, "what an alias stands for cannot depend on a measurement"
            )
        if isinstance(node, syntax.ClassicalDeclaration):
            node = self._declared(node, unknown)
        again = node
        self.spend(unknown.at, _SPLIT)
        self.splits += 1
        try:
            return self.branch(
                unknown.cell,
                self.assigned(self.effects(again)),
                lambda: self._part(again),
                lambda: self._part(again),
            )
        finally:
            self.splits -= 1

    def _part(self, node: Statement) -> Outcomes:
        """Execute a statement for one value of a bit: an index may be right for the other only."""
        block = self.emitter.block
        mark = len(block.operations)
        try:
            return self._statement(node)
        except OutOfRangeError as error:
            del block.operations[mark:]
            reason = error.message.split(": ", 1)[1]
            self.note(node, f"does nothing in runs whose measured bits lead to: {reason}")
            return NEXT

    def _declared(self, node: syntax.ClassicalDeclaration, unknown: Unknown) -> Statement:
        """Declare a variable once, and return the assignment of its first value, to be split."""
        if node.const:
            raise self.source.invalid(unknown.at, "a constant depends on a measurement")
        if node.name not in self.scope.names:
            declare(self, node)
        if not isinstance(node.value, Expression) or isinstance(node.value, syntax.ArrayLiteral):
            raise self.source.unsupported(
                unknown.at,
                f"{unknown.what}, but it depends on a measurement",
                "Assign the elements one by one.",
            )
        key = id(node)
        if key not in self.assignments:
            target = syntax.Name(node.at, node.name)
            self.assignments[key] = syntax.Assign(node.value.at, target, "=", node.value)
        return self.assignments[key]

    def call(
        self, node: syntax.Call, name: str, arguments: list[Expression], target: Variable | None
    ) -> Value:
        """Call a subroutine as part of an expression."""
        return subroutines.call(self, node, name, arguments, target)
