"""Lowering: from Qiskit's IR to a :class:`Program`.

What happens here once need not happen in any adapter: custom gates are opened, ``for`` loops
unrolled, conditions on bits that no measurement wrote are decided, resets of fresh qubits dropped,
measurements at the end collected, and qubits that no measured bit depends on removed
(Qiskit/qiskit-aer#204).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from quantainer.backends.simulators.condition import (
    Condition,
    NotFlatError,
    condition_of,
    place_of,
    value_of,
)
from quantainer.backends.simulators.ending import without_ending
from quantainer.backends.simulators.idle import SILENT, without_idle
from quantainer.backends.simulators.program import (
    Assign,
    Branch,
    Gate,
    Measure,
    Operation,
    Program,
    Readout,
    Repeat,
    Reset,
)
from quantainer.backends.simulators.pruning import light_cone, moved, parted, touched
from quantainer_client.errors import QuantainerError

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

__all__ = ["MAX_OPERATIONS", "lower", "unmeasured"]

MAX_OPERATIONS = 5_000_000  # after unrolling: about 1 GiB of operations
_MATRIX_QUBITS = 5  # wider unitaries are opened into gates


def lower(circuit: QuantumCircuit, parameters: tuple[str, ...] = ()) -> Program:
    """Return the program of a circuit, with free parameters left in place.

    Raises:
        QuantainerError: ``unsupported_circuit`` names an instruction with no meaning for a
        simulator.
    """
    walk = _Walk()
    try:
        operations = tuple(walk.circuit(circuit))
    except NotFlatError:
        return _structured(circuit, parameters)
    readout = parted(operations)
    if readout is None:
        return _flowing(circuit, operations, walk.written, parameters)
    gates, source = readout
    gates, kept = light_cone(gates, set(source.values()))
    kept = kept or tuple(sorted(source.values())[:1])  # engines want a qubit to run
    place = {qubit: index for index, qubit in enumerate(kept)}
    # A measured qubit that no gate touches is 0, as every unwritten bit is.
    final = {clbit: place[qubit] for clbit, qubit in source.items() if qubit in place}
    return Program(
        qubits=len(kept),
        origin=kept,
        clbits=circuit.num_clbits,
        body=tuple(moved(gates, place)),
        readout=Readout.of(circuit.num_clbits, final),
        written=frozenset(bit for bit in walk.written if bit < circuit.num_clbits),
        source=circuit,
        parameters=parameters,
    )


def unmeasured(
    circuit: QuantumCircuit, support: set[int], parameters: tuple[str, ...] = ()
) -> Program:
    """Return the program whose final state has the qubits of ``support``, for expectation values.

    Measurements at the end are left out (they would come after); others stay, and the program is
    then not terminal.

    Raises:
        QuantainerError: ``unsupported_circuit`` as for :func:`lower`.
    """
    circuit = without_ending(circuit)
    walk = _Walk()
    try:
        operations = tuple(walk.circuit(circuit))
    except NotFlatError:
        return _structured(circuit, parameters)
    parts = parted(operations)
    if parts is None or walk.reset & support:
        return _flowing(circuit, operations, walk.written, parameters)
    gates, kept = light_cone(parts[0], support)
    place = {qubit: index for index, qubit in enumerate(kept)}
    return Program(
        qubits=len(kept),
        origin=kept,
        clbits=0,
        body=tuple(moved(gates, place)),
        readout=Readout(0, (), ()),
        written=frozenset(),
        source=circuit,
        parameters=parameters,
    )


def _structured(circuit: QuantumCircuit, parameters: tuple[str, ...]) -> Program:
    """Return a program whose control flow only Qiskit's own form holds."""
    reduced, kept = without_idle(circuit)
    return Program(
        qubits=len(kept),
        origin=kept,
        clbits=circuit.num_clbits,
        body=None,
        readout=None,
        written=frozenset(range(circuit.num_clbits)),
        source=reduced,
        parameters=parameters,
    )


def _flowing(
    circuit: QuantumCircuit,
    operations: tuple[Operation, ...],
    written: set[int],
    parameters: tuple[str, ...],
) -> Program:
    """Return a program with measurements on the way: only untouched qubits are left out."""
    kept = tuple(sorted(touched(operations)))
    place = {qubit: index for index, qubit in enumerate(kept)}
    return Program(
        qubits=len(kept),
        origin=kept,
        clbits=circuit.num_clbits,
        body=tuple(moved(operations, place)),
        readout=None,
        written=frozenset(bit for bit in written if bit < circuit.num_clbits),
        source=circuit,
        parameters=parameters,
    )


