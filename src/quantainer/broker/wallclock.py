"""Wall clock: whether somebody set it, told by one that nobody can set."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["WallClock"]

_TOLERANCE = 3600.0
"""Seconds that corrections of the clock may add up to before it is said to have jumped."""


class WallClock:
    """The time of day, compared with the time since the machine was started.

    Args:
        now: The time of day, seconds.
        since_boot: Seconds since the start, those of sleep included.
    """

    def __init__(
        self,
        now: Callable[[], float] = time.time,
        since_boot: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
    ) -> None:
        self._now, self._since_boot = now, since_boot
        self.trust()

    def now(self) -> float:
        """Return the time of day, seconds."""
        return self._now()

    def has_jumped(self) -> bool:
        """Tell whether the clock was set by more than an hour since it was last trusted."""
        return abs(self._now() - self._since_boot() - self._start) >= _TOLERANCE

    def trust(self) -> None:
        """Take the time of day as it is now for right."""
        self._start = self._now() - self._since_boot()
