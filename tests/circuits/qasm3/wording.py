"""Wording: the text of the trees that :mod:`author` makes."""

from __future__ import annotations

from typing import Any

from oracle import Type

_LEVELS = (("||",), ("&&",), ("|",), ("^",), ("&",), ("==", "!="), ("<", "<=", ">", ">="),
           ("<<", ">>"), ("+", "-"), ("*", "/", "%"), ("unary",), ("**",))  # fmt: skip
_LEVEL = {op: level for level, ops in enumerate(_LEVELS) for op in ops}
_ATOM = len(_LEVELS)


def _level(node: Any) -> int:
    if node[0] == "binary":
        return _LEVEL[node[1]]
    negative = node[0] == "literal" and node[1].word in ("int", "float") and node[2] < 0
    return _LEVEL["unary"] if node[0] == "unary" or negative else _ATOM


def _within(node: Any, level: int) -> str:
    """Return the text of an operand, in brackets only where they are needed."""
    inner = expression(node)
    return inner if _level(node) >= level else f"({inner})"


def expression(node: Any) -> str:  # noqa: PLR0911 (one a kind of node)
    """Return the text of an expression, by the specification's precedence."""
    match node:
        case ("literal", Type(word="bits", width=width), data):
            return f'"{data:0{width}b}"'
        case ("literal", Type(word="bool"), data):
            return "true" if data else "false"
        case ("literal", _, data):
            return repr(data)
        case ("name", name):
            return name
        case ("element", name, places):
            return f"{name}[{', '.join(map(expression, places))}]"
        case ("unary", op, operand):
            return f"{op}{_within(operand, _LEVEL['unary'])}"
        case ("binary", op, left, right):
            level = _LEVEL[op]
            sides = (level + 1, level) if op == "**" else (level, level + 1)
            return f"{_within(left, sides[0])} {op} {_within(right, sides[1])}"
        case ("cast", type, operand):
            return f"{type}({expression(operand)})"
        case ("bit", base, place):
            return f"{_within(base, _ATOM)}[{expression(place)}]"
        case ("slice", base, places):
            return f"{_within(base, _ATOM)}[{_range(places)}]"
        case ("call" | "define_call", name, arguments):
            return f"{name}({', '.join(map(expression, arguments))})"
    raise AssertionError(node)


def _range(places: range) -> str:
    step = "" if places.step == 1 else f"{places.step}:"
    return f"{places[0]}:{step}{places[-1]}"


def text(body: list[Any], margin: str = "") -> str:
    """Return the text of statements, one a line."""
    return "".join(f"{margin}{line}\n" for node in body for line in _lines(node))


def _block(body: list[Any]) -> str:
    return "{\n" + text(body, "  ") + "}"


def _lines(node: Any) -> list[str]:
    return _statement(node).split("\n")


def _statement(node: Any) -> str:  # noqa: PLR0911, PLR0912 (one a kind of node)
    match node:
        case ("declare", type, name, value, const):
            return f"{'const ' if const else ''}{type} {name} = {expression(value)};"
        case ("array", type, name, rows):
            shape = (len(rows), *((len(rows[0]),) if isinstance(rows[0], list) else ()))
            items = [
                "{" + ", ".join(map(expression, row)) + "}" if isinstance(row, list)
                else expression(row) for row in rows
            ]  # fmt: skip
            sizes = ", ".join(map(str, shape))
            return f"array[{type}, {sizes}] {name} = {{{', '.join(items)}}};"
        case ("let", name, parts):
            return f"let {name} = {' ++ '.join(f'{n}[{_range(p)}]' for n, p in parts)};"
        case ("assign", target, op, value):
            return f"{expression(target)} {op} {expression(value)};"
        case ("copy", one, start, other, begin, count):
            last = count - 1
            return f"{one}[{start}:{start + last}] = {other}[{begin}:{begin + last}];"
        case ("if", condition, true, None):
            return f"if ({expression(condition)}) {_block(true)}"
        case ("if", condition, true, false):
            return f"if ({expression(condition)}) {_block(true)} else {_block(false)}"
        case ("for", type, name, values, body):
            return f"for {type} {name} in {_values(values)} {_block(body)}"
        case ("while", condition, body):
            return f"while ({expression(condition)}) {_block(body)}"
        case ("switch", value, cases, default):
            arms = "".join(f"case {', '.join(map(str, labels))} {_block(body)}\n"
                           for labels, body in cases)  # fmt: skip
            return f"switch ({expression(value)}) {{\n{arms}default {_block(default)}\n}}"
        case ("block", body):
            return _block(body)
        case ("jump", word):
            return f"{word};"
        case ("return", value):
            return f"return {expression(value)};"
        case ("define", name, parameters, returns, body):
            listed = ", ".join(map(_parameter, parameters))
            return f"def {name}({listed}) -> {returns} {_block(body)}"
    raise AssertionError(node)


def _values(values: Any) -> str:
    match values:
        case ("range", *parts):
            return f"[{':'.join(map(expression, parts))}]"
        case ("set", items):
            return f"{{{', '.join(map(expression, items))}}}"
        case ("elements", name):
            return name
    return expression(values[1])


def _parameter(parameter: Any) -> str:
    name, type, array = parameter
    if type is not None:
        return f"{type} {name}"
    element, shape, free = array
    return (
        f"{'mutable' if free else 'readonly'} array[{element}, {', '.join(map(str, shape))}] {name}"
    )
