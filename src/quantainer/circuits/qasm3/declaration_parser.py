"""Declaration parser: declarations, definitions and directives."""

from __future__ import annotations

from quantainer.circuits.qasm3 import syntax
from quantainer.circuits.qasm3.expression_parser import ExpressionParser
from quantainer.circuits.qasm3.lexer import KEYWORDS, TYPE_WORDS
from quantainer.circuits.qasm3.syntax import Expression, Statement, TypeSpec

__all__ = ["CLASSICAL", "OPERANDS", "DeclarationParser"]

OPERANDS = frozenset(("name", "physical"))
CLASSICAL = TYPE_WORDS - {"qubit"}
_PARAMETER = CLASSICAL | {"qubit", "readonly", "mutable", "creg", "qreg"}


class DeclarationParser(ExpressionParser):
    """Reads what gives names a meaning."""

    def semicolon(self, where: str) -> None:
        """Take the semicolon, or refuse where it belongs."""
        if self.kind == ";":
            self.take()
            return
        before = self.tokens[self.index - 1]
        if self.source.line(before.at) != self.source.line(self.token.at):
            place = before.at + len(before.text)
            raise self.source.invalid(place, f"expected `;` {where}")
        raise self.refuse(f"expected `;` {where}")

    def operands(self) -> list[Expression]:
        """Read a comma-separated list of qubit operands."""
        operands = [self.operand()]
        while self.accept(","):
            if self.kind not in OPERANDS:
                break
            operands.append(self.operand())
        return operands

    def assigned(self) -> Expression:
        """Read the right side of ``=``: also measurements and calls in old style."""
        if self.kind == "measure":
            return self.measure()
        if self.kind == "name" and self.ahead() in OPERANDS:
            name = self.take()
            return syntax.Call(name.at, name.text, self.operands())
        value = self.value()
        if isinstance(value, syntax.Call) and self.kind in OPERANDS:
            value.arguments += self.operands()
        return value

    def expression_statement(self) -> Statement:
        """Read an expression as a statement."""
        at = self.token.at
        value = self.expression()
        self.semicolon("after the expression")
        return syntax.ExpressionStatement(at, value)

    def include(self) -> Statement:
        """Read ``include``."""
        at = self.take().at
        if self.kind != "string":
            raise self.refuse("expected a file name in quotes after `include`")
        path = self.take().text[1:-1]
        if not path:
            raise self.source.invalid(at, "an include without a file name")
        self.semicolon("after `include`")
        return syntax.Include(at, path)

    def pragma(self) -> Statement:
        """Read a pragma."""
        token = self.take()
        return syntax.Pragma(token.at, token.text)

    def calibration(self) -> Statement:
        """Read ``cal``, ``defcal`` or ``defcalgrammar``."""
        word = self.take()
        if word.kind == "defcalgrammar":
            if self.kind != "string":
                raise self.refuse("expected the name of a grammar in quotes")
            text = self.take().text[1:-1]
            self.semicolon("after `defcalgrammar`")
            return syntax.Calibration(word.at, word.text, text)
        return syntax.Calibration(word.at, word.text, self.take().text)

    def qubit(self) -> Statement:
        """Read ``qubit[n] q;``."""
        at = self.take().at
        size = self.designator() if self.kind == "[" else None
        name = self.declared("the qubit")
        self.semicolon("after the declaration")
        return syntax.QubitDeclaration(at, name, size)

    def register(self) -> Statement:
        """Read ``qreg q[n];`` and ``creg c[n];``."""
        word = self.take()
        name = self.declared("the register")
        size = self.designator() if self.kind == "[" else None
        self.semicolon("after the declaration")
        if word.kind == "qreg":
            return syntax.QubitDeclaration(word.at, name, size)
        spec = TypeSpec(word.at, "bit", size)
        return syntax.ClassicalDeclaration(word.at, spec, name, None)

    def declared(self, what: str) -> str:
        """Read the name of something new."""
        if self.kind in KEYWORDS:
            raise self.refuse(f"a keyword cannot name {what}")
        return self.expect("name", f"for {what}").text

    def const(self) -> Statement:
        """Read ``const``."""
        self.take()
        if self.kind not in CLASSICAL or self.kind == "array":
            raise self.refuse("expected a scalar type after `const`")
        return self.declaration(const=True)

    def declaration(self, const: bool) -> Statement:
        """Read a classical declaration, or a cast that stands alone."""
        if self._is_cast():
            return self.expression_statement()
        at = self.token.at
        spec = self.type()
        name = self.declared("the variable")
        value = None
        if self.accept("="):
            array = self.kind == "{"
            value = self.array_literal() if array else self.assigned()
        elif const:
            raise self.refuse(f"the constant `{name}` needs a value")
        if self.kind == ",":
            raise self.refuse(
                "one variable per declaration", "Declare each with a statement of its own."
            )
        self.semicolon("after the declaration")
        return syntax.ClassicalDeclaration(at, spec, name, value, const)

    def _is_cast(self) -> bool:
        """Tell ``int[8](x);`` from ``int[8] x;``."""
        at, depth = self.index + 1, 0
        if self.tokens[at].kind == "[":
            while True:
                kind = self.tokens[at].kind
                depth += (kind == "[") - (kind == "]")
                at += 1
                if not depth or kind == "end of file":
                    break
        return self.tokens[min(at, len(self.tokens) - 1)].kind == "("

    def io(self) -> Statement:
        """Read ``input`` or ``output``."""
        word = self.take()
        if self.kind not in CLASSICAL:
            raise self.refuse(f"expected a classical type after `{word.text}`")
        spec = self.type()
        name = self.declared("the variable")
        self.semicolon("after the declaration")
        return syntax.IoDeclaration(word.at, word.kind == "output", spec, name)

    def alias(self) -> Statement:
        """Read ``let``."""
        at = self.take().at
        name = self.declared("the alias")
        self.expect("=", "after the alias")
        value = self.value()
        self.semicolon("after the alias")
        return syntax.Alias(at, name, value)

    def gate(self) -> Statement:
        """Read ``gate``."""
        at = self.take().at
        name = self.declared("the gate")
        parameters: list[str] = []
        if self.accept("("):
            parameters = self.listed(")", self._parameter_name, "after the gate's parameters")
        qubits = [self.declared("the gate's qubit")]
        while self.accept(","):
            if self.kind == "{":
                break
            qubits.append(self.declared("the gate's qubit"))
        return syntax.GateDefinition(at, name, parameters, qubits, self.braces("of the gate"))

    def _parameter_name(self) -> str:
        return self.declared("the parameter")

    def subroutine(self) -> Statement:
        """Read ``def``."""
        at = self.take().at
        name = self.declared("the subroutine")
        self.expect("(", "after the subroutine's name")
        parameters = self.listed(")", self._parameter, "after the parameters")
        returns = self._returns()
        return syntax.Subroutine(at, name, parameters, returns, self.braces("of the subroutine"))

    def _parameter(self) -> syntax.Parameter:
        at = self.token.at
        if self.kind not in _PARAMETER:
            raise self.refuse("a parameter needs a type, e.g. `qubit q` or `int[8] i`")
        if self.kind in ("creg", "qreg"):
            word = self.take()
            name = self.declared("the parameter")
            size = self.designator() if self.kind == "[" else None
            return syntax.Parameter(
                at, TypeSpec(at, "qubit" if word.kind == "qreg" else "bit", size), name
            )
        spec = self._parameter_type()
        return syntax.Parameter(at, spec, self.declared("the parameter"))

    def _parameter_type(self) -> TypeSpec:
        if self.kind in ("readonly", "mutable"):
            return self.reference_type()
        if self.kind in ("qubit", "creg"):
            word = self.take()
            kind = "qubit" if word.kind == "qubit" else "bit"
            size = self.designator() if self.kind == "[" else None
            return TypeSpec(word.at, kind, size)
        if self.kind not in CLASSICAL:
            raise self.refuse("expected a type")
        return self.type()

    def _returns(self) -> TypeSpec | None:
        if not self.accept("->"):
            return None
        if self.kind not in CLASSICAL:
            raise self.refuse("expected a classical type after `->`")
        return self.type()

    def extern(self) -> Statement:
        """Read ``extern``."""
        at = self.take().at
        name = self.declared("the extern")
        self.expect("(", "after the extern's name")
        parameters = self.listed(")", self._parameter_type, "after the types")
        returns = self._returns()
        self.semicolon("after `extern`")
        return syntax.Extern(at, name, parameters, returns)
