"""Columnar circuits v1 as they arrive: untrusted bytes, checked and read into ``Columns``."""

from __future__ import annotations

import math
import struct
import sys
from array import array

from quantainer_client.columns import GATES, HEADER, MAGIC, VERSION, Columns
from quantainer_client.errors import QuantainerError
from quantainer_client.wire import decode_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Tuple

    from quantainer_client.columns import Condition, Gate, Register, Symbol

__all__ = ["MAX_OPS", "MAX_WIDTH", "Columns", "decode"]

MAX_OPS = 10_000_000
MAX_WIDTH = 1_000_000
"""Qubits, and classical bits, that the form holds. What a backend can run is another matter."""
_MAX_UNITARY_QUBITS = 12
_MAX_VALUES = 65_536


def decode(data: bytes, max_width: int = MAX_WIDTH, max_ops: int = MAX_OPS) -> Columns:
    """Check untrusted bytes and return their columns, as views where the byte order allows.

    Every index, arity and number is checked; that a ``unitary`` is unitary is left to the reader
    that builds it.

    Raises:
        QuantainerError: ``invalid_circuit``; ``too_many_qubits`` over ``max_width``; ``too_large``
            over ``max_ops``.
    """
    header, start = _header(data)
    columns = Columns(
        _size(header, "qubits", max_width, "too_many_qubits"),
        _size(header, "clbits", max_width, "too_many_qubits"),
    )
    columns.name = _text(header.get("name", ""), "name")
    columns.global_phase = _number(header.get("global_phase", 0.0), "global_phase")
    columns.registers = [_register(r, columns.clbits) for r in _entries(header, "registers")]
    names = [name for name, _ in columns.registers]
    if len(set(names)) < len(names):
        raise _invalid("two registers have the same name")
    columns.gates = [_gate(entry) for entry in _entries(header, "gates")]
    columns.conditions = [_condition(c, columns.clbits) for c in _entries(header, "conditions")]

    ops = _size(header, "ops", max_ops, "too_large")
    sizes = [
        ("H", ops),
        ("I", _size(header, "operands", len(data), "invalid_circuit")),
        ("d", _size(header, "params", len(data), "invalid_circuit")),
    ]
    if columns.conditions:
        sizes.append(("i", ops))
    arrays = _arrays(data, start, sizes)
    columns.kinds, columns.operands, columns.params = arrays[:3]
    if columns.conditions:
        columns.when = arrays[3]
    _check_operations(columns)
    slots = len(columns.params)
    columns.symbols = [_symbol(entry, slots) for entry in _entries(header, "symbols")]
    if len({slot for slot, _, _ in columns.symbols}) < len(columns.symbols):
        raise _invalid("two symbols fill the same parameter slot")
    return columns


# --- Header ---------------------------------------------------------------------------------------


def _header(data: bytes) -> Tuple[Dict[str, Any], int]:
    """Return the header and where the arrays start."""
    if len(data) < HEADER.size:
        raise _invalid("it is shorter than its fixed header")
    magic, version, length = HEADER.unpack_from(data)
    if magic != MAGIC:
        raise _invalid("it does not begin with QCOL")
    if version != VERSION:
        raise _invalid(f"it has version {version}; this side reads version {VERSION}")
    if bytes(data[5:8]) != bytes(3):
        raise _invalid("bytes 5 to 7 are not 0")
    end = HEADER.size + length
    if end > len(data):
        raise _invalid("its header is cut off")
    try:
        header = decode_json(bytes(data[HEADER.size : end]))
    except QuantainerError as error:
        raise _invalid(f"in its header: {error.message}") from None
    if not isinstance(header, dict):
        raise _invalid("its header is not a JSON object")
    return header, end + -end % 8


def _arrays(data: bytes, start: int, sizes: List[Tuple[str, int]]) -> List[Any]:
    arrays = []
    view = memoryview(data)
    for code, length in sizes:
        size = struct.calcsize(code) * length
        end = start + size
        if end + -end % 8 > len(data):
            raise _invalid("its arrays are cut off")
        arrays.append(_native(view[start:end], code))
        start = end + -end % 8
    if start != len(data):
        raise _invalid(f"{len(data) - start} bytes follow its last array")
    return arrays


def _gate(entry: Any) -> Gate:
    if not (isinstance(entry, list) and len(entry) == 4):
        raise _invalid("an entry of gates is not [name, qubits, clbits, parameters]")
    name = _text(entry[0], "gate name")
    qubits, clbits, params = (
        _natural(number, f"an arity of gate {name!r}") for number in entry[1:]
    )
    if _arity_fits(name, qubits, clbits, params):
        return (name, qubits, clbits, params)
    if name in GATES or name in ("measure", "reset", "barrier", "unitary"):
        raise _invalid(f"gate {name!r} has the wrong number of qubits, bits or parameters")
    raise QuantainerError(
        "invalid_circuit",
        f"The columnar circuit has an unknown gate {name!r}.",
        hint="Other gates travel as QPY or as a unitary.",
    )


def _arity_fits(name: str, qubits: int, clbits: int, params: int) -> bool:
    if name == "measure":
        return (qubits, clbits, params) == (1, 1, 0)
    if clbits:
        return False
    if name == "barrier":
        return qubits >= 1 and params == 0
    if name == "unitary":
        return 1 <= qubits <= _MAX_UNITARY_QUBITS and params == 2 * 4**qubits
    if name == "reset":
        return (qubits, params) == (1, 0)
    return GATES.get(name) == (qubits, params)


def _register(entry: Any, clbits: int) -> Register:
    if not (isinstance(entry, list) and len(entry) == 2):
        raise _invalid("an entry of registers is not [name, bits]")
    name = _text(entry[0], "register name")
    return name, _bits(entry[1], clbits, f"register {name!r}")


