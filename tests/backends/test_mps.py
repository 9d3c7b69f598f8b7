"""Matrix product states: right where exact, their loss stated, refused above the bound."""

from __future__ import annotations

import numpy as np
import pytest
from exact import check, distribution, memories, pub_of, run
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from quantainer.backends.backend import Limits, Options
from quantainer.backends.qsim import Qsim
from quantainer_client.errors import QuantainerError

ENGINES = ("aer", "panta", "qevedo")


def weakly_entangled(qubits: int, layers: int) -> QuantumCircuit:
    random = np.random.default_rng(3)
    circuit = QuantumCircuit(qubits, qubits)
    circuit.h(range(qubits))
    for layer in range(layers):
        for qubit in range(layer % 2, qubits - 1, 2):
            circuit.rzz(random.uniform(0.1, 0.3), qubit, qubit + 1)
        for qubit in range(qubits):
            circuit.rx(random.uniform(0, 3), qubit)
    circuit.measure(range(qubits), range(qubits))
    return circuit


def strongly_entangled(qubits: int, layers: int) -> QuantumCircuit:
    random = np.random.default_rng(3)
    circuit = QuantumCircuit(qubits, qubits)
    for layer in range(layers):
        for qubit in range(qubits):
            circuit.u(*random.uniform(0, 6, 3), qubit)
        for qubit in range(layer % 2, qubits - 1, 2):
            circuit.cx(qubit, qubit + 1)
    circuit.measure(range(qubits), range(qubits))
    return circuit


@pytest.mark.parametrize("engine", ENGINES)
def test_against_exact(engine: str, qsim: Qsim, limits: Limits) -> None:
    if engine not in qsim.engines:
        pytest.skip(f"{engine} is not installed")
    circuit = weakly_entangled(9, 6)
    options = Options(method="mps", engine=engine)
    result = run(qsim, circuit, limits, shots=20_000, options=options)
    check(memories(result, 9), distribution(circuit))
    assert result.metadata["truncation_error"] is not None
    assert result.metadata["truncation_error"] < 1e-9


@pytest.mark.parametrize("engine", [None, *ENGINES])
def test_neighbours_of_forty_qubits(engine: str | None, qsim: Qsim, limits: Limits) -> None:
    """The light cone of one bit after two layers is 4 qubits: its marginal is known exactly."""
    if engine is not None and engine not in qsim.engines:
        pytest.skip(f"{engine} is not installed")
    circuit = weakly_entangled(40, 2)
    options = Options(engine=engine, method=None if engine is None else "mps")
    result = run(qsim, circuit, limits, shots=4000, options=options)
    assert result.metadata["method"] == "mps"
    for bit in (0, 7, 20, 39):
        alone = circuit.copy()
        alone.data = [
            step
            for step in circuit.data
            if step.name != "measure" or circuit.find_bit(step.clbits[0]).index == bit
        ]
        exact = run(qsim, alone, limits, shots=4000)
        assert exact.metadata["method"] == "statevector"
        ones = sum(memory >> bit & 1 for memory in memories(result, 40))
        other = sum(memory >> bit & 1 for memory in memories(exact, 40))
        assert abs(ones - other) < 6 * np.sqrt(4000 / 2)


@pytest.mark.parametrize("engine", ENGINES)
def test_too_much_entanglement_is_refused(
    engine: str, qsim: Qsim, limits: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With room for a rank of 4 only: an engine measured returned garbage without a word."""
    if engine not in qsim.engines:
        pytest.skip(f"{engine} is not installed")
    from quantainer.backends.simulators import aer, panta, qevedo

    monkeypatch.setattr(aer, "MPS_BOND", 4)
    monkeypatch.setattr(panta, "_BOND", 4)
    monkeypatch.setattr(qevedo, "_BOND", 4)
    options = Options(method="mps", engine=engine)
    with pytest.raises(QuantainerError) as refused:
        run(Qsim(), strongly_entangled(12, 12), limits, shots=100, options=options)
    assert refused.value.code == "truncation"
    assert refused.value.limit == 1e-3
    assert refused.value.needed > 1e-3
    _expectation_is_refused_too(engine, limits)
    loose = Options(method="mps", engine=engine, truncation_max=1e9)
    result = run(Qsim(), strongly_entangled(12, 12), limits, shots=100, options=loose)
    loss = result.metadata["truncation_error"]
    assert loss > 1e-3
    # Nothing of one run is left in the next: one engine keeps its log for the whole process.
    again = run(Qsim(), strongly_entangled(12, 12), limits, shots=100, options=loose)
    assert again.metadata["truncation_error"] == pytest.approx(loss, rel=1e-6)
    small = run(Qsim(), weakly_entangled(3, 2), limits, shots=100, options=options)
    assert small.metadata["truncation_error"] < 1e-9


def _expectation_is_refused_too(engine: str, limits: Limits) -> None:
    pub = pub_of(
        strongly_entangled(12, 12),
        observables=(SparsePauliOp("Z" * 12),),
        pairs=((0, 0),),
    )
    options = Options(method="mps", engine=engine)
    backend = Qsim()
    with pytest.raises(QuantainerError) as refused:
        backend.run(pub, backend.plan(pub, options, limits), options, 1, 1)
    assert refused.value.code == ("unsupported_circuit" if engine == "qevedo" else "truncation")
