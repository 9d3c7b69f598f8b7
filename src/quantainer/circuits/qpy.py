"""QPY: Qiskit's own binary form. The version byte is read before anything else."""

from __future__ import annotations

import io
import re
import struct
import warnings
from collections.abc import Iterator
from typing import Any

from qiskit import qpy
from qiskit.qpy import formats
from qiskit.qpy.common import QPY_VERSION

from quantainer.circuits.circuit import Circuit
from quantainer.circuits.lower import lower
from quantainer.circuits.options import ReadOptions
from quantainer.circuits.refusal import invalid, over_limit

__all__ = ["read"]

_MAGIC = b"QISKIT"
_OLDEST = 1
_VARIABLES_SINCE, _TABLE_SINCE = 12, 16
_NUMERIC_PHASE = re.compile(rb"[fi]\x00\x08")
_HEADERS = {
    # last version: the header of a circuit
    1: struct.Struct(formats.CIRCUIT_HEADER_PACK),
    11: struct.Struct(formats.CIRCUIT_HEADER_V2_PACK),
    QPY_VERSION: struct.Struct(formats.CIRCUIT_HEADER_V12_PACK),
}


def read(data: bytes, name: str, options: ReadOptions) -> Circuit:
    """Read one circuit from QPY bytes; of several only the one that ``options.circuit`` names.

    Raises:
        QuantainerError: ``invalid_circuit`` with the file's version and this node's where they do
            not fit, with the number of circuits where it is not one, or with what is broken.
    """
    version = _version(data, name)
    _check_sizes(data, version, name, options)
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            programs = qpy.load(io.BytesIO(data))
    except BaseException as error:  # pyo3 raises panics past ``Exception``
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        reason = f"broken QPY (version {version}): {_first_line(error)}"
        hint = "The file is cut off or was written by a program that does not follow the format."
        raise invalid(name, reason, hint=hint) from None
    program = _one(programs, name, options)
    notes = [f"QPY version {version}", *dict.fromkeys(_first_line(one.message) for one in said)]
    return Circuit(lower(program, name, options), "qpy", name or program.name, tuple(notes))


def _version(data: bytes, name: str) -> int:
    if not data.startswith(_MAGIC):
        raise invalid(name, "not QPY: it does not begin with QISKIT")
    if len(data) <= len(_MAGIC):
        raise invalid(name, "broken QPY: it is cut off before its version")
    version = data[len(_MAGIC)]
    if version > QPY_VERSION:
        raise invalid(
            name,
            f"the file is QPY {version}, this node reads QPY <= {QPY_VERSION}",
            hint=f"Export with qpy.dump(circuit, file, version={QPY_VERSION}).",
        )
    if version < _OLDEST:
        raise invalid(name, f"QPY {version} does not exist")
    return version


def _check_sizes(data: bytes, version: int, name: str, options: ReadOptions) -> None:
    """Compare the sizes that headers state with the limits, before memory is taken for them."""
    header = _HEADERS[min(key for key in _HEADERS if version <= key)]
    try:
        outer = [header.unpack_from(data, offset) for offset in _circuit_offsets(data, version)]
    except struct.error:
        raise invalid(name, f"broken QPY (version {version}): it is cut off") from None
    inner = _inner_headers(data, header) if version >= _VARIABLES_SINCE else []
    for fields in (*outer, *inner):
        last = -1 if version >= _VARIABLES_SINCE else 0
        qubits, clbits, operations = (fields[last + place] for place in (-5, -4, -1))
        for thing, option, limit, needed in (
            ("qubits", "max_qubits", options.max_qubits, qubits),
            ("classical bits", "max_clbits", options.max_clbits, clbits),
            ("gates", "max_gates", options.max_gates, operations),
        ):
            if needed > limit:
                raise over_limit(name, thing, option, limit=limit, needed=needed)


def _inner_headers(data: bytes, header: struct.Struct) -> Iterator[tuple[Any, ...]]:
    """Yield what looks like the header of a circuit inside of a circuit: a block or definition.

    It is told by its number for the global phase, and by sizes that fit into the file.
    """
    for found in _NUMERIC_PHASE.finditer(data):
        start = found.start() - 2
        if start < 0 or start + header.size > len(data):
            continue
        fields = header.unpack_from(data, start)
        if all(fields[place] <= len(data) for place in (0, -4, -3, -1)):
            yield fields


def _circuit_offsets(data: bytes, version: int) -> list[int]:
    """Return where circuits begin: of all with a table of them, else of the first one."""
    fixed = formats.FILE_HEADER_V10_SIZE if version >= 10 else formats.FILE_HEADER_SIZE
    (programs,) = struct.unpack_from("!Q", data, 10)
    start = fixed + (1 if version >= 5 else 0)  # the type of the programs
    if version < _TABLE_SINCE:
        return [start] if programs else []
    if programs * 8 > len(data):
        raise struct.error
    return list(struct.unpack_from(f"!{programs}Q", data, start))


def _one(programs: list[Any], name: str, options: ReadOptions) -> Any:
    names = [str(program.name) for program in programs]
    if options.circuit is not None:
        named = [program for program in programs if program.name == options.circuit]
        if len(named) == 1:
            return named[0]
        reason = f"{len(named)} circuits are named {options.circuit!r}; there are {names}"
        raise invalid(name, reason)
    if len(programs) != 1:
        listed = f": {', '.join(names)}" if names else ""
        raise invalid(
            name,
            f"one circuit expected, {len(programs)} found{listed}",
            hint="Name the one to take (command line: --circuit), or write one to a file.",
        )
    return programs[0]


def _first_line(error: object) -> str:
    text = re.sub(r"\s+", " ", str(error)).strip(" '\"")
    return text[:200] or type(error).__name__
