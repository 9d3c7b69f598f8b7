"""Definition: a gate that the file defines itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qiskit.qasm2 import QASM2ParseError

from quantainer.circuits.qasm2.statement import StatementError, angles_missing
from quantainer.circuits.recognise import recognise, recognise_fixed

__all__ = ["Definition"]

Steps = list[tuple[Any, Sequence[float], tuple[int, ...]]]

_RECOGNISED_SIZE = 64


@dataclass(slots=True)
class Definition:
    """A gate that the file defines (or, without ``body``, only declares)."""

    name: str
    qubits: int
    body: list[tuple[Any, Any, tuple[int, ...]]] | None
    params: int | None = None
    size: int = 0
    depth: int = 0
    standard: Any = None
    angles: Sequence[float] | None = None
    looked_up: bool = False

    def recognise(self, params: int) -> None:
        """Look for the standard gate that this is in truth, at a few milliseconds."""
        self.looked_up = True
        if self.body is None or self.size > _RECOGNISED_SIZE:
            return
        self.standard = recognise(self.qubits, params, self._gates)
        if self.standard is None and self.qubits == 2 and params == 0:
            found = recognise_fixed(self._gates(()))
            if found is not None:
                self.standard, self.angles = found[0], (found[1],)

    def _gates(self, params: Sequence[float]) -> Steps:
        """Return the standard gates without barriers."""
        return [step for step in self.expand(params) if step[0] is not None]

    def expand(self, params: Sequence[float]) -> Steps:
        """Return the standard gates; ``None`` instead of a gate is a barrier."""
        if self.body is None:
            hint = "Define it with `gate`, or replace it by gates that are defined."
            reason = f"gate '{self.name}' is opaque: nothing says what it does"
            raise StatementError(reason, hint, "unsupported_circuit")
        operations: Steps = []
        for gate, arguments, at in self.body:
            angles = _evaluated(arguments, params, gate)
            if isinstance(gate, Definition):
                for inner, inner_angles, inner_at in gate.expand(angles):
                    operations.append((inner, inner_angles, tuple(at[q] for q in inner_at)))
            else:
                operations.append((gate, angles, at))
        return operations


def _evaluated(arguments: Any, params: Sequence[float], gate: Any) -> Sequence[float]:
    """Return the angles of a call inside of a definition."""
    if arguments is None:
        return ()
    try:
        angles: Sequence[float] = arguments.evaluate(params)
    except QASM2ParseError as error:
        raise StatementError(str(error).strip("\"' ")) from None
    needed = gate.params if isinstance(gate, Definition) else gate.num_params
    if needed is not None and len(angles) != needed:
        raise angles_missing(gate.name, needed)
    return angles
