"""Fast path: plain gate programs, straight from text to instructions.

A plain program is a version, ``stdgates.inc``, declarations of quantum and classical registers,
calls of standard gates with constant angles, measurements, resets and barriers. Anything else,
errors included, is left to the general path, which gives plain programs the same meaning (there is
a property test).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from qiskit import QuantumCircuit

from quantainer.circuits.builder import STANDARD_GATES, Builder
from quantainer.circuits.options import ReadOptions
from quantainer.circuits.qasm3.angle import angle
from quantainer.circuits.qasm3.lexer import KEYWORDS
from quantainer.circuits.qasm3.library import BUILTIN, STDGATES, LibraryGate

__all__ = ["read_plain"]

_COMMENT = re.compile(r"//[^\r\n]*|/\*.*?\*/", re.DOTALL)
_HEADER = re.compile(r'\s*(?:OPENQASM\s+3(?:\.\d+)?\s*;\s*)?include\s*(["\'])stdgates\.inc\1\s*;')
_OPERAND = r"[^\W\d]\w*(?:\[\d+\])?"
_GATE = re.compile(
    rf"([^\W\d]\w*)\s*(?:\(((?:[^()]|\([^()]*\))*)\)\s*|(?<=\w)\s+)"
    rf"({_OPERAND}(?:\s*,\s*{_OPERAND})*)"
)
_MEASURE = re.compile(
    rf"(?:measure\s+({_OPERAND})\s*->\s*({_OPERAND})|({_OPERAND})\s*=\s*measure\s+({_OPERAND}))"
)
_DECLARATION = re.compile(
    r"(?:(qubit|bit)\s*(?:\[\s*(\d+)\s*\]\s*|\s)\s*([^\W\d]\w*)"
    r"|(qreg|creg)\s+([^\W\d]\w*)\s*(?:\[\s*(\d+)\s*\])?)"
)
_GATES = {**STDGATES, **BUILTIN}

Wires = tuple[int, ...] | int


def read_plain(text: str, name: str, options: ReadOptions) -> QuantumCircuit | None:
    """Return the circuit of a plain program; ``None`` if the program is not plain or not right.

    Raises:
        QuantainerError: ``too_large`` if a limit is hit.
    """
    if "//" in text or "/*" in text:
        text = _COMMENT.sub(" ", text)
    header = _HEADER.match(text)
    if header is None:
        return None
    statements = text[header.end() :].split(";")
    if statements.pop().strip():
        return None
    reader = _Plain(name, options)
    return reader.builder.finish() if reader.run(statements) else None


class _Plain:
    def __init__(self, name: str, options: ReadOptions) -> None:
        self.builder = Builder(name, options)
        self._limit = options.max_gates
        self._qubits: dict[str, Wires] = {}
        self._clbits: dict[str, Wires] = {}
        self._angles: dict[str, tuple[float, ...] | None] = {}
        self._others = {
            "measure": self._measure,
            "qubit": self._declare,
            "bit": self._declare,
            "qreg": self._declare,
            "creg": self._declare,
            "reset": self._reset,
            "barrier": self._barrier,
        }

    def run(self, statements: Iterable[str]) -> bool:
        """Execute the statements; return whether all were plain and right."""
        match_gate, others, gates = _GATE.fullmatch, self._others, _GATES
        one = self._one
        operations = self.builder.operations
        for statement in statements:
            text = statement.strip()
            match = match_gate(text)
            if match is not None:
                word, arguments, operands = match.groups()
                gate = gates.get(word)
                if gate is not None:
                    if not one(gate, arguments, operands):
                        return False
                    if len(operations) > self._limit:
                        self.builder.spend(0)
                    continue
                other = others.get(word)
            else:
                word = text.split(maxsplit=1)[0] if text else ""
                other = others.get(word.partition("[")[0]) or self._measure
            if other is None or not other(text):
                return False
        return True

    def _one(self, gate: LibraryGate, arguments: str | None, operands: str) -> bool:
        angles = self._values(arguments) if arguments else ()
        if angles is None or len(angles) != gate.parameters:
            return False
        found = self._wires(operands)
        if found is None or len(found) != gate.qubits:
            return False
        standard = STANDARD_GATES[gate.gate]
        rows = _broadcast(found)
        if rows is None:
            return False
        for row in rows:
            if len(row) > 1 and len(set(row)) != len(row):
                return False
            self.builder.gate(standard, row, angles)
        if gate.phase is not None:
            self.builder.global_phase += gate.phase(*angles) * len(rows)
        return True

    def _wires(self, operands: str) -> list[Wires] | None:
        known = self._qubits
        try:
            if "," not in operands:
                return [known[operands]]
            return [known[operand.strip()] for operand in operands.split(",")]
        except KeyError:
            return None

    def _values(self, arguments: str) -> tuple[float, ...] | None:
        found = self._angles.get(arguments, ())
        if found == ():
            found = _angles(arguments)
            if len(self._angles) < 65536:
                self._angles[arguments] = found
        return found

    def _declare(self, text: str) -> bool:
        match = _DECLARATION.fullmatch(text)
        if match is None:
            return False
        new, new_size, new_name, old, old_name, old_size = match.groups()
        name, size = new_name or old_name, int(new_size or old_size or 1)
        taken = name in self._qubits or name in self._clbits or name in _GATES
        if taken or name in KEYWORDS or name in _RESERVED or not size:
            return False
        quantum = (new or old) in ("qubit", "qreg")
        wires = self._qubits if quantum else self._clbits
        start = len(self.builder.qubits if quantum else self.builder.clbits)
        (self.builder.add_qubits if quantum else self.builder.add_clbits)(size, name)
        if new_size is None and old_size is None:
            wires[name] = start
            return True
        wires[name] = tuple(range(start, start + size))
        wires.update({f"{name}[{index}]": start + index for index in range(size)})
        return True

    def _measure(self, text: str) -> bool:
        match = _MEASURE.fullmatch(text)
        if match is None:
            return False
        qubit, clbit = match[1] or match[4], match[2] or match[3]
        source, target = self._qubits.get(qubit), self._clbits.get(clbit)
        if source is None or target is None:
            return False
        if isinstance(source, int) and isinstance(target, int):
            self.builder.measure(source, target)
            return True
        if isinstance(source, int) or isinstance(target, int) or len(source) != len(target):
            return False
        for wire, bit in zip(source, target, strict=True):
            self.builder.measure(wire, bit)
        return True

    def _reset(self, text: str) -> bool:
        wires = self._qubits.get(text.removeprefix("reset").strip())
        if wires is None:
            return False
        for wire in (wires,) if isinstance(wires, int) else wires:
            self.builder.reset(wire)
        return True

    def _barrier(self, text: str) -> bool:
        operands = text.removeprefix("barrier").strip()
        if not operands:
            self.builder.barrier(range(len(self.builder.qubits)))
            return True
        found = self._wires(operands)
        if found is None:
            return False
        flat: dict[int, None] = {}
        for wires in found:
            flat.update(dict.fromkeys((wires,) if isinstance(wires, int) else wires))
        self.builder.barrier(list(flat))
        return True


_RESERVED = frozenset(("pi", "π", "tau", "τ", "euler", "ℇ"))


def _broadcast(operands: list[Wires]) -> list[tuple[int, ...]] | None:
    """Return the wires of each application; ``None`` if register sizes differ."""
    sizes = {len(wires) for wires in operands if not isinstance(wires, int)}
    if not sizes:
        return [tuple(operands)]  # type: ignore[arg-type]
    if len(sizes) > 1:
        return None
    size = sizes.pop()
    columns = [(wires,) * size if isinstance(wires, int) else wires for wires in operands]
    return list(zip(*columns, strict=True))


def _angles(arguments: str) -> tuple[float, ...] | None:
    values = []
    for text in arguments.split(",") if arguments.strip() else ():
        value = angle(text)
        if value is None:
            return None
        values.append(value)
    return tuple(values)
