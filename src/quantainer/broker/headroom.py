"""Headroom: memory that jobs may use and other programs of this machine hold at the moment.

What a node may use is settled when it starts; what is free comes and goes with its neighbours. A
job that fits the node but not the moment waits, as it does behind other jobs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from quantainer.broker.resources import WORKER_BYTES, MemoryGrant

__all__ = ["Headroom"]

_FRESH_SECONDS = 0.25
_PAGE = os.sysconf("SC_PAGESIZE")


class Headroom:
    """Looks at the machine, a few times a second at most.

    Args:
        grant: Reads the machine's memory and limits.
        workers: Lists the worker processes.
    """

    def __init__(
        self, grant: Callable[[], MemoryGrant], workers: Callable[[], Iterable[int]]
    ) -> None:
        self._grant = grant
        self._workers = workers
        self._read_at = float("-inf")
        self._elsewhere = 0

    def elsewhere(self, now: float) -> int:
        """Return how many bytes of what jobs may use others hold, as of a moment ago.

        Args:
            now: Seconds on a monotonic clock.
        """
        if now - self._read_at >= _FRESH_SECONDS:
            self._read_at = now
            grant = self._grant()
            ours = sum(max(0, _resident(pid) - WORKER_BYTES) for pid in self._workers())
            self._elsewhere = max(0, grant.limit_bytes - grant.free_bytes - ours)
        return self._elsewhere


def _resident(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:  # noqa: PTH123
            return int(file.read().split()[1]) * _PAGE
    except (OSError, IndexError):  # it has ended
        return 0
