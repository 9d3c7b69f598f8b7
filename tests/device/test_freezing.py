"""A container that the kernel froze: its work stands still with it, and goes on with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.broker import Broker
from isolation.box import remove_group
from programs import dense
from quantainer_client.channel import Channel

ROOT = Path("/sys/fs/cgroup")
LONG = dense(22, 40)
AGREEMENT = 1.2  # seconds

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not (ROOT / "freezer/cgroup.procs").exists(),
    reason="makes control groups of a v1 hierarchy: root, and a machine that has one",
)

SUBMITTER = """
import sys
from quantainer_client.connection import Connection
connection = Connection(sys.argv[1])
job = connection.submit(sys.stdin.read(), shots=20, seed=5)
print(job.id, flush=True)
print(connection.result(job.id, 200).counts(), flush=True)
"""


class Box:
    """A process in a control group of its own, in the trees that matter."""

    def __init__(self, broker: Broker, name: str) -> None:
        self.broker = broker
        self.path = f"/quantainer-test-{uuid.uuid4().hex[:8]}-{name}"
        self.groups = [ROOT / tree / self.path[1:] for tree in ("devices", "freezer")]
        for group in self.groups:
            group.mkdir()
        self.process = subprocess.Popen(
            [sys.executable, "-c", SUBMITTER, str(broker.home / "run" / "dev" / "qvm.sock")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for group in self.groups:
            (group / "cgroup.procs").write_text(str(self.process.pid))
        with channel(broker) as host:
            request = {"container": name, "pid": self.process.pid}
            host.round_trip("lease.open", request, None, 30)

    def submit(self, program: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(program)
        self.process.stdin.close()
        return self.process.stdout.readline().strip()

    def freeze(self, text: str = "FROZEN") -> None:
        (self.groups[1] / "freezer.state").write_text(text)

    def remove(self) -> None:
        if not self.groups[1].exists():
            return
        self.process.kill()
        self.freeze("THAWED")
        with self.process:
            self.process.wait()
        for group in self.groups:
            remove_group(group)


class channel:  # noqa: N801
    def __init__(self, broker: Broker) -> None:
        self._channel = Channel(str(broker.socket), 30)

    def __enter__(self) -> Channel:
        return self._channel

    def __exit__(self, *_: object) -> None:
        self._channel.close()


@pytest.fixture
def box(make_broker: Callable[..., Broker]) -> Iterator[Callable[..., Box]]:
    made: list[Box] = []

    def make(broker: Broker, name: str = "box") -> Box:
        made.append(Box(broker, name))
        return made[-1]

    yield make
    for each in made:
        each.remove()


def status(broker: Broker) -> dict[str, Any]:
    with channel(broker) as host:
        reply, _ = host.round_trip("status", {}, None, 30)
    return reply


def until(broker: Broker, what: Callable[[dict[str, Any]], bool], seconds: float) -> float:
    start = time.monotonic()
    while not what(facts := status(broker)):
        if time.monotonic() - start > seconds:
            raise AssertionError(f"{json.dumps(facts)[:2000]}\n{broker.log()}")
        time.sleep(0.01)
    return time.monotonic() - start


def job_is(job: str, state: str) -> Callable[[dict[str, Any]], bool]:
    return lambda facts: any(j["job"] == job and j["state"] == state for j in facts["jobs"])


def stat(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def frozen(broker: Broker) -> list[int]:
    processes = status(broker)["workers"]["processes"]
    return [worker["pid"] for worker in processes if worker["state"] == "frozen"]


def test_running_work_stands_still_and_goes_on(
    make_broker: Callable[..., Broker], box: Callable[..., Box]
) -> None:
    broker = make_broker(workers="1", durability="normal")
    container = box(broker)
    job = container.submit(LONG)
    until(broker, job_is(job, "RUNNING"), 60)
    container.freeze()
    assert until(broker, job_is(job, "PAUSED"), AGREEMENT) < AGREEMENT
    until(broker, lambda _: [stat(pid) for pid in frozen(broker)] == ["T"], 5)
    container.freeze("THAWED")
    until(broker, lambda facts: not job_is(job, "PAUSED")(facts), AGREEMENT)
    assert container.process.stdout is not None
    assert container.process.stdout.readline(), "the result reaches the container"


def test_a_frozen_container_that_is_killed_ends(
    make_broker: Callable[..., Broker], box: Callable[..., Box]
) -> None:
    broker = make_broker(workers="1", stop_grace="1")
    container = box(broker)
    job = container.submit(LONG)
    until(broker, job_is(job, "RUNNING"), 60)
    container.freeze()
    until(broker, job_is(job, "PAUSED"), AGREEMENT)
    container.remove()
    until(broker, lambda facts: not facts["jobs"], 60)
    leases = [lease for lease in status(broker)["leases"] if lease["container"]]
    assert leases == []
    assert status(broker)["queue"]["running"] == 0


def test_a_broker_that_restarts_finds_the_container_frozen(
    make_broker: Callable[..., Broker], box: Callable[..., Box]
) -> None:
    broker = make_broker(workers="1")
    container = box(broker)
    job = container.submit(LONG)
    until(broker, job_is(job, "RUNNING"), 60)
    broker.stop(signal.SIGKILL)
    container.freeze()
    broker.start()
    assert job_is(job, "PAUSED")(status(broker))
    container.freeze("THAWED")
    until(broker, lambda facts: not job_is(job, "PAUSED")(facts), AGREEMENT)
    with channel(broker) as host:
        reply, _ = host.round_trip("wait", {"job": job, "timeout": 120}, None, 150)
    assert reply["state"] == "DONE"


def lives(facts: dict[str, Any]) -> list[dict[str, Any]]:
    return [lease for lease in facts["leases"] if lease["container"]]


def test_a_restarted_container_is_meant_and_not_its_first_life_that_still_drains(
    make_broker: Callable[..., Broker], box: Callable[..., Box]
) -> None:
    broker = make_broker(workers="1", stop_grace="60")
    first = box(broker)
    job = first.submit(LONG)
    until(broker, job_is(job, "RUNNING"), 60)
    first.process.kill()
    until(broker, lambda facts: [lease["state"] for lease in lives(facts)] == ["STOPPING"], 10)
    box(broker)
    with channel(broker) as host:
        host.round_trip("lease.pause", {"container": "box"}, None, 30)
        assert [lease["state"] for lease in lives(status(broker))] == ["STOPPING", "PAUSED"]
        host.round_trip("lease.close", {"container": "box"}, None, 30)
    assert [lease["state"] for lease in lives(status(broker))] == ["STOPPING"]
