"""Self-test: known circuits an engine must get right before it is offered.

An engine is a package of others' making; one of those measured returned wrong counts without a
word. So each method is asked, on first use, what is known: a deterministic asymmetric circuit (bit
order), Bell, GHZ, the same bits for the same seed, and a small random circuit against its exact
distribution.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from quantainer.backends.simulators.gates import matrix_of
from quantainer.backends.simulators.program import Gate, Program, Readout
from quantainer.backends.simulators.simulator import Method, Precision, Simulator

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["distribution", "self_test"]

_SHOTS = 4096
# A sound engine fails a test of total variation with probability 1e-9: McDiarmid's inequality
# bounds the deviation above the mean, √(outcomes / shots) / 2, by √(ln(1e9) / (2 · shots)).
_SLACK = math.sqrt(math.log(1e9) / (2 * _SHOTS))


def self_test(engine: Simulator) -> str | None:
    """Return what an engine got wrong, or ``None``."""
    for method in sorted(engine.methods):
        for precision in sorted(engine.precisions):
            fault = _fault(engine, method, precision)
            if fault is not None:
                return f"{method}, {precision}: {fault}"
    return None


def _fault(engine: Simulator, method: Method, precision: Precision) -> str | None:
    for name, program in _known(method).items():
        if engine.refuses(program, method) is not None:
            continue
        prepared = engine.prepare(program, method, precision)
        packed = prepared.sample(_SHOTS, 1, 1).packed
        expected = distribution(program)
        seen = np.bincount(packed[:, 0], minlength=len(expected)) / _SHOTS
        outcomes = int(np.count_nonzero(expected > 1e-12))
        bound = math.sqrt(outcomes / _SHOTS) / 2 + _SLACK if outcomes > 1 else 0.0
        distance = float(np.abs(seen - expected).sum() / 2)
        if distance > bound + 1e-9:
            return f"the {name} circuit is off by {distance:.3f} in total variation"
        if not np.array_equal(packed, prepared.sample(_SHOTS, 1, 1).packed):
            return f"the {name} circuit gave other bits for the same seed"
    return None


def _known(method: Method) -> dict[str, Program]:
    bell = [Gate("h", (0,)), Gate("cx", (0, 1))]
    known = {
        "asymmetric": _program(3, [Gate("x", (1,)), Gate("cx", (1, 2))], {0: 2, 1: 0, 4: 1}, 5),
        "Bell": _program(2, bell, {0: 0, 1: 1}, 2),
        "GHZ": _program(
            4, [*bell, Gate("cx", (1, 2)), Gate("cx", (2, 3))], {q: 3 - q for q in range(4)}, 4
        ),
    }
    if method == "stabilizer":
        return known
    known["random"] = _program(4, _random_gates(4), {q: q for q in range(4)}, 4)
    return known


def _random_gates(qubits: int) -> list[Gate]:
    random = np.random.Generator(np.random.Philox(7))
    gates: list[Gate] = []
    for layer in range(3):
        gates += [Gate("u", (q,), tuple(random.uniform(0, 6, 3))) for q in range(qubits)]
        gates += [Gate("cz", (q, q + 1)) for q in range(layer % 2, qubits - 1, 2)]
        gates += [Gate("t", (q,)) for q in range(qubits)]
        gates += [Gate("cx", (qubits - 1, 0)), Gate("ry", (1,), (0.3,)), Gate("sdg", (2,))]
    # As a matrix, and one that is not symmetric.
    gates.append(Gate("unitary", (2, 0), (), matrix_of(Gate("cy", (2, 0)))))
    return gates


def _program(qubits: int, gates: list[Gate], source: dict[int, int], clbits: int) -> Program:
    from qiskit import QuantumCircuit

    return Program(
        qubits=qubits,
        origin=tuple(range(qubits)),
        clbits=clbits,
        body=tuple(gates),
        readout=Readout.of(clbits, source),
        written=frozenset(source),
        source=QuantumCircuit(qubits, clbits),
    )


def distribution(program: Program) -> NDArray[np.float64]:
    """Return the exact probabilities of the classical memory, by plain matrix products.

    ``float64[2**clbits]``; for a handful of qubits only.
    """
    n = program.qubits
    state = np.zeros((2,) * n, dtype=np.complex128)
    state[(0,) * n] = 1.0
    for gate in program.gates:
        k = len(gate.qubits)
        # Axis of qubit q is n − 1 − q; the matrix index has its first qubit lowest.
        axes = [n - 1 - q for q in reversed(gate.qubits)]
        tensor = matrix_of(gate).reshape((2,) * (2 * k))
        state = np.tensordot(tensor, state, axes=(list(range(k, 2 * k)), axes))
        state = np.moveaxis(state, list(range(k)), axes)
    weights = np.abs(state.reshape(-1)) ** 2
    readout = program.readout
    assert readout is not None
    memory = np.zeros(2**n, dtype=np.int64)
    states = np.arange(2**n)
    for clbit, place in readout.columns:
        memory |= ((states >> readout.qubits[place]) & 1) << clbit
    total = np.zeros(2**program.clbits)
    np.add.at(total, memory, weights)
    return total
