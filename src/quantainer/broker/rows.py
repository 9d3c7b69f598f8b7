"""Rows: jobs and leases as the store's columns, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from quantainer.broker.encoding import decode, encode, encode_plain
from quantainer.core.job import Job, JobState
from quantainer.core.lease import Anchor, Lease, LeaseLimits, LeaseState

__all__ = ["job_changes", "job_from", "job_values", "lease_from", "lease_values"]


def job_changes(job: Job) -> dict[str, Any]:
    """Return the columns that change in a job's life."""
    return {
        "state": job.state.value,
        "attempt": job.attempt,
        "worker_deaths": job.worker_deaths,
        "shots_done": job.shots_done,
        "result_kept": int(job.result_kept),
        "finished_at": job.finished_at,
        "error": None if job.error is None else encode(job.error),
    }


def job_values(job: Job) -> dict[str, Any]:
    """Return every column of a job."""
    return {
        **job_changes(job),
        "sequence": None,
        "id": job.id,
        "lease": job.lease,
        "tenant": job.tenant,
        "backend": job.backend,
        "shots": job.shots,
        "request": encode_plain(job.request).decode(),
        "payload_digest": job.payload_digest,
        "priority": job.priority,
        "timeout": job.timeout,
        "memory_bytes": job.memory_bytes,
        "submitted_at": job.submitted_at,
    }


def job_from(row: Mapping[str, Any]) -> Job:
    """Return the job of a row."""
    fields = {name: value for name, value in row.items() if name != "sequence"}
    fields["state"] = JobState(row["state"])
    fields["request"] = decode(row["request"])
    fields["result_kept"] = bool(row["result_kept"])
    fields["error"] = None if row["error"] is None else decode(row["error"])
    return Job(**fields)


def lease_values(lease: Lease) -> dict[str, Any]:
    """Return every column of a lease."""
    return {
        "id": lease.id,
        "tenant": lease.tenant,
        "anchor_kind": lease.anchor.kind,
        "anchor_value": lease.anchor.value,
        "backends": encode(lease.backends),
        "mode": lease.mode,
        "limits": encode(asdict(lease.limits)),
        "state": lease.state.value,
        "container": lease.container,
        "image": lease.image,
        "annotations": encode(lease.annotations),
        "environment": encode(lease.environment),
        "pid_namespace": lease.pid_namespace,
        "born": lease.born,
        "created_at": lease.created_at,
    }


def lease_from(row: Mapping[str, Any]) -> Lease:
    """Return the lease of a row."""
    return Lease(
        id=row["id"],
        tenant=row["tenant"],
        anchor=Anchor(row["anchor_kind"], row["anchor_value"]),
        backends=tuple(decode(row["backends"])),
        mode=row["mode"],
        limits=LeaseLimits(**decode(row["limits"])),
        state=LeaseState(row["state"]),
        container=row["container"],
        image=row["image"],
        annotations=decode(row["annotations"]),
        environment=decode(row["environment"]),
        pid_namespace=row["pid_namespace"],
        born=row["born"],
        created_at=row["created_at"],
    )
