"""Unitary: a gate as standard gates and a phase, and what the modifiers make of it."""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit._accelerate.circuit import CircuitInstruction
from qiskit.circuit import Barrier
from qiskit.circuit import Gate as QiskitGate
from qiskit.circuit.library import (
    C3XGate,
    HGate,
    MCXGate,
    PhaseGate,
    UGate,
    UnitaryGate,
    XGate,
    YGate,
)

from quantainer.circuits.angle import reduced
from quantainer.circuits.builder import STANDARD_GATES
from quantainer.circuits.qasm3.emitter import Emitter, Gate, Other

__all__ = ["Unitary", "instruction"]

_MATRIX_QUBITS = 6  # of a gate that is taken as its matrix
_NO_TURN = 1e-12  # angles below count as 0
_REPEATED = 10_000
"""Operations up to which a power is written out although it has a matrix."""
_LINEAR = frozenset(
    ("p", "u1", "rx", "ry", "rz", "rxx", "ryy", "rzz", "rzx", "cp", "cu1", "crx", "cry", "crz")
)
"""Gates whose integer powers multiply the angle."""
_INVOLUTIONS = frozenset(
    ["x", "y", "z", "h", "cx", "cy", "cz", "ch", "swap", "ccx", "ccz", "cswap", "id", "ecr", "mcx",
    "rccx"]
) - {"rccx"}  # fmt: skip
_TURNS = {"z": 1.0, "s": 0.5, "sdg": -0.5, "t": 0.25, "tdg": -0.25}
"""Phase gates in units of π."""

Operation = Gate | Other


def instruction(operation: Operation, qubits: list[Any]) -> Any:
    """Return Qiskit's instruction on given qubits."""
    if isinstance(operation, Gate):
        return CircuitInstruction.from_standard(
            STANDARD_GATES[operation.name], qubits, reduced(operation.params)
        )
    return CircuitInstruction(operation.operation, qubits, ())


@dataclass(frozen=True, slots=True)
class Unitary:
    """A gate on qubits 0, 1, …

    Attributes:
        qubits: How many.
        operations: In order of time.
        phase: Global phase, which a control makes relative.
    """

    qubits: int
    operations: list[Operation]
    phase: Any

    def emit(self, emitter: Emitter, wires: tuple[int, ...]) -> None:
        """Apply it to qubits of the program."""
        for operation in self.operations:
            place = tuple([wires[qubit] for qubit in operation.qubits])
            emitter.add(operation._replace(qubits=place))
        if not _plain_phase(self.phase):
            emitter.block.phase = emitter.block.phase + self.phase

    def circuit(self) -> QuantumCircuit:
        """Return it as a circuit."""
        circuit = QuantumCircuit(self.qubits, global_phase=self.phase)
        for operation in self.operations:
            circuit._append(instruction(operation, [circuit.qubits[q] for q in operation.qubits]))
        return circuit

    def matrix(self) -> np.ndarray[Any, Any]:
        """Return the matrix, in Qiskit's order of qubits."""
        from qiskit.quantum_info import Operator

        return np.asarray(Operator(self.circuit()).data)

    def inverse(self) -> Unitary:
        """Return U†."""
        operations: list[Operation] = []
        phase = -self.phase
        for operation in reversed(self.operations):
            part = _opened(_object(operation).inverse())
            operations += _moved(part.operations, operation.qubits)
            phase = phase + part.phase
        return Unitary(self.qubits, operations, phase)

    def control(self, signs: list[bool]) -> Unitary:
        """Return U under more controls, which come first: on 1 where true, on 0 where not."""
        count = len(signs)
        operations: list[Operation] = []
        phase: Any = 0.0  # of the parts, which a control around this one makes relative
        for operation in self.operations:
            qubits = tuple(qubit + count for qubit in operation.qubits)
            if isinstance(operation.operation if isinstance(operation, Other) else None, Barrier):
                operations.append(operation._replace(qubits=qubits))
                continue
            part = _controlled(operation, count)
            operations += _moved(part.operations, (*range(count), *qubits))
            phase = phase + part.phase
        turn = self._controlled_phase(count)
        operations = _merged([*operations, *turn.operations])
        flips: list[Operation] = [
            Gate("x", (), (qubit,)) for qubit, sign in enumerate(signs) if not sign
        ]
        return Unitary(self.qubits + count, [*flips, *operations, *flips], phase + turn.phase)

    def _controlled_phase(self, count: int) -> Unitary:
        if _plain_phase(self.phase):
            return Unitary(count, [], 0.0)
        if count == 1:
            return Unitary(1, [_phase_gate(self.phase)], 0.0)
        return _opened(PhaseGate(self.phase).control(count - 1, annotated=False))

    def power(self, exponent: float, limit: int) -> Unitary | None:
        """Return U to a power, the principal one of several; ``None`` if that is too hard."""
        whole = isinstance(exponent, int) or float(exponent).is_integer()
        if whole:
            return self._whole_power(int(exponent), limit)
        single = self.operations[0] if len(self.operations) == 1 else None
        if not self.operations:
            return Unitary(self.qubits, [], _principal(self.phase) * exponent)
        if isinstance(single, Gate) and not _plain_phase(self.phase):
            single = None
        if isinstance(single, Gate) and single.name in _LINEAR and _small(single.params[0]):
            angle = single.params[0] * exponent
            return Unitary(self.qubits, [single._replace(params=(angle,))], 0.0)
        if self.qubits > _MATRIX_QUBITS or self._symbolic():
            return None
        return _named(_matrix_power(self.matrix(), float(exponent)), self.qubits)

    def _symbolic(self) -> bool:
        gates = [each for each in self.operations if isinstance(each, Gate)]
        angles = [angle for gate in gates for angle in gate.params]
        return not all(isinstance(angle, float | int) for angle in (*angles, self.phase))

    def _whole_power(self, exponent: int, limit: int) -> Unitary | None:
        if exponent < 0:
            return self.inverse()._whole_power(-exponent, limit)
        phase = self.phase * exponent
        if not self.operations or not exponent:
            return Unitary(self.qubits, [], phase)
        if len(self.operations) == 1 and isinstance(self.operations[0], Gate):
            powered = _gate_power(self.operations[0], exponent)
            if powered is not None:
                return Unitary(self.qubits, powered, phase)
        size = len(self.operations) * exponent
        has_matrix = self.qubits <= _MATRIX_QUBITS and not self._symbolic()
        if size <= (min(limit, _REPEATED) if has_matrix else limit):
            return Unitary(self.qubits, self.operations * exponent, phase)
        if not has_matrix:
            return None
        return _named(_matrix_power(self.matrix(), float(exponent)), self.qubits)


