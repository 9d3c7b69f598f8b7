"""Include: other files, from the folders that the reader was given and from nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from quantainer.circuits.qasm3.library import STDGATES
from quantainer.circuits.qasm3.machine import NEXT, Machine, Outcomes
from quantainer.circuits.qasm3.parser import parse
from quantainer.circuits.qasm3.scope import GateSymbol
from quantainer.circuits.qasm3.source import Source

if TYPE_CHECKING:
    from quantainer.circuits.qasm3 import syntax

__all__ = ["include"]


def include(machine: Machine, node: syntax.Include) -> Outcomes:
    """Execute ``include``.

    Raises:
        QuantainerError: ``invalid_circuit`` for a file that is not found, includes itself or is a
            library of OpenQASM 2.
    """
    if machine.scope is not machine.globals:
        raise machine.invalid(node, "include stands in the global scope")
    if node.path == "stdgates.inc":
        _standard_gates(machine, node)
        return NEXT
    if node.path == "qelib1.inc":
        raise machine.invalid(
            node,
            '"qelib1.inc" is the library of OpenQASM 2, this is a program of version 3',
            'Include "stdgates.inc", or declare `OPENQASM 2.0;`.',
        )
    path = _find(machine, node)
    if path in machine.open_files:
        chain = " → ".join([*(each.name for each in machine.open_files), path.name])
        raise machine.invalid(node, f"circular include: {chain}")
    source = _read(machine, node, path)
    machine.open_files.append(path)
    try:
        with machine.inside(source):
            return machine.execute(parse(source, machine.options.max_nesting).body)
    finally:
        machine.open_files.pop()


def _standard_gates(machine: Machine, node: syntax.Include) -> None:
    if "stdgates.inc" in machine.libraries:
        return
    machine.libraries.add("stdgates.inc")
    for name, gate in STDGATES.items():
        found = machine.globals.names.get(name)
        implied = isinstance(found, GateSymbol) and found.library is not None
        if found is not None and not implied:
            raise machine.invalid(node, f"`{name}` of stdgates.inc is declared already")
        machine.globals.names[name] = GateSymbol(name, library=gate)


def _find(machine: Machine, node: syntax.Include) -> Path:
    folders = machine.options.include_path
    wanted = Path(node.path)
    if not folders:
        raise machine.invalid(
            node,
            f'"{node.path}" cannot be included: no folder for includes was given',
            'Only "stdgates.inc" is built in; put the rest into one file.',
        )
    if wanted.is_absolute() or ".." in wanted.parts:
        raise machine.invalid(node, f'"{node.path}" is outside of the folders for includes')
    for folder in folders:
        root = Path(folder).resolve()
        path = (root / wanted).resolve()
        if path.is_relative_to(root) and path.is_file():
            return path
    raise machine.invalid(node, f'"{node.path}" is not found', f"Looked in: {', '.join(folders)}.")


def _read(machine: Machine, node: syntax.Include, path: Path) -> Source:
    limit = machine.options.max_bytes
    machine.included += path.stat().st_size
    if machine.included > limit:
        raise machine.source.too_large(node.at, "bytes, includes counted", "max_bytes", limit)
    if len(machine.open_files) >= machine.options.max_nesting // 4:
        limit = machine.options.max_nesting // 4
        raise machine.source.too_large(node.at, "nested includes", "max_nesting", limit)
    return Source.decode(path.name, path.read_bytes())
