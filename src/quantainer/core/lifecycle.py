"""The life cycle of leases, containers and jobs as one sans-I/O state machine.

Events go in, instructions come out. The machine never sleeps, reads a clock, writes a file or starts
a process; whoever drives it carries out the instructions in order and feeds back what happened. That
is what makes every order of events, every loss and every duplicate testable without a container.

Promises kept by construction, and checked by the property tests:

- no job is lost: every submitted job reaches a terminal state or is queued, running or paused;
- a result is committed once: ``Commit`` is issued once an attempt, and late answers are dropped;
- nothing runs for a paused or stopped container;
- every reservation is returned: ``Release`` follows every ``Start`` exactly once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from quantainer.core.job import TRANSITIONS, InvalidTransition, Job, JobState
from quantainer.core.lease import Lease, LeaseState

__all__ = ["MAX_ATTEMPTS", "Lifecycle"]

MAX_ATTEMPTS = 2
"""A job whose worker dies is tried once more; a second death fails it."""


# --- Events: what happened -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LeaseOpened:
    """A container is being created and was granted this lease."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class ContainerStarted:
    """The container's first process runs."""

    lease: str


@dataclass(frozen=True, slots=True)
class ContainerPaused:
    """The container's processes were frozen."""

    lease: str


@dataclass(frozen=True, slots=True)
class ContainerUnpaused:
    """The container's processes run again."""

    lease: str


@dataclass(frozen=True, slots=True)
class ContainerStopping:
    """The container was asked to stop; with ``drain`` its running jobs may finish."""

    lease: str
    drain: bool = True


@dataclass(frozen=True, slots=True)
class ContainerStopped:
    """The container is gone; whatever still runs for it is aborted."""

    lease: str


@dataclass(frozen=True, slots=True)
class JobSubmitted:
    """A job was admitted."""

    job: Job


@dataclass(frozen=True, slots=True)
class JobStarted:
    """The scheduler reserved resources for the job and is about to start it."""

    job: str


@dataclass(frozen=True, slots=True)
class ShotsDone:
    """A chunk of shots is durable."""

    job: str
    attempt: int
    shots: int


@dataclass(frozen=True, slots=True)
class ResultReady:
    """The worker or vendor delivered the whole result."""

    job: str
    attempt: int


@dataclass(frozen=True, slots=True)
class ResultCommitted:
    """Result and job row were written in one transaction."""

    job: str
    attempt: int
    at: float


@dataclass(frozen=True, slots=True)
class JobErred:
    """The worker, the vendor or the store reported an error; the job cannot go on."""

    job: str
    attempt: int
    error: Mapping[str, Any]
    at: float


@dataclass(frozen=True, slots=True)
class WorkerDied:
    """The process that ran the job is gone."""

    job: str
    attempt: int
    error: Mapping[str, Any]
    at: float
    retry: bool = True


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """The owner asked for the end of the job."""

    job: str
    at: float
    reason: str = "cancelled by its owner"


@dataclass(frozen=True, slots=True)
class Aborted:
    """The worker or vendor confirmed that the job no longer runs."""

    job: str
    attempt: int
    at: float


@dataclass(frozen=True, slots=True)
class BrokerRestarted:
    """The broker starts with what the store holds."""

    leases: tuple[Lease, ...]
    jobs: tuple[Job, ...]


Event = (
    LeaseOpened
    | ContainerStarted
    | ContainerPaused
    | ContainerUnpaused
    | ContainerStopping
    | ContainerStopped
    | JobSubmitted
    | JobStarted
    | ShotsDone
    | ResultReady
    | ResultCommitted
    | JobErred
    | WorkerDied
    | CancelRequested
    | Aborted
    | BrokerRestarted
)


# --- Instructions: what to do ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SaveLease:
    """Write the lease row."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class SaveJob:
    """Write the job row; before anything that follows it in the list."""

    job: Job


@dataclass(frozen=True, slots=True)
class Enqueue:
    """Put the job into the fair queue."""

    job: Job


@dataclass(frozen=True, slots=True)
class Dequeue:
    """Take the job out of the fair queue."""

    job: str


@dataclass(frozen=True, slots=True)
class Start:
    """Run the job on the worker that was reserved for it."""

    job: Job


@dataclass(frozen=True, slots=True)
class Freeze:
    """Stop the job's worker where it stands."""

    job: str


@dataclass(frozen=True, slots=True)
class Thaw:
    """Let the job's worker go on."""

    job: str


