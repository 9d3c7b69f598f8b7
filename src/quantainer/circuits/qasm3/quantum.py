"""Quantum: operands, gate calls, measurement, reset, barrier."""

from __future__ import annotations

import math
from itertools import groupby
from typing import Any

from qiskit.circuit import Barrier, ParameterExpression

from quantainer.circuits.qasm3 import syntax
from quantainer.circuits.qasm3.conversion import assign, cast, real
from quantainer.circuits.qasm3.emitter import Measurement, Other, Reset
from quantainer.circuits.qasm3.expressions import HANDLERS, constant_size, evaluate, indices_of
from quantainer.circuits.qasm3.gates import body_of
from quantainer.circuits.qasm3.kinds import BIT, FLOAT, bits
from quantainer.circuits.qasm3.library import BRAKET, LibraryGate
from quantainer.circuits.qasm3.machine import NEXT, Machine, Outcomes
from quantainer.circuits.qasm3.memory import Cell
from quantainer.circuits.qasm3.scope import Extern, GateSymbol, Qubits, SubroutineSymbol
from quantainer.circuits.qasm3.source import nearest
from quantainer.circuits.qasm3.syntax import Expression, Node
from quantainer.circuits.qasm3.unitary import Unitary
from quantainer.circuits.qasm3.values import Value, Variable, is_known
from quantainer.circuits.qasm3.variables import assign_to, target_bits, write

__all__ = [
    "barrier",
    "call_gate",
    "declare_qubits",
    "measure",
    "measure_variable",
    "operand",
    "reset",
]


def declare_qubits(machine: Machine, node: syntax.QubitDeclaration) -> None:
    """Execute ``qubit[n] q;``."""
    if machine.scope is not machine.globals:
        raise machine.invalid(node, "qubits are declared in the global scope")
    size = 1 if node.size is None else constant_size(machine, node.size, "the size")
    if node.size is not None and not size:
        raise machine.invalid(node, f"the register `{node.name}` has no qubits")
    limit, needed = machine.options.max_qubits, machine.width + size
    if needed > limit:
        raise machine.source.too_large(node.at, "qubits", "max_qubits", limit, needed)
    wires = tuple(range(machine.width, needed))
    machine.declare(node, node.name, Qubits(wires, node.size is None))
    machine.qubits.append((node.name, size))
    machine.width = needed


def operand(machine: Machine, node: Expression) -> Qubits:
    """Return the qubits that an operand names."""
    if isinstance(node, syntax.Index):
        base = operand(machine, node.base)
        if base.single:
            raise machine.invalid(node, "a single qubit cannot be indexed")
        places = indices_of(machine, node, len(base.wires))
        if isinstance(places, int):
            return Qubits((base.wires[places],), True)
        if len(set(places)) != len(places):
            raise machine.invalid(node, "a qubit is named twice")
        return Qubits(tuple(base.wires[place] for place in places), False)
    if isinstance(node, syntax.Concatenation):
        parts = [operand(machine, part) for part in node.parts]
        wires = tuple(wire for part in parts for wire in part.wires)
        if len(set(wires)) != len(wires):
            raise machine.invalid(node, "a register cannot be concatenated with a part of itself")
        return Qubits(wires, False)
    if not isinstance(node, syntax.Name):
        raise machine.invalid(node, "expected a qubit")
    if node.name.startswith("$"):
        return _physical(machine, node)
    symbol = machine.find(node, node.name)
    if not isinstance(symbol, Qubits):
        raise machine.invalid(node, f"`{node.name}` is no qubit")
    return symbol


def _physical(machine: Machine, node: syntax.Name) -> Qubits:
    if machine.frame.gate:
        raise machine.invalid(node, "physical qubits cannot be used inside of a gate")
    number = int(node.name[1:])
    limit = machine.options.max_qubits
    if number >= limit:
        raise machine.source.too_large(node.at, "qubits", "max_qubits", limit, number + 1)
    # Physical qubits get numbers below 0 until all are known; :mod:`.build` places them.
    machine.physical.setdefault(number, -1 - number)
    return Qubits((machine.physical[number],), True)