def _condition(entry: Any, clbits: int) -> Condition:
    if not (isinstance(entry, list) and len(entry) == 2 and isinstance(entry[1], list)):
        raise _invalid("an entry of conditions is not [bits, values]")
    bits = _bits(entry[0], clbits, "a condition")
    if not bits:
        raise _invalid("a condition has no bits")
    if len(entry[1]) > _MAX_VALUES:
        raise _invalid(f"a condition has more than {_MAX_VALUES} values")
    return bits, [_value(text, len(bits)) for text in entry[1]]


def _value(text: Any, bits: int) -> int:
    if not (isinstance(text, str) and text.isascii() and text.isdigit()):
        raise _invalid("a value of a condition is not a string of decimal digits")
    try:
        value = int(text)
    except ValueError as error:  # thousands of digits
        raise _invalid(f"a value of a condition cannot be read: {error}") from None
    if value >> bits:
        raise _invalid(f"a value of a condition does not fit into its {bits} bits")
    return value


def _symbol(entry: Any, slots: int) -> Symbol:
    if not (isinstance(entry, list) and len(entry) == 3 and isinstance(entry[1], list)):
        raise _invalid("an entry of symbols is not [slot, terms, constant]")
    slot = _natural(entry[0], "the slot of a symbol")
    if slot >= slots:
        raise _invalid("a symbol names a parameter slot that does not exist")
    terms = []
    for term in entry[1]:
        if not (isinstance(term, list) and len(term) == 2):
            raise _invalid("a term of a symbol is not [parameter, coefficient]")
        name = _text(term[0], "parameter name")
        if not name:
            raise _invalid("a parameter has no name")
        terms.append((name, _number(term[1], f"the coefficient of {name!r}")))
    return slot, terms, _number(entry[2], "the constant of a symbol")


# --- Operations -----------------------------------------------------------------------------------


def _check_operations(columns: Columns) -> None:
    """Check each operation's operands, and that the arrays hold exactly what the kinds need."""
    kinds, operands = columns.kinds, columns.operands
    if len(kinds) and max(kinds) >= len(columns.gates):
        raise _invalid("an operation has a kind that is not in gates")
    used: List[int] = [0] * len(columns.gates)
    for kind in kinds:
        used[kind] += 1
    needed = sum(n * (gate[1] + gate[2]) for n, gate in zip(used, columns.gates))
    if needed != len(operands):
        raise _invalid(f"its operations need {needed} operands, not {len(operands)}")
    needed = sum(n * gate[3] for n, gate in zip(used, columns.gates))
    if needed != len(columns.params):
        raise _invalid(f"its operations need {needed} parameters, not {len(columns.params)}")
    if not all(map(math.isfinite, columns.params)):
        raise _invalid("a parameter is not a finite number")
    _check_operands(columns)
    when = columns.when
    if len(when) and not -1 <= min(when) <= max(when) < len(columns.conditions):
        raise _invalid("an operation names a condition that does not exist")


def _check_operands(columns: Columns) -> None:
    operands, qubits, clbits = columns.operands, columns.qubits, columns.clbits
    arities = [(gate[1], gate[2]) for gate in columns.gates]
    position = 0
    for index, kind in enumerate(columns.kinds):
        width, bits = arities[kind]
        end = position + width
        if width == 2:  # the common cases without slices
            distinct = operands[position] != operands[position + 1]
            highest = max(operands[position], operands[position + 1])
        elif width == 1:
            distinct, highest = True, operands[position]
        else:
            own = operands[position:end].tolist()
            distinct, highest = len(set(own)) == width, max(own, default=-1)
        if not distinct or highest >= qubits:
            why = "outside its range" if distinct else "named twice"
            raise _invalid(f"operation {index} ({columns.gates[kind][0]}) has a qubit {why}")
        if bits and operands[end] >= clbits:  # only measure has bits, and just one
            raise _invalid(f"operation {index} (measure) has a classical bit outside its range")
        position = end + bits


# --- Values ---------------------------------------------------------------------------------------


def _entries(header: Dict[str, Any], field: str) -> List[Any]:
    value = header.get(field, [])
    if not isinstance(value, list):
        raise _invalid(f"{field} is not a list")
    return value


def _size(header: Dict[str, Any], field: str, limit: int, code: str) -> int:
    value = _natural(header.get(field), field)
    if value > limit:
        raise QuantainerError(
            code, f"The columnar circuit has too many {field}.", limit=limit, needed=value
        )
    return value


def _natural(value: Any, what: str) -> int:
    if type(value) is not int or value < 0:
        raise _invalid(f"{what} is not an integer from 0")
    return value


def _number(value: Any, what: str) -> float:
    if type(value) not in (int, float) or abs(value) > sys.float_info.max:
        raise _invalid(f"{what} is not a finite number")
    return float(value)


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise _invalid(f"{what} is not a string")
    return value


def _bits(value: Any, clbits: int, what: str) -> List[int]:
    if not isinstance(value, list):
        raise _invalid(f"the bits of {what} are not a list")
    for bit in value:
        if type(bit) is not int or not 0 <= bit < clbits:
            raise _invalid(f"{what} has a classical bit outside its range")
    if len(set(value)) < len(value):
        raise _invalid(f"{what} names a classical bit twice")
    return value


def _invalid(why: str) -> QuantainerError:
    return QuantainerError("invalid_circuit", f"The columnar circuit cannot be read: {why}.")


def _native(view: memoryview, code: str) -> Any:
    if sys.byteorder == "little":
        return view.cast(code)  # type: ignore[call-overload]
    values = array(code)
    values.frombytes(view)
    values.byteswap()
    return memoryview(values)
