"""Parser: tokens to the tree of statements.

Hand-written for three reasons (`docs/openqasm3.md` has the figures): it is linear and does not
recurse on long programs, it says what is missing instead of "no viable alternative", and it is two
orders of magnitude faster than the ANTLR reference parser, which the tests compare it with.
"""

from __future__ import annotations

from collections.abc import Callable

from quantainer.circuits.qasm3 import syntax
from quantainer.circuits.qasm3.declaration_parser import CLASSICAL, OPERANDS, DeclarationParser
from quantainer.circuits.qasm3.lexer import KEYWORDS, tokenize
from quantainer.circuits.qasm3.source import Source, nearest
from quantainer.circuits.qasm3.syntax import Expression, Statement

__all__ = ["parse"]

_ASSIGNMENTS = frozenset(["=", "+=", "-=", "*=", "/=", "&=", "|=", "^=", "<<=", ">>=", "%=", "**="])
_MODIFIERS = frozenset(("inv", "pow", "ctrl", "negctrl"))


def parse(source: Source, max_nesting: int) -> syntax.Program:
    """Return the tree of a file.

    Raises:
        QuantainerError: ``invalid_circuit`` with the place and what was expected there;
            ``too_large`` for what is nested deeper than ``max_nesting``.
    """
    return _Parser(source, tokenize(source, max_nesting), max_nesting).program()


