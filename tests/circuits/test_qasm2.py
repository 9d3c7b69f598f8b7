"""OpenQASM 2: the whole language, the gate libraries, and refusals with their place."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit, qasm2
from qiskit.quantum_info import Operator

from quantainer.circuits import Circuit, ReadOptions, measure, read
from quantainer.circuits.qasm2.library import EXTENSION, LIBRARY
from quantainer_client.errors import QuantainerError

HEAD = 'OPENQASM 2.0;\ninclude "qelib1.inc";\n'


def program(body: str, **options) -> Circuit:
    return read((HEAD + body).encode(), "a.qasm", options=ReadOptions(**options))


def names(circuit: Circuit) -> list[str]:
    return [step.name for step in circuit.program.data]


# --- The language ---------------------------------------------------------------------------------


def test_broadcasts_registers_and_measures() -> None:
    registers = "qreg a[2]; qreg b[2]; creg c[2];"
    circuit = program(f"{registers} h a; cx a, b; barrier a, b; measure b -> c;")
    facts = measure(circuit)
    assert facts.gates == {"cx": 2, "h": 2, "measure": 2}
    assert facts.registers == (("c", 2),)
    assert [register.name for register in circuit.program.qregs] == ["a", "b"]


def test_expressions_have_their_usual_value() -> None:
    circuit = program("qreg q[1]; rx(-2^2+pi/2*3-sin(0.5)) q[0]; rz(ln(exp(1.5))) q[0];")
    assert float(circuit.program.data[0].params[0]) == pytest.approx(
        -4 + math.pi / 2 * 3 - math.sin(0.5)
    )
    assert float(circuit.program.data[1].params[0]) == pytest.approx(1.5)


def test_defined_gates_are_expanded_with_their_parameters() -> None:
    circuit = program(
        "gate inner(t) a { rz(t/2) a; }"
        "gate outer(x, y) a, b { inner(x+y) a; barrier a, b; cx b, a; }"
        "qreg q[2]; outer(0.5, 1.5) q[1], q[0];"
    )
    assert names(circuit) == ["rz", "barrier", "cx"]
    assert float(circuit.program.data[0].params[0]) == 1.0
    assert [circuit.program.find_bit(b).index for b in circuit.program.data[2].qubits] == [0, 1]


def test_conditions_hold_for_exactly_their_value() -> None:
    circuit = program(
        "qreg q[2]; creg c[3]; creg d[1]; if(c==5) x q[0]; if(d==1) measure q[0]->c[0];"
        "if(c==0) reset q[1]; if(d==7) x q[0];"
    )
    conditions = [step.operation.condition for step in circuit.program.data]
    found = [(getattr(target, "name", "bit"), value) for target, value in conditions]
    assert found == [("c", 5), ("bit", 1), ("c", 0)]
    assert any("never be met" in note for note in circuit.notes)


def test_windows_line_ends_and_byte_order_marks() -> None:
    text = "\ufeff" + (HEAD + "qreg q[1];\nh q[0];\n").replace("\n", "\r\n")
    assert names(read(text.encode())) == ["h"]


# --- Gate libraries -------------------------------------------------------------------------------


@pytest.mark.parametrize("gate", [*LIBRARY, *EXTENSION], ids=lambda gate: gate.name)
def test_every_library_gate_is_known(gate) -> None:
    angles = f"({','.join(['0.1'] * gate.params)})" if gate.params else ""
    qubits = ",".join(f"q[{index}]" for index in range(gate.qubits))
    text = f"qreg q[{gate.qubits}]; {gate.name}{angles} {qubits};"
    assert names(program(text)) == [gate.standard]
    if gate in EXTENSION:
        with pytest.raises(QuantainerError, match=f"'{gate.name}' is not defined") as caught:
            program(text, gate_library="strict")
        assert "gate_library=legacy" in str(caught.value)
    else:
        assert names(program(text, gate_library="strict")) == [gate.standard]


def test_the_choice_of_the_library_is_said() -> None:
    (note,) = program("qreg q[3]; sx q[0]; cswap q[0],q[1],q[2];").notes
    assert "not in the strict one: cswap, sx" in note
    assert "strict" in program("qreg q[1]; h q[0];", gate_library="strict").notes[0]


def test_a_file_may_use_the_wider_librarys_names_for_itself() -> None:
    circuit = program("qreg u[1]; creg p[1]; gate swap a { h a; } swap u[0]; measure u -> p;")
    assert names(circuit) == ["h", "measure"]


# --- Gates that are standard gates in truth -------------------------------------------------------


@pytest.mark.parametrize(
    ("definition", "use", "expected"),
    [
        ("gate ccnot a,b,c { h c; cx b,c; tdg c; cx a,c; t c; cx b,c; tdg c; cx a,c; t b; t c; h c;"
         " cx a,b; t a; tdg b; cx a,b; }", "ccnot q[2],q[1],q[0];", ["ccx"]),
        ("gate mine(t,f,l) q { U(t,f,l) q; }", "mine(0.1,0.2,0.3) q[0];", None),
        ("gate cu(a,b,l) c,t { u1((l-b)/2) t; u1((l+b)/2) c; cx c,t; u3(-a/2,0,-(b+l)/2) t; cx c,t;"
         " u3(a/2,b,0) t; }", "cu(0.1,0.2,0.3) q[0],q[1];", ["cu3"]),
        ("gate zz(t) a,b { cx a,b; rz(t) b; cx a,b; }", "zz(0.4) q[1],q[0];", ["rzz"]),
        ("gate fixed a,b { u1(0.3) b; cx a,b; u1(-0.3) b; cx a,b; }", "fixed q[0],q[1];", ["crz"]),
        ("gate nothing a { }", "nothing q[0];", ["id"]),
        ("gate two a,b { h a; cx a,b; }", "two q[0],q[1];", ["h", "cx"]),
    ],
)  # fmt: skip
def test_definitions_that_equal_standard_gates(definition, use, expected) -> None:
    circuit = program(f"{definition} qreg q[3]; {use}")
    if expected is not None:
        assert names(circuit) == expected
    reference = qasm2.loads(f"{HEAD}{definition} qreg q[3]; {use}")
    assert Operator(circuit.program).equiv(Operator(reference))


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_random_definitions_keep_their_meaning(data) -> None:
    """Gates made of gates, with and without parameters, against Qiskit's own reading."""
    lines, known = [], [("h", 0, 1), ("cx", 0, 2), ("rz", 1, 1), ("u3", 3, 1), ("ccx", 0, 3)]
    for index in range(data.draw(st.integers(1, 4))):
        params, qubits = data.draw(st.integers(0, 2)), data.draw(st.integers(1, 3))
        formal = [f"p{k}" for k in range(params)]
        expressions = [*formal, "0.5", "pi/3", *(f"-{p}*2" for p in formal)]
        body = []
        for _ in range(data.draw(st.integers(0, 4))):
            name, angles, width = data.draw(st.sampled_from([g for g in known if g[2] <= qubits]))
            at = data.draw(st.permutations(range(qubits)))[:width]
            values = [data.draw(st.sampled_from(expressions)) for _ in range(angles)]
            call = f"({','.join(values)})" if values else ""
            body.append(f"{name}{call} {','.join(f'a{k}' for k in at)};")
        head = f"({','.join(formal)})" if formal else ""
        arguments = ",".join(f"a{k}" for k in range(qubits))
        lines.append(f"gate g{index}{head} {arguments} {{ {' '.join(body)} }}")
        known.append((f"g{index}", params, qubits))
    name, params, qubits = known[-1]
    values = [repr(data.draw(st.floats(-3, 3))) for _ in range(params)]
    call = f"({','.join(values)})" if values else ""
    at = data.draw(st.permutations(range(3)))[:qubits]
    text = (
        HEAD + "\n".join(lines) + f"\nqreg q[3];\n{name}{call} {','.join(f'q[{k}]' for k in at)};"
    )
    ours = Operator(read(text.encode()).program)
    assert ours.equiv(Operator(qasm2.loads(text)))


