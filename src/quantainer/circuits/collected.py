"""Collected: a compiled program whose marks have become chains of gates again.

Chains are joined with the gates that came to lie beside them, and shortened; each of their angles
is an affine function of the source's.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit._accelerate.circuit import CircuitInstruction
from qiskit.circuit import Qubit

from quantainer.circuits.builder import STANDARD_GATES
from quantainer.circuits.chains import (
    EULER,
    TURNS,
    Alphabet,
    Chain,
    Link,
    Pattern,
    Weights,
    gathered,
    pattern_of,
)
from quantainer.circuits.proxy import Proxy
from quantainer.circuits.runs import SX, X
from quantainer.circuits.steps import BEYOND, JOINS, Steps, columns_for, steps_of
from quantainer_client.columns import Columns

__all__ = ["Collected", "collected"]

_JOINING = {True: {"delay", "rz", "sx", "x"}, False: {"delay", "rz"}}
"""What joins a chain, if gates may be taken away, and if not."""
_FIXED: dict[str, Chain] = {
    "sx": ((Link("sx", (), SX, 0),), ()),
    "x": ((Link("x", (), X, 0),), ()),
}


@dataclass(frozen=True, slots=True)
class Collected:
    """A compiled circuit without its angles.

    Attributes:
        columns: All of it but the free terms.
        first: First term of each angle that is free.
        more: All further terms.
        program: Its wires.
        operations: Of the program; wherever angles belong the qubit that is turned.
        alphabet: What the chains are written as.
    """

    columns: Columns
    first: Weights
    more: Weights
    program: QuantumCircuit
    operations: list[Any]
    alphabet: Alphabet

    def filled(self, angles: Sequence[Any]) -> QuantumCircuit:
        """Return the program with its angles: what its columns would become, in less time."""
        operations, make = self.operations.copy(), CircuitInstruction.from_standard
        kinds = np.frombuffer(self.columns.kinds, dtype=np.uint16)
        if self.alphabet is TURNS:
            turn, places = STANDARD_GATES["rz"], np.flatnonzero(kinds == 0).tolist()
            for place, angle in zip(places, angles, strict=True):
                operations[place] = make(turn, (operations[place],), (angle,))
        else:
            gates = [STANDARD_GATES[name] for name in self.alphabet.names]
            places, slot = np.flatnonzero(kinds < len(gates)).tolist(), 0
            for place, kind in zip(places, kinds[places].tolist(), strict=True):
                end = slot + self.alphabet.params[kind]
                operations[place] = make(gates[kind], (operations[place],), angles[slot:end])
                slot = end
        program = QuantumCircuit(global_phase=self.program.global_phase)
        program.add_bits(self.program.qubits)
        program.add_bits(self.program.clbits)
        for register in self.program.cregs:
            program.add_register(register)
        program._data.extend(operations)
        return program


def collected(
    program: QuantumCircuit, chains: list[Chain], level: int, proxy: Proxy | None = None
) -> Collected | None:
    """Return a compiled program with the chains put back.

    ``None`` if it has operations beyond those of the columnar form.

    Args:
        program: What was compiled.
        chains: What each mark stands for.
        level: At level 0 no gate is taken away.
        proxy: What it was compiled for, if not for the device itself.
    """
    tidy = level > 0
    alphabet = EULER if proxy is not None and proxy.turns_by_euler else TURNS
    columns = columns_for(program, alphabet)
    steps = steps_of(program, columns, _JOINING[tidy], None if proxy is None else proxy.spelling)
    if (steps.kinds == BEYOND).any():
        return None
    found = _joined(steps, chains)
    patterns = [pattern_of(links, tidy=tidy, alphabet=alphabet) for links, _ in found.chains]
    operations = _write(columns, program.qubits, steps, found, patterns, alphabet)
    constants, first, more = gathered(patterns, [slots for _, slots in found.chains])
    columns.params = array("d", constants)
    return Collected(columns, first, more, program, operations, alphabet)


@dataclass(frozen=True, slots=True)
class _Joined:
    """Chains of a compiled program, in the order of their first operations.

    Attributes:
        chains: They themselves.
        steps: Number of the first operation of each.
        wires: Qubit of each.
    """

    chains: list[Chain]
    steps: NDArray[np.intp]
    wires: NDArray[np.intp]


def _joined(steps: Steps, chains: list[Chain]) -> _Joined:
    """Join what follows one another on a qubit."""
    wires = np.array(list(chain.from_iterable(steps.wires)), dtype=np.intp)
    places = np.repeat(np.arange(len(steps.wires)), [len(some) for some in steps.wires])
    order = np.argsort(wires, kind="stable")
    wires, places = wires[order], places[order]
    joins = steps.kinds[places] == JOINS
    follows = np.zeros_like(joins)
    follows[1:] = joins[1:] & joins[:-1] & (wires[1:] == wires[:-1])
    heads = np.flatnonzero(joins & ~follows)
    rank = np.argsort(places[heads], kind="stable")
    operations = steps.operations
    parts = [_chain(operations[place], chains) for place in places[joins].tolist()]
    found: list[Chain] = []
    links: tuple[Link, ...] = ()
    slots: tuple[int, ...] = ()
    for part, follows_on in zip(parts, follows[joins].tolist(), strict=True):
        if follows_on:
            links, slots = links + part[0], slots + part[1]
        else:
            found.append((links, slots))
            links, slots = part
    found.append((links, slots))  # the first, which is none, lies before all others
    heads = heads[rank]
    return _Joined([found[number + 1] for number in rank.tolist()], places[heads], wires[heads])


def _chain(instruction: Any, chains: list[Chain]) -> Chain:
    if type(instruction) is tuple:
        return instruction
    name = instruction.name
    if name == "delay":
        return chains[int(instruction.params[0])]
    return _FIXED.get(name) or _turned(instruction.params[0])


@lru_cache(maxsize=4096)
def _turned(angle: float) -> Chain:
    return (Link("rz", (angle,), [(angle, ())], 0),), ()


def _write(
    columns: Columns,
    qubits: list[Qubit],
    steps: Steps,
    found: _Joined,
    patterns: list[Pattern],
    alphabet: Alphabet,
) -> list[Any]:
    """Write the columns but for angles; return the operations."""
    used, rows = np.unique(found.wires, return_inverse=True)
    operations, operands = steps.operations.copy(), steps.operands.copy()
    for wire in used.tolist():
        at = (qubits[wire],)
        operations += [
            qubits[wire] if params else CircuitInstruction.from_standard(STANDARD_GATES[n], at, ())
            for n, params in zip(alphabet.names, alphabet.params, strict=True)
        ]
        operands += [(wire,)] * len(alphabet.names)

    kept = steps.kinds != JOINS
    counts = kept.astype(np.intp)
    counts[found.steps] = lengths = np.array([len(p.gates) for p in patterns], dtype=np.intp)
    starts = np.cumsum(counts) - counts
    gates = np.array(list(chain.from_iterable([p.gates for p in patterns])), dtype=np.intp)
    inner = np.arange(len(gates)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    places = np.repeat(starts[found.steps], lengths) + inner

    kinds = np.empty(counts.sum(), dtype=np.uint16)
    kinds[starts[kept]], kinds[places] = steps.kinds[kept], gates
    chosen = np.empty(len(kinds), dtype=np.intp)
    chosen[starts[kept]] = np.flatnonzero(kept)
    chosen[places] = len(kept) + np.repeat(len(alphabet.names) * rows, lengths) + gates
    order = chosen.tolist()
    columns.kinds = array("H", kinds.tobytes())
    columns.operands = array("I", chain.from_iterable([operands[place] for place in order]))
    return [operations[place] for place in order]
