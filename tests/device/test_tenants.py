"""Who is who: containers by the kernel's word, host users by uid, and what each may see."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import programs
from engine.broker import Broker
from quantainer.broker.resources import Memberships
from quantainer.core.lease import Anchor
from quantainer.device.identity import Namespaces, Peer, anchors_of, container_cgroup
from quantainer_client.channel import Channel
from quantainer_client.connection import Connection
from quantainer_client.errors import QuantainerError

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="makes pid namespaces and other users")


# What the kernel says


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("0::/system.slice/docker-ab.scope\n", "/system.slice/docker-ab.scope"),
        ("0::/\n", "/"),
        ("11:devices:/docker/ab\n4:memory:/docker/ab\n0::/\n", "/docker/ab"),
        ("4:memory:/docker/ab\n1:name=systemd:/other\n", "/docker/ab"),
        ("1:name=systemd:/user.slice/x\n", "/user.slice/x"),
        ("0::/docker/ab (deleted)\n", "/docker/ab"),
        ("0::/a:b/c\n", "/a:b/c"),
        ("", "/"),
    ],
)
def test_the_path_that_stands_for_a_container(text: str, path: str) -> None:
    assert container_cgroup(Memberships.parse(text)) == path


@given(st.text(max_size=80))
def test_any_text_gives_a_path(text: str) -> None:
    assert container_cgroup(Memberships.parse(text)).startswith("/")


def test_a_process_below_the_container_belongs_to_it_and_a_sibling_does_not() -> None:
    peer = Peer(1, 0, 0, "/docker/ab/init.scope", None, (77,))
    assert list(anchors_of(peer)) == [
        Anchor("cgroup", "/docker/ab/init.scope"),
        Anchor("cgroup", "/docker/ab"),
        Anchor("cgroup", "/docker"),
        Anchor("pidns", "77"),
    ]
    sibling = Peer(1, 0, 0, "/docker/abc", None)
    assert Anchor("cgroup", "/docker/ab") not in list(anchors_of(sibling))


def test_only_the_same_namespaces_are_the_host() -> None:
    own = Namespaces.of("self")
    assert Peer(1, 0, 0, "/", own).on_host(own)
    assert not Peer(1, 0, 0, "/", None).on_host(own)
    assert not Peer(1, 0, 0, "/", Namespaces(own.pid, own.mnt, own.user + 1)).on_host(own)


# Containers, as small as they come: a pid namespace of their own


class Container:
    """A Python in a pid namespace of its own that runs what it is told."""

    def __init__(self, name: str, device: Path) -> None:
        self.name = name
        loop = textwrap.dedent(
            f"""
            import json, socket, sys
            from quantainer_client.connection import Connection
            from quantainer_client.errors import QuantainerError
            connection = Connection({str(device)!r})
            def take_and_use(path):
                with socket.socket(socket.AF_UNIX) as giver:
                    giver.connect(path)
                    fd = socket.recv_fds(giver, 1, 1)[1][0]
                with socket.socket(fileno=fd) as taken:
                    taken.send(b'{{"v":1,"id":2,"op":"hello"}}')
                    return json.loads(taken.recv(65536))
            for line in sys.stdin:
                try:
                    answer = eval(line)
                except QuantainerError as error:
                    answer = error.to_dict()
                print(json.dumps(answer), flush=True)
            """
        )
        self._process = subprocess.Popen(
            ["unshare", "--pid", "--fork", "--kill-child", sys.executable, "-c", loop],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._first_process()

    def _first_process(self) -> int:
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if found := children.read_text().split():
                return int(found[0])
            time.sleep(0.01)
        raise AssertionError("unshare started nothing")

    def __call__(self, expression: str) -> Any:
        self.say(expression)
        return self.hear()

    def say(self, expression: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(expression + "\n")
        self._process.stdin.flush()

    def hear(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()


BELL = repr(programs.BELL)


@contextmanager
def channel_to(broker: Broker) -> Iterator[Channel]:
    channel = Channel(str(broker.socket), 30)
    yield channel
    channel.close()


@pytest.fixture
def contain(broker: Broker) -> Iterator[Callable[..., Container]]:
    made: list[Container] = []

    def start(name: str, *, lease: bool = True, **fields: Any) -> Container:
        container = Container(name, broker.home / "run" / "dev" / "qvm.sock")
        made.append(container)
        if lease:
            with channel_to(broker) as channel:
                request = {"container": name, "pid": container.pid, "anchor": "pidns", **fields}
                channel.round_trip("lease.open", request, None, 30)
        return container

    yield start
    for container in made:
        container.stop()


@ROOT
def test_a_container_is_its_lease(contain: Callable[..., Container]) -> None:
    container = contain("one", tenant="team", environment={"PYTHONPATH": "/opt"})
    hello = container("connection.hello()")
    assert hello["lease"]["tenant"] == "team"
    assert hello["lease"]["environment"] == {"PYTHONPATH": "/opt"}
    assert hello["limits"]["shots"] > 0
    assert set(container(f"connection.run({BELL}, shots=50).counts()")) <= {"00", "11"}


@ROOT
def test_without_a_lease_there_is_nothing(contain: Callable[..., Container]) -> None:
    stranger = contain("stranger", lease=False)
    for call in ("hello()", "backends()", "jobs()", f"run({BELL})"):
        assert stranger(f"connection.{call}")["code"] == "no_lease"


@ROOT
def test_host_processes_are_no_container(broker: Broker) -> None:
    connection = Connection(str(broker.home / "run" / "dev" / "qvm.sock"))
    with connection, pytest.raises(QuantainerError) as caught:
        connection.hello()
    assert caught.value.code == "no_lease"


@ROOT
def test_tenants_do_not_see_one_another(contain: Callable[..., Container]) -> None:
    first, second = contain("first"), contain("second")
    job = first(f"connection.run({BELL}, shots=9, seed=1).job")
    assert [entry["job"] for entry in first("connection.jobs()")] == [job]
    assert second("connection.jobs()") == []
    for call in ("wait", "cancel", "result"):
        theirs = second(f"connection.{call}({job!r})")
        nobodys = second(f"connection.{call}('0' * 24)")
        assert theirs["code"] == nobodys["code"] == "unknown_job"
        assert theirs["message"].replace(job, "0" * 24) == nobodys["message"]


@ROOT
def test_containers_cannot_use_the_hosts_socket(
    broker: Broker, contain: Callable[..., Container]
) -> None:
    container = contain("climber")
    refused = container(f"Connection({str(broker.socket)!r}).hello()")
    assert refused["code"] == "forbidden"
    stranger = contain("other climber", lease=False)
    assert stranger(f"Connection({str(broker.socket)!r}).hello()")["code"] == "forbidden"


@ROOT
def test_a_lease_grants_what_it_names(contain: Callable[..., Container]) -> None:
    container = contain("limited", limits={"qubits": 3}, backends=["qsim"])
    wide = "Circuit(4).h(0).cx(0,1).cx(1,2).cx(2,3).measure_all()"
    refused = container(f"connection.run(__import__('quantainer_client').{wide}, shots=1).counts()")
    assert (refused["code"], refused["limit"], refused["needed"]) == ("too_many_qubits", 3, 4)
    unknown = container(f"connection.run({BELL}, backend='fake_brisbane')")
    assert unknown["code"] == "unknown_backend"
    assert "qsim" in unknown["hint"]


@ROOT
def test_what_names_no_backend_runs_on_what_was_granted(
    contain: Callable[..., Container],
) -> None:
    def where(container: Container) -> Any:
        return container(f"connection.run({BELL}, shots=1, timeout=60).metadata['backend']")

    assert where(contain("any", backends=["all"])) == "qsim"
    assert where(contain("both", backends=["fake_lima", "qsim"])) == "qsim"
    one = contain("one", backends=["fake_lima"])
    assert where(one) == "fake_lima"
    (pub,) = one(f"connection.estimate({BELL})")
    assert pub["facts"]["qubits"] == 2
    assert one(f"connection.submit({BELL}).result().metadata['backend']") == "fake_lima"
    two = contain("two", backends=["fake_lima", "fake_manila"])
    refused = two(f"connection.run({BELL}, shots=1)")
    assert refused["code"] == "unknown_backend"
    assert "fake_lima, fake_manila" in refused["message"]


@ROOT
def test_a_local_container_has_a_lease_and_no_circuit_leaves_it(
    broker: Broker, contain: Callable[..., Container]
) -> None:
    container = contain("at home", mode="local", backends=["all"])
    assert container("connection.hello()")["lease"]["mode"] == "local"
    assert container("connection.backends()") == []
    for call in ("run", "submit", "estimate"):
        refused = container(f"connection.{call}({BELL})")
        assert refused["code"] == "forbidden"
        assert "mode local" in refused["message"]
        assert "quantum.mode=hybrid" in refused["hint"]
    assert container("connection.backend('qsim')")["code"] == "forbidden"
    assert container("connection.jobs()") == []
    assert container("1 + 1") == 2


@ROOT
def test_a_qpu_container_sees_hardware_only(contain: Callable[..., Container]) -> None:
    container = contain("hardware", mode="qpu", backends=["all"])
    assert all(entry["kind"] == "qpu" for entry in container("connection.backends()"))
    refused = container(f"connection.run({BELL})")
    assert refused["code"] == "forbidden"
    assert "mode qpu" in refused["message"]


@ROOT
def test_the_end_of_a_container_ends_its_lease(
    broker: Broker, contain: Callable[..., Container]
) -> None:
    container = contain("short")
    assert "lease" in container("connection.hello()")
    container.stop()
    deadline = time.monotonic() + 15
    while any(lease["container"] == "short" for lease in broker.leases()):
        assert time.monotonic() < deadline, broker.log()
        time.sleep(0.05)


@ROOT
def test_a_closed_lease_is_closed_at_once(
    broker: Broker, contain: Callable[..., Container]
) -> None:
    container = contain("closed")
    assert "lease" in container("connection.hello()")
    with channel_to(broker) as channel:
        channel.round_trip("lease.close", {"container": "closed"}, None, 30)
        channel.round_trip("lease.close", {"container": "closed"}, None, 30)  # twice is no error
    assert container("connection.hello()")["code"] == "no_lease"


@ROOT
def test_a_passed_on_connection_is_of_no_use(
    broker: Broker, contain: Callable[..., Container]
) -> None:
    """A socket that was opened in one container and used in another is refused."""
    contain("giver")
    taker = contain("taker")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stolen:
        stolen.connect(str(broker.socket))  # the host's own: far more than the taker has
        stolen.send(b'{"v":1,"id":1,"op":"hello"}')
        assert b'"ok":true' in stolen.recv(65536)
        path = broker.home / "handover.sock"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen(1)
            taker.say(f"take_and_use({str(path)!r})")
            peer, _ = listener.accept()
            with peer:
                socket.send_fds(peer, [b"x"], [stolen.fileno()])
                reply = taker.hear()
    assert reply["ok"] is False
    assert reply["error"]["code"] == "forbidden"


@ROOT
def test_a_paused_container_waits_and_goes_on(
    broker: Broker, contain: Callable[..., Container]
) -> None:
    container = contain("paused")
    with channel_to(broker) as channel:
        channel.round_trip("lease.pause", {"container": "paused"}, None, 30)
        job = container(f"connection.submit({BELL}, shots=7, seed=1).id")
        assert container(f"connection.wait({job!r}, 0.3)")["state"] == "PAUSED"
        channel.round_trip("lease.unpause", {"container": "paused"}, None, 30)
    assert container(f"connection.wait({job!r}, 20)")["state"] == "DONE"


@ROOT
def test_a_container_that_runs_keeps_its_lease_over_a_crash_of_the_broker(
    make_broker: Callable[..., Broker],
) -> None:
    broker = make_broker(workers="1")
    container = Container("survivor", broker.home / "run" / "dev" / "qvm.sock")
    gone = Container("gone", broker.home / "run" / "dev" / "qvm.sock")
    try:
        with channel_to(broker) as channel:
            for each in (container, gone):
                request = {"container": each.name, "pid": each.pid, "anchor": "pidns"}
                channel.round_trip("lease.open", request, None, 30)
        before = container("connection.hello()")["lease"]["id"]
        assert broker.process is not None
        broker.process.kill()
        broker.process.wait()
        broker.process = None
        gone.stop()
        broker.start()
        assert container("connection.hello()")["lease"]["id"] == before
        assert set(container(f"connection.run({BELL}, shots=5).counts()")) <= {"00", "11"}
        assert [lease["container"] for lease in broker.leases()] == ["survivor"]
    finally:
        container.stop()
        gone.stop()


@ROOT
def test_nothing_is_leased_to_the_host_itself(broker: Broker) -> None:
    with channel_to(broker) as channel:
        for fields in (
            {"pid": os.getpid(), "anchor": "pidns"},
            {"pid": os.getpid()},
            {"cgroup": "/"},
            {},
            {"pid": 2**22 + 1},
            {"pid": 2**63},
        ):
            if "pid" in fields and "anchor" not in fields and _own_cgroup() != "/":
                continue
            with pytest.raises(QuantainerError) as caught:
                channel.round_trip("lease.open", {"container": "host", **fields}, None, 30)
            assert caught.value.code == "bad_request"


def _own_cgroup() -> str:
    return container_cgroup(Memberships.parse(Path("/proc/self/cgroup").read_text()))


# Host users


@ROOT
def test_host_users_are_tenants_by_uid(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker(workers="1", socket_group="nogroup")
    script = textwrap.dedent(
        f"""
        import os
        from quantainer_client.connection import Connection
        from quantainer_client.channel import Channel
        from quantainer_client.errors import QuantainerError
        os.setgroups([]); os.setgid(65534); os.setuid(65534)
        connection = Connection({str(broker.socket)!r})
        print(connection.hello()["lease"]["tenant"])
        print(len(connection.jobs()))
        channel = Channel({str(broker.socket)!r}, 10)
        for op, fields in [("shutdown", {{}}), ("lease.list", {{}}), ("jobs", {{"all": True}}),
                           ("lease.open", {{"container": "x", "cgroup": "/x"}})]:
            try:
                channel.round_trip(op, fields, None, 10)
            except QuantainerError as error:
                print(error.code)
        print(len(channel.round_trip("status", {{}}, None, 10)[0]["jobs"]))
        """
    )
    with Connection(str(broker.socket)) as connection:
        connection.submit(b"OPENQASM 2.0; qreg q[1]; creg c[1]; measure q->c;")
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    lines = done.stdout.split()
    assert lines == ["uid:65534", "0", *["forbidden"] * 4, "0"], done.stderr


@ROOT
def test_users_outside_the_group_are_kept_out(broker: Broker) -> None:
    script = f"""
