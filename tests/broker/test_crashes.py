"""What dies, and what does not die with it: workers, the broker, and jobs that never end."""

from __future__ import annotations

import json
import os
import resource
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from engine.broker import Broker
from programs import BELL, FLIPPED, HEADER, dense
from quantainer_client.connection import Connection
from quantainer_client.errors import QuantainerError

LONG = dense(24, 60)  # some seconds at least on any machine


def status(broker: Broker) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(broker("status", "--json").stdout)
    return facts


def await_worker(broker: Broker, state: str, seconds: float = 60) -> int:
    """Wait for a worker in this state and return its pid."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for worker in status(broker)["workers"]["processes"]:
            if worker["state"] == state:
                return int(worker["pid"])
        time.sleep(0.02)
    raise AssertionError(f"no worker is {state}: {status(broker)['workers']}\n{broker.log()}")


def connect(broker: Broker) -> Connection:
    return Connection(str(broker.socket))


def test_a_killed_worker_is_replaced_and_its_job_tried_once_more(
    make_broker: Callable[..., Broker],
) -> None:
    broker = make_broker(workers="1")
    with connect(broker) as connection:
        job = connection.submit(LONG, shots=10)
        waiting = connection.submit(FLIPPED, shots=10)
        first = await_worker(broker, "executing")
        os.kill(first, signal.SIGKILL)
        deadline = time.monotonic() + 60
        while (second := await_worker(broker, "executing")) == first:
            assert time.monotonic() < deadline
        os.kill(second, signal.SIGKILL)
        with pytest.raises(QuantainerError) as caught:
            connection.result(job.id, 60)
        assert caught.value.code == "worker_died"
        assert "SIGKILL" in caught.value.message
        assert "attempt 2" in caught.value.message
        # The next one runs, and so do new ones.
        assert connection.result(waiting.id, 60).counts() == {"01": 10}
        assert connection.run(FLIPPED, shots=10).counts() == {"01": 10}
        assert status(broker)["workers"]["deaths"] == 2, broker.log()


def test_a_refusal_that_names_what_is_endless_is_cut(broker: Broker) -> None:
    """It would not fit into a packet, and the worker that sent it would be taken for broken."""
    deaths = status(broker)["workers"]["deaths"]
    program = f"{HEADER}qreg q[1];\ncreg c[1];\n{'g' * 100_000} q[0];\nmeasure q -> c;\n"
    with connect(broker) as connection, pytest.raises(QuantainerError) as caught:
        connection.submit(program, shots=10)
    assert caught.value.code == "invalid_circuit"
    assert "ggg" in caught.value.message
    assert status(broker)["workers"]["deaths"] == deaths


def test_a_job_that_lacks_memory_is_not_tried_again(make_broker: Callable[..., Broker]) -> None:
    """The worker's memory is cut while it computes: what it asks for next is refused."""
    broker = make_broker(workers="1")
    with connect(broker) as connection:
        job = connection.submit(LONG, shots=500_000)
        worker = await_worker(broker, "executing")
        time.sleep(0.5)
        _, hard = resource.prlimit(worker, resource.RLIMIT_DATA)
        resource.prlimit(worker, resource.RLIMIT_DATA, (4096, hard))
        with pytest.raises(QuantainerError) as caught:
            connection.result(job.id, 60)
        assert caught.value.code == "out_of_memory", broker.log()
        assert caught.value.limit > 8 << 24
        assert caught.value.hint
        assert status(broker)["workers"]["deaths"] <= 1, broker.log()
        assert connection.run(FLIPPED, shots=10).counts() == {"01": 10}