# --- Refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "place", "reason"),
    [
        ("qreg q[1];\nmeasure w[0] -> c[0];", "4:9", "'w' is not defined"),
        ("qreg q[1];\nrx(1/0) q[0];", "4:5", "divide by zero"),
        ("qreg q[1];\nh q[0];\nrx(1e400) q[0];\nh q[0];", "5:1", "an angle is inf"),
        ("gate g(a) q { rx(a*1e308*9) q; }\nqreg q[1];\n// note\ng(2) q[0];", "6:1", "is inf"),
        ("opaque f a;\nqreg q[1];\nf q[0];", "5:1", "gate 'f' is opaque"),
        ("qreg q[2];\ncx q[0],q[0];", "4:1", "duplicate qubits"),
        ("qreg q[99999999999999999999];", "3:7", "cannot be that large"),
        ("qreg q[1];\n/* no */", "4:1", "/"),
        ('include "../../etc/passwd";', "3:9", "unable to find"),
        ("int x = 5;", "3:1", "'int' is not defined"),
        ("qreg q[1];\nh q[1];", "4:5", "out-of-range"),
        ("qreg q[1]", "3:", "end-of-file"),
        ("qreg q[2];\ncu1 q[0],q[1];", "4:1", "'cu1' takes 1 parameters"),
        ("gate g(a) x { rz(a) x; }\nqreg q[1];\ng q[0];", "5:1", "'g' takes 1 parameters"),
        ("gate g x { rz x; }\nqreg q[1];\ng q[0];", "5:1", "'rz' takes 1 parameters"),
    ],
)  # fmt: skip
def test_refusals_name_line_column_and_reason(body: str, place: str, reason: str) -> None:
    with pytest.raises(QuantainerError) as caught:
        program(body)
    assert caught.value.message.startswith(f"a.qasm:{place}")
    assert reason in caught.value.message


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(QuantainerError, match=r"a\.qasm:3:6: byte 0xff is not UTF-8"):
        read((HEAD + "qreg ").encode() + b"\xff[1];", "a.qasm")


