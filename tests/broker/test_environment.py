"""What workers see of the broker's environment: what they need, and no secret of a vendor's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.broker import Broker
from quantainer.broker.environment import worker_environment
from quantainer_client.connection import Connection

SECRETS = {
    "QISKIT_IBM_TOKEN": "ibm-secret-4711",
    "AWS_SECRET_ACCESS_KEY": "aws-secret-4711",
    "AWS_SESSION_TOKEN": "aws-session-4711",
    "IQM_TOKEN": "iqm-secret-4711",
    "HTTPS_PROXY": "http://user:proxy-secret-4711@proxy:3128",
    "SOME_FUTURE_VENDORS_KEY": "future-secret-4711",
}
BELL = """OPENQASM 2.0; include "qelib1.inc"; qreg q[2]; creg c[2];
h q[0]; cx q[0],q[1]; measure q -> c;"""


def test_no_secret_reaches_a_worker(make_broker: Callable[..., Broker], monkeypatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OMP_DYNAMIC", "FALSE")
    broker = make_broker(workers="1")
    assert broker.process is not None
    with Connection(str(broker.socket)) as connection:
        assert set(connection.run(BELL, shots=100, seed=1).counts()) == {"00", "11"}
    own = Path(f"/proc/{broker.process.pid}/environ").read_bytes()
    assert b"4711" in own, "the broker itself has them, else this shows nothing"
    processes = json.loads(broker("status", "--json").stdout)["workers"]["processes"]
    assert processes
    for worker in processes:
        text = Path(f"/proc/{worker['pid']}/environ").read_bytes()
        assert b"4711" not in text
        names = {entry.partition(b"=")[0].decode() for entry in text.split(b"\0") if entry}
        assert {"PATH", "OMP_NUM_THREADS", "OMP_DYNAMIC"} <= names
        assert not any(name.startswith(("QUANTAINER_", "XDG_", "AWS_")) for name in names)


@pytest.mark.report(1)
def test_threads_are_as_granted_whatever_the_broker_was_told() -> None:
    made = worker_environment(3, {"OMP_NUM_THREADS": "64", "OMP_WAIT_POLICY": "ACTIVE"})
    assert (made["OMP_NUM_THREADS"], made["OMP_WAIT_POLICY"]) == ("3", "PASSIVE")
