"""Chain: the order in which the qubits of a program stand in a matrix product state.

What such a state must hold, and how far gates reach, depends on the order of its qubits. Where the
gates of a circuit follow a ring, a tree or a lattice, an order is easily found in which few of them
pass over any cut, whatever numbers its author gave the qubits. Three are tried besides the
author's: by breadth (Cuthill, McKee, Proc. 24th ACM Nat. Conf., 157, 1969), and by the smallest
next cut; of equal ones the oldest first, which suits lattices, or the newest, which suits trees.

What engines do with gates on far qubits can lose a good order: a lattice of 60 qubits, for which a
bond of 16 is enough, did not end in half a minute. In a good order they are therefore given gates
on neighbours only, with exchanges there and back written out.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from heapq import heappop, heappush
from itertools import combinations

from quantainer.backends.simulators.entanglement import bond_log2, rank_log2
from quantainer.backends.simulators.program import Gate, Program, Readout

__all__ = ["laid_out", "orders", "with_neighbours"]

_GAIN = 4.0
"""An order of our own is taken if its work is less by this factor at least."""
_RANK_MAX = 16
"""Cuts of a larger rank (as log2) count alike: no order of them is run."""
_GOOD = 10
"""Up to this bound (as log2) an order is kept to. Above, an engine may find a better one."""
_PAIR_RANK_MAX = 2
"""Two qubits have a rank of 4 at most, however many gates join them."""
_PAIRS_MAX = 200_000

Graph = list[dict[int, int]]
"""For each qubit those that gates join it with, and log2 of the rank they can make."""


def laid_out(program: Program) -> Program:
    """Return a terminal program with its qubits in a better order, or itself if none is found.

    Classical bits, and by ``origin`` observables, stay where they were.
    """
    best, least = None, _work(program.gates, range(program.qubits)) / _GAIN
    for order in orders(program):
        place = _places(order)
        work = _work(program.gates, place)
        if work <= least:
            best, least = order, work
    return program if best is None else _moved(program, best)


def with_neighbours(program: Program) -> Program:
    """Return a program with gates on neighbours only, or itself if its order may be a bad one."""
    far = any(max(gate.qubits) - min(gate.qubits) >= len(gate.qubits) for gate in program.gates)
    if not far or bond_log2(program) > _GOOD:
        return program
    body = tuple(step for gate in program.gates for step in _gathered(gate))
    return replace(program, body=body)


def _gathered(gate: Gate) -> Iterator[Gate]:
    """Yield a gate behind the exchanges that make its qubits neighbours, and these backwards."""
    at = sorted(gate.qubits)
    end = at[-1] - len(at) + 1
    moves = {old: end + index for index, old in enumerate(at)}
    steps = [
        Gate("swap", (place, place + 1))
        for old, new in reversed(moves.items())
        for place in range(old, new)
    ]
    yield from steps
    yield gate._replace(qubits=tuple(moves[qubit] for qubit in gate.qubits))
    yield from reversed(steps)


def orders(program: Program) -> Iterator[list[int]]:
    """Yield orders of a terminal program's qubits, each a list of all of them."""
    graph = _graph(program)
    if graph is None:
        return
    starts = _starts(graph)
    yield [qubit for start in starts for qubit in _by_breadth(graph, start)]
    for age in (1, -1):
        yield [qubit for start in starts for qubit in _by_cut(graph, start, age)]


def _graph(program: Program) -> Graph | None:
    """Return which qubits gates join; ``None`` if these are too many to be put in order."""
    pairs: Counter[tuple[int, int]] = Counter()
    for gate in program.gates:
        if len(gate.qubits) > 1:
            rank = rank_log2(gate)
            for left, right in combinations(gate.qubits, 2):
                pairs[min(left, right), max(left, right)] += rank
            if len(pairs) > _PAIRS_MAX:
                return None
    graph: Graph = [{} for _ in range(program.qubits)]
    for (left, right), rank in sorted(pairs.items()):
        graph[left][right] = graph[right][left] = min(rank, _PAIR_RANK_MAX)
    return graph


def _starts(graph: Graph) -> list[int]:
    """Return a qubit at the rim of each connected part, the parts in the order of the circuit."""
    starts, seen = [], set[int]()
    for qubit in range(len(graph)):
        if qubit not in seen:
            part = _by_breadth(graph, qubit)
            seen.update(part)
            starts.append(_by_breadth(graph, part[-1])[-1])
    return starts


def _by_breadth(graph: Graph, start: int) -> list[int]:
    """Return a connected part: neighbours behind neighbours, those with few of them first."""
    order, seen = [start], {start}
    waiting = deque(order)
    while waiting:
        near = [qubit for qubit in graph[waiting.popleft()] if qubit not in seen]
        near.sort(key=lambda qubit: (len(graph[qubit]), qubit))
        seen.update(near)
        order += near
        waiting.extend(near)
    return order


def _by_cut(graph: Graph, start: int, age: int) -> list[int]:
    """Return a connected part: next is always the qubit behind which the cut is smallest.

    Args:
        age: Of equals 1 takes the one that was met first, -1 the one that was met last.
    """
    order, placed = list[int](), set[int]()
    grows: dict[int, int] = {start: 0}  # what each neighbour of the placed would add to the cut
    met = {start: 0}
    waiting = [(0, 0, start)]
    while waiting:
        growth, _, qubit = heappop(waiting)
        if qubit in placed or growth != grows[qubit]:
            continue
        placed.add(qubit)
        order.append(qubit)
        for near, rank in graph[qubit].items():
            if near not in placed:
                before = grows.get(near, sum(graph[near].values()))
                grows[near] = before - 2 * rank
                heappush(waiting, (grows[near], age * met.setdefault(near, len(met)), near))
    return order


def _places(order: Sequence[int]) -> list[int]:
    places = [0] * len(order)
    for place, qubit in enumerate(order):
        places[qubit] = place
    return places


def _work(gates: Sequence[Gate], place: Sequence[int]) -> float:
    """Return what a state with qubits at these places takes: over each cut, gates × bond cubed."""
    n = len(place)
    ranks, times = [0] * (n + 1), [0] * (n + 1)
    for gate in gates:
        if len(gate.qubits) > 1:
            at = [place[qubit] for qubit in gate.qubits]
            low, high, rank = min(at), max(at), rank_log2(gate)
            ranks[low] += rank
            ranks[high] -= rank
            times[low] += 1
            times[high] -= 1
    work, rank, passing = 0.0, 0, 0
    for cut in range(n - 1):
        rank += ranks[cut]
        passing += times[cut]
        work += passing * 8.0 ** min(rank, cut + 1, n - 1 - cut, _RANK_MAX)
    return work


def _moved(program: Program, order: Sequence[int]) -> Program:
    assert program.readout is not None
    place = _places(order)
    measured = program.readout.qubits
    source = {clbit: place[measured[index]] for clbit, index in program.readout.columns}
    return replace(
        program,
        origin=tuple(program.origin[qubit] for qubit in order),
        body=tuple(
            gate._replace(qubits=tuple(place[qubit] for qubit in gate.qubits))
            for gate in program.gates
        ),
        readout=Readout.of(program.readout.clbits, source),
    )
