"""What happens to a container on a real Docker Engine, each time with jobs queued and running.

Created, paused, unpaused, stopped, killed, out of memory; engine restarted, broker restarted.
"""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from engine.broker import Broker
from engine.docker import Docker
from engine.host import UnavailableError
from engines.conftest import DEVICE
from quantainer_client.connection import Connection

pytestmark = pytest.mark.engine

JOBS = 4
CONCURRENT = 2
"""So many of them run at a time: that is a lease's default."""
ENDED = {"DONE", "FAILED", "CANCELLED"}
PATH = ("-e", "PYTHONPATH=/opt/quantainer")
SMALL = "from quantainer_client import Circuit, run; run(Circuit(1).x(0).measure_all(), shots=10)"
HELLO = "from quantainer_client import connect; connect().hello()"
# It ends at once on SIGTERM and takes all memory there is on SIGUSR1.
PROGRAM = """
import json, os, signal, sys
from quantainer_client import Circuit, connect
hoard = []
def grow(*_):
    while True:
        hoard.append(os.urandom(1 << 20))
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
signal.signal(signal.SIGUSR1, grow)
qubits, layers, jobs = map(int, sys.argv[1:])
circuit = Circuit(qubits)
for layer in range(layers):
    for qubit in range(qubits):
        circuit.ry(0.1 * layer + qubit, qubit)
    for qubit in range(qubits - 1):
        circuit.cx(qubit, qubit + 1)
circuit.measure_all()
connection = connect()
print(json.dumps([connection.submit(circuit, shots=10).id for _ in range(jobs)]), flush=True)
while True:
    signal.pause()
"""
ENDLESS = ("24", "800")
SOON_DONE = ("22", "100")


def eventually(what: Callable[[], bool], seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if what():
            return True
        time.sleep(0.02)
    return False


class Busy:
    """A container whose jobs run and wait."""

    def __init__(self, docker: Docker, base: str, broker: Broker, size: tuple[str, ...]) -> None:
        self.docker, self.broker = docker, broker
        options = ("-d", "--network", "none", "-m", "64m", "--memory-swap", "64m", *DEVICE)
        command = ("python3", "-c", PROGRAM, *size, str(JOBS))
        self.id = docker("run", *options, base, *command).stdout.strip()
        assert eventually(lambda: "]" in docker("logs", self.id).stdout)
        self.jobs: list[str] = json.loads(docker("logs", self.id).stdout)

    def await_work(self) -> None:
        """Wait until as many of its jobs run as may; the others wait for them."""
        workers = json.loads(self.broker("status", "--json").stdout)["workers"]["size"]
        running = min(CONCURRENT, workers)
        wanted = {"RUNNING": running, "QUEUED": JOBS - running}
        assert eventually(lambda: self.states() == wanted, 90), (self.states(), self.broker.log())

    def states(self) -> Counter[str]:
        """Return how many of its jobs are in each state."""
        with Connection(str(self.broker.socket)) as connection:
            return Counter(connection.wait(job, 0)["state"] for job in self.jobs)

    @property
    def lease(self) -> str | None:
        """The state of its lease; ``None`` once that has ended."""
        found = [each for each in self.broker.leases() if each["container"] == self.id]
        return found[0]["state"] if found else None

    def has_ended(self) -> bool:
        """Whether nothing of it is left."""
        return self.lease is None and set(self.states()) <= ENDED

    def remove(self) -> None:
        self.docker("rm", "-f", self.id, check=False)


@pytest.fixture
def busy(docker: Docker, base: str, broker: Broker) -> Iterator[Busy]:
    """With jobs that take longer than any test."""
    container = Busy(docker, base, broker, ENDLESS)
    try:
        container.await_work()
        yield container
    finally:
        container.remove()


@pytest.fixture
def nearly_done(docker: Docker, base: str, mortal_broker: Broker) -> Iterator[Busy]:
    """With jobs that take some seconds, on a broker that may be ended."""
    container = Busy(docker, base, mortal_broker, SOON_DONE)
    try:
        assert eventually(lambda: "RUNNING" in container.states()), container.states()
        yield container
    finally:
        container.remove()


def test_create_beside_busy_containers(docker: Docker, base: str, busy: Busy) -> None:
    before = busy.states()
    second = Busy(docker, base, busy.broker, ENDLESS)
    try:
        assert (busy.lease, second.lease) == ("ACTIVE", "ACTIVE")
        assert "QUEUED" in second.states()  # on a wide node, others of its jobs run
        assert set(second.states()) <= {"QUEUED", "RUNNING"}
        assert busy.states() == before
        assert not set(busy.jobs) & set(second.jobs)
    finally:
        second.remove()
    assert eventually(second.has_ended)
    assert busy.states() == before


def test_pause_holds_and_unpause_restores(docker: Docker, busy: Busy) -> None:
    before = busy.states()
    docker("pause", busy.id)
    assert eventually(lambda: busy.states() == {"PAUSED": JOBS}, seconds=5)
    assert busy.lease == "PAUSED"
    time.sleep(0.5)
    assert busy.states() == {"PAUSED": JOBS}
    docker("unpause", busy.id)
    assert eventually(lambda: busy.states() == before, seconds=10)
    assert busy.lease == "ACTIVE"


ENDS = pytest.mark.parametrize(
    "how", [("stop", "-t", "5"), ("kill",), ("rm", "-f")], ids=["stop", "kill", "remove"]
)


@ENDS
def test_the_end_of_a_container_ends_its_jobs(
    docker: Docker, base: str, busy: Busy, how: tuple[str, ...]
) -> None:
    docker(*how, busy.id)
    assert eventually(busy.has_ended), (busy.lease, busy.states())
    docker("run", "--rm", *DEVICE, base, "python3", "-c", SMALL)  # what they held is free again


@pytest.mark.report(20)
@ENDS
def test_the_end_of_a_paused_container_ends_its_jobs(
    docker: Docker, base: str, busy: Busy, how: tuple[str, ...]
) -> None:
    docker("pause", busy.id)
    docker("unpause", busy.id)
    docker("pause", busy.id)
    assert eventually(lambda: busy.lease == "PAUSED")
    docker(*how, busy.id)
    assert eventually(busy.has_ended), (busy.lease, busy.states())
    docker("run", "--rm", *DEVICE, base, "python3", "-c", SMALL)


def test_a_container_out_of_memory_ends_its_jobs(docker: Docker, base: str, busy: Busy) -> None:
    docker("kill", "-s", "USR1", busy.id)
    assert eventually(busy.has_ended), (busy.lease, busy.states())
    assert docker("inspect", "-f", "{{.State.OOMKilled}}", busy.id).stdout.strip() == "true"
    docker("run", "--rm", *DEVICE, base, "python3", "-c", SMALL)


def test_containers_go_on_while_their_engine_is_away(docker: Docker, busy: Busy) -> None:
    """``live-restore``: the engine crashes, containers and jobs do not notice."""
    _restart(docker, signal.SIGKILL, keep=True)
    assert busy.lease == "ACTIVE"
    assert busy.states().keys() == {"RUNNING", "QUEUED"}
    docker("pause", busy.id)
    assert eventually(lambda: busy.states() == {"PAUSED": JOBS}, seconds=5)
    docker("unpause", busy.id)
    docker("exec", *PATH, busy.id, "python3", "-c", HELLO)
    docker("kill", busy.id)
    assert eventually(busy.has_ended)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "crashed"])
