"""Timers: deadlines of jobs, counted only while their containers are not paused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Timers"]


@dataclass(slots=True)
class _Timer:
    left: float
    handle: asyncio.TimerHandle | None = None


class Timers:
    """One timer a job, on the loop's monotonic clock."""

    def __init__(self, fired: Callable[[str], None]) -> None:
        self._fired = fired
        self._timers: dict[str, _Timer] = {}

    def start(self, job: str, seconds: float) -> None:
        """Report the job after so many seconds."""
        self.stop(job)
        self._timers[job] = _Timer(seconds)
        self.resume(job)

    def hold(self, job: str) -> None:
        """Stop the clock of a job and remember what is left."""
        timer = self._timers.get(job)
        if timer is None or timer.handle is None:
            return
        timer.left = max(0.0, timer.handle.when() - asyncio.get_running_loop().time())
        timer.handle.cancel()
        timer.handle = None

    def resume(self, job: str) -> None:
        """Let the clock of a job go on."""
        timer = self._timers.get(job)
        if timer is None or timer.handle is not None:
            return
        timer.handle = asyncio.get_running_loop().call_later(timer.left, self._fire, job)

    def stop(self, job: str) -> None:
        """Forget a job."""
        timer = self._timers.pop(job, None)
        if timer is not None and timer.handle is not None:
            timer.handle.cancel()

    def _fire(self, job: str) -> None:
        timer = self._timers.get(job)
        if timer is not None:
            timer.handle, timer.left = None, 0.0
            self._fired(job)
