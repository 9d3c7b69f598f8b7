"""Events: what happened to a lease, its container or its jobs.

Each carries ``at``, the wall-clock time in seconds at which its driver learned of it; the machine
itself has no clock. Events may come late, twice or never: see ``docs/lifecycle.md`` for what each
state makes of each event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from quantainer.core.job import Job
from quantainer.core.lease import Lease

__all__ = [
    "Aborted",
    "BrokerRestarted",
    "CancelRequested",
    "CommitFailed",
    "ContainerPaused",
    "ContainerStarted",
    "ContainerStopped",
    "ContainerStopping",
    "ContainerUnpaused",
    "DeadlineReached",
    "Event",
    "JobErred",
    "JobStarted",
    "JobSubmitted",
    "LeaseExpired",
    "LeaseOpened",
    "ResultCommitted",
    "ResultReady",
    "ShotsDone",
    "WorkerDied",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Timed:
    at: float


# Leases and containers


@dataclass(frozen=True, slots=True)
class LeaseOpened(_Timed):
    """A container is being created and asks for this lease."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class ContainerStarted(_Timed):
    """The container's first process runs."""

    lease: str


@dataclass(frozen=True, slots=True)
class ContainerPaused(_Timed):
    """The container's processes were frozen."""

    lease: str


@dataclass(frozen=True, slots=True)
class ContainerUnpaused(_Timed):
    """The container's processes run again."""

    lease: str


@dataclass(frozen=True, slots=True)
class ContainerStopping(_Timed):
    """The container was asked to stop; with ``drain`` its started jobs may finish."""

    lease: str
    drain: bool = True


@dataclass(frozen=True, slots=True)
class ContainerStopped(_Timed):
    """The container is gone, or its grace period is over: whatever still runs for it is aborted."""

    lease: str


@dataclass(frozen=True, slots=True)
class LeaseExpired(_Timed):
    """The lease's time is over, or its container was created and never started."""

    lease: str


# Jobs


@dataclass(frozen=True, slots=True)
class JobSubmitted(_Timed):
    """A job was admitted."""

    job: Job


@dataclass(frozen=True, slots=True)
class JobStarted(_Timed):
    """The scheduler took the job from the queue and reserved what it needs."""

    job: str


@dataclass(frozen=True, slots=True)
class ShotsDone(_Timed):
    """A chunk of shots is durable; ``shots`` counts all that are."""

    job: str
    attempt: int
    shots: int


@dataclass(frozen=True, slots=True)
class ResultReady(_Timed):
    """The worker or vendor delivered the whole result and is done with the job."""

    job: str
    attempt: int


@dataclass(frozen=True, slots=True)
class ResultCommitted(_Timed):
    """Result and job row were written in one transaction."""

    job: str
    attempt: int


@dataclass(frozen=True, slots=True)
class CommitFailed(_Timed):
    """The result could not be written, and trying again was of no use."""

    job: str
    attempt: int
    error: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class JobErred(_Timed):
    """The worker or vendor reported an error: the job does not run any more and cannot go on."""

    job: str
    attempt: int
    error: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class WorkerDied(_Timed):
    """The process that ran the job is gone; with ``retry`` the job may be tried once more."""

    job: str
    attempt: int
    error: Mapping[str, Any]
    retry: bool = True


@dataclass(frozen=True, slots=True)
class CancelRequested(_Timed):
    """The owner asked for the end of the job."""

    job: str
    reason: str = "its owner asked for it"


@dataclass(frozen=True, slots=True)
class DeadlineReached(_Timed):
    """The job's timer ran out."""

    job: str


@dataclass(frozen=True, slots=True)
class Aborted(_Timed):
    """The worker or vendor confirmed that the job no longer runs."""

    job: str
    attempt: int


# The broker


@dataclass(frozen=True, slots=True)
class BrokerRestarted(_Timed):
    """The broker starts with what the store holds."""

    leases: tuple[Lease, ...] = field(default=())
    jobs: tuple[Job, ...] = field(default=())


Event = (
    LeaseOpened
    | ContainerStarted
    | ContainerPaused
    | ContainerUnpaused
    | ContainerStopping
    | ContainerStopped
    | LeaseExpired
    | JobSubmitted
    | JobStarted
    | ShotsDone
    | ResultReady
    | ResultCommitted
    | CommitFailed
    | JobErred
    | WorkerDied
    | CancelRequested
    | DeadlineReached
    | Aborted
    | BrokerRestarted
)
