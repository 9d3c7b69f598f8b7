"""Containers on a real Docker Engine get a quantum device through CDI and nothing else."""

from __future__ import annotations

import json

import pytest

from engine.broker import Broker
from engine.docker import Docker
from engines.conftest import DEVICE

pytestmark = pytest.mark.engine

GHZ = """
from quantainer_client import Circuit, run
circuit = Circuit(5).h(0)
for qubit in range(4):
    circuit = circuit.cx(qubit, qubit + 1)
print(sorted(run(circuit.measure_all(), shots=1000, seed=1).counts()))
"""
HELLO = "from quantainer_client import connect; import json; print(json.dumps(connect().hello()))"


def test_container_runs_a_circuit_without_network_or_sdk(
    docker: Docker, base: str, broker: Broker
) -> None:
    done = docker("run", "--rm", "--network", "none", *DEVICE, base, "python3", "-c", GHZ)
    assert done.stdout.strip() == "['00000', '11111']"


def test_lease_lasts_from_create_to_stop(docker: Docker, base: str, broker: Broker) -> None:
    name = docker("run", "-d", "--network", "none", *DEVICE, base, "sleep", "60").stdout.strip()
    try:
        (lease,) = broker.leases()
        assert lease["container"] == name
        assert lease["backends"] == ["qsim"]
        assert lease["anchor"].startswith("cgroup:/")
        assert name in lease["anchor"]
    finally:
        docker("rm", "-f", name)
    assert broker.leases() == []


def test_mode_annotation_reaches_the_lease(docker: Docker, base: str, broker: Broker) -> None:
    annotation = ("--annotation", "quantum.mode=local")
    done = docker("run", "--rm", *DEVICE, *annotation, base, "python3", "-c", HELLO)
    assert json.loads(done.stdout)["lease"]["mode"] == "local"


def test_container_without_the_device_has_none(docker: Docker, base: str, broker: Broker) -> None:
    done = docker("run", "--rm", base, "ls", "/dev/quantum", "/opt/quantainer", check=False)
    assert done.returncode != 0
    assert done.stdout == ""


def test_device_folder_is_read_only(docker: Docker, base: str, broker: Broker) -> None:
    for path in ("/dev/quantum/x", "/opt/quantainer/x"):
        done = docker("run", "--rm", *DEVICE, base, "touch", path, check=False)
        assert "Read-only file system" in done.stderr


def test_unknown_mode_refuses_the_start(docker: Docker, base: str, broker: Broker) -> None:
    annotation = ("--annotation", "quantum.mode=fast")
    done = docker("run", "--rm", *DEVICE, *annotation, base, "true", check=False)
    assert done.returncode in {125, 127}
    assert "use local, hybrid, qpu" in done.stderr


@pytest.mark.report(21)
def test_read_only_container_of_an_unknown_user_without_home(
    docker: Docker, base: str, broker: Broker
) -> None:
    options = ("--read-only", "--user", "12345", "--network", "none")
    command = ("env", "-u", "HOME", "python3", "-c", GHZ)
    done = docker("run", "--rm", *options, *DEVICE, base, *command)
    assert done.stdout.strip() == "['00000', '11111']"
    assert done.stderr == ""


def test_two_devices_are_one_lease(docker: Docker, base: str, broker: Broker) -> None:
    both = (*DEVICE, "--device", "quantainer.dev/qpu=all")
    done = docker("run", "--rm", *both, base, "python3", "-c", HELLO)
    assert sorted(json.loads(done.stdout)["lease"]["backends"]) == ["all", "qsim"]
