"""Branching: feed-forward executed exactly, by splitting shots where a measurement is random.

All shots start together; a measurement with two possible outcomes parts them (binomially) and
copies the state. So the work grows with the outcomes that differ, not with the shots, and
conditions are evaluated on Python integers: any width, any expression, any loop.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

from quantainer.backends.simulators.program import Branch, Gate, Measure, Operation, Repeat, Reset
from quantainer.backends.simulators.shots import from_counts, generator
from quantainer_client.errors import QuantainerError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["MAX_ROUNDS", "State", "sample_branches"]

MAX_ROUNDS = 1_000_000


class State(Protocol):
    """A quantum state that can be measured and copied."""

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


class _Frame(NamedTuple):
    """Where execution stands: a body, the next index in it, and what follows after it."""

    body: tuple[Operation | tuple[Gate, ...], ...]
    position: int
    parent: _Frame | None


class _Path(NamedTuple):
    state: State
    memory: int
    shots: int
    frame: _Frame | None


def sample_branches(
    body: Iterable[Operation], start: State, clbits: int, shots: int, seed: int
) -> NDArray[np.uint8]:
    """Run ``shots`` shots and return their packed classical bits.

    Raises:
        QuantainerError: ``backend_failed`` if a loop does not end within ``MAX_ROUNDS`` rounds.
    """
    random = generator(seed, "branches")
    outcomes: dict[int, int] = {}
    waiting = [_Path(start, 0, shots, _Frame(_grouped(body), 0, None))]
    rounds = 0
    while waiting:
        state, memory, count, frame = waiting.pop()
        while frame is not None:
            current, index, parent = frame
            if index == len(current):
                frame = parent
                continue
            operation = current[index]
            following = _Frame(current, index + 1, parent)
            if isinstance(operation, Measure | Reset):
                ones = _ones(state, operation.qubit, count, random)
                if 0 < ones < count:
                    other = state.copy()
                    other_memory = _collapsed(other, operation, True, memory)
                    waiting.append(_Path(other, other_memory, ones, following))
                    count -= ones
                    memory = _collapsed(state, operation, False, memory)
                else:
                    memory = _collapsed(state, operation, ones > 0, memory)
                frame = following
            elif isinstance(operation, Branch):
                taken = operation.condition.evaluate(memory)
                chosen = operation.then if taken else operation.otherwise
                frame = _Frame(_grouped(chosen), 0, following)
            elif isinstance(operation, Repeat):
                rounds += 1
                if rounds > MAX_ROUNDS:
                    raise _endless()
                frame = following
                if operation.condition.evaluate(memory):
                    frame = _Frame(_grouped(operation.body), 0, _Frame(current, index, parent))
            else:
                state.apply(operation)  # type: ignore[arg-type]
                frame = following
        outcomes[memory] = outcomes.get(memory, 0) + count
    return from_counts(outcomes.items(), clbits, seed)


def _ones(state: State, qubit: int, count: int, random: np.random.Generator) -> int:
    """Return how many of ``count`` shots measure 1."""
    probability = state.probability_of_one(qubit)
    if probability <= 0.0:
        return 0
    if probability >= 1.0:
        return count
    return int(random.binomial(count, probability))


def _collapsed(state: State, operation: Measure | Reset, value: bool, memory: int) -> int:
    """Collapse, and return the memory after it."""
    state.collapse(operation.qubit, value)
    if isinstance(operation, Reset):
        if value:
            state.apply((Gate("x", (operation.qubit,)),))
        return memory
    bit = 1 << operation.clbit
    return memory | bit if value else memory & ~bit


def _grouped(body: Iterable[Operation]) -> tuple[Operation | tuple[Gate, ...], ...]:
    """Join runs of gates, so that a state applies each run at once."""
    joined: list[Operation | tuple[Gate, ...]] = []
    run: list[Gate] = []
    for operation in body:
        if isinstance(operation, Gate):
            run.append(operation)
            continue
        if run:
            joined.append(tuple(run))
            run = []
        joined.append(operation)
    if run:
        joined.append(tuple(run))
    return tuple(joined)


def _endless() -> QuantainerError:
    return QuantainerError(
        "backend_failed",
        "A while loop of the circuit did not end.",
        limit=MAX_ROUNDS,
        hint="Make sure that the loop's condition can become false.",
    )
