"""Lease: what one container was granted, from create to stop."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from msgspec import Struct, field

__all__ = ["Anchor", "Lease", "LeaseLimits", "LeaseState", "Mode"]

Mode = Literal["local", "hybrid", "qpu"]


class LeaseState(StrEnum):
    """Where a container stands. ``ENDED`` is terminal."""

    CREATED = "CREATED"
    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    STOPPING = "STOPPING"
    ENDED = "ENDED"


@dataclass(frozen=True, slots=True)
class Anchor:
    """What the kernel says of a caller that ties it to its lease.

    ``cgroup``: path of the container's control group, for every engine that makes one. ``pidns``:
    inode of the container's pid namespace, for an unprivileged embedded engine. ``uid``: a host
    user.
    """

    kind: Literal["cgroup", "pidns", "uid"]
    value: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"


@dataclass(frozen=True, slots=True)
class LeaseLimits:
    """Quotas of one lease; ``None`` means the node's own limit."""

    qubits: int | None = None
    memory_bytes: int | None = None
    concurrent_jobs: int = 2
    queued_jobs: int = 1000
    shots_per_second: int | None = None


class Lease(Struct, frozen=True):
    """One grant. Immutable: the life cycle replaces it at each transition.

    Attributes:
        annotations: ``quantum.*`` annotations of the container.
        environment: Variables of the container that the device replaced (``PYTHONPATH``), told to
            the container itself, which puts them back.
        pid_namespace: Inode of the pid namespace in or below which the container's processes live;
            ``None`` if it shares the host's.
        born: When the process started for which the lease was opened (boot, and clock ticks since):
            numbers of processes and namespaces are used again, this is not.
    """

    id: str
    tenant: str
    anchor: Anchor
    backends: tuple[str, ...] = ("qsim",)
    mode: Mode = "hybrid"
    limits: LeaseLimits = field(default_factory=LeaseLimits)
    state: LeaseState = LeaseState.CREATED
    container: str | None = None
    image: str | None = None
    annotations: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    pid_namespace: int | None = None
    born: str | None = None
    created_at: float = 0.0

    def grants(self, backend: str) -> bool:
        """Tell whether the lease grants a backend; ``all`` grants every one."""
        return backend in self.backends or "all" in self.backends

    def summary(self) -> dict[str, Any]:
        """Return what the container itself may know of its lease."""
        return {
            "id": self.id,
            "tenant": self.tenant,
            "backends": list(self.backends),
            "mode": self.mode,
            "state": self.state.value,
            "environment": self.environment,
            "limits": {
                "qubits": self.limits.qubits,
                "memory_bytes": self.limits.memory_bytes,
                "concurrent_jobs": self.limits.concurrent_jobs,
                "queued_jobs": self.limits.queued_jobs,
                "shots_per_second": self.limits.shots_per_second,
            },
        }
