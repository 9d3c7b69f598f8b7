"""Driver: carries out what the life cycle says: rows, queue, workers, timers, waiting callers."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from quantainer.broker.executions import Executions
from quantainer.broker.headroom import Headroom
from quantainer.broker.outcomes import Outcomes
from quantainer.broker.payloads import Payloads
from quantainer.broker.plans import JobPlan
from quantainer.broker.queue import FairQueue
from quantainer.broker.recorder import Recorder
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

__all__ = ["Driver"]

log = logging.getLogger("quantainer.broker")

_FAULT = QuantainerError(
    "internal", "The broker met a fault of its own.", hint="Its log tells more; please report it."
)
_LEAST_SECONDS = 1e-4
_SHORT_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class _Waiting:
    """What is known of a job since it was planned; nothing after a restart."""

    ticket: Ticket
    number: int


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
        self.outcomes = Outcomes(store)
        self._recorder = Recorder(store, self.outcomes, lifecycle.job, self.handle)
        self.pool: Pool | None = None
        self.headroom: Headroom | None = None
        self.lease_closed: Callable[[Lease], None] = lambda _: None
        self._inbox: list[Event] = []
        self._handling = False
        self._dispatching = False
        self._new: Job | None = None
        self._executions = Executions(
            store, payloads, self._recorder, lifecycle.job, self.handle, run_seconds
        )
        self._waiting: dict[str, _Waiting] = {}
        self._waiters: dict[str, list[Callable[[Job], None]]] = {}
        self._timers = Timers(lambda job: self.handle(events.DeadlineReached(job, at=time.time())))
        self._waking: asyncio.TimerHandle | None = None
        self._actions: dict[type, Callable[[Any], None]] = {
            instructions.Record: _log_transition if log.isEnabledFor(logging.DEBUG) else _ignore,
            instructions.SaveLease: lambda do: self.store.save_lease(do.lease),
            instructions.SaveJob: self._save_job,
            instructions.Keep: lambda do: self._recorder.write_result(do.job, keep=True),
            instructions.Commit: lambda do: self._recorder.write_result(do.job, kept=do.kept),
            instructions.Enqueue: lambda do: self._enqueue(do.job),
            instructions.Dequeue: self._dequeue,
            instructions.Release: self._release,
            instructions.Start: lambda do: self._start(do.job),
            instructions.Freeze: self._freeze,
            instructions.Thaw: self._thaw,
            instructions.Abort: lambda do: self._executions.abort(do.job, do.attempt),
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
            self._recorder.flush_later()
        except Exception:
            # The instructions that follow, and other jobs, are not to suffer from a fault in one.
            log.exception("%r was not carried out", instruction)
            self._give_up(instruction)

    def _give_up(self, instruction: Instruction) -> None:
        """End a job that would wait for ever for what was not carried out."""
        now, error = time.time(), _FAULT.to_dict()
        match instruction:
            case instructions.Start(job):
                self.handle(events.JobErred(job.id, job.attempt, error, at=now))
            case instructions.Commit(job):
                self.handle(events.CommitFailed(job.id, job.attempt, error, at=now))
            case instructions.Enqueue(job):
                self.handle(
                    events.CancelRequested(job.id, at=now, reason="of a fault in the broker")
                )

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
        self._recorder.save_job(do.job, lazy=do.lazy)

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
        if self.pool is None or self._handling or self._dispatching:
            return
        # Each start is an event that ends in here: jobs that fail at once must not pile up calls.
        self._dispatching = True
        try:
            self._start_what_fits(self.pool)
        finally:
            self._dispatching = False

    def _start_what_fits(self, pool: Pool) -> None:
        while len(self.queue) and pool.free() is not None:
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
            gone = events.WorkerDied(job.id, job.attempt, error.to_dict(), True, at=time.time())
            self.handle(gone)
            return
        if self.queue.overdrawn(job.id):
            self.handle(
                events.JobErred(job.id, job.attempt, _crowded_out(job).to_dict(), at=time.time())
            )
            return
        threads = max(1, self.queue.free.cores + 1)
        number = self._waiting[job.id].number if job.id in self._waiting else 0
        self._executions.start(job, self.pool, worker, threads, number)

    def _release(self, do: instructions.Release) -> None:
        self.queue.release(do.job, self._executions.end(do.job))

    def _freeze(self, do: instructions.Freeze) -> None:
        self.queue.suspend(do.job)
        self._executions.freeze(do.job, do.attempt)

    def _thaw(self, do: instructions.Thaw) -> None:
        self.queue.resume(do.job)
        self._executions.thaw(do.job, do.attempt)

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
            try:
                callback(job)
            except Exception:
                # Others who wait are not to suffer from it.
                log.exception("someone was not told that job %s has ended", job.id)

    def close(self) -> None:
        """Close what is held open."""
        self._recorder.close()
        self.outcomes.close()
        self.payloads.close()


def _crowded_out(job: Job) -> QuantainerError:
    return QuantainerError(
        "out_of_memory",
        "The job fits into this node, but other programs of the machine hold the memory.",
        needed=job.memory_bytes,
        hint="Submit it again when they need less, or ask for fewer qubits or single precision.",
    )


def _log_transition(do: instructions.Record) -> None:
    log.debug("%s %s: %s, %s to %s", do.kind, do.id, do.transition, do.source, do.target)


def _ignore(_: Any) -> None:
    """Do nothing: nobody reads transitions that are not logged."""


def _now() -> float:
    return time.monotonic()
