"""Qiskit on the device: encodings, backend, sampler and estimator, with a real broker."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister, qpy, transpile
from qiskit.circuit import Clbit, Gate, Parameter, ParameterVector
from qiskit.circuit.library import CXGate, UnitaryGate, get_standard_gate_name_mapping
from qiskit.circuit.random import random_circuit
from qiskit.primitives import StatevectorEstimator
from qiskit.primitives.containers import BitArray
from qiskit.primitives.containers.bindings_array import BindingsArray
from qiskit.providers import JobStatus
from qiskit.quantum_info import Operator, SparseObservable, SparsePauliOp
from qiskit_aer import AerSimulator

from quantainer.circuits import read
from quantainer_client import Connection, QuantainerError
from quantainer_client.columnar import decode
from quantainer_client.columns import GATES
from quantainer_client.qiskit import EstimatorV2, QuantainerBackend, QuantainerProvider, SamplerV2
from quantainer_client.qiskit.encode import encode


@pytest.fixture
def backend(connection: Connection) -> QuantainerBackend:
    return QuantainerProvider(connection).backend("qsim")


def bell() -> QuantumCircuit:
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [0, 1])
    return circuit


def asymmetric() -> QuantumCircuit:
    circuit = QuantumCircuit(2, 2)
    circuit.x(0)
    circuit.measure([0, 1], [0, 1])
    return circuit


def reread(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return what the host makes of a circuit."""
    data, _ = encode(circuit)
    return read(data).program


# --- Encoding


def test_the_gate_table_is_qiskits() -> None:
    for name, (qubits, params) in GATES.items():
        gate = get_standard_gate_name_mapping()[name]
        assert (gate.num_qubits, len(gate.params)) == (qubits, params)


def test_every_standard_gate_is_columnar_and_exact() -> None:
    for name, (qubits, _) in GATES.items():
        gate = get_standard_gate_name_mapping()[name]
        bound = type(gate)(*[0.1 + 0.37 * index for index in range(len(gate.params))])
        circuit = QuantumCircuit(qubits + 1)
        circuit.append(bound, range(qubits, 0, -1))
        assert encode(circuit)[1] == "columnar"
        assert Operator(reread(circuit)) == Operator(circuit)


@pytest.mark.parametrize("seed", range(8))
def test_random_circuits_are_exact(seed: int) -> None:
    circuit = random_circuit(4, 6, max_operands=4, seed=seed)
    circuit.global_phase = 0.3
    assert Operator(reread(circuit)) == Operator(circuit)


def test_unitaries_keep_their_qubit_order() -> None:
    matrix = Operator(random_circuit(3, 3, seed=1)).data
    circuit = QuantumCircuit(4)
    circuit.append(UnitaryGate(matrix), [3, 0, 2])
    assert encode(circuit)[1] == "columnar"
    assert Operator(reread(circuit)) == Operator(circuit)


def test_a_gate_that_only_bears_a_standard_name_is_not_taken_for_it() -> None:
    fake = Gate("h", 1, [])
    definition = QuantumCircuit(1)
    definition.x(0)
    fake.definition = definition
    circuit = QuantumCircuit(2)
    circuit.append(fake, [0])
    circuit.append(CXGate(ctrl_state=0), [0, 1])
    assert encode(circuit)[1] == "qpy"
    assert Operator(reread(circuit)) == Operator(circuit)


@pytest.mark.parametrize(
    ("expression", "kind"),
    [
        (lambda a, b: a, "columnar"),
        (lambda a, b: 2 * a - b / 3 + 0.5, "columnar"),
        (lambda a, b: -(a + b), "columnar"),
        (lambda a, b: a * b, "qpy"),
        (lambda a, b: a.sin(), "qpy"),
        (lambda a, b: a.abs() + b, "qpy"),
        (lambda a, b: a.sign(), "qpy"),
        (lambda a, b: a**2 - a, "qpy"),
    ],
)
def test_parameters_travel_affine_or_as_qpy(expression: object, kind: str) -> None:
    a, b = Parameter("a"), Parameter("b")
    circuit = QuantumCircuit(1)
    circuit.rx(expression(a, b), 0)  # type: ignore[operator]
    circuit.rz(a + b, 0)
    assert encode(circuit)[1] == kind
    values = {"a": -0.7, "b": 1.9}
    there = reread(circuit).assign_parameters(values)
    assert Operator(there) == Operator(circuit.assign_parameters(values))


