"""Reads QIR and says, with the line, what cannot be read."""

from __future__ import annotations

import re

from quantainer.circuits.builder import Builder
from quantainer.circuits.circuit import Circuit
from quantainer.circuits.lower import lower
from quantainer.circuits.options import ReadOptions
from quantainer.circuits.qir.circuit import Output
from quantainer.circuits.qir.machine import Machine
from quantainer.circuits.qir.parser import parse
from quantainer.circuits.qir.syntax import Function, Module, SyntaxFaultError
from quantainer.circuits.qir.values import UnknownValueError
from quantainer.circuits.refusal import invalid, over_limit
from quantainer.circuits.text import decode

__all__ = ["read"]

_BITCODE = (b"BC\xc0\xde", b"\xde\xc0\x17\x0b")
_COMPUTED = {"int", "bool", "double"}


def read(data: bytes, name: str, options: ReadOptions) -> Circuit:
    """Read a QIR program.

    Raises:
        QuantainerError: ``invalid_circuit`` with the line of what is not LLVM IR or not QIR;
            ``unsupported_circuit`` for what cannot become a circuit, such as an angle that depends
            on a measured result.
    """
    from_bitcode = data.startswith(_BITCODE)
    text = _disassemble(data, name) if from_bitcode else decode(data, name)
    builder = Builder(name, options)
    machine: Machine | None = None
    try:
        module = parse(text)
        entry = _entry_point(module, name, options)
        stated = _stated(entry, "required_num_qubits")
        output = Output(builder)
        if stated is not None:
            if stated > options.max_qubits:
                limit = options.max_qubits
                raise over_limit(name, "qubits", "max_qubits", limit=limit, needed=stated)
            output.qubit(stated - 1)
        for index in range(min(_stated(entry, "required_num_results") or 0, options.max_clbits)):
            output.result(index)
        machine = Machine(module, output, name, options)
        machine.run(entry)
    except SyntaxFaultError as fault:
        raise invalid(name, fault.reason, line=fault.line) from None
    except UnknownValueError as error:
        raise invalid(
            name,
            str(error),
            line=machine.line if machine else None,
            code="unsupported_circuit",
            hint="Compile the program for the adaptive profile without computations on results.",
        ) from None
    output.finish()
    notes = _notes(entry, builder, machine, from_bitcode)
    return Circuit(lower(builder.finish(), name, options), "qir", name, notes)


def _disassemble(data: bytes, name: str) -> str:
    try:
        import pyqir
    except ImportError:
        raise invalid(
            name,
            "LLVM bitcode needs pyqir, which is not installed here",
            hint="Install quantainer[qir], or disassemble it: llvm-dis FILE.bc -o FILE.ll",
            code="unsupported_circuit",
        ) from None
    try:
        return str(pyqir.Module.from_bitcode(pyqir.Context(), data))
    except ValueError as error:
        raise invalid(name, f"broken LLVM bitcode: {str(error).splitlines()[0]}") from None


def _entry_point(module: Module, name: str, options: ReadOptions) -> Function:
    defined = [function for function in module.functions.values() if function.blocks]
    marks = ("entry_point", "EntryPoint")
    entries = [f for f in defined if any(mark in f.attributes for mark in marks)]
    if options.circuit is not None:
        entries = [function for function in defined if function.name == options.circuit]
    if len(entries) == 1:
        return entries[0]
    if not entries:
        reason = "no function is marked as entry_point"
        if options.circuit is not None:
            reason = f"no function is named {options.circuit!r}"
        raise invalid(name, reason, line=1, hint="Export a program, not a library.")
    names = ", ".join(function.name for function in entries)
    raise invalid(
        name,
        f"one circuit expected, {len(entries)} entry points found: {names}",
        line=entries[1].line,
        hint="Name the one to take (command line: --circuit).",
    )


def _stated(entry: Function, attribute: str) -> int | None:
    older = {"required_num_qubits": "requiredQubits", "required_num_results": "requiredResults"}
    for name in (attribute, older[attribute]):
        text = entry.attributes.get(name, "")
        if re.fullmatch(r"\d{1,9}", text):
            return int(text)
    return None


def _notes(
    entry: Function, builder: Builder, machine: Machine, from_bitcode: bool
) -> tuple[str, ...]:
    profile = entry.attributes.get("qir_profiles") or "not stated"
    notes = [f"entry point {entry.name}, QIR profile: {profile}"]
    if _stated(entry, "required_num_qubits") is None:
        notes.append(
            "the number of qubits is not derivable statically (no required_num_qubits); "
            f"{len(builder.qubits)} were used when the program was followed"
        )
    computed = sorted(_COMPUTED.intersection(machine.intrinsics.recorded))
    if computed:
        notes.append(
            f"outputs of the type {', '.join(computed)} are computed from results; the counts give "
            "the results themselves"
        )
    if from_bitcode:
        notes.append("lines in messages are those of the disassembled text")
    return tuple(notes)
