"""Cirq's gates as gates of the columnar form, equal up to a global phase."""

from __future__ import annotations

import math

import cirq

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Optional, Tuple

    Angle = Any  # a number or a sympy expression
    Part = Tuple[str, Tuple[int, ...], Tuple[Angle, ...]]  # name, which of its qubits, angles

__all__ = ["MAX_UNITARY_QUBITS", "parts_of", "unitary_part"]

MAX_UNITARY_QUBITS = 6


def parts_of(gate: cirq.Gate) -> Optional[List[Part]]:
    """Return the columnar gates that make up a gate, or None if it has to be taken apart first."""
    for cls in type(gate).__mro__:
        if cls in _TABLE:
            return _TABLE[cls](gate)
    return None


def unitary_part(operation: cirq.Operation) -> Optional[List[Part]]:
    """Return an operation as one ``unitary`` if it has a matrix that is not too large."""
    width = len(operation.qubits)
    if width > MAX_UNITARY_QUBITS or cirq.is_parameterized(operation):
        return None
    matrix = cirq.unitary(operation, None)
    if matrix is None or width == 0:
        return None if matrix is None else []
    # Cirq's first qubit is the highest of the matrix, the columnar form's first is the lowest.
    values = matrix.astype("<c16", order="C").view("<f8").ravel().tolist()
    return [("unitary", tuple(reversed(range(width))), tuple(values))]


def _named(
    exponent: Angle, names: Dict[float, str], where: Tuple[int, ...]
) -> Optional[List[Part]]:
    """Return the parameter-free gate for an exponent modulo 2, if it has a name ("": nothing)."""
    if not isinstance(exponent, (int, float)):
        return None
    name = names.get(exponent % 2)
    if name is None:
        return None
    return [(name, where, ())] if name else []


def _turn(
    rotation: str, names: Dict[float, str], width: int = 1
) -> Callable[[Any], Optional[List[Part]]]:
    """Return how to write a power gate that is a rotation by π times its exponent."""
    where = tuple(range(width))

    def write(gate: Any) -> Optional[List[Part]]:
        named = _named(gate.exponent, names, where)
        return [(rotation, where, (gate.exponent * math.pi,))] if named is None else named

    return write


def _only(name: str, width: int) -> Callable[[Any], Optional[List[Part]]]:
    """Return how to write a power gate that has a name at exponent 1 and is taken apart else."""
    names = {0.0: "", 1.0: name}
    return lambda gate: _named(gate.exponent, names, tuple(range(width)))


def _cx(gate: Any) -> List[Part]:
    named = _named(gate.exponent, {0.0: "", 1.0: "cx"}, (0, 1))
    if named is not None:
        return named
    return [("h", (1,), ()), ("cp", (0, 1), (gate.exponent * math.pi,)), ("h", (1,), ())]


def _iswap(gate: Any) -> List[Part]:
    if gate.exponent == 1:
        return [("iswap", (0, 1), ())]
    return [("xx_plus_yy", (0, 1), (gate.exponent * -math.pi, 0.0))]


def _phased_x(gate: Any) -> List[Part]:
    return [("r", (0,), (gate.exponent * math.pi, gate.phase_exponent * math.pi))]


_TABLE: Dict[type, Callable[[Any], Optional[List[Part]]]] = {
    cirq.XPowGate: _turn("rx", {0.0: "", 0.5: "sx", 1.0: "x", 1.5: "sxdg"}),
    cirq.YPowGate: _turn("ry", {0.0: "", 1.0: "y"}),
    cirq.ZPowGate: _turn("p", {0.0: "", 0.25: "t", 0.5: "s", 1.0: "z", 1.5: "sdg", 1.75: "tdg"}),
    cirq.HPowGate: _only("h", 1),
    cirq.CZPowGate: _turn("cp", {0.0: "", 1.0: "cz"}, 2),
    cirq.CXPowGate: _cx,
    cirq.SwapPowGate: _only("swap", 2),
    cirq.ISwapPowGate: _iswap,
    cirq.XXPowGate: _turn("rxx", {0.0: ""}, 2),
    cirq.YYPowGate: _turn("ryy", {0.0: ""}, 2),
    cirq.ZZPowGate: _turn("rzz", {0.0: ""}, 2),
    cirq.CCXPowGate: _only("ccx", 3),
    cirq.CCZPowGate: _only("ccz", 3),
    cirq.CSwapGate: lambda _: [("cswap", (0, 1, 2), ())],
    cirq.PhasedXPowGate: _phased_x,
    cirq.IdentityGate: lambda _: [],
    cirq.WaitGate: lambda _: [],
    cirq.GlobalPhaseGate: lambda _: [],
}
