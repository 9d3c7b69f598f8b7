"""Cirq's gates as standard gates, equal up to a global phase that is known.

Cirq's power gates turn by ``exponent`` half turns. Those that have a name become it, others a
rotation; what has neither becomes its matrix. Cirq lists the highest bit of a matrix first.
"""

from __future__ import annotations

import cmath
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Gate
from qiskit.circuit.library import UnitaryGate
from qiskit.quantum_info import Clifford, Operator

from quantainer.circuits.builder import STANDARD_GATES, Block, Builder
from quantainer.circuits.cirq_json.composite import (
    fourier,
    pauli_phasor,
    pauli_string,
    phase_gradient,
)
from quantainer.circuits.cirq_json.values import (
    UnknownTypeError,
    Values,
    array,
    complex_number,
    is_free,
)
from quantainer.circuits.options import ReadOptions

__all__ = ["NOISE", "GateReader", "control_patterns"]

NOISE = frozenset(
    (
        "AmplitudeDampingChannel",
        "AsymmetricDepolarizingChannel",
        "BitFlipChannel",
        "DepolarizingChannel",
        "GeneralizedAmplitudeDampingChannel",
        "KrausChannel",
        "MixedUnitaryChannel",
        "PhaseDampingChannel",
        "PhaseFlipChannel",
        "RandomGateChannel",
    )
)

_NAMED = {
    # kind: exponent modulo 2 → standard gate
    "x": {1.0: "x", 0.5: "sx", 1.5: "sxdg"},
    "y": {1.0: "y"},
    "z": {1.0: "z", 0.5: "s", 1.5: "sdg", 0.25: "t", 1.75: "tdg"},
    "h": {1.0: "h"},
    "cx": {1.0: "cx"},
    "cy": {1.0: "cy"},
    "cz": {1.0: "cz"},
    "swap": {1.0: "swap"},
    "ccx": {1.0: "ccx"},
    "ccz": {1.0: "ccz"},
}
_POWERS = {
    "XPowGate": "x",
    "YPowGate": "y",
    "ZPowGate": "z",
    "_PauliX": "x",
    "_PauliY": "y",
    "_PauliZ": "z",
    "HPowGate": "h",
    "CXPowGate": "cx",
    "CNotPowGate": "cx",
    "CYPowGate": "cy",
    "CZPowGate": "cz",
    "SwapPowGate": "swap",
    "CCXPowGate": "ccx",
    "CCNotPowGate": "ccx",
    "CCZPowGate": "ccz",
}
_PAIRS = {"XXPowGate": "rxx", "YYPowGate": "ryy", "ZZPowGate": "rzz"}
_ROTATIONS = {"Rx": "rx", "Ry": "ry", "Rz": "rz"}
_INCOMPLETE = {"PauliInteractionGate": "its exponent"}
_PI = math.pi
_MATRIX_QUBITS = 10
_MAX_PATTERNS = 1024


