"""The choice of method, engine and precision: pure, explained, honoured or refused."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from exact import pub_of, run
from qiskit import QuantumCircuit

from quantainer.backends.backend import Limits, Options, Plan
from quantainer.backends.qsim import Qsim
from quantainer_client.errors import QuantainerError

YOUNG = {"panta", "prism", "qevedo"}


def ghz(qubits: int) -> QuantumCircuit:
    circuit = QuantumCircuit(qubits, qubits)
    circuit.h(0)
    for qubit in range(qubits - 1):
        circuit.cx(qubit, qubit + 1)
    circuit.measure(range(qubits), range(qubits))
    return circuit


def dense(qubits: int, layers: int = 20, angle: float | None = None) -> QuantumCircuit:
    random = np.random.default_rng(7)
    circuit = QuantumCircuit(qubits, qubits)
    for layer in range(layers):
        for qubit in range(qubits):
            circuit.u(*random.uniform(0, 6, 3), qubit)
        for qubit in range(layer % 2, qubits - 1, 2):
            if angle is None:
                circuit.cz(qubit, qubit + 1)
            else:
                circuit.rzz(angle, qubit, qubit + 1)
    circuit.measure(range(qubits), range(qubits))
    return circuit


def with_t(circuit: QuantumCircuit, gates: int) -> QuantumCircuit:
    made = QuantumCircuit(circuit.num_qubits, circuit.num_clbits)
    made.h(range(circuit.num_qubits))
    for gate in range(gates):
        made.t(gate % circuit.num_qubits)
        made.h(gate % circuit.num_qubits)
    for qubit in range(circuit.num_qubits - 1):  # entangled over far cuts
        made.cx(qubit, qubit + 1)
    for distance in range(2, 12):
        for qubit in range(circuit.num_qubits - distance):
            made.cz(qubit, qubit + distance)
    made.measure(range(circuit.num_qubits), range(circuit.num_clbits))
    return made


def plan(qsim: Qsim, circuit: QuantumCircuit, limits: Limits, **options: Any) -> Plan:
    return qsim.plan(pub_of(circuit, shots=1000), Options(**options), limits)


@pytest.mark.parametrize("qubits", [2, 50, 1000])
def test_clifford_circuits_of_any_width_are_stabilizers(
    qubits: int, qsim: Qsim, limits: Limits
) -> None:
    chosen = plan(qsim, ghz(qubits), limits)
    assert chosen.method == "stabilizer"
    assert chosen.engine in ("stim", "prism")
    assert "Clifford" in chosen.reason


@pytest.mark.parametrize("qubits", [2, 20, 64, 1000])
@pytest.mark.parametrize("shots", [20_000, 800_000, 10_000_000])
def test_many_shots_of_a_clifford_circuit_are_never_measured_one_by_one(
    qubits: int, shots: int, qsim: Qsim, limits: Limits
) -> None:
    """Aer takes 50 µs for each shot of 64 qubits; the others some nanoseconds."""
    ample = Limits(1 << 50, limits.threads)
    chosen = qsim.plan(pub_of(ghz(qubits), shots=shots), Options(), ample)
    assert chosen.engine in ("stim", "prism")


@pytest.mark.parametrize("qubits", [1000, 5000])
def test_too_many_shots_are_named_as_what_they_are(qubits: int, qsim: Qsim, limits: Limits) -> None:
    """And the number that the refusal offers is the largest that is accepted, but for a little."""
    with pytest.raises(QuantainerError) as refused:
        qsim.plan(pub_of(ghz(qubits), shots=10_000_000), Options(), limits)
    assert refused.value.code == "out_of_memory"
    assert f"10000000 shots of {qubits} classical bits" in refused.value.message
    assert "mps" not in refused.value.message
    assert refused.value.limit == limits.memory_bytes < refused.value.needed
    fit = int(str(refused.value.hint).split()[2])
    assert qsim.plan(pub_of(ghz(qubits), shots=fit), Options(), limits).method == "stabilizer"
    with pytest.raises(QuantainerError):
        qsim.plan(pub_of(ghz(qubits), shots=fit * 21 // 20), Options(), limits)


def test_a_state_that_does_not_fit_is_named_whatever_the_shots(qsim: Qsim, limits: Limits) -> None:
    with pytest.raises(QuantainerError) as refused:
        plan(qsim, dense(40), limits, method="statevector")
    assert refused.value.code == "out_of_memory"
    assert "statevector" in refused.value.message
    assert "40 active qubits" in refused.value.message


@pytest.mark.parametrize("qubits", [4, 10, 16])
def test_small_dense_circuits_run_on_panta(qubits: int, qsim: Qsim, limits: Limits) -> None:
    if not qsim.engines >= YOUNG:
        pytest.skip("the young engines are not installed")
    assert plan(qsim, dense(qubits), limits).engine == "panta"
    assert plan(qsim, dense(qubits), limits).method == "statevector"


@pytest.mark.parametrize("qubits", [20, 22, 24])
def test_large_dense_circuits_run_in_single_precision(
    qubits: int, qsim: Qsim, limits: Limits
) -> None:
    chosen = plan(qsim, dense(qubits), limits)
    assert chosen.engine in ("qsimcirq", "qevedo", "panta")
    assert chosen.precision == "single"
    assert "1e-6" in chosen.reason


def test_few_t_gates_on_many_qubits(qsim: Qsim, limits: Limits) -> None:
    if not YOUNG & qsim.engines:
        pytest.skip("no engine for near-Clifford circuits is installed")
    chosen = plan(qsim, with_t(ghz(40), 10), limits)
    assert (chosen.engine, chosen.method) == ("prism", "near_clifford")
    assert "10 gates" in chosen.reason


def test_wide_and_weakly_entangled(qsim: Qsim, limits: Limits) -> None:
    chosen = plan(qsim, dense(60, layers=8, angle=0.2), limits)
    assert chosen.method == "mps"
    if qsim.engines >= YOUNG:  # measured fastest, and it finds a better order of the qubits
        assert chosen.engine == "qevedo"


def test_precision_is_honoured(qsim: Qsim, limits: Limits) -> None:
    assert plan(qsim, dense(20), limits, precision="double").precision == "double"
    assert plan(qsim, dense(10), limits, precision="single").precision == "single"


@pytest.mark.parametrize(
    ("engine", "method"),
    [("aer", "statevector"), ("aer", "mps"), ("stim", "stabilizer"), ("aer", "density_matrix")],
)
def test_what_is_asked_for_is_used(engine: str, method: str, qsim: Qsim, limits: Limits) -> None:
    options = Options(engine=engine, method=method)
    result = run(qsim, ghz(4), limits, options=options)
    assert (result.metadata["engine"], result.metadata["method"]) == (engine, method)
    assert f"method {method} was asked for" in result.metadata["reason"].lower()


@pytest.mark.report(7)
@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ({"method": "magic"}, "invalid_option", "method 'magic'"),
        ({"engine": "qrack"}, "invalid_option", "engine 'qrack'"),
        ({"engine": "aer_gpu"}, "invalid_option", "engine 'aer_gpu'"),
        ({"method": "statevector_gpu"}, "invalid_option", "method 'statevector_gpu'"),
        ({"engine": "gpu"}, "invalid_option", "engine 'gpu'"),
        ({"precision": "half"}, "invalid_option", "precision 'half'"),
        ({"engine": "stim"}, "unsupported_circuit", "Clifford group"),
        ({"engine": "stim", "method": "mps"}, "unsupported_circuit", "engine=stim"),
        ({"engine": "qsimcirq", "precision": "double"}, "unsupported_circuit", "precision=double"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(
    options: dict[str, str], code: str, words: str, qsim: Qsim, limits: Limits
) -> None:
    """An accelerator that is not there is refused under any spelling (report 7)."""
    with pytest.raises(QuantainerError) as refused:
        plan(qsim, dense(5), limits, **options)
    assert refused.value.code == code
    assert words in refused.value.message
    assert refused.value.hint


@pytest.mark.report(1)
def test_every_result_says_how_it_was_made(qsim: Qsim, limits: Limits) -> None:
    metadata = run(qsim, ghz(3), limits, seed=5, threads=1).metadata
    assert metadata["seed"] == 5
    assert metadata["threads"] == 1
    assert metadata["bit_order"] == "qiskit"
    assert metadata["truncation_error"] is None
    assert metadata["engine_version"][0].isdigit()
    assert metadata["notes"] == []


def test_no_engine_is_left_to_choose_by_itself(
    qsim: Qsim, limits: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engines' own automatic modes are mined: a run that touched one would fail."""
    seen: list[str] = []
    _mine(monkeypatch, seen)
    circuits = [ghz(5), dense(5), with_t(ghz(5), 3)]
    ways = [
        ("panta", ("statevector", "mps", "trajectories")),
        ("qevedo", ("statevector", "mps", "near_clifford")),
        ("prism", ("stabilizer", "near_clifford", "statevector")),
        ("aer", ("statevector", "mps", "density_matrix", "trajectories")),
    ]
    for engine, methods in ways:
        for method in methods if engine in qsim.engines else ():
            for circuit in circuits:
                options = Options(engine=engine, method=method)
                try:
                    run(qsim, circuit, limits, shots=10, options=options)
                except QuantainerError as refused:
                    if refused.code != "unsupported_circuit":
                        raise
    assert seen
    assert not {"auto", "automatic", None} & set(seen)


def _mine(monkeypatch: pytest.MonkeyPatch, seen: list[str]) -> None:
    if "panta_sim.qsim_python" in sys.modules:
        _spy(monkeypatch, sys.modules["panta_sim.qsim_python"], "run", seen, lambda a, _: a[4])
    if "qevedo.simulator" in sys.modules:
        module = sys.modules["qevedo.simulator"]
        _spy(monkeypatch, module, "run", seen, lambda _, k: k["backend"])
    import qiskit_aer

    _spy(monkeypatch, qiskit_aer, "AerSimulator", seen, lambda _, k: k.get("method"))
    prism = sys.modules.get("prism_q")
    if prism is not None:
        kinds = prism.BackendKind

        class Kinds:
            stabilizer_rank = staticmethod(kinds.stabilizer_rank)
            statevector = staticmethod(kinds.statevector)

        monkeypatch.setattr(prism, "BackendKind", Kinds)


def _spy(
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    name: str,
    seen: list[str],
    read: Callable[[Any, Any], Any],
) -> None:
    real = getattr(module, name)

    def spy(*arguments: Any, **keywords: Any) -> Any:
        seen.append(read(arguments, keywords))
        return real(*arguments, **keywords)

    monkeypatch.setattr(module, name, spy)
