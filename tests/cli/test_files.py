"""Circuit files that include others or hold several circuits: by each command that takes one."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from qiskit import QuantumCircuit, qpy

from engine.broker import Broker
from programs import BELL

Call = Callable[..., subprocess.CompletedProcess[str]]

LIBRARY = "// gates of our own\ngate flip a { x a; }\n"
QASM2 = """OPENQASM 2.0;
include "qelib1.inc";
include "own.inc";
qreg q[2];
creg c[2];
flip q[1];
measure q -> c;
"""
QASM3 = """OPENQASM 3.0;
include "stdgates.inc";
include "own.inc";
qubit[2] q;
flip q[1];
bit[2] c = measure q;
"""


@pytest.fixture(params=["submit", "inspect", "compile", "container"])
def call(request: pytest.FixtureRequest, broker: Broker) -> Call:
    """Give a file to a command."""

    def host(file: Path, *options: str) -> subprocess.CompletedProcess[str]:
        more = ["--backend", "fake_lima"] if request.param == "compile" else []
        return broker(request.param, file, "--json", *more, *options, check=False)

    def container(file: Path, *options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "quantainer_client", "run", str(file), "--json", *options],
            capture_output=True,
            text=True,
            env={**os.environ, "QUANTAINER_SOCKET": str(broker.socket)},
            timeout=60,
            check=False,
        )

    return container if request.param == "container" else host


@pytest.mark.parametrize("text", [QASM2, QASM3], ids=["qasm2", "qasm3"])
def test_files_beside_the_file_are_included(call: Call, tmp_path: Path, text: str) -> None:
    (tmp_path / "main.qasm").write_text(text)
    (tmp_path / "own.inc").write_text(LIBRARY)
    done = call(tmp_path / "main.qasm")
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout).get("counts")
    assert counts is None or list(counts) == ["10"]


@pytest.mark.parametrize("text", [QASM2, QASM3], ids=["qasm2", "qasm3"])
def test_refusals_name_the_file_and_its_line(call: Call, tmp_path: Path, text: str) -> None:
    (tmp_path / "main.qasm").write_text(text)
    (tmp_path / "own.inc").write_text(LIBRARY.replace("x a;", "nope a;"))
    done = call(tmp_path / "main.qasm")
    assert done.returncode == 1
    assert "own.inc:2:15: " in done.stderr
    (tmp_path / "own.inc").write_text(LIBRARY)
    (tmp_path / "main.qasm").write_text(text.replace("flip q[1]", "flop q[1]"))
    line = text.split("flip q", 1)[0].count("\n") + 1
    assert f"main.qasm:{line}:1: " in call(tmp_path / "main.qasm").stderr


@pytest.mark.parametrize("text", [QASM2, QASM3], ids=["qasm2", "qasm3"])
def test_files_elsewhere_are_not_included(call: Call, tmp_path: Path, text: str) -> None:
    (tmp_path / "own.inc").write_text(LIBRARY)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "main.qasm").write_text(text.replace("own.inc", "../own.inc"))
    done = call(tmp_path / "sub" / "main.qasm")
    assert done.returncode == 1
    assert 'main.qasm:3:1: "../own.inc" is outside of the folder' in done.stderr


def test_one_of_several_circuits_is_named(call: Call, tmp_path: Path) -> None:
    programs = []
    for name in ("zero", "one", "one more"):
        program = QuantumCircuit(1, 1, name=name)
        if name == "one":
            program.x(0)
        program.measure(0, 0)
        programs.append(program)
    data = io.BytesIO()
    qpy.dump(programs, data)
    file = tmp_path / "three.qpy"
    file.write_bytes(data.getvalue())
    refused = call(file)
    assert refused.returncode == 1
    assert all(word in refused.stderr for word in ("zero, one, one more", "--circuit"))
    for name, outcome in (("one", "1"), ("zero", "0")):
        done = call(file, "--circuit", name)
        assert done.returncode == 0, done.stderr
        counts = json.loads(done.stdout).get("counts")
        assert counts is None or list(counts) == [outcome]
    refused = call(file, "--circuit", "two")
    assert refused.returncode == 1
    assert "'two'" in refused.stderr


def test_any_name_of_a_file_will_do(call: Call, tmp_path: Path) -> None:
    file = tmp_path / os.fsdecode(b"gr\xfcn \xff.qasm")  # no UTF-8
    file.write_text(BELL)
    done = call(file)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


def test_files_of_one_circuit_have_no_names(call: Call, tmp_path: Path) -> None:
    (tmp_path / "bell.qasm").write_text(BELL)
    done = call(tmp_path / "bell.qasm", "--circuit", "bell")
    assert done.returncode in (1, 2)
    assert "a file of one circuit" in done.stderr
