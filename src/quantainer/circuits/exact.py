"""Exact: one compiled circuit with just its angles, as bytes.

What has no template is kept like this: feedback, and angles that are not affine in free parameters.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import ClassVar

from quantainer.circuits.compile import Compiled
from quantainer.circuits.reader import read
from quantainer_client.qiskit.encode import encode

__all__ = ["Exact"]

_HEADER = struct.Struct("<4sI")


@dataclass(frozen=True, slots=True, eq=False)
class Exact:
    """A compiled circuit that only equal circuits find again."""

    MAGIC: ClassVar[bytes] = b"QEXA"

    compiled: Compiled
    size: int

    @classmethod
    def of(cls, compiled: Compiled) -> Exact:
        """Keep a compiled circuit."""
        return cls(compiled, 160 * len(compiled.program.data))

    def to_bytes(self) -> bytes:
        """Return it as bytes that :meth:`from_bytes` reads; no code travels in them."""
        data, kind = encode(self.compiled.program)
        header = {
            "kind": kind,
            "initial": self.compiled.initial_layout,
            "final": self.compiled.final_layout,
            "swaps": self.compiled.swaps,
            "level": self.compiled.level,
        }
        text = json.dumps(header).encode()
        return b"".join([_HEADER.pack(self.MAGIC, len(text)), text, data])

    @classmethod
    def from_bytes(cls, data: bytes) -> Exact:
        """Read what :meth:`to_bytes` wrote.

        Raises:
            ValueError: If the bytes are something else.
        """
        magic, length = _HEADER.unpack_from(data)
        if magic != cls.MAGIC:
            raise ValueError("not a compiled circuit")
        start = _HEADER.size + length
        header = json.loads(data[_HEADER.size : start])
        compiled = Compiled(
            read(data[start:], format=header["kind"]).program,
            tuple(header["initial"]),
            tuple(header["final"]),
            int(header["swaps"]),
            int(header["level"]),
        )
        return cls(compiled, 2 * len(data))
