"""Machine: the state of a program while it is read, and branches on what only a run can know."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from quantainer.circuits.options import ReadOptions
from quantainer.circuits.qasm3.assigned import Assigned, Effects
from quantainer.circuits.qasm3.emitter import Block, Branch, Emitter, Store
from quantainer.circuits.qasm3.kinds import BOOL, VOID, Kind
from quantainer.circuits.qasm3.knowledge import (
    Saved,
    State,
    is_symbol,
    learn,
    parts,
    same,
    some_bits,
    symbolic,
)
from quantainer.circuits.qasm3.logic import Bit, all_of, atoms, invert
from quantainer.circuits.qasm3.memory import Cell, Memory
from quantainer.circuits.qasm3.scope import Extern, GateSymbol, Scope, SubroutineSymbol, Symbol
from quantainer.circuits.qasm3.source import Source, nearest
from quantainer.circuits.qasm3.syntax import Assign, Call, Expression, Node, Statement
from quantainer.circuits.qasm3.values import Choice, Value, Variable, is_known, packed
from quantainer_client.errors import QuantainerError

__all__ = ["NEXT", "Frame", "LoopFrame", "Machine", "OutOfRangeError", "Outcomes", "Unknown"]

Outcomes = frozenset[str]
"""How a piece of a program may go on: ``next``, ``break``, ``continue``, ``return``, ``end``."""

NEXT: Outcomes = frozenset(("next",))


class Unknown(Exception):  # noqa: N818 (a question, not an error)
    """A value is needed while reading, but depends on a measurement: split on one of its bits."""

    def __init__(self, at: int, cell: Cell, what: str) -> None:
        super().__init__(what)
        self.at = at
        self.cell = cell
        self.what = what


class OutOfRangeError(QuantainerError):
    """An index is outside; where a measurement decides on the index, only some runs are."""


@dataclass(slots=True)
class LoopFrame:
    """A loop being executed: the flags tell at run time that it was left."""

    breaks: Variable
    continues: Variable


@dataclass(slots=True)
class Frame:
    """The program or a call of a subroutine.

    Attributes:
        result: Where ``return`` writes.
        returned: Flag that says at run time that the subroutine has returned.
        forward: A local variable that *is* the result, so that nothing need be copied.
        gate: Whether it is the body of a gate, on ``wires`` qubits.
        scope: The outermost scope of a subroutine.
    """

    returns: Kind = VOID
    result: Variable | None = None
    returned: Variable | None = None
    forward: str | None = None
    gate: bool = False
    wires: int = 0
    scope: Scope | None = None
    loops: list[LoopFrame] = field(default_factory=list)


class Machine:
    """One program being read.

    Attributes:
        source: The file that is being executed; an included one while it is.
        scope: Names as seen from the current statement.
        calls: Outcomes of the subroutines that the current statement called.
        notes: What the user should know.
    """

    def __init__(self, source: Source, options: ReadOptions) -> None:
        self.source = source
        self.options = options
        self.emitter = Emitter(options.max_gates, self._too_many)
        self.memory = Memory(self.emitter)
        self.globals = Scope()
        self.scope = self.globals
        self.frame = Frame()
        self.frames = 0
        self.calls: Outcomes = NEXT
        self.at = 0
        self.iterations = 0
        self.ended: Variable | None = None
        self.notes: list[str] = []
        self.qubits: list[tuple[str, int]] = []
        self.width = 0
        self.physical: dict[int, int] = {}
        self.pragmas: list[tuple[int, str]] = []
        self.inputs: list[str] = []
        self.outputs: list[str] = []
        self.bits: list[Variable] = []
        self.libraries: set[str] = set()
        self.calibrations: list[tuple[int, str]] = []
        self.open_files: list[Path] = []
        self.included = 0
        self.body: list[Statement] = []
        self.early: dict[int, Variable] = {}
        self.assignments: dict[int, Assign] = {}
        self.run_time_loops: set[int] = set()
        self.splits = 0
        self.depth = 0
        self._rests: dict[tuple[int, int], tuple[Any, list[Statement]]] = {}
        self._assigned = Assigned()

    def execute(self, statements: list[Statement]) -> Outcomes:
        """Execute statements in order; :mod:`.program` knows how."""
        raise NotImplementedError

    def call(
        self, node: Call, name: str, arguments: list[Expression], target: Variable | None
    ) -> Value:
        """Call a subroutine; :mod:`.program` knows how."""
        raise NotImplementedError

    # Refusals

    def invalid(self, node: Node, reason: str, hint: str | None = None) -> QuantainerError:
        """Return the refusal of a program that is wrong."""
        return self.source.invalid(node.at, reason, hint)

    def unsupported(self, node: Node, reason: str, hint: str | None = None) -> QuantainerError:
        """Return the refusal of a program that is right but cannot be run."""
        return self.source.unsupported(node.at, reason, hint)

    def _too_many(self) -> NoReturn:
        limit = self.options.max_gates
        raise self.source.too_large(self.at, "operations", "max_gates", limit)

    def note(self, node: Node, text: str) -> None:
        """Tell the user something, once."""
        text = f"line {self.source.line(node.at)}: {text}"
        if text not in self.notes:
            self.notes.append(text)

    # Names

    def find(self, node: Node, name: str) -> Symbol:
        """Return what a name means here.

        Raises:
            QuantainerError: ``invalid_circuit``, with the nearest name, if it means nothing.
        """
        symbol, hidden = self.scope.find(name)
        if symbol is None:
            raise self.invalid(
                node, f"`{name}` is not declared", nearest(name, self.scope.visible())
            )
        if hidden:
            raise self.invalid(
                node,
                f"`{name}` is not visible inside of a gate or subroutine",
                "Only constants, gates and subroutines are: pass it as a parameter.",
            )
        return symbol

    def declare(self, node: Node, name: str, symbol: Symbol) -> None:
        """Give a name a meaning in the current scope."""
        found = self.scope.names.get(name)
        if isinstance(found, GateSymbol) and found.library is not None:
            reason = f"`{name}` is a gate of the standard library"
            raise self.invalid(node, reason, "Choose another name.")
        if found is not None and not (isinstance(found, Extern) and found.word == "defcal"):
            raise self.invalid(
                node, f"`{name}` is declared already", "Names are declared once per scope."
            )
        self.scope.names[name] = symbol

    @contextmanager
    def scoped(self, scope: Scope | None = None) -> Iterator[Scope]:
        """Enter a block: its names and its scratch bits end with it."""
        before = self.scope
        self.scope = Scope(before) if scope is None else scope
        try:
            with self.memory.arena() as arena:
                self.scope.arena = arena
                yield self.scope
        finally:
            self.scope = before

    @contextmanager
    def inside(self, source: Source) -> Iterator[None]:
        """Execute text of another file."""
        before, self.source = self.source, source
        try:
            yield
        finally:
            self.source = before

    def flag(self, name: str) -> Variable:
        """Return a new flag, not set."""
        flag = Variable(name, BOOL, data=0, arena=self.memory.current)
        flag.cells = self.memory.take(1)
        return flag

    def iterate(self, node: Node) -> None:
        """Count an iteration of a loop."""
        self.spend(node.at, 1)

    def spend(self, at: int, rounds: int) -> None:
        """Count what takes the time of so many iterations of a loop."""
        self.iterations += rounds
        limit = self.options.max_iterations
        if self.iterations > limit:
            what = "iterations of loops, calls, copies of arrays and values of measured bits"
            raise self.source.too_large(at, what, "max_iterations", limit)

    # What is known

    def known(self, node: Node, value: Value, what: str) -> Any:
        """Return the value's data.

        Raises:
            Unknown: If it depends on a measurement; the statement is then split.
        """
        if is_known(value):
            return value.data
        if not isinstance(value.data, Choice):  # a row may be cut down to constants
            data = packed(value.kind, value.data)
            if not isinstance(data, tuple):
                return data
        raise Unknown(node.at, self._splitting_cell(value.data), what)

    def _splitting_cell(self, data: Any) -> Cell:
        if isinstance(data, Choice):
            return data.bit
        for bit in data:
            cells = self.memory.sources(bit)
            if cells:
                return cells[0]
        raise AssertionError("a row of constants is known")

    # Effects

    def effects(self, what: list[Statement] | Node) -> Effects:
        """Return what statements may do."""
        return self._assigned.of(what)

    def rest(self, statements: list[Statement], start: int) -> list[Statement]:
        """Return the statements from a place on: the same list each time."""
        key = (id(statements), start)
        if key not in self._rests:
            self._rests[key] = (statements, statements[start:])
        return self._rests[key][1]

    def assigned(self, effects: Effects) -> list[Variable]:
        """Return the variables that may change, flags of exits included."""
        found: dict[Variable, None] = {}
        places: dict[Variable, set[int]] = {}
        for name, place in effects.targets:
            symbol, hidden = self.scope.find(name)
            if not isinstance(symbol, Variable) or hidden or symbol.const:
                continue
            if place is not None and symbol.kind.name == "bits" and place < symbol.kind.width:
                places.setdefault(symbol, set()).add(place)
            else:
                found.update(dict.fromkeys(parts(symbol)))
        for variable, some in places.items():
            if variable not in found:
                found[some_bits(variable, sorted(some))] = None
        exits = effects.exits | ({"end"} if self.may_end(effects.calls) else set())
        if self.frame.loops:
            loop = self.frame.loops[-1]
            found.update({loop.breaks: None} if "break" in exits else {})
            found.update({loop.continues: None} if "continue" in exits else {})
        if "return" in exits and self.frame.returned is not None:
            found[self.frame.returned] = None
            if self.frame.result is not None:
                found[self.frame.result] = None
        if "end" in exits:
            found[self.end_flag()] = None
        return list(found)

    def end_flag(self) -> Variable:
        """Return the flag that says at run time that the program has ended."""
        if self.ended is None:
            self.ended = Variable("end", BOOL, data=0)
            self.ended.cells = self.memory.permanent()
        return self.ended

    def may_end(self, calls: frozenset[str]) -> bool:
        """Tell whether a call of one of these may end the program."""
        return bool(calls) and self._may_end(calls, set())

    def _may_end(self, calls: frozenset[str], seen: set[str]) -> bool:
        for name in calls - seen:
            seen.add(name)
            symbol = self.globals.names.get(name)
            if isinstance(symbol, SubroutineSymbol):
                effects = self.effects(symbol.definition.body)
                if "end" in effects.exits or self._may_end(effects.calls, seen):
                    return True
        return False

    # Branches at run time

    def branch(
        self,
        condition: Bit,
        assigned: list[Variable],
        true: Callable[[], Outcomes],
        false: Callable[[], Outcomes],
    ) -> Outcomes:
        """Execute two arms of which a run takes one, and join what they leave behind."""
        for variable in assigned:
            self.settle(variable)
        start = State(assigned, list(atoms(condition)))  # type: ignore[arg-type]
        blocks, ends, outcomes = [], [], NEXT - NEXT
        for arm, taken in ((true, True), (false, False)):
            block = Block()
            with self.nested(), self.emitter.into(block):
                learn(condition, taken)
                outcomes |= arm()
            blocks.append(block)
            ends.append(State(assigned, []))
            start.restore()
        self._join(assigned, blocks, ends)
        if blocks[0].operations or blocks[1].operations:
            self.emitter.add(Branch(condition, *blocks))
        return outcomes

    @contextmanager
    def nested(self) -> Iterator[None]:
        """Count a branch or loop of the run: those who execute circuits recurse into them."""
        limit = self.options.max_nesting // 4
        if self.depth >= limit:
            raise self.source.too_large(self.at, "nested run-time blocks", "max_nesting", limit)
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1

    def settle(self, variable: Variable) -> None:
        """Put a bit pattern where a run can change it."""
        if variable.kind.binary and not symbolic(variable):
            for cell in variable.bits(self.memory):
                self.memory.settle(cell)

    def _join(self, assigned: list[Variable], blocks: list[Block], ends: list[State]) -> None:
        for place, variable in enumerate(assigned):
            left, right = (end.variables[place] for end in ends)
            if variable.kind.binary and not (is_symbol(left[0]) or is_symbol(right[0])):
                self._join_bits(variable, blocks, left, right)
            elif left[0] is right[0] or same(left[0], right[0]):
                variable.data = left[0]
            else:
                (cell,) = self.memory.permanent()
                for block, value in zip(blocks, (True, False), strict=True):
                    with self.emitter.into(block):
                        self.emitter.store(cell, value)
                cell.value = cell.stored = None
                variable.data = Choice(cell, left[0], right[0])

    def _join_bits(
        self, variable: Variable, blocks: list[Block], left: Saved, right: Saved
    ) -> None:
        assert variable.cells is not None
        for cell, one, other in zip(variable.cells, left[1], right[1], strict=True):
            if one[0] == other[0] and one[0] is not None:
                cell.value = one[0]
                cell.stored = one[1] if one[1] == other[1] else None
                continue
            for block, state in zip(blocks, (one, other), strict=True):
                cell.value, cell.stored = state
                with self.emitter.into(block):
                    self.memory.settle(cell)
            cell.value = cell.stored = None
        agreed = left[0] is not None and left[0] == right[0]
        variable.data = left[0] if agreed else None

    def going_on(self, outcomes: Outcomes) -> Bit:
        """Return the condition that none of the possible exits was taken."""
        flags: list[Bit] = []
        for exit in sorted(outcomes - NEXT):
            flag = self.flag_of(exit)
            assert flag.cells is not None
            flags.append(invert(flag.cells[0].read()))
        return all_of(flags)

    def flag_of(self, exit: str) -> Variable:
        """Return the flag of an exit."""
        if exit == "end":
            return self.end_flag()
        if exit == "return":
            assert self.frame.returned is not None
            return self.frame.returned
        loop = self.frame.loops[-1]
        return loop.breaks if exit == "break" else loop.continues

    def pure_since(self, block: Block, mark: int) -> bool:
        """Tell whether only held functions were emitted since, so that they can be taken back."""
        new = block.operations[mark:]
        return all(isinstance(each, Store) and each.held for each in new)