class GateReader:
    """Appends gates, given as Cirq's JSON, to a block."""

    def __init__(self, values: Values) -> None:
        self._values = values

    def append(self, block: Block, gate: dict[str, Any], qubits: Sequence[int]) -> Any:
        """Append one gate and return the global phase by which the result falls short of it.

        Raises:
            UnknownTypeError: If the gate is not known.
        """
        kind = str(gate.get("cirq_type"))
        if kind in NOISE:
            raise UnknownTypeError(kind, f"{kind} is noise, which is no part of a circuit")
        at = tuple(qubits)
        if kind in _POWERS:
            exponent = self.number(gate, "exponent", 1.0)
            left = self.power(block, _POWERS[kind], exponent, at)
            return left + self._shift(gate)
        if kind in _PAIRS:
            angle = self.number(gate, "exponent", 1.0) * _PI
            self.standard(block, _PAIRS[kind], at, angle)
            return angle / 2 + self._shift(gate)
        if kind in _ROTATIONS:
            self.standard(block, _ROTATIONS[kind], at, self.number(gate, "rads"))
            return 0.0
        if kind in _INCOMPLETE:
            lost = _INCOMPLETE[kind]
            raise UnknownTypeError(kind, f"{kind} cannot be known: Cirq writes it without {lost}")
        special = _SPECIAL.get(kind)
        if special is None:
            raise UnknownTypeError(kind)
        return special(self, block, gate, at) or 0.0

    def _shift(self, gate: dict[str, Any]) -> Any:
        """Return the phase of ``global_shift``, which is counted in units of the exponent."""
        shift = gate.get("global_shift", 0.0)
        return self.number(gate, "exponent", 1.0) * (shift * _PI) if shift else 0.0

    def controlled(
        self,
        block: Block,
        gate: dict[str, Any],
        controls: Sequence[int],
        targets: Sequence[int],
        patterns: Sequence[Sequence[int]],
    ) -> None:
        """Append a gate that happens if the controls read one of the patterns."""
        inner = self._as_gate(gate, len(targets))
        for pattern in patterns:
            state = sum(bit << index for index, bit in enumerate(pattern))
            operation = inner.control(len(controls), ctrl_state=state, annotated=False)
            block.other(operation, [*controls, *targets])

    def _as_gate(self, gate: dict[str, Any], qubits: int) -> Gate:
        """Return the gate with its exact phase, which a control makes visible."""
        circuit, phase = self._circuit(gate, qubits)
        kind = str(gate.get("cirq_type"))
        if len(circuit.data) == 1 and not is_free(phase) and not phase:
            operation = circuit.data[0].operation
            if isinstance(operation, Gate) and circuit.data[0].qubits == tuple(circuit.qubits):
                return operation
        if circuit.parameters or qubits > _MATRIX_QUBITS:
            raise UnknownTypeError(kind, f"a controlled {kind} is too wide or has free parameters")
        return UnitaryGate(Operator(circuit).data * cmath.exp(1j * float(phase)))

    def _circuit(self, gate: dict[str, Any], qubits: int) -> tuple[QuantumCircuit, Any]:
        builder = Builder("", ReadOptions())
        builder.add_qubits(qubits)
        phase = self.append(builder, gate, range(qubits))
        return builder.finish(), phase

    def power(self, block: Block, kind: str, exponent: Any, at: tuple[int, ...]) -> Any:
        """Append a power of an involution; only X and Y rotations leave a phase out."""
        if not is_free(exponent):
            turns = float(exponent) % 2
            if turns == 0:
                return self._identity(block, {}, at)
            name = _NAMED[kind].get(turns)
            if name is not None:
                return self.standard(block, name, at)
        angle = exponent * _PI
        if kind in ("x", "y"):
            self.standard(block, f"r{kind}", at, angle)
            return angle / 2
        if kind in ("z", "cz"):
            return self.standard(block, "p" if kind == "z" else "cp", at, angle)
        if kind == "ccz":
            return self._ccz(block, angle, at)
        return self._conjugated(block, kind, exponent, at)

    def _conjugated(self, block: Block, kind: str, exponent: Any, at: tuple[int, ...]) -> Any:
        """Append a power as another one between two gates that undo each other."""
        if kind == "h":
            self.standard(block, "ry", at, -_PI / 4)
            self.power(block, "z", exponent, at)
            return self.standard(block, "ry", at, _PI / 4)
        if kind == "swap":
            self.standard(block, "cx", (at[1], at[0]))
            self.power(block, "cx", exponent, at)
            return self.standard(block, "cx", (at[1], at[0]))
        if kind == "cy":
            self.standard(block, "sdg", (at[1],))
            self.power(block, "cx", exponent, at)
            return self.standard(block, "s", (at[1],))
        self.standard(block, "h", at[-1:])
        self.power(block, kind.replace("x", "z"), exponent, at)
        return self.standard(block, "h", at[-1:])

    def _ccz(self, block: Block, angle: Any, at: tuple[int, ...]) -> Any:
        a, b, c = at
        self.standard(block, "cp", (b, c), angle / 2)
        self.standard(block, "cx", (a, b))
        self.standard(block, "cp", (b, c), -angle / 2)
        self.standard(block, "cx", (a, b))
        return self.standard(block, "cp", (a, c), angle / 2)

    def standard(self, block: Block, name: str, at: tuple[int, ...], *angles: Any) -> float:
        """Append a standard gate."""
        gate = STANDARD_GATES[name]
        if gate.num_qubits != len(at):
            raise ValueError(f"gate {name} on {len(at)} qubits")
        block.gate(gate, at, angles)
        return 0.0

    def number(self, gate: dict[str, Any], field: str, default: Any = None) -> Any:
        """Return a number or an expression of a gate."""
        return self._values.number(gate.get(field, default))

    # --- Gates that are no plain powers
    # ------------------------------------------------------------

    def _identity(self, block: Block, gate: dict[str, Any], at: tuple[int, ...]) -> float:
        del gate
        for qubit in at:
            self.standard(block, "id", (qubit,))
        return 0.0

    def _phase(self, block: Block, gate: dict[str, Any], at: tuple[int, ...]) -> None:
        self.standard(block, "global_phase", at, cmath.phase(complex_number(gate["coefficient"])))

    def _cswap(self, block: Block, gate: dict[str, Any], at: tuple[int, ...]) -> None:
        del gate
        self.standard(block, "cswap", at)

    def _iswap(self, block: Block, gate: dict[str, Any], at: tuple[int, ...]) -> Any:
        exponent = self.number(gate, "exponent", 1.0)
        if not is_free(exponent) and exponent == 1:
            self.standard(block, "iswap", at)
        else:
            self.standard(block, "xx_plus_yy", at, -_PI * exponent, 0.0)
        return self._shift(gate)

    def _phased_iswap(self, block: Block, gate: dict[str, Any], at: tuple[int, ...]) -> Any:
        phase = -self.number(gate, "phase_exponent", 0.25) * _PI
        self.standard(block, "p", at[:1], -phase)
        self.standard(block, "p", at[1:], phase)
        left = self._iswap(block, gate, at)
        self.standard(block, "p", at[:1], phase)
        self.standard(block, "p", at[1:], -phase)
        return left

    def _phased_x(self, block: Block, gate: dict[str, Any], at: tuple[int, ...]) -> Any:
        exponent = self.number(gate, "exponent", 1.0)
        axis = self.number(gate, "phase_exponent")
        if not is_free(axis) and axis == 0:
            return self.power(block, "x", exponent, at) + self._shift(gate)
        self.standard(block, "r", at, exponent * _PI, axis * _PI)
        return exponent * (_PI / 2) + self._shift(gate)

    def _phased_xz(self, block: Block, gate: dict[str, Any], at: tuple[int, ...]) -> Any:
        axis = self.number(gate, "axis_phase_exponent") * _PI
        angle = self.number(gate, "x_exponent") * _PI
        self.standard(block, "r", at, angle, axis)
        self.standard(block, "p", at, self.number(gate, "z_exponent") * _PI)
        return angle / 2

    def _fsim(self, block: Block, gate: dict[str, Any], at: tuple[int, ...]) -> None:
        self.standard(block, "xx_plus_yy", at, 2 * self.number(gate, "theta"), 0.0)
        self.standard(block, "cp", at, -self.number(gate, "phi"))

    def _phased_fsim(self, block: Block, gate: dict[str, Any], at: tuple[int, ...]) -> None:
        names = ("theta", "zeta", "chi", "gamma", "phi")
        theta, zeta, chi, gamma, phi = (float(self.number(gate, name)) for name in names)
        sine, cosine = -1j * math.sin(theta), math.cos(theta)
        matrix = np.eye(4, dtype=complex)
        matrix[1:3, 1:3] = cmath.exp(-1j * gamma) * np.array(
            [
                [cmath.exp(-1j * zeta) * cosine, cmath.exp(1j * chi) * sine],
                [cmath.exp(-1j * chi) * sine, cmath.exp(1j * zeta) * cosine],
            ]
        )
        matrix[3, 3] = cmath.exp(-1j * (2 * gamma + phi))
        _unitary(block, matrix, at)

    def _molmer_sorensen(self, block: Block, gate: dict[str, Any], at: tuple[int, ...]) -> None:
        self.standard(block, "rxx", at, 2 * self.number(gate, "rads"))

    def _u(self, block: Block, gate: dict[str, Any], at: tuple[int, ...]) -> None:
        angles = [self.number(gate, name) * _PI for name in ("theta", "phi", "lmda")]
        self.standard(block, "u", at, *angles)

    def _matrix_gate(self, block: Block, gate: dict[str, Any], at: tuple[int, ...]) -> None:
        if any(size != 2 for size in gate.get("qid_shape", ())):
            raise UnknownTypeError("MatrixGate", "MatrixGate on qudits: only qubits are supported")
        _unitary(block, array(gate["matrix"]), at)

    def _diagonal(self, block: Block, gate: dict[str, Any], at: tuple[int, ...]) -> None:
        angles = [float(self._values.number(angle)) for angle in gate["diag_angles_radians"]]
        _unitary(block, np.diag(np.exp(1j * np.array(angles))), at)

    def _permutation(self, block: Block, gate: dict[str, Any], at: tuple[int, ...]) -> None:
        """Qubit i goes to place ``permutation[i]``, by swaps along its cycles."""
        places = [int(place) for place in gate["permutation"]]
        if sorted(places) != list(range(len(at))):
            raise ValueError("QubitPermutationGate without a permutation of its qubits")
        for index in range(len(places)):
            while places[index] != index:
                target = places[index]
                self.standard(block, "swap", (at[index], at[target]))
                places[index], places[target] = places[target], places[index]

    def _inverse(self, block: Block, gate: dict[str, Any], at: tuple[int, ...]) -> Any:
        circuit, phase = self._circuit(gate["original"], len(at))
        _insert(block, circuit.inverse(), at)
        return -phase

    def _parallel(self, block: Block, gate: dict[str, Any], at: tuple[int, ...]) -> Any:
        width = max(1, len(at) // max(1, int(gate["num_copies"])))
        phase: Any = 0.0
        for start in range(0, len(at), width):
            phase += self.append(block, gate["sub_gate"], at[start : start + width])
        return phase

    def _controlled_gate(self, block: Block, gate: dict[str, Any], at: tuple[int, ...]) -> None:
        controls = len(gate["control_qid_shape"])
        patterns = control_patterns(gate["control_values"], controls)
        self.controlled(block, gate["sub_gate"], at[:controls], at[controls:], patterns)

    def _clifford(self, block: Block, gate: dict[str, Any], at: tuple[int, ...]) -> None:
        signs = np.array(gate["rs"], dtype=bool)[:, None]
        xs, zs = np.array(gate["xs"], dtype=bool), np.array(gate["zs"], dtype=bool)
        _insert(block, Clifford(np.hstack([xs, zs, signs])).to_circuit(), at)

    def _reset(self, block: Block, gate: dict[str, Any], at: tuple[int, ...]) -> None:
        if gate.get("dimension", 2) != 2:
            raise UnknownTypeError("ResetChannel", "ResetChannel of a qudit")
        block.reset(at[0])

    def _wait(self, block: Block, gate: dict[str, Any], at: tuple[int, ...]) -> None:
        duration = float(self._values.number(gate["duration"]["picos"])) * 1e-12
        for qubit in at:
            block.delay(qubit, duration, "s")


def control_patterns(values: Any, controls: int) -> list[tuple[int, ...]]:
    """Return the bit patterns, first control first, for which a controlled gate happens."""
    if values is None:
        return [(1,) * controls]
    kind, data = (
        ("ProductOfSums", values)
        if isinstance(values, list)
        else (
            str(values.get("cirq_type")),
            values.get("data"),
        )
    )
    if kind == "SumOfProducts":
        patterns = [tuple(int(bit) for bit in row) for row in data]
    elif kind == "ProductOfSums":
        choices = [[entry] if isinstance(entry, int) else list(entry) for entry in data]
        if math.prod(map(len, choices)) > _MAX_PATTERNS:
            raise UnknownTypeError(kind, f"more than {_MAX_PATTERNS} control patterns")
        patterns = list(itertools.product(*choices))
    else:
        raise UnknownTypeError(kind)
    if any(len(pattern) != controls or not set(pattern) <= {0, 1} for pattern in patterns):
        raise UnknownTypeError(kind, "control values of qudits: only qubits are supported")
    return patterns


def _insert(block: Block, circuit: QuantumCircuit, at: Sequence[int]) -> None:
    for instruction in circuit.data:
        where = [at[circuit.find_bit(qubit).index] for qubit in instruction.qubits]
        block.other(instruction.operation, where)


def _unitary(block: Block, matrix: NDArray[np.complex128], at: tuple[int, ...]) -> None:
    if matrix.shape != (2 ** len(at), 2 ** len(at)):
        raise ValueError(f"a matrix of {matrix.shape} on {len(at)} qubits")
    # Cirq's first qubit is the highest bit of an index, Qiskit's the lowest.
    block.other(UnitaryGate(matrix), at[::-1])


Special = Callable[[GateReader, Block, dict[str, Any], tuple[int, ...]], Any]

_SPECIAL: dict[str, Special] = {
    "IdentityGate": GateReader._identity,
    "GlobalPhaseGate": GateReader._phase,
    "CSwapGate": GateReader._cswap,
    "ISwapPowGate": GateReader._iswap,
    "PhasedISwapPowGate": GateReader._phased_iswap,
    "PhasedXPowGate": GateReader._phased_x,
    "PhasedXZGate": GateReader._phased_xz,
    "FSimGate": GateReader._fsim,
    "PhasedFSimGate": GateReader._phased_fsim,
    "cirq.MSGate": GateReader._molmer_sorensen,
    "QasmUGate": GateReader._u,
    "MatrixGate": GateReader._matrix_gate,
    "SingleQubitMatrixGate": GateReader._matrix_gate,
    "TwoQubitMatrixGate": GateReader._matrix_gate,
    "DiagonalGate": GateReader._diagonal,
    "TwoQubitDiagonalGate": GateReader._diagonal,
    "ThreeQubitDiagonalGate": GateReader._diagonal,
    "QubitPermutationGate": GateReader._permutation,
    "_InverseCompositeGate": GateReader._inverse,
    "ParallelGate": GateReader._parallel,
    "ControlledGate": GateReader._controlled_gate,
    "SingleQubitCliffordGate": GateReader._clifford,
    "CliffordGate": GateReader._clifford,
    "ResetChannel": GateReader._reset,
    "WaitGate": GateReader._wait,
    "QuantumFourierTransformGate": fourier,
    "PhaseGradientGate": phase_gradient,
    # Operations in Cirq; here gates on the qubits that they name.
    "PauliString": pauli_string,
    "PauliStringPhasor": pauli_phasor,
}
