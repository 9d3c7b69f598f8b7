"""The compile cache never gives a wrong angle, stays within its bound, and says what it did."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from drawn_circuits import LINE4, device, flat, flat_circuits, same_up_to_phase, unitary_of
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import Operator

from quantainer.circuits import Circuit, measure, read
from quantainer.circuits.cache import CompileCache
from quantainer.circuits.compile import Compiled
from quantainer.core.target import TargetFacts
from quantainer_client.circuit import Circuit as Flat
from quantainer_client.circuit import Symbol
from quantainer_client.errors import QuantainerError
from quantainer_client.qiskit.encode import encode, encode_columns

LINE = device(4, LINE4)


def encode_named(program: QuantumCircuit) -> bytes:
    columns = encode_columns(program)
    assert columns is not None
    columns.name = program.name
    return columns.encode()


def _compile(
    cache: CompileCache, data: bytes, target: TargetFacts = LINE, level: int = 1
) -> Compiled:
    circuit = read(data)
    return cache.compile(circuit, measure(circuit), target, level)


def _with_angles(operations, angles):
    angles = iter(angles)
    return [(name, at, [next(angles) for _ in old]) for name, at, old in operations]


@pytest.mark.parametrize("level", [0, 1])
@given(drawn=flat_circuits(), data=st.data())
@settings(max_examples=40, deadline=None)
def test_hits_have_the_angles_that_were_asked_for(drawn, data, level) -> None:
    operations, qubits = drawn
    slots = sum(len(angles) for _, _, angles in operations)
    cache = CompileCache()
    special = st.sampled_from([0.0, math.pi, -math.pi / 2, 2 * math.pi]) | st.floats(-7, 7)
    for _ in range(4):
        angles = data.draw(st.lists(special, min_size=slots, max_size=slots))
        source = flat(_with_angles(operations, angles), qubits)
        compiled = _compile(cache, source.encode(), level=level)
        expected = Operator(read(source.encode()).program).data
        assert same_up_to_phase(unitary_of(compiled, qubits), expected)
    assert cache.statistics.hits + cache.statistics.misses == 4
    assert cache.statistics.misses <= 2


@pytest.mark.parametrize("level", [0, 1, 2, 3])
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_free_parameters_bind_by_name_whatever_their_order(data, level) -> None:
    """Shared parameters, affine expressions, names out of order: the compiled circuit agrees."""
    names = data.draw(st.permutations(["b", "a10", "a2", "z"]))
    terms = st.dictionaries(st.sampled_from(names), st.floats(-3, 3), max_size=3)
    circuit = Flat(3)
    for _ in range(data.draw(st.integers(1, 8))):
        symbol = Symbol(terms=data.draw(terms), constant=data.draw(st.floats(-3, 3)))
        gate = data.draw(st.sampled_from(["rx", "ry", "rz", "p"]))
        circuit.gate(gate, [data.draw(st.integers(0, 2))], [symbol])
        circuit.cx(*data.draw(st.permutations(range(3)))[:2])
    values = {name: data.draw(st.floats(-5, 5)) for name in names}
    source = read(circuit.encode()).program
    used = {parameter.name for parameter in source.parameters}
    bound = {name: value for name, value in values.items() if name in used}
    cache = CompileCache()
    for _ in range(2):
        compiled = _compile(cache, circuit.encode(), level=level)
        assert {parameter.name for parameter in compiled.program.parameters} == used
        program = compiled.program.assign_parameters(bound)
        expected = Operator(source.assign_parameters(bound)).data
        filled = Compiled(program, compiled.initial_layout, compiled.final_layout, 0, level)
        assert same_up_to_phase(unitary_of(filled, 3), expected)


def test_a_name_with_zero_weight_is_still_a_parameter_of_the_source() -> None:
    circuit = Flat(1).rz(Symbol(terms={"a": 0.0, "b": 1.0}), 0)
    compiled = _compile(CompileCache(), circuit.encode())
    program = compiled.program.assign_parameters(
        {parameter.name: 0.3 for parameter in compiled.program.parameters}
    )
    assert same_up_to_phase(Operator(program).data[:2, :2], np.diag(np.exp([-0.15j, 0.15j])))


def test_expressions_that_are_not_affine_are_compiled_and_right() -> None:
    vector = ParameterVector("v", 2)
    program = QuantumCircuit(2)
    program.rx(vector[0] * vector[1], 0)
    program.cx(0, 1)
    program.rz(vector[0] ** 2, 1)
    data, kind = encode(program)
    assert kind == "qpy"
    cache = CompileCache()
    circuit = read(data)
    states = []
    for _ in range(2):
        compiled = cache.compile(circuit, measure(circuit), LINE)
        states.append(compiled.cache)
        bound = compiled.program.assign_parameters({"v[0]": 0.7, "v[1]": -1.1})
        filled = Compiled(bound, compiled.initial_layout, compiled.final_layout, 0, 1)
        expected = Operator(program.assign_parameters({"v[0]": 0.7, "v[1]": -1.1})).data
        assert same_up_to_phase(unitary_of(filled, 2), expected)
    assert states == ["miss", "hit"]


def test_rows_of_values_give_the_angles_of_each_row() -> None:
    circuit = Flat(2).rx(Symbol("b") * 2 + 0.5, 0).cx(0, 1).rz(Symbol("a") - Symbol("b"), 1)
    circuit.ry(0.25, 0)
    data = circuit.encode()
    cache = CompileCache()
    _compile(cache, data)
    values = np.array([[0.1, 0.2], [1.0, -2.0], [3.0, 0.0]])  # columns a, b
    rows = cache.angles(data, values, LINE)
    assert rows is not None
    compiled = cache.find(data, LINE)
    assert compiled is not None
    for row, (a, b) in zip(rows, values, strict=True):
        bound = compiled.program.assign_parameters({"a": a, "b": b})
        expected = [float(angle) for step in bound.data for angle in step.params]
        assert row == pytest.approx(expected)


# --- What is kept ---------------------------------------------------------------------------------


def _rotations(*angles: float) -> bytes:
    circuit = Flat(2)
    for angle in angles:
        circuit.rx(angle, 0).cx(0, 1)
    return circuit.encode()


def test_first_compiled_as_it_is_then_for_any_angles_then_found() -> None:
    cache = CompileCache()
    states = [_compile(cache, _rotations(angle, 1.0)).cache for angle in (0.1, 0.1, 0.2, 0.3, 0.4)]
    assert states == ["miss", "hit", "miss", "hit", "hit"]
    assert (cache.statistics.hits, cache.statistics.misses) == (3, 2)


@pytest.mark.parametrize("level", [2, 3])
def test_higher_levels_use_what_the_angles_allow(level: int) -> None:
    cache = CompileCache()
    angles = [(0.1, 0.2), (0.3, 0.4), (0.0, 0.0), (0.1, 0.2)]
    found = [_compile(cache, _rotations(*pair), level=level) for pair in angles]
    assert [compiled.cache for compiled in found] == ["miss", "miss", "miss", "hit"]
    assert found[2].program.depth() == 0  # cx cx is nothing once the rotations are


def test_a_new_calibration_drops_what_the_old_one_had() -> None:
    cache = CompileCache()
    for angle in (0.1, 0.2, 0.3):
        _compile(cache, _rotations(angle))
    assert cache.statistics.entries == 1
    newer = device(4, LINE4, calibration="tuesday")
    assert cache.find(_rotations(0.4), newer) is None
    assert _compile(cache, _rotations(0.4), newer).cache == "miss"
    assert cache.statistics.entries == 1


def test_other_levels_and_seeds_are_other_entries() -> None:
    cache = CompileCache()
    circuit = read(_rotations(0.1))
    facts = measure(circuit)
    for level, seed in ((0, 1), (1, 1), (1, 2)):
        assert cache.compile(circuit, facts, LINE, level, seed).cache == "miss"
    assert cache.statistics.entries == 3


def test_the_bound_holds_and_the_least_used_goes_first() -> None:
    cache = CompileCache(max_bytes=20_000)
    for size in range(1, 40):
        _compile(cache, _rotations(*[0.1] * size))
        assert cache.statistics.bytes <= 20_000
    assert cache.statistics.entries < 39
    assert _compile(cache, _rotations(*[0.1] * 39)).cache in ("hit", "miss")
    assert _compile(cache, _rotations(0.1)).cache == "miss"


def test_workers_share_templates_through_a_directory(tmp_path: Path) -> None:
    first = CompileCache(directory=tmp_path / "shelf")
    for angle in (0.1, 0.2):
        _compile(first, _rotations(angle))
    second = CompileCache(directory=tmp_path / "shelf")
    compiled = _compile(second, _rotations(0.7))
    assert compiled.cache == "hit"
    expected = Operator(read(_rotations(0.7)).program).data
    assert same_up_to_phase(unitary_of(compiled, 2), expected)
    assert (tmp_path / "shelf").stat().st_mode & 0o777 == 0o700


def test_a_broken_file_on_the_shelf_is_thrown_away(tmp_path: Path) -> None:
    cache = CompileCache(directory=tmp_path)
    for angle in (0.1, 0.2):
        _compile(cache, _rotations(angle))
    (file,) = tmp_path.glob("*.template")
    whole = file.read_bytes()
    holed = whole[:-40] + bytes(32) + whole[-8:]
    for content in (b"", b"QTPL\xff\xff\xff\x7f", whole[:-9], holed):
        file.write_bytes(content)
        assert _compile(CompileCache(directory=tmp_path), _rotations(0.3)).cache == "miss"
        assert not file.exists()


def test_the_shelf_is_bounded(tmp_path: Path) -> None:
    cache = CompileCache(max_bytes=12_000, directory=tmp_path)
    for size in range(1, 20):
        for angle in (0.1, 0.2):
            _compile(cache, _rotations(*[angle] * size))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 12_000


@pytest.mark.parametrize("steady", [False, True])
@pytest.mark.parametrize("gate", ["rx", "h"])
def test_a_name_is_no_part_of_a_circuit(steady: bool, gate: str) -> None:
    def named(name: str) -> bytes:
        program = QuantumCircuit(2, name=name)
        getattr(program, gate)(*([0.3] if gate == "rx" else []), 0)
        program.cx(0, 1)
        return encode_named(program)

    cache = CompileCache(steady=steady)
    found = [_compile(cache, named(name)) for name in ("mine", "another one, longer", "", 'q"ö')]
    assert [compiled.cache for compiled in found[:3]] == ["miss", "hit", "hit"]
    assert not {compiled.program.name for compiled in found} & {"mine", "another one, longer"}
    expected = Operator(read(named("mine")).program).data
    for compiled in found:
        assert same_up_to_phase(unitary_of(compiled, 2), expected)


# --- Steady ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0, 1, 2, 3])
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_a_steady_cache_has_no_history(data, level, tmp_path_factory) -> None:
    """Whatever came before, here or in another process: the same circuit, and the right one."""
    operations, qubits = data.draw(flat_circuits(size=6))
    slots = sum(len(angles) for _, _, angles in operations)
    shelf = tmp_path_factory.mktemp("shelf")
    caches = [CompileCache(directory=shelf, steady=True) for _ in range(2)]
    special = st.sampled_from([0.0, math.pi, -math.pi / 2, math.pi / 4]) | st.floats(-7, 7)
    for turn in range(4):
        angles = data.draw(st.lists(special, min_size=slots, max_size=slots))
        source = flat(_with_angles(operations, angles), qubits).encode()
        found = _compile(caches[turn % 2], source, level=level)
        alone = _compile(CompileCache(steady=True), source, level=level)
        assert encode(found.program) == encode(alone.program)
        assert found.final_layout == alone.final_layout
        assert same_up_to_phase(unitary_of(found, qubits), Operator(read(source).program).data)


@pytest.mark.parametrize("first", [(0.1, 0.1, 0.1), (0.1, 0.2, 0.3), (0.1, math.pi / 2, 0.1)])
@pytest.mark.parametrize("settles", [True, False])
def test_a_template_may_wait_for_who_needs_it(first, settles: bool, tmp_path: Path) -> None:
    """Angles that equal one another, or those of the compiler's own gates, are not mixed up."""

    def encoded(angles: tuple[float, ...]) -> bytes:
        circuit = Flat(4, 4).h(3).swap(0, 2)
        for turn, angle in enumerate(angles):
            circuit.rx(angle, turn).ry(angle, 3).cx(turn, 3).rz(angle, 0).cp(angle, 1, 3)
        return circuit.encode()

    cache = CompileCache(directory=tmp_path, steady=True)
    for turn, angles in enumerate((first, first, tuple(a if a > 1 else a + 0.7 for a in first))):
        source = encoded(angles)
        compiled = _compile(cache, source)
        assert compiled.cache == ("hit" if turn else "miss")
        assert same_up_to_phase(unitary_of(compiled, 4), Operator(read(source).program).data)
        alone = _compile(CompileCache(steady=True), source)
        assert encode(alone.program) == encode(compiled.program)
        if settles:
            cache.settle()
            assert len(list(tmp_path.glob("*.template"))) == 1
    assert len(list(tmp_path.glob("*.template"))) == 1


