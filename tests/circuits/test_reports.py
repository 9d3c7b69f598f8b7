"""Faults that people met in this field, and what happens here: one test for each report.

The marker names the reports; ``pytest -m report`` runs them. Each whole kind has tests of its own
beside it: features and programs of OpenQASM 3, gate libraries and limits of OpenQASM 2, facts,
compiling, formats.
"""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from drawn_circuits import device
from qiskit import QuantumCircuit, QuantumRegister, qasm3
from qiskit.circuit import Clbit

from quantainer.backends.backend import Limits, Options, Pub
from quantainer.backends.qsim import Qsim
from quantainer.circuits import Circuit, ReadOptions, measure, read
from quantainer.circuits.compile import compile_for
from quantainer_client.circuit import Circuit as Flat
from quantainer_client.errors import QuantainerError
from quantainer_client.qiskit.encode import encode

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"
QASM2 = 'OPENQASM 2.0; include "qelib1.inc"; '
QASM3 = 'OPENQASM 3.0; include "stdgates.inc"; '


def _refusal(text: str | bytes, **options: Any) -> QuantainerError:
    data = text.encode() if isinstance(text, str) else text
    with pytest.raises(QuantainerError) as caught:
        measure(read(data, "f", options=ReadOptions(**options)))
    return caught.value


def _outcomes(circuit: Circuit, shots: int = 2000) -> dict[int, float]:
    """Run on our own simulator; classical memory as an integer to its share."""
    backend, limits = Qsim(), Limits(1 << 30, 1)
    pub = Pub(circuit, measure(circuit), repr(id(circuit)), shots=shots)
    samples = backend.run(pub, backend.plan(pub, Options(), limits), Options(), 5, 1).samples
    assert samples is not None
    found: dict[int, float] = {}
    for shot in samples[0]:
        value = int.from_bytes(shot.tobytes(), "little")
        found[value] = found.get(value, 0.0) + 1 / shots
    return found


@pytest.mark.report(37)
def test_loops_of_qiskits_own_export_come_back() -> None:
    circuit = QuantumCircuit(4, 2)
    with circuit.for_loop(range(5)):
        circuit.z(0)
    with circuit.for_loop((1, 4)) as angle:
        circuit.rx(angle, 1)
    assert measure(read(qasm3.dumps(circuit).encode())).gates == {"rx": 2, "z": 5}
    underscore = _refusal(QASM3 + "qubit[4] q;\nfor _ in [0:4] { z q[0]; }")
    assert underscore.message.startswith("f:2:5: loop variable needs a type")
    typed = QASM3 + "qubit[4] q; for int i in [0:3] { h q[i]; }"
    assert measure(read(typed.encode())).gates == {"h": 4}


@pytest.mark.report(39)
def test_a_loop_variable_without_type_gets_an_example() -> None:
    refusal = _refusal(QASM3 + "qubit[4] q;\nfor i in [0:3] { h q[i]; }")
    assert str(refusal).startswith("f:2:5: loop variable needs a type. E.g. `for uint i in")


@pytest.mark.report(40)
@pytest.mark.parametrize(
    "use", ["cp(0.3) q[0],q[1]", "rccx q[0],q[1],q[2]", "u(0.1,0.2,0.3) q[0]", "sx q[0]",
            "cswap q[0],q[1],q[2]", "rzz(0.3) q[0],q[1]", "p(0.1) q[0]"],
)  # fmt: skip
def test_gates_beyond_the_strict_library_are_known_or_their_library_is_suggested(use: str) -> None:
    text = f"{QASM2}qreg q[3];\n{use};\n"
    circuit = read(text.encode())
    name = re.match(r"\w+", use)
    assert name
    wider = "read with the wider (legacy) gate library; not in the strict one: "
    assert circuit.notes[0] == wider + name[0]
    refusal = _refusal(text, gate_library="strict")
    assert refusal.message.startswith("f:2:1: ")
    assert refusal.hint is not None
    assert "gate_library=legacy" in refusal.hint


