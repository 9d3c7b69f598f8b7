"""Build: from the operations that are left for a run to Qiskit's circuit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from qiskit import QuantumCircuit
from qiskit._accelerate.circuit import CircuitInstruction
from qiskit.circuit import (
    ClassicalRegister,
    Clbit,
    IfElseOp,
    Measure,
    QuantumRegister,
    Qubit,
    Store,
    WhileLoopOp,
)
from qiskit.circuit import Reset as QiskitReset
from qiskit.circuit.classical import expr

from quantainer.circuits.circuit import SCRATCH
from quantainer.circuits.qasm3 import emitter
from quantainer.circuits.qasm3.logic import Bit, Function, atoms
from quantainer.circuits.qasm3.machine import Machine
from quantainer.circuits.qasm3.memory import Cell, Register
from quantainer.circuits.qasm3.unitary import instruction

__all__ = ["build"]

_WIDEST = 63  # of a register that simulators compare as one integer (Qiskit/qiskit-aer#1077)
_MEASURE, _RESET = Measure(), QiskitReset()
_JOIN = {"and": expr.logic_and, "or": expr.logic_or, "xor": expr.bit_xor}


def build(machine: Machine, name: str) -> QuantumCircuit:
    """Return the circuit of an executed program.

    Registers keep their names and the order of their declaration; bits that hold intermediate
    results come last, in a register named ``SCRATCH`` that is no part of a result.
    """
    circuit = QuantumCircuit(name=name or None)
    wires = _qubits(machine, circuit)
    registers = _clbits(machine, circuit)
    builder = _Builder(wires, registers)
    block = machine.emitter.block
    circuit._data.extend(builder.operations(block))
    circuit.global_phase = block.phase
    circuit.metadata = _metadata(machine)
    return circuit


def _metadata(machine: Machine) -> dict[str, Any]:
    """Return what Qiskit's form has no place for."""
    facts: dict[str, Any] = {
        "outputs": machine.outputs,
        "physical_qubits": sorted(machine.physical),
        "pragmas": machine.pragmas,
        "calibrations": machine.calibrations,
    }
    return {name: fact for name, fact in facts.items() if fact}


def _qubits(machine: Machine, circuit: QuantumCircuit) -> dict[int, Qubit]:
    wires: dict[int, Qubit] = {}
    if machine.physical:
        size = max(machine.physical) + 1
        register = QuantumRegister(size, _unused("physical", machine))
        circuit.add_register(register)
        wires.update({-1 - number: register[number] for number in range(size)})
    index = 0
    for name, size in machine.qubits:
        register = QuantumRegister(size, name)
        circuit.add_register(register)
        for qubit in register:
            wires[index] = qubit
            index += 1
    return wires


def _clbits(machine: Machine, circuit: QuantumCircuit) -> dict[Any, ClassicalRegister]:
    found = {}
    order = {name: place for place, name in enumerate(machine.globals.names)}
    used = [register for register in machine.memory.registers if register.used]
    used.sort(key=lambda register: order.get(register.name, len(order)))
    taken: set[str] = set()
    for register in used:
        name = register.name if register.name not in taken else _unused(register.name, machine)
        taken.add(name)
        found[register] = ClassicalRegister(len(register.cells), name)
    scratch = machine.memory.scratch
    scratch.cells = _used(machine.emitter.block, scratch)
    for index, cell in enumerate(scratch.cells):
        cell.index = index
    if scratch.cells:
        found[scratch] = ClassicalRegister(len(scratch.cells), SCRATCH)
    for each in found.values():
        circuit.add_register(each)
    return found


def _used(block: emitter.Block, register: Register) -> list[Cell]:
    """Return the cells of a register that an operation reads or writes, in order."""
    found: set[Any] = set()
    stack = [block]
    while stack:
        for operation in stack.pop().operations:
            if isinstance(operation, emitter.Measurement):
                found.add(operation.cell)
            elif isinstance(operation, emitter.Store):
                found.add(operation.cell)
                found.update(atoms(operation.bit))
            elif isinstance(operation, emitter.Branch):
                found.update(atoms(operation.condition))
                stack += [operation.true, operation.false]
            elif isinstance(operation, emitter.Loop):
                found.update(atoms(operation.condition))
                stack.append(operation.body)
    return [cell for cell in register.cells if cell in found]


def _unused(name: str, machine: Machine) -> str:
    while name in machine.globals.names:
        name += "_"
    return name


