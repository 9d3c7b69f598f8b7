"""Cirq on the device: encodings against Cirq's own unitaries, and runs with a real broker."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

import cirq
import numpy as np
import pytest
import sympy
from qiskit.quantum_info import Operator

from quantainer.circuits import read
from quantainer_client import Connection, QuantainerError
from quantainer_client.cirq import QuantainerSampler
from quantainer_client.cirq.encode import NotAffineError, encode

q = cirq.LineQubit.range(6)
t, s = sympy.symbols("t s")


@pytest.fixture
def sampler(connection: Connection) -> QuantainerSampler:
    return QuantainerSampler(connection=connection)


def unitary_at_host(circuit: cirq.Circuit) -> np.ndarray:
    """Return the host's unitary of a circuit's gates, in Cirq's order of qubits."""
    measured = circuit + cirq.Circuit(cirq.measure(circuit.all_qubits(), key="m"))
    program = read(encode(measured, cirq.QubitOrder.DEFAULT).columns.encode())
    bare = program.program.remove_final_measurements(inplace=False)
    return np.asarray(Operator(bare.reverse_bits()).data)


def assert_equal(circuit: cirq.Circuit) -> None:
    cirq.testing.assert_allclose_up_to_global_phase(
        unitary_at_host(circuit), cirq.unitary(circuit), atol=1e-7
    )


GATES = [
    *(gate**power for gate in (cirq.X, cirq.Y, cirq.Z, cirq.H, cirq.CZ, cirq.CX, cirq.SWAP)
      for power in (1, 0.5, -0.5, 0.25, -0.25, 1.5, 0.3, 2, 0, -1)),
    *(gate**power for gate in (cirq.ISWAP, cirq.XX, cirq.YY, cirq.ZZ, cirq.CCX, cirq.CCZ)
      for power in (1, -1, 0.5, 0.3)),
    cirq.S, cirq.T, cirq.S**-1, cirq.I, cirq.CSWAP, cirq.rx(0.3), cirq.ry(0.3), cirq.rz(0.3),
    cirq.XPowGate(exponent=0.3, global_shift=0.7),
    cirq.PhasedXPowGate(phase_exponent=0.3, exponent=0.7),
    cirq.PhasedXZGate(x_exponent=0.1, z_exponent=0.2, axis_phase_exponent=0.3),
    cirq.FSimGate(0.3, 0.5), cirq.PhasedISwapPowGate(phase_exponent=0.2, exponent=0.4),
    cirq.MSGate(rads=0.3), cirq.givens(0.4), cirq.QubitPermutationGate([2, 0, 1]),
    cirq.ControlledGate(cirq.rx(0.3)), cirq.ControlledGate(cirq.Y**0.3, num_controls=2),
    cirq.ControlledGate(cirq.X, control_values=[0]), cirq.ThreeQubitDiagonalGate(range(8)),
    cirq.MatrixGate(cirq.testing.random_unitary(8, random_state=1)),
    cirq.SingleQubitCliffordGate.X_sqrt, cirq.ParallelGate(cirq.H, 3),
]  # fmt: skip


@pytest.mark.parametrize("gate", GATES, ids=str)
def test_gates_are_exact_up_to_a_global_phase(gate: cirq.Gate) -> None:
    width = cirq.num_qubits(gate)
    where = list(reversed(q[:width]))
    start = cirq.Circuit(cirq.H.on_each(*q[:width]), cirq.T(q[0]))
    assert_equal(start + cirq.Circuit(gate(*where)))


@pytest.mark.parametrize("seed", range(6))
def test_random_circuits_are_exact(seed: int) -> None:
    assert_equal(cirq.testing.random_circuit(4, 12, 0.8, random_state=seed))


def test_subcircuits_are_unrolled() -> None:
    inner = cirq.FrozenCircuit(cirq.H(q[0]), cirq.CX(q[0], q[1]) ** 0.5)
    assert_equal(
        cirq.Circuit(cirq.CircuitOperation(inner, repetitions=3), cirq.X(q[1]).with_tags("x"))
    )


