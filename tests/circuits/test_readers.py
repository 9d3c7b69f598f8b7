"""One entry for all formats: detection by content, QPY, columnar and Stim, and limits."""

from __future__ import annotations

import io
import random
import struct

import numpy as np
import pytest
from drawn_circuits import flat, flat_circuits
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister, qpy
from qiskit.circuit import Clbit, Gate, Parameter, Qubit
from qiskit.circuit.library import MCXGate, QFTGate, UnitaryGate
from qiskit.qpy.common import QPY_VERSION
from qiskit.quantum_info import Operator, Statevector

from quantainer.circuits import ReadOptions, measure, read
from quantainer.circuits.detect import detect
from quantainer.cli.shield import shielded
from quantainer_client.circuit import Circuit as Flat
from quantainer_client.circuit import Symbol
from quantainer_client.errors import QuantainerError


def dumped(*programs: QuantumCircuit, **options) -> bytes:
    file = io.BytesIO()
    qpy.dump(list(programs), file, **options)
    return file.getvalue()


# --- Detection ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"OPENQASM 2.0;", "qasm2"),
        (b"// note\n/* more */ OPENQASM 2;", "qasm2"),
        (b"\xef\xbb\xbfOPENQASM 3.1;", "qasm3"),
        (b'include "qelib1.inc"; qreg q[1];', "qasm2"),
        (b'include "stdgates.inc"; qubit q;', "qasm3"),
        (b"qubit q; U(0,0,0) q;", "qasm3"),
        (b"QISKIT\x0d", "qpy"),
        (b"QCOL\x01", "columnar"),
        (b'{"cirq_type": "Circuit"}', "cirq"),
        (b' [ {"cirq_type": "Circuit"} ]', "cirq"),
        (b"H 0\nCX 0 1\nM 0 1", "stim"),
        (b"# comment\nQUBIT_COORDS(0, 1) 0\nR 0", "stim"),
        (b"REPEAT 3 {\n H 0\n}", "stim"),
        (b"; ModuleID = 'x'\ndefine void @main() #0 {", "qir"),
        (b"%Qubit = type opaque\ndeclare void @f(%Qubit*)", "qir"),
        (b"BC\xc0\xde\x35\x14", "qir"),
    ],
)
def test_formats_are_told_by_content(data: bytes, expected: str) -> None:
    assert detect(data) == expected
    assert detect(data, "misleading.stim") == expected


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b" \n\t", "the file is empty"),
        (b"OPENQASM 4.0;", r"f:1:10: unsupported OpenQASM version 4.0"),
        (b"\n// x\nOPENQASM 1;", r"f:3:10: unsupported OpenQASM version 1"),
        (b'{"a": 1}', "JSON, but not of Cirq"),
        (b"\xfd7zXZ\x00\x00", "compressed with xz"),
        (b"\x1f\x8b\x08", "compressed with gzip"),
        (b"PK\x03\x04", "compressed with zip"),
        (b"\x00\x01\x02", "binary data of no known"),
        (b"# GHZ\nfrom qiskit import QuantumCircuit\n", ":2: a Python program"),
        (b"#!/usr/bin/env python3\nimport numpy as np\nprint('x')\n", ":2: a Python program"),
    ],
)
def test_what_is_no_circuit_says_what_it_is(data: bytes, message: str) -> None:
    with pytest.raises(QuantainerError, match=message) as caught:
        detect(data, "f")
    assert caught.value.code == "invalid_circuit"


def test_text_of_no_known_format_is_told_what_it_was_taken_for() -> None:
    with pytest.raises(QuantainerError) as caught:
        read(b"print(this is no circuit)\n", "notes.txt")
    assert "taken for OpenQASM 3" in str(caught.value.hint)
    with pytest.raises(QuantainerError) as caught:
        read(b"OPENQASM 3.0;\nqubit q\n", "f")
    assert "taken for" not in str(caught.value.hint)


def test_a_format_that_does_not_exist_is_refused() -> None:
    with pytest.raises(QuantainerError, match="unknown circuit format 'quil'") as caught:
        read(b"H 0", format="quil")
    assert caught.value.code == "invalid_option"


