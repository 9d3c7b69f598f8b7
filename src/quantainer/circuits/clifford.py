"""Clifford: how many rotations outside the Clifford group a gate is worth.

Zero means that the gate is in the Clifford group. The counts are those of the usual decompositions
into Clifford gates and Z rotations (``docs/facts.md``); angles that are multiples of a quarter turn
within ``TOLERANCE`` count as exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["CLIFFORD_GATES", "FIXED_COSTS", "TOLERANCE", "is_clifford_matrix", "rotations"]

TOLERANCE = 1e-12
_QUARTER = math.pi / 2
_MATRIX_QUBITS = 3

CLIFFORD_GATES = frozenset(
    (
        *("h", "id", "s", "sdg", "sx", "sxdg", "x", "y", "z", "global_phase"),
        *("cx", "cy", "cz", "dcx", "ecr", "iswap", "swap"),
        *("measure", "reset", "barrier", "delay"),
    )
)
FIXED_COSTS = {
    **dict.fromkeys(CLIFFORD_GATES, 0),
    **dict.fromkeys(("t", "tdg"), 1),
    "ch": 2,
    **dict.fromkeys(("cs", "csdg", "csx"), 3),
    "rccx": 4,
    **dict.fromkeys(("ccx", "ccz", "cswap"), 7),
    "rcccx": 8,
    "mcx": 15,
    "c3sx": 21,
}


def rotations(name: str, params: Sequence[Any]) -> int:
    """Return the number of non-Clifford rotations of a gate; a free parameter is one."""
    fixed = FIXED_COSTS.get(name)
    if fixed is not None:
        return fixed
    rule = _RULES.get(name)
    if rule is not None:
        return rule(params)
    if name == "unitary":
        return 0 if is_clifford_matrix(np.asarray(params[0], dtype=complex)) else 1
    return 1


def is_clifford_matrix(matrix: NDArray[np.complex128]) -> bool:
    """Tell whether a unitary maps Paulis to Paulis; wider ones than 3 qubits are not looked at."""
    qubits = len(matrix).bit_length() - 1
    if qubits > _MATRIX_QUBITS:
        return False
    adjoint = matrix.conj().T
    for qubit in range(qubits):
        for pauli in _PAULIS[1], _PAULIS[3]:
            single = np.kron(np.kron(np.eye(2 ** (qubits - 1 - qubit)), pauli), np.eye(2**qubit))
            if not _is_pauli(matrix @ single @ adjoint):
                return False
    return True


_PAULIS = (
    np.eye(2, dtype=complex),
    np.array([[0, 1], [1, 0]], dtype=complex),
    np.array([[0, -1j], [1j, 0]]),
    np.diag([1.0 + 0j, -1]),
)


def _is_pauli(matrix: NDArray[np.complex128]) -> bool:
    """Tell whether a Hermitian unitary is plus or minus a Pauli string."""
    # A Pauli string has one entry a row, in a pattern given by its first row, all of modulus 1.
    flip = int(np.argmax(np.abs(matrix[0])))
    rows = np.arange(len(matrix))
    entries = matrix[rows, rows ^ flip]
    if np.abs(np.abs(entries) - 1).max() > 1e-9:
        return False
    signs = entries / entries[0]
    # And the phases along it are signs that multiply: sign(a ^ b) = sign(a) * sign(b).
    expected = np.ones(len(matrix), dtype=complex)
    for bit in range(len(matrix).bit_length() - 1):
        high = (rows >> bit) & 1 == 1
        expected[high] *= signs[1 << bit]
    return bool(np.abs(signs - expected).max() < 1e-9 and np.abs(signs.imag).max() < 1e-9)


def _off(angle: Any, unit: float) -> bool:
    """Tell whether an angle is no multiple of ``unit``; a free parameter never is."""
    try:
        turns = float(angle) / unit
    except TypeError:
        return True
    return abs(turns - round(turns)) > TOLERANCE * max(1.0, abs(turns))


def _is_odd(angle: Any, unit: float) -> bool:
    return round(float(angle) / unit) % 2 == 1


def _euler(theta: Any, phi: Any, lam: Any) -> int:
    """Count for U(θ, φ, λ) = Rz(φ) Ry(θ) Rz(λ) up to phase."""
    if not _off(theta, math.pi):
        # Diagonal, or antidiagonal: the two Z rotations are one.
        odd = _is_odd(theta, math.pi)
        return int(_off(phi - lam if odd else phi + lam, _QUARTER))
    return _off(theta, _QUARTER) + _off(phi, _QUARTER) + _off(lam, _QUARTER)


def _controlled_u(theta: Any, phi: Any, lam: Any, gamma: Any) -> int:
    # Clifford if the target gets a Pauli times a power of i.
    if not _off(theta, math.pi):
        odd = _is_odd(theta, math.pi)
        phase, gap = (phi + gamma, phi - lam) if odd else (gamma, phi + lam)
        if not _off(phase, _QUARTER) and not _off(gap, math.pi):
            return 0
    parts = ((phi + lam) / 2 + gamma, (lam - phi) / 2, theta / 2, theta / 2, (phi + lam) / 2, phi)
    return max(1, sum(_off(angle, _QUARTER) for angle in parts))


def _exchange(theta: Any, beta: Any) -> int:
    if not _off(theta, math.pi) and (not _is_odd(theta, math.pi) or not _off(beta, _QUARTER)):
        return 0
    return 2 + 2 * _off(beta, _QUARTER)


_RULES: dict[str, Callable[[Sequence[Any]], int]] = {
    **dict.fromkeys(
        ("p", "u1", "rx", "ry", "rz", "rxx", "ryy", "rzz", "rzx"),
        lambda params: int(_off(params[0], _QUARTER)),
    ),
    **dict.fromkeys(("cp", "cu1"), lambda params: 3 * _off(params[0], math.pi)),
    **dict.fromkeys(("crx", "cry", "crz"), lambda params: 2 * _off(params[0], math.pi)),
    **dict.fromkeys(("u", "u3"), lambda params: _euler(*params)),
    "u2": lambda params: _euler(_QUARTER, *params),
    "r": lambda params: _euler(params[0], params[1] - _QUARTER, _QUARTER - params[1]),
    "cu3": lambda params: _controlled_u(params[0], params[1], params[2], 0.0),
    "cu": lambda params: _controlled_u(params[0], params[1], params[2], params[3]),
    **dict.fromkeys(("xx_plus_yy", "xx_minus_yy"), lambda params: _exchange(params[0], params[1])),
}