def _gate_power(gate: Gate, exponent: int) -> list[Operation] | None:
    """Return a power of one gate in closed form, where it has one."""
    if gate.name in _LINEAR:
        return [gate._replace(params=(gate.params[0] * exponent,))]
    if gate.name in _INVOLUTIONS:
        return [gate] * (exponent % 2)
    if gate.name in _TURNS:
        named = _phase_gate(_TURNS[gate.name] * math.pi * exponent)
        return [named._replace(qubits=gate.qubits)]
    return None


def _plain_phase(phase: Any) -> bool:
    return isinstance(phase, float | int) and phase == 0


def _small(angle: Any) -> bool:
    """Tell whether a rotation is on the principal branch: then its power is a rotation."""
    return not isinstance(angle, float | int) or -math.pi < angle <= math.pi


def _principal(phase: Any) -> Any:
    if not isinstance(phase, float | int):
        return phase
    return cmath.phase(cmath.exp(1j * phase))


def _moved(operations: list[Operation], wires: tuple[int, ...]) -> list[Operation]:
    return [
        each._replace(qubits=tuple([wires[qubit] for qubit in each.qubits])) for each in operations
    ]


def _object(operation: Operation) -> Any:
    if isinstance(operation, Other):
        return operation.operation
    circuit = QuantumCircuit(len(operation.qubits))
    return instruction(operation, circuit.qubits).operation


def _opened(gate: Any) -> Unitary:
    """Return a gate of Qiskit as standard gates."""
    if isinstance(gate, MCXGate) and gate.num_ctrl_qubits == 3 and gate.ctrl_state == 7:
        gate = C3XGate()
    if isinstance(gate, UnitaryGate | Barrier):
        return Unitary(gate.num_qubits, [Other(gate, tuple(range(gate.num_qubits)))], 0.0)
    circuit = QuantumCircuit(gate.num_qubits)
    probe = CircuitInstruction(gate, circuit.qubits)
    if probe.is_standard_gate():
        params = tuple(probe.params)
        return Unitary(
            gate.num_qubits, [Gate(probe.name, params, tuple(range(gate.num_qubits)))], 0.0
        )
    definition = gate.definition
    place = {bit: index for index, bit in enumerate(definition.qubits)}
    operations: list[Operation] = []
    phase = definition.global_phase
    for each in definition.data:
        part = _opened(each.operation)
        operations += _moved(part.operations, tuple(place[bit] for bit in each.qubits))
        phase = phase + part.phase
    return Unitary(gate.num_qubits, operations, phase)


def _controlled(operation: Operation, count: int) -> Unitary:
    if isinstance(operation, Gate):
        return _controlled_gate(
            operation._replace(qubits=tuple(range(len(operation.qubits)))), count
        )
    gate = operation.operation
    if isinstance(gate, UnitaryGate) and gate.num_qubits + count > _MATRIX_QUBITS:
        return _controlled_matrix(gate.to_matrix(), gate.num_qubits, count)
    return _opened(gate.control(count, annotated=False))


