"""Jobs: the part of the life cycle that a job goes through, from queued to its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from quantainer.core.events import (
    Aborted,
    CommitFailed,
    DeadlineReached,
    JobErred,
    JobStarted,
    ResultCommitted,
    ResultReady,
    ShotsDone,
    WorkerDied,
)
from quantainer.core.instructions import (
    Abort,
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
    Start,
    StartTimer,
    StopTimer,
    Thaw,
)
from quantainer.core.job import Job, JobState
from quantainer.core.transitions import JOB_TRANSITIONS, STATE_OF, Phase, TransitionError

__all__ = ["MAX_STARTS", "MAX_WORKER_DEATHS", "STARTED", "Jobs", "LiveJob", "Script"]

MAX_WORKER_DEATHS = 2
"""A job whose worker dies is tried once more; the second death fails it."""

MAX_STARTS = 10
"""A job that was running at so many crashes of worker or broker is failed, not tried for ever."""

STARTED = frozenset({Phase.RUNNING, Phase.FROZEN, Phase.ABORTING})
"""Phases in which a worker or vendor has the job, and what was reserved for it is in use."""


class Script(list[Instruction]):
    """The instructions that answer one event, in order, and the time of that event."""

    def __init__(self, at: float = 0.0) -> None:
        super().__init__()
        self.at = at


@dataclass(slots=True)
class LiveJob:
    """A job that has not ended.

    Attributes:
        job: Its row.
        phase: Where it stands, in full.
        ending: The error it ends with once its abort is confirmed.
        done: The row it ends with once its result is written.
    """

    job: Job
    phase: Phase
    ending: dict[str, Any] | None = None
    done: Job | None = None


class Jobs:
    """Every live job, oldest first, and by its lease.

    Args:
        ended: Called with the lease of each job that ends.
    """

    def __init__(self, ended: Callable[[str], None]) -> None:
        self.script = Script()
        self.live: dict[str, LiveJob] = {}
        self._of: dict[str, dict[str, LiveJob]] = {}
        self._ended = ended

    def of(self, lease_id: str) -> list[LiveJob]:
        """Return the live jobs of a lease, oldest first."""
        return list(self._of.get(lease_id, {}).values())

    # The straight way

    def admit(self, job: Job, *, held: bool) -> LiveJob:
        """Save a new or recovered job and queue it, or hold it for a paused container.

        Raises:
            TransitionError: If there is such a job already.
        """
        if job.id in self.live:
            raise TransitionError(f"job {job.id} was submitted twice")
        phase = Phase.HELD if held else Phase.QUEUED
        entry = self._enter(_with_state(job, STATE_OF[phase]), phase)
        self.script.append(SaveJob(entry.job))
        if job.timeout is not None:
            self.script.append(StartTimer(job.id, job.timeout))
        if held:
            self._timer(entry, HoldTimer(job.id))
        else:
            self.script.append(Enqueue(entry.job))
        return entry

    def started(self, event: JobStarted) -> None:
        """Start a job that the scheduler chose, if that choice still stands.

        Raises:
            TransitionError: If it runs already.
        """
        entry = self.live.get(event.job)
        if entry is None or entry.phase is Phase.HELD:
            # It ended or was held between the scheduler's choice and its report.
            self.script.append(Release(event.job))
            return
        self._move(entry, "start", lazy=True, attempt=entry.job.attempt + 1)
        self.script.append(Start(entry.job))

    def shots_done(self, event: ShotsDone) -> None:
        """Count shots that are durable."""
        entry = self._attempt(event.job, event.attempt)
        if entry is None or event.shots <= entry.job.shots_done:
            return
        entry.job = replace(entry.job, shots_done=event.shots)
        self.script.append(Notify(entry.job))

    def result_ready(self, event: ResultReady) -> None:
        """Commit a result, also one that was faster than an abort; of a frozen job, keep it."""
        entry = self._attempt(event.job, event.attempt)
        if entry is None or entry.phase not in STARTED:
            return
        if entry.phase is Phase.FROZEN:
            shots = entry.job.shots
            self._move(entry, "keep", save=False, result_kept=True, shots_done=shots)
            self.script.append(Keep(entry.job))
        else:
            self._commit(entry)
        self.script.append(Release(event.job))

    def committed(self, event: ResultCommitted) -> None:
        """End a job whose result is written."""
        entry = self._attempt(event.job, event.attempt)
        if entry is None or entry.phase is not Phase.COMMITTING or entry.done is None:
            return
        step = JOB_TRANSITIONS.step(entry.phase, "done")
        self._record(event.job, step.name, step.source, step.target)
        self._leave(entry, entry.done)

    def commit_failed(self, event: CommitFailed) -> None:
        """Fail a job whose result cannot be written."""
        entry = self._attempt(event.job, event.attempt)
        if entry is not None and entry.phase is Phase.COMMITTING:
            self._finish(entry, "fail", dict(event.error))

    # Pause and unpause

    def pause(self, lease_id: str) -> None:
        """Hold what is queued, freeze what runs, stop their clocks."""
        for entry in self.of(lease_id):
            if not JOB_TRANSITIONS.leads(entry.phase, "pause"):
                continue
            job = entry.job
            queued = entry.phase is Phase.QUEUED
            self.script.append(Dequeue(job.id) if queued else Freeze(job.id, job.attempt))
            self._timer(entry, HoldTimer(job.id))
            self._move(entry, "pause", lazy=True)

    def resume(self, lease_id: str) -> None:
        """Undo ``pause``, and commit the results that waited."""
        for entry in self.of(lease_id):
            if entry.phase is Phase.KEPT:
                self._commit(entry)
            if not JOB_TRANSITIONS.leads(entry.phase, "resume"):
                continue
            frozen = entry.phase is Phase.FROZEN
            self._move(entry, "resume", lazy=True)
            job = entry.job
            self.script.append(Thaw(job.id, job.attempt) if frozen else Enqueue(job))
            self._timer(entry, ResumeTimer(job.id))

    # Other ends

    def erred(self, event: JobErred) -> None:
        """Fail a job whose worker or vendor reported an error."""
        entry = self._attempt(event.job, event.attempt)
        if entry is None or entry.phase not in STARTED:
            return
        self.script.append(Release(event.job))
        if entry.phase is Phase.ABORTING:
            self._finish_aborted(entry)
        else:
            self._finish(entry, "fail", dict(event.error))

    def worker_died(self, event: WorkerDied, *, stopping: bool) -> None:
        """Try a job once more, unless its lease is stopping or it is past its chances."""
        entry = self._attempt(event.job, event.attempt)
        if entry is None or entry.phase not in STARTED:
            return
        self.script.append(Release(event.job))
        if entry.phase is Phase.ABORTING:
            self._finish_aborted(entry)
            return
        deaths = entry.job.worker_deaths + 1
        given_up = deaths >= MAX_WORKER_DEATHS or entry.job.attempt >= MAX_STARTS
        if given_up or stopping or not event.retry:
            self._finish(entry, "fail", dict(event.error), worker_deaths=deaths)
            return
        self._move(entry, "retry", lazy=True, worker_deaths=deaths)
        if entry.phase is Phase.QUEUED:
            self.script.append(Enqueue(entry.job))

    def deadline_reached(self, event: DeadlineReached) -> None:
        """Fail a job whose time is over. Held timers that fired all the same fire again later."""
        entry = self.live.get(event.job)
        if entry is None or entry.phase not in (Phase.QUEUED, Phase.RUNNING):
            return
        job = entry.job
        error = {
            "code": "timeout",
            "message": f"Job {job.id} was not done within {job.timeout} s.",
            "limit": job.timeout,
            "hint": "Raise the timeout, or submit fewer shots or circuits at once.",
        }
        if entry.phase is Phase.QUEUED:
            self.script.append(Dequeue(job.id))
            self._finish(entry, "expire", error)
        else:
            self._abort(entry, error)

    def aborted(self, event: Aborted) -> None:
        """End a job that no longer runs."""
        entry = self._attempt(event.job, event.attempt)
        if entry is None or entry.phase is not Phase.ABORTING:
            return
        self.script.append(Release(event.job))
        self._finish_aborted(entry)

    def end(self, entry: LiveJob, reason: str) -> None:
        """Cancel a job wherever it stands; a result that exists is committed all the same."""
        job = entry.job
        match entry.phase:
            case Phase.QUEUED | Phase.HELD:
                if entry.phase is Phase.QUEUED:
                    self.script.append(Dequeue(job.id))
                self._finish(entry, "cancel", cancelled(job, reason))
            case Phase.RUNNING | Phase.FROZEN:
                self._abort(entry, cancelled(job, reason))
            case Phase.ABORTING:
                self.script.append(Abort(job.id, job.attempt))  # the first may have been lost
            case Phase.KEPT:
                self._commit(entry)

    # Recovery

    def recover(self, job: Job, *, paused: bool) -> None:
        """Queue an interrupted job again, or commit the result that waited."""
        if job.result_kept:
            entry = self._enter(replace(job, state=JobState.PAUSED), Phase.KEPT)
            if not paused:
                self._commit(entry)
            return
        if job.attempt < MAX_STARTS:
            entry = self.admit(job, held=paused)
            self._record(job.id, "recover", job.state, entry.phase)
            return
        error = {
            "code": "worker_died",
            "message": f"Job {job.id} was interrupted {job.attempt} times and is given up.",
            "limit": MAX_STARTS,
            "hint": "Submit it again if the cause is gone; the broker's log names it.",
        }
        self.give_up(job, JobState.FAILED, error)

    def give_up(self, job: Job, state: JobState, error: dict[str, Any]) -> None:
        """End a recovered job that cannot go on."""
        self._record(job.id, "recover", job.state, state)
        ended = replace(job, state=state, error=error, finished_at=self.script.at)
        self.script += [SaveJob(ended), Notify(ended)]

    # Steps

    def _enter(self, job: Job, phase: Phase) -> LiveJob:
        entry = self.live[job.id] = LiveJob(job, phase)
        self._of.setdefault(job.lease, {})[job.id] = entry
        return entry

    def _attempt(self, job_id: str, attempt: int) -> LiveJob | None:
        """Return the live job, if it is its present attempt that answers."""
        entry = self.live.get(job_id)
        return entry if entry is not None and entry.job.attempt == attempt else None

    def _commit(self, entry: LiveJob) -> None:
        kept = entry.phase is Phase.KEPT
        self._move(entry, "commit", save=False)
        entry.done = replace(
            entry.job,
            state=JobState.DONE,
            shots_done=entry.job.shots,
            finished_at=self.script.at,
            result_kept=False,
        )
        self.script.append(Commit(entry.done, kept))

    def _abort(self, entry: LiveJob, ending: dict[str, Any]) -> None:
        entry.ending = ending
        self._move(entry, "abort", lazy=True)
        self.script.append(Abort(entry.job.id, entry.job.attempt))

    def _finish_aborted(self, entry: LiveJob) -> None:
        ending = entry.ending or {}
        is_cancelled = ending["code"] == "cancelled"
        if is_cancelled and entry.job.shots_done:
            kept = f" {entry.job.shots_done} of {entry.job.shots} shots are kept."
            ending = {**ending, "message": ending["message"] + kept}
        self._finish(entry, "cancel" if is_cancelled else "expire", ending)

    def _finish(self, entry: LiveJob, name: str, error: dict[str, Any], **changes: Any) -> None:
        at = self.script.at
        self._move(entry, name, error=error, finished_at=at, result_kept=False, **changes)
        self._leave(entry, entry.job)

    def _leave(self, entry: LiveJob, ended: Job) -> None:
        del self.live[ended.id]
        of_lease = self._of[ended.lease]
        del of_lease[ended.id]
        if not of_lease:
            del self._of[ended.lease]
        self._timer(entry, StopTimer(ended.id))
        self.script.append(Notify(ended))
        self._ended(ended.lease)

    def _move(
        self, entry: LiveJob, name: str, *, save: bool = True, lazy: bool = False, **changes: Any
    ) -> None:
        step = JOB_TRANSITIONS.step(entry.phase, name)
        self._record(entry.job.id, name, step.source, step.target)
        entry.phase = step.target
        state = STATE_OF[step.target]
        if changes or entry.job.state is not state:
            entry.job = replace(entry.job, state=state, **changes)
        if save:
            self.script.append(SaveJob(entry.job, lazy))

    def _record(self, job_id: str, name: str, source: str, target: str) -> None:
        self.script.append(Record("job", job_id, name, source, target, self.script.at))

    def _timer(self, entry: LiveJob, instruction: HoldTimer | ResumeTimer | StopTimer) -> None:
        if entry.job.timeout is not None:
            self.script.append(instruction)


def _with_state(job: Job, state: JobState) -> Job:
    return job if job.state is state else replace(job, state=state)


def cancelled(job: Job, reason: str) -> dict[str, Any]:
    """Return the error fields of a job that was cancelled."""
    return {"code": "cancelled", "message": f"Job {job.id} was cancelled: {reason}."}