def test_containers_that_end_with_their_engine_end_their_jobs(
    docker: Docker, base: str, busy: Busy, number: signal.Signals
) -> None:
    """Docker's default: containers are stopped with the engine, or when it comes back."""
    _restart(docker, number, keep=False)
    assert eventually(busy.has_ended), (busy.lease, busy.states())
    docker("run", "--rm", *DEVICE, base, "python3", "-c", SMALL)


def _restart(docker: Docker, number: signal.Signals, *, keep: bool) -> None:
    try:
        docker.restart(number, keep=keep)
    except UnavailableError as reason:
        pytest.skip(str(reason))


@pytest.mark.report(19)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "crashed"])
def test_jobs_go_on_after_a_restart_of_the_broker(
    docker: Docker, nearly_done: Busy, number: signal.Signals
) -> None:
    broker = nearly_done.broker
    broker.stop(number)
    broker.start()
    assert nearly_done.lease == "ACTIVE"
    docker("exec", *PATH, nearly_done.id, "python3", "-c", SMALL)
    assert eventually(lambda: nearly_done.states() == {"DONE": JOBS}, seconds=120)


@pytest.mark.report(20)
def test_jobs_wait_over_a_restart_while_their_container_is_paused(
    docker: Docker, nearly_done: Busy
) -> None:
    broker = nearly_done.broker
    docker("pause", nearly_done.id)
    assert eventually(lambda: nearly_done.lease == "PAUSED")
    broker.stop(signal.SIGKILL)
    broker.start()
    assert eventually(lambda: nearly_done.lease == "PAUSED")
    held = nearly_done.states()
    assert set(held) <= {"PAUSED", "DONE"}
    time.sleep(1)
    assert nearly_done.states() == held
    docker("unpause", nearly_done.id)
    assert eventually(lambda: nearly_done.states() == {"DONE": JOBS}, seconds=120)


@pytest.mark.report(19)
def test_what_changed_while_the_broker_was_away_is_seen(docker: Docker, nearly_done: Busy) -> None:
    """Killed meanwhile: no job is non-terminal for ever."""
    broker = nearly_done.broker
    broker.stop(signal.SIGKILL)
    docker("kill", nearly_done.id)
    broker.start()
    assert eventually(nearly_done.has_ended), (nearly_done.lease, nearly_done.states())