@pytest.mark.report(43)
def test_bit_order_is_cirqs(sampler: QuantainerSampler) -> None:
    circuit = cirq.Circuit(cirq.X(q[0]), cirq.measure(q[0], q[1], q[2], key="m"))
    result = sampler.run(circuit, repetitions=5)
    assert result.measurements["m"].tolist() == [[1, 0, 0]] * 5
    assert result.histogram(key="m") == Counter({4: 5})
    flipped = cirq.Circuit(cirq.X(q[0]), cirq.measure(q[2], q[0], key="m"))
    assert sampler.run(flipped, repetitions=2).measurements["m"].tolist() == [[0, 1]] * 2
    batch = sampler.run_batch([circuit, flipped], repetitions=[3, 4])
    assert [one.measurements["m"].tolist() for (one,) in batch] == [[[1, 0, 0]] * 3, [[0, 1]] * 4]


def test_qubit_order_changes_no_result(connection: Connection) -> None:
    circuit = cirq.Circuit(cirq.X(q[0]), cirq.measure(q[0], q[1], key="m"))
    sampler = QuantainerSampler(qubit_order=[q[1], q[0]], connection=connection)
    assert sampler.run(circuit, repetitions=2).measurements["m"].tolist() == [[1, 0]] * 2


def test_inverted_and_repeated_measurements(sampler: QuantainerSampler) -> None:
    circuit = cirq.Circuit(
        cirq.X(q[0]),
        cirq.measure(q[0], q[1], key="a", invert_mask=(True,)),
        cirq.measure(q[0], key="b"),
        cirq.X(q[0]),
        cirq.measure(q[0], key="b"),
    )
    result = sampler.run(circuit, repetitions=3)
    assert result.records["a"].tolist() == [[[0, 0]]] * 3
    assert result.records["b"].tolist() == [[[1], [0]]] * 3


def test_wide_keys(sampler: QuantainerSampler) -> None:
    line = cirq.LineQubit.range(70)
    circuit = cirq.Circuit(cirq.X(line[0]), cirq.X(line[69]), cirq.measure(*line, key="m"))
    result = sampler.run(circuit, repetitions=3)
    assert result.histogram(key="m") == Counter({2**69 + 1: 3})


def test_ghz(sampler: QuantainerSampler) -> None:
    line = cirq.LineQubit.range(40)
    circuit = cirq.Circuit(cirq.H(line[0]), [cirq.CX(a, b) for a, b in pairwise(line)])
    circuit.append(cirq.measure(*line, key="m"))
    histogram = sampler.run(circuit, repetitions=500).histogram(key="m")
    assert set(histogram) == {0, 2**40 - 1}


def test_a_sweep_binds_each_point(sampler: QuantainerSampler) -> None:
    circuit = cirq.Circuit(
        cirq.X(q[0]) ** t,
        cirq.rx(math.pi * (t - s + 1)).on(q[1]),
        cirq.measure(q[0], q[1], key="m"),
    )
    sweep = cirq.Points("t", [0, 1]) * cirq.Points("s", [0, 1])
    results = sampler.run_sweep(circuit, sweep, repetitions=6)
    assert [dict(r.params.param_dict) for r in results] == [
        {"t": a, "s": b} for a in (0, 1) for b in (0, 1)
    ]
    found = [r.measurements["m"][0].tolist() for r in results]
    assert found == [[0, 1], [0, 0], [1, 0], [1, 1]]


def test_angles_that_are_not_affine_are_bound_here(sampler: QuantainerSampler) -> None:
    circuit = cirq.Circuit(cirq.X(q[0]) ** (t**2), cirq.measure(q[0], key="m"))
    with pytest.raises(NotAffineError):
        encode(circuit, cirq.QubitOrder.DEFAULT)
    results = sampler.run_sweep(circuit, cirq.Points("t", [0, 1]), repetitions=4)
    assert [r.measurements["m"][0, 0] for r in results] == [0, 1]


