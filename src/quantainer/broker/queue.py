"""Queue: who runs next. Weighted fair shares over tenants, and no clock, process or lock inside.

Start-time fair queueing (Goyal, Vin, Cheng 1996): each tenant has a virtual start time, and the one
that is furthest behind goes next. A job advances its tenant's virtual time by its cost divided by
the tenant's weight, so over any busy period tenants get cores in proportion to their weights, and
one that was idle can neither save up its share nor lose it.

Within a tenant the job with the highest priority goes first; a waiting job gains one priority step
every ``age_step`` seconds, so none waits for ever behind urgent ones.

A job that does not fit into what is free is passed over (backfill) until it has waited for
``patience`` seconds at the front; from then on its place is reserved: others start only in what
would be left if it ran.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field

from quantainer.broker.ticket import NOTHING, Bounds, Resources, Ticket
from quantainer.core.lease import LeaseLimits
from quantainer_client.errors import QuantainerError

__all__ = ["Bounds", "FairQueue", "Resources", "Ticket"]

ALWAYS_BYTES = 64 * 1024**2
"""Jobs up to this size live in what a worker process takes anyway."""

LEAST_COST = 1e-4
"""Core-seconds charged at least: a flood of jobs that cost nothing must lose its turn too."""


@dataclass(slots=True, eq=False)
class _Lease:
    """Jobs of one lease, best first, and what of its limits is in use."""

    tenant: _Tenant
    limits: LeaseLimits
    heap: list[_Item] = field(default_factory=list)
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


@dataclass(slots=True)
class _Run:
    """A job that holds a reservation, and which blocked job it was started past, if any."""

    ticket: Ticket
    past: _Item | None
    suspended: bool = False


_Item = tuple[float, int, Ticket]
"""A waiting job: its rank within the tenant (smaller goes first), its arrival, its ticket."""

# Heaps hold tuples of (rank, arrival, thing). Nothing is ever removed from within a heap: a tuple
# counts only while its thing still refers to that very tuple, and stale ones are dropped on sight.


class FairQueue:
    """The fair queue of one node, and the ledger of what its running jobs have reserved.

    Args:
        capacity: What all running jobs together may use.
        bounds: Lengths and trade-offs.
    """

    def __init__(self, capacity: Resources, bounds: Bounds | None = None) -> None:
        self.capacity = capacity
        self.bounds = bounds or Bounds()
        self._free = capacity
        self._weights: dict[str, float] = {}
        self._tenants: dict[str, _Tenant] = {}
        self._heap: list[tuple[float, int, _Tenant]] = []
        self._waiting: dict[str, _Item] = {}
        self._running: dict[str, _Run] = {}
        self._resting: dict[str, float] = {}
        self._alarms: list[tuple[float, str, str]] = []
        self._debtors: list[tuple[float, str]] = []
        self._arrivals = itertools.count()
        self._virtual = 0.0
        self.elsewhere = 0
        """Bytes of the capacity that others on the machine hold at the moment."""
        self._blocked: _Item | None = None
        self._blocked_since = 0.0
        self._short_since: float | None = None
        self._backfilled = NOTHING

    # What stands where

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, job: str) -> bool:
        return job in self._waiting

    @property
    def free(self) -> Resources:
        """What no running job has reserved."""
        return self._free

    @property
    def running(self) -> int:
        """How many jobs hold a reservation."""
        return len(self._running)

    @property
    def short(self) -> bool:
        """Whether memory that others hold may be what a job waits for."""
        return self.elsewhere > 0 and self._blocked is not None

    def overdrawn(self, job: str) -> bool:
        """Tell whether a job was started in memory that others hold, its patience being over."""
        memory = self._need(self._running[job].ticket).memory_bytes
        return memory > ALWAYS_BYTES and self._free.memory_bytes < self.elsewhere

    def waiting(self, tenant: str) -> int:
        """Return how many jobs of a tenant wait."""
        entry = self._tenants.get(tenant)
        return 0 if entry is None else entry.queued

    def ahead(self, job: str) -> int:
        """Return how many jobs of the same tenant go before this one."""
        item = self._waiting[job]
        leases = self._tenants[item[2].tenant].leases.values()
        return sum(
            other < item and self._waiting.get(other[2].job) is other
            for lease in leases
            for other in lease.heap
        )

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

    def check_room(self, ticket: Ticket) -> None:
        """Tell whether a new job may wait here.

        Raises:
            QuantainerError: ``queue_full`` with the limit, and when to try again.
        """
        tenant = self._tenants.get(ticket.tenant)
        lease = None if tenant is None else tenant.leases.get(ticket.lease)
        self._require("this container", lease.queued if lease else 0, ticket.limits.queued_jobs)
        self._require("this tenant", tenant.queued if tenant else 0, self.bounds.tenant)
        self._require("this node", len(self._waiting), self.bounds.total)

    def _require(self, whose: str, waiting: int, limit: int) -> None:
        if waiting < limit:
            return
        raise QuantainerError(
            "queue_full",
            f"{waiting} jobs of {whose} wait already.",
            limit=limit,
            needed=waiting + 1,
            hint=f"Try again in about {self._drain_seconds():.0f} s, when some have run.",
        )

    def _drain_seconds(self) -> float:
        """Estimate how long a tenth of the backlog takes, at least a second."""
        backlog = sum(tenant.backlog for tenant in self._tenants.values())
        return max(1.0, 0.1 * backlog / max(1, self.capacity.cores))

    def push(self, ticket: Ticket) -> None:
        """Let a job wait. Lengths are not checked: jobs that were accepted once always may.

        A job that needs more than the whole node waits until it has the node for itself.
        """
        if ticket.job in self._waiting or ticket.job in self._running:
            raise ValueError(f"job {ticket.job} is queued or running already")
        tenant = self._tenants.get(ticket.tenant)
        if tenant is None:
            weight = self._weights.get(ticket.tenant, 1.0)
            tenant = self._tenants[ticket.tenant] = _Tenant(weight, self._virtual)
        lease = tenant.leases.get(ticket.lease)
        if lease is None:
            lease = tenant.leases[ticket.lease] = _Lease(tenant, ticket.limits)
        rank = ticket.submitted_at / self.bounds.age_step - ticket.priority
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
            lease.heap = [kept for kept in lease.heap if self._waits(kept)]
            heapq.heapify(lease.heap)
        self._list_lease(ticket.lease, lease)
        self._forget(ticket)
        return True

    def pop(self, now: float) -> Ticket | None:
        """Take the job that is to run next and reserve what it needs; None if none can start."""
        self._wake(now)
        if not self._waiting:
            return None
        reserved = self._reserved(now)
        if reserved is not None:
            need = self._need(reserved[2])
            if self._has_room(need) or self._gives_up(need, now):
                return self._start(reserved, None, now)
        item = self._choose(reserved, now)
        return None if item is None else self._start(item, reserved, now)

    def release(self, job: str, spent: float | None = None) -> bool:
        """Return a job's reservation; tell whether it held one.

        Args:
            job: The job.
            spent: Core-seconds it took; the tenant's account is corrected by the difference.
        """
        run = self._running.pop(job, None)
        if run is None:
            return False
        ticket = run.ticket
        tenant = self._tenants[ticket.tenant]
        lease = tenant.leases[ticket.lease]
        self._free += self._held(run)
        if run.past is not None and run.past is self._blocked:
            self._backfilled -= self._held(run)
        lease.running -= 1
        lease.memory_bytes -= ticket.need.memory_bytes
        if spent is not None:
            self._correct(tenant, max(spent, LEAST_COST) - max(ticket.cost, LEAST_COST))
        self._list_lease(ticket.lease, lease)
        self._forget(ticket)
        return True

    def suspend(self, job: str) -> None:
        """Lend a frozen job's cores to others; its memory stays in use."""
        self._lend(job, True)

    def resume(self, job: str) -> None:
        """Take the cores back at once, so that for a while more may be in use than there are."""
        self._lend(job, False)

    def _lend(self, job: str, suspended: bool) -> None:
        run = self._running.get(job)
        if run is None or run.suspended is suspended:
            return
        before = self._held(run)
        run.suspended = suspended
        difference = before - self._held(run)
        self._free += difference
        if run.past is not None and run.past is self._blocked:
            self._backfilled -= difference

    def _held(self, run: _Run) -> Resources:
        need = self._need(run.ticket)
        return Resources(0, need.memory_bytes) if run.suspended else need

    # Choosing

    def _choose(self, reserved: _Item | None, now: float) -> _Item | None:
        """Return the first job in fair order that fits, looking at a bounded number."""
        budget = self.bounds.scan
        passed: list[tuple[float, int, _Tenant]] = []
        chosen: _Item | None = None
        while chosen is None and budget > 0 and (entry := self._pop_tenant()) is not None:
            passed.append(entry)
            chosen, looked = self._choose_of(entry[2], reserved, budget, now)
            budget -= looked
        for entry in passed:
            heapq.heappush(self._heap, entry)
        return chosen

    def _choose_of(
        self, tenant: _Tenant, reserved: _Item | None, budget: int, now: float
    ) -> tuple[_Item | None, int]:
        passed: list[tuple[float, int, _Lease]] = []
        chosen: _Item | None = None
        looked = 0
        while chosen is None and looked < budget and tenant.heap:
            entry = heapq.heappop(tenant.heap)
            if entry[2].entry is not entry:
                continue
            passed.append(entry)
            chosen, more = self._choose_from(entry[2], reserved, budget - looked, now)
            looked += more
        for entry in passed:
            heapq.heappush(tenant.heap, entry)
        return chosen, looked

    def _choose_from(
        self, lease: _Lease, reserved: _Item | None, budget: int, now: float
    ) -> tuple[_Item | None, int]:
        passed: list[_Item] = []
        chosen: _Item | None = None
        while chosen is None and len(passed) < budget and lease.heap:
            item = heapq.heappop(lease.heap)
            if not self._waits(item):
                continue
            passed.append(item)
            if not lease.admits(item[2]):
                continue
            if self._fits(item, reserved):
                chosen = item
            elif self._blocked is None:
                self._blocked, self._blocked_since = item, now
                self._backfilled = NOTHING
        for item in passed:
            heapq.heappush(lease.heap, item)
        return chosen, len(passed)

    def _fits(self, item: _Item, reserved: _Item | None) -> bool:
        need = self._need(item[2])
        if not self._has_room(need):
            return False
        if reserved is None:
            return True
        left = self.capacity - self._backfilled - self._need(reserved[2])
        return left.holds(need)

    def _has_room(self, need: Resources) -> bool:
        """Tell whether it is free: reserved by no job, and held by nobody else on the machine."""
        room = max(ALWAYS_BYTES, self._free.memory_bytes - self.elsewhere)
        return self._free.holds(need) and need.memory_bytes <= room

    def _gives_up(self, need: Resources, now: float) -> bool:
        """Tell whether the blocked job waited long enough for memory that others hold.

        It is started to fail, since nobody knows whether they will ever give it back.
        """
        if not self._free.holds(need):
            self._short_since = None
            return False
        if self._short_since is None:
            self._short_since = now
        return now - self._short_since >= self.bounds.elsewhere_patience

    def _reserved(self, now: float) -> _Item | None:
        """Return the job whose patience is over, if it could run but for want of resources."""
        item = self._blocked
        if item is None:
            return None
        if not self._waits(item):
            self._blocked = self._short_since = None
            return None
        lease = self._tenants[item[2].tenant].leases[item[2].lease]
        if now - self._blocked_since < self.bounds.patience:
            return None
        rests = item[2].lease in self._resting
        return item if lease.admits(item[2]) and not rests else None

    def _start(self, item: _Item, reserved: _Item | None, now: float) -> Ticket:
        ticket = item[2]
        tenant = self._tenants[ticket.tenant]
        lease = tenant.leases[ticket.lease]
        del self._waiting[ticket.job]
        if item is self._blocked:
            self._blocked = self._short_since = None
        self._count(lease, ticket, -1)
        self._running[ticket.job] = _Run(ticket, reserved)
        need = self._need(ticket)
        self._free -= need
        if reserved is not None:
            self._backfilled += need
        lease.running += 1
        lease.memory_bytes += ticket.need.memory_bytes
        self._rest(ticket, now)
        self._charge(tenant, ticket)
        self._list_lease(ticket.lease, lease)
        return ticket

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

    def _wake(self, now: float) -> None:
        while self._alarms and self._alarms[0][0] <= now:
            _, lease_id, tenant_id = heapq.heappop(self._alarms)
            self._resting.pop(lease_id, None)
            tenant = self._tenants.get(tenant_id)
            if tenant is not None and lease_id in tenant.leases:
                self._list_lease(lease_id, tenant.leases[lease_id])

    # Keeping the heaps

    def _waits(self, item: _Item) -> bool:
        return self._waiting.get(item[2].job) is item

    def _need(self, ticket: Ticket) -> Resources:
        need, all_of_it = ticket.need, self.capacity
        if all_of_it.holds(need):
            return need
        return Resources(
            min(need.cores, all_of_it.cores), min(need.memory_bytes, all_of_it.memory_bytes)
        )

    def _count(self, lease: _Lease, ticket: Ticket, sign: int) -> None:
        lease.queued += sign
        lease.tenant.queued += sign
        lease.tenant.backlog += sign * ticket.cost

    def _list_lease(self, lease_id: str, lease: _Lease) -> None:
        """Put the lease where its best job belongs among its tenant's, if it may start one."""
        heap = lease.heap
        while heap and not self._waits(heap[0]):
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
