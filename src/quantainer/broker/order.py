"""Order: whose turn it is: weighted fair shares over tenants; no clock, process or lock inside.

Start-time fair queueing (Goyal, Vin, Cheng 1996): each tenant has a virtual start time, and the one
that is furthest behind goes next. A job advances its tenant's virtual time by its cost divided by
the tenant's weight, so over any busy period tenants get cores in proportion to their weights, and
one that was idle can neither save up its share nor lose it.

Within a tenant the job with the highest priority goes first; a waiting job gains one priority step
every ``age_step`` seconds, so none waits for ever behind urgent ones.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from quantainer.broker.ticket import Bounds, Ticket
from quantainer.core.lease import LeaseLimits

__all__ = ["Item", "Order"]

LEAST_COST = 1e-4
"""Core-seconds charged at least: a flood of jobs that cost nothing must lose its turn too."""


@dataclass(slots=True, eq=False)
class _Lease:
    """Jobs of one lease, best first, and what of its limits is in use."""

    tenant: _Tenant
    limits: LeaseLimits
    heap: list[Item] = field(default_factory=list)
    queued: int = 0
    running: int = 0
    memory_bytes: int = 0
    entry: tuple[float, int, _Lease] | None = None

    def admits(self, ticket: Ticket) -> bool:
        memory = self.limits.memory_bytes
        return self.running < self.limits.concurrent_jobs and (
            memory is None or self.memory_bytes + ticket.need.memory_bytes <= memory
        )


@dataclass(slots=True, eq=False)
class _Tenant:
    """One tenant's leases that may start something, best first, and its virtual time."""

    weight: float
    finish: float = 0.0
    backlog: float = 0.0
    queued: int = 0
    leases: dict[str, _Lease] = field(default_factory=dict)
    heap: list[tuple[float, int, _Lease]] = field(default_factory=list)
    entry: tuple[float, int, _Tenant] | None = None


Item = tuple[float, int, Ticket]
"""A waiting job: its rank within the tenant (smaller goes first), its arrival, its ticket."""

# Heaps hold tuples of (rank, arrival, thing). Nothing is ever removed from within a heap: a tuple
# counts only while its thing still refers to that very tuple, and stale ones are dropped on sight.


