"""The part of LLVM IR that quantum programs use, as a tree."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "Block",
    "Function",
    "Instruction",
    "Module",
    "Name",
    "Operand",
    "SyntaxFaultError",
    "Type",
]


class SyntaxFaultError(Exception):
    """Text that is not LLVM IR, or not of the part that is read."""

    def __init__(self, reason: str, line: int) -> None:
        super().__init__(reason)
        self.reason, self.line = reason, line


@dataclass(frozen=True, slots=True)
class Type:
    """A type: ``int`` and its bits, ``float``, ``ptr``, ``array`` with length and element, …"""

    kind: str
    size: int = 0
    element: Type | None = None


@dataclass(frozen=True, slots=True)
class Name:
    """A value that an instruction, parameter or global gives a name."""

    name: str
    is_global: bool = False


@dataclass(frozen=True, slots=True)
class Element:
    """A constant ``getelementptr``: the place of an element inside of a global."""

    base: Any
    indices: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Operand:
    """A value with its type; constants are Python numbers, tuples, ``None`` for undefined ones."""

    type: Type
    value: Any


@dataclass(slots=True)
class Instruction:
    """One instruction.

    ``labels`` are the blocks of a branch or switch, or the origins of a phi; ``callee`` the
    function
    of a call; ``flavour`` a comparison's predicate.
    """

    opcode: str
    line: int
    result: str | None = None
    type: Type | None = None
    operands: list[Operand] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    callee: Any = None
    flavour: str = ""


@dataclass(slots=True)
class Block:
    """Instructions that run one after the other; the last one says where to go on."""

    label: str
    instructions: list[Instruction] = field(default_factory=list)


@dataclass(slots=True)
class Function:
    """A function; without blocks it is only declared."""

    name: str
    parameters: list[tuple[str, Type]]
    line: int
    attributes: dict[str, str] = field(default_factory=dict)
    groups: list[str] = field(default_factory=list)
    blocks: dict[str, Block] = field(default_factory=dict)


@dataclass(slots=True)
class Module:
    """A whole program."""

    functions: dict[str, Function] = field(default_factory=dict)
    globals: dict[str, Any] = field(default_factory=dict)
    attributes: dict[str, dict[str, str]] = field(default_factory=dict)