def test_what_was_planned_is_shared_before_this_process_turns_to_other_work(tmp_path: Path) -> None:
    planner, runner = (CompileCache(directory=tmp_path, steady=True) for _ in range(2))
    for angles in ((0.1,), (0.1, 0.2)):
        circuit = read(_rotations(*angles))
        planner.compile(circuit, measure(circuit), LINE, planning=True)
    assert len(list(tmp_path.glob("*.template"))) == 1
    for angles, state in (((0.1,), "miss"), ((0.3,), "hit")):  # the first to run it
        assert _compile(runner, _rotations(*angles)).cache == state
    assert runner.statistics.misses == 1


def test_what_waits_for_its_template_is_bounded_too() -> None:
    cache = CompileCache(max_bytes=20_000, steady=True)
    circuits = [read(_rotations(*[0.1] * size)) for size in range(1, 30)]
    for circuit in circuits:
        cache.compile(circuit, measure(circuit), LINE, planning=True)
        assert cache.statistics.bytes <= 20_000
    cache.settle()
    assert cache.statistics.entries < 29
    assert cache.compile(circuits[9], measure(circuits[9]), LINE).cache == "miss"
    assert cache.find(_rotations(*[0.3] * 10), LINE) is not None


def test_what_only_a_plan_looked_at_is_a_miss_for_the_first_that_runs_it(tmp_path: Path) -> None:
    planner, runner = (CompileCache(directory=tmp_path, steady=True) for _ in range(2))
    circuit = read(_rotations(0.1))
    facts = measure(circuit)
    assert planner.compile(circuit, facts, LINE, planning=True).cache == "miss"
    assert planner.compile(circuit, facts, LINE, planning=True).cache == "hit"
    assert [runner.compile(circuit, facts, LINE).cache for _ in range(2)] == ["miss", "hit"]
    assert planner.compile(circuit, facts, LINE).cache == "hit"


