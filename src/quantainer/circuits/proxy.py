"""Proxy: a device as it would be if its two-qubit gate were CX, in both directions.

Where that gate is CZ, ECR or CX in one direction, each CX of a circuit becomes it and gates around
it, which have to be merged with all that lies beside them. Placing and routing need to know nothing
of that. So a circuit with marks (:mod:`quantainer.circuits.marks`) is compiled for the proxy, where
inverses are found at once, and CX is spelled out when the chains are put back.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from qiskit import QuantumCircuit
from qiskit.transpiler import generate_preset_pass_manager

from quantainer.circuits.chains import EULER, TURNS, Chain, Link
from quantainer.circuits.marks import fits_marks
from quantainer.circuits.runs import SX, Run, X
from quantainer.circuits.target import digest_of, ways_of
from quantainer.core.target import TargetFacts
from quantainer_client.columns import GATES
from quantainer_client.qiskit.encode import encode_columns

__all__ = ["WIDE", "Proxy", "Spelling", "cx_in", "proxy_of", "with_cx"]

_GATES = ("cz", "ecr", "cx")
_KEPT = 64
_TURNING = {name for name, (_, params) in GATES.items() if params}
WIDE = frozenset(name for name, (qubits, _) in GATES.items() if qubits > 1)
"""Gates on several qubits."""

Spelling = list[tuple[str, tuple[int, ...], Chain | None]]
"""Gate and which of two qubits it is on; or the name is empty, and there is a chain."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A device to compile for, and what its CX are.

    Attributes:
        facts: The device with CX.
        gate: The real device's two-qubit gate.
        ways: Pairs of physical qubits that have it.
        turns_by_euler: Whether its one-qubit gates are u1, u2 and u3, in the place of which the
            passes see SX and rotations about Z.
    """

    facts: TargetFacts
    gate: str
    ways: frozenset[tuple[int, ...]]
    turns_by_euler: bool

    @property
    def spelling(self) -> Callable[[tuple[int, ...]], Spelling] | None:
        """How to spell CX; ``None``: as it is."""
        both = self.gate == "cx" and all((b, a) in self.ways for a, b in self.ways)
        return None if both else self.spelled

    def spelled(self, pair: tuple[int, ...]) -> Spelling:
        """Return CX on two physical qubits in the real device's gates."""
        return _spelled(self.gate, pair in self.ways)


_proxies: OrderedDict[str, Proxy] = OrderedDict()


def proxy_of(target: TargetFacts, level: int) -> Proxy | None:
    """Return the proxy of a device; ``None`` if it needs none, or has other gates."""
    wide = set(target.basis_gates) & WIDE
    if level != 1 or len(wide) != 1 or not target.coupling_map:
        return None
    (gate,) = wide
    ways = ways_of(target, gate)
    euler = set(target.basis_gates) & _TURNING == set(EULER.names)
    needs_none = gate == "cx" and not euler and all((b, a) in ways for a, b in ways)
    if gate not in _GATES or needs_none or not (euler or fits_marks(target, level)):
        return None
    digest = digest_of(target)
    proxy = _proxies.get(digest)
    if proxy is None:
        proxy = _proxies[digest] = Proxy(
            _with_turns(with_cx(target, gate)) if euler else with_cx(target, gate),
            gate,
            ways,
            euler,
        )
        while len(_proxies) > _KEPT:
            _proxies.popitem(last=False)
    return proxy


def with_cx(target: TargetFacts, gate: str) -> TargetFacts:
    """Return a device with CX in the place of a gate, and all pairs in both directions."""
    names = tuple("cx" if name == gate else name for name in target.basis_gates)
    ways = dict.fromkeys(way for a, b in target.coupling_map or () for way in ((a, b), (b, a)))
    return replace(
        target,
        basis_gates=names,
        coupling_map=tuple(ways),
        gate_error=_both_ways(target.gate_error, gate),
        gate_duration_us=_both_ways(target.gate_duration_us, gate),
    )


def _with_turns(target: TargetFacts) -> TargetFacts:
    """Return a device with RZ, SX and X in the place of u1, u2 and u3, which take as many pulses.

    Two pulses are an X or an SX after another.
    """
    turned = dict(zip(EULER.names, TURNS.names, strict=True))

    def named(values: dict[str, float]) -> dict[str, float]:
        split = [(*key.partition(" "), value) for key, value in values.items()]
        return {f"{turned.get(name, name)} {at}": value for name, _, at, value in split}

    return replace(
        target,
        basis_gates=tuple(turned.get(name, name) for name in target.basis_gates),
        gate_error=named(target.gate_error),
        gate_duration_us=named(target.gate_duration_us),
    )


def _both_ways(values: dict[str, float], gate: str) -> dict[str, float]:
    """Return ``"cz 0 1"``-style keys with those of the gate as CX, in both directions."""
    found: dict[str, float] = {}
    for key, value in values.items():
        name, *qubits = key.split()
        if name != gate:
            found[key] = value
            continue
        found[" ".join(["cx", *qubits])] = value
        found.setdefault(" ".join(["cx", *reversed(qubits)]), value)
    return found


def cx_in(gate: str, forward: bool, singles: Sequence[str]) -> QuantumCircuit:
    """Return CX in another two-qubit gate, or in one that has the other direction.

    Args:
        gate: The gate.
        forward: Whether it acts from the first qubit to the second.
        singles: One-qubit gates to write the rest in.
    """
    program = QuantumCircuit(2)
    program.cx(0, 1)
    passes = generate_preset_pass_manager(
        1,
        basis_gates=[*singles, gate],
        coupling_map=[[0, 1]] if forward else [[1, 0]],
        initial_layout=[0, 1],
    )
    return passes.run(program)


@lru_cache(maxsize=16)
def _spelled(gate: str, forward: bool) -> Spelling:
    columns = encode_columns(cx_in(gate, forward, ("rz", "sx", "x")))
    if columns is None:
        raise AssertionError(f"CX cannot be written with {gate}")
    found: Spelling = []
    links: dict[int, tuple[Link, ...]] = {}

    def close() -> None:
        found.extend(("", (wire,), (some, ())) for wire, some in links.items())
        links.clear()

    for name, wires, _, values, _ in columns.operations():
        if len(wires) > 1:
            close()
            found.append((name, tuple(wires), None))
            continue
        run: Run = [(values[0], ())] if values else SX if name == "sx" else X
        links[wires[0]] = (*links.get(wires[0], ()), Link(name, tuple(values), run, 0))
    close()
    return found