# Gates


def call_gate(machine: Machine, node: syntax.GateCall) -> None:
    """Execute a gate call, modifiers and broadcast included."""
    values = [evaluate(machine, argument) for argument in node.arguments]
    turned = len(values) == 1 and values[0].kind.name == "angle" and not is_known(values[0])
    if turned and _is_linear(machine, node):
        _by_bits(machine, node, values[0])
        return
    pairs = zip(node.arguments, values, strict=True)
    _apply_gate(machine, node, [_angle(machine, *pair) for pair in pairs])


_LINEAR = frozenset(("p", "u1", "rx", "ry", "rz", "cp", "crx", "cry", "crz"))


def _is_linear(machine: Machine, node: syntax.GateCall) -> bool:
    """Tell whether the gate of a sum of angles is the product of the gates."""
    if any(modifier.word == "pow" for modifier in node.modifiers):
        return False
    symbol, _ = machine.scope.find(node.name)
    library = symbol.library if isinstance(symbol, GateSymbol) else None
    return node.name == "gphase" or (library is not None and library.gate in _LINEAR)


def _by_bits(machine: Machine, node: syntax.GateCall, value: Value) -> None:
    """Apply a gate whose angle is known at run time only: one part for each of its bits."""
    width = value.kind.width
    for place, bit in enumerate(value.data):
        angle = 2 * math.pi * 2.0 ** (place - width)
        if isinstance(bit, bool):
            if bit:
                _apply_gate(machine, node, [angle])
            continue

        def turned(angle: float = angle) -> Outcomes:
            _apply_gate(machine, node, [angle])
            return NEXT

        machine.branch(bit, [], turned, lambda: NEXT)


def _apply_gate(machine: Machine, node: syntax.GateCall, arguments: list[Any]) -> None:
    unitary = _modified(machine, node, arguments)
    operands = [operand(machine, each) for each in node.operands]
    if node.duration is not None:
        raise machine.unsupported(node.duration, f"gate `{node.name}` with a duration of its own")
    if len(operands) != unitary.qubits:
        raise machine.invalid(
            node, f"gate `{node.name}` acts on {unitary.qubits} qubit(s), here are {len(operands)}"
        )
    for row in _rows(machine, node, operands):
        if len(set(row)) != len(row):
            raise machine.invalid(node, f"gate `{node.name}` gets the same qubit twice")
        unitary.emit(machine.emitter, row)


def _rows(machine: Machine, node: Node, operands: list[Qubits]) -> list[tuple[int, ...]]:
    """Return the qubits of each application: registers of equal size go in step."""
    sizes = {len(each.wires) for each in operands if not each.single}
    if not sizes:
        return [tuple(each.wires[0] for each in operands)]
    if len(sizes) > 1:
        found = " and ".join(map(str, sorted(sizes)))
        raise machine.invalid(node, f"registers of different size in one call: {found} qubits")
    size = sizes.pop()
    columns = [each.wires * size if each.single else each.wires for each in operands]
    return list(zip(*columns, strict=True))


def _modified(machine: Machine, node: syntax.GateCall, arguments: list[Any]) -> Unitary:
    if node.name == "gphase":
        if len(arguments) != 1:
            raise machine.invalid(node, f"`gphase` takes 1 angle, here are {len(arguments)}")
        unitary = Unitary(0, [], arguments[0])
    else:
        unitary = _body(machine, node, arguments)
    for controls, group in groupby(reversed(node.modifiers), _is_control):
        if controls:
            # All at once: gates under one control after the other double many times.
            unitary = _control(machine, list(group)[::-1], unitary)
            _check_size(machine, node, unitary)
            continue
        for modifier in group:
            unitary = _apply(machine, modifier, unitary)
            _check_size(machine, modifier, unitary)
    return unitary


