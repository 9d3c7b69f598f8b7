"""Instructions: what the driver of the life cycle must do, in the order given.

The driver carries them out faithfully and reports what came of them as events. Each is safe to
carry out twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from quantainer.core.job import Job
from quantainer.core.lease import Lease

__all__ = [
    "Abort",
    "CloseLease",
    "Commit",
    "Dequeue",
    "Enqueue",
    "Freeze",
    "HoldTimer",
    "Instruction",
    "Keep",
    "Notify",
    "Record",
    "Release",
    "ResumeTimer",
    "SaveJob",
    "SaveLease",
    "Start",
    "StartTimer",
    "StopTimer",
    "Thaw",
]


@dataclass(frozen=True, slots=True)
class Record:
    """Log one transition of a lease or job, by its name in ``core.transitions``."""

    kind: Literal["lease", "job"]
    id: str
    transition: str
    source: str
    target: str
    at: float


# The store


@dataclass(frozen=True, slots=True)
class SaveLease:
    """Write the lease row."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class SaveJob:
    """Write the job row before anything that follows.

    A ``lazy`` row may be written a little later: a crash before it was costs nothing but the count
    of one attempt, since queued and running jobs are recovered alike.
    """

    job: Job
    lazy: bool = False


@dataclass(frozen=True, slots=True)
class Keep:
    """Make the result durable without ending the job: its container is paused."""

    job: Job


@dataclass(frozen=True, slots=True)
class Commit:
    """Write result and job row in one transaction; report ``ResultCommitted`` or ``CommitFailed``.

    With ``kept`` the result lies in the store already.
    """

    job: Job
    kept: bool = False


# The queue and its reservations


@dataclass(frozen=True, slots=True)
class Enqueue:
    """Put the job into the fair queue."""

    job: Job


@dataclass(frozen=True, slots=True)
class Dequeue:
    """Take the job out of the fair queue."""

    job: str


@dataclass(frozen=True, slots=True)
class Release:
    """Return what was reserved when the job was taken from the queue. Once for each start."""

    job: str


# The worker or vendor


@dataclass(frozen=True, slots=True)
class Start:
    """Run the job with what was reserved for it."""

    job: Job


@dataclass(frozen=True, slots=True)
class Freeze:
    """Stop the job's worker where it stands. A vendor's job goes on; its result will wait."""

    job: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Thaw:
    """Let the job's worker go on."""

    job: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Abort:
    """End the execution, frozen or not.

    Answered within a finite time by ``Aborted``, ``WorkerDied``, ``JobErred`` or, if the result was
    faster, ``ResultReady``.
    """

    job: str
    attempt: int


# Timers: they count the time in which the job's container was not paused


@dataclass(frozen=True, slots=True)
class StartTimer:
    """Report ``DeadlineReached`` after so many seconds on a monotonic clock."""

    job: str
    seconds: float


@dataclass(frozen=True, slots=True)
class HoldTimer:
    """Stop the job's timer and remember what is left of it."""

    job: str


@dataclass(frozen=True, slots=True)
class ResumeTimer:
    """Let the job's timer go on with what is left; with nothing left it fires at once."""

    job: str


@dataclass(frozen=True, slots=True)
class StopTimer:
    """Forget the job's timer."""

    job: str


# Those who wait


@dataclass(frozen=True, slots=True)
class Notify:
    """Wake those who wait for the job."""

    job: Job


@dataclass(frozen=True, slots=True)
class CloseLease:
    """Remove the lease's endpoints; nothing of it is left queued or running."""

    lease: Lease


Instruction = (
    Record
    | SaveLease
    | SaveJob
    | Keep
    | Commit
    | Enqueue
    | Dequeue
    | Release
    | Start
    | Freeze
    | Thaw
    | Abort
    | StartTimer
    | HoldTimer
    | ResumeTimer
    | StopTimer
    | Notify
    | CloseLease
)