@given(data=st.binary(max_size=300), format=st.none() | st.sampled_from(
    ["qasm2", "qasm3", "qpy", "columnar", "cirq", "stim", "qir"]))  # fmt: skip
@settings(max_examples=400, deadline=None)
def test_any_bytes_are_read_or_refused(data: bytes, format: str | None) -> None:
    refusal: QuantainerError | None = None
    try:
        measure(read(data, "any", format))
    except QuantainerError as error:
        refusal = error
    assert refusal is None or refusal.message


# --- QPY ------------------------------------------------------------------------------------------


def test_a_version_of_the_future_is_named_before_anything_is_read() -> None:
    data = bytearray(dumped(QuantumCircuit(1)))
    data[6] = QPY_VERSION + 1
    for rest in (bytes(data), bytes(data[:7]), b"QISKIT\xff\xff\xff"):
        with pytest.raises(QuantainerError) as caught:
            read(rest, "new.qpy")
        assert f"this node reads QPY <= {QPY_VERSION}" in caught.value.message
        assert f"version={QPY_VERSION}" in str(caught.value)


@pytest.mark.parametrize("version", range(13, QPY_VERSION + 1))
def test_every_version_that_qiskit_writes_is_read(version: int) -> None:
    program = QuantumCircuit(2, 1)
    program.rx(0.3, 0)
    program.cx(0, 1)
    program.measure(1, 0)
    circuit = read(dumped(program, version=version))
    assert measure(circuit).gates == {"cx": 1, "measure": 1, "rx": 1}
    assert circuit.notes == (f"QPY version {version}",)


def test_one_circuit_expected() -> None:
    programs = [QuantumCircuit(k, name=f"c{k}") for k in range(1, 4)]
    data = dumped(*programs)
    with pytest.raises(QuantainerError, match="one circuit expected, 3 found: c1, c2, c3"):
        read(data)
    assert read(data, options=ReadOptions(circuit="c2")).program.num_qubits == 2
    with pytest.raises(QuantainerError, match="0 circuits are named 'c9'"):
        read(data, options=ReadOptions(circuit="c9"))


def test_loose_bits_and_shared_bits_keep_their_places() -> None:
    qubits, bits = [Qubit() for _ in range(3)], [Clbit() for _ in range(3)]
    program = QuantumCircuit(qubits, bits)
    program.add_register(ClassicalRegister(name="high", bits=bits[1:]))
    program.add_register(QuantumRegister(name="q", bits=qubits[:2]))
    program.x(2)
    program.measure(2, 2)
    circuit = read(dumped(program))
    facts = measure(circuit)
    assert (facts.qubits, facts.clbits, facts.registers) == (3, 3, (("high", 2),))
    assert [circuit.program.find_bit(bit).index for bit in circuit.program.data[1].clbits] == [2]


def test_sizes_are_compared_with_the_limits_before_memory_is_taken() -> None:
    data = bytearray(dumped(QuantumCircuit(3, 2)))
    place = data.index(struct.pack("!II", 3, 2))
    for offset, thing in ((0, "qubits"), (4, "classical bits")):
        broken = data.copy()
        broken[place + offset] = 0x7F
        with pytest.raises(QuantainerError, match=f"too many {thing}"):
            read(bytes(broken), format="qpy")


def test_broken_qpy_is_refused_or_ends_the_reader_alone() -> None:
    """Sizes of inner blocks are only met while reading: memory for them is bounded from outside."""
    program = QuantumCircuit(2, 2)
    program.rx(Parameter("a"), 0)
    program.cx(0, 1)
    with program.if_test((program.clbits[0], 1)):
        program.x(0)
    whole = dumped(program)
    draw = random.Random(1)
    for _ in range(120):
        data = bytearray(whole)
        data[draw.randrange(7, len(data))] = draw.choice([0, 1, 2, 16, 127, 255])
        cut = whole[: draw.randrange(7, len(whole))]
        for broken in (bytes(data), cut):
            try:
                shielded("b.qpy", lambda data=broken: measure(read(data, "b.qpy", "qpy")), 1 << 30)
            except QuantainerError as error:
                refusal = error
            else:
                continue
            assert refusal.code in ("invalid_circuit", "too_large", "unsupported_circuit")


