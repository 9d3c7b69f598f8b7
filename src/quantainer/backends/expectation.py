"""Expectation values: observables as Pauli products, analytic or measured in commuting groups."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from quantainer.backends.simulators.program import Gate, Measure, Operation, Program, Readout
from quantainer.backends.simulators.simulator import Prepared, Term, Values

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from qiskit.quantum_info import SparsePauliOp

__all__ = [
    "Group",
    "Observable",
    "analytic",
    "groups_of",
    "measured",
    "observables_of",
    "sampled",
    "support",
    "weighed",
]

Observable = tuple[tuple[Term, float], ...]
"""A sum of Pauli products on the circuit's qubits with real coefficients."""


def observables_of(operators: Iterable[SparsePauliOp]) -> list[Observable]:
    """Return Qiskit's sums of Pauli products as terms; the imaginary part is nil by contract."""
    return [
        tuple(
            (_term(label), float(np.real(coefficient))) for label, coefficient in operator.to_list()
        )
        for operator in operators
    ]


def _term(label: str) -> Term:
    return tuple((qubit, axis) for qubit, axis in enumerate(reversed(label)) if axis != "I")


def support(observables: Iterable[Observable]) -> set[int]:
    """Return the qubits that some term touches."""
    return {qubit for observable in observables for term, _ in observable for qubit, _ in term}


def places_by_row(pairs: Iterable[tuple[int, int]]) -> dict[int, list[int]]:
    """Return for each row of parameters that pairs name the places of its pairs among them."""
    places: dict[int, list[int]] = {}
    for place, (row, _) in enumerate(pairs):
        places.setdefault(row, []).append(place)
    return places


def analytic(
    program: Program, observables: Sequence[Observable], prepared: Prepared, threads: int
) -> Values:
    """Return the values without shots, one for each observable.

    A qubit that the program left out is in |0⟩: Z is 1 there, X and Y are 0.
    """
    place = {origin: qubit for qubit, origin in enumerate(program.origin)}
    truncation: float | None = None
    known: dict[Term, float] = {}
    asked: dict[Term, Term] = {}
    for term in {term for observable in observables for term, _ in observable}:
        if any(axis != "Z" for qubit, axis in term if qubit not in place):
            known[term] = 0.0
            continue
        inner = tuple((place[qubit], axis) for qubit, axis in term if qubit in place)
        if inner:
            asked[term] = inner
        else:
            known[term] = 1.0
    if asked:
        distinct = sorted(set(asked.values()))
        found = prepared.expect(distinct, threads)
        truncation = found.truncation_error
        values = dict(zip(distinct, found.numbers.tolist(), strict=True))
        known |= {term: values[inner] for term, inner in asked.items()}
    numbers = [
        sum(weight * known[term] for term, weight in observable) for observable in observables
    ]
    return Values(np.array(numbers), truncation)


@dataclass(frozen=True, slots=True)
class Group:
    """Terms that one measurement basis answers: on each qubit they agree or are silent.

    Attributes:
        axes: Qubit of the circuit to the axis measured on it.
    """

    axes: dict[int, str]
    terms: list[Term]

    @property
    def qubits(self) -> list[int]:
        """The measured qubits, ascending: the order of columns in what is drawn."""
        return sorted(self.axes)

    def rotations(self) -> list[tuple[str, int]]:
        """Return the gates ``(name, qubit)`` that turn the basis into Z."""
        gates = {"X": ("h",), "Y": ("sdg", "h"), "Z": ()}
        return [(name, qubit) for qubit in self.qubits for name in gates[self.axes[qubit]]]

    def values(
        self, bits: NDArray[np.uint8], observables: Sequence[Observable]
    ) -> NDArray[np.float64]:
        """Return ``float64[rows, observables]``: each row of bits' share in each observable."""
        column = {qubit: place for place, qubit in enumerate(self.qubits)}
        signs = np.empty((len(bits), len(self.terms)))
        for place, term in enumerate(self.terms):
            parity = bits[:, [column[qubit] for qubit, _ in term]].sum(axis=1) & 1
            signs[:, place] = 1.0 - 2.0 * parity
        where = {term: place for place, term in enumerate(self.terms)}
        weights = np.zeros((len(self.terms), len(observables)))
        for number, observable in enumerate(observables):
            for term, weight in observable:
                if term in where:
                    weights[where[term], number] += weight
        return signs @ weights


def groups_of(observables: Sequence[Observable]) -> list[Group]:
    """Group the terms of observables qubit-wise, greedily, longest first."""
    terms = {term for observable in observables for term, _ in observable if term}
    groups: list[Group] = []
    for term in sorted(terms, key=lambda one: (-len(one), one)):
        for group in groups:
            if all(group.axes.get(qubit, axis) == axis for qubit, axis in term):
                group.axes.update(term)
                group.terms.append(term)
                break
        else:
            groups.append(Group(dict(term), [term]))
    return groups


def sampled(
    observables: Sequence[Observable], draw: Callable[[int, Group], NDArray[np.uint8]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return values and standard errors from shots.

    Args:
        draw: Returns ``uint8[shots, qubits]`` for a group by its number.
    """
    values = _constants(observables)
    variances = np.zeros(len(observables))
    for index, group in enumerate(groups_of(observables)):
        each = group.values(draw(index, group), observables)
        values += each.mean(axis=0)
        if len(each) > 1:
            variances += each.var(axis=0, ddof=1) / len(each)
    return values, np.sqrt(variances)


def weighed(
    observables: Sequence[Observable], weigh: Callable[[Group], NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Return exact values from probabilities.

    Args:
        weigh: Returns ``float64[2**qubits]`` for a group; bit ``j`` of the index is its qubit
        ``j``.
    """
    values = _constants(observables)
    for group in groups_of(observables):
        probabilities = weigh(group)
        width = len(group.axes)
        states = np.arange(2**width)[:, None]
        bits = ((states >> np.arange(width)) & 1).astype(np.uint8)
        values += probabilities @ group.values(bits, observables)
    return values


def _constants(observables: Sequence[Observable]) -> NDArray[np.float64]:
    return np.array(
        [sum((weight for term, weight in o if not term), start=0.0) for o in observables]
    )


def measured(program: Program, group: Group) -> Program:
    """Return the program with a group's basis measured into new bits behind its own."""
    place = {origin: qubit for qubit, origin in enumerate(program.origin)}
    origin = list(program.origin)
    for qubit in group.qubits:
        if qubit not in place:  # untouched until now
            place[qubit] = len(origin)
            origin.append(qubit)
    rotations = tuple(Gate(name, (place[qubit],)) for name, qubit in group.rotations())
    bits = {program.clbits + index: place[qubit] for index, qubit in enumerate(group.qubits)}
    body: tuple[Operation, ...] = (*(program.body or ()), *rotations)
    clbits = program.clbits + len(bits)
    if not program.terminal:
        body += tuple(Measure(qubit, clbit) for clbit, qubit in bits.items())
    return replace(
        program,
        qubits=len(origin),
        origin=tuple(origin),
        clbits=clbits,
        body=body,
        readout=Readout.of(clbits, bits) if program.terminal else None,
        written=program.written | bits.keys(),
    )
