"""Probe: tells within seconds that a matrix product state cannot hold a circuit.

The bound by structure (:mod:`.simulators.entanglement`) says when nothing can be lost; above it,
only running tells. So a beginning of the circuit (:mod:`.beginning`) runs first, with small bonds.
A loss is ``-ln(fidelity)``. It falls with the bond, and as a function of the bond's logarithm it is
convex: for a flat spectrum it falls in a straight line to 0, for a decaying one ever slower. The
straight line through two small bonds is therefore a lower bound for the loss at the full bond.

Where that says nothing and the whole run may be long, a beginning runs with the full bond, for a
part of the time at most: what is lost of it is lost of the whole. How large the beginnings are
depends on work that is counted beforehand, not on a clock: a busy machine decides alike.
"""

from __future__ import annotations

import math
from typing import Protocol

from quantainer.backends import rates
from quantainer.backends.beginning import Beginnings
from quantainer.backends.simulators import entanglement
from quantainer.backends.simulators.chain import with_neighbours
from quantainer.backends.simulators.program import Program
from quantainer.backends.simulators.simulator import Method, Precision, Prepared
from quantainer_client.errors import QuantainerError

__all__ = ["MpsEngine", "refuse_hopeless"]

_BONDS = (4, 8, 16, 32, 64)  # each the double of the one before
_HOPELESS = 0.5
"""Weight lost by the straight line above which a run is not begun: far above sensible bounds."""
_GIVEN_UP = -math.log(1e-6)
_GIVEN_UP_BOND = 32
"""With this bond a larger loss ends a job whose run is long: 256 are next to no hope then."""
_SHORT_SECONDS = 2.0
_LONG_SECONDS = 60.0
_FIRST_SECONDS = 1.0
"""The beginning is as large as the smallest bond runs in that time."""
_NEXT_SECONDS = 2.5
"""No larger bond is tried that takes longer."""
_FULL_SECONDS = 10.0
_FULL_SHARE = 0.25


class MpsEngine(Protocol):
    """An engine whose matrix product states can be given a smaller bond."""

    name: str

    def prepare(
        self, program: Program, method: Method, precision: Precision, bond: int | None = None
    ) -> Prepared:
        """Convert a program; ``bond`` is the largest Schmidt rank kept."""
        ...


def refuse_hopeless(
    engine: MpsEngine, program: Program, precision: Precision, truncation_max: float, threads: int
) -> None:
    """Return if the program may fit; take seconds at most, and a third of the whole run.

    Args:
        program: Measured at its end, without free parameters.
        truncation_max: The loss that the submitter allows.

    Raises:
        QuantainerError: ``truncation`` if the full run would lose more than half of the weight, or
            more than is allowed already in its beginning, or may take minutes with next to no hope.
    """
    allowed = max(truncation_max, _HOPELESS)
    if allowed >= 1 or 1 << entanglement.bond_log2(program) <= entanglement.BOND:
        return
    seconds = rates.mps_seconds(program, engine.name, entanglement.BOND, _LONG_SECONDS)
    if seconds < _SHORT_SECONDS:
        return  # the run itself tells
    attempt = _Attempt(engine, precision, threads)
    beginnings = Beginnings(program)
    least, coarsest = _least_loss(attempt, beginnings)
    lost = _lost(least)
    if lost > allowed:
        raise _refusal(program, f"its beginning alone loses {_percent(lost)}", truncation_max, lost)
    if coarsest > _GIVEN_UP and seconds > _LONG_SECONDS:
        raise _refusal(
            program,
            f"a bond of {_GIVEN_UP_BOND} keeps less than a millionth of its beginning's weight, "
            f"and to try the full one takes minutes or hours",
            truncation_max,
            _lost(coarsest),
        )
    lost = _lost(_full_loss(attempt, beginnings, min(_FULL_SECONDS, _FULL_SHARE * seconds)))
    if lost > truncation_max:
        raise _refusal(program, f"its beginning alone loses {_percent(lost)}", truncation_max, lost)


def _refusal(program: Program, why: str, truncation_max: float, lost: float) -> QuantainerError:
    return QuantainerError(
        "truncation",
        f"The circuit is too entangled for a matrix product state of bond {entanglement.BOND}: "
        f"{why}; and a state vector of its {program.qubits} qubits does not fit here.",
        limit=truncation_max,
        needed=lost,
        hint="Make the circuit narrower, shallower or less entangled (few qubits fit as a state "
        "vector, gates between neighbours entangle less), or allow more loss with truncation_max "
        "(command line: --truncation-max).",
    )


def _percent(lost: float) -> str:
    if lost > 0.995:
        return "nearly all of the weight"
    return f"{100 * lost:.2g} % of the weight or more"


class _Attempt:
    """Runs beginnings on one engine."""

    def __init__(self, engine: MpsEngine, precision: Precision, threads: int) -> None:
        self._engine = engine
        self._precision = precision
        self._threads = threads

    def seconds(self, program: Program, bond: int, most: float) -> float:
        """Return what it takes by the work it is; infinite if more than ``most``."""
        return rates.mps_seconds(program, self._engine.name, bond, most)

    def loss(self, program: Program, bond: int) -> float:
        """Return ``-ln(fidelity)`` of the run with a bond."""
        written = with_neighbours(program)
        prepared = self._engine.prepare(written, "mps", self._precision, bond)
        return prepared.sample(1, 0, self._threads).loss or 0.0


def _least_loss(attempt: _Attempt, beginnings: Beginnings) -> tuple[float, float]:
    """Return a lower bound for the loss of the full run, and the loss with ``_GIVEN_UP_BOND``.

    Either is 0 if it takes too much work to be found.
    """
    beginning = beginnings.largest(
        lambda one: attempt.seconds(one, _BONDS[0], _FIRST_SECONDS) <= _FIRST_SECONDS
    )
    if beginning is None:
        return 0.0, 0.0
    coarsest, before = 0.0, math.inf
    for bond in _BONDS:
        if attempt.seconds(beginning, bond, _NEXT_SECONDS) > _NEXT_SECONDS:
            break
        loss = attempt.loss(beginning, bond)
        if _lost(loss) <= _HOPELESS:
            break
        doublings = math.log2(entanglement.BOND / bond)
        least = loss - doublings * max(0.0, before - loss)
        if _lost(least) > _HOPELESS:
            return least, 0.0
        coarsest, before = (loss if bond == _GIVEN_UP_BOND else coarsest), loss
    return 0.0, coarsest


def _full_loss(attempt: _Attempt, beginnings: Beginnings, most: float) -> float:
    """Return what the full bond loses of a beginning that it runs within ``most`` seconds."""
    bond = entanglement.BOND
    beginning = beginnings.largest(lambda one: attempt.seconds(one, bond, most) <= most)
    if beginning is None or 1 << entanglement.bond_log2(beginning) <= bond:
        return 0.0
    return attempt.loss(beginning, bond)


def _lost(loss: float) -> float:
    return -math.expm1(-max(0.0, loss))