def test_gates_without_a_definition_are_refused_by_name() -> None:
    program = QuantumCircuit(1)
    program.append(Gate("mystery", 1, []), [0])
    with pytest.raises(QuantainerError, match="gate mystery has no definition") as caught:
        read(dumped(program))
    assert caught.value.code == "unsupported_circuit"


def test_wide_gates_become_standard_ones() -> None:
    program = QuantumCircuit(6)
    program.append(MCXGate(5), range(6))
    program.append(QFTGate(3), range(3))
    program.append(UnitaryGate(np.diag([1, 1j])), [2])
    circuit = read(dumped(program))
    allowed = {"unitary", *(name for name in measure(circuit).gates)}
    assert set(circuit.program.count_ops()) <= allowed
    assert "mcx" not in {step.name for step in circuit.program.data if len(step.qubits) > 4}
    assert Operator(circuit.program).equiv(Operator(program))


def test_a_gate_that_only_bears_a_standard_name_is_what_it_says() -> None:
    """A gate called ``cx`` with another definition must not be taken for the standard one."""
    definition = QuantumCircuit(2)
    definition.h(0)
    definition.swap(0, 1)
    impostor = Gate("cx", 2, [])
    impostor.definition = definition
    program = QuantumCircuit(2)
    program.append(impostor, [0, 1])
    assert Operator(read(dumped(program)).program).equiv(Operator(definition))


# --- Columnar -------------------------------------------------------------------------------------


@given(drawn=flat_circuits(qubits=4, size=15))
@settings(max_examples=50, deadline=None)
def test_columnar_circuits_become_what_was_encoded(drawn) -> None:
    operations, qubits = drawn
    program = read(flat(operations, qubits).encode()).program
    for step, (name, at, angles) in zip(program.data, operations, strict=True):
        assert step.name == name
        assert [program.find_bit(bit).index for bit in step.qubits] == at
        assert [float(angle) for angle in step.params] == angles


def test_columnar_parameters_conditions_and_matrices() -> None:
    matrix = [1, 0, 0, 0, 0, 0, 0, 1]  # diag(1, i): real and imaginary parts alternate
    circuit = Flat(2, 3).rx(2 * Symbol("b") - Symbol("a") + 1, 0).gate("unitary", [1], matrix)
    circuit.measure(0, 2).x(1, condition=([2, 0], [1, 3])).gate("h", [0], condition=([1], 0))
    found = read(circuit.encode())
    facts = measure(found)
    assert facts.parameters == ("a", "b")
    assert (facts.dynamic, facts.mid_circuit, facts.depth) == (True, True, 3)
    bound = found.program.assign_parameters({"a": 0.5, "b": 0.25})
    assert float(bound.data[0].params[0]) == pytest.approx(1.0)
    assert np.allclose(found.program.data[1].operation.to_matrix(), np.diag([1, 1j]))


def test_a_matrix_that_is_not_unitary_is_refused() -> None:
    with pytest.raises(QuantainerError, match=r"operation 0 \(unitary\)"):
        read(Flat(1).gate("unitary", [0], [1, 0, 0, 0, 0, 0, 2, 0]).encode())


def test_columnar_limits() -> None:
    data = Flat(10).h(0).h(1).h(2).encode()
    for options in (ReadOptions(max_gates=2), ReadOptions(max_qubits=9, max_clbits=9)):
        with pytest.raises(QuantainerError) as caught:
            read(data, options=options)
        assert caught.value.code in ("too_large", "too_many_qubits")


def test_columnar_reading_is_fast() -> None:
    """About a microsecond an operation; the bound leaves room for a busy machine."""
    import time

    circuit = Flat(20)
    for step in range(20_000):
        circuit.cx(step % 20, (step + 1) % 20)
        circuit.rz(0.1, step % 20)
    data = circuit.encode()
    best = min(_timed(lambda: read(data), time.process_time) for _ in range(3))
    assert best / 40_000 < 12e-6


def _timed(call, clock) -> float:
    start = clock()
    call()
    return clock() - start


# --- Stim -----------------------------------------------------------------------------------------


def _stim_gates() -> list[str]:
    stim = pytest.importorskip("stim")
    return [
        name
        for name, gate in stim.gate_data().items()
        if gate.is_unitary and (gate.is_single_qubit_gate or gate.is_two_qubit_gate)
    ]


