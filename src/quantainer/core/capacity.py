"""Capacity: what a node can promise to leases, and what it has promised."""

from __future__ import annotations

from dataclasses import dataclass

from quantainer.core.lease import LeaseLimits
from quantainer_client.errors import QuantainerError

__all__ = ["Capacity", "Ledger"]


@dataclass(frozen=True, slots=True)
class Capacity:
    """Qubits, bytes and jobs at once. ``None``: without limit, and never refused."""

    qubits: int | None = None
    memory_bytes: int | None = None
    concurrent_jobs: int | None = None


class Ledger:
    """Who has reserved what. A lease reserves its own limits; what it does not limit it shares."""

    def __init__(self, capacity: Capacity) -> None:
        self.capacity = capacity
        self._held: dict[str, LeaseLimits] = {}
        self._qubits = 0
        self._memory_bytes = 0
        self._concurrent_jobs = 0

    @property
    def reserved(self) -> Capacity:
        """The sum of all reservations."""
        return Capacity(self._qubits, self._memory_bytes, self._concurrent_jobs)

    def reserve(self, lease_id: str, limits: LeaseLimits) -> None:
        """Reserve what the limits say, all of it or nothing.

        Raises:
            QuantainerError: ``too_many_qubits``, ``out_of_memory`` or ``queue_full``, with what is
                free (limit) and what was asked (needed).
        """
        self._require(
            "too_many_qubits", "qubits", limits.qubits, self.capacity.qubits, self._qubits
        )
        self._require(
            "out_of_memory",
            "bytes of memory",
            limits.memory_bytes,
            self.capacity.memory_bytes,
            self._memory_bytes,
        )
        self._require(
            "queue_full",
            "concurrent jobs",
            limits.concurrent_jobs,
            self.capacity.concurrent_jobs,
            self._concurrent_jobs,
        )
        self.restore(lease_id, limits)

    def restore(self, lease_id: str, limits: LeaseLimits) -> None:
        """Enter a reservation that was granted earlier, whether it still fits or not."""
        self.release(lease_id)
        self._held[lease_id] = limits
        self._add(limits, 1)

    def release(self, lease_id: str) -> None:
        """Return a reservation; without one nothing happens."""
        limits = self._held.pop(lease_id, None)
        if limits is not None:
            self._add(limits, -1)

    def _add(self, limits: LeaseLimits, sign: int) -> None:
        self._qubits += sign * (limits.qubits or 0)
        self._memory_bytes += sign * (limits.memory_bytes or 0)
        self._concurrent_jobs += sign * limits.concurrent_jobs

    @staticmethod
    def _require(code: str, what: str, asked: int | None, total: int | None, used: int) -> None:
        if asked is None or total is None or used + asked <= total:
            return
        free = max(0, total - used)
        raise QuantainerError(
            code,
            f"The container asks for {asked} {what}; {free} of the node's {total} are free.",
            limit=free,
            needed=asked,
            hint="Ask for less, or wait until another container stops.",
        )
