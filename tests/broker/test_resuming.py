"""An interrupted job goes on after its durable parts, and yields what it would have undisturbed."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import ClassicalRegister, QuantumCircuit
from qiskit.circuit import Clbit
from qiskit.quantum_info import SparsePauliOp
from test_parts import bits, partly_done, trajectories

from engine.broker import Broker
from programs import dense
from quantainer.backends.backend import Plan, Pub, PubResult
from quantainer.broker.chunks import Chunk
from quantainer.broker.parts import StoredPart, pack, unpack
from quantainer.broker.results import add_result, read_result
from quantainer.broker.slices import pieces_of, usable
from quantainer.broker.worker import Worker
from quantainer.broker.workload import Planned
from quantainer.circuits import Circuit, measure
from quantainer_client.channel import Channel
from quantainer_client.connection import Connection
from quantainer_client.payload import Payload, map_payload
from quantainer_client.wire import receive

SHOTS = 24_000
PROGRAM = trajectories(12)


@pytest.fixture
def broker(make_broker: Callable[..., Broker]) -> Iterator[Broker]:
    """A broker that a test may kill; one worker, so that parts come in order."""
    return make_broker(workers="1")


def crash(broker: Broker) -> None:
    assert broker.process is not None
    broker.process.send_signal(signal.SIGKILL)
    broker.process.wait()
    broker.process = None


def kill_worker(broker: Broker) -> None:
    """Kill the worker that runs a job: at once, since the job soon ends."""
    channel = Channel(str(broker.socket), 30)
    reply, _ = channel.round_trip("status", {}, None, 30)
    channel.close()
    workers = reply["workers"]["processes"]
    (pid,) = (worker["pid"] for worker in workers if worker["state"] == "executing")
    os.kill(pid, signal.SIGKILL)


def resumed(broker: Broker, job: str) -> list[int]:
    """Return after how many parts the broker says that the job went on, each time."""
    marker = f"job {job} goes on after "
    lines = [line.partition(marker)[2] for line in broker.log().splitlines() if marker in line]
    return [int(line.split()[0]) for line in lines]


@pytest.mark.parametrize("seed", [7, None], ids=["seeded", "unseeded"])
def test_after_a_crash_of_the_broker(broker: Broker, seed: int | None) -> None:
    with Connection(str(broker.socket)) as connection:
        job = connection.submit(PROGRAM, shots=SHOTS, seed=seed)
        partly_done(connection, job.id, 2000)
        early = connection.partial(job.id)
    crash(broker)
    broker.start()
    with Connection(str(broker.socket)) as connection:
        result = connection.result(job.id, 120)
        (after,) = resumed(broker, job.id)
        assert after >= early[0].shots // 1000
        assert sum(result.counts().values()) == SHOTS
        assert bits(result)[: len(bits(early))] == bits(early)
        undisturbed = connection.run(PROGRAM, shots=SHOTS, seed=result[0].metadata["seed"])
    assert bits(result) == bits(undisturbed)
    assert result[0].metadata["method"] == "trajectories"
    if seed is not None:
        assert result[0].metadata["seed"] == seed


def test_after_the_death_of_a_worker(broker: Broker) -> None:
    with Connection(str(broker.socket)) as connection:
        job = connection.submit(PROGRAM, shots=SHOTS, seed=3)
        partly_done(connection, job.id, 2000)
        kill_worker(broker)
        result = connection.result(job.id, 120)
        assert len(resumed(broker, job.id)) == 1
        assert bits(result) == bits(connection.run(PROGRAM, shots=SHOTS, seed=3))


def test_over_several_crashes_no_shot_is_lost_or_counted_twice(broker: Broker) -> None:
    done = 0
    with Connection(str(broker.socket)) as connection:
        job = connection.submit(PROGRAM, shots=3 * SHOTS, seed=11)
    for _ in range(3):
        with Connection(str(broker.socket)) as connection:
            done = partly_done(connection, job.id, done + 3000)
        crash(broker)
        broker.start()
    with Connection(str(broker.socket)) as connection:
        shown = connection.wait(job.id, 0)
        assert shown["shots_done"] >= done, "what is durable stays so"
        result = connection.result(job.id, 120)
        after = resumed(broker, job.id)
        assert after == sorted(after)
        assert len(after) == 3
        assert bits(result) == bits(connection.run(PROGRAM, shots=3 * SHOTS, seed=11))


def test_circuits_of_a_batch(broker: Broker) -> None:
    batch = [dense(20, 12, seed=index) for index in range(24)]
    with Connection(str(broker.socket)) as connection:
        job = connection.submit(batch, shots=100, seed=9)
        partly_done(connection, job.id, 300)
        crash(broker)
    broker.start()
    with Connection(str(broker.socket)) as connection:
        result = connection.result(job.id, 120)
        again = connection.run(batch, shots=100, seed=9)
        assert resumed(broker, job.id)[0] >= 3
        assert [bits(result, pub) for pub in range(24)] == [bits(again, pub) for pub in range(24)]
        assert [one.counts() for one in result] == [one.counts() for one in again]


# The store is changed between crash and restart: what is there is used, and only what fits.


def edit(broker: Broker, statement: str, *values: object) -> int:
    with closing(sqlite3.connect(broker.home / "state" / "quantainer.db")) as database:
        count = database.execute(statement, values).rowcount
        database.commit()
        return count


def interrupted(broker: Broker, seed: int) -> str:
    with Connection(str(broker.socket)) as connection:
        job = connection.submit(PROGRAM, shots=SHOTS, seed=seed)
        partly_done(connection, job.id, 3000)
    crash(broker)
    return str(job.id)


def test_durable_parts_are_not_measured_again(broker: Broker) -> None:
    job = interrupted(broker, 5)
    assert edit(broker, "UPDATE chunks SET data = zeroblob(length(data)) WHERE position = 1") == 1
    broker.start()
    with Connection(str(broker.socket)) as connection:
        result = bits(connection.result(job, 120))
        right = bits(connection.run(PROGRAM, shots=SHOTS, seed=5))
    width = len(right) // SHOTS
    first, second = 1000 * width, 2000 * width
    assert result[first:second] == bytes(first), "the second part is what the store held"
    assert result[:first] + result[second:] == right[:first] + right[second:]


def test_parts_of_another_engine_are_measured_again(broker: Broker) -> None:
    job = interrupted(broker, 6)
    there = edit(
        broker,
        "UPDATE chunks SET data = zeroblob(length(data)),"
        ' header = replace(header, \'"engine_version":"\', \'"engine_version":"older-\')',
    )
    assert there >= 3
    broker.start()
    with Connection(str(broker.socket)) as connection:
        result = connection.result(job, 120)
        assert bits(result) == bits(connection.run(PROGRAM, shots=SHOTS, seed=6))
    assert "older" not in result[0].metadata["engine_version"]


def test_shots_are_counted_once_when_parts_are_dropped(broker: Broker) -> None:
    job = interrupted(broker, 8)
    edit(broker, "UPDATE chunks SET position = position + 100000")
    broker.start()
    with Connection(str(broker.socket)) as connection:
        deadline = time.monotonic() + 60
        while connection.wait(job, 0)["state"] == "RUNNING":
            kept = connection.partial(job)
            shots = kept[0].shots if len(kept) else 0
            assert shots <= SHOTS
            assert time.monotonic() < deadline
        result = connection.result(job, 60)
        assert bits(result) == bits(connection.run(PROGRAM, shots=SHOTS, seed=8))


# What is laid out for the wire is read back whole


@st.composite
def laid_out(draw: st.DrawFn) -> tuple[Planned, PubResult]:
    """Draw a circuit with registers that lie anywhere, and samples of it."""
    size = draw(st.integers(1, 40))
    clbits = [Clbit() for _ in range(size)]
    circuit = QuantumCircuit(1)
    circuit.add_bits(clbits)
    order = draw(st.permutations(range(size)))
    cuts = sorted(draw(st.sets(st.integers(0, size), max_size=4)))
    for number, (first, end) in enumerate(zip([0, *cuts], [*cuts, size], strict=True)):
        register = [clbits[place] for place in (order if draw(st.booleans()) else range(size))]
        if draw(st.booleans()) and register[first:end]:
            circuit.add_register(ClassicalRegister(bits=register[first:end], name=f"r{number}"))
    circuit.measure(0, clbits[0])
    shots = draw(st.integers(1, 9))
    read = Circuit(circuit, "qpy")
    plan = Plan("m", "e", "1", "double", 0, 0.0, "")
    planned = Planned(Pub(read, measure(read), "d", shots=shots), plan, warm=False)
    drawn = draw(st.binary(min_size=shots * size, max_size=shots * size))
    values = np.frombuffer(drawn, dtype=np.uint8).reshape(1, shots, size) & 1
    packed = np.packbits(values, axis=-1, bitorder="little")
    return planned, PubResult(samples=packed, metadata={"seed": 1})


@given(laid_out())
@settings(deadline=None, max_examples=150)
def test_a_stored_part_lays_out_the_same_again(drawn: tuple[Planned, PubResult]) -> None:
    planned, result = drawn
    first, again = Payload(), Payload()
    entry = add_result(planned, result, first, counts=True)
    data = map_payload(first.seal())
    back = read_result(planned, entry, data)
    assert add_result(planned, back, again, counts=True) == entry
    assert bytes(map_payload(again.seal())) == bytes(data)
    assert back.samples is not None
    assert result.samples is not None
    assert np.array_equal(back.samples, result.samples), "every bit lies in some register"


def test_expectation_values_are_read_back() -> None:
    circuit = Circuit(QuantumCircuit(1), "qpy")
    pub = Pub(circuit, measure(circuit), "d", observables=(SparsePauliOp("Z"),), pairs=((0, 0),))
    planned = Planned(pub, Plan("m", "e", "1", "double", 0, 0.0, ""), warm=False)
    payload, again = Payload(), Payload()
    made = {"method": "m", "engine": "e", "engine_version": "1", "precision": "double", "seed": 1}
    result = PubResult(evs=np.array([0.25]), stds=np.array([0.5]), metadata=made)
    entry = {"pub": 0, **add_result(planned, result, payload, counts=False)}
    data = map_payload(payload.seal())
    found, stale = usable(pieces_of([planned], [1]), {0: StoredPart(entry, data)})
    assert stale == []
    assert {"pub": 0, **add_result(planned, found[0], again, counts=False)} == entry
    assert bytes(map_payload(again.seal())) == bytes(data)


@given(laid_out())
@settings(deadline=None, max_examples=50)
def test_parts_travel_whole_and_only_their_own_are_used(drawn: tuple[Planned, PubResult]) -> None:
    planned, result = drawn
    (piece,) = pieces_of([planned], [1])
    payload = Payload()
    made = {"method": "m", "engine": "e", "engine_version": "1", "precision": "double", "seed": 1}
    entry = {"pub": 0, **add_result(planned, result, payload, counts=False), "metadata": made}
    data = bytes(map_payload(payload.seal()))
    packed = pack([Chunk(0, planned.shots, [entry], data), Chunk(4, 1, [entry], data)])
    stored = unpack(packed.place, map_payload(packed.fd))
    found, stale = usable([piece], stored)
    assert (list(found), stale) == ([0], [4])
    assert result.samples is not None
    assert np.array_equal(found[0].samples, result.samples)
    for key, value in (("seed", 2), ("engine", "f"), ("engine_version", "2"), ("method", "n")):
        other = {**entry, "metadata": {**made, key: value}}
        found, stale = usable([piece], {0: StoredPart(other, memoryview(data))})
        assert (found, stale) == ({}, [0])
    for key, value in (("shots", 99), ("rows", 2), ("clbits", 99), ("pub", 1)):
        found, stale = usable([piece], {0: StoredPart({**entry, key: value}, memoryview(data))})
        assert (found, stale) == ({}, [0])


def test_that_many_parts_are_of_no_use_is_told_in_several_packets() -> None:
    """As after a change of engines in the middle of a job of many shots."""
    entry = {"pub": 0, "metadata": {}}
    packed = pack(Chunk(number, 1000, [entry], b"") for number in range(20_000))
    broker, end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    worker = Worker.__new__(Worker)
    worker._connection = end
    told: list[int] = []
    with broker, end:
        known = worker._known({"task": 1, "parts": packed.place}, [], map_payload(packed.fd))
        while len(told) < 20_000:
            packet, fd = receive(broker)
            assert fd is None
            told += json.loads(packet)["stale"]
    assert known == {}
    assert told == list(range(20_000))
