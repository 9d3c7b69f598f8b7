"""The gate libraries of OpenQASM 2: the strict one of the paper, and the wider one in use.

``qelib1.inc`` of the paper has 23 gates. Exporters of Qiskit, pytket, Cirq and others also write
``swap``, ``cswap``, ``sx``, ``u``, ``rzz`` and more without defining them, since the file of the
same name in their own package has them. The wider library knows all of those; what a file defines
itself always means what the file says.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["EXTENSION", "LIBRARY", "LibraryGate"]


class LibraryGate(NamedTuple):
    """One gate of a library: its name in OpenQASM 2 and the standard gate it is."""

    name: str
    params: int
    qubits: int
    standard: str


LIBRARY = tuple(
    LibraryGate(*entry)
    for entry in (
        # In the order in which Qiskit's parser numbers the gates of ``qelib1.inc``.
        ("u3", 3, 1, "u3"),
        ("u2", 2, 1, "u2"),
        ("u1", 1, 1, "u1"),
        ("cx", 0, 2, "cx"),
        ("id", 0, 1, "id"),
        ("x", 0, 1, "x"),
        ("y", 0, 1, "y"),
        ("z", 0, 1, "z"),
        ("h", 0, 1, "h"),
        ("s", 0, 1, "s"),
        ("sdg", 0, 1, "sdg"),
        ("t", 0, 1, "t"),
        ("tdg", 0, 1, "tdg"),
        ("rx", 1, 1, "rx"),
        ("ry", 1, 1, "ry"),
        ("rz", 1, 1, "rz"),
        ("cz", 0, 2, "cz"),
        ("cy", 0, 2, "cy"),
        ("ch", 0, 2, "ch"),
        ("ccx", 0, 3, "ccx"),
        ("crz", 1, 2, "crz"),
        ("cu1", 1, 2, "cu1"),
        ("cu3", 3, 2, "cu3"),
    )
)

EXTENSION = tuple(
    LibraryGate(*entry)
    for entry in (
        ("u", 3, 1, "u"),
        ("p", 1, 1, "p"),
        ("u0", 1, 1, "id"),  # "wait for that many gate times"
        ("r", 2, 1, "r"),
        ("sx", 0, 1, "sx"),
        ("sxdg", 0, 1, "sxdg"),
        ("swap", 0, 2, "swap"),
        ("iswap", 0, 2, "iswap"),
        ("dcx", 0, 2, "dcx"),
        ("ecr", 0, 2, "ecr"),
        ("cs", 0, 2, "cs"),
        ("csdg", 0, 2, "csdg"),
        ("csx", 0, 2, "csx"),
        ("crx", 1, 2, "crx"),
        ("cry", 1, 2, "cry"),
        ("cp", 1, 2, "cp"),
        ("cu", 4, 2, "cu"),
        ("rxx", 1, 2, "rxx"),
        ("ryy", 1, 2, "ryy"),
        ("rzz", 1, 2, "rzz"),
        ("rzx", 1, 2, "rzx"),
        ("ccz", 0, 3, "ccz"),
        ("cswap", 0, 3, "cswap"),
        ("rccx", 0, 3, "rccx"),
        ("rc3x", 0, 4, "rcccx"),
        ("c3x", 0, 4, "mcx"),
        ("c3sqrtx", 0, 4, "c3sx"),
    )
)
