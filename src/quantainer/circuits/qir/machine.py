"""Machine: follows a QIR program and writes down what it does to qubits.

Branches on known values are followed; those on measured results are those of ``ways.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from quantainer.circuits.builder import Block
from quantainer.circuits.options import ReadOptions
from quantainer.circuits.qir import values
from quantainer.circuits.qir.arithmetic import compute, known
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
from quantainer.circuits.qir.values import Cell, UnknownValueError
from quantainer.circuits.qir.ways import RETURNED, Ways
from quantainer.circuits.refusal import over_limit
from quantainer_client.errors import QuantainerError

__all__ = ["Frame", "Machine"]


@dataclass(slots=True)
class Frame:
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
        self.depth = 0
        self._flows: dict[str, Flow] = {}
        self.intrinsics = Intrinsics(self, output)
        self._ways = Ways(self, output)
        self.line = 0

    def run(self, entry: Function) -> None:
        """Follow the program from its entry point."""
        self._call(entry, [0] * len(entry.parameters))

    # --- Walking ---------------------------------------------------------------------------------

    def _call(self, function: Function, arguments: list[Any]) -> Any:
        self.deeper()
        flow = self._flows.get(function.name)
        if flow is None:
            flow = self._flows[function.name] = Flow(function)
        named = dict(zip((name for name, _ in function.parameters), arguments, strict=False))
        frame = Frame(function, flow, named)
        self.walk(frame, next(iter(function.blocks)))
        self.depth -= 1
        return frame.result

    def walk(self, frame: Frame, label: str | None, *stops: str | None) -> str:
        """Follow blocks until one of ``stops`` is next, or the function returns; say which."""
        while label is not None and label not in stops:
            block = frame.function.blocks.get(label)
            if block is None or not block.instructions:
                raise SyntaxFaultError(f"there is no block %{label}", self.line)
            self._visit()
            self.body(frame, label)
            label = self._leave(frame, label, block.instructions[-1])
        return RETURNED if label is None else label

    def body(self, frame: Frame, label: str) -> None:
        """Carry out a block but for its last instruction."""
        instructions = frame.function.blocks[label].instructions
        phis = [step for step in instructions if step.opcode == "phi"]
        # All phis read before any is written.
        frame.values.update([(step.result or "", self.phi(frame, step)) for step in phis])
        for step in instructions[len(phis) : -1]:
            self._step(frame, step)
        frame.chosen = {}
        self.line = instructions[-1].line

    def phi(self, frame: Frame, step: Instruction) -> Any:
        """Return what a phi takes from where the program came from."""
        self._spend(step)
        if step.result in frame.chosen:
            return frame.chosen[step.result]
        for operand, label in zip(step.operands, step.labels, strict=True):
            if label == frame.previous:
                return self.value(frame, operand)
        raise SyntaxFaultError(f"phi has no value for %{frame.previous}", step.line)

    def _leave(self, frame: Frame, label: str, last: Instruction) -> str | None:
        """Carry out the last instruction of a block; return the next block, if there is one."""
        self._spend(last)
        if last.opcode == "ret":
            frame.result = self.value(frame, last.operands[0]) if last.operands else None
            return None
        if last.opcode == "unreachable":
            return None
        if last.opcode == "br" and len(last.labels) == 1:
            frame.previous = label
            return last.labels[0]
        if last.opcode == "br":
            condition = self.truth(frame, last.operands[0])
            return self._ways.branch(frame, label, condition, last.labels[0], last.labels[1])
        if last.opcode == "switch":
            return self._ways.switch(frame, label, last)
        raise SyntaxFaultError(f"a block ends in {last.opcode!r}", last.line)

    def truth(self, frame: Frame, operand: Operand) -> Any:
        """Return a condition as a bit."""
        (bit,) = values.bits_of(self.value(frame, operand), 1)
        return bit

    # --- Instructions ----------------------------------------------------------------------------

    def _step(self, frame: Frame, step: Instruction) -> None:
        self._spend(step)
        if step.opcode == "call":
            arguments = [self.value(frame, operand) for operand in step.operands]
            found = self._invoke(step, arguments)
        elif step.opcode == "alloca":
            self._regions += 1
            found = Cell(self._regions, 0)
        elif step.opcode == "store":
            value, place = (self.value(frame, operand) for operand in step.operands)
            self.memory[_cell(place)] = value
            return
        elif step.opcode == "load":
            found = self._load(self.value(frame, step.operands[0]), step.type)
        elif step.opcode == "getelementptr":
            base, *indices = (self.value(frame, operand) for operand in step.operands)
            found = _element(base, indices)
        elif step.opcode == "phi":
            raise SyntaxFaultError("a phi stands after other instructions", step.line)
        else:
            found = compute(step, [self.value(frame, operand) for operand in step.operands])
        if step.result is not None:
            frame.values[step.result] = found

    def _invoke(self, step: Instruction, arguments: list[Any]) -> Any:
        function = self._module.functions.get(step.callee)
        if function is not None and function.blocks:
            return self._call(function, arguments)
        return self.intrinsics.call(step.callee, arguments, step.line)

    # --- Values ----------------------------------------------------------------------------------

    def value(self, frame: Frame, operand: Operand) -> Any:
        """Return the value of an operand."""
        return self._resolve(frame, operand.value, operand.type)

    def _resolve(self, frame: Frame, value: Any, kind: Type) -> Any:
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

    def deeper(self) -> None:
        """Go one call or branch deeper; refuse above the limit."""
        self.depth += 1
        if self.depth > self._options.max_nesting:
            limit = self._options.max_nesting
            raise self._over("nested calls and branches", "max_nesting", limit, self.depth)

    def _over(self, thing: str, option: str, limit: int, needed: int) -> QuantainerError:
        return over_limit(self._name, thing, option, limit=limit, needed=needed, line=self.line)


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
