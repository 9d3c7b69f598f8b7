"""What the broker knows of a container's life, as a real Docker Engine makes it."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator

import pytest

from engine.broker import Broker
from engine.docker import Docker
from engines.conftest import DEVICE

pytestmark = pytest.mark.engine

PATH = ("-e", "PYTHONPATH=/opt/quantainer")
WORK = """
from quantainer_client import Circuit, run
circuit = Circuit(25)
for layer in range(120):
    for qubit in range(25):
        circuit.ry(0.1 * layer + qubit, qubit)
    for qubit in range(24):
        circuit.cx(qubit, qubit + 1)
circuit.measure_all()
print("submitting", flush=True)
run(circuit, shots=10)
"""
SMALL = "from quantainer_client import Circuit, run; run(Circuit(1).x(0).measure_all(), shots=10)"


def eventually(what: Callable[[], bool], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if what():
            return True
        time.sleep(0.05)
    return False


@pytest.fixture
def container(docker: Docker, base: str, broker: Broker) -> Iterator[str]:
    """A container that computes until it is ended."""
    name = docker("run", "-d", *DEVICE, base, "python3", "-c", WORK).stdout.strip()
    yield name
    docker("rm", "-f", name, check=False)


@pytest.mark.parametrize("how", [("stop", "-t", "1"), ("kill",), ("rm", "-f")], ids=lambda w: w[0])
def test_end_of_a_container_ends_its_lease_and_its_jobs(
    docker: Docker, broker: Broker, container: str, how: tuple[str, ...]
) -> None:
    assert eventually(lambda: any(job["state"] == "RUNNING" for job in broker.jobs()))
    docker(*how, container)
    assert eventually(lambda: broker.leases() == [])
    assert eventually(lambda: broker.jobs() == [])


def test_container_out_of_memory_ends_its_lease(docker: Docker, base: str, broker: Broker) -> None:
    code = f"{SMALL}; x = [bytearray(1 << 20) for _ in range(1000)]"
    limits = ("-m", "64m", "--memory-swap", "64m")
    done = docker("run", "--rm", *limits, *DEVICE, base, "python3", "-c", code, check=False)
    assert done.returncode == 137
    assert eventually(lambda: broker.leases() == [])


def test_restarted_broker_finds_its_containers_again(
    docker: Docker, base: str, mortal_broker: Broker
) -> None:
    name = docker("run", "-d", *DEVICE, base, "sleep", "90").stdout.strip()
    try:
        docker("exec", *PATH, name, "python3", "-c", SMALL)
        mortal_broker.stop(signal.SIGKILL)
        mortal_broker.start()
        docker("exec", *PATH, name, "python3", "-c", SMALL)
        assert [lease["container"] for lease in mortal_broker.leases()] == [name]
    finally:
        docker("rm", "-f", name)
    assert eventually(lambda: mortal_broker.leases() == [])


def test_stop_of_a_paused_container_works(  # report 20
    docker: Docker, broker: Broker, container: str
) -> None:
    docker("pause", container)
    docker("unpause", container)
    docker("pause", container)
    docker("rm", "-f", container)
    assert eventually(lambda: broker.leases() == [])


def test_pause_and_unpause_are_seen_and_work_stands_still(
    docker: Docker, broker: Broker, container: str
) -> None:
    def states() -> tuple[str, set[str]]:
        (lease,) = broker.leases()
        return lease["state"], {job["state"] for job in broker.jobs()}

    assert eventually(lambda: bool(broker.jobs()) and states() == ("ACTIVE", {"RUNNING"}))
    docker("pause", container)
    assert eventually(lambda: states() == ("PAUSED", {"PAUSED"}), seconds=5)
    before = broker.jobs()
    time.sleep(1)
    assert broker.jobs() == before
    docker("unpause", container)
    assert eventually(lambda: states() == ("ACTIVE", {"RUNNING"}), seconds=5)