@dataclass(slots=True)
class _Walk:
    """One pass over a circuit in program order."""

    written: set[int] = field(default_factory=set)
    used: set[int] = field(default_factory=set)
    reset: set[int] = field(default_factory=set)
    count: int = 0
    width: int = 0
    variables: dict[Any, tuple[int, ...]] = field(default_factory=dict)
    opened: dict[int, tuple[Any, QuantumCircuit]] = field(default_factory=dict)

    def circuit(self, circuit: QuantumCircuit) -> Iterator[Operation]:
        self.width = circuit.num_clbits
        yield from self.block(
            circuit, tuple(range(circuit.num_qubits)), tuple(range(circuit.num_clbits))
        )

    def block(
        self, circuit: QuantumCircuit, qubits: tuple[int, ...], clbits: tuple[int, ...]
    ) -> Iterator[Operation]:
        """Yield the operations of a block whose bits are those of the whole circuit."""
        qubit_of = dict(zip(circuit.qubits, qubits, strict=True))
        for variable in circuit.iter_declared_vars():
            self._declare(variable)
        clbit_of: dict[Any, Any] = dict(zip(circuit.clbits, clbits, strict=True))
        clbit_of |= self.variables
        for instruction in circuit.data:
            name = instruction.name
            targets = tuple([qubit_of[qubit] for qubit in instruction.qubits])
            if instruction.is_standard_gate():
                if name not in SILENT:
                    yield self._gate(Gate(name, targets, tuple(instruction.params)))
            elif name == "measure":
                yield self._measure(targets[0], clbit_of[instruction.clbits[0]])
            elif name == "reset":
                if targets[0] in self.used:
                    self.reset.add(targets[0])
                    yield Reset(targets[0])
            elif name in SILENT and not instruction.is_controlled_gate():
                continue
            elif name == "store":
                yield self._store(instruction.operation, clbit_of)
            elif instruction.is_control_flow():
                yield from self._flow(instruction, targets, clbit_of)
            else:
                bits = tuple(clbit_of[bit] for bit in instruction.clbits)
                yield from self._other(instruction.operation, targets, bits)

    def _gate(self, gate: Gate) -> Gate:
        self._counted()
        self.used.update(gate.qubits)
        return gate

    def _measure(self, qubit: int, clbit: int) -> Measure:
        self._counted()
        self.written.add(clbit)
        return Measure(qubit, clbit)

    def _declare(self, variable: Any) -> None:
        """Give a run-time variable bits of the memory behind those before it."""
        kind = variable.type.kind.__name__
        size = 1 if kind == "Bool" else variable.type.width if kind == "Uint" else 0
        if size == 0:
            raise NotFlatError(f"a variable of type {variable.type}")
        self.variables[variable.var] = tuple(range(self.width, self.width + size))
        self.width += size

    def _store(self, operation: Any, bits: dict[Any, Any]) -> Assign:
        if not hasattr(operation.lvalue, "standalone"):
            raise NotFlatError("an assignment to a part of a value")
        target = place_of(operation.lvalue, bits)
        evaluate, _ = value_of(operation.rvalue, bits)
        self._counted()
        self.written.update(target)
        return Assign(target, evaluate)

    def _counted(self) -> None:
        self.count += 1
        if self.count > MAX_OPERATIONS:
            raise QuantainerError(
                "too_large",
                "The circuit has too many operations once its loops are unrolled.",
                limit=MAX_OPERATIONS,
                hint="Split the circuit, or make its loops shorter.",
            )

    def _other(
        self, operation: Any, qubits: tuple[int, ...], clbits: tuple[int, ...]
    ) -> Iterator[Operation]:
        """Open anything that is not a standard gate."""
        if operation.name == "unitary" and operation.num_qubits <= _MATRIX_QUBITS:
            yield self._gate(Gate("unitary", qubits, (), operation.to_matrix()))
            return
        if operation.name in ("break_loop", "continue_loop"):
            raise NotFlatError(operation.name)
        known = self.opened.get(id(operation))
        definition = known[1] if known else _opened(operation)
        self.opened[id(operation)] = (operation, definition)
        yield from self.block(definition, qubits, clbits)

    def _flow(
        self, instruction: Any, qubits: tuple[int, ...], clbit_of: dict[Any, int]
    ) -> Iterator[Operation]:
        operation = instruction.operation
        bits = tuple(clbit_of[bit] for bit in instruction.clbits)
        match operation.name:
            case "if_else":
                yield from self._if(operation, qubits, bits, clbit_of)
            case "switch_case":
                yield from self._switch(operation, qubits, bits, clbit_of)
            case "for_loop":
                yield from self._for(operation, qubits, bits)
            case "while_loop":
                yield from self._while(operation, qubits, bits, clbit_of)
            case "box":
                yield from self.block(operation.blocks[0], qubits, bits)
            case _:
                raise NotFlatError(operation.name)

    def _if(
        self, operation: Any, qubits: tuple[int, ...], bits: tuple[int, ...], clbit_of: Any
    ) -> Iterator[Operation]:
        condition = condition_of(operation.condition, clbit_of).given(self.written)
        blocks = operation.blocks
        if isinstance(condition, bool):
            taken = blocks[:1] if condition else blocks[1:]
            for block in taken:
                yield from self.block(block, qubits, bits)
            return
        then = tuple(self.block(blocks[0], qubits, bits))
        otherwise = tuple(self.block(blocks[1], qubits, bits)) if len(blocks) > 1 else ()
        if then or otherwise:
            yield Branch(condition, then, otherwise)

    def _switch(
        self, operation: Any, qubits: tuple[int, ...], bits: tuple[int, ...], clbit_of: Any
    ) -> Iterator[Operation]:
        _, reads = value_of(operation.target, clbit_of)
        arms: list[tuple[Condition | None, Any]] = []
        for labels, block in operation.cases_specifier():
            numbers = [label for label in labels if isinstance(label, int | bool)]
            everything = len(numbers) < len(labels)  # CASE_DEFAULT
            condition = None if everything else _one_of(operation.target, numbers, clbit_of)
            arms.append((condition, block))
        if not reads & self.written:
            for condition, block in arms:
                if condition is None or condition.evaluate(0):
                    yield from self.block(block, qubits, bits)
                    break
            return
        chain: tuple[Operation, ...] = ()
        bodies = [tuple(self.block(block, qubits, bits)) for _, block in arms]
        for (condition, _), body in reversed(list(zip(arms, bodies, strict=True))):
            chain = body if condition is None else (Branch(condition, body, chain),)
        yield from chain

    def _for(
        self, operation: Any, qubits: tuple[int, ...], bits: tuple[int, ...]
    ) -> Iterator[Operation]:
        values, parameter, body = operation.params
        if not isinstance(values, range | list | tuple):
            raise NotFlatError("a loop over a run-time range")
        for value in values:
            bound = body if parameter is None else body.assign_parameters({parameter: value})
            yield from self.block(bound, qubits, bits)
            if not body.data:
                return

    def _while(
        self, operation: Any, qubits: tuple[int, ...], bits: tuple[int, ...], clbit_of: Any
    ) -> Iterator[Operation]:
        condition = condition_of(operation.condition, clbit_of)
        first = condition.given(self.written)
        if first is False:
            return
        self.written.update(bits)  # a later round sees what this one measured
        self.written.update(*self.variables.values())
        self.used.update(qubits)
        yield Repeat(condition, tuple(self.block(operation.blocks[0], qubits, bits)))


def _one_of(target: Any, numbers: list[int], clbit_of: Any) -> Condition:
    if len(numbers) == 1 and hasattr(target, "size"):
        return condition_of((target, numbers[0]), clbit_of)
    evaluate, reads = value_of(target, clbit_of)
    wanted = frozenset(int(number) for number in numbers)
    return Condition(lambda memory: evaluate(memory) in wanted, reads)


def _opened(operation: Any) -> QuantumCircuit:
    """Return what an operation is made of."""
    from qiskit import QuantumCircuit, transpile
    from qiskit.exceptions import QiskitError

    definition = getattr(operation, "definition", None)
    if definition is not None:
        return definition
    alone = QuantumCircuit(operation.num_qubits, operation.num_clbits)
    alone.append(operation, alone.qubits, alone.clbits)
    try:
        made = transpile(alone, basis_gates=["u", "cx"], optimization_level=0)
    except QiskitError:
        made = alone
    if any(instruction.name == operation.name for instruction in made.data):
        raise QuantainerError(
            "unsupported_circuit",
            f"No simulator knows the instruction {operation.name!r}: it has no definition.",
            hint="Give the gate a definition or a matrix.",
        )
    return made
