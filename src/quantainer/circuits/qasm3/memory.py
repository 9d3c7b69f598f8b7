"""Memory: classical bits, what is known of their content, and where they live.

A :class:`Cell` is one classical bit. As long as its value is known, nothing is stored: a program
whose classical part can be computed while reading becomes one without any. Where a branch depends
on a measurement, the cells that it changes are *settled*: their values are stored, and what the
arms leave in them is known no more unless they agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from quantainer.circuits.qasm3.emitter import Emitter
from quantainer.circuits.qasm3.logic import Bit, Row, atoms, weight

__all__ = ["Arena", "Cell", "Memory", "Register"]

_HOLD = 12  # functions heavier than this get a bit of their own


class Cell:
    """One classical bit.

    Attributes:
        register: Where it lives, and ``index`` its place there.
        value: What the program knows it to be; ``None`` if it depends on measurements.
        stored: What the bit itself is known to hold; differs from ``value`` until settled.
        sources: Of a held function: the bits that it was computed from.
    """

    __slots__ = ("index", "register", "sources", "stored", "value")
    weight = 1

    def __init__(self, register: Register, index: int, stored: bool | None = False) -> None:
        self.register = register
        self.index = index
        self.value: bool | None = False
        self.stored = stored
        self.sources: tuple[Cell, ...] = ()

    def read(self) -> Bit:
        """Return the value, or the cell itself where that is not known."""
        return self if self.value is None else self.value


class Register:
    """A named row of cells; it becomes a classical register of the circuit if ``used``.

    Attributes:
        output: Whether it is part of the program's result: if it is declared as an output, or is
            a register of bits in a program that declares none.
    """

    def __init__(self, name: str, size: int, used: bool, stored: bool | None = False) -> None:
        self.name = name
        self.used = used
        self.output = False
        self.cells = [Cell(self, index, stored) for index in range(size)]


Arena = list[Cell]
"""Scratch cells that are freed together, when a statement or block ends."""


class Memory:
    """All classical bits of a program."""

    def __init__(self, emitter: Emitter) -> None:
        self.emitter = emitter
        self.registers: list[Register] = []
        self.scratch = Register("scratch", 0, used=False)
        self.rounds = 0  # run-time loops around the current statement
        self._free: list[Cell] = []
        self._arenas: list[Arena] = [[]]

    def hide(self) -> None:
        """Move the cells of all registers that are no output into the scratch register."""
        for register in self.registers:
            if register.output:
                continue
            self.scratch.used = self.scratch.used or register.used
            for cell in register.cells if register.used else ():
                cell.register, cell.index = self.scratch, len(self.scratch.cells)
                self.scratch.cells.append(cell)
        self.registers = [register for register in self.registers if register.output]

    def declare(self, name: str, size: int, used: bool) -> Register:
        """Return a new register of global variables."""
        register = Register(name, size, used)
        self.registers.append(register)
        return register

    @property
    def current(self) -> Arena:
        """The innermost arena."""
        return self._arenas[-1]

    @contextmanager
    def arena(self) -> Iterator[Arena]:
        """Free the scratch cells that are taken within, unless for another arena."""
        self._arenas.append([])
        try:
            yield self._arenas[-1]
        finally:
            for cell in self._arenas.pop():
                cell.stored, cell.sources = None, ()
                self._free.append(cell)

    def take(self, count: int, arena: Arena | None = None) -> list[Cell]:
        """Return scratch cells with the known value 0; ``arena`` is the innermost if not given."""
        cells = []
        for _ in range(count):
            if self._free:
                cell = self._free.pop()
            else:
                stored = None if self.rounds else False
                cell = Cell(self.scratch, len(self.scratch.cells), stored)
                self.scratch.cells.append(cell)
            cell.value = False
            cells.append(cell)
        (self.current if arena is None else arena).extend(cells)
        return cells

    def permanent(self, count: int = 1) -> list[Cell]:
        """Return scratch cells that are never freed, with the known value 0."""
        stored = None if self.rounds else False
        start = len(self.scratch.cells)
        cells = [Cell(self.scratch, start + place, stored) for place in range(count)]
        self.scratch.cells += cells
        return cells

    @contextmanager
    def loop(self) -> Iterator[None]:
        """Mark a body that is repeated at run time: nothing is known of what scratch cells hold."""
        for cell in self._free:
            cell.stored = None
        self.rounds += 1
        yield
        self.rounds -= 1

    # Writing

    def write(self, cell: Cell, bit: Bit) -> None:
        """Assign to one cell."""
        if bit is cell:
            return
        if isinstance(bit, bool):
            cell.value = bit
            return
        self.emitter.store(cell, bit)
        cell.value = cell.stored = None

    def write_row(self, cells: list[Cell], row: Row) -> None:
        """Assign to cells at once: a row may read the cells that it overwrites."""
        pairs = [pair for pair in zip(cells, row, strict=True) if pair[0] is not pair[1]]
        order = _order(pairs)
        if order is None:
            pairs = [(cell, self._kept(bit)) for cell, bit in pairs]
            order = pairs
        for cell, bit in order:
            self.write(cell, bit)

    def _kept(self, bit: Bit) -> Bit:
        if isinstance(bit, bool):
            return bit
        (cell,) = self.take(1)
        self.write(cell, bit)
        return cell

    def hold(self, bit: Bit) -> Bit:
        """Return a cell with the function's value where the function is large, else itself."""
        if weight(bit) <= _HOLD:
            return bit
        (cell,) = self.take(1)
        cell.sources = self.sources(bit)
        self.emitter.store(cell, bit, held=True)
        cell.value = cell.stored = None
        return cell

    def sources(self, bit: Bit) -> tuple[Cell, ...]:
        """Return the cells that a function comes from, held parts opened."""
        found: dict[Cell, None] = {}
        for atom in atoms(bit):
            assert isinstance(atom, Cell)
            found.update(dict.fromkeys(atom.sources or (atom,)))
        return tuple(found)

    def measured(self, cell: Cell) -> None:
        """Note that a measurement wrote the cell."""
        cell.value = cell.stored = None
        cell.register.used = True

    def settle(self, cell: Cell) -> None:
        """Store the known value if the bit does not hold it."""
        if cell.value is not None and cell.stored is not cell.value:
            self.emitter.store(cell, cell.value)
            cell.stored = cell.value


def _order(pairs: list[tuple[Cell, Bit]]) -> list[tuple[Cell, Bit]] | None:
    """Return an order in which every cell is read before it is overwritten, if there is one."""
    reads = [set() if isinstance(bit, bool) else set(atoms(bit)) for _, bit in pairs]
    count = len(pairs)
    last = {atom: place for place, found in enumerate(reads) for atom in found}
    if all(last.get(cell, place) <= place for place, (cell, _) in enumerate(pairs)):
        return pairs
    first = {atom: place for place in reversed(range(count)) for atom in reads[place]}
    if all(first.get(cell, place) >= place for place, (cell, _) in enumerate(pairs)):
        return pairs[::-1]
    return None