def test_includes_only_from_the_folders_given(tmp_path) -> None:
    (tmp_path / "own.inc").write_text("gate own a { h a; }")
    body = 'include "own.inc"; qreg q[1]; own q[0];'
    with pytest.raises(QuantainerError, match=r"unable to find 'own\.inc'"):
        program(body)
    assert names(program(body, include_path=(str(tmp_path),))) == ["h"]
    (tmp_path / "own.inc").write_text("gate own a {\n  w a;\n}")
    with pytest.raises(QuantainerError, match=r"own\.inc:2:3: 'w' is not defined"):
        program(body, include_path=(str(tmp_path),))


# --- Limits ---------------------------------------------------------------------------------------


def test_limits_are_named() -> None:
    for options, body, limit in (
        ({"max_gates": 3}, "qreg q[4]; h q;", "max_gates"),
        ({"max_qubits": 3}, "qreg q[4];", "max_qubits"),
        ({"max_clbits": 3}, "creg q[4];", "max_clbits"),
        ({"max_bytes": 10}, "", "max_bytes"),
        ({"max_nesting": 5}, "qreg q[1]; rx((((((1)))))) q[0];", "max_nesting"),
    ):
        with pytest.raises(QuantainerError, match="the limit is") as caught:
            program(body, **options)
        assert caught.value.code == "too_large"
        assert limit in str(caught.value)


@pytest.mark.parametrize(
    "expression",
    [
        "(" * 200_000 + "1" + ")" * 200_000,
        "-" * 200_000 + "1",
        "1" + "+1" * 200_000,
        "sin(" * 200_000 + "1" + ")" * 200_000,
        "1" + "^1" * 200_000,
    ],
    ids=["parentheses", "signs", "sum", "functions", "powers"],
)
def test_deep_expressions_do_no_harm(expression: str) -> None:
    for body in (f"qreg q[1]; rx({expression}) q[0];",
                 f"gate g(a) q {{ rx({expression}) q; }} qreg q[1]; g(1) q[0];"):  # fmt: skip
        start = time.process_time()
        with pytest.raises(QuantainerError) as caught:
            program(body)
        assert caught.value.code == "too_large"
        assert time.process_time() - start < 2


def test_definitions_that_double_are_refused_before_they_are_expanded() -> None:
    lines = ["gate g0 a { h a; }"]
    lines += [f"gate g{k} a {{ g{k - 1} a; g{k - 1} a; }}" for k in range(1, 60)]
    start = time.process_time()
    with pytest.raises(QuantainerError, match="too many gates"):
        program("\n".join(lines) + " qreg q[1]; g59 q[0];")
    assert time.process_time() - start < 5


def test_definitions_nested_too_deeply_are_refused() -> None:
    lines = ["gate g0 a { h a; }", *(f"gate g{k} a {{ g{k - 1} a; }}" for k in range(1, 2000))]
    with pytest.raises(QuantainerError, match="nested gate definitions"):
        program("\n".join(lines) + " qreg q[1]; g1999 q[0];")


