"""Scope: names and what they mean where."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from quantainer.circuits.qasm3 import syntax
from quantainer.circuits.qasm3.kinds import Kind
from quantainer.circuits.qasm3.library import LibraryGate
from quantainer.circuits.qasm3.memory import Arena
from quantainer.circuits.qasm3.source import Source
from quantainer.circuits.qasm3.values import Variable

__all__ = ["Extern", "GateSymbol", "Qubits", "Scope", "SubroutineSymbol", "Symbol"]


@dataclass(slots=True, eq=False)
class Qubits:
    """A qubit (``single``), a register or an alias of some: indices into the program's qubits."""

    wires: tuple[int, ...]
    single: bool


@dataclass(slots=True, eq=False)
class GateSymbol:
    """A gate: of a library or defined by the program.

    Attributes:
        known: Bodies by parameters, filled as they are asked for.
        same: Whether the definition is that of a standard gate of this name, once that is known.
    """

    name: str
    library: LibraryGate | None = None
    definition: syntax.GateDefinition | None = None
    source: Source | None = None
    known: dict[Any, Any] = field(default_factory=dict)
    same: bool | None = None

    @property
    def parameters(self) -> int:
        """Number of angles."""
        if self.library is not None:
            return self.library.parameters
        assert self.definition is not None
        return len(self.definition.parameters)

    @property
    def qubits(self) -> int:
        """Number of qubits."""
        if self.library is not None:
            return self.library.qubits
        assert self.definition is not None
        return len(self.definition.qubits)


@dataclass(slots=True, eq=False)
class SubroutineSymbol:
    """A ``def``."""

    name: str
    definition: syntax.Subroutine
    source: Source


@dataclass(slots=True, eq=False)
class Extern:
    """An ``extern``: declared, but there is nothing to call.

    Also a gate that only a ``defcal`` gives a meaning (``word``).
    """

    name: str
    word: str
    line: int
    returns: Kind | None = None


Symbol = Variable | Qubits | GateSymbol | SubroutineSymbol | Extern


class Scope:
    """Names of one block.

    Attributes:
        outer: The scope around it.
        opaque: Whether it sees only constants, gates and subroutines of those around.
        arena: What the bits of its variables are freed with.
    """

    def __init__(self, outer: Scope | None = None, opaque: bool = False) -> None:
        self.outer = outer
        self.opaque = opaque
        self.names: dict[str, Symbol] = {}
        self.arena: Arena | None = None

    def find(self, name: str) -> tuple[Symbol | None, bool]:
        """Return what a name means, and whether it is hidden from inside a subroutine."""
        scope: Scope | None = self
        closed = False
        while scope is not None:
            symbol = scope.names.get(name)
            if symbol is not None:
                return symbol, closed and not _visible(symbol)
            closed = closed or scope.opaque
            scope = scope.outer
        return None, False

    def visible(self) -> Iterator[str]:
        """Yield the names that can be used here."""
        scope: Scope | None = self
        closed = False
        while scope is not None:
            for name, symbol in scope.names.items():
                if not closed or _visible(symbol):
                    yield name
            closed = closed or scope.opaque
            scope = scope.outer


def _visible(symbol: Symbol) -> bool:
    if isinstance(symbol, Qubits):
        return False
    return not isinstance(symbol, Variable) or symbol.const