def test_points_without_parameters_are_independent(sampler: QuantainerSampler) -> None:
    circuit = cirq.Circuit(cirq.H.on_each(*q), cirq.measure(*q, key="m"))
    first, second = sampler.run_sweep(circuit, cirq.Points("unused", [0, 1]), repetitions=50)
    assert first.measurements["m"].tolist() != second.measurements["m"].tolist()


def test_parameters_without_a_value_are_named(sampler: QuantainerSampler) -> None:
    for exponent in (t, t**2):
        circuit = cirq.Circuit(cirq.X(q[0]) ** exponent, cirq.measure(q[0], key="m"))
        with pytest.raises(QuantainerError, match="t") as caught:
            sampler.run(circuit, repetitions=1)
        assert caught.value.code == "invalid_parameters"


def test_teleportation(sampler: QuantainerSampler) -> None:
    circuit = cirq.Circuit(
        cirq.ry(1.1)(q[0]), cirq.H(q[1]), cirq.CX(q[1], q[2]), cirq.CX(q[0], q[1]), cirq.H(q[0]),
        cirq.measure(q[0], key="z", invert_mask=(True,)), cirq.measure(q[1], key="x"),
        cirq.X(q[2]).with_classical_controls("x"),
        cirq.Z(q[2]).with_classical_controls(sympy.Eq(sympy.Symbol("z"), 0)),
        cirq.ry(-1.1)(q[2]), cirq.measure(q[2], key="out"),
    )  # fmt: skip
    result = sampler.run(circuit, repetitions=300)
    assert result.histogram(key="out") == Counter({0: 300})
    assert len(result.histogram(key="z")) == len(result.histogram(key="x")) == 2


@pytest.mark.parametrize("value", range(4))
@pytest.mark.parametrize(
    ("condition", "rule"),
    [
        ("a", lambda v: v != 0),
        (sympy.Symbol("a") > 1, lambda v: v > 1),
        (sympy.Xor(sympy.IndexedBase("a")[0], sympy.IndexedBase("a")[1]), lambda v: v in (1, 2)),
        (cirq.BitMaskKeyCondition.create_equal_mask(cirq.MeasurementKey("a"), 2), lambda v: v >= 2),
    ],
)
def test_conditions_mean_what_cirq_says(
    sampler: QuantainerSampler, value: int, condition: object, rule: object
) -> None:
    flips = [cirq.X(q[bit]) for bit in range(2) if value >> (1 - bit) & 1]
    circuit = cirq.Circuit(
        flips, cirq.measure(q[0], q[1], key="a"), cirq.X(q[2]).with_classical_controls(condition),
        cirq.measure(q[2], key="b"),
    )  # fmt: skip
    expected = int(rule(value))  # type: ignore[operator]
    assert sampler.run(circuit, repetitions=2).measurements["b"].tolist() == [[expected]] * 2
    assert (
        cirq.Simulator().run(circuit, repetitions=2).measurements["b"].tolist() == [[expected]] * 2
    )


def test_resets_and_pauli_measurements(sampler: QuantainerSampler) -> None:
    circuit = cirq.Circuit(
        cirq.H(q[0]), cirq.reset(q[0]), cirq.H(q[1]),
        cirq.PauliMeasurementGate(cirq.DensePauliString("ZX"), key="p")(q[0], q[1]),
    )  # fmt: skip
    assert sampler.run(circuit, repetitions=20).histogram(key="p") == Counter({0: 20})


