"""Slices: a job cut into parts that are done one after another, so that some survive the rest.

Every circuit of a job is a part. One whose cost grows with its shots (a random trajectory for each)
is cut further, into slices of ``SLICE_SHOTS`` shots. Where the cuts lie and which seed each slice
gets depends on the job alone: the bits are the same on any node, after a restart, and in a part of
the result as in the whole.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from quantainer.backends.backend import PubResult
from quantainer.broker.workload import Planned
from quantainer.core import seed as seeds

__all__ = ["SLICE_SHOTS", "Part", "Progress", "joined", "slices_of"]

SLICE_SHOTS = 1000
_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Part:
    """A finished part: a circuit, or some of its shots, and what it yielded."""

    pub: int
    planned: Planned
    seed: int
    threads: int
    result: PubResult

    @property
    def shots(self) -> int:
        """Shots over all rows; 0 of what was computed, not measured."""
        return self.planned.shots


def slices_of(planned: Planned, seed: int) -> Iterator[tuple[Planned, int]]:
    """Yield what to run, in order, with its seed; the first slice keeps the circuit's own."""
    shots = planned.pub.shots or 0
    per_shot = planned.plan.method == "trajectories" and not planned.pub.observables
    if not per_shot or planned.rows > 1 or shots < 2 * SLICE_SHOTS:
        yield planned, seed
        return
    for index, first in enumerate(range(0, shots, SLICE_SHOTS)):
        pub = replace(planned.pub, shots=min(SLICE_SHOTS, shots - first))
        own = seed if index == 0 else seeds.derive(seed, "slice", index)
        yield replace(planned, pub=pub), own


def joined(results: list[PubResult]) -> PubResult:
    """Return the result of a circuit from those of its slices."""
    first, *others = results
    if not others:
        return first
    samples = [result.samples for result in results if result.samples is not None]
    return replace(first, samples=np.concatenate(samples, axis=1))


class Progress:
    """Hands finished parts on from time to time, so that short jobs pay nothing for it.

    Args:
        send: Takes the number of a part within the job, and the part.
    """

    def __init__(self, send: Callable[[int, Part], None]) -> None:
        self._send = send
        self._held: list[tuple[int, Part]] = []
        self._count = 0
        self._since = time.monotonic()

    def add(self, part: Part) -> None:
        """Take a finished part."""
        self._held.append((self._count, part))
        self._count += 1
        if time.monotonic() - self._since < _SECONDS:
            return
        for number, held in self._held:
            self._send(number, held)
        self._held.clear()
        self._since = time.monotonic()
