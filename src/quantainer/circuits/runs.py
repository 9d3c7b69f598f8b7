"""Runs: one-qubit gates that follow one another, as rotations about Z with SX between them.

Every one-qubit gate is ``Z(a) · SX · Z(b) · SX · Z(c)`` up to a global phase, whatever its angles
are, so a run can be written down, joined and shortened before its angles are known.
"""

from __future__ import annotations

import cmath
import math

__all__ = ["NOTHING", "SX", "Affine", "Run", "X", "added", "eulered", "joined", "tidied", "written"]

Affine = tuple[float, tuple[tuple[int, float], ...]]
"""``(constant, ((source slot, weight), …))``: an angle."""
Run = list[Affine]
"""Rotations about Z in the order of time, with one SX between each and the next."""

NOTHING: Affine = (0.0, ())
SX: Run = [NOTHING] * 2
X: Run = [NOTHING] * 3

_TURN = 2 * math.pi
_QUARTER = math.pi / 2
_SAME = 1e-11
_HALF = math.sqrt(0.5)


def added(left: Affine, right: Affine) -> Affine:
    """Return the sum of two angles."""
    if not right[1]:
        return left[0] + right[0], left[1]
    if not left[1]:
        return left[0] + right[0], right[1]
    terms = dict(left[1])
    for slot, weight in right[1]:
        terms[slot] = terms.get(slot, 0.0) + weight
    return left[0] + right[0], tuple(terms.items())


def joined(first: Run, then: Run) -> Run:
    """Return one run after the other."""
    return [*first[:-1], added(first[-1], then[0]), *then[1:]]


def tidied(run: Run) -> Run:
    """Return a run with as few SX as its fixed angles allow."""
    if len(run) < 3:
        return run
    out = run[:1]
    for angle in run[1:]:
        out.append(angle)
        while len(out) > 2 and not out[-2][1] and _shorten(out):
            pass
    return out


def _shorten(out: Run) -> bool:
    """Take away an SX at the end of a run, the last but one angle of which is fixed.

    Tell whether there was one too many.
    """
    before, (middle, _), after = out[-3:]
    middle = math.remainder(middle, _TURN)
    if math.pi - abs(middle) < _SAME:  # SX Z SX = Z
        out[-3:] = [added((before[0] + math.pi, before[1]), after)]
        return True
    if abs(abs(middle) - _QUARTER) < _SAME:  # SX S SX = S SX S
        quarter = math.copysign(_QUARTER, middle)
        out[-3:] = [(before[0] + quarter, before[1]), (after[0] + quarter, after[1])]
        return True
    if len(out) < 4 or out[-3][1]:
        return False
    first, second, third = _euler(out[-3][0], middle)
    before = out[-4]
    out[-4:] = [(before[0] + first, before[1]), (second, ()), (after[0] + third, after[1])]
    return True


def _euler(a: float, b: float) -> tuple[float, float, float]:
    """Return the angles with two SX for ``SX · Z(a) · SX · Z(b) · SX``, in the order of time."""
    x, y = cmath.exp(1j * a), cmath.exp(1j * b)
    # SX = ((1, -i), (-i, 1)) / √2 up to a phase, Z(t) = diag(1, e^{it}).
    first = ((1 - x) / 2, -1j * (1 + x) / 2, -1j * (1 + x) / 2, (x - 1) / 2)
    lower = (y * first[2], y * first[3])
    u00, u01 = (first[0] - 1j * lower[0]) * _HALF, (first[1] - 1j * lower[1]) * _HALF
    u10, u11 = (-1j * first[0] + lower[0]) * _HALF, (-1j * first[1] + lower[1]) * _HALF
    theta = 2 * math.atan2(abs(u10), abs(u00))
    total = cmath.phase(u11 / u00) if abs(u00) > _SAME else 0.0
    apart = cmath.phase(-u10 / u01) if abs(u10) > _SAME else 0.0
    if abs(u00) <= _SAME or abs(u10) <= _SAME:
        phi, lam = (total + apart) / 2, (total - apart) / 2
    else:
        phi, lam = cmath.phase(u10 / u00), cmath.phase(-u01 / u00)
    return lam, theta + math.pi, phi + math.pi


def written(run: Run, *, tidy: bool) -> list[Affine | str]:
    """Return a run's gates: rotations about Z, ``"sx"`` and ``"x"``.

    Args:
        run: The run.
        tidy: Leave out rotations by nothing, and take an X for two SX with nothing between them.
    """
    gates: list[Affine | str] = []
    for angle in run:
        if angle[1] or not tidy or abs(math.remainder(angle[0], _TURN)) > _SAME:
            gates.append(angle)
        elif gates and gates[-1] == "sx" and angle is not run[-1]:
            gates[-1] = "x"
            continue
        gates.append("sx")
    gates.pop()
    return gates


def eulered(run: Run) -> list[tuple[Affine, ...]]:
    """Return a run's gates by their angles: one for u1, two for u2, three for u3.

    Rotations by nothing are left out.
    """
    gates: list[tuple[Affine, ...]] = []
    first, *rest = run
    while len(rest) > 2:
        gates.append((_plus(rest[0], -math.pi), (-math.pi, ()), first))
        first, *rest = rest[1:]
    if len(rest) == 2:
        gates.append((_plus(rest[0], -math.pi), _plus(rest[1], -math.pi), first))
    elif rest:
        gates.append((_plus(rest[0], -_QUARTER), _plus(first, _QUARTER)))
    elif first[1] or abs(math.remainder(first[0], _TURN)) > _SAME:
        gates.append((first,))
    return gates


def _plus(angle: Affine, turn: float) -> Affine:
    return math.remainder(angle[0] + turn, _TURN), angle[1]
