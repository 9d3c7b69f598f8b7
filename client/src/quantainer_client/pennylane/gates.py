"""PennyLane's gates as gates of the columnar form, equal up to a global phase."""

from __future__ import annotations

import pennylane as qml

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

    Angles = Callable[[Sequence[float]], Tuple[float, ...]]
    Part = Tuple[str, List[Any], Tuple[float, ...]]

__all__ = ["is_supported", "part_of"]

_MAX_UNITARY_WIRES = 6

_PLAIN: Dict[str, str] = {
    "Adjoint(S)": "sdg",
    "Adjoint(SX)": "sxdg",
    "Adjoint(T)": "tdg",
    "CCZ": "ccz",
    "CH": "ch",
    "CNOT": "cx",
    "CRX": "crx",
    "CRY": "cry",
    "CRZ": "crz",
    "CSWAP": "cswap",
    "CY": "cy",
    "CZ": "cz",
    "ControlledPhaseShift": "cp",
    "ECR": "ecr",
    "Hadamard": "h",
    "ISWAP": "iswap",
    "IsingXX": "rxx",
    "IsingYY": "ryy",
    "IsingZZ": "rzz",
    "PauliX": "x",
    "PauliY": "y",
    "PauliZ": "z",
    "PhaseShift": "p",
    "RX": "rx",
    "RY": "ry",
    "RZ": "rz",
    "S": "s",
    "SWAP": "swap",
    "SX": "sx",
    "T": "t",
    "Toffoli": "ccx",
    "U1": "p",
    "U2": "u2",
    "U3": "u",
}
_TURNED: Dict[str, Tuple[str, Angles]] = {
    "IsingXY": ("xx_plus_yy", lambda angles: (-angles[0], 0.0)),
    "Rot": ("u", lambda angles: (angles[1], angles[2], angles[0])),
}
_NOTHING = frozenset({"GlobalPhase", "Identity", "Snapshot"})


def is_supported(operation: Any) -> bool:
    """Tell whether an operation travels as it is; others are taken apart by PennyLane."""
    name = operation.name
    if name in _PLAIN or name in _TURNED or name in _NOTHING or name == "Barrier":
        return True
    if name == "QubitUnitary":
        return len(operation.wires) <= _MAX_UNITARY_WIRES
    return bool(
        operation.has_matrix
        and not operation.has_decomposition
        and 0 < len(operation.wires) <= _MAX_UNITARY_WIRES
    )


def part_of(operation: Any) -> Optional[Part]:
    """Return a supported operation as ``(name, wires, angles)``; None if it does nothing."""
    name, wires = operation.name, list(operation.wires)
    if name in _NOTHING:
        return None
    if name == "Barrier":
        return ("barrier", wires, ()) if wires else None
    if name in _PLAIN:
        return _PLAIN[name], wires, tuple(_number(value) for value in operation.data)
    if name in _TURNED:
        gate, turn = _TURNED[name]
        return gate, wires, turn([_number(value) for value in operation.data])
    matrix = qml.math.toarray(qml.matrix(operation, wire_order=wires))
    # PennyLane's first wire is the highest of the matrix, the columnar form's first is the lowest.
    values = matrix.astype("<c16", order="C").view("<f8").ravel().tolist()
    return "unitary", wires[::-1], tuple(values)


def _number(value: Any) -> float:
    return float(qml.math.toarray(value))