@pytest.mark.parametrize("change", ["control flow", "delay", "variable", "phase", "subcircuit"])
def test_what_is_not_flat_travels_as_qpy(change: str) -> None:
    circuit = QuantumCircuit(1, 1)
    if change == "control flow":
        with circuit.if_test((circuit.clbits[0], 1)):
            circuit.x(0)
    elif change == "delay":
        circuit.delay(100, 0)
    elif change == "variable":
        circuit.add_var("v", True)
    elif change == "phase":
        circuit.global_phase = Parameter("p")
    else:
        circuit.append(QuantumCircuit(1, name="sub").to_gate(), [0])
    data, kind = encode(circuit)
    assert kind == "qpy"
    assert qpy.load(io.BytesIO(data))[0] == circuit
    assert data[6] <= qpy.QPY_VERSION


def test_a_changed_circuit_is_encoded_anew() -> None:
    circuit = QuantumCircuit(1)
    circuit.rx(0.1, 0)
    before = encode(circuit)
    circuit.data[0] = circuit.data[0].replace(params=[0.2])
    assert encode(circuit) != before
    assert decode(encode(circuit)[0]).params.tolist() == [0.2]


def test_angles_that_are_no_numbers_are_refused(backend: QuantainerBackend) -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.rx(math.nan, 0)
    circuit.measure(0, 0)
    with pytest.raises(QuantainerError, match="finite") as caught:
        backend.run(circuit)
    assert caught.value.code == "invalid_circuit"


# --- Backend


def test_the_provider_lists_backends(connection: Connection) -> None:
    provider = QuantainerProvider(connection)
    assert "qsim" in [backend.name for backend in provider.backends()]
    with pytest.raises(QuantainerError, match="nonsense"):
        provider.backend("nonsense")
    assert repr(provider.backend("qsim")) == "<QuantainerBackend('qsim')>"


def test_backend_run_returns_a_qiskit_result(backend: QuantainerBackend) -> None:
    job = backend.run(bell(), shots=1000, seed=3, memory=True)
    result = job.result()
    counts = result.get_counts()
    assert set(counts) == {"00", "11"}
    assert sum(counts.values()) == 1000
    assert len(result.get_memory()) == 1000
    assert result.get_memory().count("11") == counts["11"]
    assert result.results[0].seed == 3
    assert job.status() == JobStatus.DONE
    json.dumps(result.to_dict())
    assert backend.run(bell(), shots=1000, seed_simulator=3).result().get_counts() == counts


@pytest.mark.report(43)
def test_bit_order_single_and_batch(backend: QuantainerBackend) -> None:
    assert backend.run(asymmetric(), shots=9).result().get_counts() == {"01": 9}
    result = backend.run([asymmetric(), bell(), asymmetric()], shots=9).result()
    assert result.get_counts(0) == result.get_counts(2) == {"01": 9}


def test_registers_and_loose_bits(backend: QuantainerBackend) -> None:
    circuit = QuantumCircuit(
        QuantumRegister(2), ClassicalRegister(2, "a"), ClassicalRegister(70, "b")
    )
    circuit.x(0)
    circuit.measure([0, 0], [1, 71])
    assert backend.run(circuit, shots=5, memory=True).result().get_memory()[0] == (
        "1" + "0" * 69 + " 10"
    )
    loose = QuantumCircuit(QuantumRegister(2), ClassicalRegister(1, "a"))
    loose.add_bits([Clbit(), Clbit()])
    loose.x(1)
    loose.measure([0, 1], [0, 2])
    assert backend.run(loose, shots=5).result().get_counts() == {"10 0": 5}


def _bits(*registers: tuple[str, int]) -> QuantumCircuit:
    """Return a circuit that measures 1, 0, 1, 1, … into bits; those without a name are loose."""
    circuit = QuantumCircuit(sum(size for _, size in registers))
    for name, size in registers:
        if name:
            circuit.add_register(ClassicalRegister(size, name))
        else:
            circuit.add_bits([Clbit() for _ in range(size)])
    for place in range(circuit.num_clbits):
        if place != 1:
            circuit.x(place)
        circuit.measure(place, place)
    return circuit


