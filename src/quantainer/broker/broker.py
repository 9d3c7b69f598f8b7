"""Broker: what callers can ask of this node, whoever carries their messages."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import time
from collections.abc import Awaitable
from typing import Any

from quantainer import __version__
from quantainer.broker.admission import NodeLimits, admit_submission, visible
from quantainer.broker.driver import Driver
from quantainer.broker.encoding import encode
from quantainer.broker.intake import Intake, ended
from quantainer.broker.listing import Listing
from quantainer.broker.partial import partial_reply
from quantainer.broker.reply import Deferred, Reply, Session
from quantainer.broker.workers import Pool
from quantainer.core import events
from quantainer.core.job import Job, JobState
from quantainer.core.lease import Anchor, Lease, LeaseLimits
from quantainer.core.seed import MAX_SEED
from quantainer.core.settings import Settings
from quantainer.core.spelling import guess, listed
from quantainer.core.target import TargetFacts
from quantainer_client import registers, wire
from quantainer_client.errors import QuantainerError
from quantainer_client.payload import map_payload, resolve_list

__all__ = ["Broker"]

_WAIT_MAX = 3600.0


class Broker:
    """One node's backends behind admission, queue, workers and store."""

    def __init__(
        self, settings: Settings, driver: Driver, pool: Pool, node: NodeLimits, threads: int
    ) -> None:
        self.settings = settings
        self.driver = driver
        self.pool = pool
        self.node = node
        self.threads = threads
        self.targets: dict[str, TargetFacts] = {}
        self.started_at = time.time()
        self._listing = Listing(driver.store)
        self._intake = Intake(settings, driver, pool, node, self.targets)
        self._hello = {
            "broker": __version__,
            "protocol": wire.PROTOCOL,
            "limits": {
                "shots": settings.shots_max,
                "seed": MAX_SEED,
                "payload_bytes": settings.payload_max,
                "result_bytes": settings.result_max,
                "circuits": settings.circuits_max,
                "message_bytes": wire.MAX_MESSAGE,
                "memory_bytes": node.memory_bytes,
                "threads": threads,
            },
        }

    # Leases

    def host_session(self, uid: int, *, operator: bool) -> Session:
        """Return the session of a host user, who has a lease from the first call on."""
        anchor = Anchor("uid", str(uid))
        lease = self.driver.lifecycle.lease_at(anchor)
        if lease is None:
            limits = LeaseLimits(
                concurrent_jobs=max(self.pool.size, self.settings.lease_concurrent_jobs),
                queued_jobs=self.settings.lease_queued_jobs,
            )
            # With a full disk it is opened all the same, so that one can look and cancel; its jobs
            # are refused until its row is written.
            lease = Lease(
                id=f"uid-{uid}-{secrets.token_hex(4)}",
                tenant=f"uid:{uid}",
                anchor=anchor,
                backends=("all",),
                limits=limits,
                created_at=time.time(),
            )
            self._open(lease)
            self.container_started(lease.id)
        return Session(lease.id, lease.tenant, operator)

    def session(self, lease: Lease) -> Session:
        """Return the session of a container; that it asks shows that it has started."""
        self.container_started(lease.id)
        return Session(lease.id, lease.tenant)

    def open_lease(self, lease: Lease) -> None:
        """Grant a lease to a container: its row is written when this returns.

        Raises:
            QuantainerError: If it names an unknown backend, the node cannot reserve its limits, or
                its row cannot be written (``storage``): then there is no such lease.
        """
        self._open(lease)
        try:
            self.driver.store.secure_lease(lease.id)
        except QuantainerError:
            self.container_stopped(lease.id)
            raise

    def _open(self, lease: Lease) -> None:
        for name in lease.backends:
            if name != "all" and name not in self.targets:
                raise QuantainerError(
                    "unknown_backend",
                    f"This node has no backend {name!r}.",
                    hint=f"{guess(name, self.targets)}It has: {listed(self.targets)}.",
                )
        self.driver.handle(events.LeaseOpened(lease, at=time.time()))

    def container_started(self, lease: str) -> None:
        """The container's first process runs."""
        known = self.driver.lifecycle.leases.get(lease)
        if known is not None and known.state == "CREATED":
            self.driver.handle(events.ContainerStarted(lease, at=time.time()))

    def container_paused(self, lease: str) -> None:
        """The container's processes were frozen: nothing runs for it until it is unpaused."""
        self.driver.handle(events.ContainerPaused(lease, at=time.time()))

    def container_unpaused(self, lease: str) -> None:
        """The container's processes run again."""
        self.driver.handle(events.ContainerUnpaused(lease, at=time.time()))

    def container_stopping(self, lease: str, *, drain: bool) -> None:
        """The container was asked to stop; with ``drain`` its running jobs may finish."""
        self.driver.handle(events.ContainerStopping(lease, drain, at=time.time()))

    def container_stopped(self, lease: str) -> None:
        """The container is gone."""
        self.driver.handle(events.ContainerStopped(lease, at=time.time()))

    def lease(self, session: Session) -> Lease:
        """Return the lease of a session.

        Raises:
            QuantainerError: ``no_lease`` if it has ended.
        """
        lease = self.driver.lifecycle.leases.get(session.lease)
        if lease is None:
            raise QuantainerError("no_lease", "The lease of this caller has ended.")
        return lease

    # What there is

    def hello(self, session: Session) -> dict[str, Any]:
        """Return who this broker is and what it accepts."""
        return {**self._hello, "lease": self.lease(session).summary()}

    def backends(self, session: Session) -> dict[str, TargetFacts]:
        """Return the backends granted to the caller."""
        return visible(self.targets, self.lease(session))

    def backend(self, session: Session, name: str) -> TargetFacts:
        """Return every fact of one backend.

        Raises:
            QuantainerError: ``unknown_backend``.
        """
        admit_submission(self.lease(session), name, self.targets)
        return self.targets[name]

    # Jobs

    def submit(
        self, session: Session, message: dict[str, Any], fd: int | None
    ) -> Reply | Deferred | Awaitable[Reply]:
        """Admit a job; with ``wait`` its result is the reply. See :class:`Intake`."""
        return self._intake.submit(session, message, fd)

    def estimate(
        self, session: Session, message: dict[str, Any], fd: int | None
    ) -> Awaitable[Reply]:
        """Return facts and plan of each pub, or why it would be refused; nothing runs."""
        return self._intake.estimate(session, message, fd)

    async def wait(self, session: Session, job_id: str, timeout: float | None) -> Reply:
        """Return when the job ends or the time is over, with where it stands then.

        Nobody waits for a caller that has gone.
        """
        job = self.find(session, job_id)
        if not job.terminal:
            waiter: asyncio.Future[Job] = asyncio.get_running_loop().create_future()
            self.driver.on_end(job_id, waiter.set_result)
            seconds = _WAIT_MAX if timeout is None else min(timeout, _WAIT_MAX)
            ends: list[asyncio.Future[Any]] = [waiter]
            if session.gone is not None:
                ends.append(session.gone)
            await asyncio.wait(ends, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if not waiter.done():
                self.driver.forget(job_id, waiter.set_result)
            job = self.find(session, job_id)
        return Reply({"job": job.id, "state": job.state.value, "shots_done": job.shots_done})

    async def result(
        self, session: Session, job_id: str, *, counts: bool, timeout: float | None = None
    ) -> Reply:
        """Return the result of an ended job; of a failed one its error.

        With ``timeout`` wait as ``wait`` does, and reply like it if the job has not ended.
        """
        job = self.find(session, job_id)
        if timeout is not None and not job.terminal:
            standing = await self.wait(session, job_id, timeout)
            job = self.find(session, job_id)
            if not job.terminal:
                return standing
        if not job.terminal:
            raise QuantainerError(
                "bad_request",
                f"Job {job_id} is {job.state.value}: it has no result yet.",
                hint="Use wait first.",
            )
        if job.state is JobState.DONE:
            with contextlib.suppress(QuantainerError):  # it is said below
                await self.driver.outcomes.recall(job.id)
        reply = ended(self.driver, job)
        if counts and reply.results is not None:
            await _add_counts(reply)
        return reply

    async def partial(self, session: Session, job_id: str) -> Reply:
        """Return what is durable of a job that is not done; of a done one, its result."""
        job = self.find(session, job_id)
        if job.state is JobState.DONE:
            return ended(self.driver, job)
        store, loop = self.driver.store, asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(
                None, lambda: partial_reply(job, store.chunks.of(job_id))
            )
        except QuantainerError:
            # Its parts go when its result comes, which may have been while they were read.
            now = self.find(session, job_id)
            if now.state is JobState.DONE:
                return ended(self.driver, now)
            raise

    def cancel(self, session: Session, job_id: str) -> Reply:
        """Ask for the end of a job; an ended one stays as it is."""
        job = self.find(session, job_id)
        if not job.terminal:
            self.driver.handle(events.CancelRequested(job.id, at=time.time()))
            job = self.find(session, job_id)
        return Reply({"job": job.id, "state": job.state.value})

    async def jobs(self, session: Session, *, everyone: bool, limit: int) -> Reply:
        """Return the latest jobs of the caller's tenant, newest first."""
        if everyone and not session.operator:
            raise QuantainerError("forbidden", "Only the operator may list everyone's jobs.")
        tenant = None if everyone else session.tenant
        rows = await self._listing.latest(session.lease, tenant, limit)
        live = (self.driver.lifecycle.job(job.id) or job for job in rows)
        return Reply({"jobs": [_summary(job, with_tenant=session.operator) for job in live]})

    def show(self, session: Session, job_id: str) -> Reply:
        """Return one job of the caller's tenant as ``jobs`` lists it."""
        job = self.find(session, job_id)
        return Reply({"jobs": [_summary(job, with_tenant=session.operator)]})

    def find(self, session: Session, job_id: str) -> Job:
        """Return a job of the caller's tenant; the operator sees all.

        Raises:
            QuantainerError: ``unknown_job``, the same for another's job and for none.
        """
        job = self.driver.lifecycle.job(job_id) or self.driver.store.job(job_id)
        if job is None or (job.tenant != session.tenant and not session.operator):
            raise QuantainerError("unknown_job", f"There is no job {job_id!r} here.")
        return job

    # The node

    def status(self) -> dict[str, Any]:
        """Return what this broker holds and does."""
        lifecycle = self.driver.lifecycle
        leases = [
            {**lease.summary(), "container": lease.container, "anchor": str(lease.anchor)}
            for lease in lifecycle.leases.values()
        ]
        return {
            "version": __version__,
            "pid": os.getpid(),
            "started_at": self.started_at,
            "limits": self._hello["limits"],
            "queue": {
                "waiting": len(self.driver.queue),
                "running": self.driver.queue.running,
                "free_memory_bytes": self.driver.queue.free.memory_bytes,
            },
            "workers": {
                "size": self.pool.size,
                "deaths": self.pool.deaths,
                "processes": self.pool.describe(),
            },
            "leases": leases,
            "jobs": [_summary(job, with_tenant=True) for job in lifecycle.jobs()[:1000]],
        }

    async def load_targets(self) -> None:
        """Ask a worker which backends this node offers.

        Raises:
            QuantainerError: If no worker can say.
        """
        answer = await self.pool.ask("broker", {"op": "backends"}, None, "", 120.0)
        data = memoryview(b"") if answer.fd is None else map_payload(answer.fd)
        listed = resolve_list(json.loads(answer.fields["targets"]), data, "targets")
        self.targets.clear()
        for fields in listed:
            self.targets[fields["name"]] = TargetFacts.from_dict(fields)
        self._intake.forget_plans()


def _summary(job: Job, *, with_tenant: bool) -> dict[str, Any]:
    summary = job.summary()
    return {**summary, "tenant": job.tenant, "lease": job.lease} if with_tenant else summary


async def _add_counts(reply: Reply) -> None:
    """Add counts to the results of a reply, off the loop; if that fails there is no reply."""
    try:
        loop = asyncio.get_running_loop()
        reply.results = await loop.run_in_executor(None, _with_counts, reply)
    except BaseException:
        if reply.fd is not None:
            os.close(reply.fd)
        raise


def _with_counts(reply: Reply) -> str:
    """Return the results of a reply with counts added to those of one parameter row."""
    data = memoryview(b"") if reply.fd is None else map_payload(os.dup(reply.fd))
    results: list[dict[str, Any]] = resolve_list(json.loads(reply.results or "[]"), data, "results")
    return encode([entry if "counts" in entry else _count(entry, data) for entry in results])


def _count(entry: dict[str, Any], data: memoryview) -> dict[str, Any]:
    if entry["rows"] != 1 or "evs" in entry:
        return entry
    columns = [
        (item["bits"], data[item["offset"] : item["offset"] + entry["shots"] * item["bytes"]])
        for item in entry["registers"]
    ]
    return {**entry, "counts": registers.count(columns, entry["shots"])}
