"""Parser: LLVM IR's text form to a tree. Linear, and recursive only over nested constants."""

from __future__ import annotations

from quantainer.circuits.qir.constants import CASTS, ValueParser
from quantainer.circuits.qir.syntax import (
    Block,
    Function,
    Instruction,
    Module,
    SyntaxFaultError,
    Type,
)

__all__ = ["parse"]

_BINARY = {
    *("add", "sub", "mul", "udiv", "sdiv", "urem", "srem", "shl", "lshr", "ashr"),
    *("and", "or", "xor", "fadd", "fsub", "fmul", "fdiv", "frem"),
}


def parse(text: str) -> Module:
    """Return the program.

    Raises:
        SyntaxFaultError: With the line of what is not understood.
    """
    return _Parser(text).module()


class _Parser(ValueParser):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._module = Module()

    # --- The module ------------------------------------------------------------------------------

    def module(self) -> Module:
        while self._now.kind != "end":
            token = self._now
            if token.kind == "global":
                self._global()
            elif token.text == "define":
                self._function(is_defined=True)
            elif token.text == "declare":
                self._function(is_defined=False)
            elif token.text == "attributes":
                self._attributes()
            elif token.kind in ("local", "metadata") or token.text in (
                *("target", "source_filename", "module", "uselistorder", "$"),
            ):
                self._skip_statement()
            else:
                raise self._fault("expected a definition")
        for function in self._module.functions.values():
            for group in function.groups:
                function.attributes.update(self._module.attributes.get(group, {}))
        return self._module

    def _skip_statement(self) -> None:
        """Skip a type, a target line or metadata, which may span lines in braces."""
        depth, line = 0, self._now.line
        while self._now.kind != "end" and (depth or self._now.line == line):
            mark = self._next().text
            depth += mark in ("{", "(", "[")
            depth -= mark in ("}", ")", "]")

    def _global(self) -> None:
        name = self._next().text[1:].strip('"')
        line = self._now.line
        self._expect("=")
        while self._now.kind == "word" and self._now.text not in ("constant", "global"):
            self._next()
        if self._now.kind != "word":
            raise self._fault("expected a constant")
        self._next()
        kind = self._type()
        value = self._value(kind, 0) if self._now.line == line and self._starts_value() else None
        self._module.globals[name] = value
        self._skip_line(line)

    def _skip_line(self, line: int) -> None:
        while self._now.line == line and self._now.kind != "end":
            self._next()

    def _starts_value(self) -> bool:
        return self._now.kind in ("word", "number", "text", "global") or self._now.text in "[{<"

    def _attributes(self) -> None:
        self._next()
        group = self._next().text
        self._expect("=")
        self._expect("{")
        found: dict[str, str] = {}
        while not self._take("}"):
            if self._now.kind == "end":
                raise self._fault("expected '}'")
            key = self._next().text.strip('"')
            found[key] = self._next().text.strip('"') if self._take("=") else ""
        self._module.attributes[group] = found

    def _function(self, *, is_defined: bool) -> None:
        line = self._next().line
        while self._now.kind != "global":  # linkage, attributes, the type of the result
            if self._now.kind == "end" or self._now.line != line:
                raise self._fault("expected a function's name")
            self._next()
        name = self._next().text[1:].strip('"')
        self._expect("(")
        function = Function(name, self._parameters(), line)
        while self._now.line == line and self._now.text != "{" and self._now.kind != "end":
            token = self._next()
            if token.kind == "group":
                function.groups.append(token.text)
            elif token.kind == "text":
                value = self._next().text.strip('"') if self._take("=") else ""
                function.attributes[token.text.strip('"')] = value
        if is_defined:
            self._expect("{")
            self._body(function)
        self._module.functions[name] = function

    def _parameters(self) -> list[tuple[str, Type]]:
        parameters: list[tuple[str, Type]] = []
        while not self._take(")"):
            if self._take("..."):
                continue
            kind = self._type()
            self._skip_parameter_attributes()
            name = self._next().text[1:].strip('"') if self._now.kind == "local" else ""
            parameters.append((name or str(len(parameters)), kind))
            if not self._take(",") and self._now.text != ")":
                raise self._fault("expected ',' or ')'")
        return parameters

    def _body(self, function: Function) -> None:
        block: Block | None = None
        unnamed = sum(name.isdigit() for name, _ in function.parameters)
        while not self._take("}"):
            if self._now.kind == "end":
                raise self._fault("expected '}'")
            if self._now.kind == "label":
                block = Block(self._next().text[:-1].strip('"'))
                function.blocks[block.label] = block
                continue
            if block is None:
                # A first block without a label has the next number as its name.
                block = function.blocks[str(unnamed)] = Block(str(unnamed))
            block.instructions.append(self._instruction())

    # --- Instructions ----------------------------------------------------------------------------

    def _instruction(self) -> Instruction:
        result = None
        line = self._now.line
        if self._now.kind == "local":
            result = self._next().text[1:].strip('"')
            self._expect("=")
        while self._now.text in ("tail", "musttail", "notail"):
            self._next()
        opcode = self._next().text
        instruction = Instruction(opcode, line, result)
        if opcode in _BINARY:
            self._flags()
            kind = self._type()
            first = self._operand(kind)
            self._expect(",")
            instruction.type, instruction.operands = kind, [first, self._operand(kind)]
        elif opcode in CASTS:
            self._cast(instruction)
        else:
            special = getattr(self, f"_read_{opcode}", None)
            if special is None:
                raise SyntaxFaultError(f"instruction {opcode!r} is not supported", line)
            special(instruction)
        self._skip_trailing()
        return instruction

    def _skip_trailing(self) -> None:
        """Skip alignment, attributes and metadata after an instruction."""
        while True:
            if self._now.kind in ("group", "metadata"):
                self._next()
            elif self._now.text == "," and self._after.text in ("align",):
                self._next()
                self._next()
                self._next()
            elif self._now.text == "," and self._after.kind == "metadata":
                self._next()
                self._next()
            else:
                return

    def _cast(self, instruction: Instruction) -> None:
        self._flags()
        instruction.operands = [self._operand(self._type())]
        self._expect("to")
        instruction.type = self._type()

    def _read_ret(self, instruction: Instruction) -> None:
        kind = self._type()
        if kind.kind != "void":
            instruction.operands = [self._operand(kind)]

    def _read_br(self, instruction: Instruction) -> None:
        if self._take("label"):
            instruction.labels = [self._label()]
            return
        instruction.operands = [self._operand(self._type())]
        for _ in range(2):
            self._expect(",")
            self._expect("label")
            instruction.labels.append(self._label())

    def _read_switch(self, instruction: Instruction) -> None:
        instruction.operands = [self._operand(self._type())]
        self._expect(",")
        self._expect("label")
        instruction.labels = [self._label()]
        self._expect("[")
        while not self._take("]"):
            instruction.operands.append(self._operand(self._type()))
            self._expect(",")
            self._expect("label")
            instruction.labels.append(self._label())

    def _read_unreachable(self, instruction: Instruction) -> None:
        del instruction

    def _read_alloca(self, instruction: Instruction) -> None:
        self._flags()
        instruction.type = self._type()
        if self._now.text == "," and self._after.text != "align":
            self._next()
            instruction.operands = [self._operand(self._type())]

    def _read_load(self, instruction: Instruction) -> None:
        self._flags()
        instruction.type = self._type()
        self._expect(",")
        instruction.operands = [self._operand(self._type())]

    def _read_store(self, instruction: Instruction) -> None:
        self._flags()
        value = self._operand(self._type())
        self._expect(",")
        instruction.operands = [value, self._operand(self._type())]

    def _read_getelementptr(self, instruction: Instruction) -> None:
        self._flags()
        instruction.type = self._type()
        while self._take(","):
            instruction.operands.append(self._operand(self._type()))

    def _read_icmp(self, instruction: Instruction) -> None:
        self._flags()
        instruction.flavour = self._next().text
        kind = self._type()
        first = self._operand(kind)
        self._expect(",")
        instruction.type, instruction.operands = kind, [first, self._operand(kind)]

    _read_fcmp = _read_icmp

    def _read_fneg(self, instruction: Instruction) -> None:
        self._flags()
        instruction.operands = [self._operand(self._type())]

    _read_freeze = _read_fneg

    def _read_select(self, instruction: Instruction) -> None:
        self._flags()
        instruction.operands = [self._operand(self._type())]
        for _ in range(2):
            self._expect(",")
            instruction.operands.append(self._operand(self._type()))
        instruction.type = instruction.operands[1].type

    def _read_phi(self, instruction: Instruction) -> None:
        self._flags()
        kind = instruction.type = self._type()
        while True:
            self._expect("[")
            instruction.operands.append(self._operand(kind))
            self._expect(",")
            instruction.labels.append(self._label())
            self._expect("]")
            if not self._take(","):
                return

    def _read_call(self, instruction: Instruction) -> None:
        line = self._now.line
        # Attributes of the result, its type, perhaps the function's type: all before the name.
        while self._now.kind not in ("global", "end") and self._now.line == line:
            self._next()
        if self._now.kind != "global":
            raise SyntaxFaultError("expected the name of the function to call", line)
        instruction.callee = self._next().text[1:].strip('"')
        self._expect("(")
        while not self._take(")"):
            instruction.operands.append(self._operand(self._type()))
            if not self._take(",") and self._now.text != ")":
                raise self._fault("expected ',' or ')'")

    def _label(self) -> str:
        token = self._next()
        if token.kind != "local":
            raise SyntaxFaultError(f"expected a label, found {token.text!r}", token.line)
        return token.text[1:].strip('"')
