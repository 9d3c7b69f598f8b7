"""A fault of the broker's own while it carries out what the life cycle says."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

from quantainer.broker.driver import Driver
from quantainer.broker.payloads import Payloads, Upload, digest_of
from quantainer.broker.queue import FairQueue
from quantainer.broker.store import Store
from quantainer.broker.ticket import Resources
from quantainer.core import events
from quantainer.core.job import Job, JobState
from quantainer.core.lease import Anchor, Lease
from quantainer.core.lifecycle import Lifecycle
from quantainer_client.payload import Payload, map_payload


class FaultyPool:
    """Has a worker free and fails to give it work."""

    size = 1

    class Worker:
        def account(self) -> tuple[float, float]:
            return 0.0, 0.0

    def free(self, digest: str = "") -> Worker:
        return self.Worker()

    def execute(self, *_: Any, **__: Any) -> None:
        raise RuntimeError("nobody thought of this")


def _upload(circuit: bytes) -> Upload:
    payload = Payload()
    payload.append(circuit)
    fd = payload.seal()
    return Upload(fd, map_payload(os.dup(fd)), digest_of(memoryview(circuit)))


def test_a_job_that_cannot_be_started_for_a_fault_fails_and_frees_its_place(tmp_path: Path) -> None:
    async def scene() -> None:
        store = Store(tmp_path)
        queue = FairQueue(Resources(1, 2**30))
        driver = Driver(Lifecycle(), store, queue, Payloads(store), 60.0)
        driver.pool = FaultyPool()  # type: ignore[assignment]
        driver.handle(events.LeaseOpened(Lease("l", "t", Anchor("uid", "7")), at=time.time()))
        for number in range(3):
            upload = _upload(b"circuit")
            driver.payloads.hold(upload)
            job = Job(
                id=f"j{number}",
                lease="l",
                tenant="t",
                backend="qsim",
                shots=1,
                request={},
                payload_digest=upload.digest,
                memory_bytes=2**20,
            )
            driver.submit(job, upload.data)
            ended = store.job(job.id)
            assert ended is not None
            assert ended.state is JobState.FAILED
            assert ended.error is not None
            assert ended.error["code"] == "internal"
        assert queue.free == Resources(1, 2**30)
        assert driver.lifecycle.jobs() == []
        driver.close()
        store.close()

    asyncio.run(scene())
