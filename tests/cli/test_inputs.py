"""Values of OpenQASM 3 inputs, on the host's command line and on the container's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.broker import Broker
from programs import BELL

PROGRAM = """OPENQASM 3.0;
include "stdgates.inc";
input float theta;
input uint[8] turns;
input bit[3] pattern;
input array[bool, 2] flips;
qubit[6] q;
bit[6] c;
rx(theta) q[0];
for uint i in [1:turns] { x q[1]; }
if (pattern[0]) x q[2];
if (pattern[2]) x q[3];
if (flips[0]) x q[4];
if (flips[1]) x q[5];
c = measure q;
"""
RIGHT = ["theta=3.141592653589793", "turns=3", "pattern=011", "flips=[true, false]"]

Run = Callable[..., Any]


@pytest.fixture
def program(tmp_path: Path) -> Path:
    file = tmp_path / "inputs.qasm"
    file.write_text(PROGRAM)
    return file


@pytest.fixture(params=["host", "container"])
def run(request: pytest.FixtureRequest, broker: Broker) -> Run:
    """Run a file by either command."""

    def host(file: Path, *options: str) -> Any:
        return broker("submit", file, "--json", *options, check=False)

    def container(file: Path, *options: str) -> Any:
        command = [sys.executable, "-m", "quantainer_client", "run", str(file), "--json", *options]
        environment = {**os.environ, "QUANTAINER_SOCKET": str(broker.socket)}
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=60, check=False
        )
        return SimpleNamespace(returncode=done.returncode, stdout=done.stdout, stderr=done.stderr)

    return host if request.param == "host" else container


def given(*values: str) -> list[str]:
    return [word for value in values for word in ("--input", value)]


def test_each_type_is_read_as_the_program_says(run: Run, program: Path) -> None:
    done = run(program, "--shots", "20", *given(*RIGHT))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["counts"] == {"010111": 20}


def test_other_values_are_another_circuit(run: Run, program: Path) -> None:
    """The text is the same: nothing kept of the first run may answer the second."""
    done = run(program, "--shots", "20", *given("theta=0", "turns=2", "pattern=100", "flips=[0,1]"))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["counts"] == {"101000": 20}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([], ["turns", "pattern", "--input NAME=VALUE"]),
        (RIGHT[1:], ["theta", "--input NAME=VALUE"]),
        ([*RIGHT, "thta=1"], ["no input `thta`", "theta"]),
        ([*RIGHT[:1], "turns=many", *RIGHT[2:]], ["'many'", "uint[8]"]),
        ([*RIGHT[:1], "turns=256", *RIGHT[2:]], ["256", "0 to 255"]),
        ([*RIGHT[:1], "turns=1.5", *RIGHT[2:]], ["'1.5'", "uint[8]"]),
        (["theta=nan", *RIGHT[1:]], ["nan", "float"]),
        (["theta=up", *RIGHT[1:]], ["'up'", "float"]),
        ([*RIGHT[:2], "pattern=01", *RIGHT[3:]], ["'01'", "bit[3]"]),
        ([*RIGHT[:3], "flips=[true]"], ["2 values"]),
    ],
)
def test_wrong_inputs_are_refused_by_name(
    run: Run, program: Path, values: list[str], words: list[str]
) -> None:
    done = run(program, *given(*values))
    assert done.returncode == 1
    assert done.stdout == ""
    assert all(word in done.stderr for word in words), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([*RIGHT[:3], "flips=[true"], ["JSON list"]),
        ([*RIGHT, "theta=1"], ["'theta' twice"]),
        (["theta"], ["NAME=VALUE", "'theta'"]),
    ],
)
def test_what_gives_no_input_is_misuse(
    run: Run, program: Path, values: list[str], words: list[str]
) -> None:
    done = run(program, *given(*values))
    assert (done.returncode, done.stdout) == (2, "")
    assert all(word in done.stderr for word in words), done.stderr


def test_only_openqasm_3_has_inputs(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "bell.qasm"
    file.write_text(BELL)
    done = run(file, *given("theta=1"))
    assert done.returncode == 1
    assert "only OpenQASM 3 has inputs" in done.stderr


@pytest.mark.parametrize("command", [["inspect"], ["compile", "--backend", "fake_lima"]])
def test_inspect_and_compile_take_inputs_too(
    command: list[str], broker: Broker, tmp_path: Path
) -> None:
    file = tmp_path / "loop.qasm"
    file.write_text(
        "OPENQASM 3.0;\ninput int n;\nqubit[2] q;\nbit c;\nfor int i in [1:n]"
        " { U(1, 0, 0) q[0]; }\nc = measure q[0];\n"
    )
    words = [command[0], str(file), *command[1:]]
    refused = broker(*words, check=False)
    assert refused.returncode == 1
    assert "--input NAME=VALUE" in refused.stderr
    assert broker(*words, "--input", "n=4").returncode == 0
