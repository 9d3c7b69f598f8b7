"""Recognise: a gate that a file defines itself and that is a standard gate in truth.

Old files carry the definitions of ``qelib1.inc`` inline, or name ``cu`` what others call ``cu3``.
Taken literally such a gate hides from every fast path, and a simulator that knows the name but not
the meaning gets it wrong. A definition that equals a standard gate up to global phase is that gate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantainer.circuits.builder import STANDARD_GATES

__all__ = ["recognise", "recognise_fixed"]

Operations = Iterable[tuple[Any, Sequence[float], tuple[int, ...]]]

_MAX_QUBITS = 3
_TOLERANCE = 1e-9
_FAMILIES = ("crz", "cp", "crx", "cry", "rzz", "rxx", "ryy", "rzx")
# Two points in general position: two different standard gates do not agree on both.
_POINTS = (
    (0.7310585, 1.9051482, 0.3678794, 2.7080502),
    (2.3025850, 0.5772156, 1.6180339, 0.1234567),
)


def recognise(
    qubits: int, params: int, expand: Callable[[Sequence[float]], Operations]
) -> Any | None:
    """Return the standard gate that a definition equals, or ``None``.

    Args:
        qubits: Number of qubits of the definition.
        params: Number of its parameters.
        expand: Gives its operations ``(standard gate, angles, qubits)`` for given parameters.
    """
    if not 1 <= qubits <= _MAX_QUBITS:
        return None
    points = [point[:params] for point in _POINTS]
    try:
        own = [_matrix(qubits, expand(point)) for point in points]
    except (ArithmeticError, ValueError):  # such as ln of a negative number at these points
        return None
    for gate, matrices in _candidates(qubits, params):
        if all(_equal(left, right) for left, right in zip(own, matrices, strict=True)):
            return gate
    return None


def recognise_fixed(operations: Operations) -> tuple[Any, float] | None:
    """Return the two-qubit rotation and its angle that a definition without parameters equals."""
    own = _matrix(2, operations)
    phases = np.angle(np.linalg.eigvals(own))
    # The eigenvalues of these gates lie θ/2 or θ apart; half a turn more makes a sign.
    gaps = {round(abs(left - right), 12): abs(left - right) for left in phases for right in phases}
    sizes = sorted(
        {
            gap * factor + turn
            for gap in gaps.values()
            for factor in (1, 2)
            for turn in (0, 2 * np.pi)
        }
    )
    for size in sizes:
        for angle in (float(size), -float(size)):
            for name in _FAMILIES:
                gate = STANDARD_GATES[name]
                if _equal(own, gate._to_matrix([angle])):
                    return gate, angle
    return None


@lru_cache(maxsize=64)
def _candidates(qubits: int, params: int) -> list[tuple[Any, list[NDArray[np.complex128]]]]:
    return [
        (gate, [gate._to_matrix(list(point[:params])) for point in _POINTS])
        for gate in STANDARD_GATES.values()
        if gate.num_qubits == qubits and gate.num_params == params
    ]


def _matrix(qubits: int, operations: Operations) -> NDArray[np.complex128]:
    """Return the unitary in Qiskit's order: qubit 0 is the lowest bit of an index."""
    size = 2**qubits
    # Axis ``qubits - 1 - q`` of the state is qubit q; the last axis numbers the columns.
    state = np.eye(size, dtype=complex).reshape((2,) * qubits + (size,))
    for gate, angles, at in operations:
        width = len(at)
        if width == 0:
            continue
        tensor = gate._to_matrix(list(angles)).reshape((2,) * (2 * width))
        axes = [qubits - 1 - q for q in reversed(at)]
        state = np.tensordot(tensor, state, axes=(range(width, 2 * width), axes))
        state = np.moveaxis(state, range(width), axes)
    return state.reshape(size, size)


def _equal(left: NDArray[np.complex128], right: NDArray[np.complex128]) -> bool:
    """Tell whether two unitaries are equal up to global phase."""
    overlap = np.vdot(left, right)
    return bool(abs(abs(overlap) - len(left)) < _TOLERANCE * len(left))
