"""Timing: delays, boxes, and the length of what they hold."""

from __future__ import annotations

from typing import Any

from qiskit.circuit import Barrier, Delay

from quantainer.circuits.qasm3 import syntax
from quantainer.circuits.qasm3.emitter import Block, Measurement, Other, Reset
from quantainer.circuits.qasm3.expressions import HANDLERS, evaluate
from quantainer.circuits.qasm3.kinds import DURATION
from quantainer.circuits.qasm3.machine import Machine, Outcomes
from quantainer.circuits.qasm3.quantum import operand
from quantainer.circuits.qasm3.syntax import Expression, Node
from quantainer.circuits.qasm3.values import Duration, Value

__all__ = ["box", "delay", "duration_of"]


def _duration(machine: Machine, node: Expression) -> Duration:
    value = evaluate(machine, node)
    if value.kind.name not in ("duration", "stretch"):
        raise machine.invalid(node, f"a duration is needed, this is {value.kind}", "E.g. `100ns`.")
    found: Duration = machine.known(node, value, "a duration is needed")
    if found.seconds < 0 or found.samples < 0:
        raise machine.invalid(node, "the duration is negative")
    if found.seconds and found.samples:
        raise machine.unsupported(
            node,
            "a duration in both seconds and `dt`",
            "How long `dt` is depends on the target: use one of them.",
        )
    if found.stretches:
        machine.note(node, "a stretch has its least value here, 0: no target asks for more")
    return found


def delay(machine: Machine, node: syntax.Delay) -> None:
    """Execute ``delay[duration] qubits;``."""
    length = _duration(machine, node.duration)
    if node.operands:
        wires = dict.fromkeys(w for each in node.operands for w in operand(machine, each).wires)
    else:
        wires = dict.fromkeys(range(machine.frame.wires if machine.frame.gate else machine.width))
    amount, unit = (length.seconds, length.unit) if length.seconds else (length.samples, "dt")
    if unit == "dt":
        if not float(amount).is_integer():
            raise machine.invalid(node.duration, f"{amount} dt is no whole number of samples")
        amount = int(amount)
    if len(wires) > 1:  # a delay of several qubits begins and ends on all at once
        machine.emitter.add(Other(Barrier(len(wires)), tuple(wires)))
    for wire in wires:
        machine.emitter.add(Other(Delay(amount, unit), (wire,)))
    if len(wires) > 1:
        machine.emitter.add(Other(Barrier(len(wires)), tuple(wires)))


def box(machine: Machine, node: syntax.Box) -> Outcomes:
    """Execute ``box``: what is in it stays between two barriers."""
    if node.duration is not None:
        _duration(machine, node.duration)
        machine.note(node, "the duration of a box is kept as this note; no schedule enforces it")
    body = Block()
    with machine.emitter.into(body), machine.scoped():
        outcomes = machine.execute(node.body)
    used = _wires(body)
    fence = Other(Barrier(len(used)), used)
    target = machine.emitter.block
    if used:
        machine.emitter.add(fence)
    target.operations += body.operations
    target.phase = target.phase + body.phase
    if used:
        machine.emitter.add(fence)
    return outcomes


def _wires(block: Block) -> tuple[int, ...]:
    found: dict[int, None] = {}
    stack = list(reversed(block.operations))
    while stack:
        operation = stack.pop()
        if isinstance(operation, Measurement | Reset):
            found[operation.qubit] = None
        elif hasattr(operation, "qubits"):
            found.update(dict.fromkeys(operation.qubits))
        for name in ("false", "true", "body"):
            inner = getattr(operation, name, None)
            if isinstance(inner, Block):
                stack += reversed(inner.operations)
    return tuple(found)


def duration_of(machine: Machine, node: syntax.DurationOf) -> Value:
    """Return the length of a block of delays; gates have none before a target is known."""
    body = Block()
    count = machine.emitter.count
    with machine.emitter.into(body), machine.scoped():
        machine.execute(node.body)
    machine.emitter.count = count
    ends: dict[int, float] = {}
    units = set()
    for operation in body.operations:
        length, unit = _length(machine, node, operation)
        if length:
            units.add(unit)
        wires = operation.qubits
        start = max((ends.get(wire, 0.0) for wire in wires), default=0.0)
        ends.update(dict.fromkeys(wires, start + length))
    total = max(ends.values(), default=0.0)
    if len(units) > 1:
        raise machine.unsupported(node, "delays in different units inside of `durationof`")
    unit = units.pop() if units else "s"
    if unit == "dt":
        return Value(DURATION, Duration(samples=total), True)
    return Value(DURATION, Duration(total, unit), True)


def _length(machine: Machine, node: Node, operation: Any) -> tuple[float, str]:
    inner = getattr(operation, "operation", None)
    if isinstance(inner, Delay):
        return float(inner.duration), str(inner.unit)
    if isinstance(inner, Barrier):
        return 0.0, "s"
    what = getattr(operation, "name", type(operation).__name__.lower())
    raise machine.unsupported(
        node,
        f"durationof: how long `{what}` takes depends on the target",
        "Write the duration out, e.g. `160dt`.",
    )


HANDLERS[syntax.DurationOf] = duration_of
