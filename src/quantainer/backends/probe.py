"""Probe: tells within seconds that a matrix product state cannot hold a circuit, or takes too long.

The bound by structure (:mod:`.simulators.entanglement`) says when nothing can be lost; above it,
only running tells, unless the circuit is nearly Clifford (:mod:`.simulators.skeleton`), which tells
of itself what must be lost. So a beginning of the circuit (:mod:`.beginning`) runs first, with
small bonds. A loss is ``-ln(fidelity)``. It falls with the bond, and as a function of the bond's
logarithm it is convex: for a flat spectrum it falls in a straight line to 0, for a decaying one
ever slower. The straight line through two small bonds is therefore a lower bound for the loss at
the full bond.

Where that says nothing and the whole run may be long, beginnings run with the full bond: what is
lost of one is lost of the whole. The first takes a few seconds; the next are larger each as long as
the bonds are full indeed, up to a part of the whole. How large the beginnings are depends on work
that is counted beforehand, not on a clock: a busy machine decides alike.

The work counted is what structure allows at most; many circuits take a thousandth of it. So the
pace of a beginning, its processor time over its counted work, tells how long the whole will take,
and what is sure to be over the node's limit is not begun.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from quantainer.backends import rates
from quantainer.backends.beginning import Beginnings
from quantainer.backends.simulators import entanglement
from quantainer.backends.simulators.chain import with_neighbours
from quantainer.backends.simulators.program import Program
from quantainer.backends.simulators.simulator import Method, Precision, Prepared
from quantainer.backends.simulators.skeleton import least_lost_log2
from quantainer_client.errors import QuantainerError

__all__ = ["Bounds", "MpsEngine", "refuse_hopeless"]

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
_LARGER = 4.0
"""Beginnings with the full bond grow by this factor, to ``_FULL_SHARE`` of the whole at most."""
_FULL_PACE = 0.2
"""Processor time over counted work from which on bonds are taken for full."""
_BEYOND_DOUBT = 5.0
"""What a nearly Clifford circuit must lose, as ``-log2(fidelity)``, for its refusal: engines may
find a better order of the qubits than ours."""
_LEAST_COUNTED = 1.0
"""Seconds of counted work below which a beginning says little about the pace."""
_SURELY_LATE = 2.0
"""Expected times over the limit: the counted work may still come down in what follows."""


class MpsEngine(Protocol):
    """An engine whose matrix product states can be given a smaller bond."""

    name: str

    def prepare(
        self, program: Program, method: Method, precision: Precision, bond: int | None = None
    ) -> Prepared:
        """Convert a program; ``bond`` is the largest Schmidt rank kept."""
        ...


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a run may lose and take.

    Attributes:
        truncation_max: The loss that the submitter allows.
        seconds_max: The longest run that the node allows; ``None``: any.
        chosen: The submitter chose the method: another one might do.
    """

    truncation_max: float
    seconds_max: float | None = None
    chosen: bool = False


def refuse_hopeless(
    engine: MpsEngine, program: Program, precision: Precision, bounds: Bounds, threads: int
) -> None:
    """Return if the program may fit; take seconds at most, and a third of the whole run.

    Args:
        program: Measured at its end, without free parameters, its qubits in the order of the chain.

    Raises:
        QuantainerError: ``truncation`` if the full run would lose more than half of the weight, or
            more than is allowed already in its beginning, or may take minutes with next to no hope;
            ``timeout`` if it would take longer than the node allows.
    """
    seconds = rates.mps_seconds(program, engine.name, entanglement.BOND, math.inf)
    if seconds < _SHORT_SECONDS:
        return  # the run itself tells
    attempt = _Attempt(engine, precision, threads)
    beginnings = Beginnings(program)
    lossy = 1 << entanglement.bond_log2(program) > entanglement.BOND
    if lossy and max(bounds.truncation_max, _HOPELESS) < 1:
        _refuse_coarse(attempt, program, beginnings, bounds, seconds)
    may_be_late = bounds.seconds_max is not None and seconds > _SURELY_LATE * bounds.seconds_max
    if not (lossy or may_be_late):
        return
    for trial in _full_trials(attempt, beginnings, seconds, exact_too=may_be_late):
        lost = _lost(trial.loss)
        if lost > bounds.truncation_max:
            why = f"its beginning alone loses {_percent(lost)}"
            raise _refusal(program, why, bounds, lost)
        expected = trial.pace * seconds
        if bounds.seconds_max is not None and expected > _SURELY_LATE * bounds.seconds_max:
            raise _late(program, bounds.seconds_max, expected)
        if not lossy:  # and in time
            return


