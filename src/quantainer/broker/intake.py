"""Intake: from a submission as received to an admitted job, or the reason why not."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from quantainer.broker.admission import NodeLimits, admit_job, admit_submission
from quantainer.broker.driver import Driver
from quantainer.broker.payloads import Upload, digest_of
from quantainer.broker.plans import JobPlan, PlanCache, plans_in
from quantainer.broker.process import Answer
from quantainer.broker.reply import Deferred, Reply, Session
from quantainer.broker.requests import Submission, parse
from quantainer.broker.unread import Unread
from quantainer.broker.workers import Pool
from quantainer.core.job import Job, JobState
from quantainer.core.lease import Lease
from quantainer.core.seed import MAX_SEED
from quantainer.core.settings import Settings
from quantainer.core.target import TargetFacts
from quantainer_client.errors import QuantainerError
from quantainer_client.payload import map_sealed

__all__ = ["Intake", "ended"]

Value = TypeVar("Value")

_IN_LOOP_BYTES = 1024**2  # larger payloads are hashed by a thread


class Intake:
    """Checks, reads, plans and admits. A circuit met before needs no worker for that.

    Args:
        settings: Limits.
        driver: Takes the admitted jobs.
        pool: Its workers read circuits.
        node: What the node can do for one job.
        targets: The backends there are.
    """

    def __init__(
        self,
        settings: Settings,
        driver: Driver,
        pool: Pool,
        node: NodeLimits,
        targets: Mapping[str, TargetFacts],
    ) -> None:
        self._settings = settings
        self._driver = driver
        self._pool = pool
        self._node = node
        self._targets = targets
        self._plans = PlanCache()
        self._unread = Unread()

    def forget_plans(self) -> None:
        """Have every circuit planned anew: the backends have been looked at again."""
        self._plans.clear()

    def submit(
        self, session: Session, message: dict[str, Any], fd: int | None
    ) -> Reply | Deferred | Awaitable[Reply]:
        """Admit a job; with ``wait`` its result is the reply.

        Args:
            session: Who asks.
            message: The request as received, checked here.
            fd: The payload's memfd; it is closed in every case.

        Raises:
            QuantainerError: If the job is not accepted: then there is no job.
        """
        request, message, fd, payload = self._received(session, message, fd)
        if len(payload) > _IN_LOOP_BYTES:
            return self._submit_slowly(session, request, message, fd, payload)
        upload = Upload(fd, payload, digest_of(payload))
        try:
            plan = self._plans.find(request, payload)
        except BaseException:
            upload.close()
            raise
        if plan is None:
            return self._submit_unread(session, request, message, upload)
        return self._accept(session, request, message, upload, plan)

    async def _submit_slowly(
        self,
        session: Session,
        request: Submission,
        message: dict[str, Any],
        fd: int,
        payload: memoryview,
    ) -> Reply:
        with self._unread.one_of(session.lease):
            upload = Upload(fd, payload, await _digest(fd, payload))
        return await self._submit_unread(session, request, message, upload)

    async def _submit_unread(
        self, session: Session, request: Submission, message: dict[str, Any], upload: Upload
    ) -> Reply:
        """Have a worker read and plan what was not met before, then accept it."""
        store, digest = self._driver.store, upload.digest
        slow = store.blobs.is_slow(len(upload.data))
        try:
            with self._unread.one_of(session.lease):
                plan = await _aside(upload, self._plans.find, request, upload.data)
                if plan is None:
                    plan = plans_in(await self._ask(session, "plan", message, upload))
                    await _aside(upload, self._plans.keep, request, upload.data, plan)
                if slow:
                    await _in_thread(store.payload_ahead, digest, upload.data)
        except BaseException:
            upload.close()
            raise
        try:
            accepted = self._accept(session, request, message, upload, plan)
        finally:
            if slow:
                store.release_payload(digest)
        if isinstance(accepted, Reply):
            return accepted
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        accepted.then(future.set_result)
        return await future

    def _accept(
        self,
        session: Session,
        request: Submission,
        message: dict[str, Any],
        upload: Upload,
        plan: JobPlan,
    ) -> Reply | Deferred:
        try:
            job = self._new_job(session, request, message, upload.digest, plan)
            self._driver.check_room(job, plan)
        except BaseException:
            upload.close()
            raise
        self._driver.payloads.hold(upload)
        if not request.wait:
            self._driver.submit(job, upload.data)
            standing = self._driver.lifecycle.job(job.id) or job
            return Reply({"job": job.id, "state": standing.state.value})
        deferred = Deferred()
        self._driver.on_end(job.id, self._resolver(deferred))
        try:
            self._driver.submit(job, upload.data)
        except BaseException:
            self._driver.forget(job.id)
            raise
        return deferred

    def _resolver(self, deferred: Deferred) -> Callable[[Job], None]:
        return lambda job: deferred.resolve(ended(self._driver, job))

    async def estimate(self, session: Session, message: dict[str, Any], fd: int | None) -> Reply:
        """Return facts and plan of each pub, or why it would be refused; nothing runs."""
        _, message, fd, payload = self._received(session, message, fd)
        with self._unread.one_of(session.lease):
            upload = Upload(fd, payload, await _digest(fd, payload))
            try:
                answer = await self._ask(session, "estimate", message, upload)
            finally:
                upload.close()
        return Reply({"pubs": json.loads(answer.fields["pubs"])}, answer.fd)

    def _received(
        self, session: Session, message: dict[str, Any], fd: int | None
    ) -> tuple[Submission, dict[str, Any], int, memoryview]:
        """Check request and payload as far as that needs no reading of circuits.

        Request and message that come back name a backend, whether the caller did or not.
        """
        try:
            lease = self._lease(session)
            self._unread.check_room(lease)
            if message.get("backend") is None:
                message = {**message, "backend": admit_submission(lease, None, self._targets)}
            request = parse(Submission, message)
            request.check_values(self._settings.shots_max)
            admit_submission(lease, request.backend, self._targets)
            fd, payload = self._payload(request, fd)
        except BaseException:
            if fd is not None:
                os.close(fd)
            raise
        return request, message, fd, payload

    def _payload(self, request: Submission, fd: int | None) -> tuple[int, memoryview]:
        most = self._settings.circuits_max
        if isinstance(request.pubs, list) and len(request.pubs) > most:
            raise _too_many_circuits(len(request.pubs), most)
        if fd is None:
            raise QuantainerError("bad_request", "The circuits come in a memfd; none came.")
        return fd, map_sealed(os.dup(fd), self._settings.payload_max)

    async def _ask(
        self, session: Session, op: str, message: dict[str, Any], upload: Upload
    ) -> Answer:
        """Have a worker read a submission."""
        return await self._pool.ask(
            session.lease,
            {"op": op, "request": _kept(message)},
            upload.fd,
            upload.digest,
            self._settings.plan_timeout,
        )

    def _new_job(
        self,
        session: Session,
        request: Submission,
        message: dict[str, Any],
        digest: str,
        plan: JobPlan,
    ) -> Job:
        lease = self._lease(session)
        admit_submission(lease, request.backend, self._targets)
        admit_job(lease, plan, self._node)
        entropy = secrets.token_bytes(20)
        seed = request.seed
        if seed is None:
            seed = int.from_bytes(entropy[12:], "little") & MAX_SEED
        return Job(
            id=entropy[:12].hex(),
            lease=lease.id,
            tenant=lease.tenant,
            backend=request.backend,
            shots=plan.shots,
            request={**_kept(message), "seed": seed},
            payload_digest=digest,
            priority=request.priority,
            timeout=request.timeout,
            memory_bytes=plan.memory_bytes,
            submitted_at=time.time(),
        )

    def _lease(self, session: Session) -> Lease:
        lease = self._driver.lifecycle.leases.get(session.lease)
        if lease is None:
            raise QuantainerError("no_lease", "The lease of this caller has ended.")
        return lease


def ended(driver: Driver, job: Job) -> Reply:
    """Return the result of an ended job, or its error.

    Never raises: a result that cannot be read is an error, too.
    """
    fields: dict[str, Any] = {"job": job.id, "state": job.state.value}
    if job.state is not JobState.DONE:
        return Reply(fields, error=QuantainerError.from_dict(job.error or {}))
    try:
        outcome = driver.outcomes.find(job.id)
    except QuantainerError as error:
        return Reply(fields, error=error)
    return Reply(fields, outcome.fd, results=outcome.results)


async def _in_thread(function: Callable[..., Value], *arguments: Any) -> Value:
    return await asyncio.get_running_loop().run_in_executor(None, function, *arguments)


async def _aside(upload: Upload, function: Callable[..., Value], *arguments: Any) -> Value:
    """Call what hashes a payload: here if it is small, else in a thread."""
    if len(upload.data) <= _IN_LOOP_BYTES:
        return function(*arguments)
    return await _in_thread(function, *arguments)


async def _digest(fd: int, payload: memoryview) -> str:
    if len(payload) <= _IN_LOOP_BYTES:
        return digest_of(payload)
    try:
        return await _in_thread(digest_of, payload)
    except BaseException:
        os.close(fd)
        raise


def _kept(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a submission that its job keeps."""
    return {key: value for key, value in message.items() if key not in ("id", "wait")}


def _too_many_circuits(count: int, limit: int) -> QuantainerError:
    return QuantainerError(
        "too_large",
        f"The job holds {count} circuits.",
        limit=limit,
        needed=count,
        hint="Split it into several jobs.",
    )
