"""Beginning: gates of a circuit that could be its first ones, to be tried before all of it is.

What a gate depends on is its past: the gates before it on its qubits, and theirs. The pasts of some
gates together could be run first, whatever follows. So what a matrix product state loses of them,
the whole run loses as well; and they need their own qubits only. In a line of neighbours a past is
narrow, where far qubits meet it is wide: it holds the gates that entangle, wherever they act.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from quantainer.backends.simulators.program import Gate, Program, Readout

__all__ = ["Beginnings"]

_GATES = 8192


class Beginnings:
    """The beginnings of a program that is measured at its end."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._before: list[tuple[int, ...]] = []
        self._layers: list[list[int]] = [[]]
        last: list[int] = [-1] * program.qubits
        depth = [0] * program.qubits
        for number, gate in enumerate(program.gates):
            qubits = gate.qubits
            self._before.append(tuple({last[qubit] for qubit in qubits} - {-1}))
            for qubit in qubits:
                last[qubit] = number
            if len(qubits) > 1:
                layer = 1 + max(depth[qubit] for qubit in qubits)
                for qubit in qubits:
                    depth[qubit] = layer
                if layer == len(self._layers):
                    self._layers.append([])
                self._layers[layer].append(number)

    def largest(self, fits: Callable[[Program], bool]) -> Program | None:
        """Return the deepest beginning that fits, then as wide as fits; ``None`` if none does.

        Args:
            fits: Tells whether a beginning may be run; larger ones take more.
        """
        found: Program | None = None
        deep, too_deep = 0, len(self._layers)
        while too_deep - deep > 1:
            layer = (deep + too_deep) // 2
            made = self._of(layer, 1)
            if made is not None and fits(made):
                deep, found = layer, made
            else:
                too_deep = layer
        count = 2
        while found is not None and count < 2 * len(self._layers[deep]):
            made = self._of(deep, count)
            if made is None or not fits(made):
                break
            found, count = made, 2 * count
        return found

    def _of(self, layer: int, count: int) -> Program | None:
        """Return the pasts of a layer's gates in the middle of the line; ``None`` if too large."""
        gates, centre = self._program.gates, self._program.qubits - 1

        def off_centre(number: int) -> int:
            qubits = gates[number].qubits
            return abs(min(qubits) + max(qubits) - centre)

        chosen = self._past(sorted(self._layers[layer], key=off_centre)[:count])
        return None if chosen is None else _alone(self._program, [gates[i] for i in chosen])

    def _past(self, numbers: list[int]) -> list[int] | None:
        """Return gates and all that they depend on, in order."""
        past, waiting = set(numbers), list(numbers)
        while waiting:
            for number in self._before[waiting.pop()]:
                if number not in past:
                    past.add(number)
                    waiting.append(number)
            if len(past) > _GATES:
                return None
        return sorted(past)


def _alone(program: Program, gates: list[Gate]) -> Program:
    """Return gates on their own qubits, in the order of the line, with one measurement behind."""
    line = sorted({qubit for gate in gates for qubit in gate.qubits})
    place = {qubit: index for index, qubit in enumerate(line)}
    return replace(
        program,
        qubits=len(line),
        origin=tuple(program.origin[qubit] for qubit in line),
        clbits=1,
        body=tuple(gate._replace(qubits=tuple(place[q] for q in gate.qubits)) for gate in gates),
        readout=Readout.of(1, {0: 0}),
        written=frozenset({0}),
    )