def _refuse_coarse(
    attempt: _Attempt,
    program: Program,
    beginnings: Beginnings,
    bounds: Bounds,
    seconds: float,
) -> None:
    """Refuse what small bonds, or none at all, show to be hopeless."""
    allowed = max(bounds.truncation_max, _HOPELESS)
    proven = least_lost_log2(program, entanglement.BOND)
    if proven > _BEYOND_DOUBT and -math.expm1(-proven * math.log(2)) > allowed:
        raise _refusal(
            program,
            f"its Clifford gates alone entangle it so much that less than 2^-{int(proven)} of its "
            f"weight can be kept",
            bounds,
            1.0 - 2.0**-proven,
        )
    least, coarsest = _least_loss(attempt, beginnings)
    lost = _lost(least)
    if lost > allowed:
        raise _refusal(program, f"its beginning alone loses {_percent(lost)}", bounds, lost)
    if coarsest > _GIVEN_UP and seconds > _LONG_SECONDS:
        raise _refusal(
            program,
            f"a bond of {_GIVEN_UP_BOND} keeps less than a millionth of its beginning's weight, "
            f"and to try the full one takes minutes or hours",
            bounds,
            _lost(coarsest),
        )


def _refusal(program: Program, why: str, bounds: Bounds, lost: float) -> QuantainerError:
    other, hint = f"; and a state vector of its {program.qubits} qubits does not fit here", "Make"
    if bounds.chosen:
        other = ""
        hint = (
            f"Leave the method open, for a state vector if one of {program.qubits} qubits fits "
            "here; or make"
        )
    return QuantainerError(
        "truncation",
        f"The circuit is too entangled for a matrix product state of bond {entanglement.BOND}: "
        f"{why}{other}.",
        limit=bounds.truncation_max,
        needed=lost,
        hint=f"{hint} the circuit narrower, shallower or less entangled (few qubits fit as a state "
        "vector, gates between neighbours entangle less), or allow more loss with truncation_max "
        "(command line: --truncation-max).",
    )


def _late(program: Program, seconds_max: float, expected: float) -> QuantainerError:
    return QuantainerError(
        "timeout",
        f"As a matrix product state the circuit of {program.qubits} qubits would run for about "
        f"{expected:.0f} seconds, by what its beginning took: more than this node allows.",
        limit=seconds_max,
        needed=round(expected),
        hint="Make the circuit shallower or less entangled, or raise the setting job_timeout.",
    )


def _percent(lost: float) -> str:
    if lost > 0.995:
        return "nearly all of the weight"
    return f"{100 * lost:.2g} % of the weight or more"


@dataclass(frozen=True, slots=True)
class _Trial:
    """A beginning that was run with the full bond.

    Attributes:
        loss: ``-ln(fidelity)``.
        pace: Processor time over counted work, 1 at most.
    """

    loss: float
    pace: float


class _Attempt:
    """Runs beginnings on one engine."""

    def __init__(self, engine: MpsEngine, precision: Precision, threads: int) -> None:
        self._engine = engine
        self._precision = precision
        self._threads = threads

    def seconds(self, program: Program, bond: int, most: float) -> float:
        """Return what it takes by the work it is; infinite if more than ``most``."""
        return rates.mps_seconds(program, self._engine.name, bond, most)

    def largest(self, beginnings: Beginnings, bond: int, most: float) -> Program | None:
        """Return the largest beginning of work for ``most`` seconds, or ``None``."""
        return beginnings.largest(lambda one: self.seconds(one, bond, most) <= most)

    def trial(self, beginning: Program, bond: int) -> _Trial:
        """Run a beginning and time it."""
        counted = self.seconds(beginning, bond, math.inf)
        began = time.process_time()
        loss = self.loss(beginning, bond)
        pace = (time.process_time() - began) / max(counted, _LEAST_COUNTED)
        return _Trial(loss, min(1.0, pace))

    def loss(self, program: Program, bond: int) -> float:
        """Return ``-ln(fidelity)`` of the run with a bond."""
        written = with_neighbours(program)
        prepared = self._engine.prepare(written, "mps", self._precision, bond)
        return prepared.sample(1, 0, self._threads).loss or 0.0


def _least_loss(attempt: _Attempt, beginnings: Beginnings) -> tuple[float, float]:
    """Return a lower bound for the loss of the full run, and the loss with ``_GIVEN_UP_BOND``.

    Either is 0 if it takes too much work to be found.
    """
    beginning = attempt.largest(beginnings, _BONDS[0], _FIRST_SECONDS)
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


def _full_trials(
    attempt: _Attempt, beginnings: Beginnings, seconds: float, *, exact_too: bool
) -> Iterator[_Trial]:
    """Yield what the full bond makes of ever larger beginnings.

    Args:
        seconds: What the whole takes by the work counted.
        exact_too: Run those as well that lose nothing, for their pace.
    """
    bond, share = entanglement.BOND, _FULL_SHARE * seconds
    most, pace = min(_FULL_SECONDS, share), 1.0
    while pace >= _FULL_PACE:
        beginning = attempt.largest(beginnings, bond, most)
        if beginning is None:
            return
        if exact_too or 1 << entanglement.bond_log2(beginning) > bond:
            trial = attempt.trial(beginning, bond)
            pace = trial.pace
            yield trial
        if most >= share:
            return
        most = min(_LARGER * most, share)


def _lost(loss: float) -> float:
    return -math.expm1(-max(0.0, loss))
