"""Measurement on the way, reset, feed-forward, loops; classical registers of any width."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from exact import check, distribution, memories, run
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister, qasm2
from qiskit.circuit.classical import expr, types

from quantainer.backends.backend import Limits, Options
from quantainer.backends.choice import METHODS
from quantainer.backends.qsim import Qsim
from quantainer.backends.simulators import branching
from quantainer_client.errors import QuantainerError


def teleportation(theta: float) -> QuantumCircuit:
    circuit = QuantumCircuit(3, 3)
    circuit.ry(theta, 0)
    circuit.h(1)
    circuit.cx(1, 2)
    circuit.cx(0, 1)
    circuit.h(0)
    circuit.measure([0, 1], [0, 1])
    with circuit.if_test((circuit.clbits[1], 1)):
        circuit.x(2)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.z(2)
    circuit.measure(2, 2)
    return circuit


@pytest.mark.parametrize("engine", [None, "aer", "panta", "lightning", "numpy"])
def test_teleportation(engine: str | None, qsim: Qsim, limits: Limits) -> None:
    if engine is not None and engine not in qsim.engines:
        pytest.skip(f"{engine} is not installed")
    circuit = teleportation(1.1)
    result = run(qsim, circuit, limits, shots=4000, options=Options(engine=engine))
    assert result.metadata["method"] == "trajectories"
    check(memories(result, 3), distribution(circuit))
    ones = sum(memory >> 2 for memory in memories(result, 3))
    assert abs(ones / 4000 - math.sin(0.55) ** 2) < 5 * 0.5 / math.sqrt(4000)


def test_teleportation_of_a_clifford_state_runs_in_stims_own_language(
    qsim: Qsim, limits: Limits
) -> None:
    circuit = teleportation(math.pi)  # RY(π): Clifford, written as an angle
    result = run(qsim, circuit, limits, shots=1000)
    assert result.metadata["engine"] == "stim"
    assert {memory >> 2 for memory in memories(result, 3)} == {1}


@pytest.mark.report(46)
def test_condition_on_a_register_of_301_bits(qsim: Qsim, limits: Limits, corpus: Path) -> None:
    """Report 46: c300 of 0 leaves c200 at 0; of 1 it is measured anew after a Hadamard."""
    file = corpus / "Qiskit+benchpress/benchpress/qasm/bigint/bigint.qasm"
    circuit = qasm2.load(file)
    result = run(qsim, circuit, limits, shots=4000)
    assert result.samples is not None
    assert result.samples.shape == (1, 4000, 38)
    pairs = [memory >> 300 << 1 | (memory >> 200) & 1 for memory in memories(result, 301)]
    check(pairs, {0b00: 0.5, 0b10: 0.25, 0b11: 0.25})


@pytest.mark.report(46)
@pytest.mark.parametrize("width", [63, 64, 65, 100, 301])
@pytest.mark.parametrize("t_gate", [False, True])
def test_condition_on_a_wide_register_that_is_really_written(
    width: int, t_gate: bool, qsim: Qsim, limits: Limits
) -> None:
    """Every bit is measured before it is compared, so that nothing can be decided beforehand."""
    bits = ClassicalRegister(width, "c")
    out = ClassicalRegister(1, "out")
    circuit = QuantumCircuit(QuantumRegister(3), bits, out)
    circuit.h(0)
    if t_gate:
        circuit.t(0)
    circuit.measure(0, bits[width - 1])
    circuit.measure(0, bits[0])
    for index in range(1, width - 1):
        circuit.measure(1, bits[index])
    with circuit.if_test((bits, 2 ** (width - 1) + 1)):
        circuit.x(2)
    circuit.measure(2, out[0])
    result = run(qsim, circuit, limits, shots=500)
    top = 2 ** (width - 1) + 1 + 2**width
    check(memories(result, width + 1), {0: 0.5, top: 0.5})


@pytest.mark.parametrize("t_gate", [False, True])
def test_while_loop_until_heads(t_gate: bool, qsim: Qsim, limits: Limits) -> None:
    circuit = QuantumCircuit(2, 2)
    if t_gate:
        circuit.t(0)
    circuit.h(0)
    circuit.measure(0, 0)
    with circuit.while_loop((circuit.clbits[0], 1)):
        circuit.x(1)
        circuit.h(0)
        circuit.measure(0, 0)
    circuit.measure(1, 1)
    # The number of tails before heads is even with 1/2 + 1/8 + … = 2/3.
    check(memories(run(qsim, circuit, limits, shots=3000), 2), {0: 2 / 3, 2: 1 / 3})


@pytest.mark.parametrize("t_gate", [False, True])
def test_switch(t_gate: bool, qsim: Qsim, limits: Limits) -> None:
    bits, out = ClassicalRegister(2, "c"), ClassicalRegister(2, "out")
    circuit = QuantumCircuit(QuantumRegister(4), bits, out)
    circuit.h([0, 1])
    if t_gate:
        circuit.t(0)
    circuit.measure([0, 1], bits)
    with circuit.switch(bits) as case:
        with case(0, 3):
            circuit.x(2)
        with case(1):
            circuit.x(3)
        with case(case.DEFAULT):
            circuit.x([2, 3])
    circuit.measure([2, 3], out)
    expected = {0b0100: 0.25, 0b0111: 0.25, 0b1001: 0.25, 0b1110: 0.25}
    check(memories(run(qsim, circuit, limits, shots=2000), 4), expected)


@pytest.mark.parametrize("t_gate", [False, True])
def test_expressions_over_bits(t_gate: bool, qsim: Qsim, limits: Limits) -> None:
    bits, out = ClassicalRegister(3, "c"), ClassicalRegister(3, "out")
    circuit = QuantumCircuit(QuantumRegister(4), bits, out)
    circuit.h([0, 1, 2])
    if t_gate:
        circuit.t(0)
    circuit.measure([0, 1, 2], bits)
    tests = (
        expr.bit_xor(bits[0], bits[1]),
        expr.less(bits, 5),
        expr.equal(expr.bit_and(bits, 6), 4),
    )
    for test, bit in zip(tests, out, strict=True):
        circuit.reset(3)
        with circuit.if_test(test):
            circuit.x(3)
        circuit.measure(3, bit)
    expected: dict[int, float] = {}
    for value in range(8):
        flags = [(value ^ value >> 1) & 1, value < 5, value & 6 == 4]
        memory = value | sum(int(flag) << 3 + place for place, flag in enumerate(flags))
        expected[memory] = 1 / 8
    check(memories(run(qsim, circuit, limits, shots=2000), 6), expected)


def test_for_loop_with_its_counter_as_angle(qsim: Qsim, limits: Limits) -> None:
    circuit = QuantumCircuit(1, 1)
    with circuit.for_loop(range(4)) as index:
        circuit.rx(index * math.pi / 12, 0)  # 0 + 1 + 2 + 3 twelfths of π: a quarter turn
    circuit.measure(0, 0)
    result = run(qsim, circuit, limits, shots=3000)
    check(memories(result, 1), {0: 0.5, 1: 0.5})
    assert result.metadata["method"] != "trajectories"


def test_run_time_variables(qsim: Qsim, limits: Limits) -> None:
    circuit = QuantumCircuit(QuantumRegister(3), ClassicalRegister(2, "c"))
    flag = circuit.add_var("flag", expr.lift(False))
    circuit.h(0)
    circuit.measure(0, 0)
    circuit.store(flag, expr.logic_not(circuit.clbits[0]))
    with circuit.if_test(flag):
        circuit.x(2)
    circuit.measure(2, 1)
    check(memories(run(qsim, circuit, limits, shots=1000), 2), {0b01: 0.5, 0b10: 0.5})


def test_counting_in_a_variable(qsim: Qsim, limits: Limits) -> None:
    """A fair coin with a bias by T: count heads in a Uint, act on the count."""
    circuit = QuantumCircuit(QuantumRegister(2), ClassicalRegister(2, "c"))
    count = circuit.add_var("count", expr.lift(0, types.Uint(3)))
    for _ in range(3):
        circuit.reset(0)
        circuit.h(0)
        circuit.t(0)
        circuit.h(0)
        circuit.measure(0, 0)
        with circuit.if_test((circuit.clbits[0], 1)):
            circuit.store(count, expr.add(count, expr.lift(1, types.Uint(3))))
    with circuit.if_test(expr.equal(count, 3)):
        circuit.x(1)
    circuit.measure(1, 1)
    one = math.sin(math.pi / 8) ** 2
    expected = {0b00: 1 - one, 0b01: one - one**3, 0b11: one**3}
    check(memories(run(qsim, circuit, limits, shots=20_000), 2), expected)


@pytest.mark.parametrize("t_gate", [False, True])
def test_break_and_continue_run_on_aer(t_gate: bool, qsim: Qsim, limits: Limits) -> None:
    circuit = QuantumCircuit(2, 2)
    if t_gate:
        circuit.t(0)
    with circuit.for_loop(range(3)):
        circuit.h(0)
        circuit.measure(0, 0)
        with circuit.if_test((circuit.clbits[0], 1)):
            circuit.break_loop()
        circuit.x(1)
        circuit.reset(0)
    circuit.measure(1, 1)
    expected = {0b01: 0.5 + 0.125, 0b11: 0.25, 0b10: 0.125}
    result = run(qsim, circuit, limits, shots=2000)
    check(memories(result, 2), expected)
    assert result.metadata["engine"] == "aer"


def test_a_loop_without_end_ends(
    qsim: Qsim, limits: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(branching, "MAX_ROUNDS", 1000)
    circuit = QuantumCircuit(1, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    with circuit.while_loop((circuit.clbits[0], 1)):
        circuit.measure(0, 0)
    with pytest.raises(QuantainerError, match="did not end") as ended:
        run(qsim, circuit, limits, shots=10)
    assert ended.value.limit == 1000


def test_repeated_error_correction_rounds(qsim: Qsim, limits: Limits) -> None:
    """A repetition code of 25 bits: an X is found by its two syndromes in every round."""
    data = 25
    circuit = QuantumCircuit(2 * data - 1, 3 * (data - 1) + data)
    circuit.x(12)
    for round_ in range(3):
        for check_ in range(data - 1):
            ancilla = data + check_
            circuit.reset(ancilla)
            circuit.cx(check_, ancilla)
            circuit.cx(check_ + 1, ancilla)
            circuit.measure(ancilla, round_ * (data - 1) + check_)
    circuit.measure(range(data), range(3 * (data - 1), 3 * (data - 1) + data))
    result = run(qsim, circuit, limits, shots=100)
    assert result.metadata["engine"] == "stim"
    syndrome = 0b11 << 11
    whole = sum(syndrome << 24 * round_ for round_ in range(3)) | 1 << 72 + 12
    assert set(memories(result, 97)) == {whole}


ENGINES = ("aer", "lightning", "numpy", "panta", "prism", "qevedo", "qsimcirq", "stim")


@pytest.mark.report(46)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("width", [64, 65, 128, 301])
def test_result_registers_of_any_width_run_on_every_engine(
    engine: str, width: int, qsim: Qsim, limits: Limits
) -> None:
    """Report 46, and its kind: the highest, the 65th and the lowest bit are right."""
    if engine not in qsim.engines:
        pytest.skip(f"{engine} is not installed")
    circuit = QuantumCircuit(QuantumRegister(2), ClassicalRegister(width, "c"))
    circuit.x(0)
    circuit.measure(0, [width - 1])
    circuit.measure(0, [width // 2])
    circuit.measure(1, [0])
    right = {1 << width - 1 | 1 << width // 2: 1.0}
    done = 0
    for method in METHODS:
        options = Options(engine=engine, method=method)
        try:
            result = run(qsim, circuit, limits, shots=50, options=options)
        except QuantainerError as refused:
            if refused.code != "unsupported_circuit":
                raise
            continue
        check(memories(result, width), right)
        done += 1
    assert done


@pytest.mark.parametrize("engine", ["aer", "lightning", "numpy"])
def test_wide_registers_beside_a_condition_on_a_narrow_one(
    engine: str, qsim: Qsim, limits: Limits
) -> None:
    if engine not in qsim.engines:
        pytest.skip(f"{engine} is not installed")
    wide, narrow = ClassicalRegister(100, "wide"), ClassicalRegister(2, "narrow")
    circuit = QuantumCircuit(QuantumRegister(2), wide, narrow)
    circuit.x(0)
    circuit.measure(0, narrow[1])
    with circuit.if_test(expr.greater(narrow, 1)):
        circuit.x(1)
    circuit.measure(1, wide[99])
    options = Options(engine=engine, method="trajectories")
    result = run(qsim, circuit, limits, shots=50, options=options)
    check(memories(result, 102), {1 << 99 | 1 << 101: 1.0})


def test_wide_registers_beside_a_loop_that_only_one_engine_has(qsim: Qsim, limits: Limits) -> None:
    wide, narrow = ClassicalRegister(100, "wide"), ClassicalRegister(1, "narrow")
    circuit = QuantumCircuit(QuantumRegister(2), wide, narrow)
    circuit.x(0)
    with circuit.for_loop(range(5)):
        circuit.x(1)
        circuit.measure(0, narrow[0])
        with circuit.if_test((narrow, 1)):
            circuit.break_loop()
    circuit.measure(1, wide[99])
    result = run(qsim, circuit, limits, shots=50)
    assert result.metadata["engine"] == "aer"
    check(memories(result, 101), {1 << 99 | 1 << 100: 1.0})


def test_a_wide_register_that_is_compared_goes_to_an_engine_that_can(
    qsim: Qsim, limits: Limits
) -> None:
    wide, out = ClassicalRegister(100, "wide"), ClassicalRegister(1, "out")
    circuit = QuantumCircuit(QuantumRegister(2), wide, out)
    circuit.h(0)
    circuit.measure(0, wide[99])
    with circuit.if_test(expr.greater(wide, 2**98)):
        circuit.x(1)
    circuit.measure(1, out[0])
    result = run(qsim, circuit, limits, shots=500)
    check(memories(result, 101), {0: 0.5, 1 << 99 | 1 << 100: 0.5})
    with pytest.raises(QuantainerError) as refused:
        run(qsim, circuit, limits, options=Options(engine="aer"))
    assert refused.value.code == "unsupported_circuit"
    assert "64 bits at most, and 100" in refused.value.message
