"""The circuit that a QIR program makes: qubits and results as they are met, and its conditions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from qiskit.circuit.classical import expr

from quantainer.circuits.builder import Block, Builder
from quantainer.circuits.qir.values import Bit, Formula, UnknownValueError, bits_in, replaced

__all__ = ["Output", "Present"]


@dataclass(slots=True)
class Present:
    """What holds at one point of the program; the ways of a branch change it each for itself.

    Attributes:
        versions: Which of its measurements each classical bit holds.
        free: Qubits that were released.
    """

    versions: dict[int, int] = field(default_factory=dict)
    free: list[int] = field(default_factory=list)

    def copy(self) -> Present:
        """Return a copy that changes for itself."""
        return Present(dict(self.versions), list(self.free))

    def holds(self, value: Any) -> bool:
        """Tell whether no bit of a value was measured again since it was read."""
        return all(bit.version == self.versions.get(bit.clbit, 0) for bit in bits_in(value))


class Output:
    """Wires that grow as the program names them, and the versions of what was measured."""

    def __init__(self, builder: Builder) -> None:
        self.builder = builder
        self.present = Present()
        self._results: dict[Any, int] = {}
        self._registers: list[tuple[str, list[int]]] = []
        self._measured = 0
        self._loop = self._loops = 0
        self._used: set[Bit] = set()

    # --- Qubits ----------------------------------------------------------------------------------

    def qubit(self, index: int) -> int:
        """Return a qubit, which is made with all before it if it was not met yet."""
        missing = index + 1 - len(self.builder.qubits)
        if missing > 0:
            self.builder.add_qubits(missing)
        return index

    def allocate(self, block: Block) -> int:
        """Return a qubit in state 0: one that was released, reset, or a new one."""
        free = self.present.free
        is_new = not free
        index = self.qubit(len(self.builder.qubits)) if is_new else free.pop()
        if not is_new or self._loop:  # in the next round of a loop no qubit is new
            block.reset(index)
        return index

    def release(self, index: int) -> None:
        """Take a qubit back."""
        if index not in self.present.free:
            self.present.free.append(index)

    # --- Results ---------------------------------------------------------------------------------

    def result(self, key: Any) -> int:
        """Return the classical bit of a result."""
        bit = self._results.get(key)
        if bit is None:
            bit = self._results[key] = len(self.builder.clbits)
            self.builder.add_clbits(1)
        return bit

    def register(self, name: str, size: int) -> list[int]:
        """Return the bits of a new classical register."""
        first = len(self.builder.clbits)
        self.builder.add_clbits(size)
        bits = list(range(first, first + size))
        self._registers.append((name, bits))
        return bits

    def measure(self, block: Block, qubit: int, bit: int) -> None:
        """Append a measurement; what was read of the bit before is then outdated."""
        block.measure(self.qubit(qubit), bit)
        self.present.versions[bit] = self._version()

    def _version(self) -> int:
        self._measured += 1
        return self._measured

    def read(self, bit: int) -> Bit:
        """Return the value of a classical bit as it is now."""
        return Bit(bit, self.present.versions.get(bit, 0), self._loop)

    # --- Branches and loops ----------------------------------------------------------------------

    def join(self, yes: Present, no: Present) -> Present:
        """Return what holds where two ways meet."""
        bits = {**yes.versions, **no.versions}
        versions = {
            bit: self._version() if yes.versions.get(bit, 0) != no.versions.get(bit, 0) else version
            for bit, version in bits.items()
        }
        return Present(versions, [qubit for qubit in yes.free if qubit in no.free])

    def met(self, value: Any, way: Present) -> Any:
        """Return a value that a way left, where it meets the other one.

        What bits hold at the end of the way, they still hold there.
        """
        joined = self.present.versions

        def moved(bit: Bit) -> Bit:
            version = way.versions.get(bit.clbit, 0)
            if bit.version != version:
                return bit
            return Bit(bit.clbit, joined.get(bit.clbit, 0), bit.loop)

        return replaced(value, moved)

    @contextmanager
    def looping(self) -> Iterator[None]:
        """Go once through the body of a loop, which may run any number of times.

        Raises:
            UnknownValueError: If the body depends on a result as it was before the loop, and
                measures it again: a later round would find another one.
        """
        outer, before, used = self._loop, dict(self.present.versions), self._used
        self._loops += 1
        self._loop, self._used = self._loops, set()
        try:
            yield
            if any(bit.loop < self._loop and self._was_measured(bit, before) for bit in self._used):
                raise UnknownValueError(
                    "a loop depends on a result from before it, which it measures again"
                )
        finally:
            self._loop, self._used = outer, used | self._used

    def _was_measured(self, bit: Bit, before: dict[int, int]) -> bool:
        return self.present.versions.get(bit.clbit, 0) != before.get(bit.clbit, 0)

    def entered(self, value: Any) -> Any:
        """Return a value that each round of a loop finds anew: as if it were read in the loop."""
        versions = self.present.versions

        def moved(bit: Bit) -> Bit:
            is_current = bit.version == versions.get(bit.clbit, 0)
            return Bit(bit.clbit, bit.version, self._loop) if is_current else bit

        return replaced(value, moved)

    def is_carried(self, before: Any, after: Any) -> bool:
        """Tell whether a round left a value as it found it, so that all rounds are the same.

        Either it is what classical bits hold, before and after; or it never changed, and then what
        was measured again since must not have been used.
        """
        if self.present.holds(after) and all(bit.loop == self._loop for bit in bits_in(before)):
            return True
        stale = {bit for bit in bits_in(before) if not self.present.holds(bit)}
        return bool(before == after and not stale & self._used)

    def finish(self) -> None:
        """Group the results into registers."""
        static = sorted((key, bit) for key, bit in self._results.items() if isinstance(key, int))
        dynamic = [bit for key, bit in self._results.items() if not isinstance(key, int)]
        bits = [bit for _, bit in static] + dynamic
        if bits:
            self.builder.group("results", bits)
        for name, bits in self._registers:
            self.builder.group(name, bits)

    # --- Conditions ------------------------------------------------------------------------------

    def condition(self, value: Any) -> Any:
        """Return Qiskit's condition for a bit or formula.

        Raises:
            UnknownValueError: If a bit of it was measured again since it was read.
        """
        if isinstance(value, Bit):
            return (self._clbit(value), True)
        if isinstance(value, Formula) and value.kind == "not" and isinstance(value.terms[0], Bit):
            return (self._clbit(value.terms[0]), False)
        return self._expression(value)

    def _expression(self, value: Any) -> expr.Expr:
        if isinstance(value, Bit):
            return expr.lift(self._clbit(value))
        terms = [self._expression(term) for term in value.terms]
        if value.kind == "not":
            return expr.logic_not(terms[0])
        while len(terms) > 1:
            pairs = zip(terms[::2], terms[1::2], strict=False)
            terms = [expr.logic_and(*pair) for pair in pairs] + terms[len(terms) // 2 * 2 :]
        return terms[0]

    def _clbit(self, bit: Bit) -> Any:
        if not self.present.holds(bit):
            raise UnknownValueError("a result is used that was measured again since it was read")
        self._used.add(bit)
        return self.builder.clbits[bit.clbit]
