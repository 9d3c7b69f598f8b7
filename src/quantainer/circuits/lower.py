"""Lower: bring any program of Qiskit's IR into the form that all of Quantainer works on.

After it a program consists of standard gates, ``unitary``, measurement, reset, barrier, delay,
stores and control flow, nested blocks included. Gates with a definition are replaced by it, loops
over known values are unrolled: what is counted, compiled and simulated is then the same thing.
"""

from __future__ import annotations

import math
from typing import Any

from qiskit import QuantumCircuit
from qiskit._accelerate.circuit import CircuitInstruction
from qiskit.circuit import (
    AnnotatedOperation,
    Barrier,
    BoxOp,
    BreakLoopOp,
    ContinueLoopOp,
    ControlFlowOp,
    Delay,
    ForLoopOp,
    IfElseOp,
    Instruction,
    Measure,
    Parameter,
    Reset,
    Store,
    SwitchCaseOp,
)
from qiskit.circuit.library import UnitaryGate

from quantainer.circuits.angle import reduced
from quantainer.circuits.builder import STANDARD_GATES
from quantainer.circuits.options import ReadOptions
from quantainer.circuits.refusal import invalid, over_limit

__all__ = ["lower"]

_SHAPES = {name: (gate.num_qubits, gate.num_params) for name, gate in STANDARD_GATES.items()}
_KEPT = (Measure, Reset, Barrier, Delay, UnitaryGate, Store, BreakLoopOp, ContinueLoopOp)


def lower(program: QuantumCircuit, name: str, options: ReadOptions) -> QuantumCircuit:
    """Return an equal program of standard operations; the given one is not changed.

    Raises:
        QuantainerError: ``unsupported_circuit`` for a gate without a definition, ``too_large`` when
            a limit is hit, ``invalid_circuit`` for an angle that is not finite.
    """
    if program.num_qubits > options.max_qubits:
        raise over_limit(
            name, "qubits", "max_qubits", limit=options.max_qubits, needed=program.num_qubits
        )
    if program.num_clbits > options.max_clbits:
        raise over_limit(
            name,
            "classical bits",
            "max_clbits",
            limit=options.max_clbits,
            needed=program.num_clbits,
        )
    return _Lowering(name, options).program(program, 0)


