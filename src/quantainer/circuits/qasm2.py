"""OpenQASM 2, by Qiskit's compiled parser and an interpreter that knows its limits."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qiskit._accelerate import qasm2 as parser
from qiskit.qasm2 import LEGACY_CUSTOM_CLASSICAL, QASM2ParseError

from quantainer.circuits.builder import STANDARD_GATES, Block, Builder
from quantainer.circuits.circuit import Circuit
from quantainer.circuits.options import ReadOptions
from quantainer.circuits.qasm2_library import EXTENSION, LIBRARY, LibraryGate
from quantainer.circuits.recognise import recognise, recognise_fixed
from quantainer.circuits.refusal import invalid, over_limit, position
from quantainer.circuits.text import check_nesting, decode
from quantainer_client.errors import QuantainerError

__all__ = ["read"]

_PLACE = re.compile(r"\s*(?P<file>.*?):(?P<line>\d+),(?P<column>\d+): (?P<reason>.*)", re.DOTALL)
_COMMENT = re.compile(r"//[^\n]*")
_OWN_NAME = re.compile(r"\b(?:gate|opaque|qreg|creg)\s+(\w+)")
_MAX_RECOGNISED = 256
"""Definitions of one file that are compared with the standard gates, at a few ms each."""
_HUGE = re.compile(r"\[\s*\d{10,}")
_UNDEFINED = re.compile(r"'(?P<name>[^']+)' is not defined in this scope")
_FOREIGN = {"ancilla", "dirty"}
_QASM3_WORDS = {"bit", "qubit", "int", "uint", "float", "input", "output", "def", "for", "let"}


def read(data: bytes, name: str, options: ReadOptions) -> Circuit:
    """Read an OpenQASM 2 program.

    Raises:
        QuantainerError: ``invalid_circuit`` with file, line, column and reason; ``too_large`` for a
            limit; ``unsupported_circuit`` for a gate without a definition.
    """
    text = decode(data, name)
    check_nesting(text, name, options.max_nesting)
    huge = _HUGE.search(text)
    if huge:
        line, column = position(text, huge.start())
        raise invalid(name, "a register cannot be that large", line=line, column=column)
    source = _Source(text, name, options)
    try:
        program = _Program(source)
        program.run(text)
    except _StatementError as refusal:
        raise source.locate(refusal) from None
    except QASM2ParseError as error:
        raise _parse_error(error, source) from None
    return Circuit(program.builder.finish(), "qasm2", name, program.notes())


class _StatementError(Exception):
    """A reason to refuse that the interpreter found; the line is looked for afterwards."""

    def __init__(self, reason: str, hint: str | None = None, code: str = "invalid_circuit") -> None:
        super().__init__(reason)
        self.reason, self.hint, self.code = reason, hint, code


class _Source:
    """The text with what is known of it before it is parsed."""

    def __init__(self, text: str, name: str, options: ReadOptions) -> None:
        self.text, self.name, self.options = text, name, options
        own = set(_OWN_NAME.findall(_COMMENT.sub("", text)))
        self.extension: list[LibraryGate] = []
        if options.gate_library == "legacy":
            self.extension = [gate for gate in EXTENSION if gate.name not in own]

    def bytecode(self, text: str) -> Any:
        folders = [str(Path(folder).absolute()) for folder in self.options.include_path]
        gates = [
            parser.CustomInstruction(gate.name, gate.params, gate.qubits, True)
            for gate in self.extension
        ]
        return parser.bytecode_from_string(text, folders, gates, LEGACY_CUSTOM_CLASSICAL, False)

    def locate(self, refusal: _StatementError) -> QuantainerError:
        """Return the refusal with the line of the first statement that causes it."""
        ends = _statement_ends(self.text)
        low, high = 0, len(ends) - 1
        while low < high:
            middle = (low + high) // 2
            if self._refused(self.text[: ends[middle]]):
                high = middle
            else:
                low = middle + 1
        start = ends[low - 1] if low else 0
        statement = _COMMENT.sub(lambda comment: " " * len(comment[0]), self.text[start:])
        start += len(statement) - len(statement.lstrip())
        line, column = position(self.text, start)
        return invalid(
            self.name,
            refusal.reason,
            line=line,
            column=column,
            hint=refusal.hint,
            code=refusal.code,
        )

    def _refused(self, text: str) -> bool:
        try:
            _Program(self).run(text)
        except _StatementError:
            return True
        return False


def _statement_ends(text: str) -> list[int]:
    """Return where each statement outside of braces ends."""
    plain = _COMMENT.sub(lambda comment: " " * len(comment[0]), text)
    ends, depth = [], 0
    for mark in re.finditer(r'"[^"\n]*"|[;{}]', plain):
        if mark[0] == "{":
            depth += 1
        elif mark[0] == "}":
            depth -= 1
            if depth == 0:
                ends.append(mark.end())
        elif mark[0] == ";" and depth == 0:
            ends.append(mark.end())
    return ends or [len(text)]


@dataclass(slots=True)
class _Definition:
    """A gate that the file defines (or, without ``body``, only declares)."""

    name: str
    qubits: int
    body: list[tuple[Any, Any, tuple[int, ...]]] | None
    size: int = 0
    depth: int = 0
    standard: Any = None
    angles: Sequence[float] | None = None
    looked_up: bool = False

    def expand(self, params: Sequence[float]) -> list[tuple[Any, Sequence[float], tuple[int, ...]]]:
        """Return the standard gates; ``None`` instead of a gate is a barrier."""
        if self.body is None:
            hint = "Define it with `gate`, or replace it by gates that are defined."
            reason = f"gate '{self.name}' is opaque: nothing says what it does"
            raise _StatementError(reason, hint, "unsupported_circuit")
        operations: list[tuple[Any, Sequence[float], tuple[int, ...]]] = []
        for gate, arguments, at in self.body:
            angles = arguments.evaluate(params) if arguments is not None else ()
            if isinstance(gate, _Definition):
                for inner, inner_angles, inner_at in gate.expand(angles):
                    operations.append((inner, inner_angles, tuple(at[q] for q in inner_at)))
            else:
                operations.append((gate, angles, at))
        return operations


class _Program:
    """Carries out the parser's instructions."""

    def __init__(self, source: _Source) -> None:
        self.source = source
        self.options = source.options
        self.builder = Builder(source.name, source.options)
        # The parser numbers the gates: the extension, the built-in U and CX, then what is included.
        self.gates: list[Any] = [STANDARD_GATES[gate.standard] for gate in source.extension]
        self.gates += [STANDARD_GATES["u"], STANDARD_GATES["cx"]]
        self.used: set[int] = set()
        self.size = 0
        self.never = 0
        self.recognised = 0
        self.cregs: list[range] = []

    def notes(self) -> tuple[str, ...]:
        """Say what was chosen."""
        if self.options.gate_library == "strict":
            notes = ["read with the strict gate library of the OpenQASM 2 paper"]
        else:
            extension = enumerate(self.source.extension)
            names = sorted(gate.name for index, gate in extension if index in self.used)
            wider = f"; not in the strict one: {', '.join(names)}" if names else ""
            notes = [f"read with the wider (legacy) gate library{wider}"]
        if self.never:
            notes.append(f"{self.never} conditions can never be met: their value is too large")
        return tuple(notes)

    def run(self, text: str) -> None:
        builder, gates, used = self.builder, self.gates, self.used
        gate_code, measure_code = parser.OpCode.Gate, parser.OpCode.Measure
        append, limit = builder.gate, self.options.max_gates
        inf = math.inf
        bytecode = iter(self.source.bytecode(text))
        for step in bytecode:
            code = step.opcode
            self.size += 1
            if self.size > limit:
                raise self._too_many()
            if code == gate_code:
                index, params, qubits = step.operands
                used.add(index)
                for angle in params:
                    if not -inf < angle < inf:
                        raise _not_finite(angle)
                gate = gates[index]
                if type(gate) is _Definition:
                    self._apply(builder, gate, params, qubits)
                elif gate.num_params:  # ``u0`` has one that the identity has not
                    append(gate, tuple(qubits), params)
                else:
                    append(gate, tuple(qubits))
            elif code == measure_code:
                builder.measure(*step.operands)
            else:
                self._rare(code, step.operands, bytecode)

    def _rare(self, code: Any, operands: tuple[Any, ...], bytecode: Any) -> None:
        """Carry out what is not a plain gate or measurement."""
        builder, ops = self.builder, parser.OpCode
        if code == ops.Reset:
            builder.reset(operands[0])
        elif code == ops.Barrier:
            builder.barrier(operands[0])
        elif code == ops.ConditionedGate:
            index, params, qubits, creg, value = operands
            self._conditional(
                creg, value, lambda block: self._gate(block, index, params, tuple(qubits))
            )
        elif code == ops.ConditionedMeasure:
            qubit, clbit, creg, value = operands
            self._conditional(creg, value, lambda block: block.measure(qubit, clbit))
        elif code == ops.ConditionedReset:
            qubit, creg, value = operands
            self._conditional(creg, value, lambda block: block.reset(qubit))
        elif code == ops.DeclareQreg:
            builder.add_qubits(operands[1], operands[0])
        elif code == ops.DeclareCreg:
            first = len(builder.clbits)
            builder.add_clbits(operands[1], operands[0])
            self.cregs.append(range(first, first + operands[1]))
        elif code == ops.SpecialInclude:
            self.gates += [STANDARD_GATES[LIBRARY[index].standard] for index in operands[0]]
        elif code == ops.DeclareGate:
            self.gates.append(self._definition(operands[0], operands[1], bytecode))
        elif code == ops.DeclareOpaque:
            self.gates.append(_Definition(operands[0], operands[1], None))
        else:
            raise _StatementError(f"the parser gave an unknown instruction {code}")

    def _gate(
        self, block: Block, index: int, params: Sequence[float], qubits: tuple[int, ...]
    ) -> None:
        self.used.add(index)
        for angle in params:
            if not math.isfinite(angle):
                raise _not_finite(angle)
        gate = self.gates[index]
        if isinstance(gate, _Definition):
            self._apply(block, gate, params, qubits)
        else:
            block.gate(gate, qubits, params[: gate.num_params])

    def _apply(
        self, block: Block, gate: _Definition, params: Sequence[float], qubits: Sequence[int]
    ) -> None:
        """Apply a gate of the file: as the standard gate that it equals, or by its definition."""
        if not gate.looked_up:
            gate.looked_up = True
            self._recognise(gate, len(params))
        if gate.standard is not None:
            angles = params if gate.angles is None else gate.angles
            block.gate(gate.standard, tuple(qubits), angles)
            return
        self.size += gate.size
        if self.size > self.options.max_gates:
            raise self._too_many()
        for standard, angles, at in gate.expand(params):
            where = tuple([qubits[q] for q in at])
            if standard is None:
                block.barrier(where)
                continue
            for angle in angles:
                if not math.isfinite(angle):
                    raise _not_finite(angle)
            block.gate(standard, where, angles)

    def _recognise(self, gate: _Definition, params: int) -> None:
        if gate.body is None or gate.size > 64 or self.recognised >= _MAX_RECOGNISED:
            return
        self.recognised += 1
        gate.standard = recognise(gate.qubits, params, _unitary_part(gate))
        if gate.standard is None and gate.qubits == 2 and params == 0:
            found = recognise_fixed(_unitary_part(gate)(()))
            if found is not None:
                gate.standard, gate.angles = found[0], (found[1],)

    def _conditional(self, creg: int, value: int, fill: Callable[[Block], None]) -> None:
        condition = self.builder.equals(self.cregs[creg], [value])
        if condition is False:
            self.never += 1
            return
        if condition is True:
            fill(self.builder)
            return
        block = self.builder.block()
        fill(block)
        self.builder.branch(condition, block)

    def _definition(self, name: str, qubits: int, bytecode: Any) -> _Definition:
        body: list[tuple[Any, Any, tuple[int, ...]]] = []
        definition = _Definition(name, qubits, body)
        for step in bytecode:
            if step.opcode == parser.OpCode.EndDeclareGate:
                break
            if step.opcode == parser.OpCode.Barrier:
                body.append((None, None, tuple(step.operands[0])))
                definition.size += 1
                continue
            index, arguments, at = step.operands
            self.used.add(index)
            gate = self.gates[index]
            if isinstance(gate, _Definition):
                definition.size += gate.size
                definition.depth = max(definition.depth, gate.depth + 1)
                body.append((gate, arguments, tuple(at)))
            else:
                definition.size += 1
                body.append((gate, arguments if gate.num_params else None, tuple(at)))
        if definition.depth > self.options.max_nesting:
            limit = self.options.max_nesting
            raise over_limit(
                self.source.name, "nested gate definitions", "max_nesting",
                limit=limit, needed=definition.depth,
            )  # fmt: skip
        return definition

    def _too_many(self) -> _StatementError:
        return _StatementError(
            f"too many gates: the limit is {self.options.max_gates}",
            "Raise `max_gates` if you trust the file.",
            "too_large",
        )