@dataclass(frozen=True, slots=True)
class Abort:
    """End the job's execution and report ``Aborted``."""

    job: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Commit:
    """Write result and job row in one transaction, then report ``ResultCommitted``."""

    job: Job
    attempt: int


@dataclass(frozen=True, slots=True)
class Release:
    """Return the job's reservation (worker, memory, concurrency)."""

    job: str


@dataclass(frozen=True, slots=True)
class Notify:
    """Wake those who wait for the job."""

    job: Job


@dataclass(frozen=True, slots=True)
class CloseLease:
    """Remove the lease's endpoints; nothing of it is left running."""

    lease: str


Instruction = (
    SaveLease
    | SaveJob
    | Enqueue
    | Dequeue
    | Start
    | Freeze
    | Thaw
    | Abort
    | Commit
    | Release
    | Notify
    | CloseLease
)


# --- The machine -----------------------------------------------------------------------------------


@dataclass(slots=True)
class _Execution:
    """What the machine remembers of a started job beyond its row."""

    attempt: int
    result_ready: bool = False
    committing: bool = False
    aborting: str | None = None


class Lifecycle:
    """Holds every lease and every live job; ``handle`` is its only way in."""

    def __init__(self) -> None:
        self._leases: dict[str, Lease] = {}
        self._jobs: dict[str, Job] = {}
        self._jobs_of: dict[str, set[str]] = {}
        self._executions: dict[str, _Execution] = {}
        self._handlers: dict[type, Callable[[Any], list[Instruction]]] = {
            LeaseOpened: self._lease_opened,
            ContainerStarted: self._container_started,
            ContainerPaused: self._container_paused,
            ContainerUnpaused: self._container_unpaused,
            ContainerStopping: self._container_stopping,
            ContainerStopped: self._container_stopped,
            JobSubmitted: self._job_submitted,
            JobStarted: self._job_started,
            ShotsDone: self._shots_done,
            ResultReady: self._result_ready,
            ResultCommitted: self._result_committed,
            JobErred: self._job_erred,
            WorkerDied: self._worker_died,
            CancelRequested: self._cancel_requested,
            Aborted: self._aborted,
            BrokerRestarted: self._broker_restarted,
        }

    @property
    def leases(self) -> Mapping[str, Lease]:
        """Every lease that has not ended."""
        return MappingProxyType(self._leases)

    @property
    def jobs(self) -> Mapping[str, Job]:
        """Every job that has not ended."""
        return MappingProxyType(self._jobs)

    def jobs_of(self, lease: str) -> Iterable[Job]:
        """Return the live jobs of one lease."""
        return [self._jobs[job] for job in sorted(self._jobs_of.get(lease, ()))]

    def handle(self, event: Event) -> list[Instruction]:
        """Take one event and return what must be done, in order.

        Events about jobs and leases that have ended, and answers of earlier attempts, are late news
        and yield nothing.

        Raises:
            InvalidTransition: If a driver reports something that cannot have happened.
        """
        return self._handlers[type(event)](event)

    # Leases

    def _lease_opened(self, event: LeaseOpened) -> list[Instruction]:
        lease = event.lease
        if lease.id in self._leases:
            raise InvalidTransition(f"lease {lease.id} is open already")
        self._leases[lease.id] = lease
        self._jobs_of[lease.id] = set()
        return [SaveLease(lease)]

    def _container_started(self, event: ContainerStarted) -> list[Instruction]:
        lease = self._leases.get(event.lease)
        if lease is None or lease.state is not LeaseState.CREATED:
            return []
        return [self._move_lease(lease, LeaseState.ACTIVE)]

    def _container_paused(self, event: ContainerPaused) -> list[Instruction]:
        lease = self._leases.get(event.lease)
        if lease is None or lease.state not in (LeaseState.CREATED, LeaseState.ACTIVE):
            return []
        out: list[Instruction] = [self._move_lease(lease, LeaseState.PAUSED)]
        for job in self.jobs_of(lease.id):
            if job.state is JobState.QUEUED:
                out += [Dequeue(job.id), self._move(job, JobState.PAUSED)]
            elif job.state is JobState.RUNNING and not self._executions[job.id].committing:
                out += [Freeze(job.id), self._move(job, JobState.PAUSED)]
        return out

    def _container_unpaused(self, event: ContainerUnpaused) -> list[Instruction]:
        lease = self._leases.get(event.lease)
        if lease is None or lease.state is not LeaseState.PAUSED:
            return []
        return [self._move_lease(lease, LeaseState.ACTIVE), *self._resume_jobs(lease.id)]

    def _resume_jobs(self, lease: str) -> list[Instruction]:
        out: list[Instruction] = []
        for job in self.jobs_of(lease):
            if job.state is not JobState.PAUSED:
                continue
            execution = self._executions.get(job.id)
            if execution is None:
                out += [self._move(job, JobState.QUEUED), Enqueue(self._jobs[job.id])]
                continue
            out += [self._move(job, JobState.RUNNING), Thaw(job.id)]
            if execution.result_ready:
                out += self._commit(self._jobs[job.id], execution)
        return out

    def _container_stopping(self, event: ContainerStopping) -> list[Instruction]:
        lease = self._leases.get(event.lease)
        if lease is None or lease.state is LeaseState.STOPPING:
            return []
        paused = lease.state is LeaseState.PAUSED
        out: list[Instruction] = [self._move_lease(lease, LeaseState.STOPPING)]
        if paused:
            out += self._resume_jobs(lease.id)
        for job in self.jobs_of(lease.id):
            if job.state is JobState.QUEUED or not event.drain:
                out += self._end(job, "its container stopped", lease.created_at)
        return out + self._close_if_empty(lease.id)

    def _container_stopped(self, event: ContainerStopped) -> list[Instruction]:
        return self._container_stopping(ContainerStopping(event.lease, drain=False)) or [
            instruction
            for job in self.jobs_of(event.lease)
            for instruction in self._end(job, "its container stopped", job.submitted_at)
        ]

    def _close_if_empty(self, lease_id: str) -> list[Instruction]:
        lease = self._leases.get(lease_id)
        if lease is None or lease.state is not LeaseState.STOPPING or self._jobs_of[lease_id]:
            return []
        saved = self._move_lease(lease, LeaseState.ENDED)
        del self._leases[lease_id]
        del self._jobs_of[lease_id]
        return [saved, CloseLease(lease_id)]

    def _move_lease(self, lease: Lease, state: LeaseState) -> SaveLease:
        moved = replace(lease, state=state)
        self._leases[lease.id] = moved
        return SaveLease(moved)

    # Jobs

    def _job_submitted(self, event: JobSubmitted) -> list[Instruction]:
        job = event.job
        lease = self._leases.get(job.lease)
        if lease is None or lease.state is LeaseState.STOPPING:
            raise InvalidTransition(f"lease {job.lease} takes no jobs")
        if job.id in self._jobs:
            raise InvalidTransition(f"job {job.id} was submitted twice")
        held = lease.state is LeaseState.PAUSED
        job = replace(job, state=JobState.PAUSED if held else JobState.QUEUED)
        self._jobs[job.id] = job
        self._jobs_of[job.lease].add(job.id)
        return [SaveJob(job)] if held else [SaveJob(job), Enqueue(job)]

    def _job_started(self, event: JobStarted) -> list[Instruction]:
        job = self._jobs.get(event.job)
        if job is None or job.state is not JobState.QUEUED:
            raise InvalidTransition(f"job {event.job} is not queued")
        job = replace(job, attempt=job.attempt + 1)
        self._executions[job.id] = _Execution(job.attempt)
        saved = self._move(job, JobState.RUNNING)
        return [saved, Start(self._jobs[job.id])]

    def _live(self, job_id: str, attempt: int) -> tuple[Job, _Execution] | None:
        job, execution = self._jobs.get(job_id), self._executions.get(job_id)
        if job is None or execution is None or execution.attempt != attempt:
            return None
        return job, execution

    def _shots_done(self, event: ShotsDone) -> list[Instruction]:
        live = self._live(event.job, event.attempt)
        if live is None:
            return []
        job = replace(live[0], shots_done=event.shots)
        self._jobs[job.id] = job
        return [SaveJob(job), Notify(job)]

    def _result_ready(self, event: ResultReady) -> list[Instruction]:
        live = self._live(event.job, event.attempt)
        if live is None or live[1].result_ready or live[1].aborting:
            return []
        job, execution = live
        execution.result_ready = True
        # A result that arrives while the container is paused waits for it.
        return [] if job.state is JobState.PAUSED else self._commit(job, execution)

    def _commit(self, job: Job, execution: _Execution) -> list[Instruction]:
        if execution.committing:
            return []
        execution.committing = True
        return [Commit(replace(job, state=JobState.DONE, shots_done=job.shots), execution.attempt)]

    def _result_committed(self, event: ResultCommitted) -> list[Instruction]:
        live = self._live(event.job, event.attempt)
        if live is None or not live[1].committing:
            return []
        job = replace(live[0], shots_done=live[0].shots, finished_at=event.at)
        self._move(job, JobState.DONE)
        return self._finish(job.id, save=False)

    def _job_erred(self, event: JobErred) -> list[Instruction]:
        live = self._live(event.job, event.attempt)
        if live is None:
            return []
        return self._fail(live[0], dict(event.error), event.at)

    def _worker_died(self, event: WorkerDied) -> list[Instruction]:
        live = self._live(event.job, event.attempt)
        if live is None:
            return []
        job, execution = live
        if execution.aborting is not None:
            return self._cancelled(job, execution.aborting, event.at)
        lease = self._leases[job.lease]
        if not event.retry or job.attempt >= MAX_ATTEMPTS or lease.state is LeaseState.STOPPING:
            return self._fail(job, dict(event.error), event.at)
        del self._executions[job.id]
        if job.state is JobState.PAUSED:
            return [Release(job.id)]
        saved = self._move(job, JobState.QUEUED)
        return [saved, Release(job.id), Enqueue(self._jobs[job.id])]

    def _cancel_requested(self, event: CancelRequested) -> list[Instruction]:
        job = self._jobs.get(event.job)
        return [] if job is None else self._end(job, event.reason, event.at)

    def _aborted(self, event: Aborted) -> list[Instruction]:
        live = self._live(event.job, event.attempt)
        if live is None or live[1].aborting is None:
            return []
        return self._cancelled(live[0], live[1].aborting, event.at)

    def _end(self, job: Job, reason: str, at: float) -> list[Instruction]:
        """Cancel a job wherever it stands; a started one ends when its worker confirms."""
        execution = self._executions.get(job.id)
        if execution is None:
            out: list[Instruction] = [Dequeue(job.id)] if job.state is JobState.QUEUED else []
            return out + self._cancelled(job, reason, at)
        if execution.committing or execution.aborting is not None:
            return []
        execution.aborting = reason
        return [Abort(job.id, execution.attempt)]

    def _cancelled(self, job: Job, reason: str, at: float) -> list[Instruction]:
        error = {"code": "cancelled", "message": f"Job {job.id} was cancelled: {reason}."}
        self._move(replace(job, error=error, finished_at=at), JobState.CANCELLED)
        return self._finish(job.id)

    def _fail(self, job: Job, error: dict[str, Any], at: float) -> list[Instruction]:
        self._move(replace(job, error=error, finished_at=at), JobState.FAILED)
        return self._finish(job.id)

    def _finish(self, job_id: str, *, save: bool = True) -> list[Instruction]:
        job = self._jobs.pop(job_id)
        self._jobs_of[job.lease].discard(job_id)
        started = self._executions.pop(job_id, None) is not None
        out: list[Instruction] = [SaveJob(job)] if save else []
        if started:
            out.append(Release(job_id))
        return [*out, Notify(job), *self._close_if_empty(job.lease)]

    def _move(self, job: Job, state: JobState) -> SaveJob:
        if state not in TRANSITIONS[job.state]:
            raise InvalidTransition(f"job {job.id} cannot go from {job.state} to {state}")
        moved = replace(job, state=state)
        self._jobs[job.id] = moved
        return SaveJob(moved)

    # Recovery

    def _broker_restarted(self, event: BrokerRestarted) -> list[Instruction]:
        out: list[Instruction] = []
        for lease in event.leases:
            if lease.state is not LeaseState.ENDED:
                self._leases[lease.id] = lease
                self._jobs_of[lease.id] = set()
        for job in event.jobs:
            if not job.terminal:
                out += self._recover(job)
        for lease in event.leases:
            out += self._close_if_empty(lease.id)
        return out

    def _recover(self, job: Job) -> list[Instruction]:
        """Queue an interrupted job again; one whose lease is gone ends here."""
        lease = self._leases.get(job.lease)
        if lease is None:
            error = {"code": "cancelled", "message": f"Job {job.id}: its lease ended."}
            return [SaveJob(replace(job, state=JobState.CANCELLED, error=error))]
        paused = lease.state is LeaseState.PAUSED
        job = replace(job, state=JobState.PAUSED if paused else JobState.QUEUED)
        self._jobs[job.id] = job
        self._jobs_of[job.lease].add(job.id)
        return [SaveJob(job)] if paused else [SaveJob(job), Enqueue(job)]
