"""Builder: makes programs of standard gates in Qiskit's IR at about a microsecond a gate.

``QuantumCircuit.append`` checks and broadcasts every operation anew (3 µs to 10 µs). Readers have
checked already, so instructions are made by Qiskit's own compiled constructor, shared where they
are equal, and handed over in one go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from qiskit import QuantumCircuit
from qiskit._accelerate.circuit import CircuitInstruction, StandardGate
from qiskit.circuit import (
    Barrier,
    ClassicalRegister,
    Clbit,
    Delay,
    IfElseOp,
    Measure,
    Operation,
    QuantumRegister,
    Qubit,
    Reset,
    WhileLoopOp,
)
from qiskit.circuit.classical import expr

from quantainer.circuits.angle import reduced
from quantainer.circuits.options import ReadOptions
from quantainer.circuits.refusal import over_limit

__all__ = ["STANDARD_GATES", "Block", "Builder"]

STANDARD_GATES: dict[str, Any] = {gate.name: gate for gate in StandardGate.all_gates()}
"""Qiskit's standard gates by name: what the gates that readers return are made of."""

_MEASURE, _RESET = Measure(), Reset()


class Wires(Protocol):
    """The bits of a program and the count of its operations: what a block needs of its root."""

    qubits: list[Qubit]
    clbits: list[Clbit]
    cregs: list[ClassicalRegister]

    def spend(self, operations: int) -> None:
        """Count operations; refuse above the limit."""
        ...

    def room(self, operations: int) -> None:
        """Refuse if these operations more are above the limit."""
        ...


class Block:
    """A list of operations on the wires of a root program."""

    def __init__(self, wires: Wires) -> None:
        self._wires = wires
        self._shared: dict[Any, Any] = {}
        self.operations: list[Any] = []

    def gate(self, gate: Any, qubits: tuple[int, ...], params: Sequence[Any] = ()) -> None:
        """Append a standard gate (``STANDARD_GATES``)."""
        bits = self._wires.qubits
        if params:
            at = [bits[index] for index in qubits]
            self.operations.append(CircuitInstruction.from_standard(gate, at, reduced(params)))
            return
        key = (gate.name, qubits)
        instruction = self._shared.get(key)
        if instruction is None:
            at = [bits[index] for index in qubits]
            instruction = self._shared[key] = CircuitInstruction.from_standard(gate, at, ())
        self.operations.append(instruction)

    def measure(self, qubit: int, clbit: int) -> None:
        """Append a measurement in the Z basis."""
        key = ("measure", qubit, clbit)
        instruction = self._shared.get(key)
        if instruction is None:
            instruction = self._shared[key] = CircuitInstruction(
                _MEASURE, (self._wires.qubits[qubit],), (self._wires.clbits[clbit],)
            )
        self.operations.append(instruction)

    def reset(self, qubit: int) -> None:
        """Append a reset to 0."""
        key = ("reset", qubit)
        instruction = self._shared.get(key)
        if instruction is None:
            instruction = self._shared[key] = CircuitInstruction(
                _RESET, (self._wires.qubits[qubit],)
            )
        self.operations.append(instruction)

    def barrier(self, qubits: Sequence[int]) -> None:
        """Append a barrier."""
        self.other(Barrier(len(qubits)), qubits)

    def delay(self, qubit: int, duration: float, unit: str = "s") -> None:
        """Append a delay."""
        self.other(Delay(duration, unit=unit), (qubit,))

    def other(
        self, operation: Operation, qubits: Sequence[int], clbits: Sequence[int] = ()
    ) -> None:
        """Append an operation that is not a standard gate."""
        wires = self._wires
        self.operations.append(
            CircuitInstruction(
                operation,
                [wires.qubits[index] for index in qubits],
                [wires.clbits[index] for index in clbits],
            )
        )

    def room(self, operations: int) -> None:
        """Refuse if these operations more are above the limit, before they are made."""
        self._wires.room(operations)

    def block(self) -> Block:
        """Return an empty block on the same wires, for :meth:`branch`."""
        return Block(self._wires)

    def branch(self, condition: Any, true: Block, false: Block | None = None) -> None:
        """Append an ``if``: ``condition`` is Qiskit's (see :meth:`equals`)."""
        blocks = [block for block in (true, false) if block is not None]
        qubits, clbits, bodies = self._bodies(condition, blocks)
        operation = IfElseOp(condition, bodies[0], bodies[1] if false is not None else None)
        self.operations.append(CircuitInstruction(operation, qubits, clbits))

    def repeat_while(self, condition: Any, body: Block) -> None:
        """Append a ``while``."""
        qubits, clbits, bodies = self._bodies(condition, [body])
        operation = WhileLoopOp(condition, bodies[0])
        self.operations.append(CircuitInstruction(operation, qubits, clbits))

    def _bodies(
        self, condition: Any, blocks: Sequence[Block]
    ) -> tuple[list[Qubit], list[Clbit], list[QuantumCircuit]]:
        """Return the wires of blocks under a condition, and the blocks as programs on them."""
        qubits: dict[Qubit, None] = {}
        clbits: dict[Clbit, None] = {}
        for block in blocks:
            self._wires.spend(len(block.operations))
            for instruction in block.operations:
                qubits.update(dict.fromkeys(instruction.qubits))
                clbits.update(dict.fromkeys(instruction.clbits))
        clbits.update(dict.fromkeys(_clbits_of(condition)))
        bodies = []
        for block in blocks:
            body = QuantumCircuit(list(qubits), list(clbits))
            body._data.extend(block.operations)
            bodies.append(body)
        return list(qubits), list(clbits), bodies

    def equals(self, clbits: Sequence[int], values: Iterable[int]) -> Any:
        """Return Qiskit's condition "the integer of ``clbits`` is one of ``values``".

        The first bit is the lowest. Exact for any width. A single bit and a whole register keep
        their natural form; anything else becomes a balanced tree of logical expressions. ``True``
        and ``False`` where the answer does not depend on the bits.
        """
        size = len(clbits)
        wanted = sorted({value for value in values if 0 <= value < 1 << size})
        if not wanted:
            return False
        if len(wanted) == 1 << size:
            return True
        bits = [self._wires.clbits[index] for index in clbits]
        if size == 1:
            return (bits[0], wanted[0])
        if len(wanted) == 1:
            for register in self._wires.cregs:
                if len(register) == size and list(register) == bits:
                    return (register, wanted[0])
        return _balanced(expr.logic_or, [_pattern(bits, value) for value in wanted])


