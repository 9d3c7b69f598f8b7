"""Exact answers by brute force, and the statistics that compare shots with them.

Written apart from the code under test: plain tensors, one classical history at a time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Clbit
from qiskit.circuit.classical import expr
from scipy.stats import chi2

from quantainer.backends.backend import Limits, Options, Pub, PubResult
from quantainer.circuits import Circuit, measure

__all__ = ["ALARM", "check", "distribution", "memories", "pub_of", "run"]

ALARM = 1e-9
"""Chance that one comparison of a right engine fails; thousands are made in a run of the tests."""


_KEPT: list[QuantumCircuit] = []


def pub_of(circuit: QuantumCircuit, **fields: Any) -> Pub:
    read = Circuit(circuit, "qpy", circuit.name)
    _KEPT.append(circuit)  # so that its id stays its own
    return Pub(circuit=read, facts=measure(read), digest=f"{id(circuit)}", **fields)


def run(
    backend: Any,
    circuit: QuantumCircuit,
    limits: Limits,
    *,
    shots: int = 2000,
    seed: int = 1,
    threads: int = 2,
    options: Options | None = None,
    **fields: Any,
) -> PubResult:
    options = options or Options()
    pub = pub_of(circuit, shots=shots, **fields)
    return backend.run(pub, backend.plan(pub, options, limits), options, seed, threads)


def memories(result: PubResult, clbits: int, row: int = 0) -> list[int]:
    """Return each shot's classical memory: bit ``i`` = classical bit ``i``."""
    assert result.samples is not None
    assert result.samples.shape[2] == (clbits + 7) // 8
    return [int.from_bytes(shot.tobytes(), "little") for shot in result.samples[row]]


def distribution(circuit: QuantumCircuit) -> dict[int, float]:
    """Return the probability of each classical memory; ``if`` on bits, registers, logic of bits."""
    found: dict[int, float] = {}
    state = np.zeros((2,) * circuit.num_qubits, dtype=complex)
    state[(0,) * circuit.num_qubits] = 1
    _follow(list(circuit.data), circuit, state, 0, found)
    return {memory: weight for memory, weight in found.items() if weight > 1e-12}


def _follow(
    todo: list[Any],
    circuit: QuantumCircuit,
    state: NDArray[np.complex128],
    memory: int,
    found: dict[int, float],
) -> None:
    n = circuit.num_qubits
    for position, step in enumerate(todo):
        qubits = [circuit.find_bit(q).index for q in step.qubits]
        if step.name == "barrier":
            continue
        if step.name in ("measure", "reset"):
            for value in (0, 1):
                branch = _projected(state, qubits[0], value)
                if np.vdot(branch, branch).real < 1e-14:
                    continue
                after = memory
                if step.name == "measure":
                    bit = circuit.find_bit(step.clbits[0]).index
                    after = (memory & ~(1 << bit)) | (value << bit)
                elif value:
                    branch = np.flip(branch, axis=n - 1 - qubits[0])
                _follow(todo[position + 1 :], circuit, branch, after, found)
            return
        if step.name == "if_else":
            if _holds(step.operation.condition, circuit, memory):
                body = step.operation.blocks[0]
            elif len(step.operation.blocks) > 1:
                body = step.operation.blocks[1]
            else:
                continue
            inner = [
                instruction.replace(
                    qubits=[step.qubits[body.find_bit(q).index] for q in instruction.qubits],
                    clbits=[step.clbits[body.find_bit(c).index] for c in instruction.clbits],
                )
                for instruction in body.data
            ]
            _follow(inner + todo[position + 1 :], circuit, state, memory, found)
            return
        k = len(qubits)
        matrix = np.asarray(step.operation.to_matrix()).reshape((2,) * (2 * k))
        axes = [n - 1 - q for q in reversed(qubits)]
        state = np.moveaxis(
            np.tensordot(matrix, state, axes=(list(range(k, 2 * k)), axes)), range(k), axes
        )
    found[memory] = found.get(memory, 0.0) + float(np.vdot(state, state).real)


def _projected(state: NDArray[np.complex128], qubit: int, value: int) -> NDArray[np.complex128]:
    kept = np.zeros_like(state)
    index = [slice(None)] * state.ndim
    index[state.ndim - 1 - qubit] = value  # type: ignore[call-overload]
    kept[tuple(index)] = state[tuple(index)]
    return kept


def _holds(condition: Any, circuit: QuantumCircuit, memory: int) -> bool:
    if isinstance(condition, expr.Expr):
        return bool(_value(condition, circuit, memory))
    target, value = condition
    bits = [target] if isinstance(target, Clbit) else list(target)
    seen = sum(((memory >> circuit.find_bit(b).index) & 1) << i for i, b in enumerate(bits))
    return seen == int(value)


def check(shots: list[int], expected: dict[int, float], alarm: float = ALARM) -> None:
    """Fail if the shots are not from the distribution: a chi-square test with chance ``alarm``."""
    total = len(shots)
    seen: dict[int, int] = {}
    for shot in shots:
        seen[shot] = seen.get(shot, 0) + 1
    impossible = set(seen) - set(expected)
    assert not impossible, f"outcomes of probability 0 were seen: {sorted(impossible)[:4]}"
    statistic, cells, rest_seen, rest_wanted = 0.0, 0, 0.0, 0.0
    for memory, probability in expected.items():
        wanted, got = probability * total, seen.get(memory, 0)
        if wanted < 5:  # too rare for the approximation: pooled
            rest_wanted, rest_seen = rest_wanted + wanted, rest_seen + got
            continue
        statistic += (got - wanted) ** 2 / wanted
        cells += 1
    if rest_wanted >= 5:
        statistic += (rest_seen - rest_wanted) ** 2 / rest_wanted
        cells += 1
    if cells < 2:
        return
    chance = float(chi2.sf(statistic, cells - 1))
    assert chance > alarm, f"chi² {statistic:.1f} over {cells} cells: chance {chance:.2e}"


def _value(node: expr.Expr, circuit: QuantumCircuit, memory: int) -> int:
    if isinstance(node, expr.Value):
        return int(node.value)
    if isinstance(node, expr.Var):
        return memory >> circuit.find_bit(node.var).index & 1
    if isinstance(node, expr.Unary):
        return 1 - _value(node.operand, circuit, memory)
    left, right = (_value(part, circuit, memory) for part in (node.left, node.right))
    return {"LOGIC_AND": left & right, "LOGIC_OR": left | right}[node.op.name]
