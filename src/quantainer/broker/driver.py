"""Driver: carries out what the life cycle says: rows, queue, workers, timers, waiting callers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from quantainer.broker.encoding import encode
from quantainer.broker.headroom import Headroom
from quantainer.broker.parts import Packed, pack
from quantainer.broker.payloads import Payloads
from quantainer.broker.plans import JobPlan
from quantainer.broker.process import Answer, WorkerProcess
from quantainer.broker.queue import FairQueue
from quantainer.broker.stopwatch import Stopwatch
from quantainer.broker.store import Store
from quantainer.broker.ticket import Resources, Ticket
from quantainer.broker.timers import Timers
from quantainer.broker.workers import Pool
from quantainer.core import events, instructions
from quantainer.core.events import Event
from quantainer.core.instructions import Instruction
from quantainer.core.job import Job
from quantainer.core.lease import Lease
from quantainer.core.lifecycle import Lifecycle
from quantainer.core.transitions import TransitionError
from quantainer_client.errors import QuantainerError
from quantainer_client.payload import Payload, map_payload

__all__ = ["Driver", "Outcome"]

log = logging.getLogger("quantainer.broker")

_FLUSH_SECONDS = 0.5
_FLUSH_BATCH = 64
_FLUSH_PAUSE = 0.005
_COMMIT_TRIES = (0.1, 1.0, 5.0)
_RECENT_RESULTS = 64
_RECENT_BYTES = 64 * 1024**2
_SMALL = 1024**2
_LEAST_SECONDS = 1e-4
_SHORT_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Outcome:
    """A result as it goes to a caller: JSON text, and a memfd that it points into."""

    results: str
    fd: int | None
    size: int


@dataclass(frozen=True, slots=True)
class _Waiting:
    """What is known of a job since it was planned; nothing after a restart."""

    ticket: Ticket
    number: int


@dataclass(slots=True)
class _Execution:
    attempt: int
    worker: WorkerProcess
    watch: Stopwatch
    spent: float | None = None

    def seconds(self) -> float:
        """Return what the job took of its worker; once that has answered, it is settled."""
        return self.watch.seconds() if self.spent is None else self.spent


class Driver:
    """Feeds events to the life cycle and obeys its instructions, in order."""

    def __init__(
        self,
        lifecycle: Lifecycle,
        store: Store,
        queue: FairQueue,
        payloads: Payloads,
        run_seconds: float,
    ) -> None:
        self.lifecycle = lifecycle
        self.store = store
        self.queue = queue
        self.payloads = payloads
        self.pool: Pool | None = None
        self.headroom: Headroom | None = None
        self.lease_closed: Callable[[Lease], None] = lambda _: None
        self._run_seconds = run_seconds
        self._inbox: list[Event] = []
        self._handling = False
        self._new: Job | None = None
        self._executions: dict[str, _Execution] = {}
        self._outcomes: dict[str, Outcome] = {}
        self._recent: OrderedDict[str, Outcome] = OrderedDict()
        self._recent_bytes = 0
        self._waiting: dict[str, _Waiting] = {}
        self._waiters: dict[str, list[Callable[[Job], None]]] = {}
        self._timers = Timers(lambda job: self.handle(events.DeadlineReached(job, at=time.time())))
        self._flushing: asyncio.TimerHandle | None = None
        self._waking: asyncio.TimerHandle | None = None
        self._actions: dict[type, Callable[[Any], None]] = {
            instructions.Record: _log_transition if log.isEnabledFor(logging.DEBUG) else _ignore,
            instructions.SaveLease: lambda do: self.store.save_lease(do.lease),
            instructions.SaveJob: self._save_job,
            instructions.Keep: lambda do: self._write_result(do.job, keep=True),
            instructions.Commit: self._commit,
            instructions.Enqueue: lambda do: self._enqueue(do.job),
            instructions.Dequeue: self._dequeue,
            instructions.Release: self._release,
            instructions.Start: lambda do: self._start(do.job),
            instructions.Freeze: self._freeze,
            instructions.Thaw: self._thaw,
            instructions.Abort: self._abort,
            instructions.StartTimer: lambda do: self._timers.start(do.job, do.seconds),
            instructions.HoldTimer: lambda do: self._timers.hold(do.job),
            instructions.ResumeTimer: lambda do: self._timers.resume(do.job),
            instructions.StopTimer: lambda do: self._timers.stop(do.job),
            instructions.Notify: lambda do: self._notify(do.job),
            instructions.CloseLease: lambda do: self.lease_closed(do.lease),
        }

    # Events in

    def handle(self, event: Event) -> None:
        """Tell the life cycle what happened, obey it, then start what may start.

        Raises:
            QuantainerError: If a lease cannot be granted what it asks to reserve.
        """
        self._inbox.append(event)
        if self._handling:
            return
        self._handling = True
        try:
            while self._inbox:
                self._handle_one(self._inbox.pop(0))
        finally:
            self._handling = False
            self._inbox.clear()
        self.dispatch()

    def _handle_one(self, event: Event) -> None:
        try:
            todo = self.lifecycle.handle(event)
        except TransitionError:
            log.exception("impossible event %r", event)
            return
        for instruction in todo:
            self._carry_out(instruction)

    def _carry_out(self, instruction: Instruction) -> None:
        try:
            self._actions[type(instruction)](instruction)
        except QuantainerError as error:
            # What could not be written is tried again by the store; the job itself goes on.
            log.error("%s: %s", type(instruction).__name__, error)  # noqa: TRY400
            self._flush_later()
        except Exception:
            # The instructions that follow, and other jobs, are not to suffer from a fault in one.
            log.exception("%r was not carried out", instruction)

    def submit(self, job: Job, payload: memoryview) -> None:
        """Let a new job in and write its row and payload; ``check_room`` comes first.

        A free worker starts on it while the row is being written: no one is told of the job before
        that, so a crash in between loses nothing that was acknowledged.

        Raises:
            QuantainerError: ``storage``; then the job does not exist.
        """
        self._new = job
        self.handle(events.JobSubmitted(job, at=job.submitted_at))
        row, self._new = self._new, None
        try:
            self.store.add_job(row, payload)
        except QuantainerError:
            reason = "it could not be written"
            self.handle(events.CancelRequested(job.id, at=time.time(), reason=reason))
            raise

    # Rows

    def _save_job(self, do: instructions.SaveJob) -> None:
        if self._new is not None and do.job.id == self._new.id:
            self._new = do.job  # written once, as it stands when the life cycle has had its say
            return
        self.store.save_job(do.job, lazy=do.lazy)
        if do.lazy:
            self._flush_later()

    def _flush_later(self) -> None:
        if self._flushing is None:
            loop = asyncio.get_running_loop()
            self._flushing = loop.call_later(_FLUSH_SECONDS, self._flush)

    def _flush(self) -> None:
        """Write a batch of rows: so many that no caller notices."""
        self._flushing = None
        try:
            self.store.flush(_FLUSH_BATCH)
        except QuantainerError as error:
            log.error("rows are not written yet: %s", error)  # noqa: TRY400
            self._flushing = asyncio.get_running_loop().call_later(2.0, self._flush)
            return
        if self.store.pending:
            self._flushing = asyncio.get_running_loop().call_later(_FLUSH_PAUSE, self._flush)

    def _commit(self, do: instructions.Commit) -> None:
        self._write_result(do.job, kept=do.kept)

    def _write_result(
        self, job: Job, *, keep: bool = False, kept: bool = False, tries: int = 0
    ) -> None:
        """Write a result; if the store cannot, try again a few times before giving up."""
        outcome = self._outcomes.get(job.id)
        if outcome is not None and not keep and self.store.blobs.is_slow(outcome.size):
            self._ahead(
                lambda: self.store.result_ahead(job.id, _bytes_of(outcome)),
                lambda: self._write_now(job, outcome, keep=keep, kept=kept, tries=tries),
            )
            return
        self._write_now(job, outcome, keep=keep, kept=kept, tries=tries)

    def _ahead(self, write: Callable[[], None], then: Callable[[], None]) -> None:
        """Have a thread write a large file, then go on; what fails there fails here again."""
        future = asyncio.get_running_loop().run_in_executor(None, write)

        def written(done: asyncio.Future[None]) -> None:
            if not done.cancelled() and (error := done.exception()) is not None:
                log.error("not written ahead: %s", error)
            then()

        future.add_done_callback(written)

    def _write_now(
        self, job: Job, outcome: Outcome | None, *, keep: bool, kept: bool, tries: int
    ) -> None:
        try:
            written = self._write_once(job, outcome, keep=keep, kept=kept)
            self.store.release_result(job.id)
        except QuantainerError as error:
            with contextlib.suppress(QuantainerError):
                self.store.release_result(job.id, failed=True)
            log.error("result of job %s: %s", job.id, error)  # noqa: TRY400
            if tries < len(_COMMIT_TRIES):
                asyncio.get_running_loop().call_later(
                    _COMMIT_TRIES[tries],
                    lambda: self._write_result(job, keep=keep, kept=kept, tries=tries + 1),
                )
                return
            self._forget_outcome(job.id)
            self.handle(events.CommitFailed(job.id, job.attempt, error.to_dict(), at=time.time()))
            return
        if keep:
            return
        if not written:
            log.error("job %s had ended before its result was written", job.id)
        self._flush_later()
        if outcome is not None:
            del self._outcomes[job.id]
            self._remember(job.id, outcome)
        self.handle(events.ResultCommitted(job.id, job.attempt, at=time.time()))

    def _write_once(self, job: Job, outcome: Outcome | None, *, keep: bool, kept: bool) -> bool:
        if kept:
            return self.store.commit_kept(job)
        if outcome is None:
            raise QuantainerError("internal", f"The result of job {job.id} is not there.")
        data, header = _bytes_of(outcome), f'{{"results":{outcome.results}}}'
        if keep:
            return self.store.keep_result(job, header, data)
        return self.store.commit_result(job, header, data)

    # Queue and workers

    def check_room(self, job: Job, plan: JobPlan) -> None:
        """Tell whether a new job may wait here.

        Args:
            job: The job.
            plan: Its rough run time is charged to its tenant until the true one is known.

        Raises:
            QuantainerError: ``queue_full``.
        """
        ticket = self._ticket(job, plan.seconds)
        self.queue.check_room(ticket)
        self._waiting[job.id] = _Waiting(ticket, plan.number)

    def _enqueue(self, job: Job) -> None:
        waiting = self._waiting.get(job.id)
        self.queue.push(self._ticket(job, 0.0) if waiting is None else waiting.ticket)

    def _dequeue(self, do: instructions.Dequeue) -> None:
        self.queue.remove(do.job)

    def _ticket(self, job: Job, seconds: float) -> Ticket:
        return Ticket(
            job=job.id,
            lease=job.lease,
            tenant=job.tenant,
            need=Resources(1, job.memory_bytes),
            cost=max(seconds, _LEAST_SECONDS),
            submitted_at=_now() - max(0.0, time.time() - job.submitted_at),
            shots=job.shots,
            priority=job.priority,
            limits=self.lifecycle.leases[job.lease].limits,
        )

    def dispatch(self) -> None:
        """Start jobs while a worker is free and one fits."""
        if self.pool is None or self._handling:
            return
        while len(self.queue) and self.pool.free() is not None:
            if self.headroom is not None:
                self.queue.elsewhere = self.headroom.elsewhere(_now())
            ticket = self.queue.pop(_now())
            if ticket is None:
                self._wake_later()
                return
            self.handle(events.JobStarted(ticket.job, at=time.time()))

    def _wake_later(self) -> None:
        """Look again when a lease that ran over its rate, or a job that is passed over, may go."""
        at = self.queue.wake_at()
        if self.queue.short:
            at = min(at or math.inf, _now() + _SHORT_SECONDS)
        if at is None or (self._waking is not None and self._waking.when() <= at):
            return
        if self._waking is not None:
            self._waking.cancel()
        loop = asyncio.get_running_loop()
        self._waking = loop.call_at(max(at, loop.time() + 0.001), self._woken)

    def _woken(self) -> None:
        self._waking = None
        self.dispatch()

    def _start(self, job: Job) -> None:
        worker = None if self.pool is None else self.pool.free(job.payload_digest)
        if self.pool is None or worker is None:
            error = QuantainerError("internal", f"No worker was free for job {job.id}.")
            self._died(job, error, retry=True)
            return
        if self.queue.overdrawn(job.id):
            self.handle(
                events.JobErred(job.id, job.attempt, _crowded_out(job).to_dict(), at=time.time())
            )
            return
        threads = max(1, self.queue.free.cores + 1)
        try:
            fd = self.payloads.descriptor(job.payload_digest)
        except QuantainerError as error:
            self.handle(events.JobErred(job.id, job.attempt, error.to_dict(), at=time.time()))
            return
        message = {
            "op": "execute",
            "request": job.request,
            "threads": threads,
            "memory_bytes": job.memory_bytes,
            "number": self._waiting[job.id].number if job.id in self._waiting else 0,
        }
        self._executions[job.id] = _Execution(job.attempt, worker, Stopwatch(worker.account))
        self.pool.execute(
            worker,
            message,
            fd,
            digest=job.payload_digest,
            seconds=self._run_seconds,
            answered=lambda answer: self._answered(job, answer),
            died=lambda reason: self._worker_gone(job, worker, reason),
            progressed=lambda answer: self._progressed(job, answer),
            parts=self._parts(job.id) if self.store.has_chunks(job.id) else None,
        )

    def _parts(self, job_id: str) -> asyncio.Future[Packed]:
        """Fetch what is durable of a job, off the loop: it may be much."""

        def fetch() -> Packed:
            chunks = self.store.chunks(job_id)
            log.info("job %s goes on after %d durable parts", job_id, len(chunks))
            return pack(chunks)

        return asyncio.get_running_loop().run_in_executor(None, fetch)

    def _progressed(self, job: Job, answer: Answer) -> None:
        """Make a finished part of a job durable."""
        fields = answer.fields
        if "stale" in fields:
            self._forget_parts(job, fields["stale"])
            return
        part = Outcome(fields["results"], answer.fd, _size_of(answer.fd))
        if self.store.blobs.is_slow(part.size):
            self._ahead(
                lambda: self.store.chunk_ahead(job.id, fields["part"], _bytes_of(part)),
                lambda: self._save_part(job, answer),
            )
        else:
            self._save_part(job, answer)

    def _save_part(self, job: Job, answer: Answer) -> None:
        fields = answer.fields
        current = self.lifecycle.job(job.id)
        if current is None or current.attempt != job.attempt:
            self.store.release_chunk(job.id, fields["part"])
            _close(Outcome("", answer.fd, 0))
            return
        data = _bytes_of(Outcome(fields["results"], answer.fd, _size_of(answer.fd)))
        try:
            total = self.store.save_chunk(
                job, fields["part"], fields["shots"], fields["results"], data
            )
        except QuantainerError as error:
            log.error("a part of job %s: %s", job.id, error)  # noqa: TRY400
            self.store.release_chunk(job.id, fields["part"])
            return
        finally:
            _close(Outcome("", answer.fd, 0))
        self.store.release_chunk(job.id, fields["part"])
        self.handle(events.ShotsDone(job.id, job.attempt, total, at=time.time()))

    def _forget_parts(self, job: Job, numbers: list[int]) -> None:
        """Forget parts of an earlier attempt that this one has no use for."""
        try:
            self.store.forget_chunks(job.id, numbers)
        except QuantainerError as error:
            log.error("parts of job %s: %s", job.id, error)  # noqa: TRY400

    def _answered(self, job: Job, answer: Answer) -> None:
        execution = self._executions.get(job.id)
        if execution is not None and execution.attempt == job.attempt:
            execution.spent = execution.seconds()
        if answer.fields.get("ok") is not True:
            if answer.fd is not None:
                os.close(answer.fd)
            error = QuantainerError.from_dict(answer.fields.get("error") or {}).to_dict()
            self.handle(events.JobErred(job.id, job.attempt, error, at=time.time()))
            return
        results = answer.fields["results"]
        self._outcomes[job.id] = Outcome(results, answer.fd, _size_of(answer.fd))
        self.handle(events.ResultReady(job.id, job.attempt, at=time.time()))
        current = self.lifecycle.job(job.id)
        if current is None or current.attempt != job.attempt:
            self._forget_outcome(job.id)

    def _worker_gone(self, job: Job, worker: WorkerProcess, reason: str) -> None:
        if worker.overdue:
            error = QuantainerError(
                "timeout",
                f"Job {job.id} ran longer than this node allows.",
                limit=self._run_seconds,
                hint="Split the job, or raise the setting job_timeout.",
            )
            self.handle(events.JobErred(job.id, job.attempt, error.to_dict(), at=time.time()))
            return
        error = QuantainerError(
            "worker_died",
            f"The worker process of job {job.id} {reason} (attempt {job.attempt}).",
            hint="If it happens again: fewer qubits, another method or engine; see the log.",
        )
        self._died(job, error, retry=True)

    def _died(self, job: Job, error: QuantainerError, *, retry: bool) -> None:
        self.handle(events.WorkerDied(job.id, job.attempt, error.to_dict(), retry, at=time.time()))

    def _release(self, do: instructions.Release) -> None:
        execution = self._executions.pop(do.job, None)
        spent = None if execution is None else execution.seconds()
        self.queue.release(do.job, spent)

    def _freeze(self, do: instructions.Freeze) -> None:
        self.queue.suspend(do.job)
        execution = self._executions.get(do.job)
        if execution is not None and execution.attempt == do.attempt:
            execution.worker.freeze()
            execution.watch.freeze()

    def _thaw(self, do: instructions.Thaw) -> None:
        self.queue.resume(do.job)
        execution = self._executions.get(do.job)
        if execution is not None and execution.attempt == do.attempt:
            execution.worker.thaw()
            execution.watch.thaw()

    def _abort(self, do: instructions.Abort) -> None:
        execution = self._executions.get(do.job)
        if execution is None or execution.attempt != do.attempt:
            self.handle(events.Aborted(do.job, do.attempt, at=time.time()))
            return
        execution.worker.kill("was ended: its job was cancelled")

    # Those who wait

    def on_end(self, job_id: str, callback: Callable[[Job], None]) -> None:
        """Have a job handed to a callback as it is when it has ended."""
        self._waiters.setdefault(job_id, []).append(callback)

    def forget(self, job_id: str, callback: Callable[[Job], None] | None = None) -> None:
        """Take back a callback, or all of a job that was not taken after all."""
        waiting = self._waiters.get(job_id, [])
        if callback in waiting:
            waiting.remove(callback)
        if callback is None or not waiting:
            self._waiters.pop(job_id, None)

    def _notify(self, job: Job) -> None:
        if not job.terminal:
            return
        self._waiting.pop(job.id, None)
        for callback in self._waiters.pop(job.id, ()):
            callback(job)

    # Results out

    def outcome(self, job_id: str) -> Outcome:
        """Return a committed result with a descriptor that the caller closes.

        Raises:
            QuantainerError: ``unknown_job`` if it was removed, ``storage`` if it cannot be read.
        """
        recent = self._recent.get(job_id)
        if recent is not None:
            fd = None if recent.fd is None else os.dup(recent.fd)
            return Outcome(recent.results, fd, recent.size)
        return self._stored(job_id)

    async def recall(self, job_id: str) -> None:
        """Have a large result at hand before ``outcome`` is asked for it, read by a thread.

        Raises:
            QuantainerError: As ``outcome``.
        """
        if job_id in self._recent or self.store.result_size(job_id) <= _SMALL:
            return
        loop = asyncio.get_running_loop()
        outcome = await loop.run_in_executor(None, self._stored, job_id)
        if job_id in self._recent:
            _close(outcome)
        else:
            self._remember(job_id, outcome)

    def _stored(self, job_id: str) -> Outcome:
        stored = self.store.result(job_id)
        if stored is None:
            raise QuantainerError(
                "unknown_job",
                f"The result of job {job_id} is no longer kept.",
                hint="Results are kept for a limited time; run the job again with the same seed.",
            )
        results = encode(stored.header["results"])
        if not stored.data:
            return Outcome(results, None, 0)
        payload = Payload()
        payload.append(stored.data)
        return Outcome(results, payload.seal("quantainer-result"), len(stored.data))

    def _remember(self, job_id: str, outcome: Outcome) -> None:
        self._recent[job_id] = outcome
        self._recent_bytes += outcome.size
        while len(self._recent) > _RECENT_RESULTS or (
            self._recent_bytes > _RECENT_BYTES and len(self._recent) > 1
        ):
            _, oldest = self._recent.popitem(last=False)
            self._recent_bytes -= oldest.size
            _close(oldest)

    def _forget_outcome(self, job_id: str) -> None:
        outcome = self._outcomes.pop(job_id, None)
        if outcome is not None:
            _close(outcome)

    def close(self) -> None:
        """Close what is held open."""
        for outcome in (*self._outcomes.values(), *self._recent.values()):
            _close(outcome)
        self._outcomes.clear()
        self._recent.clear()
        self.payloads.close()


def _crowded_out(job: Job) -> QuantainerError:
    return QuantainerError(
        "out_of_memory",
        "The job fits into this node, but other programs of the machine hold the memory.",
        needed=job.memory_bytes,
        hint="Submit it again when they need less, or ask for fewer qubits or single precision.",
    )


def _close(outcome: Outcome) -> None:
    if outcome.fd is not None:
        os.close(outcome.fd)


def _size_of(fd: int | None) -> int:
    return 0 if fd is None else os.fstat(fd).st_size


def _bytes_of(outcome: Outcome) -> bytes | memoryview:
    if outcome.fd is None:
        return b""
    if outcome.size <= _SMALL:
        return os.pread(outcome.fd, outcome.size, 0)
    return map_payload(os.dup(outcome.fd))


def _log_transition(do: instructions.Record) -> None:
    log.debug("%s %s: %s, %s to %s", do.kind, do.id, do.transition, do.source, do.target)


def _ignore(_: Any) -> None:
    """Do nothing: nobody reads transitions that are not logged."""


def _now() -> float:
    return time.monotonic()
