"""What a reader may spend and choose."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["ReadOptions"]


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """Limits and choices of one read; a limit that is hit is named in the error.

    Attributes:
        max_bytes: Size of the text or of the bytes.
        max_gates: Operations after loops, broadcasts and definitions were expanded.
        max_nesting: Depth of nested parentheses, braces, brackets and control flow.
        max_qubits: Declared qubits.
        max_clbits: Declared classical bits.
        max_iterations: Iterations of all loops that are evaluated while reading.
        gate_library: OpenQASM 2 only: ``legacy`` knows the gates that the exporters of Qiskit and
            others use undefined; ``strict`` only those of the paper's ``qelib1.inc``.
        include_path: Folders in which ``include`` looks. Empty (as in the broker): only the
            built-in libraries, since no file of the host may be read for someone else's circuit.
        inputs: OpenQASM 3 only: values of ``input`` variables by name; a text is read as the
            variable's type says.
        keep_faults: OpenQASM 2 only: read a file in spite of gates that act on one qubit twice, to
            measure the rest; ``Circuit.faults`` lists them, and the circuit can never run.
        circuit: Name of the circuit to take where a file holds several.
    """

    max_bytes: int = 64 * 1024 * 1024
    max_gates: int = 5_000_000
    max_nesting: int = 256
    max_qubits: int = 100_000
    max_clbits: int = 1_000_000
    max_iterations: int = 1_000_000
    gate_library: Literal["legacy", "strict"] = "legacy"
    include_path: tuple[str, ...] = ()
    inputs: dict[str, Any] = field(default_factory=dict)
    circuit: str | None = None
    keep_faults: bool = False
