"""Need: what the choice of method and engine needs to know of a pub."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from quantainer.backends.backend import Pub
from quantainer.backends.choice import Need
from quantainer.backends.simulators.program import (
    Branch,
    Gate,
    Measure,
    Operation,
    Program,
    Repeat,
    Reset,
)

__all__ = ["need_of"]


def need_of(pub: Pub, program: Program) -> Need:
    """Return what the choice needs to know of a pub."""
    facts = pub.facts
    flat = program.body is not None
    sizes = _Sizes.of(program.body or ())
    rows = 1 if pub.parameters is None else max(1, len(pub.parameters))
    return Need(
        qubits=program.qubits,
        operations=sizes.operations if flat else facts.size,
        two_qubit=sizes.two_qubit,
        t_count=facts.t_count,
        clifford=facts.clifford,
        bond_log2=min(facts.bond_log2, program.qubits // 2),
        terminal=program.terminal,
        analytic=bool(pub.observables) and pub.precision == 0,
        shots=(pub.shots or 0) * rows,
        clbits=program.clbits,
        branches=sizes.branches,
        collapses=not program.terminal and (not flat or sizes.collapses),
    )


@dataclass(slots=True)
class _Sizes:
    """Operations of a body, nested ones included."""

    operations: int = 0
    two_qubit: int = 0
    branches: int = 0
    collapses: bool = False

    @classmethod
    def of(cls, body: Iterable[Operation]) -> _Sizes:
        sizes = cls()
        sizes._add(body)
        return sizes

    def _add(self, body: Iterable[Operation]) -> None:
        for operation in body:
            self.operations += 1
            match operation:
                case Gate():
                    self.two_qubit += len(operation.qubits) > 1
                case Measure() | Reset():
                    self.branches += 1
                    self.collapses |= isinstance(operation, Measure)
                case Branch():
                    self._add(operation.then)
                    self._add(operation.otherwise)
                case Repeat():
                    self._add(operation.body)
