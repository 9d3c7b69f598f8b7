"""Bases: which measurements of a tape can be taken from the same shots."""

from __future__ import annotations

import pennylane as qml
from pennylane.measurements import ExpectationMP

from quantainer_client.pennylane.coefficients import real

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Sequence, Tuple

    Word = Dict[Any, str]

__all__ = ["Basis", "Share", "shares_of"]


class Basis:
    """One way to measure the wires at the end: each in the basis of a Pauli, or by given gates.

    Attributes:
        word: The Pauli to measure of each wire.
        gates: Gates of an observable that is no Pauli word; its basis is shared with none.
    """

    def __init__(self, word: Word, gates: Sequence[Any] = (), wires: Sequence[Any] = ()) -> None:
        self.word = word
        self.gates = list(gates)
        self._wires = list(wires)

    @property
    def wires(self) -> List[Any]:
        """Wires that are measured."""
        return [*self.word, *self._wires]

    def admit(self, word: Word) -> bool:
        """Take in a Pauli word if it can be measured together with what is there."""
        if self.gates or any(
            self.word.get(wire, letter) != letter for wire, letter in word.items()
        ):
            return False
        self.word.update(word)
        return True

    def rotations(self) -> List[Any]:
        """Return the gates that turn this basis into the computational one."""
        with qml.QueuingManager.stop_recording():
            turned: List[Any] = []
            for wire, letter in self.word.items():
                if letter == "Y":
                    turned.append(qml.adjoint(qml.S(wire)))
                if letter != "Z":
                    turned.append(qml.Hadamard(wire))
        return turned + self.gates


class Share:
    """What one basis contributes to the value of one measurement.

    Attributes:
        measurement: To be evaluated on the basis's samples.
        basis: Index of the basis.
        factor: For terms of a sum.
    """

    def __init__(self, measurement: Any, basis: int, factor: float = 1.0) -> None:
        self.measurement = measurement
        self.basis = basis
        self.factor = factor


def shares_of(
    measurements: Sequence[Any], wires: Sequence[Any], dynamic: bool = False
) -> Tuple[List[Basis], List[Tuple[float, List[Share]]]]:
    """Part measurements into bases.

    Args:
        measurements: All of a tape.
        wires: Wire labels, for measurements that name none.
        dynamic: The tape measures on the way; else such measurements were deferred to its end.

    Returns:
        The bases, and for each measurement a constant and its shares.
    """
    bases: List[Basis] = []
    shares = [_shares(measurement, wires, bases, dynamic) for measurement in measurements]
    return bases or [Basis({})], shares


def _shares(
    measurement: Any, wires: Sequence[Any], bases: List[Basis], dynamic: bool = False
) -> Tuple[float, List[Share]]:
    observable = measurement.obs
    if measurement.mv is not None and dynamic:  # measured on the way: any basis will do
        return 0.0, [Share(measurement, _place({}, bases))]
    if observable is None:
        word = dict.fromkeys(measurement.wires or wires, "Z")
        return 0.0, [Share(measurement, _place(word, bases))]
    sentence = observable.pauli_rep
    if sentence is not None and len(sentence) == 1:
        ((word, _),) = sentence.items()
        return 0.0, [Share(measurement, _place(dict(word), bases))]
    if isinstance(measurement, ExpectationMP):
        split = _split(observable, sentence)
        if split is not None:
            return _sum(split, wires, bases)
    with qml.QueuingManager.stop_recording():
        gates = observable.diagonalizing_gates()
    if not gates:  # a projector, say: it lies in the computational basis, and shares it
        return 0.0, [Share(measurement, _place(dict.fromkeys(observable.wires, "Z"), bases))]
    bases.append(Basis({}, gates, observable.wires))
    return 0.0, [Share(measurement, len(bases) - 1)]


def _split(observable: Any, sentence: Any) -> Any:
    """Return an observable's terms as ``(factor, observable)``, or None if it has none."""
    with qml.QueuingManager.stop_recording():
        if sentence is not None:
            return [(factor, word.operation()) for word, factor in sentence.items()]
        if isinstance(observable, (qml.ops.Sum, qml.ops.SProd)):
            return list(zip(*observable.terms()))
    return None


def _sum(
    terms: Sequence[Tuple[Any, Any]], wires: Sequence[Any], bases: List[Basis]
) -> Tuple[float, List[Share]]:
    constant, shares = 0.0, []
    for factor, observable in terms:
        number = real(factor)
        if isinstance(observable, qml.Identity):
            constant += number
            continue
        inner, parts = _shares(ExpectationMP(observable), wires, bases)
        constant += number * inner
        for part in parts:
            part.factor *= number
        shares += parts
    return constant, shares


def _place(word: Word, bases: List[Basis]) -> int:
    """Return the first basis that admits a word, a new one if there is none."""
    for index, basis in enumerate(bases):
        if basis.admit(word):
            return index
    bases.append(Basis(dict(word)))
    return len(bases) - 1