def _controlled_matrix(matrix: np.ndarray[Any, Any], qubits: int, count: int) -> Unitary:
    """Return a matrix under controls, whose own would be too large: V D V† with D controlled."""
    angles, basis = _eigen(matrix)
    wires = tuple(range(count, count + qubits))
    operations: list[Operation] = [Other(UnitaryGate(basis.conj().T), wires)]
    phase: Any = 0.0
    for state, angle in enumerate(angles):
        if abs(angle) < _NO_TURN:
            continue
        flips: list[Operation] = [
            Gate("x", (), (wire,)) for place, wire in enumerate(wires) if not state >> place & 1
        ]
        turn = _opened(PhaseGate(float(angle)).control(count + qubits - 1, annotated=False))
        operations += [*flips, *turn.operations, *flips]
        phase = phase + turn.phase
    operations.append(Other(UnitaryGate(basis), wires))
    return Unitary(count + qubits, operations, phase)


@lru_cache(maxsize=4096)
def _controlled_gate(gate: Gate, count: int) -> Unitary:
    if gate.name == "id":
        return Unitary(count + 1, [], 0.0)
    base: QiskitGate = _object(gate)
    if gate.name in ("t", "tdg"):
        base = PhaseGate(_TURNS[gate.name] * math.pi)
    elif gate.name == "u":
        base = _simplest(*gate.params)
    elif gate.name == "u2":
        base = _simplest(math.pi / 2, *gate.params)
    return _opened(base.control(count, annotated=False))


def _simplest(theta: Any, phi: Any, lam: Any) -> QiskitGate:
    """Return U with its own name where it has one, since controlled ones are simpler then."""
    if all(isinstance(angle, float | int) for angle in (theta, phi, lam)):
        if theta == 0:
            return PhaseGate(phi + lam)
        for gate, angles in _NAMES:
            if all(abs(a - b) < 1e-15 for a, b in zip((theta, phi, lam), angles, strict=True)):
                return gate
    return UGate(theta, phi, lam)


_NAMES = (
    (XGate(), (math.pi, 0.0, math.pi)),
    (YGate(), (math.pi, math.pi / 2, math.pi / 2)),
    (HGate(), (math.pi / 2, 0.0, math.pi)),
)


def _merged(operations: list[Operation]) -> list[Operation]:
    """Take the phase on the control of one ``cu`` into its fourth angle."""
    if len(operations) != 2:
        return operations
    gate, phase = operations
    if not (isinstance(gate, Gate) and isinstance(phase, Gate) and gate.name == "cu"):
        return operations
    if phase.name != "p" or phase.qubits != (0,) or gate.qubits != (0, 1):
        return operations
    *angles, gamma = gate.params
    return [Gate("cu", (*angles, gamma + phase.params[0]), (0, 1))]


def _matrix_power(matrix: np.ndarray[Any, Any], exponent: float) -> np.ndarray[Any, Any]:
    """Return the principal power."""
    angles, basis = _eigen(matrix)
    return np.asarray((basis * np.exp(1j * exponent * angles)) @ basis.conj().T)


def _eigen(matrix: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return angles and basis; an eigenvalue of -1 is e^{iπ}, whatever its rounding."""
    from scipy.linalg import schur

    triangle, basis = schur(matrix, output="complex")  # of a normal matrix: diagonal
    angles = np.angle(np.diag(triangle))
    angles[angles < -math.pi + 1e-9] += 2 * math.pi
    return angles, basis


_FIXED = ("id", "x", "y", "z", "h", "s", "sdg", "t", "tdg", "sx", "sxdg")


def _named(matrix: np.ndarray[Any, Any], qubits: int) -> Unitary:
    """Return a matrix as a named gate where it is one, else as it is."""
    wires = tuple(range(qubits))
    if qubits == 1:
        for name in _FIXED:
            gate = Gate(name, (), (0,))
            if np.allclose(matrix, _object(gate).to_matrix(), atol=1e-10):
                return Unitary(1, [gate], 0.0)
        if np.allclose(matrix, np.diag([1, matrix[1, 1]]), atol=1e-10):
            return Unitary(1, [_phase_gate(cmath.phase(matrix[1, 1]))], 0.0)
    return Unitary(qubits, [Other(UnitaryGate(matrix), wires)], 0.0)


def _phase_gate(angle: Any) -> Gate:
    """Return diag(1, e^{i angle}) by its own name if it has one."""
    turns = angle / math.pi % 2 if isinstance(angle, float | int) else None
    names = {0.0: "id", 1.0: "z", 0.5: "s", 1.5: "sdg", 0.25: "t", 1.75: "tdg"}
    if turns in names:
        return Gate(names[turns], (), (0,))
    return Gate("p", (angle,), (0,))