@pytest.mark.slow
def test_time_is_linear_in_the_length() -> None:
    def seconds(lines: int) -> float:
        body = "qreg q[20];\n" + "".join(
            f"rz(0.{k}) q[{k % 20}];\ncx q[{k % 20}],q[{(k + 1) % 20}];\n"
            for k in range(lines // 2)
        )
        start = time.process_time()
        program(body)
        return time.process_time() - start

    seconds(1000)
    short, long = min(seconds(20_000) for _ in range(3)), seconds(200_000)
    assert long < 25 * short
    assert long < 15


# --- Anything at all ------------------------------------------------------------------------------

_WORDS = (
    *("qreg", "creg", "gate", "opaque", "barrier", "measure", "reset", "if", "include", "OPENQASM"),
    *(
        "h",
        "cx",
        "q",
        "c",
        "rx",
        "U",
        "pi",
        "sin",
        "0",
        "1",
        "2.5",
        "1e9",
        '"qelib1.inc"',
        "->",
        "==",
    ),
    *("(", ")", "[", "]", "{", "}", ";", ",", "+", "-", "*", "/", "^", "//", "\n", "\x00", "é"),
)


@given(st.lists(st.sampled_from(_WORDS), max_size=40))
@settings(max_examples=300, deadline=None)
def test_any_text_is_read_or_refused(words: list[str]) -> None:
    try:
        measure(program(" ".join(words)))
    except QuantainerError as error:
        refusal = error
    else:
        return
    assert refusal.code in ("invalid_circuit", "too_large", "unsupported_circuit")
    assert refusal.message.startswith("a.qasm:")


def test_qiskits_own_export_comes_back() -> None:
    source = QuantumCircuit(3, 3)
    source.h(0)
    source.rzx(0.3, 0, 1)
    source.ecr(1, 2)
    source.ccz(0, 1, 2)
    source.r(0.1, 0.2, 1)
    source.cs(0, 2)
    circuit = read(qasm2.dumps(source).encode())
    assert Operator(circuit.program).equiv(Operator(source))
    assert names(circuit) == ["h", "rzx", "ecr", "ccz", "r", "cs"]


def test_gates_on_one_qubit_twice_are_kept_in_their_places_on_demand() -> None:
    text = """OPENQASM 2.0;
include "qelib1.inc"; qreg q[3]; creg impossible_[3];
h q[0]; // cx q[0],q[0];
cx q[1], q[1]; rzz(0.3*(1+2)) q[2],
  q[2];
x q[0];
if(impossible_==1) cx q[0],q[0];
ccx q[0],q[1],q[0];
"""
    with pytest.raises(QuantainerError, match=r"^f:4:\d+: duplicate qubits"):
        read(text.encode(), "f")
    circuit = read(text.encode(), "f", options=ReadOptions(keep_faults=True))
    places = [fault.split(" ")[0] for fault in circuit.faults]
    assert places == ["f:4:1:", "f:4:16:", "f:7:20:", "f:8:1:"]
    facts = measure(circuit)
    assert facts.gates == {"h": 1, "impossible": 4, "x": 1}
    assert (facts.depth, facts.clifford, facts.qubits) == (4, False, 3)
    wrong = text.replace("x q[0];\nif", "x q[9];\nif").encode()
    with pytest.raises(QuantainerError, match=r"^f:6:\d+: "):
        read(wrong, "f", options=ReadOptions(keep_faults=True))


def test_comments_hold_neither_operators_nor_brackets() -> None:
    """Files end in logs of the tools that made them, or begin with licences in boxes."""
    head = 'OPENQASM 2.0;\ninclude "qelib1.inc"; // a -- b\nqreg q[1];\nx q[0];\n'
    for comment in ("// a // b -- (x) ------- \n" * 2000, "// (((\n" * 500, "// q[99999999999]\n"):
        assert len(read((head + comment).encode()).program.data) == 1
        assert len(read((comment + head).encode()).program.data) == 1


def test_operators_of_one_statement_are_limited() -> None:
    text = 'OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[1];\n// -\nrx(0' + "+1" * 3000 + ") q[0];"
    with pytest.raises(QuantainerError, match=r"^f:5: .*3001 operators"):
        read(text.encode(), "f")


@pytest.mark.timeout(60)
def test_faults_are_found_in_linear_time() -> None:
    head = 'OPENQASM 2.0; include "qelib1.inc"; qreg q[3];\ncx q[0],q[0];\n'
    for tail in (
        "a()" * 400_000,
        "q[0]," * 200_000,
        "a(" * 200 + ")" * 200_000,
        "impossible" + "_" * 10**6,
    ):
        start = time.process_time()
        with pytest.raises(QuantainerError):
            read((head + tail).encode(), "f", options=ReadOptions(keep_faults=True))
        assert time.process_time() - start < 5


@given(st.lists(st.sampled_from(
    ["cx", " ", "q[0]", ",", "q[1]", ";", "(", ")", "{", "}", "\n", "//", "if", "impossible_"]
), max_size=40))  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_any_text_with_a_fault_is_read_or_refused(words: list[str]) -> None:
    text = 'OPENQASM 2.0; include "qelib1.inc"; qreg q[3]; cx q[0],q[0];' + "".join(words)
    try:
        circuit = read(text.encode(), "f", options=ReadOptions(keep_faults=True))
    except QuantainerError:
        return
    assert circuit.faults
