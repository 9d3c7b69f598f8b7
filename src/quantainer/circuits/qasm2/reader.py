"""Reads OpenQASM 2 and says, with line and column, what cannot be read."""

from __future__ import annotations

import re

from qiskit.qasm2 import QASM2ParseError

from quantainer.circuits.circuit import Circuit
from quantainer.circuits.options import ReadOptions
from quantainer.circuits.qasm2.faults import mark
from quantainer.circuits.qasm2.library import EXTENSION, LIBRARY
from quantainer.circuits.qasm2.program import Program
from quantainer.circuits.qasm2.source import Source
from quantainer.circuits.qasm2.statement import StatementError
from quantainer.circuits.refusal import invalid, position
from quantainer.circuits.text import check_nesting, check_operators, decode, without_comments
from quantainer_client.errors import QuantainerError

__all__ = ["read"]

_PLACE = re.compile(r"\s*(?P<file>.*?):(?P<line>\d+),(?P<column>\d+): (?P<reason>.*)", re.DOTALL)
_HUGE = re.compile(r"\[\s*\d{10,}")
_UNDEFINED = re.compile(r"'(?P<name>[^']+)' is not defined in this scope")
_FOREIGN = {"ancilla", "dirty"}
_QASM3_WORDS = {"bit", "qubit", "int", "uint", "float", "input", "output", "def", "for", "let"}


def read(data: bytes, name: str, options: ReadOptions) -> Circuit:
    """Read an OpenQASM 2 program.

    Raises:
        QuantainerError: ``invalid_circuit`` with file, line, column and reason; ``too_large`` for a
            limit; ``unsupported_circuit`` for a gate without a definition.
    """
    text = decode(data, name)
    plain = without_comments(text)
    check_nesting(plain, name, options.max_nesting)
    check_operators(plain, name)
    huge = _HUGE.search(plain)
    if huge:
        line, column = position(text, huge.start())
        raise invalid(name, "a register cannot be that large", line=line, column=column)
    try:
        return _interpreted(Source(text, name, options))
    except _TwiceError as error:
        if not options.keep_faults:
            raise error.refusal from None
    faults = mark(text)
    return _interpreted(Source(faults.text, name, options, faults))


class _TwiceError(Exception):
    """A gate acts on one qubit twice."""

    def __init__(self, refusal: QuantainerError) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def _interpreted(source: Source) -> Circuit:
    try:
        program = Program(source)
        program.run(source.text)
    except StatementError as refusal:
        raise source.locate(refusal, lambda part: Program(source).run(part)) from None
    except QASM2ParseError as error:
        refused = _parse_error(error, source)
        if source.faults is None and "duplicate qubits" in str(error):
            raise _TwiceError(refused) from None
        raise refused from None
    faults = [] if source.faults is None else source.faults.found
    reasons = tuple(f"{source.name}:{fault} acts on one qubit twice" for fault in faults)
    notes = program.notes()
    if reasons:
        notes += (f"{len(reasons)} gates act on one qubit twice: it cannot run; {reasons[0]}",)
    return Circuit(program.builder.finish(), "qasm2", source.name, notes, faults=reasons)


def _parse_error(error: QASM2ParseError, source: Source) -> QuantainerError:
    text = str(error).strip()
    if text[:1] == text[-1:] and text[:1] in ("'", '"'):
        text = text[1:-1]
    found = _PLACE.match(text)
    if found is None:
        return invalid(source.name, text)
    file = found["file"].strip()
    name = source.name if file in ("<input>", "") else file
    reason = found["reason"].strip()
    hint = _hint(reason, source)
    unknown = _UNDEFINED.search(reason)
    if unknown and unknown["name"] in _FOREIGN:
        reason = f"'{unknown['name']}' is a keyword of another dialect (staq), not of OpenQASM 2"
    return invalid(
        name, reason, line=int(found["line"]), column=int(found["column"]) + 1, hint=hint
    )


def _hint(reason: str, source: Source) -> str | None:
    if reason.startswith("unable to find"):
        return "Put its gate definitions into the file; only qelib1.inc is built in."
    if "capital letters" in reason:
        return "Write names in lower case: gates of the library are `h`, `cx`, `ccx`."
    unknown = _UNDEFINED.search(reason)
    return _hint_for(unknown["name"], source) if unknown else None


def _hint_for(name: str, source: Source) -> str:
    if name in _FOREIGN:
        return "Declare the extra qubits as a register and pass them to the gate."
    if name in _QASM3_WORDS:
        return 'This looks like OpenQASM 3: begin the file with "OPENQASM 3.0;".'
    if source.options.gate_library == "strict" and name in {gate.name for gate in EXTENSION}:
        return "The wider gate library has it: read with gate_library=legacy."
    if name in {gate.name for gate in LIBRARY}:
        return 'Write include "qelib1.inc"; above its first use.'
    return "Declare the register, or define the gate, above its first use."
