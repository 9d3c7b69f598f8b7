"""Branching: feed-forward executed exactly, by splitting shots where a measurement is random.

All shots start together; a measurement with two possible outcomes parts them (binomially) and
copies the state. So the work grows with the outcomes that differ, not with the shots, and
conditions are evaluated on Python integers: any width, any expression, any loop.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

import numpy as np

from quantainer.backends.simulators.program import (
    Assign,
    Branch,
    Gate,
    Measure,
    Operation,
    Repeat,
    Reset,
)
from quantainer.backends.simulators.shots import from_counts, generator
from quantainer_client.errors import QuantainerError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MAX_ROUNDS", "State", "sample_branches"]

MAX_ROUNDS = 1_000_000


class State(Protocol):
    """A quantum state that can be measured and copied."""

    samples: bool
    """Whether ``sample`` exists; else the measurements at the end are taken one by one."""

    def copy(self) -> Self:
        """Return an independent copy."""
        ...

    def apply(self, gates: tuple[Gate, ...]) -> None:
        """Apply gates in order."""
        ...

    def probability_of_one(self, qubit: int) -> float:
        """Return the probability that a measurement yields 1."""
        ...

    def collapse(self, qubit: int, value: bool) -> None:
        """Project on an outcome whose probability is not 0."""
        ...

    def sample(
        self, qubits: tuple[int, ...], count: int, random: np.random.Generator
    ) -> NDArray[np.uint8]:
        """Measure qubits ``count`` times without collapse; return ``uint8[count, len(qubits)]``."""
        ...


class _Frame(NamedTuple):
    """Where execution stands: a body, the next index in it, and what follows after it."""

    body: tuple[Operation | tuple[Gate, ...], ...]
    position: int
    parent: _Frame | None


class _Path(NamedTuple):
    """Shots with the same history."""

    state: State
    memory: int
    shots: int
    frame: _Frame | None


def sample_branches(
    body: tuple[Operation, ...], start: State, clbits: int, shots: int, seed: int
) -> NDArray[np.uint8]:
    """Run ``shots`` shots and return their packed classical bits.

    Raises:
        QuantainerError: ``backend_failed`` if a loop does not end within ``MAX_ROUNDS`` rounds.
    """
    run = _Run(generator(seed, "branches"), _final_measurements(body) if start.samples else ())
    head = body[: len(body) - len(run.final)]
    run.waiting.append(_Path(start, 0, shots, _Frame(_grouped(head), 0, None)))
    while run.waiting:
        run.follow(run.waiting.pop())
    mask = (1 << clbits) - 1  # variables lie behind the bits
    counts: dict[int, int] = {}
    for memory, count in run.outcomes.items():
        counts[memory & mask] = counts.get(memory & mask, 0) + count
    return from_counts(counts.items(), clbits, seed)


class _Run:
    """The paths still to follow and the outcomes so far."""

    def __init__(self, random: np.random.Generator, final: tuple[Measure, ...]) -> None:
        self.random = random
        self.final = final
        self.waiting: list[_Path] = []
        self.outcomes: dict[int, int] = {}
        self.rounds = 0

    def follow(self, path: _Path) -> None:
        """Run one path to its end; its branches wait."""
        state, memory, count, frame = path
        while frame is not None:
            current, position, parent = frame
            if position == len(current):
                frame = parent
                continue
            operation = current[position]
            following = _Frame(current, position + 1, parent)
            match operation:
                case Measure() | Reset():
                    memory, count = self._part(operation, state, memory, count, following)
                case Assign():
                    memory = _assigned(memory, operation)
                case Branch():
                    taken = operation.condition.evaluate(memory)
                    chosen = operation.then if taken else operation.otherwise
                    following = _Frame(_grouped(chosen), 0, following)
                case Repeat():
                    if operation.condition.evaluate(memory):
                        self._count_round()
                        again = _Frame(current, position, parent)
                        following = _Frame(_grouped(operation.body), 0, again)
                case _:
                    state.apply(operation)  # type: ignore[arg-type]
            frame = following
        self._end(state, memory, count)

    def _part(
        self, operation: Measure | Reset, state: State, memory: int, count: int, following: _Frame
    ) -> tuple[int, int]:
        """Measure: shots that saw 1 wait with a copy if others saw 0. Return memory and count."""
        ones = self._ones(state.probability_of_one(operation.qubit), count)
        if ones in (0, count):
            return _collapsed(state, operation, ones > 0, memory), count
        other = state.copy()
        other_memory = _collapsed(other, operation, True, memory)
        self.waiting.append(_Path(other, other_memory, ones, following))
        return _collapsed(state, operation, False, memory), count - ones

    def _ones(self, probability: float, count: int) -> int:
        """Return how many of ``count`` shots measure 1."""
        if probability <= 0.0:
            return 0
        return count if probability >= 1.0 else int(self.random.binomial(count, probability))

    def _count_round(self) -> None:
        self.rounds += 1
        if self.rounds > MAX_ROUNDS:
            raise QuantainerError(
                "backend_failed",
                "A while loop of the circuit did not end.",
                limit=MAX_ROUNDS,
                hint="Make sure that the loop's condition can become false.",
            )

    def _end(self, state: State, memory: int, count: int) -> None:
        if not self.final:
            self.outcomes[memory] = self.outcomes.get(memory, 0) + count
            return
        qubits = tuple(measure.qubit for measure in self.final)
        rows, counts = np.unique(
            state.sample(qubits, count, self.random), axis=0, return_counts=True
        )
        for row, number in zip(rows, counts.tolist(), strict=True):
            seen = memory
            for measure, value in zip(self.final, row.tolist(), strict=True):
                seen = _written(seen, measure.clbit, bool(value))
            self.outcomes[seen] = self.outcomes.get(seen, 0) + number


def _collapsed(state: State, operation: Measure | Reset, value: bool, memory: int) -> int:
    """Collapse, and return the memory after it."""
    state.collapse(operation.qubit, value)
    if isinstance(operation, Measure):
        return _written(memory, operation.clbit, value)
    if value:
        state.apply((Gate("x", (operation.qubit,)),))
    return memory


def _written(memory: int, bit: int, value: bool) -> int:
    return memory | (1 << bit) if value else memory & ~(1 << bit)


def _assigned(memory: int, assign: Assign) -> int:
    value = assign.evaluate(memory)
    for place, bit in enumerate(assign.bits):
        memory = _written(memory, bit, bool((value >> place) & 1))
    return memory


def _final_measurements(body: tuple[Operation, ...]) -> tuple[Measure, ...]:
    """Return the measurements that nothing follows."""
    final: list[Measure] = []
    for operation in reversed(body):
        if not isinstance(operation, Measure):
            break
        final.append(operation)
    return tuple(reversed(final))


def _grouped(body: tuple[Operation, ...]) -> tuple[Operation | tuple[Gate, ...], ...]:
    """Join runs of gates, so that a state applies each run at once."""
    joined: list[Operation | tuple[Gate, ...]] = []
    for is_gate, run in groupby(body, lambda operation: isinstance(operation, Gate)):
        members = tuple(run)
        joined.extend([members] if is_gate else members)  # type: ignore[list-item]
    return tuple(joined)
