"""Matrix product states: right where exact, their loss stated, refused above the bound."""

from __future__ import annotations

import numpy as np
import pytest
from exact import check, distribution, memories, pub_of, run
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from quantainer.backends import probe
from quantainer.backends.backend import Limits, Options
from quantainer.backends.qsim import Qsim
from quantainer.backends.simulators import entanglement
from quantainer.circuits import Circuit, measure
from quantainer_client.errors import QuantainerError

ENGINES = ("aer", "panta", "qevedo")
AMPLE = Limits(64 << 30, 2)


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
    monkeypatch.setattr(entanglement, "BOND", 4)
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


def _refused_before_its_run(
    circuit: QuantumCircuit, engine: str, qsim: Qsim, monkeypatch: pytest.MonkeyPatch
) -> QuantainerError:
    """Return the refusal of a circuit for which only small bonds were tried."""
    if engine not in qsim.engines:
        pytest.skip(f"{engine} is not installed")
    bonds = _spied_bonds(monkeypatch, qsim, engine)
    options = Options(method="mps", engine=engine)
    with pytest.raises(QuantainerError) as refused:
        run(qsim, circuit, AMPLE, shots=1000, options=options)
    assert refused.value.code == "truncation"
    assert refused.value.needed > 0.5
    assert bonds
    assert max(bonds) <= 64
    return refused.value


