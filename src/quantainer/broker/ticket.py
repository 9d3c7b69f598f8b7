"""Ticket: a queued job as the scheduler sees it, and what the scheduler has to give."""

from __future__ import annotations

from dataclasses import dataclass, field

from quantainer.core.lease import LeaseLimits

__all__ = ["NOTHING", "Bounds", "Resources", "Ticket"]


@dataclass(frozen=True, slots=True)
class Resources:
    """Cores and bytes of memory: of the node, or of one job."""

    cores: int
    memory_bytes: int

    def __add__(self, other: Resources) -> Resources:
        return Resources(self.cores + other.cores, self.memory_bytes + other.memory_bytes)

    def __sub__(self, other: Resources) -> Resources:
        return Resources(self.cores - other.cores, self.memory_bytes - other.memory_bytes)

    def holds(self, other: Resources) -> bool:
        """Tell whether the other fits into this."""
        return self.cores >= other.cores and self.memory_bytes >= other.memory_bytes


NOTHING = Resources(0, 0)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long queues may get, and how scheduling trades.

    Attributes:
        total: Jobs that may wait on the node.
        tenant: Jobs that may wait for one tenant.
        patience: Seconds a job that does not fit is passed over before its place is reserved.
        elsewhere_patience: Seconds a job waits for memory that others on the machine hold.
        age_step: Seconds of waiting that weigh as much as one step of priority.
        scan: Tenants, and jobs of each, that are looked at for one that fits.
    """

    total: int = 100_000
    tenant: int = 20_000
    patience: float = 2.0
    elsewhere_patience: float = 60.0
    age_step: float = 10.0
    scan: int = 16


@dataclass(frozen=True, slots=True)
class Ticket:
    """A queued job as the scheduler sees it.

    Attributes:
        need: What running it takes.
        cost: Expected core-seconds; what its tenant is charged until the true figure is known.
        submitted_at: When it was submitted, on the clock that ``now`` is read from.
    """

    job: str
    lease: str
    tenant: str
    need: Resources
    cost: float
    submitted_at: float
    shots: int = 0
    priority: int = 0
    limits: LeaseLimits = field(default_factory=LeaseLimits)