@pytest.mark.report(41)
def test_a_large_file_takes_linear_time_and_little_memory(tmp_path: Path) -> None:
    """240,000 lines within 2 GB, in a process that cannot take more."""
    lines = [QASM2, "qreg q[60];", "creg c[60];"]
    for i in range(120_000):
        lines += [f"cx q[{i % 60}],q[{(i + 7) % 60}];", f"u1(0.{i % 97}1) q[{i % 60}];"]
    path = tmp_path / "large.qasm"
    path.write_text("\n".join(lines))
    script = (
        "import sys\nfrom quantainer.circuits import measure, read\n"
        "print(measure(read(open(sys.argv[1], 'rb').read())).size)\n"
    )

    def bounded() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (2 << 30, 2 << 30))

    start = time.monotonic()
    run = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=120,
        preexec_fn=bounded, check=False,
    )  # fmt: skip
    assert (run.returncode, run.stdout) == (0, "240000\n"), run.stderr
    assert time.monotonic() - start < 60
    over = _refusal(path.read_bytes(), max_gates=100_000)
    assert (over.code, over.limit) == ("too_large", None)
    assert "the limit is 100000" in over.message
    assert "max_gates" in str(over)


@pytest.mark.report(46)
@pytest.mark.parametrize("width", [63, 64, 65, 130, 301])
def test_conditions_on_wide_registers_hold(width: int) -> None:
    """The register is 2^(width-1) exactly when its last bit is 1."""
    text = f"{QASM2}qreg q[3]; creg c[{width}]; creg d[1]; x q[0]; measure q[0] -> c[{width - 1}];"
    text += f"if (c == {2 ** (width - 1)}) x q[1]; if (c == {2 ** (width - 1) + 1}) x q[2];"
    text += "measure q[1] -> d[0]; cx q[2],q[1];"
    for source in (text, text.replace("x q[0];", "", 1)):
        (outcome,) = _outcomes(read(source.encode()), 50)
        set_bit = 1 << (width - 1)
        assert outcome in (0, set_bit | 1 << width)
        assert (outcome > 0) == ("x q[0];" in source.split("measure")[0])


@pytest.mark.report(47)
def test_registers_of_65_bits_are_right_or_refused_where_integers_have_64() -> None:
    text = f"{QASM3}qubit q; bit[65] c; x q; c[64] = measure q;"
    assert _outcomes(read(text.encode()), 10) == {1 << 64: pytest.approx(1)}
    head = "declare ptr @create_creg(i64)\ndeclare i64 @get_int_from_creg(ptr)\n"
    head += "declare void @mz_to_creg_bit(ptr, ptr, i64)\ndeclare i1 @get_creg_bit(ptr, i64)\n"
    body = "%c = call ptr @create_creg(i64 65)\ncall void @__quantum__qis__x__body(ptr null)\n"
    body += "call void @mz_to_creg_bit(ptr null, ptr %c, i64 64)\n"
    tail = "attributes #0 = { \"entry_point\" \"required_num_qubits\"=\"1\" }\n"  # fmt: skip
    program = f"{head}define i64 @main() #0 {{\nentry:\n{body}{{more}}ret i64 0\n}}\n{tail}"
    circuit = read(program.replace("{more}", "").encode(), "f.ll")
    assert measure(circuit).clbits == 65
    assert _outcomes(circuit, 10) == {1 << 64: pytest.approx(1)}
    refusal = _refusal(program.replace("{more}", "%i = call i64 @get_int_from_creg(ptr %c)\n"))
    assert refusal.message.startswith("f:10: ")
    assert "65 bits" in refusal.message


@pytest.mark.report(50)
def test_bits_that_nothing_writes_are_named_and_loose_bits_work() -> None:
    silent = read(f"{QASM2}qreg q[2]; creg c[2]; h q[0]; cx q[0],q[1];".encode(), "f")
    backend, limits = Qsim(), Limits(1 << 30, 1)
    pub = Pub(silent, measure(silent), "silent", shots=10)
    with pytest.raises(QuantainerError, match=r"(?i)no measurement writes bit c\[0\]") as caught:
        backend.plan(pub, Options(), limits)
    assert caught.value.code == "no_measurement"
    loose = QuantumCircuit(QuantumRegister(2, "q"), [Clbit() for _ in range(3)])
    loose.x(1)
    loose.measure([0, 1], [2, 1])
    data, _ = encode(loose)
    circuit = read(data)
    assert measure(circuit).clbits == 3
    assert _outcomes(circuit, 10) == {0b010: pytest.approx(1)}


