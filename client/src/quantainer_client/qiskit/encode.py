"""Qiskit circuits as they travel: columnar if they are flat, else QPY."""

from __future__ import annotations

import io
from array import array
from numbers import Real

from qiskit import qpy
from qiskit.circuit import (
    Barrier,
    Clbit,
    Instruction,
    Measure,
    Parameter,
    ParameterExpression,
    Reset,
)
from qiskit.circuit.library import UnitaryGate

from quantainer_client.columns import GATES, Columns
from quantainer_client.submission import Pub

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Tuple

    from qiskit import QuantumCircuit

__all__ = ["encode", "encode_columns", "pub_of"]

_MAX_UNITARY_QUBITS = 6
_OLDEST_QPY = max(13, qpy.QPY_COMPATIBILITY_VERSION)
_WITH_CONDITIONS = hasattr(Instruction, "c_if")  # before Qiskit 2.0
_POINTS = (0.7310585786300049, -1.4142135623730951)
"""Where an expression that looks affine is tried: arbitrary, and not special to any function."""


def pub_of(circuit: QuantumCircuit, **fields: Any) -> Pub:
    """Return a pub of a Qiskit circuit; ``fields`` as for ``Pub``."""
    data, kind = encode(circuit)
    return Pub(data, format=kind, name=circuit.name or "", **fields)


def encode(circuit: QuantumCircuit) -> Tuple[bytes, str]:
    """Return a circuit's bytes and their format.

    Flat circuits of standard gates become columnar. Whatever else there is (control flow, delays,
    gates with definitions, parameters that are not affine, run-time variables) becomes QPY, in the
    oldest version that can hold it, so that older hosts can read it.
    """
    columns = encode_columns(circuit)
    if columns is not None:
        return columns.encode(), "columnar"
    return _qpy(circuit), "qpy"


def _qpy(circuit: QuantumCircuit) -> bytes:
    file = io.BytesIO()
    try:
        qpy.dump(circuit, file, version=_OLDEST_QPY)
    except qpy.UnsupportedFeatureForVersion:
        file = io.BytesIO()
        qpy.dump(circuit, file)
    return file.getvalue()


def encode_columns(circuit: QuantumCircuit) -> Optional[Columns]:
    """Return the columns of a circuit, or None if it is not flat."""
    phase = circuit.global_phase
    if isinstance(phase, ParameterExpression) or _has_variables(circuit):
        return None
    columns = Columns(circuit.num_qubits, circuit.num_clbits)
    columns.global_phase = float(phase)
    qubit_index = {bit: index for index, bit in enumerate(circuit.qubits)}
    clbit_index = {bit: index for index, bit in enumerate(circuit.clbits)}
    columns.registers = [
        (register.name, [clbit_index[bit] for bit in register]) for register in circuit.cregs
    ]
    known: Dict[Tuple[str, int, int], int] = {}
    kinds: List[int] = []
    operands: List[int] = []
    for instruction in circuit.data:
        name, qubits, clbits = instruction.name, instruction.qubits, instruction.clbits
        if instruction.is_standard_gate():
            if name not in GATES:
                return None
            params = instruction.params
        elif _is_plain(operation := instruction.operation):
            params = _elements(operation) if name == "unitary" else ()
        else:
            return None
        key = (name, len(qubits), len(params))
        kind = known.get(key)
        if kind is None:
            kind = known[key] = columns.kind(name, len(qubits), len(clbits), len(params))
        kinds.append(kind)
        for bit in qubits:
            operands.append(qubit_index[bit])
        for bit in clbits:
            operands.append(clbit_index[bit])
        if params and not _append_params(columns, params):
            return None
    columns.kinds = array("H", kinds)
    columns.operands = array("I", operands)
    if _WITH_CONDITIONS and not _add_conditions(columns, circuit, clbit_index):
        return None
    return columns


def _has_variables(circuit: QuantumCircuit) -> bool:
    """Tell whether there are run-time variables or stretches (these only since Qiskit 2.0)."""
    return bool(getattr(circuit, "num_identifiers", getattr(circuit, "num_vars", 0)))


def _add_conditions(columns: Columns, circuit: QuantumCircuit, clbit_index: Dict[Any, int]) -> bool:
    """Add what Qiskit 1 calls ``c_if``; tell whether there was nothing more than that."""
    for position, instruction in enumerate(circuit.data):
        condition = instruction.operation.condition
        if condition is None:
            continue
        if not isinstance(condition, tuple):
            return False
        target, value = condition
        bits = [target] if isinstance(target, Clbit) else list(target)
        index = columns.condition([clbit_index[bit] for bit in bits], [int(value)])
        columns.when[position] = index
    return True


def _is_plain(operation: Any) -> bool:
    """Tell whether an operation beyond the standard gates has a columnar form.

    The class decides, since anyone may call a gate of their own ``measure``.
    """
    kind = operation.base_class  # Qiskit's shared instances are of a hidden subclass
    if kind is UnitaryGate:
        return int(operation.num_qubits) <= _MAX_UNITARY_QUBITS
    return kind is Measure or kind is Reset or (kind is Barrier and operation.num_qubits > 0)


def _elements(unitary: UnitaryGate) -> List[float]:
    """Return real and imaginary part of each element of a matrix, row-major."""
    matrix = unitary.params[0].astype("<c16", order="C")
    values: List[float] = matrix.view("<f8").ravel().tolist()
    return values


def _append_params(columns: Columns, params: List[Any]) -> bool:
    """Append numbers and affine expressions; tell whether there was nothing else."""
    for value in params:
        if isinstance(value, ParameterExpression):
            affine = _affine(value)
            if affine is None:
                return False
            columns.symbols.append((len(columns.params), *affine))
            columns.params.append(0.0)
        elif isinstance(value, Real):
            columns.params.append(float(value))
        else:
            return False
    return True


def _affine(
    expression: ParameterExpression,
) -> Optional[Tuple[List[Tuple[str, float]], float]]:
    """Return an expression as ``(terms, constant)`` if it is affine with real coefficients."""
    if isinstance(expression, Parameter):
        return [(expression.name, 1.0)], 0.0
    free = sorted(expression.parameters, key=lambda parameter: parameter.name)
    try:
        slopes = [expression.gradient(parameter) for parameter in free]
        if not all(isinstance(slope, Real) for slope in slopes):
            return None
        coefficients = [float(slope) for slope in slopes]
        constant = float(expression.bind(dict.fromkeys(free, 0.0)))
        for scale in _POINTS:  # a function may be flat almost everywhere and yet not affine
            point = [scale * (index + 1) for index in range(len(free))]
            expected = constant + sum(c * x for c, x in zip(coefficients, point))
            value = float(expression.bind(dict(zip(free, point))))
            if abs(value - expected) > 1e-9 * (1.0 + abs(expected)):
                return None
    except Exception:  # whatever the expression cannot do, QPY can carry
        return None
    return [(parameter.name, c) for parameter, c in zip(free, coefficients)], constant
