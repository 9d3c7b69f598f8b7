"""Columnar: the device protocol's own form (``docs/protocol.md``) becomes a program.

Decoding and checking is the client package's; here the columns are turned into instructions at
about a microsecond an operation, equal ones shared.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from qiskit.circuit import Parameter
from qiskit.circuit.library import UnitaryGate

from quantainer.circuits.angle import reduced
from quantainer.circuits.builder import STANDARD_GATES, Block, Builder
from quantainer.circuits.circuit import Circuit
from quantainer.circuits.options import ReadOptions
from quantainer.circuits.refusal import invalid
from quantainer_client.columnar import Columns, decode

__all__ = ["build", "params_of", "read"]


def read(data: bytes, name: str, options: ReadOptions) -> Circuit:
    """Read a columnar circuit.

    Raises:
        QuantainerError: ``invalid_circuit`` for bytes that break the form, a limit's error for
            those that are over one.
    """
    width = max(options.max_qubits, options.max_clbits)
    data = bytes(data)
    columns = decode(data, width, options.max_gates)
    return replace(build(columns, name, options), columnar=data, columns=columns)


def build(columns: Columns, name: str, options: ReadOptions) -> Circuit:
    """Turn checked columns into a circuit."""
    builder = Builder(name or columns.name, options)
    builder.add_qubits(columns.qubits)
    builder.add_clbits(columns.clbits)
    for register, bits in columns.registers:
        builder.group(register, bits)
    builder.global_phase = columns.global_phase
    conditions = [builder.equals(bits, values) for bits, values in columns.conditions]
    _fill(builder, columns, conditions)
    return Circuit(builder.finish(), "columnar", name or columns.name)


def _fill(builder: Builder, columns: Columns, conditions: list[Any]) -> None:
    operands, params = columns.operands.tolist(), params_of(columns)
    kinds = [(name, STANDARD_GATES.get(name), *arity) for name, *arity in columns.gates]
    when = columns.when.tolist() if conditions else None
    shared: dict[tuple[int, tuple[int, ...]], Any] = {}
    at = slot = 0
    for index, kind in enumerate(columns.kinds.tolist()):
        name, gate, qubits, clbits, angles = kinds[kind]
        end = at + qubits
        wires = tuple(operands[at:end])
        at = end + clbits
        known = None if angles or when is not None else shared.get((kind, wires))
        if known is not None:
            builder.operations.append(known)
            continue
        block: Block = builder
        condition = True if when is None or when[index] < 0 else conditions[when[index]]
        if condition is not True:
            block = builder.block()
        if gate is not None:
            if angles:
                block.gate(gate, wires, params[slot : slot + angles])
            else:
                block.gate(gate, wires)
                shared[kind, wires] = block.operations[-1]
        elif name == "measure":
            block.measure(wires[0], operands[end])
        elif name == "reset":
            block.reset(wires[0])
        elif name == "barrier":
            block.barrier(wires)
        else:
            matrix = params[slot : slot + angles]
            block.other(_unitary(matrix, qubits, index, builder.name), wires)
        slot += angles
        if block is not builder and condition is not False:
            builder.branch(condition, block)


def params_of(columns: Columns) -> list[Any]:
    """Return the parameters with an expression wherever a slot has a symbol."""
    params: list[Any] = columns.params.tolist()
    free: dict[str, Parameter] = {name: Parameter(name) for name in columns.parameters}
    for slot, terms, constant in columns.symbols:
        (value,) = reduced((constant,))
        for name, coefficient in terms:
            term = free[name] if coefficient == 1 else coefficient * free[name]
            value = term if isinstance(value, float) and value == 0 else value + term
        params[slot] = value
    return params


def _unitary(values: list[Any], qubits: int, index: int, name: str) -> UnitaryGate:
    try:
        elements = np.array(values, dtype=float).view(complex)  # real and imaginary alternate
        return UnitaryGate(elements.reshape(2**qubits, 2**qubits))
    except (TypeError, ValueError) as error:
        raise invalid(name, f"operation {index} (unitary): {error}") from None
