"""Compiling is exact up to global phase, leaves dead qubits alone, and refuses before it starts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from drawn_circuits import LINE4, device, flat, flat_circuits, same_up_to_phase, unitary_of
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.quantum_info import Operator

from quantainer.circuits import measure, read
from quantainer.circuits.cache import CompileCache
from quantainer.circuits.compile import Compiled, compile_for
from quantainer.circuits.fit import fit
from quantainer.core.target import TargetFacts
from quantainer_client.circuit import Circuit as Flat
from quantainer_client.errors import QuantainerError
from quantainer_client.qiskit.encode import encode


def _compile(circuit: Flat, target: TargetFacts, level: int = 1) -> Compiled:
    found = read(circuit.encode())
    return compile_for(found, measure(found), target, level)


def _ghz(qubits: int) -> Flat:
    circuit = Flat(qubits).h(0)
    for qubit in range(qubits - 1):
        circuit.cx(qubit, qubit + 1)
    return circuit.measure_all()


def _acts_on(compiled: Compiled) -> set[int]:
    program = compiled.program
    return {program.find_bit(bit).index for step in program.data for bit in step.qubits}


MIXED = device(
    4,
    ((0, 1), (2, 1), (2, 3)),
    basis_gates=("rz", "sx", "x", "cx", "ecr"),
    gate_error={"cx 0 1": 0.01, "ecr 2 1": 0.02, "cx 2 3": 0.01},
)
TARGETS = {
    "line": device(4, LINE4),
    "all-to-all": device(3),
    "one-way line": device(4, ((0, 1), (1, 2), (2, 3))),
    "ecr": device(4, LINE4, basis_gates=("rz", "sx", "x", "ecr")),
    "cz with u": device(4, LINE4, basis_gates=("u", "cz")),
    "a gate for each pair": MIXED,
    "hole at 0": device(5, ((0, 1), (1, 2), (2, 3), (3, 4)), dead=(0,)),
    "any gate": TargetFacts(name="ideal", kind="simulator", qubits=20),
}


@pytest.mark.parametrize("level", [0, 1, 2, 3])
@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())
@given(drawn=flat_circuits())
@settings(max_examples=12, deadline=None)
def test_compiled_circuits_have_the_same_unitary(drawn, target, level) -> None:
    operations, qubits = drawn
    circuit = flat(operations, qubits)
    compiled = _compile(circuit, target, level)
    if compiled.program.num_qubits > 10:
        assert compiled.program.num_qubits == 20
        return
    expected = Operator(read(circuit.encode()).program).data
    assert same_up_to_phase(unitary_of(compiled, qubits), expected)
    basis = set(target.basis_gates) | {"measure", "barrier", "global_phase"}
    assert not target.basis_gates or set(compiled.program.count_ops()) <= basis


@pytest.mark.parametrize("level", [0, 1, 2, 3])
@given(drawn=flat_circuits())
@settings(max_examples=10, deadline=None)
def test_an_ideal_simulator_gets_the_same_unitary(drawn, level) -> None:
    operations, qubits = drawn
    circuit = flat(operations, qubits)
    compiled = _compile(circuit, TargetFacts(name="i", kind="simulator", qubits=qubits), level)
    expected = Operator(read(circuit.encode()).program).data
    assert same_up_to_phase(unitary_of(compiled, qubits), expected)


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_each_pair_gets_the_gate_that_it_has(level: int) -> None:
    circuit = Flat(4, 1).h(0).cx(0, 1).cx(1, 2).cx(3, 2).cx(3, 0).measure(0, 0)
    circuit.cx(1, 0, condition=([0], 1)).cx(2, 1, condition=([0], 1))
    compiled = _compile(circuit, replace(MIXED, dynamic=True), level)
    found = set()
    steps = [(step, compiled.program.qubits) for step in compiled.program.data]
    while steps:
        step, qubits = steps.pop()
        at = [qubits.index(bit) for bit in step.qubits]
        names = dict(enumerate(at))
        if step.operation.name == "if_else":
            (block, *_) = step.operation.blocks
            outer = [compiled.program.qubits[names[place]] for place in range(block.num_qubits)]
            inner = dict(zip(block.qubits, outer, strict=True))
            steps += [
                (each.replace(qubits=[inner[bit] for bit in each.qubits]), qubits)
                for each in block.data
            ]
        elif len(at) == 2 and step.operation.name != "barrier":
            found.add(f"{step.operation.name} {at[0]} {at[1]}")
    assert found
    assert found <= set(MIXED.gate_error)


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_every_level_finds_the_qubits_that_are_connected(level: int) -> None:
    target = device(6, ((1, 2), (2, 3), (4, 5)))
    assert _acts_on(_compile(_ghz(3), target, level)) == {1, 2, 3}


def test_dead_qubits_are_left_alone() -> None:
    target = device(6, tuple((i, i + 1) for i in range(5)), dead=(1,))
    compiled = _compile(_ghz(4), target)
    assert 1 not in _acts_on(compiled)
    assert compiled.program.num_qubits == 6


def test_too_narrow_a_target_is_named() -> None:
    with pytest.raises(QuantainerError, match="1 usable qubits, the circuit needs 2") as caught:
        _compile(_ghz(2), device(1, ()))
    assert (caught.value.code, caught.value.limit, caught.value.needed) == ("too_many_qubits", 1, 2)


def test_dead_qubits_do_not_count_and_are_named() -> None:
    target = device(5, tuple((i, i + 1) for i in range(4)), dead=(2,))
    with pytest.raises(QuantainerError, match=r"4 usable qubits, .* needs 5 .* dead: 2") as caught:
        _compile(_ghz(5), target)
    assert (caught.value.limit, caught.value.needed) == (4, 5)


def test_a_hole_in_the_coupling_map_parts_the_device() -> None:
    target = device(5, tuple((i, i + 1) for i in range(4)), dead=(2,))
    with pytest.raises(QuantainerError, match=r"no connected group of 3 .* has 2 \(dead: 2\)"):
        _compile(_ghz(3), target)
    assert _acts_on(_compile(_ghz(2), target)) in ({0, 1}, {3, 4})


@pytest.mark.parametrize("dead", [(), (0, 2, 3, 4, 5)])
def test_a_coupling_map_that_is_not_contiguous(dead: tuple[int, ...]) -> None:
    target = device(8, ((1, 7), (7, 6)), dead=dead)
    assert _acts_on(_compile(_ghz(3), target)) == {1, 6, 7}
    with pytest.raises(QuantainerError, match=r"group of 4|needs 4"):
        _compile(_ghz(4), target)


def test_idle_qubits_need_no_room() -> None:
    circuit = Flat(50, 2).h(45).cx(45, 3).barrier().measure([45, 3], [0, 1])
    compiled = _compile(circuit, device(4, LINE4))
    assert compiled.program.num_qubits == 4
    assert [index for index, place in enumerate(compiled.initial_layout) if place is not None] == [
        3,
        45,
    ]


def test_what_the_target_cannot_do_is_refused_by_name() -> None:
    middle = Flat(1, 2).h(0).measure(0, 0).x(0).measure(0, 1)
    feedback = Flat(2, 2).h(0).measure(0, 0).x(1, condition=([0], 1)).measure(1, 1)
    plain = {"mid_circuit": False, "dynamic": False}
    with pytest.raises(QuantainerError, match="measurement or reset in the middle"):
        _compile(middle, device(4, LINE4, **plain))
    with pytest.raises(QuantainerError, match="depend on measured values"):
        _compile(feedback, device(4, LINE4, **plain))
    assert "if_else" in _compile(feedback, device(4, LINE4)).program.count_ops()
    with pytest.raises(QuantainerError, match=r"no way to do t with its gates \(h, s, cx\)"):
        _compile(Flat(1).t(0), device(4, LINE4, basis_gates=("h", "s", "cx")))
    with pytest.raises(QuantainerError, match="no optimisation level 4"):
        _compile(_ghz(2), device(4, LINE4), 4)


def test_the_same_input_gives_the_same_output() -> None:
    first, second = (_compile(_ghz(4), device(4, LINE4), 3) for _ in range(2))
    assert first.program == second.program


@pytest.mark.parametrize("level", [0, 1, 2, 3])
@pytest.mark.parametrize("edge", [(3, 4), (0, 4), (2, 0)])
def test_physical_qubits_are_the_devices(level: int, edge: tuple[int, int]) -> None:
    """``$n`` begins on qubit n, wherever the compiler would have liked it better."""
    a, b = edge
    text = f"""OPENQASM 3.0; include "stdgates.inc"; bit[2] c;
