"""``quantainer inspect`` and ``quantainer compile`` as a user calls them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from programs import dense
from quantainer.circuits import measure, read

BELL = """OPENQASM 2.0;
include "qelib1.inc";
qreg q[3];
creg c[2];
h q[0];
cx q[0],q[1];
measure q[0] -> c[0];
"""


def quantainer(
    *arguments: str, stdin: bytes = b"", **variables: str
) -> subprocess.CompletedProcess[bytes]:
    script = "from quantainer.cli.main import main; main()"
    command = [sys.executable, "-c", script, *arguments]
    environ = {**os.environ, "COLUMNS": "100", **variables}
    return subprocess.run(
        command, input=stdin, capture_output=True, check=False, timeout=120, env=environ
    )


@pytest.fixture
def bell(tmp_path: Path) -> str:
    path = tmp_path / "bell.qasm"
    path.write_text(BELL)
    return str(path)


def test_facts_as_json(bell: str) -> None:
    run = quantainer("inspect", bell, "--json")
    assert run.returncode == 0, run.stderr
    facts = json.loads(run.stdout)
    expected = {
        "format": "qasm2",
        "qubits": 3,
        "active_qubits": 2,
        "clbits": 2,
        "depth": 3,
        "two_qubit_depth": 1,
        "gates": {"cx": 1, "h": 1, "measure": 1},
        "clifford": True,
        "dynamic": False,
        "parameters": [],
        "registers": [["c", 2]],
    }
    assert {name: facts[name] for name in expected} == expected
    assert "no measurement writes bit c[1]: always 0" in facts["notes"]
    assert set(facts["memory_bytes"]) == {"statevector", "density_matrix", "mps", "stabilizer"}


def test_facts_for_people_with_a_drawing(bell: str) -> None:
    run = quantainer("inspect", bell)
    text = run.stdout.decode()
    assert "3 declared, 2 active" in text
    assert "┤ H ├" in text


def test_standard_input(bell: str) -> None:
    run = quantainer("inspect", "-", "--json", stdin=b"H 0\nM 0\n")
    assert json.loads(run.stdout)["format"] == "stim"
    run = quantainer("inspect", "-", "--format", "qasm3", stdin=b"H 0\nM 0\n")
    assert run.returncode == 1
    assert run.stderr.startswith(b"quantainer: <stdin>:1:")


def test_on_an_ideal_simulator(bell: str) -> None:
    facts = json.loads(quantainer("inspect", bell, "--json", "-B", "qsim").stdout)
    assert facts["fits"] is True
    assert facts["reasons"] == []
    assert (facts["native_depth"], facts["swaps"]) == (3, 0)
    assert facts["plan"]["method"] == "stabilizer"
    assert facts["gates"] == {"cx": 1, "h": 1, "measure": 1}


def test_an_attempt_is_not_said_to_fit(tmp_path: Path) -> None:
    path = tmp_path / "entangled.qasm"
    path.write_text(dense(60, 40))
    facts = json.loads(quantainer("inspect", str(path), "--json", "-B", "qsim").stdout)
    assert (facts["fits"], facts["success_probability"]) == (None, None)
    assert facts["plan"]["method"] == "mps"
    assert "may turn out to lose too much" in facts["reasons"][0]
    shown = quantainer("inspect", str(path), "-B", "qsim").stdout.decode()
    assert "not known before it is tried" in shown
    assert "success" not in shown


def test_on_a_calibrated_device(bell: str) -> None:
    facts = json.loads(quantainer("inspect", bell, "--json", "-B", "fake_manila").stdout)
    assert facts["fits"] is True
    assert facts["native_depth"] >= 5
    assert facts["duration_us"] > 1
    assert 0 < facts["coherence_share"] < 1
    assert 0.5 < facts["success_probability"] < 1
    assert len(facts["qubits_used"]) == 2


KEYS = {
    *("format", "qubits", "active_qubits", "clbits", "depth", "two_qubit_depth", "gates"),
    *("clifford", "dynamic", "parameters"),
}
KEYS_ON_A_BACKEND = {
    *("fits", "reasons", "native_depth", "swaps", "duration_us", "coherence_share"),
    "success_probability",
}


@pytest.mark.parametrize("backend", [None, "qsim", "fake_manila", "fake_armonk"])
def test_the_documented_keys_are_always_there(bell: str, backend: str | None) -> None:
    on = [] if backend is None else ["--backend", backend]
    facts = json.loads(quantainer("inspect", bell, "--json", *on).stdout)
    assert facts.keys() >= KEYS
    assert (facts.keys() >= KEYS_ON_A_BACKEND) == (backend is not None)


def test_gates_on_one_qubit_twice_are_measured_and_fit_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "twice.qasm"
    path.write_text(BELL + "cx q[2],q[2];\n")
    for backend in ("qsim", "fake_manila"):
        run = quantainer("inspect", str(path), "--json", "-B", backend)
        facts = json.loads(run.stdout)
        assert (facts["fits"], facts["depth"], facts["gates"]["impossible"]) == (False, 3, 1)
        assert facts["reasons"] == ["twice.qasm:8:1: cx q[2],q[2]; acts on one qubit twice"]
        assert facts.keys() >= KEYS | KEYS_ON_A_BACKEND
    run = quantainer("compile", str(path), "-B", "fake_manila")
    assert run.returncode == 1
    assert run.stderr.startswith(b"quantainer: twice.qasm:8:1: duplicate qubits")


def test_what_does_not_fit_says_why(tmp_path: Path) -> None:
    path = tmp_path / "wide.qasm"
    path.write_text(
        'OPENQASM 2.0; include "qelib1.inc"; qreg q[9]; creg c[9]; h q; measure q -> c;'
    )
    run = quantainer("inspect", str(path), "--json", "-B", "fake_manila")
    facts = json.loads(run.stdout)
    assert run.returncode == 0
    assert facts["fits"] is False
    assert "5 usable qubits, the circuit needs 9" in facts["reasons"][0]


def test_a_refusal_names_file_line_and_way_out(tmp_path: Path) -> None:
    path = tmp_path / "bad.qasm"
    path.write_text(BELL + "measure p -> c;\n")
    run = quantainer("inspect", str(path))
    assert run.returncode == 1
    assert run.stdout == b""
    assert run.stderr.decode().startswith("quantainer: bad.qasm:8:9: 'p' is a gate")
    assert b"Traceback" not in run.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("inspect", "/nonexistent"), "No such file"),
        (("inspect", "{bell}", "-B", "nothing"), "There is no backend 'nothing'"),
        (("inspect", "{bell}", "--max-gates", "1"), "the limit is 1"),
    ],
)
def test_wrong_arguments_are_refused(bell: str, arguments: tuple[str, ...], message: str) -> None:
    run = quantainer(*(argument.format(bell=bell) for argument in arguments))
    assert run.returncode == 1
    assert message in run.stderr.decode()
    assert b"Traceback" not in run.stderr


@pytest.mark.parametrize(("encoding", "drawn"), [("utf-8", True), ("ascii", False)])
def test_it_is_drawn_where_boxes_can_be(bell: str, encoding: str, drawn: bool) -> None:
    run = quantainer("inspect", bell, PYTHONIOENCODING=encoding)
    assert (run.returncode, run.stderr) == (0, b"")
    assert (b"q_0:" in run.stdout) == drawn


def test_memory_beyond_counting_is_said_to_be_more(tmp_path: Path) -> None:
    path = tmp_path / "wide.qasm"
    path.write_text('OPENQASM 2.0; include "qelib1.inc"; qreg q[70]; h q;')
    assert b"statevector 4 EiB or more, " in quantainer("inspect", str(path)).stdout


@pytest.mark.parametrize("suffix", [".qasm", ".qpy", ".qcol"])
def test_compiled_files_are_read_again(bell: str, tmp_path: Path, suffix: str) -> None:
    output = tmp_path / f"out{suffix}"
    run = quantainer("compile", bell, "-B", "fake_manila", "-o", str(output), "--json")
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    facts = measure(read(output.read_bytes()))
    assert facts.depth == report["native_depth"]
    assert set(facts.gates) <= {"rz", "sx", "x", "cx", "measure"}
    assert len(report["initial_layout"]) == 3


def test_compiled_text_goes_to_standard_output(bell: str) -> None:
    run = quantainer("compile", bell, "-B", "fake_manila")
    assert run.stdout.startswith(b"OPENQASM 3")
    assert b"fake_manila: depth" in run.stderr


def test_openqasm3_inputs_and_includes_from_the_files_folder(tmp_path: Path) -> None:
    (tmp_path / "own.inc").write_text("gate own a { U(0, 0, 0) a; }\n")
    path = tmp_path / "main.qasm"
    path.write_text(
        'OPENQASM 3; include "own.inc"; input int n; qubit q;\nfor int i in [1:n] { own q; }'
    )
    assert quantainer("inspect", str(path), "--json").returncode == 1
    facts = json.loads(quantainer("inspect", str(path), "--json", "--input", "n=5").stdout)
    assert facts["depth"] == 5


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_drawings(bell: str, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"drawing.{kind}"
    run = quantainer("inspect", bell, "--json", f"--{kind}", str(path))
    if b"Install quantainer[plot]" in run.stderr:
        pytest.skip("drawing needs the extra plot")
    assert run.returncode == 0, run.stderr
    magic = {"svg": b"<?xml", "png": b"\x89PNG"}[kind]
    assert path.read_bytes().startswith(magic)