@pytest.mark.parametrize(
    ("registers", "key"),
    [
        ([("", 3)], "101"),
        ([("a", 2), ("", 3)], "111 01"),
        ([("", 1), ("a", 2)], "10 1"),
        ([("r", 1), ("", 1), ("s", 1)], "1 0 1"),
        ([("", 1), ("a", 70), ("", 2), ("b", 3)], "111 11 " + "1" * 69 + "0 1"),
        ([("a", 2), ("b", 1)], "1 01"),
    ],
)
def test_outcomes_are_those_of_aer(
    registers: list[tuple[str, int]], key: str, backend: QuantainerBackend
) -> None:
    """Bit for bit; and the string, from which Qiskit leaves bits of no register, has them all."""
    circuit = _bits(*registers)
    ours = backend.run(circuit, shots=6, memory=True).result()
    theirs = AerSimulator().run(circuit, shots=6, memory=True).result()
    assert ours.data()["counts"] == theirs.data()["counts"]
    assert ours.data()["memory"] == theirs.data()["memory"]
    assert ours.get_counts() == {key: 6}
    if len({not name for name, _ in registers}) == 1:
        assert theirs.get_counts() == {key: 6}


def test_a_circuit_that_measures_nothing_is_refused(backend: QuantainerBackend) -> None:
    circuit = QuantumCircuit(2, 1)
    circuit.h(0)
    with pytest.raises(QuantainerError, match="c") as caught:
        backend.run(circuit)
    assert caught.value.code == "no_measurement"


def test_teleportation_by_qpy(backend: QuantainerBackend) -> None:
    circuit = QuantumCircuit(
        QuantumRegister(3), ClassicalRegister(2, "m"), ClassicalRegister(1, "out")
    )
    circuit.ry(1.1, 0)
    circuit.h(1)
    circuit.cx(1, 2)
    circuit.cx(0, 1)
    circuit.h(0)
    circuit.measure([0, 1], [0, 1])
    with circuit.if_test((circuit.clbits[1], 1)):
        circuit.x(2)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.z(2)
    circuit.ry(-1.1, 2)
    circuit.measure(2, 2)
    counts = backend.run(circuit, shots=400).result().get_counts()
    assert {key.split()[0] for key in counts} == {"0"}
    assert {key.split()[1] for key in counts} == {"00", "01", "10", "11"}


def test_transpile_for_the_backend(backend: QuantainerBackend) -> None:
    circuit = QuantumCircuit(60)
    circuit.h(0)
    for qubit in range(59):
        circuit.cx(qubit, qubit + 1)
    circuit.measure_all()
    counts = backend.run(transpile(circuit, backend), shots=100).result().get_counts()
    assert set(counts) == {"0" * 60, "1" * 60}


def test_unknown_options_and_odd_seeds_are_refused(backend: QuantainerBackend) -> None:
    with pytest.raises(QuantainerError, match="'nonsense'") as caught:
        backend.run(bell(), nonsense=1)
    assert caught.value.code == "invalid_option"
    for seed in ("42", 42.4, -42, 2**63):
        with pytest.raises(QuantainerError) as caught:
            backend.run(bell(), seed=seed)
        assert caught.value.code == "invalid_seed"


# --- Sampler


def test_sampler_returns_bit_arrays(backend: QuantainerBackend) -> None:
    circuit = QuantumCircuit(
        QuantumRegister(3), ClassicalRegister(3, "a"), ClassicalRegister(66, "b")
    )
    circuit.x([0, 2])
    circuit.measure([0, 1, 2], [0, 1, 2])
    circuit.measure(0, 3 + 65)
    data = SamplerV2(backend).run([circuit], shots=12).result()[0].data
    assert isinstance(data.a, BitArray)
    assert data.a.get_counts() == {"101": 12}
    assert data.b.get_bitstrings()[0] == "1" + "0" * 65
    assert data.b.num_bits == 66
    assert data.a.slice_bits(0).get_counts() == {"1": 12}