import os, socket
os.setgroups([]); os.setgid(65534); os.setuid(65534)
socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).connect({str(broker.socket)!r})
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert "PermissionError" in done.stderr


# Pause and stop with work under way


@contextmanager
def leased(broker: Broker, name: str) -> Iterator[Container]:
    container = Container(name, broker.home / "run" / "dev" / "qvm.sock")
    try:
        with channel_to(broker) as channel:
            request = {"container": name, "pid": container.pid, "anchor": "pidns"}
            channel.round_trip("lease.open", request, None, 30)
        yield container
    finally:
        container.stop()


def await_state(broker: Broker, job: str, *states: str) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        state = json.loads(broker("jobs", "show", job, "--json").stdout)["state"]
        if state in states:
            return str(state)
        time.sleep(0.02)
    raise AssertionError(f"job {job} is not {states}: {broker.log()}")


@ROOT
def test_running_work_is_frozen_with_its_container_and_others_run(
    make_broker: Callable[..., Broker],
) -> None:
    broker = make_broker(workers="1")
    long = repr(programs.dense(24, 60))
    with leased(broker, "sleeper") as container, channel_to(broker) as channel:
        job = container(f"connection.submit({long}, shots=4, seed=1).id")
        await_state(broker, job, "RUNNING")
        channel.round_trip("lease.pause", {"container": "sleeper"}, None, 30)
        assert await_state(broker, job, "PAUSED") == "PAUSED"
        with Connection(str(broker.socket)) as host:
            assert host.run(programs.FLIPPED, shots=4).counts() == {"01": 4}
        assert await_state(broker, job, "PAUSED") == "PAUSED"
        channel.round_trip("lease.unpause", {"container": "sleeper"}, None, 30)
        assert container(f"connection.wait({job!r}, 120)")["state"] == "DONE"
        assert len(container(f"connection.result({job!r}).counts()")) <= 4


