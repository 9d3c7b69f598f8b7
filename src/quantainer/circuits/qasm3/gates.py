"""Gates: what a call of a gate does, from the library or from the program's own definition."""

from __future__ import annotations

import cmath
from typing import Any

import numpy as np
from qiskit.circuit import ParameterExpression

from quantainer.circuits.builder import STANDARD_GATES
from quantainer.circuits.qasm3 import syntax
from quantainer.circuits.qasm3.emitter import Block, Gate
from quantainer.circuits.qasm3.functions import CONSTANTS
from quantainer.circuits.qasm3.kinds import FLOAT
from quantainer.circuits.qasm3.library import BRAKET, BUILTIN, LibraryGate
from quantainer.circuits.qasm3.machine import Frame, Machine
from quantainer.circuits.qasm3.scope import GateSymbol, Qubits, Scope
from quantainer.circuits.qasm3.syntax import Node
from quantainer.circuits.qasm3.unitary import Unitary
from quantainer.circuits.qasm3.values import Variable

__all__ = ["body_of", "define"]

_POINTS = (0.3812, 1.1937, -0.7261, 2.4413)
_KNOWN_QUBITS = 4  # of gates that are compared with the standard ones


def define(machine: Machine, node: syntax.GateDefinition) -> None:
    """Execute ``gate name(…) … { … }``: check it once, run it at each call."""
    if machine.scope is not machine.globals:
        raise machine.invalid(node, "gates are defined in the global scope")
    names = [*node.parameters, *node.qubits]
    if len(set(names)) != len(names):
        raise machine.invalid(node, f"gate `{node.name}` has two parameters or qubits of one name")
    if node.name in BUILTIN:
        raise machine.invalid(node, f"`{node.name}` is a gate of the language itself")
    symbol = GateSymbol(node.name, definition=node, source=machine.source)
    found = machine.scope.names.get(node.name)
    if isinstance(found, GateSymbol) and found.library is not None:
        raise machine.invalid(
            node,
            f"gate `{node.name}` is defined already, by stdgates.inc",
            "Rename it, or leave the include out.",
        )
    machine.declare(node, node.name, symbol)
    trial = tuple(_POINTS[place % len(_POINTS)] for place in range(len(node.parameters)))
    _run(machine, node, symbol, trial)  # refuses what is wrong in it, called or not


def body_of(machine: Machine, node: Node, symbol: GateSymbol, angles: tuple[Any, ...]) -> Unitary:
    """Return what a gate does at given angles."""
    known: Unitary | None = symbol.known.get(angles)
    if known is not None:
        return known
    if symbol.library is not None:
        found = from_library(symbol.library, angles)
    else:
        found = _standard(machine, node, symbol, angles) or _run(machine, node, symbol, angles)
    if len(symbol.known) < 4096:
        symbol.known[angles] = found
    return found


def from_library(library: LibraryGate, angles: tuple[Any, ...]) -> Unitary:
    """Return a gate of a library."""
    gate = Gate(library.gate, angles, tuple(range(library.qubits)))
    phase = 0.0 if library.phase is None else library.phase(*angles)
    return Unitary(library.qubits, [gate], phase)


def _run(machine: Machine, node: Node, symbol: GateSymbol, angles: tuple[Any, ...]) -> Unitary:
    definition, source = symbol.definition, symbol.source
    assert definition is not None
    assert source is not None
    if machine.frames >= machine.options.max_nesting:
        limit = machine.options.max_nesting
        raise machine.source.too_large(node.at, "nested calls", "max_nesting", limit)
    scope = Scope(machine.globals, opaque=True)
    for name, angle in zip(definition.parameters, angles, strict=True):
        if name in CONSTANTS:
            raise machine.invalid(definition, f"`{name}` is a constant of the language")
        scope.names[name] = Variable(name, FLOAT, angle, readonly="it is a parameter of a gate")
    for wire, name in enumerate(definition.qubits):
        scope.names[name] = Qubits((wire,), True)
    block = Block()
    before, machine.frame = machine.frame, Frame(gate=True, wires=len(definition.qubits))
    machine.frames += 1
    count = machine.emitter.count
    try:
        with machine.inside(source), machine.scoped(scope), machine.emitter.into(block):
            machine.execute(definition.body)
    finally:
        machine.frame = before
        machine.frames -= 1
        machine.emitter.count = count  # counted where it is applied
    return Unitary(len(definition.qubits), block.operations, block.phase)


# A definition of a standard gate is that gate


def _standard(
    machine: Machine, node: Node, symbol: GateSymbol, angles: tuple[Any, ...]
) -> Unitary | None:
    """Return the standard gate of this name if the definition is one, up to a phase that is kept.

    Programs define what the standard library lacks (``rzz``, ``sxdg``, ``iswap``), and exporters
    do so.
    Compilers and simulators know these by name.
    """
    library = BRAKET.get(symbol.name)
    name = library.gate if library is not None else symbol.name
    gate = STANDARD_GATES.get(name)
    if gate is None or gate.num_qubits != symbol.qubits or gate.num_params != symbol.parameters:
        return None
    if not 0 < gate.num_qubits <= _KNOWN_QUBITS:
        return None
    wires = tuple(range(gate.num_qubits))
    if symbol.same is None:
        symbol.same = _same_family(machine, node, symbol, name)
    if symbol.same:
        return Unitary(gate.num_qubits, [Gate(name, angles, wires)], 0.0)
    if any(isinstance(angle, ParameterExpression) for angle in angles):
        return None
    phase = _phase_between(machine, node, symbol, name, angles)
    return None if phase is None else Unitary(gate.num_qubits, [Gate(name, angles, wires)], phase)


def _same_family(machine: Machine, node: Node, symbol: GateSymbol, name: str) -> bool:
    """Tell whether definition and standard gate agree, phase included, wherever one looks."""
    definition = symbol.definition
    assert definition is not None
    if not all(isinstance(each, syntax.GateCall) for each in definition.body):
        return False
    for shift in (0.0, 0.571, -1.319):
        count = symbol.parameters
        angles = tuple(_POINTS[place % len(_POINTS)] + shift for place in range(count))
        phase = _phase_between(machine, node, symbol, name, angles)
        if phase is None or abs(phase) > 1e-9:
            return False
    return True


def _phase_between(
    machine: Machine, node: Node, symbol: GateSymbol, name: str, angles: tuple[Any, ...]
) -> float | None:
    """Return the phase of the definition over the standard gate; ``None`` if they differ."""
    defined = _run(machine, node, symbol, angles)
    wires = tuple(range(symbol.qubits))
    ours = defined.matrix()
    theirs = Unitary(symbol.qubits, [Gate(name, angles, wires)], 0.0).matrix()
    phase = cmath.phase(complex(np.vdot(theirs, ours)))
    if not np.allclose(ours, cmath.exp(1j * phase) * theirs, rtol=0, atol=1e-10):
        return None
    return 0.0 if abs(phase) < 1e-12 else phase