class _Builder:
    def __init__(self, wires: dict[int, Qubit], registers: dict[Any, ClassicalRegister]) -> None:
        self._wires = wires
        self._registers = registers
        self._shared: dict[Any, Any] = {}
        self._measured: Qubit | None = None
        self._flow: dict[type, Callable[[Any], Any]] = {
            emitter.Store: self._store,
            emitter.Branch: self._branch,
            emitter.Loop: self._loop,
        }

    def operations(self, block: emitter.Block) -> list[Any]:
        """Return a block's instructions."""
        return [self._instruction(operation) for operation in block.operations]

    def _instruction(self, operation: Any) -> Any:
        if isinstance(operation, emitter.Gate):
            return self._gate(operation)
        if isinstance(operation, emitter.Other):
            return instruction(operation, [self._wires[wire] for wire in operation.qubits])
        if isinstance(operation, emitter.Measurement):
            self._measured = self._wires[operation.qubit]
            return CircuitInstruction(_MEASURE, (self._measured,), (self._clbit(operation.cell),))
        if isinstance(operation, emitter.Reset):
            return CircuitInstruction(_RESET, (self._wires[operation.qubit],))
        return self._flow[type(operation)](operation)

    def _gate(self, operation: emitter.Gate) -> Any:
        found = None if operation.params else self._shared.get(operation)
        if found is None:
            found = instruction(operation, [self._wires[wire] for wire in operation.qubits])
            if not operation.params:
                self._shared[operation] = found
        return found

    def _clbit(self, cell: Cell) -> Clbit:
        return self._registers[cell.register][cell.index]

    def _store(self, operation: emitter.Store) -> Any:
        value = self._expression(operation.bit)
        bits: dict[Clbit, None] = {self._clbit(operation.cell): None}
        bits.update(dict.fromkeys(_bits_of(value)))
        target = expr.lift(self._clbit(operation.cell))
        return CircuitInstruction(Store(target, value), (), list(bits))

    def _expression(self, bit: Bit) -> Any:
        if isinstance(bit, bool):
            return expr.lift(bit)
        if isinstance(bit, Cell):
            return expr.lift(self._clbit(bit))
        assert isinstance(bit, Function)
        left = self._expression(bit.left)
        if bit.right is None:
            return expr.logic_not(left)
        return _JOIN[bit.op](left, self._expression(bit.right))

    def _condition(self, bit: Bit) -> Any:
        """Return a condition in its most common form: a bit, a whole register, or an expression."""
        tests = _conjunction(bit)
        if tests is None:
            return self._expression(bit)
        if len(tests) == 1:
            ((cell, value),) = tests.items()
            return (self._clbit(cell), int(value))
        register = next(iter(tests)).register
        whole = all(cell.register is register for cell in tests)
        if whole and len(tests) == len(register.cells) <= _WIDEST:
            number = sum(1 << cell.index for cell, value in tests.items() if value)
            return (self._registers[register], number)
        return self._expression(bit)

    def _branch(self, operation: emitter.Branch) -> Any:
        true, false = operation.true, operation.false
        condition_bit = operation.condition
        if not true.operations:
            true, false = false, true
            condition_bit = Function("not", condition_bit)
        condition = self._condition(condition_bit)
        blocks = [true, false] if false.operations else [true]
        bodies, qubits, clbits = self._bodies(blocks, condition)
        flow = IfElseOp(condition, bodies[0], bodies[1] if len(bodies) > 1 else None)
        return CircuitInstruction(flow, qubits, clbits)

    def _loop(self, operation: emitter.Loop) -> Any:
        condition = self._condition(operation.condition)
        bodies, qubits, clbits = self._bodies([operation.body], condition)
        return CircuitInstruction(WhileLoopOp(condition, bodies[0]), qubits, clbits)

    def _bodies(
        self, blocks: list[emitter.Block], condition: Any
    ) -> tuple[list[QuantumCircuit], list[Qubit], list[Clbit]]:
        contents = [self.operations(block) for block in blocks]
        qubits: dict[Qubit, None] = {}
        clbits: dict[Clbit, None] = dict.fromkeys(_bits_of(condition))
        for operations in contents:
            for each in operations:
                qubits.update(dict.fromkeys(each.qubits))
                clbits.update(dict.fromkeys(each.clbits))
        if not qubits and self._measured is not None:
            # Aer orders the operations of a block by its qubits, and loses the order without any.
            qubits[self._measured] = None
        bodies = []
        for block, operations in zip(blocks, contents, strict=True):
            body = QuantumCircuit(list(qubits), list(clbits), global_phase=block.phase)
            for register in self._registers.values():
                if all(bit in clbits for bit in register) and _tests(operations, register):
                    body.add_register(register)
            body._data.extend(operations)
            bodies.append(body)
        return bodies, list(qubits), list(clbits)


def _tests(operations: Iterable[Any], register: ClassicalRegister) -> bool:
    """Tell whether a condition right among the operations is on a whole register."""
    for each in operations:
        if not each.is_control_flow():
            continue
        operation = each.operation
        if isinstance(operation.condition, tuple) and operation.condition[0] == register:
            return True
        if any(register in block.cregs for block in operation.blocks):
            return True
    return False


def _bits_of(condition: Any) -> list[Clbit]:
    if isinstance(condition, tuple):
        return [condition[0]] if isinstance(condition[0], Clbit) else list(condition[0])
    return [variable.var for variable in expr.iter_vars(condition)]


def _conjunction(bit: Bit) -> dict[Cell, bool] | None:
    """Return a conjunction of single bits as tests; ``None`` if it is none."""
    found: dict[Cell, bool] = {}
    stack = [(bit, True)]
    while stack:
        node, positive = stack.pop()
        if isinstance(node, Cell):
            if found.setdefault(node, positive) != positive:
                return None
        elif isinstance(node, Function) and node.op == "not":
            stack.append((node.left, not positive))
        elif isinstance(node, Function) and node.op == ("and" if positive else "or"):
            assert node.right is not None
            stack += [(node.right, positive), (node.left, positive)]
        else:
            return None
    return found
