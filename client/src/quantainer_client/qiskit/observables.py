"""Observables: Qiskit's as sums of Pauli strings; projectors are spelt out."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Mapping, Tuple

__all__ = ["terms_of"]

_PROJECTORS = {
    # Each eigenstate's projector is half the identity plus or minus half the Pauli.
    "0": ("Z", 1.0),
    "1": ("Z", -1.0),
    "+": ("X", 1.0),
    "-": ("X", -1.0),
    "r": ("Y", 1.0),
    "l": ("Y", -1.0),
}


def terms_of(observable: Mapping[str, float]) -> List[Tuple[str, float]]:
    """Return an observable as Pauli labels with coefficients; projectors are spelt out."""
    terms: Dict[str, float] = {}
    for label, coefficient in observable.items():
        for pauli, factor in _paulis(label):
            terms[pauli] = terms.get(pauli, 0.0) + factor * float(coefficient)
    return list(terms.items())


def _paulis(label: str) -> List[Tuple[str, float]]:
    spelt = [("", 1.0)]
    for letter in label:
        if letter in _PROJECTORS:
            pauli, sign = _PROJECTORS[letter]
            spelt = [
                (text + other, factor * 0.5 * (sign if other == pauli else 1.0))
                for text, factor in spelt
                for other in ("I", pauli)
            ]
        else:
            spelt = [(text + letter, factor) for text, factor in spelt]
    return spelt