def test_sampler_broadcasts_parameters(connection: Connection) -> None:
    theta = ParameterVector("theta", 2)
    circuit = QuantumCircuit(2)
    circuit.rx(theta[1], 0)
    circuit.rx(2 * theta[0], 1)
    circuit.measure_all()
    values = np.array([[[0, 0], [0, np.pi]], [[np.pi / 2, 0], [np.pi / 2, np.pi]]])
    sampler = SamplerV2("qsim", connection=connection)
    data = sampler.run([(circuit, values)], shots=8).result()[0].data
    assert data.shape == data.meas.shape == (2, 2)
    found = [[data.meas[i, j].get_counts() for j in range(2)] for i in range(2)]
    assert found == [[{"00": 8}, {"01": 8}], [{"10": 8}, {"11": 8}]]


@pytest.mark.parametrize("shape", [(), (1,), (2, 3)])
def test_a_shape_of_no_parameters_asks_for_the_same_so_often(
    connection: Connection, shape: tuple[int, ...]
) -> None:
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.x(1)
    values = BindingsArray({}, shape=shape)
    bare = circuit.copy()
    circuit.measure_all()
    sampler = SamplerV2("qsim", seed=1, connection=connection)
    data = sampler.run([(circuit, values)], shots=64).result()[0].data
    assert (data.shape, data.meas.shape, data.meas.num_shots) == (shape, shape, 64)
    drawn = data.meas.array.reshape(-1, 64)
    assert np.all(drawn >= 2)
    assert len({row.tobytes() for row in drawn}) == len(drawn)
    estimator = EstimatorV2("qsim", connection=connection)
    evs = estimator.run([(bare, "ZI", values)]).result()[0].data.evs
    assert np.array_equal(evs, np.full(shape, -1.0))


def test_a_pub_without_rows_is_refused(connection: Connection) -> None:
    circuit = QuantumCircuit(1)
    circuit.rx(Parameter("a"), 0)
    circuit.measure_all()
    with pytest.raises(QuantainerError, match="no row of parameter values"):
        SamplerV2("qsim", connection=connection).run([(circuit, np.zeros((0, 1)))])


def test_sampler_binds_by_name(connection: Connection) -> None:
    b, a = Parameter("b"), Parameter("a")
    circuit = QuantumCircuit(2)
    circuit.rx(b, 0)
    circuit.rx(a, 1)
    circuit.measure_all()
    sampler = SamplerV2("qsim", connection=connection)
    bindings = {"a": [0.0, np.pi], "b": [np.pi, 0.0]}
    meas = sampler.run([(circuit, bindings)], shots=4).result()[0].data.meas
    assert [meas[row].get_counts() for row in range(2)] == [{"01": 4}, {"10": 4}]


def test_sampler_shots_metadata_and_seed(connection: Connection) -> None:
    circuit = bell()
    circuit.metadata = {"mine": 1}
    sampler = SamplerV2("qsim", default_shots=30, seed=9, connection=connection)
    job = sampler.run([circuit, (circuit, None, 50)])
    result = job.result()
    assert [entry.data.c.num_shots for entry in result] == [30, 50]
    assert result[0].metadata["shots"] == 30
    assert result[0].metadata["circuit_metadata"] == {"mine": 1}
    assert result[0].metadata["quantainer"]["backend"] == "qsim"
    again = sampler.run([circuit, (circuit, None, 50)]).result()
    assert [a.data.c == b.data.c for a, b in zip(result, again, strict=True)] == [True, True]
    assert job.done()
    assert job.in_final_state()
    assert not job.running()
    assert not job.cancelled()


def test_sampler_results_are_views(connection: Connection) -> None:
    circuit = QuantumCircuit(20)
    circuit.x(3)
    circuit.measure_all()
    sampler = SamplerV2("qsim", connection=connection)
    meas = sampler.run([circuit], shots=100_000).result()[0].data.meas
    assert not meas.array.flags.writeable
    assert meas.array.base is not None
    assert meas.get_counts() == {f"{8:020b}": 100_000}
    assert (~meas).get_counts() == {f"{2**20 - 1 - 8:020b}": 100_000}


