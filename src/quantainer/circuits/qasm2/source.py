"""Source: the text of a program, with what is known of it before it is parsed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qiskit._accelerate import qasm2 as parser
from qiskit.qasm2 import LEGACY_CUSTOM_CLASSICAL

from quantainer.circuits.options import ReadOptions
from quantainer.circuits.qasm2.faults import Faults
from quantainer.circuits.qasm2.library import EXTENSION, LibraryGate
from quantainer.circuits.qasm2.statement import StatementError
from quantainer.circuits.refusal import invalid, position
from quantainer_client.errors import QuantainerError

__all__ = ["Source"]

_COMMENT = re.compile(r"//[^\n]*")
_OWN_NAME = re.compile(r"\b(?:gate|opaque|qreg|creg)\s+(\w+)")
_FORMAL = re.compile(r"\bgate\s+(?P<name>\w+)\s*(?:\((?P<formal>[^)]*)\))?")


class Source:
    """The text with what is known of it before it is parsed."""

    def __init__(
        self, text: str, name: str, options: ReadOptions, faults: Faults | None = None
    ) -> None:
        self.text, self.name, self.options = text, name, options
        self.faults = faults
        own = set(_OWN_NAME.findall(_COMMENT.sub("", text)))
        self.formal = _formal_parameters(text)
        self.extension: list[LibraryGate] = []
        if options.gate_library == "legacy":
            self.extension = [gate for gate in EXTENSION if gate.name not in own]

    def bytecode(self, text: str) -> Any:
        """Return the parser's instructions for the text, or for the first statements of it."""
        folders = [str(Path(folder).absolute()) for folder in self.options.include_path]
        gates = [
            parser.CustomInstruction(gate.name, gate.params, gate.qubits, True)
            for gate in self.extension
        ]
        return parser.bytecode_from_string(text, folders, gates, LEGACY_CUSTOM_CLASSICAL, False)

    def locate(self, refusal: StatementError, run: Callable[[str], object]) -> QuantainerError:
        """Return the refusal with the line of the first statement that makes ``run`` refuse."""
        ends = _statement_ends(self.text)
        low, high = 0, len(ends) - 1
        while low < high:
            middle = (low + high) // 2
            if _refused(run, self.text[: ends[middle]]):
                high = middle
            else:
                low = middle + 1
        start = ends[low - 1] if low else 0
        statement = _COMMENT.sub(lambda comment: " " * len(comment[0]), self.text[start:])
        start += len(statement) - len(statement.lstrip())
        line, column = position(self.text, start)
        return invalid(
            self.name,
            refusal.reason,
            line=line,
            column=column,
            hint=refusal.hint,
            code=refusal.code,
        )


def _refused(run: Callable[[str], object], text: str) -> bool:
    try:
        run(text)
    except StatementError:
        return True
    return False


def _statement_ends(text: str) -> list[int]:
    """Return where each statement outside of braces ends."""
    plain = _COMMENT.sub(lambda comment: " " * len(comment[0]), text)
    ends, depth = [], 0
    for mark in re.finditer(r'"[^"\n]*"|[;{}]', plain):
        if mark[0] == "{":
            depth += 1
        elif mark[0] == "}":
            depth -= 1
            if depth == 0:
                ends.append(mark.end())
        elif mark[0] == ";" and depth == 0:
            ends.append(mark.end())
    return ends or [len(text)]


def _formal_parameters(text: str) -> dict[str, int]:
    """Return how many parameters each gate of the file has; the parser takes calls with none."""
    return {
        found["name"]: 1 + found["formal"].count(",") if (found["formal"] or "").strip() else 0
        for found in _FORMAL.finditer(_COMMENT.sub("", text))
    }
