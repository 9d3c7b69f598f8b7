"""Machine: follows a QIR program and writes down what it does to qubits.

Branches on known values are followed. A branch on measured results becomes an ``if`` whose ways are
followed each on its own up to the block where they meet; values that differ there become formulas.
A way that leads back to the branch becomes a ``while``, provided that one round leaves all memory
as it found it: then every further round does the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from quantainer.circuits.builder import Block
from quantainer.circuits.options import ReadOptions
from quantainer.circuits.qir import values
from quantainer.circuits.qir.arithmetic import compute, known, same
from quantainer.circuits.qir.circuit import Output
from quantainer.circuits.qir.flow import Flow
from quantainer.circuits.qir.intrinsics import Intrinsics
from quantainer.circuits.qir.syntax import (
    Element,
    Function,
    Instruction,
    Module,
    Name,
    Operand,
    SyntaxFaultError,
    Type,
)
from quantainer.circuits.qir.values import Bit, Cell, Formula, Unknown, UnknownValueError
from quantainer.circuits.refusal import over_limit
from quantainer_client.errors import QuantainerError

__all__ = ["Machine"]

_RETURNED = "\x00returned"


@dataclass(slots=True)
class _Frame:
    """One call: its values by name, its result, and where it came from last."""

    function: Function
    flow: Flow
    values: dict[str, Any]
    result: Any = None
    previous: str = ""
    chosen: dict[str, Any] = field(default_factory=dict)


class Machine:
    """Follows one program."""

    def __init__(self, module: Module, output: Output, name: str, options: ReadOptions) -> None:
        self._module, self._output = module, output
        self._name, self._options = name, options
        self.memory: dict[Cell, Any] = {}
        self.block: Block = output.builder
        self._regions = 0
        self._steps = self._visits = 0
        self._depth = 0
        self._flows: dict[str, Flow] = {}
        self.intrinsics = Intrinsics(self, output)
        self.line = 0

    def run(self, entry: Function) -> None:
        """Follow the program from its entry point."""
        self._call(entry, [0] * len(entry.parameters))

    # --- Walking ---------------------------------------------------------------------------------

    def _call(self, function: Function, arguments: list[Any]) -> Any:
        self._deeper()
        flow = self._flows.get(function.name)
        if flow is None:
            flow = self._flows[function.name] = Flow(function)
        named = dict(zip((name for name, _ in function.parameters), arguments, strict=False))
        frame = _Frame(function, flow, named)
        self._walk(frame, next(iter(function.blocks)), None)
        self._depth -= 1
        return frame.result

    def _walk(self, frame: _Frame, label: str | None, stop: str | None) -> str:
        """Follow blocks until ``stop`` is next, or the function returns; say which."""
        while label is not None and label != stop:
            block = frame.function.blocks.get(label)
            if block is None or not block.instructions:
                raise SyntaxFaultError(f"there is no block %{label}", self.line)
            self._visit()
            self._body(frame, label)
            label = self._leave(frame, label, block.instructions[-1])
        return _RETURNED if label is None else label

    def _body(self, frame: _Frame, label: str) -> None:
        """Carry out a block but for its last instruction."""
        instructions = frame.function.blocks[label].instructions
        phis = [step for step in instructions if step.opcode == "phi"]
        # All phis read before any is written.
        frame.values.update([(step.result or "", self._phi(frame, step)) for step in phis])
        for step in instructions[len(phis) : -1]:
            self._step(frame, step)
        frame.chosen = {}
        self.line = instructions[-1].line

    def _phi(self, frame: _Frame, step: Instruction) -> Any:
        self._spend(step)
        if step.result in frame.chosen:
            return frame.chosen[step.result]
        for operand, label in zip(step.operands, step.labels, strict=True):
            if label == frame.previous:
                return self._value(frame, operand)
        raise SyntaxFaultError(f"phi has no value for %{frame.previous}", step.line)

    def _leave(self, frame: _Frame, label: str, last: Instruction) -> str | None:
        """Carry out the last instruction of a block; return the next block, if there is one."""
        self._spend(last)
        if last.opcode == "ret":
            frame.result = self._value(frame, last.operands[0]) if last.operands else None
            return None
        if last.opcode == "unreachable":
            return None
        if last.opcode == "br" and len(last.labels) == 1:
            frame.previous = label
            return last.labels[0]
        if last.opcode == "br":
            condition = self._truth(frame, last.operands[0])
            return self._branch(frame, label, condition, last.labels[0], last.labels[1])
        if last.opcode == "switch":
            return self._switch(frame, label, last)
        raise SyntaxFaultError(f"a block ends in {last.opcode!r}", last.line)

    def _truth(self, frame: _Frame, operand: Operand) -> Any:
        (bit,) = values.bits_of(self._value(frame, operand), 1)
        return bit

    def _switch(self, frame: _Frame, label: str, last: Instruction) -> str | None:
        size = last.operands[0].type.size
        value = self._value(frame, last.operands[0])
        cases = [
            (values.compare("eq", value, self._value(frame, case), size), target)
            for case, target in zip(last.operands[1:], last.labels[1:], strict=True)
        ]
        for holds, target in cases:
            if holds is True:
                frame.previous = label
                return target
        open_cases = [(holds, target) for holds, target in cases if holds is not False]
        if not open_cases:
            frame.previous = label
            return last.labels[0]
        return self._cases(frame, label, open_cases, last.labels[0])

    def _cases(
        self, frame: _Frame, label: str, cases: list[tuple[Any, str]], default: str
    ) -> str | None:
        """A switch on measured results: one ``if`` inside of another."""
        (holds, target), *others = cases
        join = frame.flow.join(label)

        def otherwise() -> str:
            if others:
                self._cases(frame, label, others, default)
                return str(join) if join is not None else _RETURNED
            frame.previous = label
            return self._walk(frame, default, join)

        def then() -> str:
            frame.previous = label
            return self._walk(frame, target, join)

        return self._part(frame, holds, join, then, otherwise)

    def _branch(self, frame: _Frame, label: str, condition: Any, yes: str, no: str) -> str | None:
        if isinstance(condition, bool):
            frame.previous = label
            return yes if condition else no
        join = frame.flow.join(label)
        for test, inside, outside in ((condition, yes, no), (values.invert(condition), no, yes)):
            if frame.flow.returns(inside, label, join):
                self._loop(frame, label, test, inside)
                return outside

        def way(start: str) -> Any:
            def follow() -> str:
                frame.previous = label
                return self._walk(frame, start, join)

            return follow

        return self._part(frame, condition, join, way(yes), way(no))

    def _part(
        self, frame: _Frame, condition: Any, join: str | None, then: Any, otherwise: Any
    ) -> str | None:
        """Follow both ways of a branch and join what they leave."""
        self._deeper()
        outer, before = self.block, self.memory
        ends = []
        for follow in (then, otherwise):
            self.block, self.memory = outer.block(), dict(before)
            frame.result = None
            follow()
            joined = self._chosen(frame, join)
            ends.append((self.block, self.memory, frame.result, joined))
        (yes, yes_memory, yes_result, yes_phis), (no, no_memory, no_result, no_phis) = ends
        self.block = outer
        self._emit(condition, yes, no)
        self.memory = {
            cell: self._choose(condition, yes_memory.get(cell), no_memory.get(cell))
            for cell in {**yes_memory, **no_memory}
        }
        frame.result = self._choose(condition, yes_result, no_result)
        frame.chosen = {
            name: self._choose(condition, yes_phis.get(name), no_phis.get(name))
            for name in {**yes_phis, **no_phis}
        }
        self._depth -= 1
        return join

    def _chosen(self, frame: _Frame, join: str | None) -> dict[str, Any]:
        """Return what the phis of the meeting block take from the way just followed."""
        if join is None:
            return {}
        steps = frame.function.blocks[join].instructions if join in frame.function.blocks else []
        return {step.result or "": self._phi(frame, step) for step in steps if step.opcode == "phi"}

    def _choose(self, condition: Any, yes: Any, no: Any) -> Any:
        size = max(_width(yes), _width(no))
        try:
            return values.choose(condition, yes, no, size)
        except UnknownValueError as error:
            return Unknown(str(error))  # refused where it is used, if it is

    def _emit(self, condition: Any, yes: Block, no: Block) -> None:
        if yes.operations:
            other = no if no.operations else None
            self.block.branch(self._output.condition(condition), yes, other)
        elif no.operations:
            self.block.branch(self._output.condition(values.invert(condition)), no)

    def _phis(self, frame: _Frame) -> dict[Any, Any]:
        """Return what all phis hold that were reached so far."""
        return {
            step.result: frame.values[step.result]
            for block in frame.function.blocks.values()
            for step in block.instructions
            if step.opcode == "phi" and step.result in frame.values
        }

    def _loop(self, frame: _Frame, label: str, condition: Any, inside: str) -> None:
        """Write a ``while``: the way back to this branch, as long as the condition holds."""
        self._deeper()
        outer, before = self.block, self.memory
        phis = self._phis(frame)
        test = self._output.condition(condition)
        self.block, self.memory = outer.block(), dict(before)
        frame.previous = label
        if self._walk(frame, inside, label) != label:
            raise UnknownValueError("a loop that depends on measured results is left in its middle")
        self._body(frame, label)
        last = frame.function.blocks[label].instructions[-1]
        again = self._truth(frame, last.operands[0])
        if inside != last.labels[0]:
            again = values.invert(again)
        unchanged = same(again, condition) and all(
            same(now.get(name), value)
            for was, now in ((before, self.memory), (phis, self._phis(frame)))
            for name, value in was.items()
        )
        if not unchanged:
            raise UnknownValueError(
                "a loop that depends on measured results also changes other values from round to "
                "round"
            )
        body, self.block = self.block, outer
        outer.repeat_while(test, body)
        frame.previous = label
        self._depth -= 1

    # --- Instructions ----------------------------------------------------------------------------

    def _step(self, frame: _Frame, step: Instruction) -> None:
        self._spend(step)
        if step.opcode == "call":
            arguments = [self._value(frame, operand) for operand in step.operands]
            found = self._invoke(step, arguments)
        elif step.opcode == "alloca":
            self._regions += 1
            found = Cell(self._regions, 0)
        elif step.opcode == "store":
            value, place = (self._value(frame, operand) for operand in step.operands)
            self.memory[_cell(place)] = value
            return
        elif step.opcode == "load":
            found = self._load(self._value(frame, step.operands[0]), step.type)
        elif step.opcode == "getelementptr":
            base, *indices = (self._value(frame, operand) for operand in step.operands)
            found = _element(base, indices)
        elif step.opcode == "phi":
            raise SyntaxFaultError("a phi stands after other instructions", step.line)
        else:
            found = compute(step, [self._value(frame, operand) for operand in step.operands])
        if step.result is not None:
            frame.values[step.result] = found

    def _invoke(self, step: Instruction, arguments: list[Any]) -> Any:
        function = self._module.functions.get(step.callee)
        if function is not None and function.blocks:
            return self._call(function, arguments)
        return self.intrinsics.call(step.callee, arguments, step.line)

    # --- Values ----------------------------------------------------------------------------------

    def _value(self, frame: _Frame, operand: Operand) -> Any:
        return self._resolve(frame, operand.value, operand.type)

    def _resolve(self, frame: _Frame, value: Any, kind: Type) -> Any:
        if isinstance(value, Name):
            if value.is_global:
                return Cell(value.name, 0)
            if value.name not in frame.values:
                raise SyntaxFaultError(f"%{value.name} has no value yet", self.line)
            return frame.values[value.name]
        if isinstance(value, Element):
            base = self._resolve(frame, value.base, kind)
            return _element(base, [self._resolve(frame, i, kind) for i in value.indices])
        if kind.kind == "int" and isinstance(value, int):
            return value % (1 << kind.size)
        return value

    def _load(self, place: Any, kind: Type | None) -> Any:
        cell = _cell(place)
        if cell in self.memory:
            return self.memory[cell]
        if isinstance(cell.region, str):
            content = self._module.globals.get(cell.region)
            if isinstance(content, tuple) and cell.index < len(content):
                value = content[cell.index]
                is_int = kind is not None and kind.kind == "int" and isinstance(value, int)
                return value % (1 << kind.size) if is_int and kind else value
            if cell.index == 0 and isinstance(content, int | float):
                return content
        return None

    # --- Limits ----------------------------------------------------------------------------------

    def _spend(self, step: Instruction) -> None:
        self.line = step.line
        self._steps += 1
        if self._steps > 4 * self._options.max_gates:
            raise self._over("steps", "max_gates", 4 * self._options.max_gates, self._steps)

    def _visit(self) -> None:
        self._visits += 1
        if self._visits > self._options.max_iterations:
            limit = self._options.max_iterations
            raise self._over("blocks on the way", "max_iterations", limit, self._visits)

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > self._options.max_nesting:
            limit = self._options.max_nesting
            raise self._over("nested calls and branches", "max_nesting", limit, self._depth)

    def _over(self, thing: str, option: str, limit: int, needed: int) -> QuantainerError:
        return over_limit(self._name, thing, option, limit=limit, needed=needed, line=self.line)


def _width(value: Any) -> int:
    """Return how many bits a value needs; 0 for what is no integer."""
    if isinstance(value, tuple):
        return len(value)
    if isinstance(value, bool | int):
        return max(1, int(value).bit_length())
    return 1 if isinstance(value, Bit | Formula) else 0


def _cell(place: Any) -> Cell:
    if not isinstance(place, Cell):
        raise UnknownValueError("memory is used at a place that is not known")
    return place


def _element(base: Any, indices: list[Any]) -> Any:
    """Return the place of an element; with several indices the last one counts inside."""
    if not isinstance(base, Cell):
        if all(index == 0 for index in indices):
            return base
        raise UnknownValueError("a pointer to a qubit or result is calculated with")
    offset = known(indices[-1]) if indices else 0
    if not isinstance(offset, int) or any(known(index) for index in indices[:-1]):
        raise UnknownValueError("an array of arrays is not supported")
    return Cell(base.region, base.index + offset)
