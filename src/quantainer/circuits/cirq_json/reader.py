"""Reads Cirq's JSON and says, with the line, what cannot be read."""

from __future__ import annotations

import json
import re

from quantainer.circuits.builder import Builder
from quantainer.circuits.circuit import Circuit
from quantainer.circuits.cirq_json.document import Document, NoCircuitError
from quantainer.circuits.cirq_json.operations import Operations
from quantainer.circuits.cirq_json.values import UnknownTypeError
from quantainer.circuits.lower import lower
from quantainer.circuits.options import ReadOptions
from quantainer.circuits.refusal import invalid
from quantainer.circuits.text import check_nesting, decode
from quantainer_client.errors import QuantainerError

__all__ = ["read"]

_VENDORS = {
    # cirq_type: the package that has it
    **dict.fromkeys(("GPIGate", "GPI2Gate", "MSGate", "ZZGate"), "cirq-ionq"),
    **dict.fromkeys(("PasqalDevice", "PasqalVirtualDevice", "PasqalGateset"), "cirq-pasqal"),
    **dict.fromkeys(("ThreeDQubit", "TwoDQubit"), "cirq-pasqal"),
    **dict.fromkeys(("AQTTargetGateset", "AQTNoiseModel"), "cirq-aqt"),
    **dict.fromkeys(("SycamoreGate", "WillowGate", "CouplerPulse", "PhysicalZTag"), "cirq-google"),
}


def read(data: bytes, name: str, options: ReadOptions) -> Circuit:
    """Read one Cirq circuit.

    Raises:
        QuantainerError: ``invalid_circuit`` with the line and name of a type that is unknown or out
            of place; ``unsupported_circuit`` for noise and qudits.
    """
    text = decode(data, name)
    check_nesting(text, name, options.max_nesting)
    try:
        content = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        reason = f"not JSON: {error.msg}"
        raise invalid(name, reason, line=error.lineno, column=error.colno) from None
    except ValueError as error:
        raise invalid(name, f"not JSON: {error}") from None
    builder = Builder(name, options)
    try:
        document = Document(content)
        operations = Operations(document, builder)
        operations.fill(document.circuit())
    except UnknownTypeError as error:
        raise _unknown(error, text, name) from None
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, ArithmeticError) as error:
        raise invalid(name, f"not a Cirq circuit: {_say(error)}") from None
    notes = ["bit i of a register is the i-th qubit that was measured under its key"]
    repeated = operations.records.repeated
    if repeated:
        notes.append(f"measured again, each into a register of its own: {', '.join(repeated)}")
    return Circuit(lower(builder.finish(), name, options), "cirq", name, tuple(notes))


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _unknown(error: UnknownTypeError, text: str, name: str) -> QuantainerError:
    kind = error.cirq_type
    found = re.search(rf'"cirq_type"\s*:\s*"{re.escape(kind)}"', text)
    line = text.count("\n", 0, found.start()) + 1 if found else 1
    if error.reason is not None:
        return invalid(name, error.reason, line=line, code="unsupported_circuit")
    if isinstance(error, NoCircuitError):
        reason = f"the file holds {kind!r}, not a circuit"
        return invalid(name, reason, line=line, hint="Write a circuit: cirq.to_json(circuit).")
    package = _VENDORS.get(kind) or ("cirq-google" if kind.startswith("cirq.google.") else None)
    if package is not None:
        reason = f"unknown cirq_type {kind!r}: it is of the package {package}"
        hint = "Decompose the circuit to Cirq's own gates before writing it."
        return invalid(name, reason, line=line, hint=hint)
    hint = "A file must hold one cirq.Circuit or cirq.FrozenCircuit of gates that Cirq defines."
    if kind.endswith(("Gate", "Operation", "Channel")):
        hint = "Write it in simpler gates: cirq.Circuit(cirq.decompose(circuit))."
    return invalid(name, f"cannot read cirq_type {kind!r} here", line=line, hint=hint)


def _say(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"the field {error.args[0]!r} is missing or refers to nothing"
    return str(error).splitlines()[0] if str(error) else type(error).__name__
