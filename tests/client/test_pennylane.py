"""PennyLane on the device, against PennyLane's own simulator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pennylane as qml
import pytest
from pennylane import numpy as pnp
from pennylane.exceptions import DeviceError
from qiskit.quantum_info import Operator

from quantainer.circuits import read
from quantainer_client import Connection, QuantainerError
from quantainer_client.pennylane import QuantainerDevice
from quantainer_client.pennylane.encode import Encoder
from quantainer_client.pennylane.gates import is_supported


def exact(connection: Connection, wires: object = 3) -> QuantainerDevice:
    return QuantainerDevice(wires=wires, connection=connection)


def sampled(connection: Connection, shots: object = 1000, **options: object) -> QuantainerDevice:
    return QuantainerDevice(wires=3, shots=shots, connection=connection, **options)


def test_the_entry_point_makes_the_device(
    broker_socket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUANTAINER_SOCKET", str(broker_socket))
    monkeypatch.setattr("quantainer_client.connection._usual", {})
    device = qml.device("quantainer.qpu", wires=2, shots=1000, backend="qsim")
    assert isinstance(device, QuantainerDevice)
    assert device.name == "quantainer.qpu"
    assert device.shots.total_shots == 1000

    @qml.qnode(device)
    def bell():
        qml.Hadamard(0)
        qml.CNOT([0, 1])
        return qml.counts()

    counts = bell()
    assert set(counts) == {"00", "11"}
    assert sum(counts.values()) == 1000


OPERATIONS = [
    *(gate(wires=[2]) for gate in (qml.X, qml.Y, qml.Z, qml.Hadamard, qml.S, qml.T, qml.SX)),
    *(qml.adjoint(gate(wires=[1])) for gate in (qml.S, qml.T, qml.SX)),
    *(gate(0.7, wires=[1]) for gate in (qml.RX, qml.RY, qml.RZ, qml.PhaseShift, qml.U1)),
    *(
        gate(wires=[2, 0])
        for gate in (qml.CNOT, qml.CZ, qml.CY, qml.CH, qml.SWAP, qml.ISWAP, qml.ECR)
    ),
    *(
        gate(0.7, wires=[2, 0])
        for gate in (qml.CRX, qml.CRY, qml.CRZ, qml.ControlledPhaseShift, qml.IsingXX)
    ),
    *(gate(0.7, wires=[2, 0]) for gate in (qml.IsingYY, qml.IsingZZ, qml.IsingXY)),
    *(gate(wires=[2, 0, 1]) for gate in (qml.Toffoli, qml.CSWAP, qml.CCZ)),
    qml.Rot(0.1, 0.2, 0.3, wires=1),
    qml.U2(0.1, 0.2, wires=1),
    qml.U3(0.1, 0.2, 0.3, wires=1),
    qml.QubitUnitary(Operator(np.eye(4)[[2, 0, 3, 1]]).data, wires=[2, 1]),
]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: str(operation.name))
def test_gates_are_exact_up_to_a_global_phase(operation: qml.operation.Operator) -> None:
    assert is_supported(operation)
    encoder = Encoder([0, 1, 2])
    encoder.apply([operation])
    program = read(encoder.columns.encode()).program
    expected = qml.matrix(operation, wire_order=[0, 1, 2])
    assert Operator(program.reverse_bits()).equiv(Operator(expected))


def everything(x: float, y: float) -> list[object]:
    qml.BasisState([1, 0], wires=[0, 2])
    qml.RX(x, 0)
    qml.RY(y, 1)
    qml.CNOT([0, 1])
    qml.SingleExcitation(y, [0, 2])
    qml.PauliRot(0.4, "XYZ", wires=[2, 0, 1])
    qml.MultiControlledX([0, 1, 2])
    qml.GlobalPhase(0.3)
    qml.ctrl(qml.RZ(x, 2), control=[0], control_values=[0])
    return [
        qml.expval(qml.Z(0) @ qml.X(1)),
        qml.var(qml.Y(2) + qml.Z(0)),
        qml.probs(wires=[2, 0]),
        qml.expval(qml.Hermitian(np.array([[1, 2j], [-2j, 0.5]]), 1)),
        qml.probs(op=qml.X(1)),
        qml.expval(qml.Hadamard(0)),
        qml.expval(qml.Projector([1, 0], wires=[0, 1])),
        qml.expval(0.5 * qml.X(0) @ qml.Y(1) - 2 * qml.Z(2) + 3 * qml.Identity(0)),
        qml.var(qml.Z(1)),
        qml.expval(qml.Identity(1)),
    ]


def reference(x: float, y: float) -> list[object]:
    found: list[object] = qml.QNode(everything, qml.device("default.qubit", wires=3))(x, y)
    return found


def test_exact_values(connection: Connection) -> None:
    node = qml.QNode(everything, exact(connection), diff_method=None)
    for x, y in ((0.4, 0.7), (-1.3, 2.2)):
        for mine, theirs in zip(node(x, y), reference(x, y), strict=True):
            assert np.allclose(mine, theirs, atol=1e-6)


def test_sampled_values(connection: Connection) -> None:
    node = qml.QNode(everything, sampled(connection, 40_000, seed=5), diff_method=None)
    for mine, theirs in zip(node(0.4, 0.7), reference(0.4, 0.7), strict=True):
        assert np.allclose(mine, theirs, atol=0.06)  # six standard errors of the widest
        assert np.shape(mine) == np.shape(theirs)


@pytest.mark.report(43)
def test_bit_order_is_pennylanes(connection: Connection) -> None:
    @qml.qnode(sampled(connection, 5))
    def circuit():
        qml.X(0)
        return qml.counts(), qml.sample(), qml.probs(wires=[0, 1]), qml.sample(qml.Z(0))

    counts, samples, probabilities, signs = circuit()
    assert counts == {"100": 5}
    assert samples.tolist() == [[1, 0, 0]] * 5
    assert probabilities.tolist() == [0, 0, 1, 0]
    assert signs.tolist() == [-1.0] * 5
    node = qml.QNode(lambda: [qml.X(1), qml.probs(wires=[1, 0])][1], exact(connection))
    assert np.allclose(node(), [0, 0, 1, 0])


def test_wires_have_any_label_and_order(connection: Connection) -> None:
    device = QuantainerDevice(wires=["b", 7, "a"], shots=3, connection=connection)

    @qml.qnode(device)
    def circuit():
        qml.X("a")
        return qml.counts(), qml.counts(wires=["a", "b"])

    assert circuit() == ({"001": 3}, {"10": 3})
    free = QuantainerDevice(connection=connection)
    assert np.isclose(qml.QNode(lambda: [qml.X("z"), qml.expval(qml.Z("z"))][1], free)(), -1)


def test_wide_circuits(connection: Connection) -> None:
    device = QuantainerDevice(wires=60, shots=200, connection=connection)

    @qml.qnode(device)
    def ghz():
        qml.Hadamard(0)
        for wire in range(59):
            qml.CNOT([wire, wire + 1])
        word = qml.prod(*[qml.X(wire) for wire in range(60)])
        return qml.expval(word), qml.expval(qml.Z(0) @ qml.Z(59)), qml.counts()

    parity, ends, counts = ghz()
    assert parity == ends == 1.0
    assert set(counts) == {"0" * 60, "1" * 60}


def test_shot_vectors(connection: Connection) -> None:
    @qml.qnode(sampled(connection, [10, 20, 20]))
    def circuit():
        qml.X(0)
        return qml.expval(qml.Z(0)), qml.sample(wires=[0, 1])

    results = circuit()
    assert [value for value, _ in results] == [-1.0, -1.0, -1.0]
    assert [samples.shape for _, samples in results] == [(10, 2), (20, 2), (20, 2)]


def cost(x: object) -> object:
    qml.RX(x[0], 0)  # type: ignore[index]
    qml.RY(x[1], 1)  # type: ignore[index]
    qml.CNOT([0, 1])
    qml.RZ(x[0] * x[1], 1)  # type: ignore[index]
    qml.RX(x[1], 1)  # type: ignore[index]
    return qml.expval(qml.Z(0) @ qml.Z(1) + 0.5 * qml.X(0))


def test_gradients_by_parameter_shift(connection: Connection) -> None:
    x = pnp.array([0.3, 0.9], requires_grad=True)
    theirs = qml.grad(qml.QNode(cost, qml.device("default.qubit", wires=3)))(x)
    device = exact(connection)
    assert np.allclose(qml.grad(qml.QNode(cost, device))(x), theirs, atol=1e-6)
    noisy = sampled(connection, 20_000, seed=2)
    shifted = qml.grad(qml.QNode(cost, noisy, diff_method="parameter-shift"))(x)
    assert np.allclose(shifted, theirs, atol=0.1)


def test_a_batch_of_tapes_is_one_job_and_few_pubs(connection: Connection) -> None:
    device = exact(connection)
    before = len(connection.jobs())
    tapes = [
        qml.tape.QuantumScript([qml.RX(angle, 0), qml.CNOT([0, 1])], [qml.expval(qml.Z(1))])
        for angle in np.linspace(0, 3, 20)
    ]
    assert np.allclose(device.execute(tapes), np.cos(np.linspace(0, 3, 20)), atol=1e-6)
    jobs = connection.jobs()
    assert len(jobs) == before + 1
    assert len(connection.result(jobs[0]["job"])) == 1
    assert np.isclose(device.execute(tapes[0]), 1.0)


def test_equal_tapes_with_shots_are_independent(connection: Connection) -> None:
    device = sampled(connection, 200)
    tape = qml.tape.QuantumScript([qml.H(w) for w in range(3)], [qml.sample()], shots=50)
    first, second = device.execute([tape, tape])
    assert first.tolist() != second.tolist()


def test_broadcast_parameters(connection: Connection) -> None:
    x = pnp.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
    mine = qml.QNode(cost, exact(connection))(x)
    theirs = qml.QNode(cost, qml.device("default.qubit", wires=3))(x)
    assert np.allclose(mine, theirs, atol=1e-6)


def test_teleportation(connection: Connection) -> None:
    @qml.qnode(sampled(connection, 4000, seed=3))
    def circuit(theta):
        qml.RY(theta, 0)
        qml.Hadamard(1)
        qml.CNOT([1, 2])
        qml.CNOT([0, 1])
        qml.Hadamard(0)
        z, x = qml.measure(0), qml.measure(1)
        qml.cond(x, qml.X)(2)
        qml.cond(z == 1, qml.Z)(2)
        qml.RY(-theta, 2)
        return qml.expval(qml.Z(2)), qml.counts([z, x]), qml.expval(z + 2 * x), qml.sample(x)

    value, counts, mean, bits = circuit(1.1)
    assert value == 1.0
    assert set(counts) == {"00", "01", "10", "11"}
    assert abs(mean - 1.5) < 0.11  # six standard errors
    assert set(bits.tolist()) == {0, 1}


def test_one_wire_measured_twice(connection: Connection) -> None:
    @qml.qnode(sampled(connection, 20))
    def circuit():
        qml.X(0)
        first = qml.measure(0)
        qml.X(0)
        second = qml.measure(0)
        return qml.counts([first, second]), qml.probs(op=[second, first]), qml.expval(first)

    counts, probabilities, mean = circuit()
    assert counts == {"10": 20}
    assert probabilities.tolist() == [0, 1, 0, 0]
    assert mean == 1.0


def test_reset_and_postselection(connection: Connection) -> None:
    @qml.qnode(sampled(connection, 400))
    def circuit():
        qml.Hadamard(0)
        outcome = qml.measure(0, postselect=1, reset=True)
        qml.cond(outcome, qml.X)(1)
        return qml.probs(wires=[0, 1]), qml.sample(wires=1)

    probabilities, samples = circuit()
    assert probabilities.tolist() == [0, 1, 0, 0]
    assert 120 < len(samples) < 280


def deferred():
    qml.RX(1.0, 0)
    first = qml.measure(0)
    qml.cond(first, qml.RX)(0.5, 0)
    second = qml.measure(0)
    qml.cond(first == second, qml.X)(0)
    return (
        qml.expval(qml.Z(0)),
        qml.expval(first),
        qml.var(first + 2 * second),
        qml.probs(op=[second, first]),
        qml.probs(wires=0),
    )


def test_mid_circuit_measurements_may_be_deferred(connection: Connection) -> None:
    theirs = qml.QNode(deferred, qml.device("default.qubit"))()
    device = QuantainerDevice(connection=connection)
    for mine, value in zip(qml.QNode(deferred, device)(), theirs, strict=True):
        assert np.allclose(mine, value, atol=1e-6)
    for method in ("deferred", "device"):
        device = QuantainerDevice(shots=40_000, seed=6, connection=connection)
        node = qml.QNode(deferred, device, mcm_method=method)
        for mine, value in zip(node(), theirs, strict=True):
            assert np.allclose(mine, value, atol=0.06)  # six standard errors of the widest


def test_seeds_repeat_a_series(connection: Connection) -> None:
    def series(seed: int | None) -> list[object]:
        device = sampled(connection, 30, seed=seed)
        node = qml.QNode(lambda: [qml.H(0), qml.H(1), qml.sample()][2], device)
        return [node().tolist() for _ in range(2)]

    assert series(4) == series(4)
    assert series(4)[0] != series(4)[1]
    for seed in ("42", 42.4, -42, 2**63, True):
        with pytest.raises(QuantainerError) as caught:
            sampled(connection, 30, seed=seed)
        assert caught.value.code == "invalid_seed"


@pytest.mark.parametrize(
    ("shots", "measurement", "word"),
    [
        (None, qml.state, "state"),
        (None, qml.sample, "sample"),
        (10, qml.state, "state"),
        (10, lambda: qml.classical_shadow(wires=[0]), "shadow"),
        (None, lambda: qml.vn_entropy(wires=[0]), "entropy"),
    ],
)
def test_what_the_device_has_no_value_of_is_refused(
    connection: Connection, shots: object, measurement: object, word: str
) -> None:
    node = qml.QNode(
        lambda: [qml.H(0), measurement()][1],  # type: ignore[operator]
        sampled(connection, shots),
        diff_method=None,
    )
    with pytest.raises(DeviceError, match=word):
        node()


def test_other_refusals(connection: Connection) -> None:
    wide = QuantainerDevice(wires=13, connection=connection)
    with pytest.raises(QuantainerError, match="13 wires") as caught:
        qml.QNode(lambda: [qml.H(0), qml.probs(wires=range(13))][1], wide)()
    assert (caught.value.code, caught.value.limit) == ("unsupported_circuit", 12)
    device = sampled(connection)
    with pytest.raises(QuantainerError, match="tree-traversal"):
        qml.QNode(
            lambda: [qml.measure(0), qml.expval(qml.Z(0))][1], device, mcm_method="tree-traversal"
        )()
    with pytest.raises(qml.wires.WireError):
        qml.QNode(lambda: [qml.H(9), qml.expval(qml.Z(9))][1], device)()


def test_executions_are_tracked(connection: Connection) -> None:
    device = sampled(connection, 10)
    with qml.Tracker(device) as tracker:
        qml.QNode(lambda: [qml.H(0), qml.expval(qml.Z(0))][1], device)()
    assert tracker.totals["shots"] == 10
