"""Angle: large ones without their whole turns.

A compiler adds half a turn to an angle, an engine rounds it to single precision: of an angle of
10¹⁵ neither leaves anything. Every gate is the same again after two turns (4π), so large angles
lose those as they are read. What is left is exact: sine and cosine are reduced by the exact π.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["all_reduced", "reduced", "without_turns"]

_NUMBERS = (float, int)
_LARGE = 1e4
"""Up to this the turns do no harm: what is lost of the rest is below 10⁻¹²."""


def reduced(angles: Sequence[Any]) -> Sequence[Any]:
    """Return a gate's angles; if one is a large number, all numbers between -2π and 2π."""
    for angle in angles:
        if isinstance(angle, _NUMBERS) and not -_LARGE <= angle <= _LARGE:
            break
    else:
        return angles
    return [without_turns(a) if isinstance(a, _NUMBERS) else a for a in angles]


def all_reduced(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a circuit's numbers, those that are large between -2π and 2π."""
    large = np.flatnonzero(np.abs(angles) > _LARGE)
    if not len(large):
        return angles
    found = angles.copy()
    found[large] = [without_turns(angle) for angle in angles[large].tolist()]
    return found


def without_turns(angle: float) -> float:
    """Return the angle between -2π and 2π that is the same to every gate."""
    return 2 * math.atan2(math.sin(angle / 2), math.cos(angle / 2))
