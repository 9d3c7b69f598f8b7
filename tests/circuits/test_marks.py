"""Free angles that pass through the compiler as marks come out right, and runs are shortened."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, replace

import numpy as np
import pytest
from drawn_circuits import LINE4, device, flat, flat_circuits, same_up_to_phase, unitary_of
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.quantum_info import Operator
from qiskit.transpiler import generate_preset_pass_manager

from quantainer.circuits import measure, read
from quantainer.circuits.builder import STANDARD_GATES
from quantainer.circuits.cache import CompileCache
from quantainer.circuits.compile import DEFAULT_SEED
from quantainer.circuits.runs import eulered, tidied, written
from quantainer_bench.compile import thin
from quantainer_client.circuit import Circuit as Flat
from quantainer_client.columns import GATES
from quantainer_client.qiskit.encode import encode
from quantainer_client.qiskit.target import target_of

TURNS = st.sampled_from([k * math.pi / 4 for k in range(-8, 9)]) | st.floats(-7, 7)
SX = np.array([[1, -1j], [-1j, 1]]) / math.sqrt(2)
X = np.array([[0, 1], [1, 0]])


@given(st.lists(TURNS, min_size=1, max_size=9))
def test_a_run_in_euler_angles_is_equal(turns: list[float]) -> None:
    run = [(angle, ()) for angle in turns]
    program = QuantumCircuit(1)
    for turn, angle in enumerate(turns):
        if turn:
            program.sx(0)
        program.p(angle, 0)
    euler = QuantumCircuit(1)
    names = {1: "u1", 2: "u2", 3: "u3"}
    for angles in eulered(tidied(run)):
        values = [angle for angle, _ in angles]
        euler.append(STANDARD_GATES[names[len(angles)]].gate_class(*values), [0])
    assert same_up_to_phase(Operator(euler).data, Operator(program).data)


@given(st.lists(TURNS, min_size=1, max_size=9))
def test_a_tidied_run_is_equal_and_has_two_sx_at_most(turns: list[float]) -> None:
    def product(gates):
        matrix = np.eye(2)
        for gate in gates:
            step = {"sx": SX, "x": X}.get(gate) if isinstance(gate, str) else None
            matrix = (np.diag([1, np.exp(1j * gate[0])]) if step is None else step) @ matrix
        return matrix

    run = [(angle, ()) for angle in turns]
    gates = written(tidied(run), tidy=True)
    assert same_up_to_phase(product(gates), product(written(run, tidy=False)))
    assert sum(isinstance(gate, str) for gate in gates) <= 2


def test_free_angles_stay_where_they_are() -> None:
    free = (0.0, ((3, 1.0),))
    run = [(0.1, ()), free, (math.pi, ()), (0.2, ())]
    assert tidied(run) == [(0.1, ()), (pytest.approx(math.pi + 0.2), ((3, 1.0),))]


RZ, EULER = ("rz", "sx", "x"), ("u1", "u2", "u3")


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize(
    ("singles", "twos"),
    [(RZ, "cx"), (RZ, "cz"), (RZ, "ecr"), (EULER, "cx"), (EULER, "cz")],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
@pytest.mark.parametrize("name", [name for name, (_, params) in GATES.items() if params])
def test_every_gate_with_angles(name: str, singles, twos: str, level: int) -> None:
    """Its neighbours are fixed, so that marks must be joined with what lies beside them."""
    qubits, params = GATES[name]
    target = device(4, LINE4, basis_gates=(*singles, twos))
    cache = CompileCache(steady=True)
    for turn in range(3):
        angles = [0.3 + 0.7 * index + turn for index in range(params)]
        circuit = Flat(3).h(0).sx(1).cx(0, 1)
        circuit.gate(name, list(range(qubits)), angles).sdg(0).h(1).cx(1, 2).h(0)
        source = read(circuit.encode())
        compiled = cache.compile(source, measure(source), target, level)
        assert compiled.cache == ("hit" if turn else "miss")
        assert set(compiled.program.count_ops()) <= {*singles, twos}
        assert same_up_to_phase(unitary_of(compiled, 3), Operator(source.program).data)


ONE_WAY = ((1, 0), (1, 2), (3, 2), (4, 3))


BOTH_WAYS = (*ONE_WAY, *((b, a) for a, b in ONE_WAY))


@pytest.mark.parametrize("singles", [RZ, EULER], ids=["rz", "u"])
@pytest.mark.parametrize(
    ("twos", "coupling", "dead"),
    [
        ("cx", ONE_WAY, ()),
        ("cx", BOTH_WAYS, ()),
        ("ecr", ONE_WAY, (0,)),
        ("cz", BOTH_WAYS, (4,)),
        ("cz", ONE_WAY, ()),
    ],
)
@given(drawn=flat_circuits(), shift=st.floats(-3, 3))
@settings(max_examples=25, deadline=None)
def test_devices_with_other_gates(drawn, shift, singles, twos, coupling, dead) -> None:
    """The compiler sees CX; the circuit has the device's own gates, in the ways it has them."""
    operations, qubits = drawn
    errors = {f"{twos} {a} {b}": 0.01 * (a + b) for a, b in coupling}
    target = device(5, coupling, dead, basis_gates=("id", *singles, twos), gate_error=errors)
    cache = CompileCache(steady=True)
    for turn in range(2):
        moved = [
            (name, at, [angle + turn * shift for angle in angles])
            for name, at, angles in operations
        ]
        source = read(flat(moved, qubits).encode())
        compiled = cache.compile(source, measure(source), target)
        assert same_up_to_phase(unitary_of(compiled, qubits), Operator(source.program).data)
        for step in compiled.program.data:
            if len(step.qubits) > 1 and step.name != "barrier":
                assert step.name == twos
                way = tuple(compiled.program.find_bit(bit).index for bit in step.qubits)
                assert way in coupling
                assert not set(way) & set(dead)
            elif len(step.qubits) == 1:
                assert step.name in singles
        alone = CompileCache(steady=True).compile(source, measure(source), target)
        assert encode(alone.program) == encode(compiled.program)


PULSES = {"sx": 1, "x": 1, "u2": 1, "u3": 2}


@pytest.mark.parametrize(("singles", "twos"), [(RZ, "cz"), (RZ, "ecr"), (EULER, "cx")])
def test_no_more_gates_than_qiskit_has(singles, twos: str) -> None:
    target = device(6, ((0, 1), (1, 2), (2, 3), (3, 4), (4, 5)), basis_gates=(*singles, twos))
    if twos != "ecr":
        both = tuple(way for a, b in target.coupling_map for way in ((a, b), (b, a)))
        target = replace(target, coupling_map=both)
    manager = generate_preset_pass_manager(
        1, target=target_of(asdict(target)), seed_transpiler=DEFAULT_SEED
    )
    ours, theirs = Counter(), Counter()
    for seed in range(6):
        program = thin(5, seed, layers=120)
        source = read(encode(program)[0])
        compiled = CompileCache(steady=True).compile(source, measure(source), target)
        ours.update(compiled.program.count_ops())
        theirs.update(manager.run(program).count_ops())
    assert ours[twos] <= 1.05 * theirs[twos]
    pulses = [sum(PULSES.get(name, 0) * found[name] for name in found) for found in (ours, theirs)]
    assert pulses[0] <= 1.15 * pulses[1]
