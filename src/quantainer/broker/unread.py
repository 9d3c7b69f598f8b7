"""Unread: submissions that are being read, bounded for each lease.

Each holds a descriptor and a task until a worker has read it, also when its caller has gone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from quantainer.core.lease import Lease
from quantainer_client.errors import QuantainerError

__all__ = ["Unread"]


class Unread:
    """How many there are of each lease."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def check_room(self, lease: Lease) -> None:
        """Tell whether one more may wait; as many may as the lease may have jobs.

        Raises:
            QuantainerError: ``queue_full``.
        """
        most = lease.limits.queued_jobs + lease.limits.concurrent_jobs
        if self._counts[lease.id] >= most:
            raise QuantainerError(
                "queue_full",
                "Too many submissions of this caller wait to be read.",
                limit=most,
                hint="Try again when some have been answered.",
            )

    @contextmanager
    def one_of(self, lease: str) -> Iterator[None]:
        """Count one while it is read."""
        self._counts[lease] += 1
        try:
            yield
        finally:
            self._counts[lease] -= 1
            if not self._counts[lease]:
                del self._counts[lease]