def _pattern(bits: list[Clbit], value: int) -> expr.Expr:
    literals = [
        expr.lift(bit) if value >> index & 1 else expr.logic_not(bit)
        for index, bit in enumerate(bits)
    ]
    return _balanced(expr.logic_and, literals)


def _balanced(join: Any, terms: list[expr.Expr]) -> expr.Expr:
    while len(terms) > 1:
        pairs = [join(left, right) for left, right in zip(terms[::2], terms[1::2], strict=False)]
        terms = pairs + terms[len(pairs) * 2 :]
    return terms[0]


def _clbits_of(condition: Any) -> list[Clbit]:
    if isinstance(condition, tuple):
        return [condition[0]] if isinstance(condition[0], Clbit) else list(condition[0])
    found: dict[Clbit, None] = {}
    for variable in expr.iter_vars(condition):
        if isinstance(variable.var, Clbit):
            found[variable.var] = None
        elif isinstance(variable.var, ClassicalRegister):
            found.update(dict.fromkeys(variable.var))
    return list(found)


class Builder(Block):
    """The root block: it also declares the wires and makes the program."""

    def __init__(self, name: str, options: ReadOptions) -> None:
        super().__init__(self)
        self.name = name
        self.options = options
        self.qubits: list[Qubit] = []
        self.clbits: list[Clbit] = []
        self.qregs: list[QuantumRegister] = []
        self.cregs: list[ClassicalRegister] = []
        self.global_phase = 0.0
        self._inner = 0

    def add_qubits(self, size: int, register: str | None = None) -> None:
        """Declare qubits, loose or as a register."""
        needed, limit = len(self.qubits) + size, self.options.max_qubits
        if needed > limit:
            raise over_limit(self.name, "qubits", "max_qubits", limit=limit, needed=needed)
        if register is None:
            self.qubits += [Qubit() for _ in range(size)]
            return
        self.qregs.append(QuantumRegister(size, register))
        self.qubits += self.qregs[-1]

    def add_clbits(self, size: int, register: str | None = None) -> None:
        """Declare classical bits, loose or as a register."""
        needed, limit = len(self.clbits) + size, self.options.max_clbits
        if needed > limit:
            raise over_limit(self.name, "classical bits", "max_clbits", limit=limit, needed=needed)
        if register is None:
            self.clbits += [Clbit() for _ in range(size)]
            return
        self.cregs.append(ClassicalRegister(size, register))
        self.clbits += self.cregs[-1]

    def group(self, register: str, clbits: Sequence[int]) -> None:
        """Make a register of classical bits that are declared already."""
        bits = [self.clbits[index] for index in clbits]
        self.cregs.append(ClassicalRegister(name=register, bits=bits))

    def spend(self, operations: int) -> None:
        """Count operations inside of blocks; refuse above the limit."""
        self._inner += operations
        self.room(0)

    def room(self, operations: int) -> None:
        """Refuse if these operations more are above the limit, before they are made."""
        needed = self._inner + len(self.operations) + operations
        limit = self.options.max_gates
        if needed > limit:
            raise over_limit(self.name, "gates", "max_gates", limit=limit, needed=needed)

    def finish(self) -> QuantumCircuit:
        """Return the program."""
        self.spend(0)
        program = QuantumCircuit(global_phase=self.global_phase, name=self.name or None)
        program.add_bits(self.qubits)
        program.add_bits(self.clbits)
        for register in (*self.qregs, *self.cregs):
            program.add_register(register)
        program._data.extend(self.operations)
        return program