@pytest.mark.parametrize(("qubits", "layers"), [(34, 60), (800, 60)])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_hopeless_circuit_is_refused_before_its_run(
    engine: str,
    qubits: int,
    layers: int,
    qsim: Qsim,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Random layers: minutes or hours at the full bond, so the run must not begin."""
    circuit = strongly_entangled(qubits, layers)
    refused = _refused_before_its_run(circuit, engine, qsim, monkeypatch)
    assert refused.limit == 1e-3
    assert refused.hint


def far_pairs(qubits: int, layers: int) -> QuantumCircuit:
    """Return layers of turns and of CX on random pairs: no two neighbours share many gates."""
    random = np.random.default_rng(5)
    circuit = QuantumCircuit(qubits, qubits)
    for _ in range(layers):
        for qubit in range(qubits):
            circuit.u(*random.uniform(0, 6, 3), qubit)
        for left, right in random.permutation(qubits).reshape(-1, 2).tolist():
            circuit.cx(left, right)
    circuit.measure(range(qubits), range(qubits))
    return circuit


@pytest.mark.parametrize(("qubits", "layers"), [(60, 10), (2000, 6)])
@pytest.mark.parametrize("engine", ENGINES)
def test_far_pairs_are_refused_before_their_run(
    engine: str,
    qubits: int,
    layers: int,
    qsim: Qsim,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No window of neighbours holds their gates: the run ended in a failed allocation."""
    refused = _refused_before_its_run(far_pairs(qubits, layers), engine, qsim, monkeypatch)
    assert refused.hint is not None
    assert f"if one of {qubits} qubits fits here" in refused.hint


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({}, "; and a state vector of its 60 qubits does not fit here."),
        ({"method": "mps"}, "its beginning alone loses nearly all of the weight."),
    ],
)
def test_whether_a_state_vector_fits_is_said_where_it_was_asked(
    chosen: dict[str, str], said: str, qsim: Qsim
) -> None:
    """Whoever chooses the method is not told what was not tried."""
    with pytest.raises(QuantainerError) as refused:
        run(qsim, far_pairs(60, 10), AMPLE, shots=10, options=Options(**chosen))
    assert refused.value.message.endswith(said)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_lost_early_is_refused_early(
    engine: str, qsim: Qsim, limits: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between good and hopeless: small bonds prove nothing, a quarter of the run proves enough."""
    if engine not in qsim.engines:
        pytest.skip(f"{engine} is not installed")
    monkeypatch.setattr(entanglement, "BOND", 64)
    monkeypatch.setattr(probe, "_SHORT_SECONDS", 0.01)
    monkeypatch.setattr(probe, "_NEXT_SECONDS", 0.0)
    bonds = _spied_bonds(monkeypatch, qsim, engine)
    options = Options(method="mps", engine=engine)
    with pytest.raises(QuantainerError) as refused:
        run(qsim, strongly_entangled(24, 30), limits, shots=1000, options=options)
    assert refused.value.code == "truncation"
    assert "its beginning alone loses" in refused.value.message
    assert refused.value.needed > refused.value.limit == 1e-3
    assert bonds == [64]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("t_gates", [30, 60])
def test_few_gates_beyond_clifford_are_refused_without_a_run(
    t_gates: int, engine: str, qsim: Qsim, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One engine died of the beginning, the others tried for seconds."""
    if engine not in qsim.engines:
        pytest.skip(f"{engine} is not installed")
    bonds = _spied_bonds(monkeypatch, qsim, engine)
    options = Options(method="mps", engine=engine)
    with pytest.raises(QuantainerError) as refused:
        run(qsim, nearly_clifford(200, 6, t_gates), AMPLE, shots=1000, options=options)
    assert refused.value.code == "truncation"
    assert "Clifford gates alone" in refused.value.message
    assert refused.value.limit == 1e-3
    assert refused.value.needed > 0.99
    assert not bonds


def nearly_clifford(qubits: int, layers: int, t_gates: int) -> QuantumCircuit:
    """Return Clifford layers on random pairs with T gates before the last but one."""
    random = np.random.default_rng(6)
    circuit = QuantumCircuit(qubits, qubits)
    for layer in range(layers):
        for qubit in range(qubits):
            getattr(circuit, ("h", "s", "sx")[random.integers(3)])(qubit)
        if layer == layers - 2:
            circuit.t(range(t_gates))
        for left, right in random.permutation(qubits).reshape(-1, 2).tolist():
            circuit.cx(left, right)
    circuit.measure(range(qubits), range(qubits))
    return circuit


@pytest.mark.parametrize("engine", ENGINES)
def test_what_would_run_too_long_is_not_begun(
    engine: str, qsim: Qsim, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exact by structure, and full of entanglement: what its beginning takes tells the rest."""
    if engine not in qsim.engines:
        pytest.skip(f"{engine} is not installed")
    monkeypatch.setattr(probe, "_FULL_SECONDS", 1.0)
    circuit = strongly_entangled(1000, 15)
    hasty = Limits(64 << 30, 2, seconds=1.0)
    options = Options(method="mps", engine=engine)
    pub = pub_of(circuit, shots=10)
    plan = qsim.plan(pub, options, hasty)
    assert plan.exact
    assert plan.seconds > 10
    with pytest.raises(QuantainerError) as refused:
        qsim.run(pub, plan, options, 1, 2)
    assert refused.value.code == "timeout"
    assert refused.value.limit == 1.0
    assert refused.value.needed > 2
    assert "job_timeout" in refused.value.hint


@pytest.mark.parametrize("engine", ENGINES)
def test_a_long_run_by_structure_that_is_short_is_begun(engine: str, qsim: Qsim) -> None:
    """The work counted is more than ten times what the node allows; the pace tells better."""
    if engine not in qsim.engines:
        pytest.skip(f"{engine} is not installed")
    brief = Limits(64 << 30, 2, seconds=8.0)
    options = Options(method="mps", engine=engine)
    pub = pub_of(weakly_entangled(40, 18), shots=10)
    result = qsim.run(pub, qsim.plan(pub, options, brief), options, 1, 2)
    assert result.metadata["truncation_error"] < 1e-3
    assert result.metadata["expected_seconds"] > 0


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("circuit", ["weak", "repeated"])
def test_a_bound_that_is_too_cautious_refuses_nothing(
    circuit: str, engine: str, qsim: Qsim, limits: Limits
) -> None:
    """Both may be more entangled than the engines hold, by structure alone; neither is.

    The second has a flat spectrum of rank 64: small bonds lose nearly all of it.
    """
    if engine not in qsim.engines:
        pytest.skip(f"{engine} is not installed")
    made = weakly_entangled(40, 18) if circuit == "weak" else _repeated(24, 6)
    assert measure(Circuit(made, "qpy", "")).bond_log2 > 8
    result = run(qsim, made, limits, shots=50, options=Options(method="mps", engine=engine))
    assert result.metadata["method"] == "mps"
    assert result.metadata["truncation_error"] < 1e-3


def _repeated(qubits: int, distance: int) -> QuantumCircuit:
    """Return pairs over a distance, each entangled by turns that add up to one."""
    circuit = QuantumCircuit(qubits, qubits)
    circuit.h(range(qubits))
    for _ in range(3):
        for qubit in range(qubits - distance):
            if qubit // distance % 2 == 0:
                circuit.rzz(np.pi / 6, qubit, qubit + distance)
    circuit.rx(0.3, range(qubits))
    circuit.measure(range(qubits), range(qubits))
    return circuit


def _spied_bonds(monkeypatch: pytest.MonkeyPatch, qsim: Qsim, engine: str) -> list[int]:
    """Return the list of bonds that the engine will be asked for."""
    bonds: list[int] = []
    adapter = type(qsim._catalogue.offered[engine])
    real = adapter.prepare

    def prepare(self: object, program: object, method: str, precision: str, bond: int = 256):
        bonds.append(bond)
        return real(self, program, method, precision, bond)

    monkeypatch.setattr(adapter, "prepare", prepare)
    return bonds
