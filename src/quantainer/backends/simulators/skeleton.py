"""Skeleton: the Clifford circuit nearest to a circuit, and what it says of the entanglement.

Each gate is a sum of Paulis behind a Clifford gate. Paulis move through Clifford gates and stay
Paulis: so the state is a sum of stabilizer states that differ by Paulis alone, and all of them have
the entanglement of the skeleton's state, which Stim tells: over a cut, ``2^k`` Schmidt coefficients
that are alike. A state of rank ``r`` has with each of them an overlap of ``sqrt(r / 2^k)`` at most,
hence with their sum one of ``sqrt(r / 2^k)`` times the sum of the weights' absolute values. For
``t`` T gates that is a fidelity of ``r · 2^(0.772 t - k)`` at most: proven without a run.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from quantainer.backends.simulators.affine import eliminated
from quantainer.backends.simulators.chain import orders
from quantainer.backends.simulators.gates import matrix_of
from quantainer.backends.simulators.program import Gate, Program

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["least_lost_log2"]

_SINGLE = ("I", "H", "S", "SQRT_X", "C_XYZ", "C_ZYX")
_DOUBLE = ("I", "CX", "CY", "CZ", "XCZ", "YCZ", "SWAP", "ISWAP", "SQRT_XX", "SQRT_YY", "SQRT_ZZ")
"""Clifford gates up to Paulis: all on one qubit, the frequent ones on two."""
_WIDEST = 1024  # wider ones take seconds
_PARTS = 4
"""Cuts are tried at the multiples of that part of the line."""
_EVERY = 0.5
"""Gates on two qubits before the first look, for each qubit; each next one at twice as many."""


def least_lost_log2(program: Program, bond: int) -> float:
    """Return ``-log2`` of the fidelity that no matrix product state of a bond can be above.

    The least over the orders of the qubits that :mod:`.chain` knows, and the most over beginnings
    of the program: a state that was lost does not come back. 0 if nothing is proven.

    Args:
        program: Measured at its end, without free parameters.
    """
    if program.qubits > _WIDEST:
        return 0.0
    best, lines = 0.0, list[list[int]]()
    for skeleton, excess in _beginnings(program, bond):
        lines = lines or [list(range(program.qubits)), *orders(program)]
        found = min(_rank_log2(skeleton, line) for line in lines)
        best = max(best, found - math.log2(bond) - excess)
    return best


def _beginnings(program: Program, bond: int) -> Iterator[tuple[Any, float]]:
    """Yield skeletons of ever more gates, each with log2 of its weights' sum squared.

    None is yielded behind which nothing can be proven, for too many gates are not Clifford.
    """
    stim = import_module("stim")
    simulator = stim.TableauSimulator()
    simulator.set_num_qubits(program.qubits)
    circuit, excess, count = stim.Circuit(), 0.0, 0
    look = _EVERY * program.qubits
    for gate in program.gates:
        nearest = _nearest(gate)
        if nearest is None or excess + nearest[1] + math.log2(bond) >= program.qubits // 2:
            break
        circuit.append(nearest[0], gate.qubits)
        excess += nearest[1]
        count += len(gate.qubits) > 1
        if count >= look:
            simulator.do_circuit(circuit)
            circuit, look = stim.Circuit(), 2 * look
            yield simulator, excess
    if 2 * count > math.log2(bond) + excess:  # else no cut can have that rank
        simulator.do_circuit(circuit)
        yield simulator, excess


def _rank_log2(simulator: Any, line: Sequence[int]) -> int:
    """Return log2 of the largest Schmidt rank over a few cuts of a line of qubits."""
    tableau = simulator.current_inverse_tableau().inverse()
    _, _, xs, zs, _, _ = tableau.to_numpy()
    n, found = len(line), 0
    for part in range(1, _PARTS):
        cut = n * part // _PARTS
        columns = np.concatenate([xs[:, line[:cut]], zs[:, line[:cut]]], axis=1)
        rows = (int.from_bytes(row.tobytes(), "little") for row in np.packbits(columns, axis=1))
        found = max(found, len(eliminated(rows)) - cut)
    return found


def _nearest(gate: Gate) -> tuple[str, float] | None:
    """Return the nearest Clifford gate by Stim's name, and log2 of the weights' sum squared."""
    if len(gate.qubits) > 2:
        return None
    if gate.matrix is None:
        return _nearest_named(gate.name, tuple(map(float, gate.params)), len(gate.qubits))
    return _nearest_matrix(gate.matrix)


@lru_cache(maxsize=4096)
def _nearest_named(name: str, params: tuple[float, ...], qubits: int) -> tuple[str, float]:
    return _nearest_matrix(matrix_of(Gate(name, tuple(range(qubits)), params)))


def _nearest_matrix(matrix: NDArray[np.complex128]) -> tuple[str, float]:
    names, adjoints, paulis = _table(1 if len(matrix) == 2 else 2)
    # [name, pauli]: the trace of each Pauli with the gate behind the inverse of a Clifford gate
    weights = np.einsum("pij,jk,cki->cp", paulis, matrix, adjoints) / len(matrix)
    sums = np.abs(weights).sum(axis=1)
    best = int(np.argmin(sums))
    return names[best], max(0.0, 2 * math.log2(sums[best]))


@lru_cache(maxsize=2)
def _table(qubits: int) -> tuple[tuple[str, ...], NDArray[np.complex128], NDArray[np.complex128]]:
    """Return names of Clifford gates, their inverses, and all Paulis, in Qiskit's order."""
    stim = import_module("stim")
    names = _SINGLE if qubits == 1 else _DOUBLE

    def matrix(name: str) -> NDArray[np.complex128]:
        if qubits == 2 and name == "I":
            return np.eye(4, dtype=np.complex128)
        made = stim.Tableau.from_named_gate(name).to_unitary_matrix(endian="little")
        return np.asarray(made, dtype=np.complex128)

    adjoints = np.stack([matrix(name).conj().T for name in names])
    every = stim.PauliString.iter_all(qubits)
    paulis = np.stack(
        [np.asarray(one.to_unitary_matrix(endian="little"), np.complex128) for one in every]
    )
    return names, adjoints, paulis
