"""Whoever lists many jobs takes no more than his turn."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from pathlib import Path

from msgspec.structs import replace

from engine import broker as brokers
from quantainer.broker.listing import Listing
from quantainer.broker.store import Store
from quantainer.core.job import Job, JobState
from quantainer_client.channel import Channel
from quantainer_client.connection import Connection

JOBS = 5000
CALLERS = 16
ENDED = Job(
    "j", "l", f"uid:{os.getuid()}", "qsim", 10, state=JobState.CANCELLED, finished_at=time.time()
)


def _fill(state: Path) -> None:
    store = Store(state)
    for number in range(JOBS):
        store.add_job(replace(ENDED, id=f"{number:05}", payload_digest="d"), b"circuit")
    store.close()


def test_lists_of_many_jobs_delay_no_other_caller() -> None:
    """As one connection after the other has its turn, each would wait for all these lists."""
    broker = brokers.make(workers="1")
    _fill(broker.home / "state")
    is_over = threading.Event()
    lengths: list[int] = []

    def ask() -> None:
        channel = Channel(str(broker.socket), 60)
        while not is_over.is_set():
            listed, _ = channel.round_trip("jobs", {"limit": 10_000}, None, 60)
            lengths.append(listed["jobs"]["length"])
        channel.close()

    callers = [threading.Thread(target=ask) for _ in range(CALLERS)]
    try:
        broker.start()
        with Connection(str(broker.socket)) as connection:
            for caller in callers:
                caller.start()
            time.sleep(1.0)
            waits = []
            for _ in range(10):
                began = time.monotonic()
                connection.hello()
                waits.append(time.monotonic() - began)
            is_over.set()
            for caller in callers:
                caller.join()
        assert sorted(waits)[5] < 0.5
        assert len(set(lengths)) == 1, "each list is whole"
    finally:
        is_over.set()
        brokers.remove(broker)


def test_pages_are_one_list(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for number in range(250):
        tenant = "ours" if number % 2 else "theirs"
        store.add_job(replace(ENDED, id=str(number), tenant=tenant, payload_digest="d"), b"c")
    listing = Listing(store)
    names = [str(number) for number in reversed(range(250))]
    for limit in (1, 99, 100, 101, 200, 250, 10_000):
        everyone = asyncio.run(listing.latest("l", None, limit))
        assert [job.id for job in everyone] == names[:limit]
        ours = asyncio.run(listing.latest("l", "ours", limit))
        assert [job.id for job in ours] == names[::2][:limit]
    store.close()
