"""Stim: programs of the stabilizer simulator of that name, noise excepted.

Stim's own parser reads them. Each measurement becomes a classical bit of the register ``rec``, in
the order of Stim's measurement record; detectors and observables stay with the program as metadata.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import stim

from quantainer.circuits.builder import STANDARD_GATES, Block, Builder
from quantainer.circuits.circuit import Circuit
from quantainer.circuits.options import ReadOptions
from quantainer.circuits.refusal import invalid, over_limit, position
from quantainer.circuits.text import check_nesting, decode
from quantainer_client.errors import QuantainerError

__all__ = ["read"]

_GATES = {
    # Stim's name: the standard gate
    "I": "id",
    "X": "x",
    "Y": "y",
    "Z": "z",
    "H": "h",
    "S": "s",
    "S_DAG": "sdg",
    "SQRT_X": "sx",
    "SQRT_X_DAG": "sxdg",
    "CX": "cx",
    "CY": "cy",
    "CZ": "cz",
    "SWAP": "swap",
    "ISWAP": "iswap",
}
# Stim's own parser takes all memory over a bracket that is not closed.
_UNCLOSED = re.compile(r"(?m)^[^#\[\n]*+(?:\[[^\]\n]*+\][^#\[\n]*+)*+(\[)[^\]\n]*+$")
_FEEDBACK = {"CX": "x", "CY": "y", "CZ": "z"}
_ANNOTATIONS = {"QUBIT_COORDS", "SHIFT_COORDS", "TICK"}
_NO_NOISE = "Remove the noise with Circuit.without_noise() and give the noise to the backend."


def read(data: bytes, name: str, options: ReadOptions) -> Circuit:
    """Read a Stim program.

    Raises:
        QuantainerError: ``invalid_circuit`` with line and reason; ``unsupported_circuit`` for
            noise, sweep bits and padding with 1; ``too_large`` where ``REPEAT`` unrolls beyond a
            limit.
    """
    text = decode(data, name)
    check_nesting(text, name, options.max_nesting)
    unclosed = _UNCLOSED.search(text)
    if unclosed:
        line, column = position(text, unclosed.start(1))
        raise invalid(name, "a '[' is not closed on its line", line=line, column=column)
    try:
        source = stim.Circuit(text)
    except (ValueError, IndexError) as error:
        raise _parse_error(error, text, name) from None
    program = _Program(source, text, name, options)
    return program.read()


class _Program:
    def __init__(self, source: stim.Circuit, text: str, name: str, options: ReadOptions) -> None:
        self._source, self._text, self._name, self._options = source, text, name, options
        self._builder = Builder(name, options)
        self._record = 0
        self._inverted = False
        self._detectors: list[list[int]] = []
        self._observables: dict[int, list[int]] = {}

    def read(self) -> Circuit:
        source, builder, limit = self._source, self._builder, self._options.max_gates
        size = _operations(source)
        if size > limit:
            raise over_limit(self._name, "operations", "max_gates", limit=limit, needed=size)
        builder.add_qubits(source.num_qubits, "q")
        if source.num_measurements:
            builder.add_clbits(source.num_measurements, "rec")
        for instruction in _flat(source):
            self._instruction(instruction)
        program = builder.finish()
        program.metadata = {
            "stim": {
                "detectors": self._detectors,
                "observables": {str(key): bits for key, bits in self._observables.items()},
            }
        }
        notes = (
            f"{len(self._detectors)} detectors and {len(self._observables)} observables are kept "
            "as metadata",
        )
        annotated = self._detectors or self._observables
        return Circuit(program, "stim", self._name, notes if annotated else ())

    def _instruction(self, instruction: Any) -> None:
        name = instruction.name
        targets = instruction.targets_copy()
        if name in _ANNOTATIONS:
            return
        if name == "DETECTOR":
            self._detectors.append(self._bits(targets, name))
        elif name == "OBSERVABLE_INCLUDE":
            index = int(instruction.gate_args_copy()[0])
            self._observables.setdefault(index, []).extend(self._bits(targets, name))
        elif name == "MPAD":
            self._pad(targets)
        elif name in _FEEDBACK and not all(target.is_qubit_target for target in targets):
            self._feedback(name, targets)
        else:
            self._operation(instruction)

    def _operation(self, instruction: Any) -> None:
        """Append gates, measurements and resets; the less common ones in their decomposition."""
        name = instruction.name
        if any(instruction.gate_args_copy()) or _is_pure_noise(name):
            raise self._unsupported(name, f"noise ({name}) is no part of a circuit", _NO_NOISE)
        builder = self._builder
        if name in _GATES:
            gate = STANDARD_GATES[_GATES[name]]
            values = [target.value for target in instruction.targets_copy()]
            width = gate.num_qubits
            for at in range(0, len(values), width):
                builder.gate(gate, tuple(values[at : at + width]))
        elif name == "R":
            for target in instruction.targets_copy():
                builder.reset(target.value)
        elif name in ("M", "MR"):
            self._measure(instruction.targets_copy(), reset=name == "MR")
        else:
            self._decomposed(instruction)

    def _decomposed(self, instruction: Any) -> None:
        """Append an instruction as the plain ones that Stim makes of it.

        Stim does not decompose every inverted result, so inversion is taken out and put in here.
        """
        name = instruction.name
        targets = instruction.targets_copy()
        inverted = any(target.is_inverted_result_target for target in targets)
        for text, invert in _single(instruction) if inverted else [(str(instruction), False)]:
            for part in _decompose(text):
                if part.name == name:
                    raise self._unsupported(name, f"{name} has no decomposition")
                self._inverted ^= invert
                self._instruction(part)
                self._inverted ^= invert

    def _measure(self, targets: list[Any], *, reset: bool) -> None:
        builder = self._builder
        for target in targets:
            qubit = target.value
            inverted = target.is_inverted_result_target != self._inverted
            if inverted:
                builder.gate(STANDARD_GATES["x"], (qubit,))
            builder.measure(qubit, self._record)
            self._record += 1
            if reset:
                builder.reset(qubit)
            elif inverted:
                builder.gate(STANDARD_GATES["x"], (qubit,))

    def _pad(self, targets: list[Any]) -> None:
        """A padded 0 is a classical bit that nothing writes."""
        if any(target.value for target in targets):
            raise self._unsupported("MPAD", "a record padded with 1 has no measurement")
        self._record += len(targets)

    def _feedback(self, name: str, targets: list[Any]) -> None:
        """A Pauli that happens if an earlier measurement gave 1."""
        for first, second in zip(targets[::2], targets[1::2], strict=True):
            if first.is_qubit_target and second.is_qubit_target:
                self._builder.gate(STANDARD_GATES[_GATES[name]], (first.value, second.value))
                continue
            control, qubit = (second, first) if first.is_qubit_target else (first, second)
            if not control.is_measurement_record_target:
                raise self._unsupported(name, "sweep bits have no value here")
            (bit,) = self._bits([control], name)
            block: Block = self._builder.block()
            block.gate(STANDARD_GATES[_FEEDBACK[name]], (qubit.value,))
            self._builder.branch(self._builder.equals([bit], [1]), block)

    def _bits(self, targets: list[Any], name: str) -> list[int]:
        """Return indices into the record; targets count backwards from its end so far."""
        if not all(target.is_measurement_record_target for target in targets):
            raise self._unsupported(name, f"{name} of Pauli targets has no measurement")
        return [self._record + target.value for target in targets]

    def _unsupported(self, name: str, reason: str, hint: str | None = None) -> QuantainerError:
        return invalid(
            self._name,
            reason,
            line=_line_of(self._text, name),
            hint=hint,
            code="unsupported_circuit",
        )


def _flat(circuit: stim.Circuit) -> Iterator[Any]:
    for instruction in circuit:
        if isinstance(instruction, stim.CircuitRepeatBlock):
            body = instruction.body_copy()
            for _ in range(instruction.repeat_count):
                yield from _flat(body)
        else:
            yield instruction


def _operations(circuit: stim.Circuit) -> int:
    """Count instructions and targets with loops unrolled, without unrolling them."""
    size = 0
    for instruction in circuit:
        if isinstance(instruction, stim.CircuitRepeatBlock):
            size += instruction.repeat_count * (1 + _operations(instruction.body_copy()))
        else:
            size += 1 + len(instruction.targets_copy())
    return size


def _single(instruction: Any) -> Iterator[tuple[str, bool]]:
    """Yield each measurement on its own, without inversion, and whether it was inverted."""
    joint = "*" if instruction.name == "MPP" else " "
    for group in instruction.target_groups():
        names = map(_plain, group)
        inverted = sum(target.is_inverted_result_target for target in group) % 2 == 1
        yield f"{instruction.name} {joint.join(names)}", inverted


def _plain(target: Any) -> str:
    return f"{target.pauli_type}{target.value}" if target.pauli_type != "I" else str(target.value)


@lru_cache(maxsize=4096)
def _decompose(instruction: str) -> tuple[Any, ...]:
    return tuple(stim.Circuit(instruction).decomposed())


@lru_cache(maxsize=256)
def _is_pure_noise(name: str) -> bool:
    facts = stim.gate_data(name)
    heralded = name.startswith("HERALDED")
    return bool(facts.is_noisy_gate and (heralded or not facts.produces_measurements))


def _line_of(text: str, name: str) -> int | None:
    """Return the line of the first instruction of that name or of one of its aliases."""
    names = "|".join(map(re.escape, stim.gate_data(name).aliases))
    found = re.search(rf"(?im)^[ \t]*(?:{names})\b", text)
    return text.count("\n", 0, found.start()) + 1 if found else None


def _parse_error(error: Exception, text: str, name: str) -> QuantainerError:
    """Stim's messages name the line's text, not its number: it is the first line that fails."""
    reason = str(error).strip().splitlines()[0].rstrip(".")
    lines = text.split("\n")  # elsewhere a bracket may be open, which is not for Stim to see
    low, high = 0, max(len(lines) - 1, 0)
    while low < high:
        middle = (low + high) // 2
        if _parses(lines[: middle + 1]):
            low = middle + 1
        else:
            high = middle
    return invalid(name, reason, line=low + 1)


def _parses(lines: list[str]) -> bool:
    text = "\n".join(lines)
    code = re.sub(r"#[^\n]*", "", text)
    open_blocks = code.count("{") - code.count("}")
    try:
        stim.Circuit(text + "\n}" * max(open_blocks, 0))
    except (ValueError, IndexError):
        return False
    return True
