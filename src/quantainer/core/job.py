"""Job: one accepted submission: circuits + parameters + shots on a backend."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from msgspec import Struct, field

__all__ = ["TERMINAL", "Job", "JobState"]


class JobState(StrEnum):
    """``QUEUED → RUNNING → DONE | FAILED | CANCELLED``; ``PAUSED`` to and from the first two."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    DONE = "DONE"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


TERMINAL = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED})


class Job(Struct, frozen=True):
    """One accepted submission. Immutable: the life cycle replaces it at each transition, which a
    ``msgspec.Struct`` does 40 times faster than a frozen dataclass.

    Attributes:
        id: Random identifier, unguessable by other tenants.
        lease: The lease it was submitted under.
        shots: Shots of all its circuits and parameter rows.
        request: The validated submit request without the payload, as JSON fields.
        payload_digest: BLAKE2b of the payload; the payload itself lies in the store.
        attempt: How often it was started; part of every worker message, so that a late answer of an
            earlier attempt is recognised and dropped.
        worker_deaths: How many of those attempts ended with the death of the worker.
        timeout: Seconds until the job is failed; while its container is paused they do not count.
        shots_done: Shots that are durable.
        result_kept: The whole result is durable and waits for the container to be unpaused.
        error: Error fields once FAILED or CANCELLED.
    """

    id: str
    lease: str
    tenant: str
    backend: str
    shots: int
    state: JobState = JobState.QUEUED
    request: dict[str, Any] = field(default_factory=dict)
    payload_digest: str = ""
    priority: int = 0
    attempt: int = 0
    worker_deaths: int = 0
    timeout: float | None = None
    memory_bytes: int = 0
    submitted_at: float = 0.0
    finished_at: float | None = None
    shots_done: int = 0
    result_kept: bool = False
    error: dict[str, Any] | None = None

    @property
    def terminal(self) -> bool:
        """Tell whether the job has ended."""
        return self.state in TERMINAL

    def summary(self) -> dict[str, Any]:
        """Return what the submitting tenant may see."""
        return {
            "job": self.id,
            "backend": self.backend,
            "state": self.state.value,
            "shots": self.shots,
            "shots_done": self.shots_done,
            "attempt": self.attempt,
            "submitted_at": self.submitted_at,
            "finished_at": self.finished_at,
            "error": self.error,
        }
