"""Exact values: PennyLane measurements as Pauli observables, and back."""

from __future__ import annotations

import numpy as np
import pennylane as qml
from pennylane.measurements import ExpectationMP, ProbabilityMP, VarianceMP

from quantainer_client.errors import QuantainerError
from quantainer_client.pennylane.coefficients import real
from quantainer_client.pennylane.encode import outcomes_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Sequence, Tuple

    Terms = List[Tuple[str, float]]

__all__ = ["MAX_PROBABILITY_WIRES", "is_exact", "observables_of", "rotations_of", "value_of"]

MAX_PROBABILITY_WIRES = 12
"""Wires of exact probabilities: they are the transform of 2ⁿ expectation values."""
_MAX_MATRIX_WIRES = 8


def is_exact(measurement: Any) -> bool:
    """Tell whether the device has exact values of a measurement."""
    return type(measurement) in (ExpectationMP, ProbabilityMP, VarianceMP)


def observables_of(measurement: Any, wires: Sequence[Any]) -> List[Terms]:
    """Return the Pauli observables whose expectation values make up a measurement's value.

    Args:
        measurement: An expectation value, variance or probabilities.
        wires: Wire labels, the device's first qubit first.

    Raises:
        QuantainerError: ``unsupported_circuit`` over ``MAX_PROBABILITY_WIRES``.
    """
    place = {wire: len(wires) - 1 - index for index, wire in enumerate(wires)}
    if isinstance(measurement, ProbabilityMP):
        return _parities(_probability_wires(measurement, wires), place)
    deferred = measurement.mv is not None
    sentence = _outcome(measurement.mv) if deferred else _sentence(measurement.obs)
    if isinstance(measurement, VarianceMP):
        return [_terms(sentence, place), _terms(sentence @ sentence, place)]
    return [_terms(sentence, place)]


def rotations_of(measurement: Any) -> List[Any]:
    """Return the gates before which probabilities in an observable's eigenbasis are taken."""
    if not isinstance(measurement, ProbabilityMP) or measurement.obs is None:
        return []
    with qml.QueuingManager.stop_recording():
        return list(measurement.obs.diagonalizing_gates())


def value_of(measurement: Any, evs: Any) -> Any:
    """Return a measurement's value from the expectation values of its observables."""
    if isinstance(measurement, VarianceMP):
        return np.float64(evs[1] - evs[0] ** 2)
    if isinstance(measurement, ExpectationMP):
        return np.float64(evs[0])
    return np.clip(_walsh_hadamard(np.array(evs)) / len(evs), 0.0, 1.0)


def _probability_wires(measurement: Any, wires: Sequence[Any]) -> List[Any]:
    own = list(measurement.wires) or list(wires)
    if len(own) > MAX_PROBABILITY_WIRES:
        raise QuantainerError(
            "unsupported_circuit",
            f"Exact probabilities of {len(own)} wires are too many.",
            limit=MAX_PROBABILITY_WIRES,
            needed=len(own),
            hint="Ask for fewer wires, or for shots.",
        )
    return own


def _parities(wires: List[Any], place: Dict[Any, int]) -> List[Terms]:
    """Return ``Z`` on each subset of wires; the first wire is the highest bit of the subset."""
    observables = []
    for subset in range(2 ** len(wires)):
        letters = ["I"] * len(place)
        for index, wire in enumerate(wires):
            if subset >> (len(wires) - 1 - index) & 1:
                letters[place[wire]] = "Z"
        observables.append([("".join(letters), 1.0)])
    return observables


def _walsh_hadamard(values: Any) -> Any:
    """Return Σₛ (−1)^(x·s) values[s] for each x."""
    size = 1
    while size < len(values):
        pairs = values.reshape(-1, 2, size)
        values = np.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], axis=1).ravel()
        size *= 2
    return values


def _sentence(observable: Any) -> Any:
    """Return an observable as PennyLane's sum of Pauli words."""
    if observable.pauli_rep is not None:
        return observable.pauli_rep
    if len(observable.wires) > _MAX_MATRIX_WIRES:
        raise QuantainerError(
            "unsupported_circuit",
            f"{observable} has no Pauli form and acts on {len(observable.wires)} wires.",
            limit=_MAX_MATRIX_WIRES,
            needed=len(observable.wires),
        )
    matrix = qml.matrix(observable, wire_order=observable.wires)
    return qml.pauli_decompose(matrix, wire_order=observable.wires, pauli=True)


def _outcome(value: Any) -> Any:
    """Return a value of mid-circuit measurements that were deferred, each to a wire of its own.

    Any function of bits is a sum of parities, whose factors are the function's transform.
    """
    wires = [measurement.wires[0] for measurement in value.measurements]
    outcomes = np.array([float(outcome) for _, outcome in outcomes_of(value)])
    factors = _walsh_hadamard(outcomes) / len(outcomes)
    sentence = qml.pauli.PauliSentence()
    for subset, factor in enumerate(factors):
        marks = [wire for i, wire in enumerate(reversed(wires)) if subset >> i & 1]
        sentence[qml.pauli.PauliWord(dict.fromkeys(marks, "Z"))] = factor
    return sentence


def _terms(sentence: Any, place: Dict[Any, int]) -> Terms:
    terms = []
    for word, coefficient in sentence.items():
        letters = ["I"] * len(place)
        for wire, letter in word.items():
            letters[place[wire]] = letter
        terms.append(("".join(letters), real(coefficient)))
    return terms or [("I" * len(place), 0.0)]
