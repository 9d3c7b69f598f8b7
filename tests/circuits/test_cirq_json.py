"""Cirq's JSON, read without Cirq, means what Cirq says it means."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.quantum_info import Operator

from quantainer.circuits import ReadOptions, measure, read
from quantainer_client.errors import QuantainerError

cirq = pytest.importorskip("cirq", reason="Cirq writes the files and says what they mean")
sympy = pytest.importorskip("sympy")

A, B, C, D = cirq.LineQubit.range(4)


def _json(circuit: object) -> bytes:
    return str(cirq.to_json(circuit)).encode()


def _unitary(circuit: object, order: list[object]) -> np.ndarray:
    """Cirq's unitary in Qiskit's order: the first qubit is the lowest bit."""
    return np.asarray(circuit.unitary(qubit_order=order[::-1], qubits_that_should_be_present=order))


def _assert_same(circuit: object, order: list[object] | None = None) -> None:
    order = order or sorted(circuit.all_qubits())
    ours = Operator(read(_json(circuit)).program).data
    theirs = _unitary(circuit, order)
    overlap = abs(np.vdot(ours, theirs)) / len(ours)
    assert overlap == pytest.approx(1, abs=1e-7)


SINGLE = [
    *(gate**power for gate in (cirq.X, cirq.Y, cirq.Z) for power in (1, 0.5, -0.25, 0.3, 0)),
    *(cirq.H**power for power in (1, 0.5, -0.25, 0)),
    cirq.XPowGate(exponent=0.3, global_shift=0.4),
    cirq.S,
    cirq.T**-1,
    cirq.rx(0.3),
    cirq.ry(-2.0),
    cirq.rz(1.1),
    cirq.PhasedXPowGate(phase_exponent=0.2, exponent=0.7),
    cirq.PhasedXPowGate(phase_exponent=0.0, exponent=0.5),
    cirq.PhasedXZGate(x_exponent=0.1, z_exponent=0.2, axis_phase_exponent=0.3),
    cirq.MatrixGate(cirq.testing.random_unitary(2, random_state=3)),
    cirq.I,
    cirq.SingleQubitCliffordGate.X_sqrt,
    cirq.SingleQubitCliffordGate.H,
    cirq.SingleQubitCliffordGate.Y_nsqrt,
]  # fmt: skip
DOUBLE = [
    *(
        gate**power
        for gate in (cirq.CX, cirq.CZ, cirq.SWAP, cirq.ISWAP)
        for power in (1, 0.5, -0.3)
    ),
    *(gate**power for gate in (cirq.XX, cirq.YY, cirq.ZZ) for power in (1, 0.25, -0.6)),
    cirq.PhasedISwapPowGate(phase_exponent=0.2, exponent=0.6),
    cirq.FSimGate(0.3, 0.7),
    cirq.PhasedFSimGate(0.3, 0.1, 0.2, 0.4, 0.5),
    cirq.ms(0.4),
    cirq.MatrixGate(cirq.testing.random_unitary(4, random_state=1)),
    cirq.TwoQubitDiagonalGate([0.1, 0.2, 0.3, 0.4]),
    cirq.ControlledGate(cirq.X**0.3),
    cirq.ControlledGate(cirq.XPowGate(exponent=0.3, global_shift=0.7)),
    cirq.ControlledGate(cirq.rx(0.4)),
    cirq.ControlledGate(cirq.H, control_values=[0]),
    cirq.ControlledGate(cirq.PhasedXZGate(x_exponent=0.1, z_exponent=0.2, axis_phase_exponent=0.3)),
    cirq.ControlledGate(cirq.YPowGate(exponent=0.8, global_shift=-0.5)),
    cirq.IdentityGate(2),
    cirq.QubitPermutationGate([1, 0]),
    cirq.ParallelGate(cirq.T, 2),
]
TRIPLE = [
    cirq.CCX,
    cirq.CCX**0.4,
    cirq.CCZ,
    cirq.CCZ**0.3,
    cirq.CSWAP,
    cirq.QubitPermutationGate([1, 2, 0]),
    cirq.QubitPermutationGate([1, 2, 0]) ** -1,
    cirq.ThreeQubitDiagonalGate([0.1 * k for k in range(8)]),
    cirq.ControlledGate(cirq.ISWAP**0.3),
    cirq.ControlledGate(cirq.ZZ**0.3, control_values=[0]),
    cirq.ControlledGate(cirq.X, 2, control_values=[0, (0, 1)]),
    cirq.ControlledGate(cirq.Z**0.3, control_values=cirq.SumOfProducts([[0, 1], [1, 0]])),
    cirq.CliffordGate.from_op_list([cirq.H(A), cirq.S(B), cirq.CX(A, C), cirq.Y(B)], [A, B, C]),
]


@pytest.mark.parametrize("gate", SINGLE + DOUBLE + TRIPLE, ids=str)
def test_every_gate_has_the_unitary_that_cirq_gives_it(gate: object) -> None:
    qubits = [A, B, C][: gate.num_qubits()]
    # The rotations before make phases between basis states visible.
    before = [cirq.PhasedXZGate(x_exponent=0.3, z_exponent=0.1 * k, axis_phase_exponent=0.2)(q)
              for k, q in enumerate(qubits)]  # fmt: skip
    _assert_same(cirq.Circuit(before, gate(*qubits[::-1])), qubits)


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 8))
@settings(max_examples=40, deadline=None)
def test_random_circuits_agree(seed: int, qubits: int, depth: int) -> None:
    circuit = cirq.testing.random_circuit(qubits, depth, 0.8, random_state=seed)
    if circuit.all_qubits():
        _assert_same(circuit)


def test_qubits_are_numbered_in_cirqs_order() -> None:
    named = [cirq.NamedQubit(name) for name in ("q10", "q9", "q2")]
    circuit = cirq.Circuit(cirq.X(named[2]), cirq.measure(*named, key="m"))
    program = read(_json(circuit)).program
    assert [program.find_bit(qubit).index for qubit in program.data[0].qubits] == [0]
    grid = [cirq.GridQubit(1, 0), cirq.GridQubit(0, 5), cirq.GridQubit(0, 1)]
    _assert_same(cirq.Circuit(cirq.X(grid[0]), cirq.H(grid[1]), cirq.T(grid[2])))


def test_symbols_become_parameters_that_bind_by_name() -> None:
    a, b = sympy.symbols("a b")
    circuit = cirq.Circuit(
        cirq.X(A) ** a, cirq.rz(2 * b + sympy.pi / 3)(A), cirq.CZ(A, B) ** (a * b), cirq.H(B) ** a
    )
    found = read(_json(circuit))
    assert measure(found).parameters == ("a", "b")
    bound = found.program.assign_parameters({"a": 0.3, "b": 0.7})
    theirs = _unitary(cirq.resolve_parameters(circuit, {"a": 0.3, "b": 0.7}), [A, B])
    overlap = abs(np.vdot(Operator(bound).data, theirs)) / 4
    assert overlap == pytest.approx(1, abs=1e-7)


def _counts(circuit: object) -> dict[str, int]:
    from qiskit_aer import AerSimulator

    program = read(_json(circuit)).program
    return dict(AerSimulator().run(program, shots=50, seed_simulator=1).result().get_counts())


def test_measurement_keys_become_registers_with_the_first_qubit_lowest() -> None:
    steps = [cirq.X(A), cirq.measure(A, B, key="m"), cirq.measure(C, key="n")]
    circuit = cirq.Circuit(steps, strategy=cirq.InsertStrategy.NEW)
    program = read(_json(circuit)).program
    assert [(register.name, register.size) for register in program.cregs] == [("m", 2), ("n", 1)]
    assert _counts(circuit) == {"0 01": 50}


def test_inverted_measurement() -> None:
    circuit = cirq.Circuit(cirq.X(B), cirq.measure(A, B, key="m", invert_mask=(True, True)))
    assert _counts(circuit) == {"01": 50}


@pytest.mark.parametrize(
    ("condition", "happens"),
    [
        ("m", True),
        (sympy.Symbol("m") > 1, True),
        (sympy.Eq(sympy.Symbol("m"), 2), True),  # Cirq's first qubit is the highest bit
        (sympy.Eq(sympy.Symbol("m"), 1), False),
        (cirq.BitMaskKeyCondition("m", bitmask=2, target_value=2, equal_target=True), True),
        (cirq.BitMaskKeyCondition("m", bitmask=1, target_value=1, equal_target=True), False),
    ],
    ids=str,
)
def test_classical_control(condition: object, happens: bool) -> None:
    circuit = cirq.Circuit(
        cirq.X(A),
        cirq.measure(A, B, key="m"),
        cirq.X(C).with_classical_controls(condition),
        cirq.measure(C, key="n"),
    )
    theirs = cirq.Simulator().run(circuit).measurements["n"][0][0]
    assert bool(theirs) is happens
    assert _counts(circuit) == {f"{int(happens)} 01": 50}


def test_nested_circuits_repeat_rename_and_bind() -> None:
    inner = cirq.FrozenCircuit(cirq.X(A) ** sympy.Symbol("t"), cirq.measure(A, key="m"))
    operation = (
        cirq.CircuitOperation(inner, use_repetition_ids=True).repeat(3).with_params({"t": 1})
    )
    moved = operation.with_qubit_mapping({A: C}).with_measurement_key_mapping({"m": "k"})
    circuit = cirq.Circuit(moved)
    program = read(_json(circuit)).program
    theirs = cirq.Simulator().run(circuit).measurements
    assert {register.name for register in program.cregs} == set(theirs)
    assert _counts(circuit) == {"1 0 1": 50}


def test_a_key_measured_again_gets_a_register_of_its_own() -> None:
    circuit = cirq.Circuit(
        cirq.measure(A, key="m"), cirq.X(A), cirq.measure(A, key="m"),
        cirq.X(B).with_classical_controls("m"),
        cirq.measure(B, key="n"),
    )  # fmt: skip
    found = read(_json(circuit))
    assert any("measured again" in note for note in found.notes)
    assert _counts(circuit) == {"1 1 0": 50}


@pytest.mark.parametrize(
    ("circuit", "message"),
    [
        (cirq.Circuit(cirq.depolarize(0.1)(A)), "DepolarizingChannel is noise"),
        ([cirq.Circuit(), cirq.Circuit()], "one circuit expected, got a list of 2"),
        (cirq.Circuit(cirq.IdentityGate(qid_shape=(3,))(cirq.LineQid(0, 3))), "qudit"),
        (cirq.X, "the file holds '_PauliX', not a circuit"),
    ],
)  # fmt: skip
def test_what_is_no_circuit_is_refused_with_its_line(circuit: object, message: str) -> None:
    with pytest.raises(QuantainerError, match=message) as caught:
        read(_json(circuit), "file.json")
    assert caught.value.message.startswith("file.json:")
    assert caught.value.message.split(":")[1].isdigit()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"cirq_type": "Circuit"}', "the field 'moments' is missing"),
        ('{"cirq_type": "Circuit", "moments": 3}', "not a Cirq circuit"),
        ('{"cirq_type": "Circuit", "moments": [', "not JSON"),
        ('{"cirq_type": "REF", "key": 1}', "refers to nothing"),
        ('{"cirq_type": "VAL", "key": 1, "val": {"cirq_type": "REF", "key": 1}}', "circle"),
        ('{"cirq_type": NaN}', "NaN is no number"),
        ('{"cirq_type": ' + "[" * 200_000, "too many nested brackets"),
    ],
)
def test_broken_documents_are_refused(text: str, message: str) -> None:
    with pytest.raises(QuantainerError, match=message):
        read(text.encode(), "file.json")


def test_repetitions_that_blow_up_are_refused() -> None:
    circuit = cirq.FrozenCircuit(cirq.X(A))
    for _ in range(6):
        circuit = cirq.FrozenCircuit(cirq.CircuitOperation(circuit, repetitions=1000))
    with pytest.raises(QuantainerError, match="too many operations") as caught:
        read(_json(circuit), options=ReadOptions(max_gates=10_000))
    assert caught.value.limit == 10_000


def test_angles_keep_their_value() -> None:
    program = read(_json(cirq.Circuit(cirq.rz(0.1)(A), cirq.X(A) ** 0.1))).program
    assert [float(step.params[0]) for step in program.data] == [0.1, 0.1 * math.pi]


@pytest.mark.parametrize(
    "operation",
    [
        cirq.QuantumFourierTransformGate(3).on(A, B, C),
        cirq.QuantumFourierTransformGate(4, without_reverse=True).on(A, B, C, D),
        cirq.QuantumFourierTransformGate(3).on(A, B, C) ** -1,
        cirq.QuantumFourierTransformGate(2).on(A, B).controlled_by(C),
        cirq.PhaseGradientGate(num_qubits=3, exponent=0.3).on(A, B, C),
        cirq.PauliStringPhasor(cirq.X(A) * cirq.Y(C), exponent_neg=0.3, exponent_pos=0.1),
        cirq.PauliStringPhasor(-cirq.Z(B) * cirq.Y(C), exponent_neg=0.3),
        cirq.PauliStringPhasorGate(cirq.DensePauliString("XZY"), exponent_neg=0.4).on(A, B, C),
        cirq.PauliStringPhasor(cirq.X(A) * cirq.Y(C), exponent_neg=0.3).controlled_by(B),
        cirq.DensePauliString("XY", coefficient=1j).on(A, B).controlled_by(C),
    ],
    ids=str,
)
def test_gates_that_are_made_of_others(operation) -> None:
    _assert_same(cirq.Circuit(operation))


def test_a_phasor_leaves_qubits_alone_on_which_it_has_no_pauli() -> None:
    """By its definition; Cirq 1.6 decomposes it with the idle qubit among the controls."""
    string = cirq.X(A) * cirq.Y(C)
    phasor = cirq.PauliStringPhasor(string, qubits=[A, B, C], exponent_neg=0.3, exponent_pos=0.1)
    ours = Operator(read(cirq.to_json(cirq.Circuit(phasor)).encode()).program).data
    paulis = Operator.from_label("YIX").data
    phases = [np.exp(1j * np.pi * turns) for turns in (0.1, 0.3)]
    expected = sum(f * (np.eye(8) + s * paulis) / 2 for f, s in zip(phases, (1, -1), strict=True))
    assert abs(abs(np.vdot(ours, expected)) / 8 - 1) < 1e-9


def test_a_wide_fourier_transform_is_over_the_limit_before_it_is_made() -> None:
    line = cirq.LineQubit.range(3000)
    text = cirq.to_json(cirq.Circuit(cirq.QuantumFourierTransformGate(3000).on(*line)))
    with pytest.raises(QuantainerError, match="max_gates") as caught:
        read(text.encode(), options=ReadOptions(max_gates=1_000_000))
    assert caught.value.code == "too_large"


def test_free_parameters_of_gates_that_are_made_of_others() -> None:
    a = sympy.Symbol("a")
    string = cirq.X(A) * cirq.Z(B)
    for operation in (cirq.PauliStringPhasor(string, exponent_neg=a),
                      cirq.PhaseGradientGate(num_qubits=2, exponent=a).on(A, B)):  # fmt: skip
        circuit = cirq.Circuit(operation)
        ours = read(cirq.to_json(circuit).encode()).program.assign_parameters({"a": 0.37})
        theirs = cirq.resolve_parameters(circuit, {"a": 0.37}).unitary()
        assert abs(abs(np.vdot(Operator(ours.reverse_bits()).data, theirs)) / 4 - 1) < 1e-9