def test_special_angles_are_made_use_of() -> None:
    cache = CompileCache(steady=True)
    assert _compile(cache, _rotations(0.0, 0.0)).program.depth() == 0
    assert _compile(cache, _rotations(0.3, 0.4)).program.depth() > 0
    assert _compile(cache, _rotations(0.0, 0.0)).program.depth() == 0


def _steps(program: QuantumCircuit) -> list[tuple[str, list[int]]]:
    return [(s.name, [program.find_bit(bit).index for bit in s.qubits]) for s in program.data]


def test_circuits_without_template_are_shared_too(tmp_path: Path) -> None:
    circuit = Flat(2, 1).rx(0.1, 0).measure(0, 0).rx(0.2, 1, condition=([0], 1)).encode()
    caches = [CompileCache(directory=tmp_path, steady=True) for _ in range(2)]
    first = _compile(caches[0], circuit)
    caches[0].settle()
    second = _compile(caches[1], circuit)
    assert (first.cache, second.cache) == ("miss", "hit")
    assert _steps(first.program) == _steps(second.program)
    assert first.initial_layout == second.initial_layout


def test_metadata_of_the_source_stay_with_it_and_with_nobody_else() -> None:
    texts = [f"OPENQASM 3.0;\npragma {name}\nqubit[2] q; U(0.1, 0.2, 0.3) q[0];\n"
             for name in ("mine", "yours")]  # fmt: skip
    for cache in (CompileCache(), CompileCache(steady=True)):
        for text, name in zip([*texts, texts[0]], ("mine", "yours", "mine"), strict=True):
            circuit = read(text.encode())
            compiled = cache.compile(circuit, measure(circuit), LINE)
            assert compiled.program.metadata["pragmas"] == [(2, name)]


