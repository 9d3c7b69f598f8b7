"""Result: what a job measured, as views of the memory that the broker handed over."""

from __future__ import annotations

import sys
from array import array

from quantainer_client import registers as packed
from quantainer_client.errors import QuantainerError
from quantainer_client.payload import part, resolve_list

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterator, List

__all__ = ["PubResult", "Register", "Result"]


class Register:
    """One classical register of one pub.

    Attributes:
        name: As in the circuit; empty for the bits that lie in no register.
        bits: Its width.
        bytes: Bytes of one shot: ``ceil(bits / 8)``.
        data: ``uint8[rows, shots, bytes]``, read-only: bit ``i`` is bit ``i % 8`` of byte
            ``i // 8``.
    """

    __slots__ = ("_shots", "bits", "bytes", "data", "name")

    def __init__(self, name: str, bits: int, data: memoryview, shots: int) -> None:
        self.name = name
        self.bits = bits
        self.bytes = packed.width(bits)
        self.data = data
        self._shots = shots

    def row(self, row: int = 0) -> memoryview:
        """Return ``uint8[shots, bytes]`` of one row of parameters."""
        size = self._shots * self.bytes
        return self.data[row * size : (row + 1) * size]

    def integers(self, row: int = 0) -> List[int]:
        """Return each shot as an integer of any size, bit 0 lowest."""
        return packed.integers(self.row(row), self.bits) if self.bits else [0] * self._shots

    def bitstrings(self, row: int = 0) -> List[str]:
        """Return each shot as a string, bit 0 rightmost."""
        return packed.bitstrings([(self.bits, self.row(row))], self._shots)

    def counts(self, row: int = 0) -> Dict[str, int]:
        """Return how often each value of this register alone was measured."""
        return packed.count([(self.bits, self.row(row))], self._shots)


class PubResult:
    """What one pub yielded: registers, or expectation values.

    Attributes:
        shots: Shots of each row.
        rows: Rows of parameters.
        registers: By name, in the order of declaration.
        evs: ``float64[pairs]``, None unless observables were asked.
        stds: Their standard errors.
        metadata: Backend, method, engine, seed and what else the broker says of the run.
    """

    __slots__ = ("evs", "metadata", "registers", "rows", "shots", "stds")

    def __init__(self, entry: Dict[str, Any], payload: memoryview) -> None:
        self.shots: int = entry.get("shots") or 0
        self.rows: int = entry.get("rows", 1)
        self.metadata: Dict[str, Any] = entry.get("metadata") or {}
        self.registers = {
            fields["name"]: self._register(fields, payload)
            for fields in entry.get("registers") or ()
        }
        self.evs = _doubles(entry.get("evs"), payload)
        self.stds = _doubles(entry.get("stds"), payload)

    def counts(self, row: int = 0) -> Dict[str, int]:
        """Return how often each outcome was measured, over all registers.

        Keys are in Qiskit's order: bit 0 rightmost, registers separated by a space, the last
        declared first.
        """
        if not 0 <= row < self.rows:
            raise IndexError(f"there are {self.rows} rows")
        columns = [(register.bits, register.row(row)) for register in self.registers.values()]
        return packed.count(columns, self.shots)

    def _register(self, fields: Dict[str, Any], payload: memoryview) -> Register:
        bits = fields["bits"]
        size = self.rows * self.shots * packed.width(bits)
        name = fields["name"]
        data = part(payload, fields["offset"], size, f"register {name!r}")
        return Register(name, bits, data, self.shots)


class Result:
    """The results of a job, one for each pub.

    Attributes:
        job: The job's identifier.
        pubs: In the order of submission.
    """

    __slots__ = ("job", "pubs")

    def __init__(self, job: str, pubs: List[PubResult]) -> None:
        self.job = job
        self.pubs = pubs

    @classmethod
    def from_reply(cls, reply: Dict[str, Any], payload: memoryview) -> Result:
        """Read a ``result`` reply.

        Raises:
            QuantainerError: ``internal`` if the broker's answer does not hold together.
        """
        try:
            entries = resolve_list(reply.get("results"), payload, "results")
            return cls(str(reply["job"]), [PubResult(entry, payload) for entry in entries])
        except (QuantainerError, KeyError, TypeError, AttributeError) as error:
            raise QuantainerError(
                "internal", f"The broker's result cannot be read: {error}."
            ) from None

    @property
    def metadata(self) -> Dict[str, Any]:
        """What the broker says of the run of the first pub."""
        return self.pubs[0].metadata

    def counts(self, pub: int = 0, row: int = 0) -> Dict[str, int]:
        """Return the counts of one pub, the first unless said otherwise."""
        return self.pubs[pub].counts(row)

    def to_dict(self, pub: int = 0) -> Dict[str, Any]:
        """Return one sampled pub as the JSON fields that commands print.

        ``counts`` are over all registers, ``registers`` has those of each alone.
        """
        entry = self.pubs[pub]
        return {
            "job": self.job,
            "backend": entry.metadata.get("backend"),
            "method": entry.metadata.get("method"),
            "shots": entry.shots,
            "counts": entry.counts(),
            "registers": [
                {"name": register.name, "bits": register.bits, "counts": register.counts()}
                for register in entry.registers.values()
            ],
            "metadata": entry.metadata,
        }

    def __getitem__(self, pub: int) -> PubResult:
        return self.pubs[pub]

    def __iter__(self) -> Iterator[PubResult]:
        return iter(self.pubs)

    def __len__(self) -> int:
        return len(self.pubs)


def _doubles(fields: Any, payload: memoryview) -> Any:
    """Return ``float64`` values at an offset as a view, or None where there are none."""
    if fields is None:
        return None
    data = part(payload, fields["offset"], 8 * fields["length"], "expectation values")
    if sys.byteorder == "little":
        return data.cast("d")
    values = array("d", bytes(data))
    values.byteswap()
    return memoryview(values)
