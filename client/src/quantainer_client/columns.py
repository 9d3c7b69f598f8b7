"""Columns: a flat circuit as a few arrays; the layout is in ``docs/protocol.md``.

Operations are not objects but rows over columns: a kind, operands, parameters, a condition. That
is compact, hashes fast (parameters lie apart from structure), and is checked in one pass.
"""

from __future__ import annotations

import json
import struct
import sys
from array import array

from quantainer_client.errors import QuantainerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterator, List, NamedTuple, Sequence, Tuple

    class Operation(NamedTuple):
        """One operation with its columns gathered."""

        name: str
        qubits: List[int]
        clbits: List[int]
        params: List[float]
        condition: int

    Gate = Tuple[str, int, int, int]
    Register = Tuple[str, List[int]]
    Symbol = Tuple[int, List[Tuple[str, float]], float]
    Condition = Tuple[List[int], List[int]]

__all__ = ["GATES", "HEADER", "MAGIC", "VERSION", "Columns"]

MAGIC = b"QCOL"
VERSION = 1

GATES: Dict[str, Tuple[int, int]] = {
    # name: (qubits, parameters), as in Qiskit's standard gate library
    **dict.fromkeys(("h", "id", "s", "sdg", "sx", "sxdg", "t", "tdg", "x", "y", "z"), (1, 0)),
    **dict.fromkeys(("p", "rx", "ry", "rz", "u1"), (1, 1)),
    **dict.fromkeys(("r", "u2"), (1, 2)),
    **dict.fromkeys(("u", "u3"), (1, 3)),
    **dict.fromkeys(
        ("ch", "cs", "csdg", "csx", "cx", "cy", "cz", "dcx", "ecr", "iswap", "swap"), (2, 0)
    ),
    **dict.fromkeys(("cp", "crx", "cry", "crz", "cu1", "rxx", "ryy", "rzx", "rzz"), (2, 1)),
    **dict.fromkeys(("xx_minus_yy", "xx_plus_yy"), (2, 2)),
    "cu3": (2, 3),
    "cu": (2, 4),
    **dict.fromkeys(("ccx", "ccz", "cswap", "rccx"), (3, 0)),
    **dict.fromkeys(("c3sx", "rcccx"), (4, 0)),
}

HEADER = struct.Struct("<4sB3xI")
_SWAP = sys.byteorder == "big"


class Columns:
    """A flat circuit as columns; what ``decode`` returns and what encoders fill.

    Attributes:
        qubits: Number of qubits.
        clbits: Number of classical bits.
        registers: ``(name, classical bits)``, first declared first.
        gates: ``(name, qubits, clbits, parameters)`` of each kind.
        kinds: Kind of each operation.
        operands: Qubits, then classical bits, of each operation in turn.
        params: Parameters of each operation in turn; slots of ``symbols`` hold 0.
        symbols: ``(slot, [(parameter, coefficient), …], constant)``.
        conditions: ``(bits, values)``: satisfied if the integer of the bits (first = lowest) is one
            of the values.
        when: Index into ``conditions`` for each operation, -1 for none; empty without conditions.
    """

    __slots__ = (
        "_condition_index",
        "_index",
        "clbits",
        "conditions",
        "gates",
        "global_phase",
        "kinds",
        "name",
        "operands",
        "params",
        "qubits",
        "registers",
        "symbols",
        "when",
    )

    def __init__(self, qubits: int, clbits: int = 0) -> None:
        self.qubits = qubits
        self.clbits = clbits
        self.registers: List[Register] = []
        self.gates: List[Gate] = []
        self.kinds: Any = array("H")
        self.operands: Any = array("I")
        self.params: Any = array("d")
        self.symbols: List[Symbol] = []
        self.conditions: List[Condition] = []
        self.when: Any = array("i")
        self.global_phase = 0.0
        self.name = ""
        self._index: Dict[Gate, int] = {}
        self._condition_index: Dict[Tuple[Any, Any], int] = {}

    def kind(self, name: str, qubits: int, clbits: int = 0, params: int = 0) -> int:
        """Return the kind of a gate, which is made known if it was not."""
        gate = (name, qubits, clbits, params)
        kind = self._index.get(gate)
        if kind is None:
            kind = self._index[gate] = len(self.gates)
            self.gates.append(gate)
        return kind

    def append(self, kind: int, operands: Sequence[int], params: Sequence[float] = ()) -> None:
        """Append an operation without any check; ``decode`` of the other side checks all."""
        self.kinds.append(kind)
        self.operands.extend(operands)
        if params:
            self.params.extend(params)
        if self.conditions:
            self.when.append(-1)

    def condition(self, bits: Sequence[int], values: Sequence[int]) -> int:
        """Make a condition known and return its index, for ``when``."""
        if not self.conditions:
            self.when = array("i", [-1]) * len(self.kinds)
        key = (tuple(bits), tuple(values))
        index = self._condition_index.setdefault(key, len(self.conditions))
        if index == len(self.conditions):
            self.conditions.append((list(bits), list(values)))
        return index

    @property
    def parameters(self) -> List[str]:
        """Names of the free parameters, sorted."""
        return sorted({name for _, terms, _ in self.symbols for name, _ in terms})

    def operations(self) -> Iterator[Operation]:
        """Go through the operations, each with its own operands and parameters."""
        operand = param = 0
        for index, kind in enumerate(self.kinds):
            name, qubits, clbits, params = self.gates[kind]
            middle = operand + qubits
            end = middle + clbits
            yield (  # type: ignore[misc]  # a NamedTuple would cost the import of typing
                name,
                list(self.operands[operand:middle]),
                list(self.operands[middle:end]),
                list(self.params[param : param + params]),
                self.when[index] if self.conditions else -1,
            )
            operand = end
            param += params

    def encode(self) -> bytes:
        """Return the circuit's bytes."""
        header = {
            "qubits": self.qubits,
            "clbits": self.clbits,
            "registers": self.registers,
            "gates": self.gates,
            "ops": len(self.kinds),
            "operands": len(self.operands),
            "params": len(self.params),
            "global_phase": self.global_phase,
            "symbols": self.symbols,
            "conditions": [[bits, [str(v) for v in values]] for bits, values in self.conditions],
            "name": self.name,
        }
        try:
            text = _ENCODER.encode(header).encode("ascii")
        except ValueError:
            raise QuantainerError(
                "invalid_circuit", "The circuit has an angle that is not a finite number."
            ) from None
        parts = [
            HEADER.pack(MAGIC, VERSION, len(text)) + text,
            _little_endian(self.kinds),
            _little_endian(self.operands),
            _little_endian(self.params),
        ]
        if self.conditions:
            parts.append(_little_endian(self.when))
        return b"".join([part + bytes(-len(part) % 8) for part in parts])


def _little_endian(values: Any) -> bytes:
    if _SWAP:
        values = array(values.typecode, values)
        values.byteswap()
    return bytes(values.tobytes())


_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
