"""Jobs in parts: what is measured before a job is stopped stays, and is what the whole would be."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from engine.broker import Broker
from programs import HEADER, dense
from quantainer_client.connection import Connection
from quantainer_client.errors import QuantainerError


def trajectories(qubits: int) -> str:
    """Return a circuit that has to be run anew for each shot: it resets on the way."""
    body = dense(qubits, 6).removeprefix(HEADER).removesuffix("measure q -> c;\n")
    again = "\n".join(line for line in body.splitlines() if not line.startswith(("qreg", "creg")))
    return f"{HEADER}{body}measure q[0] -> c[0];\nreset q[0];\n{again}\nmeasure q -> c;\n"


@pytest.fixture(scope="module")
def connection(broker: Broker) -> Iterator[Connection]:
    with Connection(str(broker.socket)) as open_connection:
        yield open_connection


def partly_done(connection: Connection, job: str, least: int) -> int:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        reply = connection.wait(job, 0)
        assert reply["state"] in ("QUEUED", "RUNNING"), reply
        if reply["shots_done"] >= least:
            return int(reply["shots_done"])
        time.sleep(0.01)
    raise AssertionError("no part of the job became durable")


def bits(result, pub=0):
    return bytes(result[pub].registers["c"].data)


def test_shots_of_a_cancelled_job_stay_and_are_those_of_the_whole(
    connection: Connection, broker: Broker
) -> None:
    program, shots = trajectories(13), 60_000
    job = connection.submit(program, shots=shots, seed=3)
    done = partly_done(connection, job.id, 1000)
    early = job.partial()
    assert early[0].shots >= done
    job.cancel()
    with pytest.raises(QuantainerError) as caught:
        connection.result(job.id, 60)
    assert caught.value.code == "cancelled"
    assert f"of {shots} shots are kept" in caught.value.message
    kept = job.partial()
    assert kept[0].shots >= early[0].shots
    assert kept[0].shots % 1000 == 0
    assert bits(kept)[: len(bits(early))] == bits(early)
    # The same seed gives the same bits, whole or in part, now or in another run.
    whole = connection.run(program, shots=3000, seed=3)
    count = min(len(bits(kept)), 2000 * 2)
    assert bits(whole)[:count] == bits(kept)[:count]
    shown = json.loads(broker("jobs", "result", job.id, "--partial", "--json").stdout)
    assert sum(shown["counts"].values()) == kept[0].shots


def test_finished_circuits_of_a_batch_stay(connection: Connection) -> None:
    batch = [dense(20, 12, seed=index) for index in range(40)]
    job = connection.submit(batch, shots=100, seed=9)
    partly_done(connection, job.id, 200)
    job.cancel()
    with pytest.raises(QuantainerError, match="of 4000 shots are kept"):
        connection.result(job.id, 60)
    kept = job.partial()
    assert 2 <= len(kept) < 40
    again = connection.run(batch[: len(kept)], shots=100, seed=9)
    for pub in range(len(kept)):
        assert kept[pub].shots == 100
        assert bits(kept, pub) == bits(again, pub)


def test_a_done_job_has_its_result_and_a_new_one_nothing(
    connection: Connection, broker: Broker
) -> None:
    job = connection.submit(dense(2, 1), shots=10, seed=1)
    assert bits(job.result(60)) == bits(job.partial())
    waiting = [connection.submit(dense(20, 20), shots=10) for _ in range(4)]
    assert len(waiting[-1].partial()) == 0
    for each in waiting:
        each.cancel()
    shown = broker("jobs", "result", waiting[-1].id, "--partial", check=False)
    assert shown.returncode == 1
    assert f"`quantainer jobs show {waiting[-1].id}`" in shown.stderr
    with pytest.raises(QuantainerError) as caught:
        connection.partial("nobody")
    assert caught.value.code == "unknown_job"
