"""Matrices of gates, in Qiskit's order: the first qubit is the lowest bit of the index."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from quantainer.backends.simulators.program import Gate
from quantainer_client.errors import QuantainerError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["matrices", "matrix_of", "within"]


@lru_cache(maxsize=1)
def _standard() -> dict[str, Any]:
    from qiskit.circuit.library import get_standard_gate_name_mapping

    return {name: type(gate) for name, gate in get_standard_gate_name_mapping().items()}


@lru_cache(maxsize=4096)
def _fixed(name: str, params: tuple[float, ...]) -> NDArray[np.complex128]:
    known = _standard().get(name)
    if known is None:
        raise QuantainerError("unsupported_circuit", f"No simulator knows the gate {name!r}.")
    made = np.asarray(known(*params).to_matrix(), dtype=np.complex128)
    made.setflags(write=False)
    return made


def matrix_of(gate: Gate) -> NDArray[np.complex128]:
    """Return the matrix of one gate without free parameters."""
    if gate.matrix is not None:
        return gate.matrix
    rule = _VECTORISED.get(gate.name)
    if rule is None:
        return _fixed(gate.name, tuple(float(value) for value in gate.params))
    made: NDArray[np.complex128] = rule(np.array(gate.params, dtype=np.float64)[None, :])[0]
    return made


def matrices(gates: Sequence[Gate]) -> list[NDArray[np.complex128]]:
    """Return the matrices of many gates; the frequent rotations are computed together."""
    found: list[Any] = [None] * len(gates)
    groups: dict[str, list[int]] = {}
    for index, gate in enumerate(gates):
        if gate.name in _VECTORISED and gate.matrix is None:
            groups.setdefault(gate.name, []).append(index)
        else:
            found[index] = matrix_of(gate)
    for name, members in groups.items():
        params = np.array([gates[index].params for index in members], dtype=np.float64)
        for index, matrix in zip(members, _VECTORISED[name](params), strict=True):
            found[index] = matrix
    return found


def _single(a: Any, b: Any, c: Any, d: Any) -> NDArray[np.complex128]:
    """Stack [[a, b], [c, d]]."""
    a, b, c, d = np.broadcast_arrays(a, b, c, d)
    return np.stack([np.stack([a, b], -1), np.stack([c, d], -1)], -2).astype(np.complex128)


def _u(p: NDArray[np.float64]) -> NDArray[np.complex128]:
    theta, phi, lam = p.T
    cos, sin = np.cos(theta / 2), np.sin(theta / 2)
    return _single(
        cos, -np.exp(1j * lam) * sin, np.exp(1j * phi) * sin, np.exp(1j * (phi + lam)) * cos
    )


def _u2(p: NDArray[np.float64]) -> NDArray[np.complex128]:
    return _u(np.column_stack([np.full(len(p), np.pi / 2), p]))


def _phase(p: NDArray[np.float64]) -> NDArray[np.complex128]:
    return _single(1.0, 0.0, 0.0, np.exp(1j * p[:, 0]))


def _rx(p: NDArray[np.float64]) -> NDArray[np.complex128]:
    cos, sin = np.cos(p[:, 0] / 2), np.sin(p[:, 0] / 2)
    return _single(cos, -1j * sin, -1j * sin, cos)


def _ry(p: NDArray[np.float64]) -> NDArray[np.complex128]:
    cos, sin = np.cos(p[:, 0] / 2), np.sin(p[:, 0] / 2)
    return _single(cos, -sin, sin, cos)


def _rz(p: NDArray[np.float64]) -> NDArray[np.complex128]:
    half = np.exp(0.5j * p[:, 0])
    return _single(half.conj(), 0.0, 0.0, half)


def _rzz(p: NDArray[np.float64]) -> NDArray[np.complex128]:
    half = np.exp(0.5j * p[:, 0])
    made = np.zeros((len(p), 4, 4), dtype=np.complex128)
    made[:, 0, 0] = made[:, 3, 3] = half.conj()
    made[:, 1, 1] = made[:, 2, 2] = half
    return made


def _cp(p: NDArray[np.float64]) -> NDArray[np.complex128]:
    made = np.zeros((len(p), 4, 4), dtype=np.complex128)
    made[:, 0, 0] = made[:, 1, 1] = made[:, 2, 2] = 1.0
    made[:, 3, 3] = np.exp(1j * p[:, 0])
    return made


_VECTORISED: dict[str, Callable[[NDArray[np.float64]], NDArray[np.complex128]]] = {
    "u": _u,
    "u3": _u,
    "u2": _u2,
    "u1": _phase,
    "p": _phase,
    "rx": _rx,
    "ry": _ry,
    "rz": _rz,
    "rzz": _rzz,
    "cp": _cp,
}


def within(gates: Iterable[Gate], names: Container[str], matrix_qubits: int) -> Iterator[Gate]:
    """Yield the same unitary, up to a phase, in an engine's own words.

    Args:
        names: Gates the engine knows by name.
        matrix_qubits: Widest matrix it takes. A gate that is neither named nor as narrow as that is
            opened, again and again.

    Raises:
        QuantainerError: ``unsupported_circuit`` if a gate is at the bottom and still not known.
    """
    for gate in gates:
        known = gate.matrix is None and gate.name in names
        if known or len(gate.qubits) <= matrix_qubits:
            yield gate
        elif len(gate.qubits) == 1:
            yield from _rotations(gate, names)
        else:
            for inner in _parts(gate):
                moved = inner._replace(qubits=tuple(gate.qubits[q] for q in inner.qubits))
                yield from within((moved,), names, matrix_qubits)


def _rotations(gate: Gate, names: Container[str]) -> Iterator[Gate]:
    """Yield a gate on one qubit as ``u``, or as rotations about z, y and z."""
    ((a, b), (c, d)) = matrix_of(gate)
    theta = 2 * float(np.arctan2(abs(c), abs(a)))
    if abs(a) < 1e-9:
        phi, lam = float(np.angle(-c * b.conj())), 0.0
    elif abs(c) < 1e-9:
        phi, lam = float(np.angle(d * a.conj())), 0.0
    else:
        phi, lam = float(np.angle(c * a.conj())), float(np.angle(-b * a.conj()))
    if "u" in names:
        yield Gate("u", gate.qubits, (theta, phi, lam))
        return
    if "rz" not in names or "ry" not in names:
        raise QuantainerError(
            "unsupported_circuit", f"The engine does not know the gate {gate.name!r}."
        )
    for name, angle in (("rz", lam), ("ry", theta), ("rz", phi)):
        if abs(angle) > 1e-12:
            yield Gate(name, gate.qubits, (angle,))


def _parts(gate: Gate) -> tuple[Gate, ...]:
    """Return a gate on several qubits as smaller gates on its own qubits 0, 1, …"""
    if gate.matrix is not None:
        return _definition(_unitary(gate.matrix))
    return _standard_parts(gate.name, tuple(float(value) for value in gate.params))


@lru_cache(maxsize=1024)
def _standard_parts(name: str, params: tuple[float, ...]) -> tuple[Gate, ...]:
    known = _standard().get(name)
    if known is None or name == "cx":
        raise QuantainerError("unsupported_circuit", f"The engine does not know the gate {name!r}.")
    return _definition(known(*params))


def _unitary(matrix: NDArray[np.complex128]) -> Any:
    from qiskit.circuit.library import UnitaryGate

    return UnitaryGate(matrix)


def _definition(operation: Any) -> tuple[Gate, ...]:
    definition = operation.definition
    if definition is None:
        raise QuantainerError(
            "unsupported_circuit", f"The engine does not know the gate {operation.name!r}."
        )
    place = {qubit: index for index, qubit in enumerate(definition.qubits)}
    parts = []
    for instruction in definition.data:
        qubits = tuple(place[qubit] for qubit in instruction.qubits)
        if instruction.is_standard_gate():
            parts.append(Gate(instruction.name, qubits, tuple(map(float, instruction.params))))
        else:
            matrix = np.asarray(instruction.operation.to_matrix(), dtype=np.complex128)
            parts.append(Gate("unitary", qubits, (), matrix))
    return tuple(parts)
