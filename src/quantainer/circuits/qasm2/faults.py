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
_CALL = re.compile(
    r"(?<![\w.])[A-Za-z]\w*\s*(?:\([^;{}]*?\))?\s*(?P<qubits>\w+\[\d+\](?:\s*,\s*\w+\[\d+\])+)\s*;"
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
    prefix = IMPOSSIBLE + "_"
    while prefix in plain:
        prefix += "_"
    pieces, found, widths, end = [], [], set(), 0
    for call in _CALL.finditer(plain):
        qubits = re.split(r"\s*,\s*", call["qubits"])
        apart = list(dict.fromkeys(qubits))
        if len(apart) == len(qubits):
            continue
        widths.add(len(apart))
        line, column = position(plain, call.start())
        statement = " ".join(call[0].split())
        found.append(f"{line}:{column}: {statement}")
        lines = "\n" * call[0].count("\n")
        pieces += [plain[end : call.start()], f"{prefix}{len(apart)} {','.join(apart)};{lines}"]
        end = call.end()
    pieces.append(plain[end:])
    version = _VERSION.match(plain)
    start = version.end() if version else 0
    declared = "".join(f"opaque {prefix}{n} {_names(n)};" for n in sorted(widths))
    marked = "".join(pieces)
    return Faults(marked[:start] + declared + marked[start:], prefix, tuple(found))


def _names(count: int) -> str:
    return ",".join(f"a{index}" for index in range(count))