pragma kept
ry(0.3) ${a}; cx ${a}, ${b}; c[0] = measure ${a}; c[1] = measure ${b};"""
    line = tuple(e for i in range(5) for e in ((i, i + 1), (i + 1, i)))
    circuit = read(text.encode())
    for target in (device(6, line), device(6, line, dead=(5,)), device(6)):
        for cache in (CompileCache(), CompileCache(steady=True)):
            compiled = cache.compile(circuit, measure(circuit), target, level)
            assert compiled.initial_layout[a] == a
            assert compiled.initial_layout[b] == b
            assert compiled.program.metadata["physical_qubits"] == sorted(edge)
            assert compiled.program.metadata["pragmas"] == [(2, "kept")]
            free = read(text.replace("$", "q").replace("bit[2] c;", _declared()).encode())
            other = cache.compile(free, measure(free), target, level)
            assert "physical_qubits" not in other.program.metadata


def _declared() -> str:
    return "bit[2] c; " + " ".join(f"qubit q{index};" for index in range(5))


def test_physical_qubits_that_are_dead_or_missing_are_named() -> None:
    circuit = read(b"OPENQASM 3.0; bit c; U(0,0,0) $2; U(0,0,0) $7; c = measure $2;")
    with pytest.raises(QuantainerError, match=r"no usable qubits \$2, \$7"):
        compile_for(circuit, measure(circuit), device(6, dead=(2,)))


# --- Fit ------------------------------------------------------------------------------------------


def _calibrated() -> TargetFacts:
    places = ["rz 0", "rz 1", "sx 0", "sx 1", "cx 0 1", "cx 1 0", "measure 0", "measure 1"]
    durations = {"rz": 0.0, "sx": 0.05, "cx": 0.4, "measure": 1.0}
    errors = {"rz": 0.0, "sx": 0.001, "cx": 0.01, "measure": 0.02}
    return device(
        2,
        ((0, 1), (1, 0)),
        gate_duration_us={place: durations[place.split()[0]] for place in places},
        gate_error={place: errors[place.split()[0]] for place in places},
    )


def test_duration_coherence_and_success_add_up() -> None:
    circuit = read(_ghz(2).encode())
    found = fit(circuit, measure(circuit), _calibrated())
    # h becomes rz sx rz, then cx, then both measurements at once.
    assert found.fits
    assert found.duration_us == pytest.approx(0.05 + 0.4 + 1.0)
    assert found.coherence_share == pytest.approx(1.45 / 80)
    assert found.success_probability == pytest.approx(0.999 * 0.99 * 0.98**2)
    assert (found.swaps, found.qubits_used, found.native_two_qubit_depth) == (0, (0, 1), 1)


def test_a_circuit_that_outlasts_its_qubits_does_not_fit() -> None:
    circuit = Flat(2, 1)
    for _ in range(300):
        circuit.cx(0, 1).h(0)
    found = read(circuit.measure(0, 0).encode())
    result = fit(found, measure(found), _calibrated(), 0)
    assert not result.fits
    assert result.coherence_share is not None
    assert result.coherence_share > 1
    assert "the shortest T1 or T2" in result.reasons[0]


def test_what_the_target_does_not_state_is_unknown() -> None:
    circuit = read(_ghz(3).encode())
    found = fit(circuit, measure(circuit), device(3))
    assert found.fits
    assert found.duration_us is None
    assert found.coherence_share is None
    assert found.success_probability is None


def test_every_reason_is_listed() -> None:
    circuit = read(
        Flat(3, 1).t(0).cx(0, 1).cx(1, 2).measure(0, 0).x(1, condition=([0], 1)).encode()
    )
    target = device(2, ((0, 1),), basis_gates=("h", "cx"), dynamic=False)
    found = fit(circuit, measure(circuit), target)
    assert not found.fits
    assert len(found.reasons) == 3  # width, feedback, gates


@given(qubits=st.integers(2, 4), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_swaps_are_counted_as_the_target_needs_them(qubits: int, seed: int) -> None:
    circuit = read(_ghz(qubits).encode())
    compiled = compile_for(circuit, measure(circuit), device(4, LINE4), 1, seed)
    assert compiled.swaps == 0  # a chain lies on a line


def test_a_triangle_on_a_line_needs_a_swap() -> None:
    circuit = read(Flat(3).cx(0, 1).cx(1, 2).cx(0, 2).encode())
    compiled = compile_for(circuit, measure(circuit), device(3, ((0, 1), (1, 2))), 0)
    assert compiled.swaps == 1


@pytest.mark.parametrize("level", [0, 1, 2, 3])
@pytest.mark.parametrize("gates", [("rz", "sx", "x", "cx"), ("rz", "sx", "x", "cz")])
@given(
    pairs=st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 3)).filter(lambda pair: pair[0] != pair[1]),
        min_size=1,
        max_size=8,
    )
)
@settings(max_examples=15, deadline=None)
def test_swaps_are_counted_at_every_level(
    gates: tuple[str, ...], level: int, pairs: list[tuple[int, int]]
) -> None:
    """None are added exactly if every two qubits that meet lie beside one another."""
    circuit = Flat(4)
    for index, (first, second) in enumerate(pairs):  # gates that nothing joins or leaves out
        circuit.rx(0.3 + index, first).cx(first, second).ry(0.2 + index, second)
    target = device(4, LINE4, basis_gates=gates)
    compiled = _compile(circuit, target, level)
    places = [compiled.initial_layout[qubit] for pair in pairs for qubit in pair]
    met = {frozenset(places[at : at + 2]) for at in range(0, len(places), 2)}
    beside = met <= {frozenset(pair) for pair in LINE4}
    assert (compiled.swaps == 0) is beside
    if level == 0:
        wide = sum(len(step.qubits) == 2 for step in compiled.program.data)
        assert wide == len(pairs) + 3 * compiled.swaps


PARTS = device(5, ((4, 0), (3, 1), (3, 2)))
RING = ((0, 1), (1, 3), (0, 3))


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_idle_qubits_are_in_no_ones_way_where_the_device_is_in_parts(level: int) -> None:
    circuit = Flat(4)
    for a, b in RING:
        circuit.cx(a, b)
    compiled = _compile(circuit, PARTS, level)
    assert compiled.initial_layout[2] is None
    assert _acts_on(compiled) <= {1, 2, 3}
    placed = Flat(3).cx(0, 1).cx(1, 2).cx(0, 2)
    assert same_up_to_phase(unitary_of(compiled, 3), Operator(read(placed.encode()).program).data)


@pytest.mark.parametrize("level", [1, 2, 3])
def test_what_the_compiler_fails_on_is_refused(level: int) -> None:
    """Qiskit's search for a layout panics on it: a worker would die of that."""
    program = QuantumCircuit(4, 1)
    block = QuantumCircuit(4, 1)
    for a, b in RING:
        block.cx(a, b)
    program.h(0)
    program.measure(0, 0)
    program.if_else((program.clbits[0], 1), block, None, range(4), [0])
    found = read(encode(program)[0])
    with pytest.raises(QuantainerError, match="compiler failed on it") as caught:
        compile_for(found, measure(found), PARTS, level)
    assert caught.value.code == "unsupported_circuit"
    assert "only the qubits" in (caught.value.hint or "")


