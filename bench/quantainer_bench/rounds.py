"""Timing in interleaved rounds, so that a ratio holds while the machine's speed drifts."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Times", "ratio", "time_each", "time_rounds"]


@dataclass(frozen=True, slots=True)
class Times:
    """Wall times of one contender in milliseconds, in the order of the rounds."""

    ms: tuple[float, ...]

    def quantile(self, share: float) -> float:
        """Return the nearest-rank quantile."""
        ordered = sorted(self.ms)
        return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]

    @property
    def median(self) -> float:
        """Return the median."""
        return statistics.median(self.ms)

    def fields(self) -> dict[str, Any]:
        """Return median and spread as JSON fields."""
        return {
            "n": len(self.ms),
            "min_ms": min(self.ms),
            "p50_ms": self.median,
            "p95_ms": self.quantile(0.95),
            "max_ms": max(self.ms),
        }


def time_each(call: Callable[[], object], repeats: int, warmup: int = 1) -> Times:
    """Time ``call`` alone, after ``warmup`` uncounted calls."""
    for _ in range(warmup):
        call()
    return Times(tuple(_once(call) for _ in range(repeats)))


def time_rounds(
    contenders: Mapping[str, Callable[[], object]], rounds: int, warmup: int = 1, burst: int = 1
) -> dict[str, Times]:
    """Time each contender in turn, once a round.

    Args:
        contenders: Calls by name.
        rounds: How often each has its turn.
        warmup: Further rounds before that are not counted.
        burst: Calls of one turn, whose median is its time. One call alone pays for the caches that
            the others before it filled with theirs.
    """
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(warmup + rounds):
        for name, call in contenders.items():
            elapsed = statistics.median(_once(call) for _ in range(burst))
            if number >= warmup:
                times[name].append(elapsed)
    return {name: Times(tuple(values)) for name, values in times.items()}


def ratio(other: Times, ours: Times) -> dict[str, float]:
    """Return how many times longer ``other`` takes: median and spread of the ratios by round."""
    ratios = sorted(a / b for a, b in zip(other.ms, ours.ms, strict=False))
    return {"min": ratios[0], "p50": statistics.median(ratios), "max": ratios[-1]}


def _once(call: Callable[[], object]) -> float:
    started = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - started) / 1e6
