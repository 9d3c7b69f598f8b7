"""Target: what of a backend's facts decides whether and how a circuit is compiled for it."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from hashlib import blake2b
from typing import Any, TypeVar

from quantainer.core.target import TargetFacts

__all__ = ["Device", "digest_of", "groups", "ways_of"]

_KEPT = 64

Made = TypeVar("Made")


def _kept(make: Callable[[TargetFacts], Made]) -> Callable[[TargetFacts], Made]:
    """Keep what is made of the latest facts: hashing them would take longer than a compile may."""
    known: OrderedDict[int, tuple[TargetFacts, Made]] = OrderedDict()

    def made(target: TargetFacts) -> Made:
        found = known.get(id(target))
        if found is not None and found[0] is target:
            return found[1]
        # The facts are kept too, so that their id is not given to others meanwhile.
        known[id(target)] = found = (target, make(target))
        while len(known) > _KEPT:
            known.popitem(last=False)
        return found[1]

    return made


@_kept
def digest_of(target: TargetFacts) -> str:
    """Return a digest of all that compiling depends on; it changes with every calibration."""
    fields = asdict(target)
    for field in ("description", "status", "calibrated_at"):
        del fields[field]
    text = json.dumps(fields, sort_keys=True, default=str)
    return blake2b(text.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class Device:
    """A target without its dead qubits: the usable ones are numbered anew from 0.

    Attributes:
        facts: The facts over the usable qubits alone.
        usable: Physical index of each.
        dead: Physical indices of the others.
    """

    facts: TargetFacts
    usable: tuple[int, ...]
    dead: tuple[int, ...]

    @classmethod
    def of(cls, target: TargetFacts) -> Device:
        """Return the device of a target, which has to be worked out once alone."""
        return _device_of(target)

    @classmethod
    def _of(cls, target: TargetFacts) -> Device:
        usable = target.usable_qubits
        if len(usable) == target.qubits or not target.qubit_facts:
            return cls(target, tuple(range(target.qubits)), ())
        place = {physical: index for index, physical in enumerate(usable)}
        coupling = target.coupling_map
        if coupling is not None:
            coupling = tuple((place[a], place[b]) for a, b in coupling if a in place and b in place)
        facts = replace(
            target,
            qubits=len(usable),
            coupling_map=coupling,
            qubit_facts=tuple(target.qubit_facts[physical] for physical in usable),
            gate_error=_moved(target.gate_error, place),
            gate_duration_us=_moved(target.gate_duration_us, place),
        )
        dead = tuple(sorted(set(range(target.qubits)) - set(usable)))
        return cls(facts, usable, dead)

    @cached_property
    def largest_group(self) -> list[int]:
        """The largest connected group of usable qubits, in order."""
        coupling = self.facts.coupling_map
        if coupling is None:
            return list(range(self.facts.qubits))
        return max(map(sorted, groups(coupling, self.facts.qubits)), key=len, default=[])


_device_of = _kept(Device._of)


def _moved(values: dict[str, float], place: dict[int, int]) -> dict[str, float]:
    """Return ``"cx 0 1"``-style keys with the qubits renumbered, those of dead qubits left out."""
    moved = {}
    for key, value in values.items():
        name, *qubits = key.split()
        physical = [int(qubit) for qubit in qubits]
        if all(qubit in place for qubit in physical):
            moved[" ".join([name, *(str(place[qubit]) for qubit in physical)])] = value
    return moved


def ways_of(target: TargetFacts, gate: str) -> frozenset[tuple[int, ...]]:
    """Return the directed pairs of qubits that have a gate: if errors of it are stated, those."""
    coupling = frozenset(target.coupling_map or ())
    return frozenset(at for at in coupling if f"{gate} {at[0]} {at[1]}" in target.gate_error) or (
        coupling
    )


def groups(edges: Any, qubits: int) -> list[set[int]]:
    """Return the connected groups of qubits, single ones included."""
    parent = list(range(qubits))

    def root(qubit: int) -> int:
        while parent[qubit] != qubit:
            parent[qubit] = parent[parent[qubit]]
            qubit = parent[qubit]
        return qubit

    for edge in edges:
        first, *others = edge
        for other in others:
            parent[root(first)] = root(other)
    found: dict[int, set[int]] = {}
    for qubit in range(qubits):
        found.setdefault(root(qubit), set()).add(qubit)
    return list(found.values())
