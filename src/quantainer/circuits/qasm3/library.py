"""Library: the gates that a program knows without defining them.

``stdgates.inc`` is part of the language, not a file: each of its gates is Qiskit's gate of the same
unitary. Where OpenQASM's definition differs from Qiskit's by a phase, the phase is stated here,
since ``ctrl @`` turns it into a relation that can be measured. See the specification's "Standard
library".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["BRAKET", "BUILTIN", "STDGATES", "LibraryGate"]

Phase = Callable[..., Any]


class LibraryGate(NamedTuple):
    """A gate of a library.

    Attributes:
        gate: Name of Qiskit's standard gate.
        parameters: How many angles.
        qubits: How many qubits.
        phase: Global phase by which the gate exceeds Qiskit's, from the angles; ``None`` for 0.
    """

    gate: str
    parameters: int
    qubits: int
    phase: Phase | None = None


def _half_theta(theta: Any, *_: Any) -> Any:
    return theta / 2


def _minus_half(*angles: Any) -> Any:
    """Return the phase of the old ``u2`` and ``u3``, whose determinant is that of a rotation."""
    return -(angles[-2] + angles[-1]) / 2


def _names(words: str, parameters: int, qubits: int) -> dict[str, LibraryGate]:
    pairs = (word.partition("=") for word in words.split())
    return {name: LibraryGate(gate or name, parameters, qubits) for name, _, gate in pairs}


BUILTIN = {
    # U(θ, φ, λ) has the upper left element (1 + e^{iθ})/2 and not cos(θ/2).
    "U": LibraryGate("u", 3, 1, _half_theta),
}
"""Known in every program."""

STDGATES = {
    **_names("x y z h s sdg t tdg sx id", 0, 1),
    **_names("p phase=p rx ry rz u1", 1, 1),
    "u2": LibraryGate("u2", 2, 1, _minus_half),
    "u3": LibraryGate("u3", 3, 1, _minus_half),
    **_names("cx CX=cx cy cz ch swap", 0, 2),
    **_names("cp cphase=cp crx cry crz", 1, 2),
    "cu": LibraryGate("cu", 4, 2),
    **_names("ccx cswap", 0, 3),
}
"""``include "stdgates.inc";``"""

BRAKET = {
    **STDGATES,
    **_names("i=id si=sdg ti=tdg v=sx vi=sxdg", 0, 1),
    **_names("phaseshift=p", 1, 1),
    **_names("cnot=cx iswap ecr", 0, 2),
    **_names("cphaseshift=cp xx=rxx yy=ryy zz=rzz", 1, 2),
    **_names("ccnot=ccx", 0, 3),
}
"""The gates that Amazon Braket knows without an include, as far as Qiskit has them."""