@pytest.mark.report(51)
def test_qpy_of_a_newer_sdk_says_both_versions() -> None:
    refusal = _refusal(b"QISKIT" + bytes([99]) + b"\x02\x06" + bytes(40))
    assert "the file is QPY 99, this node reads QPY <= " in refusal.message
    assert refusal.hint is not None
    assert "version=" in refusal.hint


@pytest.mark.report(53)
def test_cirq_types_without_their_data_or_package_are_named() -> None:
    cirq = pytest.importorskip("cirq", reason="Cirq writes the files")
    a, b, c = cirq.LineQubit.range(3)
    turn = cirq.QubitPermutationGate([1, 2, 0]).on(a, b, c)
    for operation in (turn, cirq.inverse(turn)):
        read(str(cirq.to_json(cirq.Circuit(operation))).encode())
    # Cirq writes this one without its exponent: what it does cannot be known from the file.
    lost = cirq.PauliInteractionGate(cirq.X, False, cirq.Z, True, exponent=0.3).on(a, b)
    refusal = _refusal(str(cirq.to_json(cirq.Circuit(lost), indent=1)))
    assert refusal.message.startswith("f:10: PauliInteractionGate")
    assert "exponent" in refusal.message
    for kind, package in (("MSGate", "cirq-ionq"), ("PasqalDevice", "cirq-pasqal")):
        gate = {"cirq_type": "GateOperation", "gate": {"cirq_type": kind}, "qubits": []}
        moments = [{"cirq_type": "Moment", "operations": [gate]}]
        refusal = _refusal(json.dumps({"cirq_type": "Circuit", "moments": moments}))
        assert kind in refusal.message
        assert package in refusal.message


@pytest.mark.report(56)
def test_depth_by_the_written_rule() -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.barrier()
    circuit.h(0)
    circuit.cx(0, 1)
    facts = measure(read(encode(circuit)[0]))
    assert (facts.depth, facts.two_qubit_depth, facts.size) == (4, 2, 4)
    loop = measure(read(f"{QASM3}qubit q; for uint i in [1:1000] {{ x q; }}".encode()))
    assert (loop.depth, loop.size) == (1000, 1000)
    only = measure(read(f"{QASM2}qreg q[2]; creg c[2]; measure q -> c;".encode()))
    assert (only.depth, only.two_qubit_depth, only.gates) == (1, 0, {"measure": 2})
    data = measure(read(f"{QASM3}qubit q; bit c; while (!c) {{ h q; c = measure q; }}".encode()))
    assert (data.depth, data.dynamic) == (None, True)


@pytest.mark.report(57)
def test_targets_that_are_too_small_or_have_holes() -> None:
    def compiled(qubits: int, target: Any) -> Any:
        flat = Flat(qubits).h(0)
        for qubit in range(qubits - 1):
            flat.cx(qubit, qubit + 1)
        circuit = read(flat.measure_all().encode())
        return compile_for(circuit, measure(circuit), target)

    with pytest.raises(QuantainerError, match="1 usable qubits, the circuit needs 2"):
        compiled(2, device(1, ()))
    line = tuple((i, i + 1) for i in range(4))
    with pytest.raises(QuantainerError, match=r"4 usable qubits, .* needs 5 .* dead: 2"):
        compiled(5, device(5, line, dead=(2,)))
    with pytest.raises(QuantainerError, match=r"no connected group of 4 .* has 2"):
        compiled(4, device(5, line, dead=(2,)))
    holey = compiled(3, device(8, ((1, 7), (7, 6)))).program
    used = {holey.find_bit(bit).index for step in holey.data for bit in step.qubits}
    assert used == {1, 6, 7}
