"""Ways: what follows a branch on measured results.

It becomes an ``if`` whose ways are followed each on its own up to the block where they meet; values
that differ there become formulas. A way that leads back to the branch becomes a ``while``, provided
that one round leaves all memory as it found it: then every further round does the same. A loop that
counts its rounds is written out, one ``if`` inside of another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quantainer.circuits.builder import Block
from quantainer.circuits.qir import values
from quantainer.circuits.qir.arithmetic import same
from quantainer.circuits.qir.circuit import Output, Present
from quantainer.circuits.qir.syntax import Instruction
from quantainer.circuits.qir.values import Bit, Cell, Formula, Unknown, UnknownValueError
from quantainer_client.errors import QuantainerError

if TYPE_CHECKING:
    from quantainer.circuits.qir.machine import Frame, Machine

__all__ = ["RETURNED", "Ways"]

RETURNED = "\x00returned"
"""Where a way ends that returns from its function."""

Follow = Callable[[], object]


class _CountedError(UnknownValueError):
    """A loop that is no ``while``, since its rounds are counted."""


@dataclass(slots=True)
class _Way:
    """What one way of a branch did and left."""

    block: Block
    memory: dict[Cell, Any]
    result: Any
    phis: dict[str, Any]
    present: Present


class Ways:
    """Follows the ways of branches for a machine."""

    def __init__(self, machine: Machine, output: Output) -> None:
        self._machine, self._output = machine, output
        self._counted: dict[tuple[str, str], UnknownValueError] = {}

    def switch(self, frame: Frame, label: str, last: Instruction) -> str | None:
        """Follow a ``switch``; return the block where its ways meet, if they do."""
        machine = self._machine
        size = last.operands[0].type.size
        value = machine.value(frame, last.operands[0])
        cases = [
            (values.compare("eq", value, machine.value(frame, case), size), target)
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
        self, frame: Frame, label: str, cases: list[tuple[Any, str]], default: str
    ) -> str | None:
        """A switch on measured results: one ``if`` inside of another."""
        (holds, target), *others = cases
        join = frame.flow.join(label)
        if others:

            def otherwise() -> object:
                return self._cases(frame, label, others, default)
        else:
            otherwise = self._way(frame, label, default, join)
        return self._part(frame, holds, join, self._way(frame, label, target, join), otherwise)

    def branch(self, frame: Frame, label: str, condition: Any, yes: str, no: str) -> str | None:
        """Follow a ``br``; return the block where its ways meet, if they do."""
        if isinstance(condition, bool):
            frame.previous = label
            return yes if condition else no
        join = frame.flow.join(label)
        place = frame.function.name, label
        for test, inside, outside in ((condition, yes, no), (values.invert(condition), no, yes)):
            if place not in self._counted and frame.flow.returns(inside, label, join):
                if self._try_loop(frame, label, test, inside):
                    return outside
                break
        try:
            ways = (self._way(frame, label, start, join) for start in (yes, no))
            return self._part(frame, condition, join, *ways)
        except QuantainerError:
            if place in self._counted:  # its rounds never end
                raise self._counted[place] from None
            raise

    def _way(self, frame: Frame, label: str, start: str, join: str | None) -> Follow:
        def follow() -> object:
            frame.previous = label
            return self._machine.walk(frame, start, join)

        return follow

    # --- If --------------------------------------------------------------------------------------

    def _part(
        self, frame: Frame, condition: Any, join: str | None, then: Follow, otherwise: Follow
    ) -> str | None:
        """Follow both ways of a branch and join what they leave."""
        machine, output = self._machine, self._output
        machine.deeper()
        outer, before, present = machine.block, machine.memory, output.present
        ways = []
        for follow in (then, otherwise):
            machine.block, machine.memory = outer.block(), dict(before)
            output.present = present.copy()
            frame.result = None
            follow()
            phis = self._chosen(frame, join)
            left = machine.block, machine.memory, frame.result, phis, output.present
            ways.append(_Way(*left))
        yes, no = ways
        machine.block, output.present = outer, present
        self._emit(condition, yes.block, no.block)
        output.present = output.join(yes.present, no.present)
        machine.memory = self._joined(condition, yes, no, yes.memory, no.memory)
        frame.chosen = self._joined(condition, yes, no, yes.phis, no.phis)
        frame.result = self._choose(condition, yes, no, yes.result, no.result)
        machine.depth -= 1
        return join

    def _chosen(self, frame: Frame, join: str | None) -> dict[str, Any]:
        """Return what the phis of the meeting block take from the way just followed."""
        if join is None or join not in frame.function.blocks:
            return {}
        steps = frame.function.blocks[join].instructions
        phis = [step for step in steps if step.opcode == "phi"]
        return {step.result or "": self._machine.phi(frame, step) for step in phis}

    def _joined(
        self, condition: Any, yes: _Way, no: _Way, left: dict[Any, Any], right: dict[Any, Any]
    ) -> dict[Any, Any]:
        return {
            key: self._choose(condition, yes, no, left.get(key), right.get(key))
            for key in {**left, **right}
        }

    def _choose(self, condition: Any, yes: _Way, no: _Way, left: Any, right: Any) -> Any:
        left, right = self._output.met(left, yes.present), self._output.met(right, no.present)
        size = max(_width(left), _width(right))
        try:
            return values.choose(condition, left, right, size)
        except UnknownValueError as error:
            return Unknown(str(error))  # refused where it is used, if it is

    def _emit(self, condition: Any, yes: Block, no: Block) -> None:
        block, output = self._machine.block, self._output
        if yes.operations:
            block.branch(output.condition(condition), yes, no if no.operations else None)
        elif no.operations:
            block.branch(output.condition(values.invert(condition)), no)

    # --- While -----------------------------------------------------------------------------------

    def _try_loop(self, frame: Frame, label: str, condition: Any, inside: str) -> bool:
        """Write a ``while``; of a loop whose rounds are counted, leave everything as it was."""
        machine, output = self._machine, self._output
        block, memory, depth, line = machine.block, machine.memory, machine.depth, machine.line
        present, named = output.present.copy(), dict(frame.values)
        wires = len(output.builder.qubits), len(output.builder.clbits)
        try:
            self._loop(frame, label, condition, inside)
        except _CountedError as error:
            if wires != (len(output.builder.qubits), len(output.builder.clbits)):
                raise
            self._counted[frame.function.name, label] = error
            machine.block, machine.memory = block, memory
            machine.depth, machine.line = depth, line
            output.present, frame.values, frame.chosen = present, named, {}
            return False
        return True

    def _loop(self, frame: Frame, label: str, condition: Any, inside: str) -> None:
        """Write a ``while``: the way back to this branch, as long as the condition holds."""
        machine, output = self._machine, self._output
        machine.deeper()
        outer = machine.block
        test = output.condition(condition)
        machine.block = outer.block()
        with output.looping():
            memory = {cell: output.entered(value) for cell, value in machine.memory.items()}
            phis = {name: output.entered(value) for name, value in self._phis(frame).items()}
            machine.memory = dict(memory)
            frame.values.update(phis)
            frame.previous = label
            if machine.walk(frame, inside, label, frame.flow.join(label)) != label:
                raise _CountedError("a loop that depends on measured results is left in its middle")
            machine.body(frame, label)
            last = frame.function.blocks[label].instructions[-1]
            again = machine.truth(frame, last.operands[0])
            if inside != last.labels[0]:
                again = values.invert(again)
            if isinstance(again, bool):
                raise _CountedError("a loop depends on measured results in its first round only")
            output.condition(again)  # refused if it was measured again since it was read
            changed = [*self._changed(memory, machine.memory)]
            changed += self._changed(phis, self._phis(frame))
            if changed or not same(again, condition):
                is_counted = any(all(isinstance(v, int) for v in pair) for pair in changed)
                raise (_CountedError if is_counted else UnknownValueError)(
                    "a loop that depends on measured results also changes other values from round "
                    "to round"
                )
        body, machine.block = machine.block, outer
        outer.repeat_while(test, body)
        frame.previous = label
        machine.depth -= 1

    def _changed(self, before: dict[Any, Any], after: dict[Any, Any]) -> Iterator[tuple[Any, Any]]:
        """Return the values before and after a round that it did not leave as they were."""
        for name, value in before.items():
            found = after.get(name)
            if not same(found, value) or not self._output.is_carried(value, found):
                yield value, found

    def _phis(self, frame: Frame) -> dict[str, Any]:
        """Return what all phis hold that were reached so far."""
        return {
            step.result or "": frame.values[step.result or ""]
            for block in frame.function.blocks.values()
            for step in block.instructions
            if step.opcode == "phi" and step.result in frame.values
        }


def _width(value: Any) -> int:
    """Return how many bits a value needs; 0 for what is no integer."""
    if isinstance(value, tuple):
        return len(value)
    if isinstance(value, bool | int):
        return max(1, int(value).bit_length())
    return 1 if isinstance(value, Bit | Formula) else 0
