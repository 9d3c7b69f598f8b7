"""A state directory that can no longer be written: no lease without a row, and no job."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from engine import broker as brokers
from engine.broker import Broker
from programs import BELL
from quantainer_client.channel import Channel
from quantainer_client.connection import Connection
from quantainer_client.errors import QuantainerError

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="mounts a small file system, makes pid namespaces: root only"
)


def mount(*words: str | Path) -> None:
    done = subprocess.run(
        ["mount", *map(str, words)], capture_output=True, text=True, timeout=30, check=False
    )
    if done.returncode:
        pytest.skip(f"a file system cannot be mounted here: {done.stderr.strip()}")


@pytest.fixture
def on_disk() -> Iterator[Callable[..., Broker]]:
    """Start a broker whose state directory is a file system of its own."""
    made: list[Broker] = []

    def start(*how: str | Path, **settings: str) -> Broker:
        own = brokers.make(workers="1", **settings)
        made.append(own)
        (own.home / "state").mkdir()
        mount(*how, own.home / "state")
        own.start()
        return own

    yield start
    for each in made:
        each.stop()
        subprocess.run(["umount", "-l", each.home / "state"], check=False, capture_output=True)
        brokers.remove(each)


@pytest.fixture
def container() -> Iterator[Callable[[], int]]:
    """Start processes in pid namespaces of their own; returns the first's pid."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> int:
        outer = subprocess.Popen(["unshare", "--pid", "--fork", "--kill-child", "sleep", "600"])
        started.append(outer)
        children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children")
        while not (found := children.read_text().split()):
            assert outer.poll() is None
        return int(found[0])

    yield start
    for each in started:
        each.kill()
        each.wait()


def open_lease(broker: Broker, name: str, pid: int) -> dict[str, Any]:
    channel = Channel(str(broker.socket), 30)
    try:
        fields = {"container": name, "pid": pid, "anchor": "pidns"}
        reply, _ = channel.round_trip("lease.open", fields, None, 30)
    finally:
        channel.close()
    lease: dict[str, Any] = reply["lease"]
    return lease


def rows(broker: Broker) -> set[str]:
    """Return the containers of leases that are open by their rows."""
    path = broker.home / "state" / "quantainer.db"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        found = database.execute(
            "SELECT container FROM leases WHERE state != 'ENDED' AND container IS NOT NULL"
        )
        return {name for (name,) in found}


def granted(broker: Broker) -> set[str]:
    status = json.loads(broker("status", "--json").stdout)
    return {lease["container"] for lease in status["leases"] if lease["container"]}


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"x" * 65536):
            pass
    with path.open("ab", buffering=0) as file, suppress(OSError):
        while file.write(b"x" * 512):
            pass


def until_refused(broker: Broker, pid: Callable[[], int]) -> QuantainerError:
    """Open leases until there is no room for another row."""
    for number in range(100):
        try:
            open_lease(broker, f"container-{number}", pid())
        except QuantainerError as error:
            return error
    raise AssertionError("the disk is never full")


def refused_job(broker: Broker) -> str:
    """Return the code with which a job is refused once there is no room for its row."""
    with Connection(str(broker.socket)) as connection:
        try:
            for seed in range(1000):
                connection.run(BELL, shots=1000, seed=seed)
        except QuantainerError as error:
            return error.code
    raise AssertionError("every job was taken")


def test_a_full_disk_refuses_leases_and_says_why(
    on_disk: Callable[..., Broker], container: Callable[[], int]
) -> None:
    broker = on_disk("-t", "tmpfs", "-o", "size=2m", "tmpfs")
    open_lease(broker, "before", container())
    ballast = broker.home / "state" / "ballast"
    fill(ballast)
    error = until_refused(broker, container)
    assert error.code == "storage"
    assert str(broker.home / "state") in error.message
    assert "Free some space" in str(error.hint)
    assert granted(broker) == rows(broker) >= {"before"}, "granted is what is written, no more"
    # The operator can still look, and a job is refused rather than lost.
    assert refused_job(broker) == "storage"
    # Room again: the next container starts, and its row is there.
    ballast.unlink()
    open_lease(broker, "after", container())
    assert "after" in rows(broker)
    assert granted(broker) == rows(broker)
    with Connection(str(broker.socket)) as connection:
        assert set(connection.run(BELL, shots=100).counts()) == {"00", "11"}


def test_a_refused_lease_is_none_after_a_crash_either(
    on_disk: Callable[..., Broker], container: Callable[[], int]
) -> None:
    broker = on_disk("-t", "tmpfs", "-o", "size=2m", "tmpfs")
    ballast = broker.home / "state" / "ballast"
    fill(ballast)
    until_refused(broker, container)
    before = granted(broker)
    assert broker.process is not None
    broker.process.kill()
    broker.process.wait()
    broker.process = None
    ballast.unlink()
    broker.start()
    assert granted(broker) == before == rows(broker)


@pytest.mark.skipif(
    shutil.which("mkfs.ext4") is None or not Path("/dev/loop-control").exists(),
    reason="mounts a disk image: mkfs.ext4 and loop devices",
)
def test_a_disk_that_turned_read_only_refuses_leases(
    on_disk: Callable[..., Broker], container: Callable[[], int], tmp_path: Path
) -> None:
    image = tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(32 * 2**20)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    broker = on_disk("-o", "loop", image)
    open_lease(broker, "before", container())
    before = rows(broker)
    # What the kernel does at a disk error.
    mount("-o", "remount,abort", broker.home / "state")
    with pytest.raises(QuantainerError) as caught:
        open_lease(broker, "after", container())
    assert caught.value.code == "storage"
    assert str(broker.home / "state") in caught.value.message
    assert caught.value.hint
    assert granted(broker) == before == {"before"}
    assert refused_job(broker) == "storage"


USER = """
import os, sys
from quantainer_client.connection import Connection
from quantainer_client.errors import QuantainerError
os.setgroups([]); os.setgid(65534); os.setuid(65534)
connection = Connection({socket!r})
print(connection.hello()["lease"]["tenant"], flush=True)
for _ in range(2):
    try:
        print(sum(connection.run({program!r}, shots=10).counts().values()), flush=True)
    except QuantainerError as error:
        print(error.code, flush=True)
    sys.stdin.readline()
"""


def test_a_user_who_comes_when_the_disk_is_full_may_look_and_wait(
    on_disk: Callable[..., Broker], container: Callable[[], int]
) -> None:
    """Their lease has no row yet, so no job is taken; it has one when there is room again."""
    broker = on_disk("-t", "tmpfs", "-o", "size=2m", "tmpfs", socket_group="nogroup")
    ballast = broker.home / "state" / "ballast"
    fill(ballast)
    until_refused(broker, container)
    code = USER.format(socket=str(broker.socket), program=BELL)
    user = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert user.stdin is not None
    assert user.stdout is not None
    try:
        said = [user.stdout.readline().strip() for _ in range(2)]
        assert said == ["uid:65534", "storage"]
        ballast.unlink()
        user.stdin.write("\n")
        user.stdin.flush()
        assert user.stdout.readline().strip() == "10"
    finally:
        user.kill()
        user.communicate()
    with closing(sqlite3.connect(broker.home / "state" / "quantainer.db")) as database:
        found = database.execute(
            "SELECT leases.tenant FROM jobs JOIN leases ON jobs.lease = leases.id"
        ).fetchall()
    assert found == [("uid:65534",)]