@pytest.mark.parametrize("level", [0, 1, 2, 3])
@pytest.mark.parametrize("two", ["cx", "ecr", "cz"])
@pytest.mark.parametrize("one", [("rz", "sx", "x"), ("u1", "u2", "u3")])
def test_a_gate_is_used_in_the_directions_that_are_stated(
    one: tuple[str, ...], two: str, level: int
) -> None:
    """The coupling map has both ways, but the gate's errors are those of one way."""
    stated = {f"{two} {a} {b}": 0.01 for a, b in ((1, 0), (1, 2), (3, 2))}
    target = device(4, LINE4, basis_gates=(*one, two), gate_error=stated)
    circuit = Flat(4).h(0).cx(0, 1).cx(1, 2).cx(2, 3).rx(0.3, 3).cx(2, 3).cx(1, 0)
    source = read(circuit.encode())
    compiled = _compile(circuit, target, level)
    again = CompileCache(steady=True).compile(source, measure(source), target, level)
    for program in (compiled.program, again.program):
        at = [(s.name, *(program.find_bit(b).index for b in s.qubits)) for s in program.data]
        assert {f"{n} {q[0]} {q[1]}" for n, *q in at if len(q) == 2} <= set(stated)
    expected = Operator(source.program).data
    for found in (compiled, again):
        assert same_up_to_phase(unitary_of(found, 4), expected)


@pytest.mark.parametrize("level", [0, 1, 2, 3])
@pytest.mark.parametrize("pairs", [((0, 1), (2, 3)), ((0, 3), (1, 2)), ((3, 1), (1, 0))])
def test_parts_of_a_circuit_go_to_parts_of_a_device(pairs, level: int) -> None:
    circuit = Flat(4)
    for a, b in pairs:
        circuit.h(a).cx(a, b)
    circuit.x(2).x(3)
    compiled = _compile(circuit, device(5, ((0, 1), (1, 2), (3, 4))), level)
    expected = Operator(read(circuit.encode()).program).data
    assert same_up_to_phase(unitary_of(compiled, 4), expected)