def test_sampler_names_loose_bits(connection: Connection) -> None:
    circuit = QuantumCircuit(2)
    circuit.add_bits([Clbit(), Clbit()])
    circuit.x(1)
    circuit.measure([0, 1], [0, 1])
    data = SamplerV2("qsim", connection=connection).run([circuit], shots=3).result()[0].data
    assert data.loose_bits.get_counts() == {"10": 3}


# --- Estimator


def test_estimator_agrees_with_the_reference(connection: Connection) -> None:
    theta = ParameterVector("t", 3)
    circuit = QuantumCircuit(3)
    for index in range(3):
        circuit.ry(theta[index], index)
    circuit.cx(0, 1)
    circuit.rzz(theta[0] - 2 * theta[2], 1, 2)
    circuit.rx(theta[1], 2)
    observables = [["ZII", SparsePauliOp(["XYZ", "IIZ"], [0.5, -2.0])], ["YXZ", {"XII": 3.0}]]
    values = np.linspace(-1, 1, 6).reshape(2, 1, 3)
    pubs = [(circuit, observables, values), (circuit, "III", values[0, 0])]
    ours = EstimatorV2("qsim", connection=connection).run(pubs).result()
    reference = StatevectorEstimator().run(pubs).result()
    for mine, theirs in zip(ours, reference, strict=True):
        assert mine.data.evs.shape == theirs.data.evs.shape
        assert np.allclose(mine.data.evs, theirs.data.evs, atol=1e-6)
        assert np.allclose(mine.data.stds, 0)


def test_what_is_known_of_a_circuit_depends_on_its_observables(connection: Connection) -> None:
    """Each job needs its own part of the circuit: other gates, and another method."""
    circuit = QuantumCircuit(3)
    circuit.ry(0.4, 0)
    circuit.cx(0, 1)
    circuit.reset(0)
    circuit.rx(0.5, 1)
    circuit.ry(0.3, 2)
    estimator = EstimatorV2("qsim", connection=connection)
    expected = {
        "ZII": np.cos(0.3),
        "IIZ": 1.0,
        "IZI": np.cos(0.4) * np.cos(0.5),
        "ZZZ": np.cos(0.3) * np.cos(0.4) * np.cos(0.5),
    }
    for label, value in expected.items():
        found = estimator.run([(circuit, label)]).result()[0]
        assert found.data.evs == pytest.approx(value)
        assert found.metadata["quantainer"]["notes"] == []


def test_estimator_takes_projectors(connection: Connection) -> None:
    circuit = random_circuit(3, 4, seed=2)
    terms = [{"01I": 1.0}, {"+-r": 1.5, "IIl": 0.25, "ZZZ": 1.0}, {"111": 1.0}]
    projectors = [SparseObservable.from_list(list(item.items())) for item in terms]
    paulis = [SparsePauliOp.from_sparse_observable(item) for item in projectors]
    ours = EstimatorV2("qsim", connection=connection).run([(circuit, terms)]).result()
    reference = StatevectorEstimator().run([(circuit, paulis)]).result()
    assert np.allclose(ours[0].data.evs, reference[0].data.evs, atol=1e-6)


def test_estimator_with_a_precision_samples(connection: Connection) -> None:
    estimator = EstimatorV2("qsim", seed=1, connection=connection)
    circuit = QuantumCircuit(1)
    circuit.ry(1.0, 0)
    result = estimator.run([(circuit, ["Z", "X"])], precision=0.02).result()[0]
    assert np.all(np.abs(result.data.evs - [np.cos(1.0), np.sin(1.0)]) < 0.12)
    assert np.all(result.data.stds <= 0.021)
    assert result.metadata["target_precision"] == 0.02


def test_a_refused_pub_names_its_fault(connection: Connection) -> None:
    with pytest.raises(QuantainerError) as caught:
        SamplerV2("qsim", connection=connection).run([(bell(), None, 10**12)])
    assert caught.value.code == "invalid_shots"


def test_the_connection_of_the_environment_is_used(
    broker_socket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUANTAINER_SOCKET", str(broker_socket))
    monkeypatch.setattr("quantainer_client.connection._usual", {})
    assert SamplerV2().run([asymmetric()], shots=3).result()[0].data.c.get_counts() == {"01": 3}
