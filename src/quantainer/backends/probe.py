"""Probe: tells within seconds that a matrix product state cannot hold a circuit.

The bound by structure (:mod:`.simulators.entanglement`) says when nothing can be lost; above it,
only running tells. So the beginning of the circuit runs with small bonds first. A loss is
``-ln(fidelity)``. It falls with the bond, and as a function of the bond's logarithm it is convex:
for a flat spectrum it falls in a straight line to 0, for a decaying one ever slower. The straight
line through two small bonds is therefore a lower bound for the loss at the full bond.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Protocol

from quantainer.backends.simulators import entanglement
from quantainer.backends.simulators.program import Program, Readout
from quantainer.backends.simulators.simulator import Method, Precision, Prepared
from quantainer_client.errors import QuantainerError

__all__ = ["MpsEngine", "refuse_hopeless"]

_BONDS = (8, 16, 32, 64)  # each the double of the one before
_HOPELESS = 0.5
"""Weight lost for certain above which a run is not begun: far above any bound that makes sense."""
_GATES = 8192
_CPU_SECONDS = 0.5
"""After which no larger bond is tried; of processor time, so that a busy machine decides alike."""


class MpsEngine(Protocol):
    """An engine whose matrix product states can be given a smaller bond."""

    def prepare(
        self, program: Program, method: Method, precision: Precision, bond: int | None = None
    ) -> Prepared:
        """Convert a program; ``bond`` is the largest Schmidt rank kept."""
        ...


def refuse_hopeless(
    engine: MpsEngine, program: Program, precision: Precision, truncation_max: float, threads: int
) -> None:
    """Return if the program may fit; take about a second at most.

    Args:
        program: Measured at its end, without free parameters.
        truncation_max: The loss that the submitter allows.

    Raises:
        QuantainerError: ``truncation`` if the full run would lose more than half of the weight.
    """
    allowed = max(truncation_max, _HOPELESS)
    if allowed >= 1 or 1 << entanglement.bond_log2(program) <= entanglement.BOND:
        return
    least = _least_loss(engine, program, precision, threads)
    lost = _lost(least)
    if lost > allowed:
        raise QuantainerError(
            "truncation",
            f"The circuit is too entangled for a matrix product state of bond "
            f"{entanglement.BOND}: its beginning alone loses {100 * lost:.2g} % of the weight or "
            f"more, and a state vector of its {program.qubits} qubits does not fit here.",
            limit=truncation_max,
            needed=lost,
            hint="Make the circuit narrower, shallower or less entangled: few qubits fit as a "
            "state vector, gates between neighbours entangle less.",
        )


def _least_loss(engine: MpsEngine, program: Program, precision: Precision, threads: int) -> float:
    """Return a lower bound for the loss of the full run; 0 if none was found in time."""
    beginning = _beginning(program)
    until = time.process_time() + _CPU_SECONDS
    coarse = _loss(engine, beginning, _BONDS[0], precision, threads)
    for bond in _BONDS[1:]:
        if _lost(coarse) <= _HOPELESS or time.process_time() > until:
            break
        fine = _loss(engine, beginning, bond, precision, threads)
        doublings = math.log2(entanglement.BOND / bond)
        least = max(0.0, fine - doublings * (coarse - fine))
        if _lost(least) > _HOPELESS:
            return least
        coarse = fine
    return 0.0


def _lost(loss: float) -> float:
    return -math.expm1(-loss)


def _beginning(program: Program) -> Program:
    """Return the first gates with one measurement behind them."""
    return replace(
        program,
        clbits=1,
        body=program.gates[:_GATES],
        readout=Readout.of(1, {0: 0}),
        written=frozenset({0}),
    )


def _loss(
    engine: MpsEngine, program: Program, bond: int, precision: Precision, threads: int
) -> float:
    return engine.prepare(program, "mps", precision, bond).sample(1, 0, threads).loss or 0.0
