"""The life cycle of leases, containers and jobs as one sans-I/O state machine.

Events go in, instructions come out. The machine never sleeps, reads a clock, writes a file or
starts a process; whoever drives it carries out the instructions in order and feeds back what
happened. So every order of events, every loss and every duplicate is testable without a container.

Promises kept by construction, and checked by the property tests:

- no job is lost: every submitted job is queued, held, started or has ended;
- a result is committed once, and one that exists is never thrown away;
- nothing runs for a paused or stopped container;
- every reservation is returned: one ``Release`` for each ``JobStarted``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from quantainer.core.capacity import Capacity, Ledger
from quantainer.core.events import (
    Aborted,
    BrokerRestarted,
    CancelRequested,
    CommitFailed,
    ContainerPaused,
    ContainerStarted,
    ContainerStopped,
    ContainerStopping,
    ContainerUnpaused,
    DeadlineReached,
    Event,
    JobErred,
    JobStarted,
    JobSubmitted,
    LeaseExpired,
    LeaseOpened,
    ResultCommitted,
    ResultReady,
    ShotsDone,
    WorkerDied,
)
from quantainer.core.instructions import (
    Abort,
    CloseLease,
    Commit,
    Dequeue,
    Enqueue,
    Freeze,
    HoldTimer,
    Instruction,
    Keep,
    Notify,
    Record,
    Release,
    ResumeTimer,
    SaveJob,
    SaveLease,
    Start,
    StartTimer,
    StopTimer,
    Thaw,
)
from quantainer.core.job import Job, JobState
from quantainer.core.lease import Anchor, Lease, LeaseState
from quantainer.core.transitions import (
    JOB_TRANSITIONS,
    LEASE_TRANSITIONS,
    STATE_OF,
    Phase,
    TransitionError,
)
from quantainer_client.errors import QuantainerError

__all__ = ["MAX_STARTS", "MAX_WORKER_DEATHS", "Lifecycle"]

MAX_WORKER_DEATHS = 2
"""A job whose worker dies is tried once more; the second death fails it."""

MAX_STARTS = 10
"""A job that was running at so many crashes of worker or broker is failed, not tried for ever."""

_STARTED = frozenset({Phase.RUNNING, Phase.FROZEN, Phase.ABORTING})
"""Phases in which a worker or vendor holds the job, and what was reserved for it is in use."""


@dataclass(slots=True)
class _Entry:
    """A live job: its row, where it stands in full, and how it is to end once aborted."""

    job: Job
    phase: Phase
    ending: dict[str, Any] | None = None


class Lifecycle:
    """Holds every open lease and every live job; ``handle`` is its only way in.

    Args:
        capacity: What leases may reserve of the node; by default nothing is refused.
    """

    def __init__(self, capacity: Capacity | None = None) -> None:
        self._ledger = Ledger(capacity or Capacity())
        self._leases: dict[str, Lease] = {}
        self._anchors: dict[Anchor, str] = {}
        self._entries: dict[str, _Entry] = {}
        self._jobs_of: dict[str, dict[str, None]] = {}
        self._out: list[Instruction] = []
        self._at = 0.0
        self._handlers: dict[type, Callable[[Any], None]] = {
            LeaseOpened: self._lease_opened,
            ContainerStarted: self._container_started,
            ContainerPaused: self._container_paused,
            ContainerUnpaused: self._container_unpaused,
            ContainerStopping: self._container_stopping,
            ContainerStopped: self._container_stopped,
            LeaseExpired: self._lease_expired,
            JobSubmitted: self._job_submitted,
            JobStarted: self._job_started,
            ShotsDone: self._shots_done,
            ResultReady: self._result_ready,
            ResultCommitted: self._result_committed,
            CommitFailed: self._commit_failed,
            JobErred: self._job_erred,
            WorkerDied: self._worker_died,
            CancelRequested: self._cancel_requested,
            DeadlineReached: self._deadline_reached,
            Aborted: self._aborted,
            BrokerRestarted: self._broker_restarted,
        }

    # What it knows

    @property
    def leases(self) -> Mapping[str, Lease]:
        """Every lease that has not ended. A view: not to be changed."""
        return self._leases

    @property
    def reserved(self) -> Capacity:
        """What the open leases have reserved."""
        return self._ledger.reserved

    def lease_at(self, anchor: Anchor) -> Lease | None:
        """Return the lease of whoever stands at this anchor; none if it is stopping."""
        lease = self._leases.get(self._anchors.get(anchor, ""))
        return None if lease is None or lease.state is LeaseState.STOPPING else lease

    def job(self, job_id: str) -> Job | None:
        """Return a job that has not ended."""
        entry = self._entries.get(job_id)
        return None if entry is None else entry.job

    def phase(self, job_id: str) -> Phase | None:
        """Return where a job that has not ended stands."""
        entry = self._entries.get(job_id)
        return None if entry is None else entry.phase

    def jobs(self) -> list[Job]:
        """Return every job that has not ended, oldest first."""
        return [entry.job for entry in self._entries.values()]

    def jobs_of(self, lease_id: str) -> list[Job]:
        """Return the live jobs of one lease, oldest first."""
        return [entry.job for entry in self._entries_of(lease_id)]

    # The way in

    def handle(self, event: Event) -> list[Instruction]:
        """Take one event and return what must be done, in order.

        Events about leases and jobs that have ended, answers of earlier attempts and repeated ones
        are old news and yield nothing.

        Raises:
            TransitionError: If a driver reports something that cannot have happened.
            QuantainerError: If a lease cannot be granted what it asks to reserve.
        """
        self._out, self._at = [], event.at
        self._handlers[type(event)](event)
        return self._out

    # Leases

    def _lease_opened(self, event: LeaseOpened) -> None:
        lease = event.lease
        if lease.id in self._leases:
            raise TransitionError(f"lease {lease.id} is open already")
        replaced = self.lease_at(lease.anchor)
        self._reserve(lease, replaced)
        if replaced is not None:
            self._stop_lease(replaced, "another container took its place", drain=False)
        self._add_lease(lease)
        self._out.append(SaveLease(lease))

    def _reserve(self, lease: Lease, replaced: Lease | None) -> None:
        if replaced is None:
            self._ledger.reserve(lease.id, lease.limits)
            return
        self._ledger.release(replaced.id)
        try:
            self._ledger.reserve(lease.id, lease.limits)
        except QuantainerError:
            self._ledger.restore(replaced.id, replaced.limits)
            raise

    def _container_started(self, event: ContainerStarted) -> None:
        lease = self._leases.get(event.lease)
        if lease is not None and lease.state is LeaseState.CREATED:
            self._move_lease(lease, "start")

    def _container_paused(self, event: ContainerPaused) -> None:
        lease = self._leases.get(event.lease)
        if lease is None or not LEASE_TRANSITIONS.leads(lease.state, "pause"):
            return
        self._move_lease(lease, "pause")
        for entry in self._entries_of(lease.id):
            if not JOB_TRANSITIONS.leads(entry.phase, "pause"):
                continue
            queued = entry.phase is Phase.QUEUED
            self._out.append(
                Dequeue(entry.job.id) if queued else Freeze(entry.job.id, entry.job.attempt)
            )
            self._timer(entry.job, HoldTimer(entry.job.id))
            self._move(entry, "pause", lazy=True)

    def _container_unpaused(self, event: ContainerUnpaused) -> None:
        lease = self._leases.get(event.lease)
        if lease is None or lease.state is not LeaseState.PAUSED:
            return
        self._move_lease(lease, "unpause")
        self._resume_jobs(lease.id)

    def _resume_jobs(self, lease_id: str) -> None:
        for entry in self._entries_of(lease_id):
            if entry.phase is Phase.KEPT:
                self._commit(entry)
            if not JOB_TRANSITIONS.leads(entry.phase, "resume"):
                continue
            frozen = entry.phase is Phase.FROZEN
            self._timer(entry.job, ResumeTimer(entry.job.id))
            self._move(entry, "resume", lazy=True)
            self._out.append(
                Thaw(entry.job.id, entry.job.attempt) if frozen else Enqueue(entry.job)
            )

    def _container_stopping(self, event: ContainerStopping) -> None:
        lease = self._leases.get(event.lease)
        if lease is not None:
            self._stop_lease(lease, "its container stopped", drain=event.drain)

    def _container_stopped(self, event: ContainerStopped) -> None:
        lease = self._leases.get(event.lease)
        if lease is not None:
            self._stop_lease(lease, "its container stopped", drain=False)

    def _lease_expired(self, event: LeaseExpired) -> None:
        lease = self._leases.get(event.lease)
        if lease is not None:
            self._stop_lease(lease, "its lease expired", drain=False)

    def _stop_lease(self, lease: Lease, reason: str, *, drain: bool) -> None:
        """End what has not started, and with ``drain`` let the rest finish."""
        if lease.state is not LeaseState.STOPPING:
            self._move_lease(lease, "stop")
        for entry in self._entries_of(lease.id):
            if not drain or entry.phase not in _STARTED:
                self._end(entry, reason)
        if drain:
            self._resume_jobs(lease.id)
        self._close_if_empty(lease.id)

    def _close_if_empty(self, lease_id: str) -> None:
        lease = self._leases.get(lease_id)
        if lease is None or lease.state is not LeaseState.STOPPING or self._jobs_of[lease_id]:
            return
        ended = self._move_lease(lease, "end")
        del self._leases[lease_id]
        del self._jobs_of[lease_id]
        if self._anchors.get(lease.anchor) == lease_id:
            del self._anchors[lease.anchor]
        self._ledger.release(lease_id)
        self._out.append(CloseLease(ended))

    def _add_lease(self, lease: Lease) -> None:
        self._leases[lease.id] = lease
        self._jobs_of[lease.id] = {}
        self._anchors[lease.anchor] = lease.id

    def _move_lease(self, lease: Lease, name: str) -> Lease:
        step = LEASE_TRANSITIONS.step(lease.state, name)
        moved = replace(lease, state=step.target)
        self._leases[lease.id] = moved
        self._out += [
            Record("lease", lease.id, name, step.source, step.target, self._at),
            SaveLease(moved),
        ]
        return moved

    # The straight way of a job

    def _job_submitted(self, event: JobSubmitted) -> None:
        job = event.job
        lease = self._leases.get(job.lease)
        if lease is None or lease.state is LeaseState.STOPPING:
            raise TransitionError(f"lease {job.lease} takes no jobs")
        if job.id in self._entries:
            raise TransitionError(f"job {job.id} was submitted twice")
        self._admit(job, lease)

    def _admit(self, job: Job, lease: Lease) -> None:
        """Save a new or recovered job and queue it, or hold it for a paused container."""
        phase = Phase.HELD if lease.state is LeaseState.PAUSED else Phase.QUEUED
        job = replace(job, state=STATE_OF[phase])
        self._entries[job.id] = _Entry(job, phase)
        self._jobs_of[lease.id][job.id] = None
        self._out.append(SaveJob(job))
        if job.timeout is not None:
            self._out.append(StartTimer(job.id, job.timeout))
        if phase is Phase.HELD:
            self._timer(job, HoldTimer(job.id))
        else:
            self._out.append(Enqueue(job))

    def _job_started(self, event: JobStarted) -> None:
        entry = self._entries.get(event.job)
        if entry is None or entry.phase is Phase.HELD:
            # It ended or was held between the scheduler's choice and its report.
            self._out.append(Release(event.job))
            return
        JOB_TRANSITIONS.step(entry.phase, "start")
        entry.job = replace(entry.job, attempt=entry.job.attempt + 1)
        self._move(entry, "start", lazy=True)
        self._out.append(Start(entry.job))

    def _shots_done(self, event: ShotsDone) -> None:
        entry = self._attempt(event.job, event.attempt)
        if entry is None or event.shots <= entry.job.shots_done:
            return
        entry.job = replace(entry.job, shots_done=event.shots)
        self._out.append(Notify(entry.job))

    def _result_ready(self, event: ResultReady) -> None:
        entry = self._attempt(event.job, event.attempt)
        if entry is None or entry.phase not in _STARTED:
            return
        if entry.phase is Phase.FROZEN:
            entry.job = replace(entry.job, result_kept=True, shots_done=entry.job.shots)
            self._move(entry, "keep", save=False)
            self._out.append(Keep(entry.job))
        else:
            self._commit(entry)
        self._out.append(Release(event.job))

    def _commit(self, entry: _Entry) -> None:
        kept = entry.phase is Phase.KEPT
        self._move(entry, "commit", save=False)
        job = entry.job
        done = replace(
            job, state=JobState.DONE, shots_done=job.shots, finished_at=self._at, result_kept=False
        )
        self._out.append(Commit(done, kept))

    def _result_committed(self, event: ResultCommitted) -> None:
        entry = self._attempt(event.job, event.attempt)
        if entry is None or entry.phase is not Phase.COMMITTING:
            return
        entry.job = replace(entry.job, shots_done=entry.job.shots, result_kept=False)
        self._finish(entry, "done", save=False)

    def _commit_failed(self, event: CommitFailed) -> None:
        entry = self._attempt(event.job, event.attempt)
        if entry is not None and entry.phase is Phase.COMMITTING:
            self._finish(entry, "fail", dict(event.error))

    # Other ends of a job

    def _job_erred(self, event: JobErred) -> None:
        entry = self._attempt(event.job, event.attempt)
        if entry is None or entry.phase not in _STARTED:
            return
        self._out.append(Release(event.job))
        if entry.phase is Phase.ABORTING:
            self._finish_aborted(entry)
        else:
            self._finish(entry, "fail", dict(event.error))

    def _worker_died(self, event: WorkerDied) -> None:
        entry = self._attempt(event.job, event.attempt)
        if entry is None or entry.phase not in _STARTED:
            return
        self._out.append(Release(event.job))
        if entry.phase is Phase.ABORTING:
            self._finish_aborted(entry)
            return
        entry.job = replace(entry.job, worker_deaths=entry.job.worker_deaths + 1)
        if not event.retry or not self._may_retry(entry.job):
            self._finish(entry, "fail", dict(event.error))
            return
        self._move(entry, "retry", lazy=True)
        if entry.phase is Phase.QUEUED:
            self._out.append(Enqueue(entry.job))

    def _may_retry(self, job: Job) -> bool:
        return (
            job.worker_deaths < MAX_WORKER_DEATHS
            and job.attempt < MAX_STARTS
            and self._leases[job.lease].state is not LeaseState.STOPPING
        )

    def _cancel_requested(self, event: CancelRequested) -> None:
        entry = self._entries.get(event.job)
        if entry is not None:
            self._end(entry, event.reason)

    def _deadline_reached(self, event: DeadlineReached) -> None:
        entry = self._entries.get(event.job)
        if entry is None or entry.phase not in (Phase.QUEUED, Phase.RUNNING):
            return  # held timers that fired all the same fire again when they are resumed
        job = entry.job
        error = {
            "code": "timeout",
            "message": f"Job {job.id} was not done within {job.timeout} s.",
            "limit": job.timeout,
            "hint": "Raise the timeout, or submit fewer shots or circuits at once.",
        }
        if entry.phase is Phase.QUEUED:
            self._out.append(Dequeue(job.id))
            self._finish(entry, "expire", error)
        else:
            self._abort(entry, error)

    def _aborted(self, event: Aborted) -> None:
        entry = self._attempt(event.job, event.attempt)
        if entry is None or entry.phase is not Phase.ABORTING:
            return
        self._out.append(Release(event.job))
        self._finish_aborted(entry)

    def _end(self, entry: _Entry, reason: str) -> None:
        """Cancel a job wherever it stands; a result that exists is committed all the same."""
        job = entry.job
        match entry.phase:
            case Phase.QUEUED | Phase.HELD:
                if entry.phase is Phase.QUEUED:
                    self._out.append(Dequeue(job.id))
                self._finish(entry, "cancel", _cancelled(job, reason))
            case Phase.RUNNING | Phase.FROZEN:
                self._abort(entry, _cancelled(job, reason))
            case Phase.ABORTING:
                self._out.append(Abort(job.id, job.attempt))  # the first one may have been lost
            case Phase.KEPT:
                self._commit(entry)

    def _abort(self, entry: _Entry, ending: dict[str, Any]) -> None:
        entry.ending = ending
        self._move(entry, "abort", lazy=True)
        self._out.append(Abort(entry.job.id, entry.job.attempt))

    def _finish_aborted(self, entry: _Entry) -> None:
        ending = entry.ending or {}
        if ending["code"] == "cancelled" and entry.job.shots_done:
            kept = f" {entry.job.shots_done} of {entry.job.shots} shots are kept."
            ending = {**ending, "message": ending["message"] + kept}
        self._finish(entry, "cancel" if ending["code"] == "cancelled" else "expire", ending)

    def _finish(
        self, entry: _Entry, name: str, error: dict[str, Any] | None = None, *, save: bool = True
    ) -> None:
        entry.job = replace(entry.job, error=error, finished_at=self._at, result_kept=False)
        self._move(entry, name, save=save)
        job = entry.job
        del self._entries[job.id]
        del self._jobs_of[job.lease][job.id]
        self._timer(job, StopTimer(job.id))
        self._out.append(Notify(job))
        self._close_if_empty(job.lease)

    # Recovery

    def _broker_restarted(self, event: BrokerRestarted) -> None:
        for lease in event.leases:
            if lease.state is not LeaseState.ENDED:
                self._ledger.restore(lease.id, lease.limits)
                self._add_lease(lease)
        for job in event.jobs:
            if not job.terminal:
                self._recover(job)
        for lease in event.leases:
            self._close_if_empty(lease.id)

    def _recover(self, job: Job) -> None:
        """Queue an interrupted job again; one that cannot go on ends here."""
        lease = self._leases.get(job.lease)
        if lease is None or (lease.state is LeaseState.STOPPING and not job.result_kept):
            error = _cancelled(job, "its container stopped while the broker was down")
            self._end_recovered(job, JobState.CANCELLED, error)
        elif job.result_kept:
            entry = self._entries[job.id] = _Entry(replace(job, state=JobState.PAUSED), Phase.KEPT)
            self._jobs_of[lease.id][job.id] = None
            if lease.state is not LeaseState.PAUSED:
                self._commit(entry)
        elif job.attempt >= MAX_STARTS:
            error = {
                "code": "worker_died",
                "message": f"Job {job.id} was interrupted {job.attempt} times and is given up.",
                "limit": MAX_STARTS,
                "hint": "Submit it again if the cause is gone; the broker's log names it.",
            }
            self._end_recovered(job, JobState.FAILED, error)
        else:
            self._admit(job, lease)
            entry = self._entries[job.id]
            self._record(job.id, "recover", job.state, entry.phase)

    def _end_recovered(self, job: Job, state: JobState, error: dict[str, Any]) -> None:
        ended = replace(job, state=state, error=error, finished_at=self._at, result_kept=False)
        self._record(job.id, "recover", job.state, state)
        self._out += [SaveJob(ended), Notify(ended)]

    # Small things

    def _entries_of(self, lease_id: str) -> list[_Entry]:
        return [self._entries[job_id] for job_id in self._jobs_of.get(lease_id, ())]

    def _attempt(self, job_id: str, attempt: int) -> _Entry | None:
        """Return the live job if the answer is one of its present attempt."""
        entry = self._entries.get(job_id)
        return entry if entry is not None and entry.job.attempt == attempt else None

    def _move(self, entry: _Entry, name: str, *, save: bool = True, lazy: bool = False) -> None:
        step = JOB_TRANSITIONS.step(entry.phase, name)
        self._record(entry.job.id, name, step.source, step.target)
        entry.phase = step.target
        state = STATE_OF[step.target]
        if entry.job.state is not state:
            entry.job = replace(entry.job, state=state)
        if save:
            self._out.append(SaveJob(entry.job, lazy))

    def _record(self, job_id: str, name: str, source: str, target: str) -> None:
        self._out.append(Record("job", job_id, name, source, target, self._at))

    def _timer(self, job: Job, instruction: HoldTimer | ResumeTimer | StopTimer) -> None:
        if job.timeout is not None:
            self._out.append(instruction)


def _cancelled(job: Job, reason: str) -> dict[str, Any]:
    return {"code": "cancelled", "message": f"Job {job.id} was cancelled: {reason}."}