def _is_control(modifier: syntax.Modifier) -> bool:
    return modifier.word in ("ctrl", "negctrl")


def _check_size(machine: Machine, node: Node, unitary: Unitary) -> None:
    limit = machine.options.max_gates
    if len(unitary.operations) > limit:
        raise machine.source.too_large(node.at, "operations", "max_gates", limit)


def _control(machine: Machine, modifiers: list[syntax.Modifier], unitary: Unitary) -> Unitary:
    """Apply the ``ctrl`` and ``negctrl`` that stand side by side."""
    signs: list[bool] = []
    for modifier in modifiers:
        count = 1
        if modifier.argument is not None:
            count = constant_size(machine, modifier.argument, "the number of controls")
            if not count:
                raise machine.invalid(modifier, f"`{modifier.word}(0)` has no controls")
        limit = machine.options.max_qubits
        if unitary.qubits + len(signs) + count > limit:
            raise machine.source.too_large(modifier.at, "qubits", "max_qubits", limit)
        signs += [modifier.word == "ctrl"] * count
    return unitary.control(signs)


def _apply(machine: Machine, modifier: syntax.Modifier, unitary: Unitary) -> Unitary:
    if modifier.word == "inv":
        return unitary.inverse()
    assert modifier.argument is not None
    value = evaluate(machine, modifier.argument)
    machine.known(modifier, value, "an exponent is needed")
    if not (value.kind.integer or value.kind.name == "float"):
        raise machine.invalid(modifier, f"an exponent is a number, this is {value.kind}")
    return _power(machine, modifier, unitary, value.data)


def _power(machine: Machine, node: Node, unitary: Unitary, exponent: Any) -> Unitary:
    if isinstance(exponent, ParameterExpression):
        raise machine.unsupported(node, "an exponent that is an input needs its value")
    result = unitary.power(exponent, machine.options.max_gates)
    if result is None:
        what = f"power {exponent} of a gate on {unitary.qubits} qubits"
        raise machine.unsupported(
            node, f"{what} has no closed form here", "Use an integer exponent."
        )
    return result


def _angle(machine: Machine, node: Expression, value: Value) -> Any:
    data = machine.known(node, value, "an angle is needed")
    if value.kind.name == "angle":
        return real(value)
    if value.kind.name == "bits":
        raise machine.invalid(node, f"an angle is a number, this is {value.kind}")
    if isinstance(data, ParameterExpression):
        return data
    number = cast(machine, node, assign(machine, node, value, FLOAT), FLOAT).data
    if not math.isfinite(number):
        raise machine.invalid(node, f"the angle is {number}")
    return number


def _body(machine: Machine, node: syntax.GateCall, arguments: list[Any]) -> Unitary:
    symbol, _ = machine.scope.find(node.name)
    if symbol is None:
        symbol = _implied(machine, node)
    if isinstance(symbol, Extern) and symbol.word == "defcal":
        raise machine.unsupported(
            node,
            f"gate `{node.name}` has only a calibration (line {symbol.line})",
            "Define it with `gate`, too: there is no pulse hardware behind this backend.",
        )
    if not isinstance(symbol, GateSymbol):
        raise machine.invalid(node, f"`{node.name}` is no gate")
    if len(arguments) != symbol.parameters:
        raise machine.invalid(
            node,
            f"gate `{node.name}` takes {symbol.parameters} angle(s), here are {len(arguments)}",
        )
    return body_of(machine, node, symbol, tuple(arguments))


