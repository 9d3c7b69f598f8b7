"""Rows: what a pub yields for each row of its parameters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from quantainer.backends.backend import Plan, Pub
from quantainer.backends.binding import bound
from quantainer.backends.expectation import (
    Group,
    Observable,
    analytic,
    measured,
    observables_of,
    places_by_row,
    sampled,
    support,
)
from quantainer.backends.simulators.program import Program
from quantainer.backends.simulators.simulator import Prepared, Samples
from quantainer.core.seed import derive, member

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantainer.backends.probe import Bounds

__all__ = ["Rows", "program_key"]

Key = tuple[Any, ...]


class Runner(Protocol):
    """What runs programs by a plan."""

    def prepared(self, key: Key | None, program: Program, plan: Plan) -> Prepared:
        """Return a program in its engine's own form."""
        ...

    def probe(
        self, key: Key | None, program: Program, plan: Plan, bounds: Bounds, threads: int
    ) -> None:
        """Refuse a program whose matrix product state would lose too much."""
        ...


class Rows:
    """A pub being run, one row of its parameters after the other.

    Args:
        runner: Prepares programs, and refuses those that no matrix product state can hold.
        pub: What is to be run.
        program: Its circuit, not yet bound.
        plan: How it runs.
        bounds: What it may lose and take as a matrix product state.
        threads: Threads to use.

    Attributes:
        truncation: The worst loss of all rows; ``None`` while nothing is approximate.
    """

    def __init__(
        self,
        runner: Runner,
        pub: Pub,
        program: Program,
        plan: Plan,
        bounds: Bounds,
        threads: int,
    ) -> None:
        self._runner = runner
        self._pub = pub
        self._program = program
        self._plan = plan
        self._bounds = bounds
        self._threads = threads
        self.truncation: float | None = None

    def samples(self, seed: int) -> NDArray[np.uint8]:
        """Return ``uint8[rows, shots, bytes]``."""
        shots = self._pub.shots or 0
        rows = [
            self._draw(key, program, shots, member(seed, row))
            for row, (key, program) in enumerate(self._rows())
        ]
        return rows[0][None] if len(rows) == 1 else np.stack(rows)

    def expectations(self, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return values and standard errors in the order of the pub's pairs."""
        observables = observables_of(self._pub.observables)
        wanted = places_by_row(self._pub.pairs)
        evs = np.zeros(len(self._pub.pairs))
        stds = np.zeros(len(self._pub.pairs))
        for row, (key, program) in enumerate(self._rows()):
            places = wanted.get(row, [])
            if not places:
                continue
            chosen = [observables[self._pub.pairs[place][1]] for place in places]
            evs[places], stds[places] = self._values(key, program, chosen, member(seed, row))
        return evs, stds

    def _values(
        self, key: Key | None, program: Program, chosen: list[Observable], seed: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if self._pub.precision == 0:
            prepared = self._runner.prepared(key, program, self._plan)
            values = analytic(program, chosen, prepared, self._threads)
            self._lose(values.truncation_error)
            return values.numbers, np.zeros(len(values.numbers))
        shots = self._pub.shots or int(np.ceil(1 / self._pub.precision**2))

        def draw(index: int, group: Group) -> NDArray[np.uint8]:
            wider = measured(program, group)
            packed = self._draw(None, wider, shots, derive(seed, "group", index))
            bits = np.unpackbits(packed, axis=1, bitorder="little", count=wider.clbits)
            return bits[:, program.clbits :]

        return sampled(chosen, draw)

    def _rows(self) -> Iterator[tuple[Key | None, Program]]:
        """Yield each row's bound program; refuse what a matrix product state cannot hold."""
        for key, program in self._bound_rows():
            if self._plan.method == "mps":
                self._runner.probe(key, program, self._plan, self._bounds, self._threads)
            yield key, program

    def _bound_rows(self) -> Iterator[tuple[Key | None, Program]]:
        """Yield each row's bound program, with a cache key where there is nothing to bind."""
        if self._pub.parameters is None:
            yield program_key(self._pub), self._program
            return
        for program in bound(self._program, self._pub.parameters):
            yield None, program

    def _draw(self, key: Key | None, program: Program, shots: int, seed: int) -> NDArray[np.uint8]:
        prepared = self._runner.prepared(key, program, self._plan)
        drawn: Samples = prepared.sample(shots, seed, self._threads)
        self._lose(drawn.truncation_error)
        return drawn.packed

    def _lose(self, error: float | None) -> None:
        """Keep the worst loss of all rows."""
        if error is not None:
            self.truncation = max(self.truncation or 0.0, error)


def program_key(pub: Pub) -> tuple[str, tuple[int, ...] | None]:
    """Return what a program is known by: its circuit, and the qubits that observables act on.

    These decide which gates are left of it; the qubits of those gates may yet be the same.
    """
    operators = observables_of(pub.observables)
    return pub.digest, tuple(sorted(support(operators))) if operators else None
