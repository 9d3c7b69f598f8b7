"""Measure: the facts of a circuit, by the rules written down in ``docs/facts.md``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from quantainer.circuits.clifford import FIXED_COSTS, rotations
from quantainer.core.facts import Facts

if TYPE_CHECKING:
    from quantainer.circuits.circuit import Circuit

__all__ = ["measure", "unwritten"]

_LOOPS = frozenset(("while_loop", "for_loop"))
_UNUSED, _USED, _MEASURED = 0, 1, 2

_RANKS = {
    # name: log2 of the largest operator Schmidt rank over any cut of its qubits
    **dict.fromkeys(("cx", "cy", "cz", "ch", "cp", "crx", "cry", "crz", "cs", "csdg", "csx"), 1),
    **dict.fromkeys(("cu", "cu1", "cu3", "rxx", "ryy", "rzz", "rzx", "ecr"), 1),
    **dict.fromkeys(("ccx", "ccz", "mcx", "c3sx"), 1),
    **dict.fromkeys(("swap", "iswap", "dcx", "xx_plus_yy", "xx_minus_yy", "cswap", "rccx"), 2),
}


def measure(circuit: Circuit) -> Facts:
    """Return what is true of a circuit on every target.

    Time is linear in the number of operations. The circuit must come from
    :func:`quantainer.circuits.read`: its gates are standard gates or ``unitary``.
    """
    program = circuit.program
    tally = _Tally(program.num_qubits)
    walk = _Walk(program, tally, range(program.num_qubits), range(program.num_clbits), root=True)
    depths = walk.run()
    return Facts(
        format=circuit.format,
        qubits=program.num_qubits,
        active_qubits=sum(map(bool, tally.state)),
        clbits=program.num_clbits,
        registers=tuple((register.name, len(register)) for register in program.cregs),
        measured_clbits=len(tally.measured),
        parameters=tuple(sorted(parameter.name for parameter in program.parameters)),
        depth=depths[0] if tally.bounded else None,
        two_qubit_depth=depths[1] if tally.bounded else None,
        gates=dict(sorted(tally.gates.items())),
        t_count=tally.rotations,
        clifford=tally.rotations == 0,
        mid_circuit=tally.mid_circuit,
        dynamic=tally.dynamic,
        light_cone=tally.light_cone(),
        bond_log2=tally.bond_log2(),
    )


def unwritten(circuit: Circuit) -> list[str]:
    """Return the names of the classical bits that no measurement writes: they are always 0."""
    program = circuit.program
    tally = _Tally(program.num_qubits)
    _Walk(program, tally, range(program.num_qubits), range(program.num_clbits), root=True).run()
    names = []
    for index, bit in enumerate(program.clbits):
        if index in tally.measured or index in tally.value_cones:
            continue
        registers = program.find_bit(bit).registers
        names.append(
            f"{registers[0][0].name}[{registers[0][1]}]" if registers else f"clbit[{index}]"
        )
    return names


class _Tally:
    """What is counted over the whole circuit, nested blocks included."""

    def __init__(self, qubits: int) -> None:
        self.gates: Counter[str] = Counter()
        self.rotations = 0
        self.bounded = True
        self.dynamic = False
        self.mid_circuit = False
        self.state = [_UNUSED] * qubits
        self.measured: set[int] = set()
        # Bit sets: the qubits that a qubit, a classical bit or a variable depends on so far.
        self.cones = [1 << index for index in range(qubits)]
        self.value_cones: dict[Any, int] = {}
        # Differences along the qubit line: how much rank the gates over each cut can make.
        self.ranks = [0] * (qubits + 1)

    def light_cone(self) -> int:
        """Return the largest cone of a measured bit, or of a used qubit if none is measured."""
        if self.measured:
            return max(self.value_cones[bit].bit_count() for bit in self.measured)
        used = (cone for cone, state in zip(self.cones, self.state, strict=True) if state)
        return max((cone.bit_count() for cone in used), default=0)

    def bond_log2(self) -> int:
        """Return the bound: over each cut not more than its gates, nor its smaller side, allow."""
        active = sum(map(bool, self.state))
        left = rank = bound = 0
        for state, step in zip(self.state, self.ranks, strict=False):
            rank += step
            left += bool(state)
            bound = max(bound, min(rank, left, active - left))
        return bound


class _Walk:
    """Goes through one block and tallies it.

    A wire is a qubit, a classical bit or a variable. An operation starts when all its wires are
    free, and then occupies them for one step.
    """

    def __init__(
        self,
        program: Any,
        tally: _Tally,
        qubits: Sequence[int],
        clbits: Sequence[int],
        *,
        root: bool,
    ) -> None:
        self._program, self._tally, self._root = program, tally, root
        self._qubits = dict(zip(program.qubits, qubits, strict=True))
        self._clbits = dict(zip(program.clbits, clbits, strict=True))
        self._levels: dict[Any, int] = dict.fromkeys((*program.qubits, *program.clbits), 0)
        self._doubles = self._levels.copy()
        self._special: dict[str, Callable[[Any], None]] = {
            "measure": self._measure,
            "reset": self._reset,
            "delay": self._delay,
            "barrier": self._barrier,
            "store": self._store,
            "break_loop": self._barrier,
            "continue_loop": self._barrier,
            **dict.fromkeys(("if_else", "switch_case", *_LOOPS), self._control),
        }

    def run(self) -> tuple[int, int]:
        """Tally the block; return its depth and its two-qubit depth."""
        tally, special, fixed = self._tally, self._special, FIXED_COSTS
        gates, single, several = tally.gates, self._single, self._several
        for instruction in self._program._data:
            name = instruction.name
            act = special.get(name)
            if act is not None:
                act(instruction)
                continue
            gates[name] += 1
            cost = fixed.get(name)
            if cost is None:  # of a unitary only the operation itself holds the matrix
                holder = instruction.operation if name == "unitary" else instruction
                cost = rotations(name, holder.params)
            tally.rotations += cost
            wires = instruction.qubits
            if len(wires) == 1:
                single(wires[0])
            elif wires:
                several(name, wires)
        return max(self._levels.values(), default=0), max(self._doubles.values(), default=0)

    def _single(self, wire: Any) -> None:
        qubit, state = self._qubits[wire], self._tally.state
        if state[qubit] == _MEASURED:
            self._tally.mid_circuit = True
        state[qubit] = _USED
        self._levels[wire] += 1

    def _several(self, name: str, wires: Sequence[Any]) -> None:
        tally, levels, doubles = self._tally, self._levels, self._doubles
        at = [self._qubits[wire] for wire in wires]
        level = max([levels[wire] for wire in wires]) + 1
        double = max([doubles[wire] for wire in wires]) + 1
        cone = 0
        for wire, qubit in zip(wires, at, strict=True):
            levels[wire], doubles[wire] = level, double
            cone |= tally.cones[qubit]
            if tally.state[qubit] == _MEASURED:
                tally.mid_circuit = True
            tally.state[qubit] = _USED
        for qubit in at:
            tally.cones[qubit] = cone
        rank = _RANKS.get(name) or 2 * (len(at) // 2)
        tally.ranks[min(at)] += rank
        tally.ranks[max(at)] -= rank

    def _measure(self, instruction: Any) -> None:
        tally, levels, doubles = self._tally, self._levels, self._doubles
        (wire,), (bit,) = instruction.qubits, instruction.clbits
        qubit, index = self._qubits[wire], self._clbits[bit]
        tally.gates["measure"] += 1
        levels[wire] = levels[bit] = max(levels[wire], levels[bit]) + 1
        doubles[wire] = doubles[bit] = max(doubles[wire], doubles[bit])
        # A measurement that may not happen leaves what the bit held before.
        kept = 0 if self._root else tally.value_cones.get(index, 0)
        tally.value_cones[index] = tally.cones[qubit] | kept
        tally.measured.add(index)
        if tally.state[qubit] == _MEASURED:
            tally.mid_circuit = True
        tally.state[qubit] = _MEASURED

    def _reset(self, instruction: Any) -> None:
        tally, wire = self._tally, instruction.qubits[0]
        qubit = self._qubits[wire]
        tally.gates["reset"] += 1
        self._levels[wire] += 1
        if tally.state[qubit] != _UNUSED:
            tally.mid_circuit = True
        tally.state[qubit] = _USED
        if self._root:
            tally.cones[qubit] = 1 << qubit

    def _delay(self, instruction: Any) -> None:
        self._tally.gates["delay"] += 1
        self._levels[instruction.qubits[0]] += 1

    def _barrier(self, instruction: Any) -> None:
        """Takes no time, but what follows waits for all that came before."""
        self._occupy([*instruction.qubits, *instruction.clbits], 0, 0)

    def _store(self, instruction: Any) -> None:
        operation = instruction.operation
        read = _values(operation.rvalue)
        written = _values(operation.lvalue)
        cone = self._cone(read)
        for value in written:
            key = self._clbits.get(value, value)
            self._tally.value_cones[key] = cone | self._tally.value_cones.get(key, 0)
        self._occupy([*read, *written], 0, 0)

    def _control(self, instruction: Any) -> None:
        """Tally an operation with blocks: one operation on all its wires, as deep as the deepest.

        Of a loop that depends on data each block is counted once, and the depth is unknown.
        """
        tally, operation = self._tally, instruction.operation
        tally.dynamic = True
        qubits = [self._qubits[wire] for wire in instruction.qubits]
        clbits = [self._clbits[bit] for bit in instruction.clbits]
        captured = {var: None for block in operation.blocks for var in block.iter_captured_vars()}
        values = {**captured, **dict.fromkeys(_condition_values(operation))}
        cone = self._cone([*instruction.clbits, *values])
        for qubit in qubits:
            tally.cones[qubit] |= cone
        deepest = (0, 0)
        for block in operation.blocks:
            depths = _Walk(block, tally, qubits, clbits, root=False).run()
            deepest = (max(deepest[0], depths[0]), max(deepest[1], depths[1]))
        if instruction.name in _LOOPS:
            tally.bounded = False
            if len(qubits) > 1:  # repeated: only the sides of a cut bound its entanglement
                tally.ranks[min(qubits)] += len(tally.state)
                tally.ranks[max(qubits)] -= len(tally.state)
        self._occupy([*instruction.qubits, *instruction.clbits, *values], *deepest)

    def _cone(self, values: Iterable[Any]) -> int:
        cone = 0
        for value in values:
            cone |= self._tally.value_cones.get(self._clbits.get(value, value), 0)
        return cone

    def _occupy(self, wires: Sequence[Any], steps: int, doubles: int) -> None:
        for levels, added in ((self._levels, steps), (self._doubles, doubles)):
            end = max([levels.get(wire, 0) for wire in wires], default=0) + added
            levels.update(dict.fromkeys(wires, end))


def _condition_values(operation: Any) -> list[Any]:
    """Return the bits and variables that decide; a plain condition's bits are operands anyway."""
    decides = getattr(operation, "condition", None) or getattr(operation, "target", None)
    return _values(decides) if hasattr(decides, "accept") else []


def _values(expression: Any) -> list[Any]:
    """Return the bits and variables of a classical expression."""
    from qiskit.circuit import ClassicalRegister  # slow to import
    from qiskit.circuit.classical import expr

    found: dict[Any, None] = {}
    for node in expr.iter_vars(expression):
        found.update(dict.fromkeys(node.var) if isinstance(node.var, ClassicalRegister) else {})
        if node.standalone:
            found[node] = None
        elif not isinstance(node.var, ClassicalRegister):
            found[node.var] = None
    return list(found)
