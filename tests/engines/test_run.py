"""``quantainer run`` and ``docker quantum run`` on a real Docker Engine."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.broker import Broker
from engine.docker import Docker
from engines.conftest import DEVICE

pytestmark = pytest.mark.engine

PROGRAM = """
from quantainer_client import Circuit, run
print(run(Circuit(2).x(0).measure_all(), shots=10).counts())
"""
PAPER_PROGRAM = """
from qiskit import QuantumCircuit
from quantainer_client.qiskit import QuantainerProvider
circuit = QuantumCircuit({n})
circuit.h(0)
for qubit in range({n} - 1):
    circuit.cx(qubit, qubit + 1)
circuit.measure_all()
print(sorted(QuantainerProvider().backend("qsim").run(circuit, shots=1000).result().get_counts()))
"""


@pytest.fixture
def run(docker: Docker, broker: Broker) -> Callable[..., subprocess.CompletedProcess[str]]:
    """``quantainer run`` with the engine under test."""

    def call(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return broker("run", *words, check=check, env=docker.environment())

    return call


@pytest.mark.parametrize("qubits", [4, 32])
def test_line_of_the_paper(
    run: Callable[..., subprocess.CompletedProcess[str]],
    docker: Docker,
    build: Callable[..., str],
    sdk: tuple[str, ...],
    qubits: int,
) -> None:
    build("quantum-sim", command="ln -s python3 /usr/bin/python")
    docker("tag", "quantainer-test/quantum-sim", "python:3.11-quantum-sim")
    try:
        done = run(
            *("--rm", "-it", "--device", "/dev/qsim", "--security-opt", "quantum.mode=hybrid"),
            *sdk,
            *("python:3.11-quantum-sim", "python", "-c", PAPER_PROGRAM.format(n=qubits)),
        )
    finally:
        docker("image", "rm", "-f", "python:3.11-quantum-sim")
    assert done.stdout.strip() == str(["0" * qubits, "1" * qubits])
    assert "standard input is no terminal, so -t is left out" in done.stderr
    assert "Traceback" not in done.stderr


def test_exit_code_is_the_containers(
    run: Callable[..., subprocess.CompletedProcess[str]], base: str
) -> None:
    done = run("--rm", "--device", "/dev/qsim", base, "sh", "-c", "exit 42", check=False)
    assert done.returncode == 42


def test_pythonpath_given_on_the_command_line_is_merged(
    run: Callable[..., subprocess.CompletedProcess[str]], base: str
) -> None:
    code = "import sys; print('/mine' in sys.path, '/opt/quantainer' in sys.path)"
    options = ("--rm", "--device", "/dev/qsim", "-e", "PYTHONPATH=/mine")
    assert run(*options, base, "python3", "-c", code).stdout.strip() == "True True"


def test_unknown_backend_is_refused_with_those_there_are(
    run: Callable[..., subprocess.CompletedProcess[str]], base: str
) -> None:
    done = run("--rm", "--device", "/dev/quantum/nonsense", base, "true", check=False)
    assert done.returncode == 1
    assert "no quantum device 'nonsense'" in done.stderr
    assert "qsim" in done.stderr


def test_engine_refuses_a_device_that_is_not_described(docker: Docker, base: str) -> None:
    device = ("--device", "quantainer.dev/qpu=nonsense")
    done = docker("run", "--rm", *device, base, "true", check=False)
    assert done.returncode == 125
    assert "unresolvable CDI devices quantainer.dev/qpu=nonsense" in done.stderr


def test_backend_that_has_gone_refuses_the_start(docker: Docker, base: str, broker: Broker) -> None:
    """The specification still names it, the broker no longer has it."""
    described = broker.cdi / "quantainer.yaml"
    described.write_text(described.read_text().replace("fake_lima", "gone"))
    try:
        done = docker(
            "run", "--rm", "--device", "quantainer.dev/qpu=gone", base, "true", check=False
        )
    finally:
        broker("cdi", "generate")
    assert done.returncode != 0
    assert "gone" in done.stderr
    assert "qsim" in done.stderr


def test_ended_broker_refuses_the_start_and_says_how_to_go_on(
    docker: Docker, base: str, mortal_broker: Broker
) -> None:
    mortal_broker.stop()
    done = docker("run", "--rm", *DEVICE, base, "echo", "started", check=False)
    assert done.returncode != 0
    assert "started" not in done.stdout
    assert "the broker cannot be reached" in done.stderr
    assert "quantainer up" in done.stderr


def test_stop_does_not_fail_without_a_broker(
    docker: Docker, base: str, mortal_broker: Broker
) -> None:
    name = docker("run", "-d", *DEVICE, base, "sleep", "60").stdout.strip()
    mortal_broker.stop()
    docker("stop", "-t", "0", name)
    docker("rm", name)


def test_docker_plugin_is_the_same_program(
    docker: Docker, base: str, broker: Broker, tmp_path: Path
) -> None:
    plugins = tmp_path / "docker" / "cli-plugins"
    environment = {
        **broker.environment,
        **docker.environment(),
        "DOCKER_CONFIG": str(plugins.parent),
    }
    configure = ("runtime", "configure", "--plugin")
    broker(*configure, env=environment)
    assert os.access(plugins / "docker-quantum", os.X_OK)
    shown = subprocess.run(
        [docker.cli, "--help"], capture_output=True, text=True, env=environment, check=True
    )
    assert "quantum*" in shown.stdout
    command = [docker.cli, "quantum", "run", "--rm", "--device", "/dev/qsim", base]
    done = subprocess.run(
        [*command, "python3", "-c", PROGRAM],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.stdout.strip() == "{'01': 10}", done.stderr
