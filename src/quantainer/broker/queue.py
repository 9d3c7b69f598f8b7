"""Queue: who runs next, and what running jobs have reserved of the node.

The order of turns is fair (see :mod:`quantainer.broker.order`). A job that does not fit into what
is free is passed over (backfill) until it has waited for ``patience`` seconds at the front; from
then on its place is reserved: others start only in what would be left if it ran.
"""

from __future__ import annotations

from dataclasses import dataclass

from quantainer.broker.order import Item, Order
from quantainer.broker.ticket import NOTHING, Bounds, Resources, Ticket
from quantainer_client.errors import QuantainerError

__all__ = ["Bounds", "FairQueue", "Resources", "Ticket"]

ALWAYS_BYTES = 64 * 1024**2
"""Jobs up to this size live in what a worker process takes anyway."""


@dataclass(slots=True)
class _Run:
    """A job that holds a reservation, and which blocked job it was started past, if any."""

    ticket: Ticket
    past: Item | None
    suspended: bool = False


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
        self._order = Order(self.bounds)
        self._running: dict[str, _Run] = {}
        self.elsewhere = 0
        """Bytes of the capacity that others on the machine hold at the moment."""
        self._blocked: Item | None = None
        self._blocked_since = 0.0
        self._short_since: float | None = None
        self._backfilled = NOTHING

    # What stands where

    def __len__(self) -> int:
        return len(self._order)

    def __contains__(self, job: str) -> bool:
        return job in self._order

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
        return self._order.waiting(tenant)

    def ahead(self, job: str) -> int:
        """Return how many jobs of the same tenant go before this one."""
        return self._order.ahead(job)

    def wake_at(self) -> float | None:
        """Return when a lease that is over its rate of shots may go on; None if none is."""
        return self._order.wake_at()

    # In and out

    def set_weight(self, tenant: str, weight: float) -> None:
        """Set a tenant's share relative to others, whose weight is 1 unless set."""
        self._order.set_weight(tenant, weight)

    def check_room(self, ticket: Ticket) -> None:
        """Tell whether a new job may wait here.

        Raises:
            QuantainerError: ``queue_full`` with the limit, and when to try again.
        """
        order = self._order
        self._require("this container", order.waiting_of(ticket), ticket.limits.queued_jobs)
        self._require("this tenant", order.waiting(ticket.tenant), self.bounds.tenant)
        self._require("this node", len(order), self.bounds.total)

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
        return max(1.0, 0.1 * self._order.backlog() / max(1, self.capacity.cores))

    def push(self, ticket: Ticket) -> None:
        """Let a job wait. Lengths are not checked: jobs that were accepted once always may.

        A job that needs more than the whole node waits until it has the node for itself.
        """
        if ticket.job in self._order or ticket.job in self._running:
            raise ValueError(f"job {ticket.job} is queued or running already")
        self._order.push(ticket)

    def remove(self, job: str) -> bool:
        """Take a waiting job out; tell whether it was there."""
        return self._order.remove(job)

    def pop(self, now: float) -> Ticket | None:
        """Take the job that is to run next and reserve what it needs; None if none can start."""
        self._order.wake(now)
        if not self._order:
            return None
        reserved = self._reserved(now)
        if reserved is not None:
            need = self._need(reserved[2])
            if self._has_room(need) or self._gives_up(need, now):
                return self._start(reserved, None, now)
        item = self._order.first(lambda item: self._fits(item, reserved, now))
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
        self._free += self._held(run)
        if run.past is not None and run.past is self._blocked:
            self._backfilled -= self._held(run)
        self._order.end(run.ticket, spent)
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

    def _fits(self, item: Item, reserved: Item | None, now: float) -> bool:
        """Tell whether a job may start; the first that may not is blocked from now on."""
        need = self._need(item[2])
        if self._has_room(need) and self._leaves(need, reserved):
            return True
        if self._blocked is None:
            self._blocked, self._blocked_since = item, now
            self._backfilled = NOTHING
        return False

    def _leaves(self, need: Resources, reserved: Item | None) -> bool:
        """Tell whether a reserved place stays free."""
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

    def _reserved(self, now: float) -> Item | None:
        """Return the job whose patience is over, if it could run but for want of resources."""
        item = self._blocked
        if item is None:
            return None
        if not self._order.waits(item):
            self._blocked = self._short_since = None
            return None
        if now - self._blocked_since < self.bounds.patience:
            return None
        return item if self._order.may_start(item) else None

    def _start(self, item: Item, reserved: Item | None, now: float) -> Ticket:
        ticket = item[2]
        if item is self._blocked:
            self._blocked = self._short_since = None
        self._running[ticket.job] = _Run(ticket, reserved)
        need = self._need(ticket)
        self._free -= need
        if reserved is not None:
            self._backfilled += need
        self._order.start(item, now)
        return ticket

    def _need(self, ticket: Ticket) -> Resources:
        need, all_of_it = ticket.need, self.capacity
        if all_of_it.holds(need):
            return need
        return Resources(
            min(need.cores, all_of_it.cores), min(need.memory_bytes, all_of_it.memory_bytes)
        )