@ROOT
def test_a_stopping_container_drains_what_runs_and_cancels_what_waits(
    make_broker: Callable[..., Broker],
) -> None:
    broker = make_broker(workers="1", stop_grace="60")
    long = repr(programs.dense(24, 40))
    with leased(broker, "leaver") as container, channel_to(broker) as channel:
        running = container(f"connection.submit({long}, shots=4).id")
        await_state(broker, running, "RUNNING")
        waiting = container(f"connection.submit({BELL}, shots=4).id")
        channel.round_trip("lease.close", {"container": "leaver"}, None, 100)
        assert await_state(broker, running, "DONE", "CANCELLED") == "DONE"
        assert await_state(broker, waiting, "DONE", "CANCELLED") == "CANCELLED"
        result = json.loads(broker("jobs", "result", running, "--json").stdout)
        assert sum(result["counts"].values()) == 4


@ROOT
def test_what_does_not_end_within_the_grace_period_is_ended(
    make_broker: Callable[..., Broker],
) -> None:
    broker = make_broker(workers="1", stop_grace="0.5")
    long = repr(programs.dense(24, 400))
    with leased(broker, "dawdler") as container, channel_to(broker) as channel:
        job = container(f"connection.submit({long}, shots=4).id")
        await_state(broker, job, "RUNNING")
        channel.round_trip("lease.close", {"container": "dawdler"}, None, 100)
        assert await_state(broker, job, "CANCELLED") == "CANCELLED"
        with Connection(str(broker.socket)) as host:
            assert host.run(programs.FLIPPED, shots=4).counts() == {"01": 4}