@pytest.mark.parametrize(
    ("circuit", "code", "word"),
    [
        (cirq.Circuit(cirq.H(q[0])), "no_measurement", "cirq.measure"),
        (
            cirq.Circuit(cirq.depolarize(0.1)(q[0]), cirq.measure(q[0])),
            "unsupported_circuit",
            "depolarize",
        ),
        (cirq.Circuit(cirq.measure(cirq.LineQid(0, 3))), "unsupported_circuit", "3 levels"),
        (
            cirq.Circuit(cirq.measure(q[0], key="a", confusion_map={(0,): np.eye(2)[::-1]})),
            "unsupported_circuit",
            "confusion map",
        ),
        (
            cirq.Circuit(
                cirq.CircuitOperation(
                    cirq.FrozenCircuit(cirq.H(q[0]), cirq.measure(q[0], key="a")),
                    use_repetition_ids=False,
                    repeat_until=cirq.KeyCondition(cirq.MeasurementKey("a")),
                )
            ),
            "unsupported_circuit",
            "repeat_until",
        ),
        (
            cirq.Circuit(
                cirq.measure(*cirq.LineQubit.range(13), key="a"),
                cirq.X(q[0]).with_classical_controls("a"),
            ),
            "unsupported_circuit",
            "13 measured bits",
        ),
    ],
)
def test_what_cannot_travel_is_refused_by_name(
    sampler: QuantainerSampler, circuit: cirq.Circuit, code: str, word: str
) -> None:
    with pytest.raises(QuantainerError, match=word) as caught:
        sampler.run(circuit, repetitions=1)
    assert caught.value.code == code


def test_seeds(connection: Connection) -> None:
    circuit = cirq.Circuit(cirq.H.on_each(*q), cirq.measure(*q, key="m"))

    def series(seed: int | None) -> list[object]:
        sampler = QuantainerSampler(seed=seed, connection=connection)
        return [sampler.run(circuit, repetitions=30).measurements["m"].tolist() for _ in range(2)]

    assert series(4) == series(4)
    assert series(4)[0] != series(4)[1]
    assert series(None) != series(None)
    with pytest.raises(QuantainerError) as caught:
        QuantainerSampler(seed=-1, connection=connection)
    assert caught.value.code == "invalid_seed"


def test_cirqs_own_helpers_work(sampler: QuantainerSampler) -> None:
    frame = sampler.sample(
        cirq.Circuit(cirq.X(q[0]) ** t, cirq.measure(q[0], key="m")), params={"t": 1}, repetitions=3
    )
    assert frame["m"].tolist() == [1, 1, 1]
    values = sampler.sample_expectation_values(
        cirq.Circuit(cirq.X(q[0])), [cirq.Z(q[0])], num_samples=10
    )
    assert values == [[-1.0]]


def test_a_sweep_of_a_rotation_is_one_circuit_with_rows(connection: Connection) -> None:
    """``cirq.rx(t)`` has the angle ``t / sympy.pi * math.pi``."""
    qubit, t = cirq.LineQubit(0), sympy.Symbol("t")
    turned = cirq.Circuit(cirq.rx(2 * t + sympy.pi / 2)(qubit), cirq.measure(qubit, key="m"))
    columns = encode(turned, cirq.QubitOrder.DEFAULT).columns
    assert columns.symbols == [(0, [("t", pytest.approx(2.0))], pytest.approx(np.pi / 2))]
    points = cirq.Points("t", [np.pi / 4, -np.pi / 4])
    found = QuantainerSampler(connection=connection).run_sweep(turned, points, 5)
    assert [dict(each.histogram(key="m")) for each in found] == [{1: 5}, {0: 5}]


def test_an_empty_key_has_a_name_of_its_own(connection: Connection) -> None:
    a, b = cirq.LineQubit.range(2)
    circuit = cirq.Circuit(cirq.X(a), cirq.measure(a, key=""), cirq.measure(b, key="_"))
    found = QuantainerSampler(connection=connection).run(circuit, repetitions=3)
    assert {key: value.ravel().tolist() for key, value in found.records.items()} == {
        "": [1, 1, 1],
        "_": [0, 0, 0],
    }


def test_free_parameters_are_named(connection: Connection) -> None:
    qubit, t = cirq.LineQubit(0), sympy.Symbol("t")
    circuit = cirq.Circuit(cirq.X(qubit) ** (t * t), cirq.measure(qubit, key="m"))
    with pytest.raises(QuantainerError, match="still has free parameters: t"):
        QuantainerSampler(connection=connection).run(circuit)
