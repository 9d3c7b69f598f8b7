"""Stopwatch: the core-seconds that a job took of its worker.

By the clock on the wall a tenant would pay for the load of its neighbours: where a job takes a
third of a millisecond, a worker that once waits ten of them for a core, or for the broker to take
its answer, would cost the tenant thirty turns. So the processor time counts. A job that holds its
worker without computing, for a vendor's answer, pays for that, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Stopwatch"]

_ASLEEP_S = 1.0
_ASLEEP_SHARE = 0.9
"""A worker sleeps for its job if it does so for most of so long; else the broker, which takes the
answer, or the kernel was busy with others."""


class Stopwatch:
    """Runs from when it is made; the time for which its job is frozen does not count.

    Args:
        account: Returns how many seconds the worker's threads have computed, and how many it has
            waited for a core.
    """

    __slots__ = ("_account", "_computed", "_frozen", "_frozen_at", "_started")

    def __init__(self, account: Callable[[], tuple[float, float]]) -> None:
        self._account = account
        self._computed, waited = account()
        self._started = time.monotonic() - waited
        self._frozen = 0.0
        self._frozen_at: float | None = None

    def freeze(self) -> None:
        """Stand still."""
        if self._frozen_at is None:
            self._frozen_at = time.monotonic()

    def thaw(self) -> None:
        """Run again."""
        if self._frozen_at is not None:
            self._frozen += time.monotonic() - self._frozen_at
            self._frozen_at = None

    def seconds(self) -> float:
        """Return the core-seconds so far."""
        computed, waited = self._account()
        until = time.monotonic() if self._frozen_at is None else self._frozen_at
        held = until - waited - self._started - self._frozen
        computed -= self._computed
        asleep = held > _ASLEEP_S and held - computed > _ASLEEP_SHARE * held
        return held if asleep else computed
