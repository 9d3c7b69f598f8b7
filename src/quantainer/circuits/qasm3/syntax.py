"""Syntax: the tree of an OpenQASM 3 program, as the parser makes it.

``at`` is the offset of a node in its source, for messages.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = [
    "Alias", "ArrayLiteral", "Assign", "Barrier", "Binary", "Block", "Box", "Break", "Calibration",
    "Call", "Cast", "ClassicalDeclaration", "Concatenation", "Continue", "Delay", "DurationOf",
    "End", "Expression", "ExpressionStatement", "Extern", "For", "GateCall", "GateDefinition",
    "If", "Include", "Index", "IoDeclaration", "Literal", "Measure", "MeasureStatement", "Modifier",
    "Name", "Node", "Nop", "Parameter", "Pragma", "Program", "QubitDeclaration", "Range", "Reset",
    "Return", "SetLiteral", "Statement", "Subroutine", "Switch", "TypeSpec", "Unary", "While",
]  # fmt: skip


@dataclass(slots=True, eq=False)
class Node:
    """Anything with a place."""

    at: int


# Expressions


@dataclass(slots=True, eq=False)
class Expression(Node):
    """Something with a value."""


@dataclass(slots=True, eq=False)
class Literal(Expression):
    """A literal.

    ``kind``: int, float, imaginary, bool, bits ``(value, width)``, timing ``(value, unit)``.
    """

    kind: str
    value: object


@dataclass(slots=True, eq=False)
class Name(Expression):
    """An identifier, or a physical qubit (``$3``)."""

    name: str


@dataclass(slots=True, eq=False)
class Range(Expression):
    """``start:step:stop``, inclusive."""

    start: Expression | None
    step: Expression | None
    stop: Expression | None


@dataclass(slots=True, eq=False)
class SetLiteral(Expression):
    """``{a, b, c}`` as an index or as the values of a loop."""

    items: list[Expression]


@dataclass(slots=True, eq=False)
class Index(Expression):
    """``base[items]``: expressions and ranges, or one set."""

    base: Expression
    items: list[Expression]


@dataclass(slots=True, eq=False)
class Unary(Expression):
    """``-a``, ``!a``, ``~a``."""

    op: str
    operand: Expression


@dataclass(slots=True, eq=False)
class Binary(Expression):
    """``a op b``."""

    op: str
    left: Expression
    right: Expression


@dataclass(slots=True, eq=False)
class Cast(Expression):
    """``type(a)``."""

    type: TypeSpec
    operand: Expression


@dataclass(slots=True, eq=False)
class Call(Expression):
    """``name(arguments)``: a built-in function, a subroutine or an extern."""

    name: str
    arguments: list[Expression]


@dataclass(slots=True, eq=False)
class DurationOf(Expression):
    """``durationof({ … })``."""

    body: list[Statement]


@dataclass(slots=True, eq=False)
class Measure(Expression):
    """``measure q``."""

    operand: Expression


@dataclass(slots=True, eq=False)
class ArrayLiteral(Expression):
    """``{a, {b, c}}`` as the first value of an array."""

    items: list[Expression]


@dataclass(slots=True, eq=False)
class Concatenation(Expression):
    """``a ++ b``."""

    parts: list[Expression]


# Types


@dataclass(slots=True, eq=False)
class TypeSpec(Node):
    """A type as written.

    Attributes:
        kind: The type's word.
        size: Between the brackets of ``int[n]``, ``bit[n]``, ``qubit[n]``.
        base: Of a complex number or an array.
        dimensions: Of an array.
        rank: Of an array reference, ``#dim = n``.
        access: Of an array reference, ``readonly`` or ``mutable``.
    """

    kind: str
    size: Expression | None = None
    base: TypeSpec | None = None
    dimensions: list[Expression] | None = None
    rank: Expression | None = None
    access: str | None = None


# Statements


@dataclass(slots=True, eq=False)
class Statement(Node):
    """Something that is executed or declared."""


@dataclass(slots=True, eq=False)
class Include(Statement):
    """``include "path";``."""

    path: str


@dataclass(slots=True, eq=False)
class Pragma(Statement):
    """``pragma …``, and with ``annotation`` set ``@…``."""

    text: str
    annotation: bool = False


@dataclass(slots=True, eq=False)
class Calibration(Statement):
    """``cal``, ``defcal`` or ``defcalgrammar``, kept as text."""

    word: str
    text: str


@dataclass(slots=True, eq=False)
class QubitDeclaration(Statement):
    """``qubit[size] name;``."""

    name: str
    size: Expression | None


@dataclass(slots=True, eq=False)
class ClassicalDeclaration(Statement):
    """``type name = value;``, ``const`` or not."""

    type: TypeSpec
    name: str
    value: Expression | None
    const: bool = False


@dataclass(slots=True, eq=False)
class IoDeclaration(Statement):
    """``input type name;`` or ``output type name;``."""

    output: bool
    type: TypeSpec
    name: str


@dataclass(slots=True, eq=False)
class Alias(Statement):
    """``let name = value;``."""

    name: str
    value: Expression


@dataclass(slots=True, eq=False)
class GateDefinition(Statement):
    """``gate name(parameters) qubits { body }``."""

    name: str
    parameters: list[str]
    qubits: list[str]
    body: list[Statement]


@dataclass(slots=True, eq=False)
class Parameter(Node):
    """A parameter of a subroutine."""

    type: TypeSpec
    name: str


@dataclass(slots=True, eq=False)
class Subroutine(Statement):
    """``def name(parameters) -> returns { body }``."""

    name: str
    parameters: list[Parameter]
    returns: TypeSpec | None
    body: list[Statement]


@dataclass(slots=True, eq=False)
class Extern(Statement):
    """``extern name(types) -> returns;``."""

    name: str
    parameters: list[TypeSpec]
    returns: TypeSpec | None


@dataclass(slots=True, eq=False)
class Modifier(Node):
    """``inv @``, ``pow(k) @``, ``ctrl(n) @``, ``negctrl(n) @``."""

    word: str
    argument: Expression | None


@dataclass(slots=True, eq=False)
class GateCall(Statement):
    """``modifiers name(arguments)[duration] operands;``; also calls of subroutines in old style."""

    modifiers: list[Modifier]
    name: str
    arguments: list[Expression]
    duration: Expression | None
    operands: list[Expression]


@dataclass(slots=True, eq=False)
class MeasureStatement(Statement):
    """``measure q -> c;`` and ``measure q;``."""

    measure: Measure
    target: Expression | None


@dataclass(slots=True, eq=False)
class Reset(Statement):
    """``reset q;``."""

    operand: Expression


@dataclass(slots=True, eq=False)
class Barrier(Statement):
    """``barrier q, r;``."""

    operands: list[Expression]


@dataclass(slots=True, eq=False)
class Nop(Statement):
    """``nop q, r;``."""

    operands: list[Expression]


@dataclass(slots=True, eq=False)
class Delay(Statement):
    """``delay[duration] q, r;``."""

    duration: Expression
    operands: list[Expression]


@dataclass(slots=True, eq=False)
class Box(Statement):
    """``box[duration] { body }``."""

    duration: Expression | None
    body: list[Statement]


@dataclass(slots=True, eq=False)
class Assign(Statement):
    """``target op value;``; ``op`` is ``=`` or a compound one."""

    target: Expression
    op: str
    value: Expression


@dataclass(slots=True, eq=False)
class ExpressionStatement(Statement):
    """``expression;``."""

    value: Expression


@dataclass(slots=True, eq=False)
class Return(Statement):
    """``return value;``."""

    value: Expression | None


@dataclass(slots=True, eq=False)
class Break(Statement):
    """``break;``."""


@dataclass(slots=True, eq=False)
class Continue(Statement):
    """``continue;``."""


@dataclass(slots=True, eq=False)
class End(Statement):
    """``end;``."""


@dataclass(slots=True, eq=False)
class Block(Statement):
    """``{ body }``."""

    body: list[Statement]


@dataclass(slots=True, eq=False)
class If(Statement):
    """``if (condition) true else false``."""

    condition: Expression
    true: list[Statement]
    false: list[Statement] | None


@dataclass(slots=True, eq=False)
class For(Statement):
    """``for type name in values body``."""

    type: TypeSpec
    name: str
    values: Expression
    body: list[Statement]


@dataclass(slots=True, eq=False)
class While(Statement):
    """``while (condition) body``."""

    condition: Expression
    body: list[Statement]


@dataclass(slots=True, eq=False)
class Switch(Statement):
    """``switch (target) { case a, b { … } default { … } }``."""

    target: Expression
    cases: list[tuple[list[Expression], list[Statement]]]
    default: list[Statement] | None


@dataclass(slots=True, eq=False)
class Program:
    """A file."""

    version: str | None
    body: list[Statement] = field(default_factory=list)
