"""Expectation values: observables as Pauli products, analytic or measured in commuting groups."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from quantainer.backends.simulators.program import Gate, Measure, Operation, Program, Readout
from quantainer.backends.simulators.simulator import Prepared, Term

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from qiskit.quantum_info import SparsePauliOp

__all__ = ["Observable", "analytic", "observables_of", "sampled", "support"]

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


def analytic(
    program: Program, observables: Sequence[Observable], prepared: Prepared, threads: int
) -> NDArray[np.float64]:
    """Return the exact values, one for each observable.

    A qubit that the program left out is in |0⟩: Z is 1 there, X and Y are 0.
    """
    place = {origin: qubit for qubit, origin in enumerate(program.origin)}
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
        values = dict(zip(distinct, prepared.expect(distinct, threads).tolist(), strict=True))
        known |= {term: values[inner] for term, inner in asked.items()}
    return np.array(
        [sum(weight * known[term] for term, weight in observable) for observable in observables]
    )


@dataclass(frozen=True, slots=True)
class _Group:
    """Terms that one measurement basis answers: on each qubit they agree or are silent."""

    axes: dict[int, str]
    terms: list[Term]


def sampled(
    program: Program,
    observables: Sequence[Observable],
    shots: int,
    draw: Callable[[Program, int], NDArray[np.uint8]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return values and standard errors, each group of terms measured with ``shots`` shots.

    Args:
        draw: Runs a program for the group with this index and returns its packed shots.
    """
    terms = sorted({term for observable in observables for term, _ in observable if term})
    values = np.array([sum(weight for term, weight in o if not term) for o in observables])
    variances = np.zeros(len(observables))
    for index, group in enumerate(_groups(terms)):
        measured, qubits = _measured(program, group)
        packed = draw(measured, index)
        bits = np.unpackbits(packed, axis=1, bitorder="little")
        column = {qubit: program.clbits + place for place, qubit in enumerate(qubits)}
        signs = np.empty((len(bits), len(group.terms)))
        for place, term in enumerate(group.terms):
            parity = bits[:, [column[qubit] for qubit, _ in term]].sum(axis=1) & 1
            signs[:, place] = 1.0 - 2.0 * parity
        where = {term: place for place, term in enumerate(group.terms)}
        weights = np.zeros((len(group.terms), len(observables)))
        for number, observable in enumerate(observables):
            for term, weight in observable:
                if term in where:
                    weights[where[term], number] += weight
        each = signs @ weights
        values = values + each.mean(axis=0)
        if shots > 1:
            variances += each.var(axis=0, ddof=1) / shots
    return values, np.sqrt(variances)


def _groups(terms: Sequence[Term]) -> list[_Group]:
    """Group greedily, longest terms first."""
    groups: list[_Group] = []
    for term in sorted(terms, key=lambda one: (-len(one), one)):
        for group in groups:
            if all(group.axes.get(qubit, axis) == axis for qubit, axis in term):
                group.axes.update(term)
                group.terms.append(term)
                break
        else:
            groups.append(_Group(dict(term), [term]))
    return groups


_ROTATIONS = {"X": (("h",),), "Y": (("sdg",), ("h",)), "Z": ()}


def _measured(program: Program, group: _Group) -> tuple[Program, list[int]]:
    """Return the program with the group's basis measured into new bits behind its own."""
    place = {origin: qubit for qubit, origin in enumerate(program.origin)}
    qubits = sorted(group.axes)
    width = program.qubits
    origin = list(program.origin)
    extra: list[Operation] = []
    for qubit in qubits:
        if qubit not in place:  # untouched until now
            place[qubit] = width
            origin.append(qubit)
            width += 1
        for rotation in _ROTATIONS[group.axes[qubit]]:
            extra.append(Gate(rotation[0], (place[qubit],)))
    clbits = program.clbits + len(qubits)
    bits = {program.clbits + index: place[qubit] for index, qubit in enumerate(qubits)}
    body = (*(program.body or ()), *extra)
    readout = None
    if program.terminal:
        readout = Readout.of(clbits, bits)
    else:
        body += tuple(Measure(qubit, clbit) for clbit, qubit in bits.items())
    made = replace(
        program,
        qubits=width,
        origin=tuple(origin),
        clbits=clbits,
        body=body,
        readout=readout,
        written=program.written | bits.keys(),
    )
    return made, qubits
