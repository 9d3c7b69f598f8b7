"""Reading and running do not wait for each other, however much there is of either."""

from __future__ import annotations

import threading
from collections.abc import Callable

from engine.broker import Broker
from programs import BELL, dense
from quantainer_client.connection import Connection

CALLERS = 8
LONG = dense(16, 100)  # some thousand gates: reading takes longer than asking


def test_a_flood_of_circuits_to_read_keeps_no_job_from_running(
    make_broker: Callable[..., Broker],
) -> None:
    """There are always more questions than processes; the jobs' circuit was read before."""
    broker = make_broker(workers="1")
    is_over = threading.Event()

    def ask(caller: int) -> None:
        number = 0
        with Connection(str(broker.socket)) as connection:
            while not is_over.is_set():
                number += 1
                connection.estimate(f"{LONG}// {caller} {number}\n", shots=10)

    flood = [threading.Thread(target=ask, args=(caller,)) for caller in range(CALLERS)]
    with Connection(str(broker.socket)) as connection:
        connection.run(BELL, shots=10)
        for thread in flood:
            thread.start()
        try:
            for _ in range(5):
                job = connection.submit(BELL, shots=10)
                assert connection.wait(job.id, 30)["state"] == "DONE"
        finally:
            is_over.set()
            for thread in flood:
                thread.join()


def test_a_flood_of_jobs_keeps_no_circuit_from_being_read(
    make_broker: Callable[..., Broker],
) -> None:
    broker = make_broker(workers="1")
    with Connection(str(broker.socket)) as connection:
        jobs = [connection.submit(dense(22, 40), shots=10, seed=1) for _ in range(20)]
        for number in range(5):
            connection.estimate(f"{BELL}// {number}\n", shots=10)
        assert connection.wait(jobs[-1].id, 0)["state"] == "QUEUED"
        for job in jobs:
            connection.cancel(job.id)