class _Parser(DeclarationParser):
    def program(self) -> syntax.Program:
        program = syntax.Program(self._version())
        while self.kind != "end of file":
            program.body += self._annotated()
        return program

    def _version(self) -> str | None:
        if not self.accept("OPENQASM"):
            return None
        token = self.token
        if token.kind not in ("integer", "real"):
            raise self.refuse("expected a version, e.g. `OPENQASM 3.0;`")
        major = token.text.split(".")[0]
        if major not in ("2", "3"):
            raise self.source.invalid(
                token.at,
                f"unsupported OpenQASM version {token.text}",
                "Versions 2 and 3 are read.",
            )
        if major == "2":
            raise self.source.invalid(
                token.at,
                f"this is OpenQASM {token.text}, and to be read as OpenQASM 3",
                "Leave the format out: it is found by content.",
            )
        self.take()
        self.expect(";", "after the version")
        return token.text

    def _annotated(self) -> list[Statement]:
        """Read a statement, its annotations in front of it."""
        statements: list[Statement] = []
        while self.kind == "annotation":
            token = self.take()
            statements.append(syntax.Pragma(token.at, token.text[1:], annotation=True))
        if statements and self.kind in ("end of file", "}"):
            raise self.refuse("an annotation needs a statement after it")
        statements.append(self.statement())
        return statements

    def statement(self) -> Statement:
        """Read one statement or block."""
        token = self.token
        read = _STATEMENTS.get(token.kind)
        if read is not None:
            return read(self)
        if token.kind == "name":
            return self._from_name()
        if token.kind in CLASSICAL:
            return self.declaration(const=False)
        if token.kind == ";":
            raise self.refuse("expected a statement")
        return self.expression_statement()

    def braces(self, where: str) -> list[Statement]:
        self.expect("{", f"before the body {where}")
        body: list[Statement] = []
        while self.kind != "}":
            if self.kind == "end of file":
                raise self.refuse("expected `}`")
            with self.nested():
                body += self._annotated()
        self.take()
        return body

    def _body(self, where: str) -> list[Statement]:
        """Read a block or a single statement."""
        if self.kind == "{":
            return self.braces(where)
        with self.nested():
            return self._annotated()

    # Statements that start with a name

    def _from_name(self) -> Statement:
        name = self.take()
        if self.kind in OPERANDS:
            return self._call_with_operands([], name.at, name.text, [], None)
        if self.kind == "(":
            return self._from_arguments(name.at, name.text)
        target: Expression = syntax.Name(name.at, name.text)
        if self.kind == "[":
            start = self.index
            target = self.postfix(target)
            if self.kind in OPERANDS:
                self.index = start
                duration = self.designator()
                return self._call_with_operands([], name.at, name.text, [], duration)
        if self.kind in _ASSIGNMENTS:
            return self._assignment(target)
        return self._rest_of_expression(name.at, name.text, target)

    def _from_arguments(self, at: int, name: str) -> Statement:
        self.take()
        arguments = self.listed(")", self.value, "after the arguments")
        duration = None
        if self.kind == "[":
            start = self.index
            duration = self.designator()
            if self.kind not in OPERANDS:
                self.index, duration = start, None
        if self.kind in OPERANDS:
            return self._call_with_operands([], at, name, arguments, duration)
        call = syntax.Call(at, name, arguments)
        if self.accept("->"):
            target = self.operand()
            self.semicolon("after the target")
            return syntax.Assign(at, target, "=", call)
        return self._rest_of_expression(at, name, self.postfix(call))

    def _rest_of_expression(self, at: int, name: str, left: Expression) -> Statement:
        if self.kind not in (";", "end of file") and isinstance(left, syntax.Name):
            hint = nearest(name, KEYWORDS)
            if self.kind not in ("+", "-", "*", "/", "<", ">", "==", "&", "|", "^", "%", "**"):
                raise self.refuse(f"expected an operand, an assignment or `;` after `{name}`", hint)
        left = self.expression(left=left)
        self.semicolon("after the expression")
        return syntax.ExpressionStatement(at, left)

    def _assignment(self, target: Expression) -> Statement:
        op = self.take()
        if op.text == "=":
            value = self.assigned()
        else:
            value = self.measure() if self.kind == "measure" else self.value()
        self.semicolon("after the assignment")
        return syntax.Assign(op.at, target, op.text, value)

    # Gates and quantum instructions

    def _call_with_operands(
        self,
        modifiers: list[syntax.Modifier],
        at: int,
        name: str,
        arguments: list[Expression],
        duration: Expression | None,
    ) -> Statement:
        operands = self.operands()
        if self.accept("->"):
            target = self.operand()
            self.semicolon("after the target")
            return syntax.Assign(at, target, "=", syntax.Call(at, name, [*arguments, *operands]))
        self.semicolon("after the operands")
        return syntax.GateCall(at, modifiers, name, arguments, duration, operands)

    def modified(self) -> Statement:
        modifiers = []
        while self.kind in _MODIFIERS:
            word = self.take()
            argument = None
            if word.kind == "pow" and self.kind != "(":
                raise self.refuse("`pow` needs an exponent", "E.g. `pow(2) @ x q;`.")
            if word.kind != "inv" and self.accept("("):
                argument = self.expression()
                self.expect(")", f"after the argument of `{word.text}`")
            if self.kind == "annotation":
                raise self.refuse(
                    "expected `@` and a space after the modifier", "E.g. `ctrl @ x q, r;`."
                )
            self.expect("@", f"after the modifier `{word.text}`")
            modifiers.append(syntax.Modifier(word.at, word.text, argument))
        token = self.token
        if token.kind not in ("name", "gphase"):
            raise self.refuse("expected a gate after the modifiers")
        self.take()
        arguments = []
        if self.accept("("):
            arguments = self.listed(")", self.expression, "after the arguments")
        duration = self.designator() if self.kind == "[" else None
        if token.kind == "gphase" and self.kind not in OPERANDS:
            self.semicolon("after `gphase`")
            return syntax.GateCall(token.at, modifiers, "gphase", arguments, duration, [])
        return self._call_with_operands(modifiers, token.at, token.text, arguments, duration)

    def measurement(self) -> Statement:
        measure = self.measure()
        target = self.operand() if self.accept("->") else None
        self.semicolon("after the measurement")
        return syntax.MeasureStatement(measure.at, measure, target)

    def reset(self) -> Statement:
        at = self.take().at
        operand = self.operand()
        self.semicolon("after `reset`")
        return syntax.Reset(at, operand)

    def barrier(self) -> Statement:
        word = self.take()
        operands = self.operands() if self.kind in OPERANDS else []
        self.semicolon(f"after `{word.text}`")
        kind = syntax.Barrier if word.kind == "barrier" else syntax.Nop
        return kind(word.at, operands)

    def delay(self) -> Statement:
        at = self.take().at
        duration = self.designator()
        operands = self.operands() if self.kind in OPERANDS else []
        self.semicolon("after `delay`")
        return syntax.Delay(at, duration, operands)

    def box(self) -> Statement:
        at = self.take().at
        duration = self.designator() if self.kind == "[" else None
        return syntax.Box(at, duration, self.braces("of the box"))

    # Control flow

    def jump(self) -> Statement:
        word = self.take()
        self.semicolon(f"after `{word.text}`")
        return {"break": syntax.Break, "continue": syntax.Continue, "end": syntax.End}[word.kind](
            word.at
        )

    def returned(self) -> Statement:
        at = self.take().at
        value = None if self.kind == ";" else self.assigned()
        self.semicolon("after `return`")
        return syntax.Return(at, value)

    def block(self) -> Statement:
        at = self.token.at
        return syntax.Block(at, self.braces("of the block"))

    def _condition(self, word: str) -> Expression:
        self.expect("(", f"after `{word}`: the condition stands in parentheses")
        condition = self.expression()
        self.expect(")", "after the condition")
        return condition

    def branch(self) -> Statement:
        at = self.take().at
        condition = self._condition("if")
        true = self._body("of `if`")
        false = self._body("of `else`") if self.accept("else") else None
        return syntax.If(at, condition, true, false)

    def loop(self) -> Statement:
        at = self.take().at
        if self.kind == "name" and self.ahead() == "in":
            name = self.token.text
            reason = "loop variable needs a type"
            raise self.source.invalid(self.token.at, reason, f"E.g. `for uint {name} in …`.")
        if self.kind not in CLASSICAL or self.kind == "array":
            raise self.refuse("expected the type of the loop variable, e.g. `for uint i in [0:3]`")
        spec = self.type()
        name = self.declared("the loop variable")
        self.expect("in", "after the loop variable")
        values = self._loop_values()
        return syntax.For(at, spec, name, values, self._body("of `for`"))

    def _loop_values(self) -> Expression:
        if self.kind == "{":
            return self.set()
        if self.kind == "[":
            at = self.take().at
            found = self.range(self.expression(), at)
            self.expect("]", "after the range")
            return found
        return self.expression()

    def repeat(self) -> Statement:
        at = self.take().at
        condition = self._condition("while")
        return syntax.While(at, condition, self._body("of `while`"))

    def switch(self) -> Statement:
        at = self.take().at
        target = self._condition("switch")
        self.expect("{", "before the cases")
        cases: list[tuple[list[Expression], list[Statement]]] = []
        default: list[Statement] | None = None
        while not self.accept("}"):
            if self.accept("default"):
                if default is not None:
                    raise self.source.invalid(self.token.at, "a second `default`")
                default = self.braces("of `default`")
                continue
            self.expect("case", "in the switch")
            if default is not None:
                raise self.source.invalid(self.token.at, "a `case` after `default`")
            labels = [self.expression()]
            while self.accept(","):
                if self.kind == "{":
                    break
                labels.append(self.expression())
            cases.append((labels, self.braces("of `case`")))
        if not cases:
            raise self.source.invalid(at, "a switch without cases")
        return syntax.Switch(at, target, cases, default)

    def late_version(self) -> Statement:
        raise self.source.invalid(self.token.at, "the version stands before everything else")


