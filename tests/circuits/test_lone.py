"""Qubits that no gate joins with another are placed well, and the same in every run."""

from __future__ import annotations

import math
import random
from dataclasses import asdict, replace

import pytest
from drawn_circuits import device
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.transpiler import generate_preset_pass_manager

from quantainer.circuits import measure, read
from quantainer.circuits.cache import CompileCache
from quantainer.circuits.compile import Compiled, compile_program
from quantainer.core.target import TargetFacts
from quantainer_client.qiskit.encode import encode
from quantainer_client.qiskit.target import target_of

RING = tuple(pair for i in range(6) for pair in ((i, (i + 1) % 6), ((i + 1) % 6, i)))


def compiled_for(program: QuantumCircuit, target: TargetFacts, level: int) -> Compiled:
    source = read(encode(program)[0])
    return CompileCache(steady=True).compile(source, measure(source), target, level)


def with_errors(target: TargetFacts, readout: list[float], gate_error: dict[str, float]):
    facts = tuple(
        replace(qubit, readout_error=error)
        for qubit, error in zip(target.qubit_facts, readout, strict=True)
    )
    return replace(target, qubit_facts=facts, gate_error=gate_error)


@st.composite
def partly_joined(draw) -> QuantumCircuit:
    """A circuit in which some qubits are joined, some are alone and some are idle."""
    width = draw(st.integers(3, 6))
    program = QuantumCircuit(width, width)
    joined = draw(st.integers(2, width - 1))
    for _ in range(draw(st.integers(1, 5))):
        program.cx(*draw(st.permutations(range(joined)))[:2])
    for qubit in draw(st.sets(st.integers(0, width - 1))):
        program.rx(0.1 + qubit, qubit)
        program.measure(qubit, qubit)
    return program


@pytest.mark.parametrize("errors", [True, False])
@pytest.mark.parametrize("level", [1, 2, 3])
@given(program=partly_joined(), two=st.sampled_from(["cx", "cz", "ecr"]))
@settings(max_examples=15, deadline=None)
def test_the_same_in_every_run(program: QuantumCircuit, two: str, level: int, errors: bool) -> None:
    facts = {f"{two} {a} {b}": 0.001 * (a + b) for a, b in RING} if errors else {}
    target = device(6, RING, basis_gates=("rz", "sx", "x", two), gate_error=facts)
    runs = [compiled_for(program, target, level) for _ in range(8)]
    assert len({encode(each.program) for each in runs}) == 1
    assert len({(each.initial_layout, each.final_layout) for each in runs}) == 1


@pytest.mark.parametrize("level", [1, 2, 3])
@pytest.mark.parametrize("best", [2, 3, 4, 5])
def test_the_free_place_with_the_least_error(best: int, level: int) -> None:
    errors = {f"cx {a} {b}": 0.001 if {a, b} == {0, 1} else 0.1 for a, b in RING}
    readout = [0.02] * 6
    readout[best] = 0.01
    target = with_errors(device(6, RING), readout, errors)
    program = QuantumCircuit(3, 1)
    program.cx(0, 2)
    program.x(1)
    program.measure(1, 0)
    compiled = compiled_for(program, target, level)
    assert set(compiled.initial_layout[0:3:2]) == {0, 1}
    assert compiled.initial_layout[1] == best


@pytest.mark.parametrize("level", [1, 2, 3])
def test_the_qubit_with_more_gates_chooses_first(level: int) -> None:
    errors = {f"cx {a} {b}": 0.001 if {a, b} == {0, 1} else 0.1 for a, b in RING}
    target = with_errors(device(6, RING), [0.02, 0.02, 0.05, 0.01, 0.02, 0.03], errors)
    program = QuantumCircuit(4, 3)
    program.cx(0, 2)
    program.measure(1, 0)
    program.measure(3, 1)
    program.measure(3, 2)
    compiled = compiled_for(program, target, level)
    assert compiled.initial_layout[3] == 3
    assert compiled.initial_layout[1] == 4


@pytest.mark.parametrize("level", [1, 2])
def test_gates_in_a_branch_join(level: int) -> None:
    """A qubit that is joined only under a condition stays beside its neighbour."""
    errors = {f"cx {a} {b}": 0.001 * (1 + a + b) for a, b in RING}
    target = device(6, RING, gate_error=errors)
    program = QuantumCircuit(3, 2)
    program.h(0)
    program.measure(0, 0)
    with program.if_test((0, 1)):
        program.cx(1, 2)
    program.measure(2, 1)
    compiled = compiled_for(program, target, level)
    assert tuple(compiled.initial_layout[1:3]) in RING
    assert len(set(compiled.initial_layout)) == 3


def test_more_lone_qubits_than_there_are_places_left_over() -> None:
    """All of the device is used, each place once."""
    program = QuantumCircuit(6)
    for qubit in range(6):
        program.rx(0.3, qubit)
    compiled = compiled_for(program, device(6, RING, gate_error={"cx 0 1": 0.1}), 2)
    assert sorted(compiled.initial_layout) == list(range(6))


def _loss(program: QuantumCircuit, target: TargetFacts) -> float:
    """Return the logarithm of the probability that nothing goes wrong, by the target's errors."""
    lost = 0.0
    for step in program.data:
        at = [program.find_bit(bit).index for bit in step.qubits]
        error = target.gate_error.get(" ".join([step.name, *map(str, at)]), 0.0)
        if step.name == "measure":
            error = target.qubit_facts[at[0]].readout_error or 0.0
        lost -= math.log1p(-error)
    return lost


@pytest.mark.parametrize("level", [1, 2, 3])
@pytest.mark.parametrize("two", ["cx", "cz"])
def test_no_more_is_lost_than_with_the_places_that_vf2_takes(level: int, two: str) -> None:
    """Over many circuits and devices; single places may be others of nearly equal ones."""
    draw = random.Random(level)
    ours = theirs = 0.0
    for _ in range(40):
        errors = {f"{two} {a} {b}": draw.uniform(0.002, 0.02) for a, b in RING}
        errors |= {f"{two} {b} {a}": errors[f"{two} {a} {b}"] for a, b in RING}
        errors |= {f"{one} {q}": draw.uniform(1e-4, 1e-3) for one in ("sx", "x") for q in range(6)}
        target = device(6, RING, basis_gates=("rz", "sx", "x", two))
        target = with_errors(target, [draw.uniform(0.005, 0.08) for _ in range(6)], errors)
        program = QuantumCircuit(5, 5)
        for _ in range(draw.randrange(1, 4)):
            program.cx(*draw.sample(range(3), 2))
        for qubit in range(5):
            for _ in range(draw.randrange(3)):
                program.rx(0.3 + draw.random(), qubit)
                program.ry(0.3 + draw.random(), qubit)
            program.measure(qubit, qubit)
        native = target_of(asdict(target))
        manager = generate_preset_pass_manager(level, target=native, seed_transpiler=7)
        ours += _loss(compile_program(program, target, level, 7).program, target)
        theirs += _loss(manager.run(program), target)
    assert ours <= 1.01 * theirs
