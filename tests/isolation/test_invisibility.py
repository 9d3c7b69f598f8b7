"""What one tenant learns of another, of the host and of its secrets: nothing."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from engine import broker as brokers
from engine.broker import Broker
from isolation.box import Box, lease, operator
from quantainer_client.errors import QuantainerError

SECRETS = {
    "QISKIT_IBM_TOKEN": "secret-ibm-4711",
    "AWS_SECRET_ACCESS_KEY": "secret-aws-4712",
    "AWS_SESSION_TOKEN": "secret-aws-4713",
}


def test_anothers_job_and_none_are_the_same(box: Callable[..., Box]) -> None:
    """In code, text, hint and every other field, for every operation that names a job."""
    owner, spy = box("owner"), box("spy")
    job = owner.eval("Connection(DEVICE).submit(BELL, shots=3).id")
    absent = "0" * len(job)
    for op in ("wait", "result", "cancel", "jobs"):
        fields = {"op": op, "job": "?"}
        theirs = spy.eval(f"ask(dial(DEVICE), {fields | {'job': job}!r})")
        nobodys = spy.eval(f"ask(dial(DEVICE), {fields | {'job': absent}!r})")
        assert json.dumps(theirs).replace(job, absent) == json.dumps(nobodys)
        assert theirs["error"]["code"] == "unknown_job"
    assert owner.eval(f"Connection(DEVICE).result({job!r}).counts()")


def test_lists_hold_the_callers_own_only(box: Callable[..., Box]) -> None:
    owner, spy = box("list-owner"), box("list-spy")
    owner("Connection(DEVICE).submit(BELL, shots=3)")
    assert spy.eval("ask(dial(DEVICE), {'op': 'jobs'})['jobs']") == []
    assert spy.code({"op": "jobs", "all": True}) == "forbidden"
    assert spy.code({"op": "jobs", "limit": 10**9}) == "bad_request"
    said = json.dumps(spy.eval("[Connection(DEVICE).hello(), Connection(DEVICE).backends()]"))
    assert "list-owner" not in said


def test_job_ids_cannot_be_guessed(box: Callable[..., Box]) -> None:
    owner = box("ids")
    ids = owner(
        "connection = Connection(DEVICE)\n"
        "answer = [connection.submit(BELL, shots=1).id for _ in range(100)]"
    )
    assert len(set(ids)) == 100
    assert all(re.fullmatch(r"[0-9a-f]{24}", one) for one in ids)  # 96 random bits
    assert ids != sorted(ids)
    for position in range(24):  # no digit is a counter or a clock
        assert len({one[position] for one in ids}) > 8


def test_a_container_sees_no_backend_beyond_its_lease(box: Callable[..., Box]) -> None:
    narrow = box("narrow", fields={"backends": ["qsim"]})
    names = narrow.eval("[each['name'] for each in Connection(DEVICE).backends()]")
    assert names == ["qsim"]
    for name in ("fake_sherbrooke", "nonsense"):
        assert narrow.code({"op": "backends", "name": name}) == "unknown_backend"


def test_another_users_files_of_the_broker_are_closed(
    broker: Broker, box: Callable[..., Box]
) -> None:
    """State, results and sockets, whatever the umask was."""
    owner = box("stored")
    owner("Connection(DEVICE).run(BELL, shots=200000)")
    user = box("reader-of-state", leased=False, unshare=(), user=65534)
    state = broker.home / "state"
    for path in (state, state / "quantainer.db", state / "blobs"):
        with pytest.raises(Exception, match="Permission denied"):
            user(f"open({str(path)!r}, 'rb')")
    for path in state.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    for path in (broker.home / "run").rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode & 0o022 == 0 or path.name == "qvm.sock", path


def test_a_state_directory_that_was_open_is_no_leak(tmp_path: Path) -> None:
    """A packager made it with 0755: what the broker writes in it is still its own."""
    broker = brokers.make()
    (broker.home / "state").mkdir(mode=0o755)
    try:
        broker.start()
        for path in (broker.home / "state").rglob("*"):
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    finally:
        brokers.remove(broker)


def test_no_secret_of_the_host_is_told(make_broker: Callable[..., Broker]) -> None:
    """The broker may hold vendors' credentials; containers get none by any way."""
    old = {name: os.environ.get(name) for name in SECRETS}
    os.environ.update(SECRETS)
    try:
        broker = make_broker(workers="1")
    finally:
        for name, value in old.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    box = Box(broker)
    try:
        lease(broker, "curious", pid=box.pid, anchor="pidns")
        told = json.dumps(
            box.eval(
                "[Connection(DEVICE).hello(), Connection(DEVICE).backends(),"
                " ask(dial(DEVICE), {'op': 'backends', 'name': 'qsim'})]"
            )
        )
    finally:
        box.stop()
    with operator(broker) as channel:
        status, _ = channel.round_trip("status", {}, None, 30)
    files = [*(broker.home / "run").rglob("*"), *broker.cdi.iterdir(), broker.home / "broker.log"]
    texts = [path.read_text(errors="replace") for path in files if path.is_file()]
    assert any(path.name == "devices.json" for path in files)
    for secret in SECRETS.values():
        assert secret not in told
        assert secret not in json.dumps(status)
        assert not any(secret in text for text in texts)


def _make_folder_of_another(path: Path) -> None:
    path.mkdir()
    os.chown(path, 65534, 65534)


def test_a_runtime_directory_that_another_planted_is_refused(tmp_path: Path) -> None:
    """``/tmp/quantainer-UID`` has a name that anyone can guess."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for plant in (
        lambda path: path.symlink_to(elsewhere),
        _make_folder_of_another,
        lambda path: path.write_text(""),
    ):
        broker = brokers.make()
        try:
            plant(broker.home / "run")
            done = broker("up", "--foreground", check=False, timeout=60)
            assert done.returncode == 1
            assert "run" in done.stderr
            assert "Traceback" not in done.stderr
            assert list(elsewhere.iterdir()) == []
        finally:
            brokers.remove(broker)


def test_an_ended_lease_leaves_its_results_to_nobody(
    broker: Broker, box: Callable[..., Box]
) -> None:
    """Not even to the next container, if it has another name."""
    owner = box("departed")
    job = owner.eval("Connection(DEVICE).run(BELL, shots=3).job")
    with operator(broker) as channel:
        channel.round_trip("lease.close", {"container": "departed"}, None, 30)
    heir = box("heir")
    with pytest.raises(Exception, match="unknown_job"):
        heir(f"Connection(DEVICE).result({job!r})")
    with operator(broker) as channel, pytest.raises(QuantainerError, match="no such lease"):
        channel.round_trip("lease.pause", {"container": "departed"}, None, 30)