_STATEMENTS: dict[str, Callable[[_Parser], Statement]] = {
    "OPENQASM": _Parser.late_version,
    "include": _Parser.include,
    "pragma": _Parser.pragma,
    "cal": _Parser.calibration,
    "defcal": _Parser.calibration,
    "defcalgrammar": _Parser.calibration,
    "qubit": _Parser.qubit,
    "qreg": _Parser.register,
    "creg": _Parser.register,
    "const": _Parser.const,
    "input": _Parser.io,
    "output": _Parser.io,
    "let": _Parser.alias,
    "gate": _Parser.gate,
    "def": _Parser.subroutine,
    "extern": _Parser.extern,
    "gphase": _Parser.modified,
    "inv": _Parser.modified,
    "pow": _Parser.modified,
    "ctrl": _Parser.modified,
    "negctrl": _Parser.modified,
    "measure": _Parser.measurement,
    "reset": _Parser.reset,
    "barrier": _Parser.barrier,
    "nop": _Parser.barrier,
    "delay": _Parser.delay,
    "box": _Parser.box,
    "break": _Parser.jump,
    "continue": _Parser.jump,
    "end": _Parser.jump,
    "return": _Parser.returned,
    "{": _Parser.block,
    "if": _Parser.branch,
    "for": _Parser.loop,
    "while": _Parser.repeat,
    "switch": _Parser.switch,
}
