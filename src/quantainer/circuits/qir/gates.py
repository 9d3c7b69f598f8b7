"""QIR's gates: the names that producers use, and the standard gates they are."""

from __future__ import annotations

__all__ = ["GATES", "gate_of"]

GATES = {
    # base name: (standard gate, angles that come first, qubits)
    "h": ("h", 0, 1),
    "x": ("x", 0, 1),
    "y": ("y", 0, 1),
    "z": ("z", 0, 1),
    "s": ("s", 0, 1),
    "t": ("t", 0, 1),
    "sx": ("sx", 0, 1),
    "i": ("id", 0, 1),
    "rx": ("rx", 1, 1),
    "ry": ("ry", 1, 1),
    "rz": ("rz", 1, 1),
    "r1": ("p", 1, 1),
    "phase": ("p", 1, 1),
    "p": ("p", 1, 1),
    "u1": ("u1", 1, 1),
    "u2": ("u2", 2, 1),
    "u3": ("u3", 3, 1),
    "u": ("u", 3, 1),
    "cnot": ("cx", 0, 2),
    "cx": ("cx", 0, 2),
    "cy": ("cy", 0, 2),
    "cz": ("cz", 0, 2),
    "ch": ("ch", 0, 2),
    "swap": ("swap", 0, 2),
    "iswap": ("iswap", 0, 2),
    "rxx": ("rxx", 1, 2),
    "ryy": ("ryy", 1, 2),
    "rzz": ("rzz", 1, 2),
    "crx": ("crx", 1, 2),
    "cry": ("cry", 1, 2),
    "crz": ("crz", 1, 2),
    "ccx": ("ccx", 0, 3),
    "ccnot": ("ccx", 0, 3),
    "toffoli": ("ccx", 0, 3),
    "ccz": ("ccz", 0, 3),
    "cswap": ("cswap", 0, 3),
}
_INVERSES = {"s": "sdg", "t": "tdg", "sx": "sxdg"}
_PREFIX = "__quantum__qis__"


def gate_of(callee: str) -> tuple[str, int, int] | None:
    """Return ``(standard gate, angles, qubits)`` of an intrinsic, or ``None`` if it is no gate."""
    if not callee.startswith(_PREFIX):
        return None
    name, _, variant = callee.removeprefix(_PREFIX).partition("__")
    gate = GATES.get(name)
    if gate is None or variant in ("body", ""):
        return gate
    if variant != "adj":
        return None
    standard, angles, qubits = gate
    if standard in _INVERSES:
        return _INVERSES[standard], angles, qubits
    return gate if not angles and standard not in ("iswap",) else None
