"""Results: lays out what a job measured as it crosses the wire: registers apart, bit-packed."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit

from quantainer.backends.backend import PubResult
from quantainer.broker.workload import Planned
from quantainer.circuits.circuit import SCRATCH
from quantainer_client import registers
from quantainer_client.payload import Payload

__all__ = ["LOOSE", "add_result", "read_result", "registers_of"]

LOOSE = ""
"""Name of the register that holds classical bits outside every register of the circuit."""


class _Layouts:
    """Registers of the circuits met lately: a circuit is run again and again."""

    def __init__(self) -> None:
        self._known: OrderedDict[int, tuple[QuantumCircuit, list[tuple[str, list[int]]]]] = (
            OrderedDict()
        )

    def of(self, program: QuantumCircuit) -> list[tuple[str, list[int]]]:
        known = self._known.get(id(program))
        if known is not None and known[0] is program:
            return known[1]
        layout = registers_of(program)
        self._known[id(program)] = program, layout
        if len(self._known) > _LAYOUTS:
            self._known.popitem(last=False)
        return layout


_LAYOUTS = 64
_layouts = _Layouts()


def registers_of(program: QuantumCircuit) -> list[tuple[str, list[int]]]:
    """Return the classical registers with their bit indices, loose bits last, scratch left out."""
    index = {bit: position for position, bit in enumerate(program.clbits)}
    listed = [(register.name, [index[bit] for bit in register]) for register in program.cregs]
    taken = {position for _, positions in listed for position in positions}
    loose = [position for position in index.values() if position not in taken]
    if loose:
        listed.append((LOOSE, loose))
    return [each for each in listed if each[0] != SCRATCH]


def add_result(
    planned: Planned, result: PubResult, payload: Payload, *, counts: bool
) -> dict[str, Any]:
    """Add one pub's arrays to the payload and return its entry of ``results``."""
    pub = planned.pub
    entry: dict[str, Any] = {
        "shots": pub.shots or 0,
        "rows": planned.rows,
        "clbits": pub.facts.clbits,
        "registers": [],
        "metadata": result.metadata,
    }
    if result.evs is not None:
        for name, values in (("evs", result.evs), ("stds", result.stds)):
            array = np.zeros(len(result.evs)) if values is None else values
            data = np.ascontiguousarray(array, dtype="<f8")
            entry[name] = {"offset": payload.append(data), "length": len(data)}
        return entry
    if result.samples is None:
        raise TypeError("a backend returned neither samples nor expectation values")
    columns = []
    for name, bits in _layouts.of(pub.circuit.program):
        data = _register(result.samples, bits, pub.facts.clbits)
        offset = payload.append(data)
        entry["registers"].append(
            {"name": name, "bits": len(bits), "offset": offset, "bytes": data.shape[-1]}
        )
        columns.append((len(bits), data))
    if counts and planned.rows == 1:
        entry["counts"] = registers.count(
            [(bits, data.tobytes()) for bits, data in columns], pub.shots or 0
        )
    return entry


def _register(samples: NDArray[np.uint8], bits: list[int], clbits: int) -> NDArray[np.uint8]:
    """Return ``uint8[rows, shots, bytes]`` of one register, bits that are not its own cleared."""
    if not bits:
        return samples[:, :, :0]
    first, end, width = bits[0], bits[0] + len(bits), registers.width(len(bits))
    if first % 8 or bits != list(range(first, end)):
        unpacked = np.unpackbits(samples, axis=-1, bitorder="little")[:, :, bits]
        return np.ascontiguousarray(np.packbits(unpacked, axis=-1, bitorder="little"))
    data = np.ascontiguousarray(samples[:, :, first // 8 : first // 8 + width])
    if len(bits) % 8 and end < clbits:
        data = data.copy()
        data[:, :, -1] &= 0xFF >> (8 - len(bits) % 8)
    return data


def read_result(planned: Planned, entry: dict[str, Any], data: memoryview) -> PubResult:
    """Return the result that ``add_result`` laid out: the same entry would come of it again."""
    if "evs" in entry:
        return PubResult(
            evs=_floats(entry["evs"], data),
            stds=_floats(entry["stds"], data),
            metadata=entry["metadata"],
        )
    rows, shots, clbits = planned.rows, planned.pub.shots or 0, planned.pub.facts.clbits
    samples = np.zeros((rows, shots, registers.width(clbits)), dtype=np.uint8)
    layout = _layouts.of(planned.pub.circuit.program)
    for (_, bits), place in zip(layout, entry["registers"], strict=True):
        width = place["bytes"]
        end = place["offset"] + rows * shots * width
        column = np.frombuffer(data[place["offset"] : end], dtype=np.uint8)
        _spread(column.reshape(rows, shots, width), bits, samples)
    return PubResult(samples=samples, metadata=entry["metadata"])


def _floats(place: dict[str, int], data: memoryview) -> NDArray[np.float64]:
    return np.frombuffer(data, dtype="<f8", count=place["length"], offset=place["offset"])


def _spread(column: NDArray[np.uint8], bits: list[int], samples: NDArray[np.uint8]) -> None:
    """Put the bits of one register where they belong among all; the inverse of ``_register``."""
    if not bits:
        return
    first, width = bits[0], column.shape[-1]
    if first % 8 == 0 and bits == list(range(first, first + len(bits))):
        samples[:, :, first // 8 : first // 8 + width] |= column
        return
    for index, bit in enumerate(bits):
        values = column[:, :, index // 8] >> (index % 8) & 1
        samples[:, :, bit // 8] |= values << (bit % 8)
