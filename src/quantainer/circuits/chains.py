"""Chains: one-qubit gates that follow one another on a qubit, some of whose angles are free.

Circuits are made of few different chains, each on many qubits and with many angles. So a chain says
apart what its gates are (*links*, shared by all circuits) and where in the source its free angles
lie (*slots*); what its links become is worked out once, in numbers of its own slots.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from quantainer.circuits.runs import NOTHING, Affine, Run, added, eulered, tidied, written

__all__ = [
    "EULER",
    "TURNS",
    "Alphabet",
    "Chain",
    "Link",
    "Pattern",
    "Weights",
    "gathered",
    "pattern_of",
    "weights_of",
]


@dataclass(frozen=True, slots=True, eq=False)
class Alphabet:
    """What chains are written as.

    Attributes:
        names: Gates on one qubit.
        params: How many angles each has.
    """

    names: tuple[str, ...]
    params: tuple[int, ...]


TURNS = Alphabet(("rz", "sx", "x"), (1, 0, 0))
EULER = Alphabet(("u1", "u2", "u3"), (1, 2, 3))
_LONG = 64
"""Links of a chain that is so long that another like it is unlikely."""

Weights = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]
"""Compiled slot, source slot and weight of each term."""
Terms = tuple[tuple[int, int, float], ...]
"""Angle, slot and weight of each term, counted within a chain."""


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """A gate of a chain. It is its identity that counts: equal gates share one.

    Attributes:
        name: The gate.
        values: Its angles, where all of them are numbers.
        run: The gate as rotations and SX, its free angles numbered from 0.
        free: How many slots it takes.
    """

    name: str
    values: tuple[float, ...]
    run: Run
    free: int


Chain = tuple[tuple[Link, ...], tuple[int, ...]]
"""Links, and the slots of their free angles."""


@dataclass(frozen=True, slots=True, eq=False)
class Pattern:
    """What the links of a chain are written as.

    Attributes:
        gates: Places in the alphabet, in the order of time.
        constants: Constant of each angle.
        first: First term of each angle that has one.
        more: All further terms.
    """

    gates: tuple[int, ...]
    constants: tuple[float, ...]
    first: Terms
    more: Terms


def pattern_of(links: tuple[Link, ...], *, tidy: bool, alphabet: Alphabet = TURNS) -> Pattern:
    """Return what links become.

    Args:
        links: Of a chain.
        tidy: Take away each SX that the angles which are known allow.
        alphabet: What they are written as; Euler's angles are always tidy.
    """
    make: Callable[..., Pattern] = _pattern if len(links) > _LONG else _known
    return make(links, tidy, alphabet)


def _pattern(links: tuple[Link, ...], tidy: bool, alphabet: Alphabet) -> Pattern:
    run, slots = [NOTHING], 0
    for link in links:
        turns = [_moved(turn, slots) for turn in link.run]
        run[-1] = added(run[-1], turns[0])
        run += turns[1:]
        slots += link.free
    gates, angles = _spelt(tidied(run) if tidy else run, tidy, alphabet)
    first = [(turn, *terms[0]) for turn, (_, terms) in enumerate(angles) if terms]
    more = [(turn, *term) for turn, (_, terms) in enumerate(angles) for term in terms[1:]]
    return Pattern(
        gates=gates,
        constants=tuple(constant for constant, _ in angles),
        first=tuple(first),
        more=tuple(more),
    )


def _spelt(run: Run, tidy: bool, alphabet: Alphabet) -> tuple[tuple[int, ...], list[Affine]]:
    if alphabet is EULER:
        turns = eulered(run)
        return tuple([len(angles) - 1 for angles in turns]), list(chain.from_iterable(turns))
    gates = written(run, tidy=tidy)
    places = [alphabet.names.index(gate) if isinstance(gate, str) else 0 for gate in gates]
    return tuple(places), [gate for gate in gates if not isinstance(gate, str)]


_known = lru_cache(maxsize=4096)(_pattern)


def _moved(turn: Affine, by: int) -> Affine:
    return turn[0], tuple([(slot + by, weight) for slot, weight in turn[1]])


def gathered(
    patterns: list[Pattern], slots: list[tuple[int, ...]]
) -> tuple[list[float], Weights, Weights]:
    """Return the constants and terms of all angles of chains that are written one after another.

    Args:
        patterns: What each chain is written as.
        slots: Where the free angles of each lie.
    """
    constants = list(chain.from_iterable([pattern.constants for pattern in patterns]))
    turns = np.cumsum([0, *[len(pattern.constants) for pattern in patterns]])[:-1]
    starts = np.cumsum([0, *[len(some) for some in slots]])[:-1]
    sources = np.array(list(chain.from_iterable(slots)), dtype=np.intp)

    def all_of(terms: list[Terms]) -> Weights:
        sizes = [len(rows) for rows in terms]
        rows, places, weights = weights_of(list(chain.from_iterable(terms)))
        return rows + np.repeat(turns, sizes), sources[places + np.repeat(starts, sizes)], weights

    return (
        constants,
        all_of([pattern.first for pattern in patterns]),
        all_of([pattern.more for pattern in patterns]),
    )


def weights_of(terms: Sequence[tuple[int, int, float]]) -> Weights:
    """Return terms as arrays."""
    places, sources, weights = zip(*terms, strict=True) if terms else ((), (), ())
    return (
        np.array(places, dtype=np.intp),
        np.array(sources, dtype=np.intp),
        np.array(weights, dtype=np.float64),
    )
