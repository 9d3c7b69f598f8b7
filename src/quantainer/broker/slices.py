"""Slices: a job cut into parts that are done one after another, so that some survive the rest.

Every circuit of a job is a part. One whose cost grows with its shots (a random trajectory for each)
is cut further, into slices of ``SLICE_SHOTS`` shots. Where the cuts lie and which seed each slice
gets depends on the job alone: the bits are the same on any node, after a restart, and in a part of
the result as in the whole. So a job that was interrupted goes on after the parts that are durable.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from quantainer.backends.backend import PubResult
from quantainer.broker.parts import StoredPart
from quantainer.broker.results import read_result, registers_of
from quantainer.broker.workload import Planned
from quantainer.core import seed as seeds

__all__ = [
    "SLICE_SHOTS",
    "Part",
    "Piece",
    "Progress",
    "joined",
    "pieces_of",
    "slices_of",
    "usable",
]

SLICE_SHOTS = 1000
_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Piece:
    """A part that is to be had: a circuit of the job, or some of its shots, with its seed."""

    pub: int
    planned: Planned
    seed: int


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


def pieces_of(planned: Sequence[Planned], own_seeds: Sequence[int]) -> list[Piece]:
    """Return the parts of a job in order; a part is known by its place in this list."""
    return [
        Piece(index, *piece)
        for index, each in enumerate(planned)
        for piece in slices_of(each, own_seeds[index])
    ]


def usable(
    pieces: Sequence[Piece], stored: Mapping[int, StoredPart]
) -> tuple[dict[int, PubResult], list[int]]:
    """Return results of an earlier attempt by part, and the numbers of parts that must go.

    A part is used only if it is what would be computed now: the same cut, seed, method, engine,
    version and precision. If one slice of a circuit is not, none of that circuit is, since its
    shots are to come from one engine.
    """
    foreign = {
        pieces[number].pub
        for number, part in stored.items()
        if number < len(pieces) and not _is_of(part, pieces[number])
    }
    found: dict[int, PubResult] = {}
    stale: list[int] = []
    for number, part in stored.items():
        if number < len(pieces) and pieces[number].pub not in foreign:
            found[number] = read_result(pieces[number].planned, part.entry, part.data)
        else:
            stale.append(number)
    return found, stale


def _is_of(part: StoredPart, piece: Piece) -> bool:
    """Tell whether a stored part is this piece's."""
    plan, pub, entry = piece.planned.plan, piece.planned.pub, part.entry
    metadata = entry["metadata"]
    made = [metadata.get(key) for key in ("method", "engine", "engine_version", "precision")]
    if made != [plan.method, plan.engine, plan.engine_version, plan.precision]:
        return False
    shape = [piece.pub, piece.seed, pub.shots or 0, piece.planned.rows, pub.facts.clbits]
    held = [entry["pub"], metadata["seed"], entry["shots"], entry["rows"], entry["clbits"]]
    if shape != held or ("evs" in entry) != bool(pub.observables):
        return False
    if "evs" in entry:
        return bool(entry["evs"]["length"] == len(pub.pairs))
    layout = [[name, len(bits)] for name, bits in registers_of(pub.circuit.program)]
    return layout == [[register["name"], register["bits"]] for register in entry["registers"]]


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
        self._since = time.monotonic()

    def add(self, number: int, part: Part) -> None:
        """Take a finished part."""
        self._held.append((number, part))
        if time.monotonic() - self._since < _SECONDS:
            return
        for each in self._held:
            self._send(*each)
        self._held.clear()
        self._since = time.monotonic()