class _Lowering:
    def __init__(self, name: str, options: ReadOptions) -> None:
        self._name = name
        self._options = options
        self._gates = 0

    def program(self, program: QuantumCircuit, depth: int) -> QuantumCircuit:
        if depth > self._options.max_nesting:
            limit = self._options.max_nesting
            raise over_limit(self._name, "nested blocks", "max_nesting", limit=limit, needed=depth)
        if all(map(self._stays, program._data)):
            return program
        lowered = program.copy_empty_like()
        self._append(lowered, program, None, None, depth)
        return lowered

    def _stays(self, instruction: Any) -> bool:
        self._spend()
        if instruction.is_standard_gate():
            self._check_gate(instruction)
            params = instruction.params
            return reduced(params) is params
        operation = instruction.operation
        wires = len(instruction.qubits), len(instruction.clbits)
        if (operation.num_qubits, operation.num_clbits) != wires:
            reason = f"operation {operation.name} has {wires[0]} qubits and {wires[1]} bits"
            raise invalid(self._name, f"{reason}, which it cannot have")
        return isinstance(operation, _KEPT)

    def _spend(self, gates: int = 1) -> None:
        self._gates += gates
        if self._gates > self._options.max_gates:
            limit = self._options.max_gates
            raise over_limit(self._name, "gates", "max_gates", limit=limit, needed=self._gates)

    def _check_gate(self, instruction: Any) -> None:
        """A broken file may give a gate another number of qubits or angles than it has."""
        params = instruction.params
        shape = len(instruction.qubits), len(params)
        if shape != _SHAPES[instruction.name] or instruction.clbits:
            reason = f"gate {instruction.name} has {shape[0]} qubits and {shape[1]} angles"
            raise invalid(self._name, f"{reason}, which it cannot have")
        for angle in params:
            if isinstance(angle, float | int) and not math.isfinite(angle):
                reason = f"gate {instruction.name} has the angle {angle}"
                raise invalid(self._name, reason, hint="Angles must be finite numbers.")

    def _append(
        self,
        target: QuantumCircuit,
        source: QuantumCircuit,
        qubits: Any,
        clbits: Any,
        depth: int,
    ) -> None:
        """Append the operations of ``source``, its bits replaced by ``qubits`` and ``clbits``."""
        if depth > self._options.max_nesting:
            limit = self._options.max_nesting
            raise over_limit(
                self._name, "nested definitions", "max_nesting", limit=limit, needed=depth
            )
        moved = qubits is not None
        at = dict(zip(source.qubits, qubits, strict=True)) if moved else {}
        to = dict(zip(source.clbits, clbits, strict=True)) if moved else {}
        for found in source._data:
            instruction = found
            if moved:
                instruction = found.replace(
                    qubits=[at[bit] for bit in found.qubits],
                    clbits=[to[bit] for bit in found.clbits],
                )
            self._append_one(target, instruction, depth)

    def _append_one(self, target: QuantumCircuit, instruction: Any, depth: int) -> None:
        if self._stays(instruction):
            target._append(instruction)
            return
        if instruction.is_standard_gate():
            gate, params = STANDARD_GATES[instruction.name], reduced(instruction.params)
            target._append(CircuitInstruction.from_standard(gate, instruction.qubits, params))
            return
        operation = instruction.operation
        if isinstance(operation, ControlFlowOp):
            self._check_blocks(operation, instruction)
        if isinstance(operation, ForLoopOp) and self._unrolls(operation):
            self._unroll(target, operation, instruction, depth)
            return
        if isinstance(operation, BoxOp):
            target.barrier(instruction.qubits)
            self._append(target, operation.body, instruction.qubits, instruction.clbits, depth + 1)
            target.barrier(instruction.qubits)
            return
        if isinstance(operation, ControlFlowOp):
            blocks = [self.program(block, depth + 1) for block in operation.blocks]
            target._append(instruction.replace(operation=operation.replace_blocks(blocks)))
            return
        definition = self._definition(operation)
        target.global_phase += definition.global_phase
        self._append(target, definition, instruction.qubits, instruction.clbits, depth + 1)

    def _check_blocks(self, operation: ControlFlowOp, instruction: Any) -> None:
        """A broken file may give a block other bits than its operation has."""
        wires = len(instruction.qubits), len(instruction.clbits)
        if any((block.num_qubits, block.num_clbits) != wires for block in operation.blocks):
            reason = f"a block of {operation.name} has other bits than the operation"
            raise invalid(self._name, reason)

    def _unrolls(self, operation: ForLoopOp) -> bool:
        """Tell whether a loop runs over known values and is not left early."""
        indices, _, body = operation.params
        if not isinstance(indices, range | tuple | list):
            return False
        self._spend(len(indices))  # even an empty body takes its time
        return not _leaves(body, 0)

    def _unroll(
        self, target: QuantumCircuit, operation: ForLoopOp, instruction: Any, depth: int
    ) -> None:
        indices, variable, body = operation.params
        for index in indices:
            bound = body
            if isinstance(variable, Parameter) and variable in body.parameters:
                bound = body.assign_parameters({variable: index})
            elif variable is not None and not isinstance(variable, Parameter):
                reason = "a loop over a run-time variable cannot be unrolled"
                raise invalid(self._name, reason, code="unsupported_circuit")
            self._append(target, bound, instruction.qubits, instruction.clbits, depth + 1)

    def _definition(self, operation: Any) -> QuantumCircuit:
        definition = _define(operation)
        if definition is None:
            reason = f"gate {operation.name} has no definition"
            hint = "Define it, or replace it by standard gates before export."
            raise invalid(self._name, reason, hint=hint, code="unsupported_circuit")
        return definition


def _define(operation: Any) -> QuantumCircuit | None:
    if isinstance(operation, Instruction):
        return operation.definition
    if isinstance(operation, AnnotatedOperation):
        # Rare, and the transpiler is slow to import.
        from qiskit.transpiler import PassManager
        from qiskit.transpiler.passes import HighLevelSynthesis

        holder = QuantumCircuit(operation.num_qubits, operation.num_clbits)
        holder.append(operation, holder.qubits, holder.clbits)
        return PassManager([HighLevelSynthesis()]).run(holder)
    to_circuit = getattr(operation, "to_circuit", None)  # quantum_info.Clifford and its kind
    return to_circuit() if to_circuit is not None else None


def _leaves(body: QuantumCircuit, depth: int) -> bool:
    """Tell whether a loop's body holds a ``break`` or ``continue`` of that loop."""
    if depth > 1000:
        return True
    for instruction in body._data:
        if instruction.is_standard_gate():
            continue
        operation = instruction.operation
        if isinstance(operation, BreakLoopOp | ContinueLoopOp):
            return True
        if isinstance(operation, IfElseOp | SwitchCaseOp | BoxOp) and any(
            _leaves(block, depth + 1) for block in operation.blocks
        ):
            return True
    return False