# --------------------------------------------------------------------------------------------------


def test_feedback_is_found_again_only_as_it_was() -> None:
    def teleported(angle: float) -> bytes:
        circuit = Flat(2, 1).rx(angle, 0).measure(0, 0).rx(angle, 1, condition=([0], 1))
        return circuit.encode()

    cache = CompileCache()
    states = [_compile(cache, teleported(angle)).cache for angle in (0.1, 0.1, 0.2, 0.2, 0.1)]
    assert states == ["miss", "hit", "miss", "hit", "hit"]


def test_matrices_belong_to_the_structure() -> None:
    def with_matrix(matrix: np.ndarray, angle: float) -> bytes:
        program = QuantumCircuit(1)
        program.unitary(matrix, [0])
        program.rz(angle, 0)
        return encode(program)[0]

    flip, phase = np.array([[0, 1], [1, 0]]), np.diag([1, 1j])
    cache = CompileCache()
    for matrix, angle in ((flip, 0.1), (flip, 0.2), (phase, 0.2), (flip, 0.2)):
        data = with_matrix(matrix, angle)
        expected = Operator(read(data).program).data
        assert same_up_to_phase(unitary_of(_compile(cache, data), 1), expected)


def test_angles_that_are_not_finite_are_refused_on_the_fast_path_too() -> None:
    cache = CompileCache()
    for angle in (0.1, 0.2):
        _compile(cache, _rotations(angle))
    data = bytearray(_rotations(0.3))
    data[-8:] = np.array([np.nan]).tobytes()
    with pytest.raises(QuantainerError, match="not a finite number"):
        cache.find(bytes(data), LINE)


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_bytes_that_are_no_circuit_are_refused_or_not_found(data: bytes) -> None:
    with suppress(QuantainerError):
        assert CompileCache().find(data, LINE) is None


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_changed_bytes_are_never_taken_for_what_was_checked(data) -> None:
    cache = CompileCache()
    for angle in (0.1, 0.2):
        _compile(cache, _rotations(angle))
    changed = bytearray(_rotations(0.3))
    index = data.draw(st.integers(0, len(changed) - 9))
    old = changed[index]
    changed[index] = data.draw(st.integers(0, 255))
    try:
        found = cache.find(bytes(changed), LINE)
    except QuantainerError:
        return
    assert found is None or changed[index] == old


def test_a_refused_circuit_leaves_nothing_behind() -> None:
    cache = CompileCache()
    with pytest.raises(QuantainerError):
        _compile(cache, Flat(5).cx(0, 1).cx(1, 2).cx(2, 3).cx(3, 4).encode())
    assert cache.statistics.entries == 0


def test_circuits_of_other_formats_share_the_entries_of_equal_ones() -> None:
    cache = CompileCache()
    text = 'OPENQASM 2.0; include "qelib1.inc"; qreg q[2]; rx({}) q[0]; cx q[0],q[1];'
    states = []
    for angle in (0.1, 0.2, 0.3):
        circuit: Circuit = read(text.format(angle).encode())
        states.append(cache.compile(circuit, measure(circuit), LINE).cache)
    assert states == ["miss", "miss", "hit"]
