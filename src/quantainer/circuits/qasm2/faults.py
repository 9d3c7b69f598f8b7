"""Faults: gates that act on one qubit twice, kept in their places so that the rest can be measured.

Public files hold some (``cx q[3],q[3];``). They mean nothing and never run; but how wide and deep
the circuit around them is can still be told.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from quantainer.circuits.refusal import position

__all__ = ["IMPOSSIBLE", "Faults", "mark"]

IMPOSSIBLE = "impossible"
"""Name of the operation that stands for such a gate, on the qubits that it names."""

_COMMENT = re.compile(r"//[^\n]*")
_VERSION = re.compile(r"\s*OPENQASM\s+[\d.]+\s*;")
_STATEMENT = re.compile(r"[^;{}]+;?")
_OPERANDS = re.compile(
    r"\s*(?:(?P<gate>[A-Za-z]\w*)\s+)?(?P<qubits>\w+\[\d+\](?:\s*,\s*\w+\[\d+\])+)\s*;"
)


@dataclass(frozen=True, slots=True)
class Faults:
    """A text whose faults are calls of opaque gates, and where they are.

    Attributes:
        text: Every statement is in the line where it was.
        prefix: With what the names of these opaque gates begin.
        found: ``line:column: statement`` of each.
    """

    text: str
    prefix: str
    found: tuple[str, ...]


def mark(text: str) -> Faults:
    """Replace the gates of a program that act on one qubit twice."""
    plain = _COMMENT.sub(lambda comment: " " * len(comment[0]), text)
    taken = max(map(len, re.findall(rf"{IMPOSSIBLE}(_*)", plain)), default=0)
    prefix = IMPOSSIBLE + "_" * (taken + 1)
    pieces, found, widths, end = [], [], set(), 0
    for statement in _STATEMENT.finditer(plain):
        after = max(plain.rfind(")", *statement.span()) + 1, statement.start())
        call = _OPERANDS.fullmatch(plain, after, statement.end())
        if call is None:
            continue
        qubits = re.split(r"\s*,\s*", call["qubits"])
        apart = list(dict.fromkeys(qubits))
        if len(apart) == len(qubits):
            continue
        widths.add(len(apart))
        start = call.start("gate") if call["gate"] else _name_before(plain, after - 1)
        text_of_call = plain[start : call.end()]
        line, column = position(plain, start)
        found.append(f"{line}:{column}: {' '.join(text_of_call.split())}")
        lines = "\n" * text_of_call.count("\n")
        pieces += [plain[end:start], f"{prefix}{len(apart)} {','.join(apart)};{lines}"]
        end = call.end()
    pieces.append(plain[end:])
    version = _VERSION.match(plain)
    start = version.end() if version else 0
    declared = "".join(f"opaque {prefix}{n} {_names(n)};" for n in sorted(widths))
    marked = "".join(pieces)
    return Faults(marked[:start] + declared + marked[start:], prefix, tuple(found))


def _name_before(text: str, closing: int) -> int:
    """Return where the name before a parenthesis begins, of which this is the end."""
    depth, at = 1, closing
    while depth and at > 0:
        at -= 1
        depth += {")": 1, "(": -1}.get(text[at], 0)
    while at > 0 and text[at - 1].isspace():
        at -= 1
    while at > 0 and (text[at - 1].isalnum() or text[at - 1] == "_"):
        at -= 1
    return at


def _names(count: int) -> str:
    return ",".join(f"a{index}" for index in range(count))
