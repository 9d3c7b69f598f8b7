"""Expectation values: analytic ones exactly, sampled ones within their stated errors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from exact import pub_of
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp, Statevector

from quantainer.backends.backend import Limits, Options, Pub, PubResult
from quantainer.backends.emulators import provide
from quantainer.backends.qsim import Qsim
from quantainer_client.errors import QuantainerError

OBSERVABLES = (
    SparsePauliOp.from_list([("ZIZI", 1.0), ("XYXI", 0.5), ("IIII", -0.25)]),
    SparsePauliOp.from_list([("IIIZ", 1.0), ("YYYY", 2.0), ("XIIX", -1.5), ("ZZII", 0.1)]),
    SparsePauliOp("IIII"),
)


def ansatz() -> QuantumCircuit:
    a, b = Parameter("a"), Parameter("b")
    circuit = QuantumCircuit(4)
    circuit.ry(2 * a + b / 3 + 0.1, 0)
    circuit.cx(0, 2)
    circuit.rx(a * b, 1)
    circuit.rzz(a.sin(), 1, 2)
    circuit.cu(a, b, 0.1, 0.2, 2, 1)
    return circuit


ROWS = np.array([[0.1, 0.2], [0.7, -1.0], [2.0, 0.5]])  # columns in the order a, b
PAIRS = ((0, 0), (2, 1), (1, 0), (1, 1), (0, 2))


def exact_values() -> list[float]:
    circuit = ansatz()
    return [
        Statevector(circuit.assign_parameters(ROWS[row])).expectation_value(OBSERVABLES[index]).real
        for row, index in PAIRS
    ]


def estimate(qsim: Qsim, limits: Limits, precision: float, options: Options) -> PubResult:
    shots = None if precision == 0 else int(np.ceil(1 / precision**2))
    pub = pub_of(
        ansatz(),
        parameters=ROWS,
        observables=OBSERVABLES,
        pairs=PAIRS,
        precision=precision,
        shots=shots,
    )
    return qsim.run(pub, qsim.plan(pub, options, limits), options, 3, 2)


@pytest.mark.parametrize(
    ("engine", "method"),
    [
        (None, None),
        ("aer", "statevector"),
        ("aer", "mps"),
        ("panta", "statevector"),
        ("panta", "mps"),
        ("lightning", "statevector"),
        ("prism", "statevector"),
    ],
)
def test_analytic(engine: str | None, method: str | None, qsim: Qsim, limits: Limits) -> None:
    if engine is not None and engine not in qsim.engines:
        pytest.skip(f"{engine} is not installed")
    result = estimate(qsim, limits, 0.0, Options(engine=engine, method=method))
    assert result.evs is not None
    assert np.allclose(result.evs, exact_values(), atol=1e-10)
    assert np.array_equal(result.stds, np.zeros(len(PAIRS)))
    assert result.metadata["precision"] == "double"


def test_sampled_within_their_errors(qsim: Qsim, limits: Limits) -> None:
    result = estimate(qsim, limits, 0.01, Options())
    assert result.evs is not None
    assert result.stds is not None
    distance = np.abs(result.evs - exact_values())
    assert np.all(distance <= 5.5 * result.stds + 1e-12)
    assert result.stds[-1] == 0.0  # a constant has no error
    assert np.all(result.stds < 0.05)


def test_a_clifford_circuit_of_two_hundred_qubits(qsim: Qsim, limits: Limits) -> None:
    circuit = QuantumCircuit(200, 200)
    circuit.h(0)
    for qubit in range(199):
        circuit.cx(qubit, qubit + 1)
    circuit.measure(range(200), range(200))  # measurements at the end are looked past
    labels = ["X" * 200, "Z" * 200, "I" * 150 + "ZZ" + "I" * 48, "Z" + "I" * 199]
    pub = pub_of(
        circuit,
        observables=tuple(SparsePauliOp(label) for label in labels),
        pairs=tuple((0, index) for index in range(4)),
    )
    result = qsim.run(pub, qsim.plan(pub, Options(), limits), Options(), 0, 1)
    assert result.evs is not None
    assert result.evs.tolist() == [1.0, 1.0, 1.0, 0.0]
    assert result.metadata["engine"] == "stim"


def test_qubits_that_nothing_touches_are_zero(qsim: Qsim, limits: Limits) -> None:
    circuit = QuantumCircuit(60)
    circuit.ry(0.4, 30)
    for precision in (0.0, 0.02):
        pub = pub_of(
            circuit,
            observables=(
                SparsePauliOp.from_sparse_list([("ZZ", [30, 2], 1.0)], 60),
                SparsePauliOp.from_sparse_list([("XZ", [5, 30], 1.0)], 60),
                SparsePauliOp.from_sparse_list([("Z", [59], 1.0)], 60),
            ),
            pairs=((0, 0), (0, 1), (0, 2)),
            precision=precision,
            shots=2500 if precision else None,
        )
        result = qsim.run(pub, qsim.plan(pub, Options(), limits), Options(), 0, 1)
        assert result.evs is not None
        assert result.stds is not None
        bound = 5.5 * result.stds + 1e-10
        assert np.all(np.abs(result.evs - [np.cos(0.4), 0.0, 1.0]) <= bound)


def test_after_feed_forward_only_by_shots(qsim: Qsim, limits: Limits) -> None:
    circuit = QuantumCircuit(2, 1)
    circuit.ry(0.8, 0)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(1)
    fields = {"observables": (SparsePauliOp("ZI"),), "pairs": ((0, 0),)}
    with pytest.raises(QuantainerError) as refused:
        qsim.plan(pub_of(circuit, **fields), Options(), limits)
    assert refused.value.code == "unsupported_circuit"
    pub = pub_of(circuit, **fields, precision=0.01, shots=10_000)
    result = qsim.run(pub, qsim.plan(pub, Options(), limits), Options(), 5, 1)
    assert result.evs is not None
    assert result.stds is not None
    assert abs(result.evs[0] - np.cos(0.8)) < 5.5 * result.stds[0]


def test_no_group_has_more_bases_than_it_needs(qsim: Qsim, limits: Limits) -> None:
    from quantainer.backends.expectation import groups_of, observables_of

    groups = groups_of(observables_of(OBSERVABLES))
    assert len(groups) <= 4
    for group in groups:
        for term in group.terms:
            assert all(group.axes[qubit] == axis for qubit, axis in term)


def test_other_observables_of_a_circuit_have_other_gates(qsim: Qsim, limits: Limits) -> None:
    """Each needs a part of the circuit only; parts on the same qubits are not mixed up."""
    circuit = QuantumCircuit(2)
    circuit.ry(0.3, 0)
    circuit.cx(0, 1)
    circuit.rx(0.4, 0)
    circuit.rx(0.5, 1)
    digest = "the same bytes"
    for label, expected in (("ZI", np.cos(0.3) * np.cos(0.5)), ("IZ", np.cos(0.3) * np.cos(0.4))):
        pub = pub_of(circuit, observables=(SparsePauliOp(label),), pairs=((0, 0),), precision=0.0)
        pub = replace(pub, digest=digest)
        result = qsim.run(pub, qsim.plan(pub, Options(), limits), Options(), 1, 1)
        assert result.evs == pytest.approx([expected])


# --- Measurements on the way ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def devices(limits: Limits) -> dict[str, Any]:
    return {backend.name: backend for backend in provide(limits)}


def fed_forward() -> QuantumCircuit:
    """Qubit 1 follows qubit 0, which is used no more; qubit 2 is |+⟩; all are measured at last."""
    circuit = QuantumCircuit(3, 4)
    circuit.h([0, 2])
    circuit.measure(0, 3)
    with circuit.if_test((circuit.clbits[3], 1)):
        circuit.x(1)
    circuit.barrier()
    circuit.measure([1, 2], [1, 2])
    return circuit


FED_FORWARD = (SparsePauliOp("IZZ"), SparsePauliOp("XII"), SparsePauliOp("IZI"))


def asked(circuit: QuantumCircuit, precision: float, observables=FED_FORWARD) -> Pub:
    pairs = tuple((0, index) for index in range(len(observables)))
    shots = int(np.ceil(1 / precision**2)) if precision else None
    return pub_of(circuit, observables=observables, pairs=pairs, precision=precision, shots=shots)


@pytest.mark.parametrize("name", ["qsim", "fake_torino"])
def test_only_measurements_that_nothing_follows_are_left_out(
    name: str, qsim: Qsim, devices: dict[str, Any], limits: Limits
) -> None:
    """One whose bit decides something stays, though its qubit is used no more."""
    backend = qsim if name == "qsim" else devices[name]
    pub = asked(fed_forward(), 0.02)
    result = backend.run(pub, backend.plan(pub, Options(), limits), Options(), 3, 2)
    assert result.evs is not None
    noise = 0.0 if name == "qsim" else 0.6
    assert result.evs == pytest.approx([1.0, 1.0, 0.0], abs=0.1 + noise)
    assert abs(result.evs[2]) < 0.2


@pytest.mark.parametrize("name", ["qsim", "fake_torino"])
@pytest.mark.parametrize("method", [None, "density_matrix"])
@pytest.mark.parametrize("feeds", [True, False])
def test_there_are_no_exact_values_where_outcomes_part_the_runs(
    name: str, method: str | None, feeds: bool, qsim: Qsim, devices: dict[str, Any], limits: Limits
) -> None:
    backend = qsim if name == "qsim" else devices[name]
    circuit = fed_forward()
    if not feeds:
        circuit = QuantumCircuit(3, 1)
        circuit.h(0)
        circuit.measure(0, 0)
        circuit.cx(0, 1)
    with pytest.raises(QuantainerError, match="on the way") as refused:
        backend.plan(asked(circuit, 0.0), Options(method=method), limits)
    assert refused.value.code == "unsupported_circuit"
    assert "precision above 0" in (refused.value.hint or "")


def test_a_reset_on_the_way_has_exact_values(qsim: Qsim, limits: Limits) -> None:
    circuit = QuantumCircuit(2)
    circuit.ry(0.4, 0)
    circuit.cx(0, 1)
    circuit.reset(0)
    circuit.ry(0.3, 0)
    pub = asked(circuit, 0.0, (SparsePauliOp("IZ"), SparsePauliOp("ZX"), SparsePauliOp("XX")))
    result = qsim.run(pub, qsim.plan(pub, Options(), limits), Options(), 3, 2)
    expected = [np.cos(0.3), np.cos(0.4) * np.sin(0.3), 0.0]
    assert result.evs == pytest.approx(expected, abs=1e-9)
