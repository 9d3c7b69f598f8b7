"""Interface: inputs and outputs of a program, and what it says to those who read it."""

from __future__ import annotations

import math
from typing import Any

from qiskit.circuit import Parameter

from quantainer.circuits.qasm3 import syntax
from quantainer.circuits.qasm3.conversion import cast, wrapped
from quantainer.circuits.qasm3.expressions import kind_of
from quantainer.circuits.qasm3.kinds import FLOAT, Kind
from quantainer.circuits.qasm3.machine import Machine
from quantainer.circuits.qasm3.source import nearest
from quantainer.circuits.qasm3.syntax import Node
from quantainer.circuits.qasm3.values import Value, Variable
from quantainer.circuits.qasm3.variables import fresh
from quantainer_client.errors import QuantainerError

__all__ = ["check_inputs", "io", "pragma"]


def io(machine: Machine, node: syntax.IoDeclaration) -> None:
    """Execute ``input`` or ``output``."""
    if machine.scope is not machine.globals:
        raise machine.invalid(node, "input and output stand in the global scope")
    kind = kind_of(machine, node.type)
    if kind.name in ("stretch", "duration"):
        raise machine.unsupported(node, f"an {'output' if node.output else 'input'} of type {kind}")
    if node.output:
        variable = fresh(machine, node.name, kind, shared=True)
        for place, part in enumerate(variable.data.flat if kind.name == "array" else ()):
            part.name, part.shared = f"{node.name}_{place}", True
        machine.outputs.append(node.name)
        machine.declare(node, node.name, variable)
        return
    _input(machine, node, kind)


def check_inputs(machine: Machine) -> None:
    """Refuse values of inputs that the program does not have.

    Raises:
        QuantainerError: ``invalid_parameters`` with the nearest name.
    """
    for name in machine.options.inputs:
        if name not in machine.inputs:
            file = machine.source.name or "<circuit>"
            raise QuantainerError(
                "invalid_parameters",
                f"{file}: the program has no input `{name}`.",
                hint=nearest(name, machine.inputs),
            )


def _input(machine: Machine, node: syntax.IoDeclaration, kind: Kind) -> None:
    machine.inputs.append(node.name)
    variable = Variable(node.name, kind, readonly="")
    given = machine.options.inputs
    if kind.name == "array":
        variable = fresh(machine, node.name, kind, shared=False)
        _array(machine, node, variable)
    elif node.name in given:
        data = _value(machine, node, given[node.name], kind)
        if kind.name in ("bit", "bits"):
            variable.cells = machine.memory.permanent(kind.width)
        variable.write(data, machine.memory)
    elif kind.name in ("float", "angle"):
        variable.data = Parameter(node.name)
    else:
        raise _missing(machine, node)
    machine.declare(node, node.name, variable)


def _missing(machine: Machine, node: syntax.IoDeclaration) -> QuantainerError:
    """Return the refusal that names every input that lacks a value, not only the first."""
    missing = [
        each
        for each in machine.body
        if isinstance(each, syntax.IoDeclaration)
        and not each.output
        and each.name not in machine.options.inputs
        and each.type.kind not in ("float", "angle", "array")
    ]
    names = ", ".join(f"`{each.name}`" for each in missing or [node])
    return machine.invalid(
        node,
        f"inputs without a value: {names}",
        "Give each with --input NAME=VALUE; only `float` and `angle` inputs can stay open.",
    )


def _array(machine: Machine, node: Node, variable: Variable) -> None:
    given: Any = machine.options.inputs.get(variable.name)
    element = variable.kind.element
    assert element is not None
    values = None if given is None else _flat(machine, node, given, variable.kind.shape)
    for place, part in enumerate(variable.data.flat):
        if values is not None:
            part.write(_value(machine, node, values[place], element), machine.memory)
        elif element.name in ("float", "angle"):
            part.data = Parameter(f"{variable.name}[{place}]")
        else:
            raise machine.invalid(
                node, f"the input `{variable.name}` has no value", "Give it with the program."
            )


def _flat(machine: Machine, node: Node, given: Any, shape: tuple[int, ...]) -> list[Any]:
    if not shape:
        return [given]
    if not isinstance(given, list | tuple) or len(given) != shape[0]:
        raise machine.invalid(node, f"the input needs {shape[0]} values in its list")
    return [value for each in given for value in _flat(machine, node, each, shape[1:])]


def _value(machine: Machine, node: Node, given: Any, kind: Kind) -> Any:
    """Return a value that the user gave as data of a type."""
    name = kind.name
    if name in ("bit", "bits") and isinstance(given, str):
        digits = given.replace("_", "")
        if len(digits) != kind.width or set(digits) - {"0", "1"}:
            raise machine.invalid(node, f"{given!r} is no value of {kind}")
        return int(digits, 2)
    if isinstance(given, str):
        given = _parsed(given, name)
    if isinstance(given, bool):
        given = int(given)
    if name in ("int", "uint", "bool", "bit", "bits") and isinstance(given, int):
        low = -(1 << kind.width - 1) if name == "int" else 0
        high = (1 << (kind.width - (name == "int"))) - 1
        if low <= given <= high:
            return wrapped(kind, given) if name in ("int", "uint") else given
        raise machine.invalid(node, f"{given} is out of the range of {kind}, {low} to {high}")
    if name in ("float", "angle") and isinstance(given, int | float) and math.isfinite(given):
        return cast(machine, node, Value(FLOAT, float(given)), kind).data
    if name == "complex" and isinstance(given, int | float | complex):
        return complex(given)
    raise machine.invalid(node, f"{given!r} is no value of {kind}")


def _parsed(text: str, name: str) -> Any:
    """Return what a text is as a value of a type; the text itself if it is none."""
    try:
        match name:
            case "int" | "uint":
                return int(text, 0)
            case "float" | "angle":
                return float(text)
            case "complex":
                return complex(text)
            case "bool":
                return {"true": True, "false": False, "1": True, "0": False}[text.lower()]
    except (KeyError, ValueError):
        pass
    return text


def pragma(machine: Machine, node: syntax.Pragma) -> None:
    """Keep a pragma or an annotation; refuse the one that forbids what every backend does."""
    line = machine.source.line(node.at)
    word = "annotation" if node.annotation else "pragma"
    if node.text.split() == ["braket", "verbatim"]:
        raise machine.unsupported(
            node,
            "pragma `braket verbatim`: the box after it may not be compiled, "
            "and every backend here compiles",
            "Leave the pragma out, and define the gates of the box.",
        )
    machine.pragmas.append((line, f"@{node.text}" if node.annotation else node.text))
    machine.note(node, f"{word} `{node.text}` is kept, not acted on")