def test_a_job_that_never_ends_is_ended(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker(workers="1", job_timeout="1")
    with connect(broker) as connection:
        with pytest.raises(QuantainerError) as caught:
            connection.run(LONG, shots=10)
        assert caught.value.code == "timeout"
        assert caught.value.limit == 1
        assert connection.run(FLIPPED, shots=10).counts() == {"01": 10}


def test_a_stopped_worker_is_a_hang(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker(workers="1", job_timeout="2")
    with connect(broker) as connection:
        job = connection.submit(LONG, shots=10)
        os.kill(await_worker(broker, "executing"), signal.SIGSTOP)
        with pytest.raises(QuantainerError, match="longer than"):
            connection.result(job.id, 60)
        assert connection.run(FLIPPED, shots=10).counts() == {"01": 10}


def test_a_jobs_own_deadline(broker: Broker) -> None:
    with connect(broker) as connection:
        job = connection.submit(LONG, shots=10, timeout=0.5)
        with pytest.raises(QuantainerError) as caught:
            connection.result(job.id, 60)
        assert caught.value.code == "timeout"


def test_cancel_queued_and_running(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker(workers="1")
    with connect(broker) as connection:
        running = connection.submit(LONG, shots=10)
        await_worker(broker, "executing")
        queued = connection.submit(BELL, shots=10)
        assert connection.cancel(queued.id)["state"] == "CANCELLED"
        connection.cancel(running.id)
        for job in (queued, running):
            assert connection.wait(job.id, 30)["state"] == "CANCELLED"
            with pytest.raises(QuantainerError, match="cancelled"):
                connection.result(job.id)
        assert connection.run(FLIPPED, shots=10).counts() == {"01": 10}
        # An ended job stays as it is.
        assert connection.cancel(queued.id)["state"] == "CANCELLED"


@pytest.mark.report(19)
def test_every_accepted_job_ends_right_after_the_broker_is_killed(
    make_broker: Callable[..., Broker],
) -> None:
    broker = make_broker(workers="1")
    with connect(broker) as connection:
        long = connection.submit(dense(23, 40), shots=16, seed=5)
        await_worker(broker, "executing")
        queued = [connection.submit(BELL, shots=32, seed=seed) for seed in range(20)]
    assert broker.process is not None
    os.kill(broker.process.pid, signal.SIGKILL)
    broker.process.wait()
    broker.process = None
    broker.start()
    with connect(broker) as connection:
        results = [connection.result(job.id, 120) for job in queued]
        assert sum(connection.result(long.id, 120).counts().values()) == 16
        for seed, result in enumerate(results):
            replay = connection.run(BELL, shots=32, seed=seed)
            assert bytes(result[0].registers["c"].data) == bytes(replay[0].registers["c"].data)
        states = {job["state"] for job in connection.jobs()}
        assert states == {"DONE"}
        facts = status(broker)
        assert (facts["queue"]["running"], facts["queue"]["waiting"], facts["jobs"]) == (0, 0, [])


def test_workers_die_with_the_broker(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker(workers="1")
    with connect(broker) as connection:
        connection.submit(LONG, shots=10)
        worker = await_worker(broker, "executing")
    assert broker.process is not None
    os.kill(broker.process.pid, signal.SIGKILL)
    broker.process.wait()
    broker.process = None
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return
        time.sleep(0.02)
    raise AssertionError(f"worker {worker} outlived its broker")


def test_memory_is_refused_before_it_is_taken(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker(workers="1", memory_limit="512MiB", memory_reserve="0")
    with connect(broker) as connection:
        qubits = connection.backend("qsim")["qubits"]
        assert qubits < 27
        with pytest.raises(QuantainerError) as caught:
            connection.run(dense(qubits + 2, 1), shots=1, options={"method": "statevector"})
        assert caught.value.code in ("out_of_memory", "too_many_qubits")
        assert caught.value.limit is not None
        assert caught.value.hint
        assert connection.run(FLIPPED, shots=10).counts() == {"01": 10}


@pytest.mark.report(3)
def test_the_advertised_width_really_runs(make_broker: Callable[..., Broker]) -> None:
    """Report 3, all the way: H on every qubit of the advertised width."""
    broker = make_broker(workers="1", memory_limit="512MiB", memory_reserve="0")
    with connect(broker) as connection:
        qubits = connection.backend("qsim")["qubits"]
        result = connection.run(dense(qubits, 1), shots=4, options={"method": "statevector"})
        assert sum(result.counts().values()) == 4


def test_queue_bounds_say_try_later(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker(workers="1", lease_queued_jobs="3")
    with connect(broker) as connection:
        running = connection.submit(LONG, shots=10)
        await_worker(broker, "executing")
        queued = [connection.submit(BELL, shots=1) for _ in range(3)]
        with pytest.raises(QuantainerError) as caught:
            connection.submit(BELL, shots=1)
        assert caught.value.code == "queue_full"
        assert caught.value.limit == 3
        connection.cancel(running.id)
        assert all(connection.wait(job.id, 60)["state"] == "DONE" for job in queued)


def test_a_second_broker_is_refused(broker: Broker) -> None:
    refused = broker("up", check=False)
    assert refused.returncode == 1
    assert "already" in refused.stderr
    in_foreground = broker("up", "--foreground", check=False)
    assert in_foreground.returncode == 1
    assert "already" in in_foreground.stderr
    elsewhere = broker("up", "--foreground", "--runtime-dir", f"{broker.home}/other", check=False)
    assert elsewhere.returncode == 1
    assert "state directory" in elsewhere.stderr
