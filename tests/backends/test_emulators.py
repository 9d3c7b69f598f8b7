"""Calibrated emulators: the device's facts, its noise, its limits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from exact import check, memories, pub_of, run
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp

from quantainer.backends.backend import Limits, Options, Pub
from quantainer.backends.emulators import Emulator, provide
from quantainer.circuits import measure, read
from quantainer_client.errors import QuantainerError


@pytest.fixture(scope="module")
def devices(limits: Limits) -> dict[str, Any]:
    return {backend.name: backend for backend in provide(limits)}


@pytest.fixture(scope="module")
def kolkata(devices: dict[str, Any]) -> Emulator:
    return devices["fake_kolkata"]  # type: ignore[no-any-return]


def ghz(qubits: int) -> QuantumCircuit:
    circuit = QuantumCircuit(qubits, qubits)
    circuit.h(0)
    for qubit in range(qubits - 1):
        circuit.cx(qubit, qubit + 1)
    circuit.measure(range(qubits), range(qubits))
    return circuit


def test_facts_are_those_of_the_calibration(kolkata: Emulator, limits: Limits) -> None:
    target = kolkata.target(limits)
    assert (target.kind, target.qubits, target.status) == ("emulator", 27, "online")
    assert target.basis_gates == ("id", "rz", "sx", "x", "cx", "reset")
    assert target.calibrated_at == "2021-12-09T13:31:31-05:00"
    assert target.qubit_facts[0].t1_us == pytest.approx(121.043, abs=1e-3)
    assert target.qubit_facts[0].readout_error == pytest.approx(0.0096)
    assert target.coupling_map is not None
    assert (0, 1) in target.coupling_map
    assert (0, 26) not in target.coupling_map
    assert target.gate_error["sx 0"] == pytest.approx(1.8485e-4, rel=1e-4)
    assert target.gate_duration_us["cx 7 10"] == pytest.approx(0.4907, rel=1e-3)
    assert len(target.calibration) == 16


def test_every_calibration_reads(devices: dict[str, Any], limits: Limits) -> None:
    digests = set()
    for name, device in devices.items():
        target = device.target(limits)
        assert target.name == name
        assert len(target.qubit_facts) == target.qubits
        assert target.usable_qubits
        for pair in target.coupling_map or ():
            assert set(pair) <= set(range(target.qubits))
        digests.add(target.calibration)
    assert len(digests) == len(devices)


def test_dead_qubits_are_known_and_left_alone(devices: dict[str, Any], limits: Limits) -> None:
    device = devices["fake_kingston"]
    dead = set(range(156)) - set(device.target(limits).usable_qubits)
    assert dead
    result = run(device, ghz(6), limits, shots=20)
    assert not dead & set(result.metadata["physical_qubits"])


def test_noise_is_there_and_small(kolkata: Emulator, limits: Limits) -> None:
    shots = 8000
    result = run(kolkata, ghz(2), limits, shots=shots)
    seen = memories(result, 2)
    right = sum(memory in (0, 3) for memory in seen) / shots
    assert 0.95 < right < 0.99
    assert result.metadata["method"] == "density_matrix"
    assert result.metadata["calibrated_at"]
    assert len(result.metadata["physical_qubits"]) == 2


def test_methods_agree(kolkata: Emulator, limits: Limits) -> None:
    """Density matrix against trajectories and matrix product states: one distribution."""
    circuit = ghz(3)
    reference = memories(
        run(kolkata, circuit, limits, shots=400_000, options=Options(method="density_matrix")), 3
    )
    expected = {value: reference.count(value) / len(reference) for value in set(reference)}
    for method in ("trajectories", "mps"):
        options = Options(method=method)
        shots = memories(run(kolkata, circuit, limits, shots=3000, options=options), 3)
        check(shots, expected, alarm=1e-7)


def test_relaxation_during_a_delay(kolkata: Emulator, limits: Limits) -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.x(0)
    circuit.delay(200, 0, unit="us")
    circuit.measure(0, 0)
    result = run(kolkata, circuit, limits, shots=20_000)
    qubit = kolkata.snapshot.qubits[result.metadata["physical_qubits"][0]]
    assert qubit.t1_us is not None
    decayed = np.exp(-200 / qubit.t1_us)
    read = decayed * (1 - (qubit.zero_for_one or 0)) + (1 - decayed) * (qubit.one_for_zero or 0)
    ones = sum(memories(result, 1)) / 20_000
    assert abs(ones - read) < 5 * np.sqrt(read * (1 - read) / 20_000) + 2e-3


def test_readout_errors_of_zero_and_one_are_apart(devices: dict[str, Any], limits: Limits) -> None:
    device = devices["fake_brisbane"]
    result = run(device, ghz(12), limits, shots=1)
    worst = max(
        result.metadata["physical_qubits"],
        key=lambda index: device.snapshot.qubits[index].one_for_zero,
    )
    qubit = device.snapshot.qubits[worst]
    assert qubit.one_for_zero > 5 * qubit.zero_for_one


def test_physical_qubits_are_the_devices(kolkata: Emulator, limits: Limits) -> None:
    circuit = read(b"OPENQASM 3.0; bit[2] c; U(pi,0,0) $26; c[0] = measure $26; c[1] = measure $3;")
    pub = Pub(circuit, measure(circuit), "physical", shots=500)
    result = kolkata.run(pub, kolkata.plan(pub, Options(), limits), Options(), 1, 1)
    assert result.metadata["physical_qubits"] == [3, 26]
    assert sum(value == 1 for value in memories(result, 2)) > 450


def test_only_active_qubits_cost_memory(kolkata: Emulator) -> None:
    circuit = QuantumCircuit(20, 1)
    circuit.h(11)
    circuit.cx(11, 17)
    circuit.measure(17, 0)
    small = Limits(8 << 20, 1)
    result = run(kolkata, circuit, small, shots=100)
    assert len(result.metadata["physical_qubits"]) == 2
    wide = QuantumCircuit(60, 2)  # declared wider than the device, and only two are used
    wide.h(50)
    wide.cx(50, 3)
    wide.measure([50, 3], [0, 1])
    assert set(memories(run(kolkata, wide, small, shots=100), 2)) <= {0, 1, 2, 3}


def test_too_wide_is_refused_before_anything_starts(
    devices: dict[str, Any], limits: Limits
) -> None:
    with pytest.raises(QuantainerError) as refused:
        run(devices["fake_lima"], ghz(6), limits)
    error = refused.value
    assert (error.code, error.limit, error.needed) == ("too_many_qubits", 5, 6)
    with pytest.raises(QuantainerError, match="dead: 85"):
        run(devices["fake_nighthawk"], ghz(120), limits)


def test_what_the_device_cannot_do_is_refused(devices: dict[str, Any], limits: Limits) -> None:
    feed_forward = QuantumCircuit(2, 2)
    feed_forward.h(0)
    feed_forward.measure(0, 0)
    with feed_forward.if_test((feed_forward.clbits[0], 1)):
        feed_forward.x(1)
    feed_forward.measure(1, 1)
    with pytest.raises(
        QuantainerError, match="cannot do operations that depend on measured values"
    ):
        run(devices["fake_athens"], feed_forward, limits)
    result = run(devices["fake_fez"], feed_forward, limits, shots=1000)
    equal = sum(memory in (0, 3) for memory in memories(result, 2))
    assert equal > 900
    for options, code in (
        ({"method": "stabilizer"}, "invalid_option"),
        ({"engine": "stim"}, "invalid_option"),
    ):
        with pytest.raises(QuantainerError) as refused:
            run(devices["fake_fez"], ghz(2), limits, options=Options(**options))
        assert refused.value.code == code


def test_noise_beyond_memory_is_refused(kolkata: Emulator) -> None:
    circuit = QuantumCircuit(20, 20)
    for layer in range(30):
        for qubit in range(20):
            circuit.ry(0.3 + layer + qubit, qubit)
        for qubit in range(layer % 2, 19, 2):
            circuit.cx(qubit, qubit + 1)
    circuit.measure(range(20), range(20))
    with pytest.raises(QuantainerError) as refused:
        kolkata.plan(pub_of(circuit, shots=10), Options(), Limits(16 << 20, 1))
    assert refused.value.code == "out_of_memory"


def test_expectation_values_are_what_shots_tend_to(kolkata: Emulator, limits: Limits) -> None:
    a = Parameter("a")
    circuit = QuantumCircuit(2)
    circuit.ry(a, 0)
    circuit.cx(0, 1)
    fields: dict[str, Any] = {
        "parameters": np.array([[0.3], [1.2]]),
        "observables": (
            SparsePauliOp.from_list([("ZZ", 1.0), ("XX", 0.5)]),
            SparsePauliOp("IZ"),
        ),
        "pairs": ((0, 0), (1, 0), (1, 1)),
    }
    exact = pub_of(circuit, **fields)
    values = kolkata.run(exact, kolkata.plan(exact, Options(), limits), Options(), 1, 2).evs
    shots = replace(exact, precision=0.01, shots=10_000)
    drawn = kolkata.run(shots, kolkata.plan(shots, Options(), limits), Options(), 1, 2)
    assert values is not None
    assert drawn.evs is not None
    assert drawn.stds is not None
    assert np.all(np.abs(drawn.evs - values) < 5.5 * drawn.stds)
    ideal = [1 + 0.5 * np.sin(0.3), 1 + 0.5 * np.sin(1.2), np.cos(1.2)]
    assert np.all(np.abs(values) < np.abs(ideal))
    assert np.all(np.abs(values - ideal) < 0.15)


def test_same_seed_same_bits_and_rows_by_the_rule(kolkata: Emulator, limits: Limits) -> None:
    for method in ("density_matrix", "trajectories"):
        options = Options(method=method)
        once, again, on_two, other = (
            run(
                kolkata, ghz(3), limits, shots=300, seed=seed, threads=threads, options=options
            ).samples
            for seed, threads in ((5, 1), (5, 1), (5, 2), (6, 1))
        )
        assert np.array_equal(once, again)
        assert np.array_equal(once, on_two)
        assert not np.array_equal(once, other)
