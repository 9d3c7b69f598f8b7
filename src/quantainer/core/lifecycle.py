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
from types import MappingProxyType
from typing import Any

from msgspec.structs import replace

from quantainer.core import events
from quantainer.core.capacity import Capacity, Ledger
from quantainer.core.events import Event
from quantainer.core.instructions import CloseLease, Instruction, Record, SaveLease
from quantainer.core.job import Job, JobState
from quantainer.core.jobs import STARTED, Jobs, Script, cancelled
from quantainer.core.lease import Anchor, Lease, LeaseState
from quantainer.core.transitions import LEASE_TRANSITIONS, Phase, TransitionError
from quantainer_client.errors import QuantainerError

__all__ = ["Lifecycle"]


class Lifecycle:
    """Holds every open lease and every live job; ``handle`` is its only way in.

    Args:
        capacity: What leases may reserve of the node; by default nothing is refused.
    """

    def __init__(self, capacity: Capacity | None = None) -> None:
        self._ledger = Ledger(capacity or Capacity())
        self._leases: dict[str, Lease] = {}
        self._anchors: dict[Anchor, str] = {}
        self._jobs = Jobs(self._close_if_empty)
        self._script = Script()
        self._handlers: dict[type, Callable[[Any], None]] = {
            events.LeaseOpened: self._lease_opened,
            events.ContainerStarted: self._container_started,
            events.ContainerPaused: self._container_paused,
            events.ContainerUnpaused: self._container_unpaused,
            events.ContainerStopping: self._container_stopping,
            events.ContainerStopped: self._container_stopped,
            events.LeaseExpired: self._lease_expired,
            events.JobSubmitted: self._job_submitted,
            events.JobStarted: self._jobs.started,
            events.ShotsDone: self._jobs.shots_done,
            events.ResultReady: self._jobs.result_ready,
            events.ResultCommitted: self._jobs.committed,
            events.CommitFailed: self._jobs.commit_failed,
            events.JobErred: self._jobs.erred,
            events.WorkerDied: self._worker_died,
            events.CancelRequested: self._cancel_requested,
            events.DeadlineReached: self._jobs.deadline_reached,
            events.Aborted: self._jobs.aborted,
            events.BrokerRestarted: self._broker_restarted,
        }

    # What it knows

    @property
    def leases(self) -> Mapping[str, Lease]:
        """Every lease that has not ended."""
        return MappingProxyType(self._leases)

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
        entry = self._jobs.live.get(job_id)
        return None if entry is None else entry.job

    def phase(self, job_id: str) -> Phase | None:
        """Return where a job that has not ended stands."""
        entry = self._jobs.live.get(job_id)
        return None if entry is None else entry.phase

    def jobs(self) -> list[Job]:
        """Return every job that has not ended, oldest first."""
        return [entry.job for entry in self._jobs.live.values()]

    def jobs_of(self, lease_id: str) -> list[Job]:
        """Return the live jobs of one lease, oldest first."""
        return [entry.job for entry in self._jobs.of(lease_id)]

    # The way in

    def handle(self, event: Event) -> list[Instruction]:
        """Take one event and return what must be done, in order.

        Events about leases and jobs that have ended, answers of earlier attempts and repeated ones
        are old news and yield nothing.

        Raises:
            TransitionError: If a driver reports something that cannot have happened.
            QuantainerError: If a lease cannot be granted what it asks to reserve.
        """
        self._script = self._jobs.script = Script(event.at)
        self._handlers[type(event)](event)
        return self._script

    # Leases

    def _lease_opened(self, event: events.LeaseOpened) -> None:
        lease = event.lease
        if lease.id in self._leases:
            raise TransitionError(f"lease {lease.id} is open already")
        replaced = self.lease_at(lease.anchor)
        self._reserve(lease, replaced)
        if replaced is not None:
            self._stop(replaced, "another container took its place", drain=False)
        self._enter(lease)
        self._script.append(SaveLease(lease))

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

    def _container_started(self, event: events.ContainerStarted) -> None:
        lease = self._leases.get(event.lease)
        if lease is not None and lease.state is LeaseState.CREATED:
            self._move(lease, "start")

    def _container_paused(self, event: events.ContainerPaused) -> None:
        lease = self._leases.get(event.lease)
        if lease is None or not LEASE_TRANSITIONS.leads(lease.state, "pause"):
            return
        self._move(lease, "pause")
        self._jobs.pause(lease.id)

    def _container_unpaused(self, event: events.ContainerUnpaused) -> None:
        lease = self._leases.get(event.lease)
        if lease is None or lease.state is not LeaseState.PAUSED:
            return
        self._move(lease, "unpause")
        self._jobs.resume(lease.id)

    def _container_stopping(self, event: events.ContainerStopping) -> None:
        lease = self._leases.get(event.lease)
        if lease is not None:
            self._stop(lease, "its container stopped", drain=event.drain)

    def _container_stopped(self, event: events.ContainerStopped) -> None:
        lease = self._leases.get(event.lease)
        if lease is not None:
            self._stop(lease, "its container stopped", drain=False)

    def _lease_expired(self, event: events.LeaseExpired) -> None:
        lease = self._leases.get(event.lease)
        if lease is not None:
            self._stop(lease, "its lease expired", drain=False)

    def _stop(self, lease: Lease, reason: str, *, drain: bool) -> None:
        """End what has not started, and with ``drain`` let the rest finish."""
        if lease.state is not LeaseState.STOPPING:
            self._move(lease, "stop")
        for entry in self._jobs.of(lease.id):
            if not drain or entry.phase not in STARTED:
                self._jobs.end(entry, reason)
        self._jobs.resume(lease.id)
        self._close_if_empty(lease.id)

    def _close_if_empty(self, lease_id: str) -> None:
        lease = self._leases.get(lease_id)
        if lease is None or lease.state is not LeaseState.STOPPING or self._jobs.of(lease_id):
            return
        ended = self._move(lease, "end")
        del self._leases[lease_id]
        if self._anchors.get(lease.anchor) == lease_id:
            del self._anchors[lease.anchor]
        self._ledger.release(lease_id)
        self._script.append(CloseLease(ended))

    def _enter(self, lease: Lease) -> None:
        self._leases[lease.id] = lease
        self._anchors[lease.anchor] = lease.id

    def _move(self, lease: Lease, name: str) -> Lease:
        step = LEASE_TRANSITIONS.step(lease.state, name)
        moved = self._leases[lease.id] = replace(lease, state=step.target)
        at = self._script.at
        self._script.append(Record("lease", lease.id, name, step.source, step.target, at))
        self._script.append(SaveLease(moved))
        return moved

    # Jobs, as far as their lease has a say

    def _job_submitted(self, event: events.JobSubmitted) -> None:
        lease = self._leases.get(event.job.lease)
        if lease is None or lease.state is LeaseState.STOPPING:
            raise TransitionError(f"lease {event.job.lease} takes no jobs")
        self._jobs.admit(event.job, held=lease.state is LeaseState.PAUSED)

    def _worker_died(self, event: events.WorkerDied) -> None:
        job = self.job(event.job)
        if job is not None:
            stopping = self._leases[job.lease].state is LeaseState.STOPPING
            self._jobs.worker_died(event, stopping=stopping)

    def _cancel_requested(self, event: events.CancelRequested) -> None:
        entry = self._jobs.live.get(event.job)
        if entry is not None:
            self._jobs.end(entry, event.reason)

    # Recovery

    def _broker_restarted(self, event: events.BrokerRestarted) -> None:
        for lease in event.leases:
            if lease.state is not LeaseState.ENDED:
                self._ledger.restore(lease.id, lease.limits)
                self._enter(lease)
        for job in event.jobs:
            if not job.terminal:
                self._recover(job)
        for lease in event.leases:
            self._close_if_empty(lease.id)

    def _recover(self, job: Job) -> None:
        lease = self._leases.get(job.lease)
        gone = lease is None or lease.state is LeaseState.STOPPING
        if gone and (lease is None or not job.result_kept):
            reason = "its container stopped while the broker was down"
            self._jobs.give_up(job, JobState.CANCELLED, cancelled(job, reason))
            return
        self._jobs.recover(job, paused=lease is not None and lease.state is LeaseState.PAUSED)
