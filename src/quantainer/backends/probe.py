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
from quantainer.backends.simulators.program import Gate, Program, Readout
from quantainer.backends.simulators.simulator import Method, Precision, Prepared
from quantainer_client.errors import QuantainerError

__all__ = ["MpsEngine", "refuse_hopeless"]

_BONDS = (8, 16, 32, 64)  # each the double of the one before
_HOPELESS = 0.5
"""Weight lost for certain above which a run is not begun: far above any bound that makes sense."""
_GATES = 8192
_WIDTH_MIN = 60
_GIVEN_UP = -math.log(1e-6)
"""Loss with a bond of 32 above which no run of minutes is begun to see whether 256 suffice."""
_LONG_SECONDS = 60.0
_CPU_SECONDS = 1.5
"""After which no larger bond is tried; of processor time, so that a busy machine decides alike."""


class MpsEngine(Protocol):
    """An engine whose matrix product states can be given a smaller bond."""

    def prepare(
        self, program: Program, method: Method, precision: Precision, bond: int | None = None
    ) -> Prepared:
        """Convert a program; ``bond`` is the largest Schmidt rank kept."""
        ...


def refuse_hopeless(
    engine: MpsEngine,
    program: Program,
    precision: Precision,
    truncation_max: float,
    threads: int,
    seconds: float,
) -> None:
    """Return if the program may fit; take about a second at most.

    Args:
        program: Measured at its end, without free parameters.
        truncation_max: The loss that the submitter allows.
        seconds: What the full run may take.

    Raises:
        QuantainerError: ``truncation`` if the full run would lose more than half of the weight, or
            may take minutes and has next to no hope.
    """
    allowed = max(truncation_max, _HOPELESS)
    if allowed >= 1 or 1 << entanglement.bond_log2(program) <= entanglement.BOND:
        return
    least, coarsest = _least_loss(engine, program, precision, threads)
    lost = _lost(least)
    if lost > allowed:
        raise _refusal(
            program,
            f"its beginning alone loses {100 * lost:.2g} % of the weight or more",
            truncation_max,
            lost,
        )
    if coarsest > _GIVEN_UP and seconds > _LONG_SECONDS:
        raise _refusal(
            program,
            f"a bond of {_BONDS[-2]} keeps less than a millionth of its beginning's weight, and "
            f"to try the full one takes minutes or hours",
            truncation_max,
            _lost(coarsest),
        )


def _refusal(program: Program, why: str, truncation_max: float, lost: float) -> QuantainerError:
    return QuantainerError(
        "truncation",
        f"The circuit is too entangled for a matrix product state of bond {entanglement.BOND}: "
        f"{why}; and a state vector of its {program.qubits} qubits does not fit here.",
        limit=truncation_max,
        needed=lost,
        hint="Make the circuit narrower, shallower or less entangled: few qubits fit as a "
        "state vector, gates between neighbours entangle less.",
    )


def _least_loss(
    engine: MpsEngine, program: Program, precision: Precision, threads: int
) -> tuple[float, float]:
    """Return a lower bound for the loss of the full run, and the loss with the second largest bond.

    Either is 0 if it was not found in time.
    """
    beginning = _beginning(program)
    until = time.process_time() + _CPU_SECONDS
    losses = [_loss(engine, beginning, _BONDS[0], precision, threads)]
    for bond in _BONDS[1:]:
        if _lost(losses[-1]) <= _HOPELESS or time.process_time() > until:
            break
        losses.append(_loss(engine, beginning, bond, precision, threads))
        doublings = math.log2(entanglement.BOND / bond)
        least = max(0.0, losses[-1] - doublings * (losses[-2] - losses[-1]))
        if _lost(least) > _HOPELESS:
            return least, 0.0
    return 0.0, losses[len(_BONDS) - 2] if len(losses) >= len(_BONDS) - 1 else 0.0


def _lost(loss: float) -> float:
    return -math.expm1(-loss)


def _beginning(program: Program) -> Program:
    """Return gates that could be the first ones, with one measurement behind them.

    Of a wide and long circuit they are those in the middle of the line that depend on no gate
    outside: few layers of all qubits would show nothing.
    """
    n, gates = program.qubits, program.gates
    layers = 2 * sum(len(gate.qubits) > 1 for gate in gates) // max(1, n)
    # Each layer depends on one more qubit on either side: what is chosen narrows upwards.
    width = min(n, max(_WIDTH_MIN, n * _GATES // max(1, len(gates)) + layers))
    low = (n - width) // 2
    outside = set(range(low)) | set(range(low + width, n))
    chosen: list[Gate] = []
    for gate in gates:
        if not outside.isdisjoint(gate.qubits):
            outside.update(gate.qubits)  # what comes later on these depends on it
            continue
        chosen.append(gate._replace(qubits=tuple(qubit - low for qubit in gate.qubits)))
        if len(chosen) == _GATES:
            break
    return replace(
        program,
        qubits=width,
        origin=program.origin[low : low + width],
        clbits=1,
        body=tuple(chosen),
        readout=Readout.of(1, {0: 0}),
        written=frozenset({0}),
    )


def _loss(
    engine: MpsEngine, program: Program, bond: int, precision: Precision, threads: int
) -> float:
    return engine.prepare(program, "mps", precision, bond).sample(1, 0, threads).loss or 0.0