class Order:
    """Waiting jobs in fair order, and how many of each lease run.

    Args:
        bounds: Of these, how fast waiting jobs age and how many are looked at.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._weights: dict[str, float] = {}
        self._tenants: dict[str, _Tenant] = {}
        self._heap: list[tuple[float, int, _Tenant]] = []
        self._waiting: dict[str, Item] = {}
        self._running = 0
        self._resting: dict[str, float] = {}
        self._alarms: list[tuple[float, str, str]] = []
        self._debtors: list[tuple[float, str]] = []
        self._arrivals = itertools.count()
        self._virtual = 0.0

    # What stands where

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, job: str) -> bool:
        return job in self._waiting

    def waits(self, item: Item) -> bool:
        """Tell whether this very entry still waits."""
        return self._waiting.get(item[2].job) is item

    def waiting(self, tenant: str) -> int:
        """Return how many jobs of a tenant wait."""
        entry = self._tenants.get(tenant)
        return 0 if entry is None else entry.queued

    def waiting_of(self, ticket: Ticket) -> int:
        """Return how many jobs of the same lease wait."""
        tenant = self._tenants.get(ticket.tenant)
        lease = None if tenant is None else tenant.leases.get(ticket.lease)
        return 0 if lease is None else lease.queued

    def backlog(self) -> float:
        """Return the core-seconds that wait."""
        return sum(tenant.backlog for tenant in self._tenants.values())

    def ahead(self, job: str) -> int:
        """Return how many jobs of the same tenant go before this one."""
        item = self._waiting[job]
        leases = self._tenants[item[2].tenant].leases.values()
        return sum(other < item and self.waits(other) for lease in leases for other in lease.heap)

    def wake_at(self) -> float | None:
        """Return when a lease that is over its rate of shots may go on; None if none is."""
        return self._alarms[0][0] if self._alarms and self._waiting else None

    # In and out

    def set_weight(self, tenant: str, weight: float) -> None:
        """Set a tenant's share relative to others, whose weight is 1 unless set."""
        if not weight > 0:
            raise ValueError(f"the weight of {tenant} must be above 0, not {weight}")
        self._weights[tenant] = weight
        if tenant in self._tenants:
            self._tenants[tenant].weight = weight

    def push(self, ticket: Ticket) -> None:
        """Let a job wait."""
        tenant = self._tenants.get(ticket.tenant)
        if tenant is None:
            weight = self._weights.get(ticket.tenant, 1.0)
            tenant = self._tenants[ticket.tenant] = _Tenant(weight, self._virtual)
        lease = tenant.leases.get(ticket.lease)
        if lease is None:
            lease = tenant.leases[ticket.lease] = _Lease(tenant, ticket.limits)
        rank = ticket.submitted_at / self._bounds.age_step - ticket.priority
        item = (rank, next(self._arrivals), ticket)
        self._waiting[ticket.job] = item
        heapq.heappush(lease.heap, item)
        lease.limits = ticket.limits
        self._count(lease, ticket, 1)
        self._list_lease(ticket.lease, lease)

    def remove(self, job: str) -> bool:
        """Take a waiting job out; tell whether it was there."""
        item = self._waiting.pop(job, None)
        if item is None:
            return False
        ticket = item[2]
        lease = self._tenants[ticket.tenant].leases[ticket.lease]
        self._count(lease, ticket, -1)
        if len(lease.heap) > 2 * lease.queued + 64:
            lease.heap = [kept for kept in lease.heap if self.waits(kept)]
            heapq.heapify(lease.heap)
        self._list_lease(ticket.lease, lease)
        self._forget(ticket)
        return True

    def first(self, fits: Callable[[Item], bool]) -> Item | None:
        """Return the first job in fair order that fits, looking at a bounded number."""
        budget = self._bounds.scan
        passed: list[tuple[float, int, _Tenant]] = []
        chosen: Item | None = None
        while chosen is None and budget > 0 and (entry := self._pop_tenant()) is not None:
            passed.append(entry)
            chosen, looked = self._first_of(entry[2], fits, budget)
            budget -= looked
        for entry in passed:
            heapq.heappush(self._heap, entry)
        return chosen

    def _first_of(
        self, tenant: _Tenant, fits: Callable[[Item], bool], budget: int
    ) -> tuple[Item | None, int]:
        passed: list[tuple[float, int, _Lease]] = []
        chosen: Item | None = None
        looked = 0
        while chosen is None and looked < budget and tenant.heap:
            entry = heapq.heappop(tenant.heap)
            if entry[2].entry is not entry:
                continue
            passed.append(entry)
            chosen, more = self._first_from(entry[2], fits, budget - looked)
            looked += more
        for entry in passed:
            heapq.heappush(tenant.heap, entry)
        return chosen, looked

    def _first_from(
        self, lease: _Lease, fits: Callable[[Item], bool], budget: int
    ) -> tuple[Item | None, int]:
        passed: list[Item] = []
        chosen: Item | None = None
        while chosen is None and len(passed) < budget and lease.heap:
            item = heapq.heappop(lease.heap)
            if not self.waits(item):
                continue
            passed.append(item)
            if lease.admits(item[2]) and fits(item):
                chosen = item
        for item in passed:
            heapq.heappush(lease.heap, item)
        return chosen, len(passed)

    def may_start(self, item: Item) -> bool:
        """Tell whether its lease's limits let a waiting job start."""
        lease = self._tenants[item[2].tenant].leases[item[2].lease]
        return lease.admits(item[2]) and item[2].lease not in self._resting

    def start(self, item: Item, now: float) -> None:
        """Take a job out to be run, and charge its tenant what it is expected to cost."""
        ticket = item[2]
        tenant = self._tenants[ticket.tenant]
        lease = tenant.leases[ticket.lease]
        del self._waiting[ticket.job]
        self._count(lease, ticket, -1)
        self._running += 1
        lease.running += 1
        lease.memory_bytes += ticket.need.memory_bytes
        self._rest(ticket, now)
        self._charge(tenant, ticket)
        self._list_lease(ticket.lease, lease)

    def end(self, ticket: Ticket, spent: float | None) -> None:
        """Take note that a started job has ended.

        Args:
            ticket: The job's.
            spent: Core-seconds it took; the tenant's account is corrected by the difference.
        """
        tenant = self._tenants[ticket.tenant]
        lease = tenant.leases[ticket.lease]
        self._running -= 1
        lease.running -= 1
        lease.memory_bytes -= ticket.need.memory_bytes
        if spent is not None:
            self._correct(tenant, max(spent, LEAST_COST) - max(ticket.cost, LEAST_COST))
        self._list_lease(ticket.lease, lease)
        self._forget(ticket)

    # Accounts

    def _charge(self, tenant: _Tenant, ticket: Ticket) -> None:
        entry = tenant.entry
        # A tenant that was passed over for lack of room keeps its earlier start.
        start = entry[0] if entry is not None else max(self._virtual, tenant.finish)
        self._virtual = max(self._virtual, start)
        tenant.finish = start + max(ticket.cost, LEAST_COST) / tenant.weight
        self._list_tenant(tenant, max(self._virtual, tenant.finish))
        while self._debtors and self._debtors[0][0] <= self._virtual:
            _, name = heapq.heappop(self._debtors)
            self._forget_tenant(name)

    def _correct(self, tenant: _Tenant, difference: float) -> None:
        tenant.finish += difference / tenant.weight
        if tenant.entry is not None:
            floor = min(self._virtual, tenant.entry[0])
            self._list_tenant(tenant, max(floor, tenant.finish))

    def _rest(self, ticket: Ticket, now: float) -> None:
        """Let the lease rest until its rate of shots allows the next job."""
        rate = ticket.limits.shots_per_second
        if not rate or not ticket.shots:
            return
        until = now + ticket.shots / rate
        self._resting[ticket.lease] = until
        heapq.heappush(self._alarms, (until, ticket.lease, ticket.tenant))

    def wake(self, now: float) -> None:
        """Let leases go on whose rate of shots allows it."""
        while self._alarms and self._alarms[0][0] <= now:
            _, lease_id, tenant_id = heapq.heappop(self._alarms)
            self._resting.pop(lease_id, None)
            tenant = self._tenants.get(tenant_id)
            if tenant is not None and lease_id in tenant.leases:
                self._list_lease(lease_id, tenant.leases[lease_id])

    # Keeping the heaps

    def _count(self, lease: _Lease, ticket: Ticket, sign: int) -> None:
        lease.queued += sign
        lease.tenant.queued += sign
        lease.tenant.backlog += sign * ticket.cost

    def _list_lease(self, lease_id: str, lease: _Lease) -> None:
        """Put the lease where its best job belongs among its tenant's, if it may start one."""
        heap = lease.heap
        while heap and not self.waits(heap[0]):
            heapq.heappop(heap)
        full = lease.running >= lease.limits.concurrent_jobs
        if not heap or full or lease_id in self._resting:
            lease.entry = None
            return
        rank, arrival, _ = heap[0]
        if lease.entry is not None and lease.entry[:2] == (rank, arrival):
            return
        lease.entry = (rank, arrival, lease)
        tenant = lease.tenant
        heapq.heappush(tenant.heap, lease.entry)
        if len(tenant.heap) > 2 * len(tenant.leases) + 64:
            tenant.heap = [entry for entry in tenant.heap if entry[2].entry is entry]
            heapq.heapify(tenant.heap)
        if tenant.entry is None:
            self._list_tenant(tenant, max(self._virtual, tenant.finish))

    def _list_tenant(self, tenant: _Tenant, tag: float) -> None:
        if tenant.entry is not None and tenant.entry[0] == tag:
            return
        tenant.entry = (tag, next(self._arrivals), tenant)
        heapq.heappush(self._heap, tenant.entry)
        if len(self._heap) > 2 * len(self._tenants) + 64:
            self._heap = [entry for entry in self._heap if entry[2].entry is entry]
            heapq.heapify(self._heap)

    def _pop_tenant(self) -> tuple[float, int, _Tenant] | None:
        """Take the tenant that is furthest behind and has a lease that may start something."""
        while self._heap:
            entry = heapq.heappop(self._heap)
            tenant = entry[2]
            if tenant.entry is not entry:
                continue
            while tenant.heap and tenant.heap[0][2].entry is not tenant.heap[0]:
                heapq.heappop(tenant.heap)
            if tenant.heap:
                return entry
            tenant.entry = None
        return None

    def _forget(self, ticket: Ticket) -> None:
        """Drop a lease and a tenant of whom nothing waits, runs or is owed."""
        tenant = self._tenants[ticket.tenant]
        lease = tenant.leases[ticket.lease]
        if not (lease.queued or lease.running):
            del tenant.leases[ticket.lease]
        if not self._waiting and not self._running:
            # The end of a busy period settles all accounts.
            self._virtual = max(self._virtual, tenant.finish)
            self._tenants.clear()
            self._heap.clear()
            self._debtors.clear()
        elif not tenant.leases and not self._forget_tenant(ticket.tenant):
            heapq.heappush(self._debtors, (tenant.finish, ticket.tenant))

    def _forget_tenant(self, name: str) -> bool:
        """Drop a tenant unless it has jobs, or would escape what it owes by coming back."""
        tenant = self._tenants.get(name)
        if tenant is None or tenant.leases or tenant.finish > self._virtual:
            return tenant is None
        tenant.entry = None
        del self._tenants[name]
        return True