def _implied(machine: Machine, node: syntax.GateCall) -> GateSymbol:
    """Return a gate that a program without ``stdgates.inc`` uses as if it had it.

    Amazon Braket's programs do so: its gates need no include.
    """
    known: dict[str, LibraryGate] = {} if machine.libraries else BRAKET
    library = known.get(node.name)
    if library is None:
        names = [name for name in machine.scope.visible() if _is_gate(machine, name)]
        hint = nearest(node.name, [*names, *known])
        if node.name in BRAKET and BRAKET[node.name].gate in names:
            hint = f"Did you mean `{BRAKET[node.name].gate}`?"
        if hint is None and not machine.libraries:
            hint = 'Is `include "stdgates.inc";` missing?'
        raise machine.invalid(node, f"gate `{node.name}` is not defined", hint)
    note = (
        "gates are used that nothing defines; read with Amazon Braket's built-in gates "
        'since "stdgates.inc" is not included'
    )
    if not any(note in each for each in machine.notes):
        machine.note(node, note)
    symbol = GateSymbol(node.name, library=library)
    machine.globals.names[node.name] = symbol
    return symbol


def _is_gate(machine: Machine, name: str) -> bool:
    return isinstance(machine.scope.find(name)[0], GateSymbol | SubroutineSymbol)


# Instructions


def _outside_gate(machine: Machine, node: Node, what: str) -> None:
    if machine.frame.gate:
        raise machine.invalid(node, f"no {what} inside of a gate: gates are unitary")


def measure(machine: Machine, node: syntax.Measure, target: Expression | None) -> None:
    """Execute a measurement into bits, or into nothing."""
    _outside_gate(machine, node, "measurement")
    qubits = operand(machine, node.operand)
    if target is None:
        _emit_measure(machine, qubits, machine.memory.take(len(qubits.wires)))
        return
    found = target_bits(machine, target)
    if found is None:
        value = measured(machine, node)
        assign_to(machine, syntax.Assign(node.at, target, "=", node), value)
        return
    _measure_into(machine, node, qubits, *found)


def measure_variable(machine: Machine, node: syntax.Measure, variable: Variable) -> None:
    """Execute a measurement into a whole variable."""
    if variable.kind.name not in ("bit", "bits"):
        write(machine, node, variable, measured(machine, node))
        return
    _outside_gate(machine, node, "measurement")
    assert variable.cells is not None
    qubits = operand(machine, node.operand)
    _measure_into(machine, node, qubits, variable.cells, variable.kind.name == "bit")


def _measure_into(
    machine: Machine, node: Node, qubits: Qubits, cells: list[Cell], single: bool
) -> None:
    if len(cells) != len(qubits.wires) or (single != qubits.single and len(cells) != 1):
        raise machine.invalid(
            node, f"{len(qubits.wires)} qubit(s) are measured into {len(cells)} bit(s)"
        )
    _emit_measure(machine, qubits, cells)


def measured(machine: Machine, node: syntax.Measure) -> Value:
    """Measure into scratch bits and return the outcome."""
    _outside_gate(machine, node, "measurement")
    qubits = operand(machine, node.operand)
    cells = machine.memory.take(len(qubits.wires))
    _emit_measure(machine, qubits, cells)
    return Value(BIT if qubits.single else bits(len(cells)), tuple(cells))


def _emit_measure(machine: Machine, qubits: Qubits, cells: list[Cell]) -> None:
    for wire, cell in zip(qubits.wires, cells, strict=True):
        machine.emitter.add(Measurement(wire, cell))
        machine.memory.measured(cell)


def reset(machine: Machine, node: syntax.Reset) -> None:
    """Execute ``reset``."""
    _outside_gate(machine, node, "reset")
    for wire in operand(machine, node.operand).wires:
        machine.emitter.add(Reset(wire))


def barrier(machine: Machine, node: syntax.Barrier) -> None:
    """Execute ``barrier``, without operands on all qubits declared so far."""
    if node.operands:
        wires = dict.fromkeys(w for each in node.operands for w in operand(machine, each).wires)
    else:
        wires = dict.fromkeys(range(machine.frame.wires if machine.frame.gate else machine.width))
        if not machine.frame.gate:
            wires.update(dict.fromkeys(machine.physical.values()))
    if wires:
        machine.emitter.add(Other(Barrier(len(wires)), tuple(wires)))


HANDLERS[syntax.Measure] = measured
