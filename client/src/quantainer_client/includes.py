"""Includes: an OpenQASM program with the files that it includes put in their places.

The broker reads no file for a caller. So whoever has the files, which is whoever calls, puts them
in before the program is sent: files in the folder of the program's own, and no others.
"""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from contextlib import contextmanager

from quantainer_client.errors import QuantainerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Tuple

__all__ = ["INCLUDED_MAX", "NESTED_MAX", "Program", "with_includes"]

INCLUDED_MAX = 64 * 1024 * 1024
"""Bytes of all included files together, each counted as often as it is included."""
NESTED_MAX = 64
"""Depth of files that are included by included files."""

_BUILT_IN = ("qelib1.inc", "stdgates.inc")
_BINARY = (b"QISKIT", b"QCOL", b"BC\xc0\xde", b"\xde\xc0\x17\x0b")
_NAMES = re.compile(rb"include\s*[\"']([^\"'\n]+)[\"']")
_TOKEN = re.compile(
    r"""
    //[^\n]*                                        # comments
    | /\*.*?\*/
    | (?m:^[ \t]*(?:\#?pragma\b|@)[^\n]*)           # lines that are not statements
    | \binclude\s*["'](?P<path>[^"'\n]+)["']\s*;
    | "[^"\n]*"
    | [{}]
    """,
    re.VERBOSE | re.DOTALL,
)
_VERSION = re.compile(
    r"(?:\s|//[^\n]*\n|/\*.*?\*/)*(?P<said>OPENQASM\s+3(?:\.\d+)?\s*;)", re.DOTALL
)


class Program:
    """A program as it is sent.

    Attributes:
        data: Its bytes, with what it includes.
    """

    def __init__(self, data: bytes, name: str, places: List[Tuple[int, str, int]]) -> None:
        self.data = data
        self._name = name
        self._places = places

    @contextmanager
    def located(self) -> Iterator[None]:
        """Let refusals name the file and the line that they are about, instead of ``data``'s.

        Raises:
            QuantainerError: What the block raises.
        """
        try:
            yield
        except QuantainerError as error:
            raise self._located(error) from None

    def _located(self, error: QuantainerError) -> QuantainerError:
        found = re.match(re.escape(self._name) + r":(\d+)(?=:)", error.message)
        if not self._places or found is None:
            return error
        at = int(found[1])
        starts = [start for start, _, _ in self._places]
        start, name, line = self._places[bisect_right(starts, at) - 1]
        fields = error.to_dict()
        fields["message"] = f"{name}:{line + at - start}{error.message[found.end() :]}"
        return type(error).from_dict(fields)


def with_includes(data: bytes, path: str, format: Optional[str] = None) -> Program:
    """Return a program with the files that it includes.

    The libraries that every reader has are left to the readers, and so are programs that come from
    standard input (``-``): they lie in no folder.

    Args:
        data: What is in the file.
        path: The file's.
        format: Of the program; ``None``: not known.

    Raises:
        QuantainerError: ``invalid_circuit`` with file, line and column if a file is not found, lies
            elsewhere, is no text or includes itself; ``too_large`` above ``INCLUDED_MAX`` or
            ``NESTED_MAX``.
    """
    name = os.path.basename(path)  # noqa: PTH119  # pathlib would cost its import
    plain = Program(data, name, [])
    if path == "-" or format not in (None, "qasm2", "qasm3") or data.startswith(_BINARY):
        return plain
    if not {found[1].decode("latin-1") for found in _NAMES.finditer(data)}.difference(_BUILT_IN):
        return plain
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return plain  # its reader says where
    gatherer = _Gatherer(os.path.abspath(path))  # noqa: PTH100
    gatherer.add(text, name)
    return Program("".join(gatherer.pieces).encode("utf-8"), name, gatherer.places)


class _Gatherer:
    """Puts texts together.

    Attributes:
        pieces: Of the text.
        places: For each piece of a file: the first line in the text, the file, the line in that.
    """

    def __init__(self, path: str) -> None:
        self.pieces: List[str] = []
        self.places: List[Tuple[int, str, int]] = []
        self._folder = os.path.realpath(os.path.dirname(path))  # noqa: PTH120
        self._line = 1
        self._size = 0
        self._open = [os.path.realpath(path)]

    def add(self, text: str, name: str) -> None:
        """Add a file, and in their places the files that it includes."""
        self.places.append((self._line, name, 1))
        depth, end, line = 0, 0, 1
        for token in _TOKEN.finditer(text):
            depth += {"{": 1, "}": -1}.get(token[0], 0)
            wanted = token["path"]
            if wanted is None or wanted in _BUILT_IN or depth:
                continue  # what stands in a block is for the reader to refuse
            self._append(text[end : token.start()] + "\n")
            line += text.count("\n", end, token.start())
            column = token.start() - text.rfind("\n", 0, token.start())
            self._include(wanted, f"{name}:{line}:{column}")
            line += token[0].count("\n")
            end = token.end()
            self.places.append((self._line + 1, name, line))
            self._append("\n" + " " * (end - text.rfind("\n", 0, end) - 1))
        self._append(text[end:])

    def _append(self, piece: str) -> None:
        self.pieces.append(piece)
        self._line += piece.count("\n")

    def _include(self, wanted: str, place: str) -> None:
        path = self._find(wanted, place)
        if path in self._open:
            chain = " → ".join(os.path.basename(each) for each in [*self._open, path])  # noqa: PTH119
            raise QuantainerError("invalid_circuit", f"{place}: circular include: {chain}.")
        if len(self._open) > NESTED_MAX:
            raise QuantainerError(
                "too_large", f"{place}: too many nested includes.", limit=NESTED_MAX
            )
        text = self._read(path, wanted, place)
        self._open.append(path)
        self.add(_without_version(text), wanted)
        self._open.pop()

    def _find(self, wanted: str, place: str) -> str:
        path = os.path.realpath(os.path.join(self._folder, wanted))  # noqa: PTH118
        inside = path.startswith(os.path.join(self._folder, ""))  # noqa: PTH118
        if os.path.isabs(wanted) or ".." in wanted.split("/") or not inside:  # noqa: PTH117
            raise QuantainerError(
                "invalid_circuit",
                f'{place}: "{wanted}" is outside of the folder of the program.',
                hint=f"Only files in {self._folder} are included.",
            )
        if not os.path.isfile(path):  # noqa: PTH113
            raise QuantainerError(
                "invalid_circuit",
                f'{place}: "{wanted}" is not found.',
                hint=f"Looked in: {self._folder}.",
            )
        return path

    def _read(self, path: str, wanted: str, place: str) -> str:
        left = INCLUDED_MAX - self._size
        try:
            with open(path, "rb") as file:  # noqa: PTH123
                data = file.read(left + 1)
        except OSError as error:
            raise QuantainerError(
                "invalid_circuit", f'{place}: "{wanted}": {error.strerror}.'
            ) from None
        if len(data) > left:
            raise QuantainerError(
                "too_large", f"{place}: the included files have too many bytes.", limit=INCLUDED_MAX
            )
        self._size += len(data)
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise QuantainerError(
                "invalid_circuit",
                f"{wanted}:{line}: byte 0x{data[error.start]:02x} is not UTF-8 text.",
                hint="Save the file as UTF-8.",
            ) from None


def _without_version(text: str) -> str:
    """Return an included text with blanks for its version of OpenQASM 3: the program says it."""
    found = _VERSION.match(text)
    if found is None:
        return text
    blanks = re.sub(r"[^\n]", " ", found["said"])
    return text[: found.start("said")] + blanks + text[found.end("said") :]
