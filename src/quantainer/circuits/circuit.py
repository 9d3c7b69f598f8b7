"""Circuit: what every reader returns and everything above works on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

    from quantainer_client.columns import Columns

__all__ = ["SCRATCH", "Circuit"]

SCRATCH = "__scratch__"
"""Name of a classical register that holds intermediate results: it is no part of a result."""


@dataclass(frozen=True, slots=True, eq=False)
class Circuit:
    """One circuit as read.

    Attributes:
        program: The circuit in Qiskit's IR: the ecosystem's common form. Never changed in place.
        format: The format it was read from.
        name: File or program name, for messages.
        notes: What the reader chose and the user should know ("read with the legacy gate library").
        faults: Places and reasons why it can be measured and never run; read so only on demand.
        columnar: The columnar bytes it was read from, which the compile cache looks it up by.
        columns: What they say.
    """

    program: QuantumCircuit
    format: str
    name: str = ""
    notes: tuple[str, ...] = ()
    columnar: bytes | None = None
    columns: Columns | None = None
    faults: tuple[str, ...] = ()
