"""Transitions: every named step a lease or a job can take. ``docs/lifecycle.md`` is drawn from it.

A job has more phases than the states its owner sees: ``STATE_OF`` maps the one to the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from quantainer.core.job import JobState
from quantainer.core.lease import LeaseState

__all__ = [
    "JOB_TRANSITIONS",
    "LEASE_TRANSITIONS",
    "STATE_OF",
    "Phase",
    "Table",
    "Transition",
    "TransitionError",
]

S = TypeVar("S", bound=StrEnum)


class TransitionError(Exception):
    """A step was asked for that the state of the lease or job does not have: a driver's fault."""


class Phase(StrEnum):
    """Where a job stands, in full."""

    QUEUED = "QUEUED"
    HELD = "HELD"
    """Waiting outside the queue: its container is paused."""
    RUNNING = "RUNNING"
    FROZEN = "FROZEN"
    """Started and stopped where it stood: its container is paused."""
    KEPT = "KEPT"
    """Its result is durable and waits for the container to be unpaused."""
    ABORTING = "ABORTING"
    """Its end was asked for; the worker or vendor has not confirmed it yet."""
    COMMITTING = "COMMITTING"
    """Its result is being written."""
    DONE = "DONE"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


STATE_OF: dict[Phase, JobState] = {
    Phase.QUEUED: JobState.QUEUED,
    Phase.HELD: JobState.PAUSED,
    Phase.RUNNING: JobState.RUNNING,
    Phase.FROZEN: JobState.PAUSED,
    Phase.KEPT: JobState.PAUSED,
    Phase.ABORTING: JobState.RUNNING,
    Phase.COMMITTING: JobState.RUNNING,
    Phase.DONE: JobState.DONE,
    Phase.FAILED: JobState.FAILED,
    Phase.CANCELLED: JobState.CANCELLED,
}


@dataclass(frozen=True, slots=True)
class Transition(Generic[S]):
    """One named step."""

    name: str
    source: S
    target: S


class Table(Generic[S]):
    """The steps of one kind of thing, looked up by state and name."""

    def __init__(self, steps: Iterable[tuple[str, S, S]]) -> None:
        self.transitions = tuple(Transition(*step) for step in steps)
        self._steps = {(step.source, step.name): step for step in self.transitions}
        if len(self._steps) != len(self.transitions):
            raise ValueError("two steps of one name leave the same state")

    def step(self, source: S, name: str) -> Transition[S]:
        """Return the step.

        Raises:
            TransitionError: If the state has no step of that name.
        """
        try:
            return self._steps[source, name]
        except KeyError:
            raise TransitionError(f"there is no step {name!r} from {source}") from None

    def leads(self, source: S, name: str) -> bool:
        """Tell whether the state has a step of that name."""
        return (source, name) in self._steps


LEASE_TRANSITIONS: Table[LeaseState] = Table(
    [
        ("start", LeaseState.CREATED, LeaseState.ACTIVE),
        ("pause", LeaseState.CREATED, LeaseState.PAUSED),
        ("pause", LeaseState.ACTIVE, LeaseState.PAUSED),
        ("unpause", LeaseState.PAUSED, LeaseState.ACTIVE),
        ("stop", LeaseState.CREATED, LeaseState.STOPPING),
        ("stop", LeaseState.ACTIVE, LeaseState.STOPPING),
        ("stop", LeaseState.PAUSED, LeaseState.STOPPING),
        ("end", LeaseState.STOPPING, LeaseState.ENDED),
    ]
)

JOB_TRANSITIONS: Table[Phase] = Table(
    [
        # the straight way
        ("start", Phase.QUEUED, Phase.RUNNING),
        ("commit", Phase.RUNNING, Phase.COMMITTING),
        ("done", Phase.COMMITTING, Phase.DONE),
        # the container is paused, and goes on
        ("pause", Phase.QUEUED, Phase.HELD),
        ("pause", Phase.RUNNING, Phase.FROZEN),
        ("resume", Phase.HELD, Phase.QUEUED),
        ("resume", Phase.FROZEN, Phase.RUNNING),
        ("keep", Phase.FROZEN, Phase.KEPT),
        ("commit", Phase.KEPT, Phase.COMMITTING),
        # a worker dies
        ("retry", Phase.RUNNING, Phase.QUEUED),
        ("retry", Phase.FROZEN, Phase.HELD),
        # an end is asked for: by the owner, the deadline or the end of the container
        ("cancel", Phase.QUEUED, Phase.CANCELLED),
        ("cancel", Phase.HELD, Phase.CANCELLED),
        ("expire", Phase.QUEUED, Phase.FAILED),
        ("abort", Phase.RUNNING, Phase.ABORTING),
        ("abort", Phase.FROZEN, Phase.ABORTING),
        ("commit", Phase.ABORTING, Phase.COMMITTING),  # the result was faster
        ("cancel", Phase.ABORTING, Phase.CANCELLED),
        ("expire", Phase.ABORTING, Phase.FAILED),
        # it cannot go on
        ("fail", Phase.RUNNING, Phase.FAILED),
        ("fail", Phase.FROZEN, Phase.FAILED),
        ("fail", Phase.COMMITTING, Phase.FAILED),
    ]
)