def _unitary_part(
    gate: _Definition,
) -> Callable[[Sequence[float]], list[tuple[Any, Sequence[float], tuple[int, ...]]]]:
    return lambda params: [step for step in gate.expand(params) if step[0] is not None]


def _not_finite(angle: float) -> _StatementError:
    return _StatementError(f"an angle is {angle}", "Angles must be finite numbers.")


def _parse_error(error: QASM2ParseError, source: _Source) -> QuantainerError:
    text = str(error).strip().strip("\"'")
    found = _PLACE.match(text)
    if found is None:
        return invalid(source.name, text)
    file = found["file"].strip()
    name = source.name if file in ("<input>", "") else file
    reason = found["reason"].strip()
    hint = _hint(reason, source)
    unknown = _UNDEFINED.search(reason)
    if unknown and unknown["name"] in _FOREIGN:
        reason = f"'{unknown['name']}' is a keyword of another dialect (staq), not of OpenQASM 2"
    return invalid(
        name, reason, line=int(found["line"]), column=int(found["column"]) + 1, hint=hint
    )


def _hint(reason: str, source: _Source) -> str | None:
    if reason.startswith("unable to find"):
        return "Put its gate definitions into the file; only qelib1.inc is built in."
    unknown = _UNDEFINED.search(reason)
    return _hint_for(unknown["name"], source) if unknown else None


def _hint_for(name: str, source: _Source) -> str:
    if name in _FOREIGN:
        return "Declare the extra qubits as a register and pass them to the gate."
    if name in _QASM3_WORDS:
        return 'This looks like OpenQASM 3: begin the file with "OPENQASM 3.0;".'
    if source.options.gate_library == "strict" and name in {gate.name for gate in EXTENSION}:
        return "The wider gate library has it: read with gate_library=legacy."
    if name in {gate.name for gate in LIBRARY}:
        return 'Write include "qelib1.inc"; above its first use.'
    return "Declare the register, or define the gate, above its first use."