@pytest.mark.parametrize("name", _stim_gates())
def test_every_stim_gate_is_the_one_that_stim_means(name: str) -> None:
    import stim

    qubits = "0" if stim.gate_data(name).is_single_qubit_gate else "1 0"
    text = f"H 0\nS 0\nH 1\nCX 0 1\nS_DAG 1\n{name} {qubits}\n"
    program = read(text.encode(), format="stim").program
    expected = Statevector(np.asarray(
        stim.Circuit(text).to_tableau().to_state_vector(endian="little")))  # fmt: skip
    state = Statevector.from_int(0, 2**program.num_qubits).evolve(Operator(program))
    assert expected.equiv(state, atol=1e-5)


@pytest.mark.parametrize(
    "text",
    ["MX 0", "MY !0", "MXX 0 1", "MYY 0 !1", "MZZ 0 1", "MPP X0*Z1 !Y0*Y1", "MRX 0", "MR !0 1",
     "RX 0\nMX 0", "RY 1\nMY 1", "SPP X0*Y1\nMX 0 1", "M 0\nCX rec[-1] 1\nM 1", "MPAD 0\nM 0",
     "M 0\nREPEAT 3 {\nCZ rec[-1] 1\nMR 0\n}\nMX 1"],
)  # fmt: skip
def test_stim_measurements_have_stims_distribution(text: str) -> None:
    import stim
    from qiskit_aer import AerSimulator

    source = f"H 0\nCX 0 1\nS 1\nH 1\n{text}\n"
    program = read(source.encode(), format="stim").program
    shots = 3000
    counts = AerSimulator().run(program, shots=shots, seed_simulator=2).result().get_counts()
    samples = stim.Circuit(source).compile_sampler(seed=5).sample(shots)
    theirs: dict[str, int] = {}
    for row in samples:
        key = "".join("01"[int(bit)] for bit in row[::-1])
        theirs[key] = theirs.get(key, 0) + 1
    assert set(counts) == set(theirs)
    for key, count in counts.items():
        assert abs(count - theirs[key]) < 6 * (2 * shots * 0.25) ** 0.5 + 1


def test_stim_noise_is_refused_and_annotations_are_kept() -> None:
    with pytest.raises(QuantainerError, match=r"s:2: noise \(DEPOLARIZE1\)") as caught:
        read(b"H 0\nDEPOLARIZE1(0.1) 0\nM 0", "s", "stim")
    assert "without_noise" in str(caught.value)
    circuit = read(
        b"R 0\nTICK\nM 0\nDETECTOR rec[-1]\nOBSERVABLE_INCLUDE(2) rec[-1]", format="stim"
    )
    assert circuit.program.metadata == {"stim": {"detectors": [[0]], "observables": {"2": [0]}}}
    assert circuit.notes == ("1 detectors and 1 observables are kept as metadata",)


@pytest.mark.parametrize("text", ["[", "H 0\nH[tag 1", "H[a] 0 ["])
def test_stim_brackets_that_are_not_closed_are_refused(text: str) -> None:
    """Stim's own parser takes all memory there is over one."""
    with pytest.raises(QuantainerError, match=r"s:\d+:\d+: a '\[' is not closed on its line"):
        read(text.encode(), "s", "stim")


def test_stim_faults_are_looked_for_in_whole_lines() -> None:
    """A part of a line may have an open bracket; a vertical tab ends none."""
    with pytest.raises(QuantainerError, match="s:2: "):
        read(b"H 0\n[\x0b\x0bM\x0b]\x0b\x0c\x85".replace(b"\x85", b"\xc2\x85"), "s", "stim")


def test_stim_loops_that_blow_up_are_refused_at_once() -> None:
    text = b"REPEAT 1000000 {\nREPEAT 1000000 {\nH 0\n}\n}"
    with pytest.raises(QuantainerError, match="too many operations") as caught:
        read(text, format="stim")
    assert caught.value.needed > 10**12


def test_detection_looks_at_content_only() -> None:
    header = struct.pack("<4sB3xI", b"QCOL", 9, 2)
    with pytest.raises(QuantainerError, match="version 9"):
        read(header + b"{}" + bytes(2), "circuit.qasm")
