"""Program: carries out what Qiskit's parser makes of the text."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from qiskit._accelerate import qasm2 as parser
from qiskit.circuit import Instruction

from quantainer.circuits.builder import STANDARD_GATES, Block, Builder
from quantainer.circuits.qasm2.definition import Definition
from quantainer.circuits.qasm2.faults import IMPOSSIBLE
from quantainer.circuits.qasm2.library import LIBRARY
from quantainer.circuits.qasm2.source import Source
from quantainer.circuits.qasm2.statement import StatementError, angles_missing, not_finite
from quantainer.circuits.refusal import over_limit

__all__ = ["Program"]

_MAX_RECOGNISED = 256
"""Definitions of one file that are compared with the standard gates, at a few ms each."""


class Program:
    """Carries out the parser's instructions."""

    def __init__(self, source: Source) -> None:
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
        notes = []
        if self.options.gate_library == "strict":
            notes.append("read with the strict gate library of the OpenQASM 2 paper")
        extension = enumerate(self.source.extension)
        names = sorted(gate.name for index, gate in extension if index in self.used)
        if names:
            wider = ", ".join(names)
            notes.append(
                f"read with the wider (legacy) gate library; not in the strict one: {wider}"
            )
        if self.never:
            notes.append(f"{self.never} conditions can never be met: their value is too large")
        return tuple(notes)

    def run(self, text: str) -> None:
        """Fill the builder.

        Raises:
            StatementError: For what cannot be carried out.
            QASM2ParseError: For what is not OpenQASM 2.
        """
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
                        raise not_finite(angle)
                gate = gates[index]
                if type(gate) is Definition:
                    self._apply(builder, gate, params, qubits)
                elif gate.num_params:  # ``u0`` has one that the identity has not
                    if len(params) != gate.num_params:
                        raise angles_missing(gate.name, gate.num_params)
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
            self.gates.append(Definition(operands[0], operands[1], None))
        else:
            raise StatementError(f"the parser gave an unknown instruction {code}")

    def _gate(
        self, block: Block, index: int, params: Sequence[float], qubits: tuple[int, ...]
    ) -> None:
        self.used.add(index)
        for angle in params:
            if not math.isfinite(angle):
                raise not_finite(angle)
        gate = self.gates[index]
        if isinstance(gate, Definition):
            self._apply(block, gate, params, qubits)
        elif len(params) < gate.num_params:
            raise angles_missing(gate.name, gate.num_params)
        else:
            block.gate(gate, qubits, params[: gate.num_params])

    def _apply(
        self, block: Block, gate: Definition, params: Sequence[float], qubits: Sequence[int]
    ) -> None:
        """Apply a gate of the file: as the standard gate that it equals, or by its definition."""
        faults = self.source.faults
        if faults is not None and gate.body is None and gate.name.startswith(faults.prefix):
            block.other(Instruction(IMPOSSIBLE, len(qubits), 0, []), qubits)
            return
        if gate.params is not None and len(params) != gate.params:
            raise angles_missing(gate.name, gate.params)
        if not gate.looked_up and self.recognised < _MAX_RECOGNISED:
            self.recognised += 1
            gate.recognise(len(params))
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
                    raise not_finite(angle)
            block.gate(standard, where, angles)

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

    def _definition(self, name: str, qubits: int, bytecode: Any) -> Definition:
        body: list[tuple[Any, Any, tuple[int, ...]]] = []
        definition = Definition(name, qubits, body, self.source.formal.get(name))
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
            if isinstance(gate, Definition):
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

    def _too_many(self) -> StatementError:
        return StatementError(
            f"too many gates: the limit is {self.options.max_gates}",
            "Raise `max_gates` if you trust the file.",
            "too_large",
        )
