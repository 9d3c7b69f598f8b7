"""What differs from Qiskit's preset passes takes nothing away: exact, and as short."""

from __future__ import annotations

import random
from dataclasses import asdict

import pytest
from drawn_circuits import LINE4, device, same_up_to_phase, unitary_of
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.quantum_info import Operator
from qiskit.transpiler import generate_preset_pass_manager

from quantainer.circuits.compile import compile_program
from quantainer.core.target import TargetFacts
from quantainer_client.qiskit.target import target_of

LINE = device(4, LINE4)
RING12 = tuple(edge for i in range(12) for edge in ((i, (i + 1) % 12), ((i + 1) % 12, i)))
BASES = {
    "rz sx x cx": ("rz", "sx", "x", "cx"),
    "u cz": ("u", "cz"),
    "rx rz iswap": ("rx", "rz", "iswap"),
    "u3 ecr": ("u3", "ecr"),
    "with fractional": ("rz", "rx", "sx", "x", "id", "cz", "rzz"),
    "clifford and t": ("h", "s", "sdg", "t", "tdg", "cx"),
}


def _long(qubits: int, gates: int, seed: int, *, clifford_t: bool = False) -> QuantumCircuit:
    """One random gate after the other, far beyond what makes a circuit long."""
    draw = random.Random(seed)
    circuit = QuantumCircuit(qubits)
    names = ("h", "s", "t", "x", "z") if clifford_t else ("rx", "ry", "rz", "h", "sx", "t")
    for _ in range(gates):
        if draw.random() < 0.5:
            circuit.cx(*draw.sample(range(qubits), 2))
            continue
        name = draw.choice(names)
        angles = (draw.uniform(-7, 7),) if name.startswith("r") else ()
        getattr(circuit, name)(*angles, draw.randrange(qubits))
    return circuit


@pytest.mark.parametrize("level", [0, 1, 2, 3])
@pytest.mark.parametrize("basis", BASES.values(), ids=BASES.keys())
@given(seed=st.integers(0, 10_000), gates=st.integers(165, 240))
@settings(max_examples=3, deadline=None)
def test_long_circuits_stay_exact(basis, level, seed, gates) -> None:
    circuit = _long(4, gates, seed, clifford_t="h" in basis)
    compiled = compile_program(circuit, device(4, LINE4, basis_gates=basis), level)
    assert set(compiled.program.count_ops()) <= {*basis, "global_phase"}
    for step in compiled.program.data:
        if len(step.qubits) == 2:
            edge = tuple(compiled.program.find_bit(bit).index for bit in step.qubits)
            assert edge in LINE4
    assert same_up_to_phase(unitary_of(compiled, 4), Operator(circuit).data)


@pytest.mark.parametrize("level", [1, 2])
def test_as_few_two_qubit_gates_as_the_preset_passes(level: int) -> None:
    target = device(12, RING12)
    native = target_of(asdict(target))
    manager = generate_preset_pass_manager(level, target=native, seed_transpiler=5)
    ours = theirs = 0
    for seed in range(6):
        circuit = _long(10, 600, seed)
        ours += compile_program(circuit, target, level, 5).program.count_ops()["cx"]
        theirs += manager.run(circuit).count_ops()["cx"]
    assert ours < 1.03 * theirs


def test_level_0_leaves_folded_gates_alone() -> None:
    """Noise is amplified by gates that undo each other: they must not be undone."""
    circuit = QuantumCircuit(2)
    for _ in range(3):
        circuit.sx(0)
        circuit.x(0)
        circuit.x(0)
        circuit.cx(0, 1)
        circuit.cx(0, 1)
    found = compile_program(circuit, LINE, 0).program.count_ops()
    assert found == {"sx": 3, "x": 6, "cx": 6}
    assert compile_program(circuit, LINE, 1).program.size() < 5


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_barriers_of_the_user_stay_and_ours_goes(level: int) -> None:
    circuit = QuantumCircuit(4, 4)
    for first, second in ((0, 1), (1, 2), (2, 3), (0, 3), (0, 2), (1, 3)):
        circuit.cx(first, second)
        circuit.rx(0.3, second)
    circuit.barrier(label="mine")
    circuit.measure(range(4), range(4))
    barriers = compile_program(circuit, LINE, level).program.get_instructions("barrier")
    assert [step.operation.label for step in barriers] == ["mine"]


def test_gates_that_cancel_one_another_in_turn_all_go() -> None:
    circuit = QuantumCircuit(2)
    layers = [("cx", (0, 1)), ("h", (0,)), ("cx", (1, 0)), ("s", (1,)), ("cx", (0, 1))]
    for name, at in layers:
        getattr(circuit, name)(*at)
    both = circuit.compose(circuit.inverse())
    assert both is not None
    assert compile_program(both, LINE, 1).program.size() == 0


def test_an_ideal_simulator_without_basis_is_left_to_the_preset_passes() -> None:
    circuit = _long(3, 60, 1)
    target = TargetFacts(name="ideal", kind="simulator", qubits=3)
    compiled = compile_program(circuit, target, 1)
    assert same_up_to_phase(unitary_of(compiled, 3), Operator(circuit).data)
