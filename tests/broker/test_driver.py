"""A fault of the broker's own while it carries out what the life cycle says."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from quantainer.broker.broker import _add_counts
from quantainer.broker.driver import Driver
from quantainer.broker.intake import ended
from quantainer.broker.outcomes import Outcome
from quantainer.broker.payloads import Payloads, Upload, digest_of
from quantainer.broker.queue import FairQueue
from quantainer.broker.reply import Reply
from quantainer.broker.store import Store
from quantainer.broker.ticket import Resources
from quantainer.core import events
from quantainer.core.job import Job, JobState
from quantainer.core.lease import Anchor, Lease, LeaseLimits
from quantainer.core.lifecycle import Lifecycle
from quantainer_client.errors import QuantainerError
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


JOB = Job(
    id="j", lease="l", tenant="t", backend="qsim", shots=1, payload_digest="d", memory_bytes=2**20
)


def test_a_thousand_jobs_that_cannot_be_started_all_fail(tmp_path: Path) -> None:
    """After a restart without their payload, say: each end starts the next, none within it."""

    async def scene() -> None:
        store = Store(tmp_path)
        for number in range(1000):
            store.add_job(replace(JOB, id=f"j{number}"), b"circuit")
        store.forget(payloads=["d"], files=[])
        queue = FairQueue(Resources(1, 2**30))
        driver = Driver(Lifecycle(), store, queue, Payloads(store), 60.0)
        driver.payloads.descriptor = _unreadable  # type: ignore[method-assign]
        lease = Lease("l", "t", Anchor("uid", "7"), limits=LeaseLimits(queued_jobs=1000))
        jobs = tuple(store.live_jobs())
        driver.handle(events.BrokerRestarted(leases=(lease,), jobs=jobs, at=time.time()))
        driver.pool = FaultyPool()  # type: ignore[assignment]
        driver.dispatch()
        assert driver.lifecycle.jobs() == []
        assert {job.state for job in store.jobs(limit=1000)} == {JobState.FAILED}
        assert queue.free == Resources(1, 2**30)
        driver.close()
        store.close()

    asyncio.run(scene())


def _unreadable(_: str) -> int:
    raise QuantainerError("storage", "The payload cannot be read.")


def test_all_who_wait_are_told_though_one_cannot_be(tmp_path: Path) -> None:
    async def scene() -> None:
        store = Store(tmp_path)
        driver = Driver(Lifecycle(), store, FairQueue(Resources(1, 2**30)), Payloads(store), 60.0)
        driver.handle(events.LeaseOpened(Lease("l", "t", Anchor("uid", "7")), at=time.time()))
        driver.submit(JOB, memoryview(b"circuit"))
        told: list[Job] = []

        def cannot(_: Job) -> None:
            raise OSError(errno.EMFILE, "Too many open files")

        driver.on_end("j", cannot)
        driver.on_end("j", told.append)
        driver.handle(events.CancelRequested("j", at=time.time()))
        assert [job.state for job in told] == [JobState.CANCELLED]
        driver.close()
        store.close()

    asyncio.run(scene())


def test_a_result_without_a_descriptor_to_spare_is_an_error_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits for it is answered; the result can be had later."""
    store = Store(tmp_path)
    driver = Driver(Lifecycle(), store, FairQueue(Resources(1, 2**30)), Payloads(store), 60.0)
    done = replace(JOB, state=JobState.DONE, finished_at=1.0)
    payload = Payload()
    payload.append(b"shots")
    driver.outcomes.remember("j", Outcome("[]", payload.seal(), 5))
    with monkeypatch.context() as full:
        full.setattr(os, "dup", _no_descriptors)
        reply = ended(driver, done)
    assert reply.error is not None
    assert reply.error.code == "internal"
    assert reply.fields["job"] == "j"
    later = ended(driver, done)
    assert later.fd is not None
    assert os.pread(later.fd, 5, 0) == b"shots"
    os.close(later.fd)
    driver.close()
    store.close()


def test_a_result_that_cannot_be_counted_leaves_no_descriptor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    payload = Payload()
    payload.append(b"shots")
    reply = Reply({}, payload.seal(), results="[]")
    assert reply.fd is not None
    with monkeypatch.context() as full:
        full.setattr(os, "dup", _no_descriptors)
        with pytest.raises(OSError, match="Too many open files"):
            asyncio.run(_add_counts(reply))
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(reply.fd)


def _no_descriptors(_: int) -> int:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
