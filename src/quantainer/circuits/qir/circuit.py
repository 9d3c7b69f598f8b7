"""The circuit that a QIR program makes: qubits and results as they are met, and its conditions."""

from __future__ import annotations

from typing import Any

from qiskit.circuit.classical import expr

from quantainer.circuits.builder import Block, Builder
from quantainer.circuits.qir.values import Bit, Formula, UnknownValueError

__all__ = ["Output"]


class Output:
    """Wires that grow as the program names them, and the versions of what was measured."""

    def __init__(self, builder: Builder) -> None:
        self.builder = builder
        self._results: dict[Any, int] = {}
        self._versions: dict[int, int] = {}
        self._registers: list[tuple[str, list[int]]] = []
        self._allocated = 0
        self._free: list[int] = []

    # --- Qubits ----------------------------------------------------------------------------------

    def qubit(self, index: int) -> int:
        """Return a qubit, which is made with all before it if it was not met yet."""
        missing = index + 1 - len(self.builder.qubits)
        if missing > 0:
            self.builder.add_qubits(missing)
        return index

    def allocate(self, block: Block) -> int:
        """Return a qubit in state 0: one that was released, reset, or a new one."""
        if self._free:
            index = self._free.pop()
            block.reset(index)
            return index
        self._allocated = max(self._allocated, len(self.builder.qubits))
        return self.qubit(self._allocated)

    def release(self, index: int) -> None:
        """Take a qubit back."""
        if index not in self._free:
            self._free.append(index)

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
        self._versions[bit] = self._versions.get(bit, 0) + 1

    def read(self, bit: int) -> Bit:
        """Return the value of a classical bit as it is now."""
        return Bit(bit, self._versions.get(bit, 0))

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
        if bit.version != self._versions.get(bit.clbit, 0):
            raise UnknownValueError("a result is used that was measured again since it was read")
        return self.builder.clbits[bit.clbit]
